# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record`: what it hears lies in the bag, also when it is killed; and the way back to a policy."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')
from ros_helpers import tiny_weights  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from vw2_ros import cli, names
from vw2_ros.arms import open_arm  # noqa: E402
from vw2_ros.arms.actions import EndEffectorController  # noqa: E402
from vw2_ros.arms.contract import Contract
from vw2_ros.bags import bag as bags
from vw2_ros.bags.episodes import bag_spans
from vw2_ros.messages import convert, qos
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402
from vw2_ros.recording.recorder import Recorder, Wanted  # noqa: E402
from vw2_ros.recording.tracks import Tracks  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERIOD_S = 1 / 30


class Robot:
    """A camera, an arm and somebody who moves it, at 30 Hz."""

    def __init__(self, bench, lead=''):
        def out(kind, topic, qos):
            return bench.peer.create_publisher(kind, f'{lead}{topic}', qos)

        self.images = out(Image, names.IMAGE, qos.reliable(1))
        self.joints = out(JointState, names.JOINT_STATES, qos.newest(10))  # best effort
        self.commands = out(JointTrajectory, names.JOINT_COMMANDS, qos.reliable())
        self.words = out(String, names.INSTRUCTION, qos.latched())
        self.controller = EndEffectorController(open_arm())
        self.controller.reset(open_arm().rest_rad)
        self.due_s, self.sent = time.monotonic(), 0

    def step(self):
        """Send what is due; to be called often."""
        if time.monotonic() < self.due_s:
            return
        self.due_s += PERIOD_S
        now = time.time_ns()
        arm = open_arm().joints
        self.joints.publish(
            convert.joints_to_message(
                (*arm, open_arm().finger_joints[0]),
                np.append(self.controller.joints, 0.04),
                stamp_ns=now,
            )
        )
        rgb = np.full((48, 48, 3), self.sent % 250, np.uint8)
        self.images.publish(convert.numpy_to_image(rgb, 'rgb8', stamp_ns=now))
        action = np.array([0.5 * np.sin(self.sent / 9), 0.3, 0, 0, 0, 0.2, 1.0])
        joints, _ = self.controller.step(action)
        self.commands.publish(
            convert.trajectory_to_message(
                (*arm, open_arm().finger_joints[0]), np.append(joints, 0.04), stamp_ns=now
            )
        )
        self.sent += 1


def read(bag):
    """topic -> number of messages."""
    count = {}
    for topic, *_ in bags.Bag(bag).messages():
        count[topic] = count.get(topic, 0) + 1
    return count


def test_what_is_heard_lies_in_the_bag(bench, tmp_path):
    robot = Robot(bench, 'left/')
    robot.words.publish(String(data='wave'))  # before anybody listens: latched
    recorder = Recorder(tmp_path / 'bag', Wanted(namespace='left'))
    try:
        assert recorder.missing() == ['/left/image_raw', '/left/joint_states']
        assert 'NOTHING YET' in recorder.report()
        end, begins = time.monotonic() + 30.0, None
        while time.monotonic() < end:
            robot.step()
            recorder.spin(0.002)
            if not recorder.missing():
                begins = begins or robot.sent
            if begins and robot.sent - begins >= 90:
                break
        recorder.spin(0.3)
        said = recorder.report()
        assert '/left/image_raw' in said and 'Hz' in said and '/left/instruction 1' in said
        assert not recorder.writer.dropped and not recorder.missing()
    finally:
        recorder.close()
    count = read(tmp_path / 'bag')
    assert (tmp_path / 'bag/metadata.yaml').is_file()
    assert count['/left/instruction'] == 1
    for topic in ('image_raw', 'joint_states', 'joint_commands'):
        assert robot.sent - begins - 3 <= count[f'/left/{topic}'] <= robot.sent, topic
    result = convert_bags([tmp_path / 'bag'], tmp_path / 'data', progress=False)
    (report,) = result['bags'].values()
    assert [e['instruction'] for e in report['episodes']] == ['wave'], report
    made_of = report['episodes'][0]
    # a busy machine sends no commands for a while, and then the joints are right
    assert made_of['actions'] == 'commands' or 'no commands came' in str(made_of), made_of


def test_a_silent_image_names_the_others(bench, tmp_path):
    for topic in (f'static/{names.IMAGE}', names.PLAN_HIDDEN, names.IMAGINED):
        bench.peer.create_publisher(Image, topic, qos.reliable(1))
    recorder = Recorder(tmp_path / 'bag')
    try:
        end = time.monotonic() + 20
        while '(but' not in recorder.report() and time.monotonic() < end:
            recorder.spin(0.1)
        assert '/image_raw NOTHING YET (but there are /static/image_raw),' in recorder.report()
    finally:
        recorder.close()


def test_episodes_by_services(bench, tmp_path):
    """A pedal begins and ends them; what comes between is not in the bag."""
    robot = Robot(bench)
    recorder = Recorder(tmp_path / 'bag', Wanted(instructions=('wave', 'point')))

    def both():
        robot.step()
        recorder.spin(0.002)

    def press(verb):
        client = bench.peer.create_client(Trigger, f'{names.EPISODE}/{verb}')
        assert bench.until(client.service_is_ready, 30, each=both)
        future = client.call_async(Trigger.Request())
        assert bench.until(future.done, 30, each=both)
        return future.result()

    try:
        assert bench.until(lambda: not recorder.missing(), 60, each=both)
        assert recorder.writer.written == 0 and 'waiting "wave"' in recorder.report()
        for verbs in (
            ('start', 'success'),
            ('toggle', 'failure'),
            ('next',),
            ('start', 'discard'),
        ):
            answer = press(verbs[0])
            assert answer.success, answer
            if len(verbs) > 1:
                bench.spin(1.2, each=both)
                assert press(verbs[1]).success
                bench.spin(0.3, each=both)
        assert not press('success').success  # none is running
    finally:
        recorder.close()
    spans = list(bag_spans(bags.Bag(tmp_path / 'bag')))
    assert [(s.text, s.success, s.dropped) for s in spans if s.text] == [
        ('wave', True, False),
        ('wave', False, False),
        ('point', None, True),
    ]
    count = {}
    for topic, _, at, _ in bags.Bag(tmp_path / 'bag').messages():
        (span,) = [s for s in spans if s.start <= at < s.stop]
        if topic == f'/{names.IMAGE}':
            count[span.text] = count.get(span.text, 0) + 1
    assert '' not in count and count['wave'] > 40 and count['point'] > 20


def test_a_takeover_is_recorded_from_where_it_began(bench, tmp_path):
    """The policy's own pictures are not kept; the operator's are, and the words that it was told."""
    robot = Robot(bench)
    leader = bench.peer.create_publisher(String, names.LEADER, qos.latched())
    robot.words.publish(String(data='wave'))
    leader.publish(String(data='policy'))
    recorder = Recorder(tmp_path / 'bag', Wanted(takeovers=True))

    def both():
        robot.step()
        recorder.spin(0.002)

    def led(who, seconds):
        """Images that were sent when he said so, when that was heard, and in the end."""
        said, running = robot.sent, who == 'correction'
        leader.publish(String(data=who))
        assert bench.until(lambda: recorder.bench.running == running, 30, each=both)
        heard = robot.sent
        bench.spin(seconds, each=both)
        return said, heard, robot.sent

    try:
        known = lambda: recorder.bench.instruction == 'wave' and not recorder.missing()  # noqa: E731
        assert bench.until(known, 60, each=both)
        began = time.time_ns()
        first, then = led('correction', 1.5), led('nobody', 0.3)
        assert 'waiting "wave"' in recorder.report()
        assert recorder.do('success') == (True, 'episode 0: success')
        led('policy', 0.5)
        last = led('correction', 1.0)
    finally:
        recorder.close()
    spans = [s for s in bag_spans(bags.Bag(tmp_path / 'bag')) if s.text]
    assert [(s.text, s.correction, s.success) for s in spans] == [
        ('wave', True, True),
        ('wave', True, None),
    ]
    at = [at for topic, _, at, _ in bags.Bag(tmp_path / 'bag').messages() if topic == '/image_raw']
    assert all(any(s.start <= t < s.stop for s in spans) for t in at) and min(at) >= began
    fewest = first[2] - first[1] + last[2] - last[1]
    most = then[1] - first[0] + last[2] - last[0]
    assert fewest - 5 <= len(at) <= most


def test_what_the_contract_lists_is_asked_for(bench, tmp_path):
    """Two cameras; the joints of the arm on two topics, merged by name."""
    text = (ROOT / 'config/arms/panda.yaml').read_text()
    text = text.replace(
        '  static: {topic: image_raw, info: camera_info, frame: camera_optical_frame}',
        '  static: {topic: image_raw, info: camera_info}\n  hand: {topic: hand/image_raw}',
    )
    contract = tmp_path / 'two.yaml'
    topics = 'joint_states: [upper/joint_states, lower/joint_states]'
    contract.write_text(text.replace('joint_states: [joint_states]', topics))
    joints, sent, turned_rad = open_arm().joints, [0], [0.0]
    cameras = [
        bench.peer.create_publisher(Image, t, qos.reliable(1))
        for t in ('image_raw', 'hand/image_raw')
    ]
    arms = [
        bench.peer.create_publisher(JointState, f'{part}/joint_states', qos.newest(10))
        for part in ('upper', 'lower')
    ]
    recorder = Recorder(tmp_path / 'bag', Wanted(contract=str(contract)))
    assert recorder.missing() == [
        '/image_raw',
        '/hand/image_raw',
        '/upper/joint_states',
        '/lower/joint_states',
    ]

    def step():
        recorder.spin(0.002)
        now, sent[0] = time.time_ns(), sent[0] + 1
        rgb = np.full((24, 24, 3), sent[0] % 250, np.uint8)
        for camera in cameras:
            camera.publish(convert.numpy_to_image(rgb, 'rgb8', stamp_ns=now))
        at = open_arm().rest_rad + turned_rad[0]
        finger = (open_arm().finger_joints[0],)
        arms[0].publish(convert.joints_to_message(joints[:4], at[:4], stamp_ns=now))
        arms[1].publish(
            convert.joints_to_message((*joints[4:], *finger), [*at[4:], 0.04], stamp_ns=now)
        )

    try:
        assert bench.until(lambda: not recorder.missing(), 60, each=step)
        began_s = time.monotonic()

        def turning():
            turned_rad[0] = 0.1 * (time.monotonic() - began_s)
            step()

        bench.spin(2.5, each=turning)
    finally:
        recorder.close()
    count = read(tmp_path / 'bag')
    assert all(count[t] > 10 for t in (*recorder.cameras, *recorder.joints))
    tracks = Tracks(bags.Bag(tmp_path / 'bag'), Contract.load(contract))
    assert tracks.image_topic == '/image_raw'
    merged = np.array(tracks.track(names.JOINT_STATES).values)  # (n, 7)
    assert len(merged) > 10 and merged.shape[1] == len(joints)
    moved = merged - open_arm().rest_rad
    assert np.ptp(moved, axis=1).max() < 0.1 < np.ptp(moved)  # of one second each


def test_a_publisher_of_another_offer(bench, tmp_path):
    """Best effort after reliable, volatile after latched: still heard."""
    one = bench.peer.create_publisher(String, names.INSTRUCTION, qos.latched())
    one.publish(String(data='first'))
    recorder = Recorder(tmp_path / 'bag')
    try:
        heard = recorder.heard[recorder.instruction]
        end = time.monotonic() + 20
        while heard.count < 1 and time.monotonic() < end:
            recorder.spin(0.05)
        other = bench.peer.create_publisher(String, names.INSTRUCTION, qos.reliable())
        while heard.profile != (True, False) and time.monotonic() < end:
            recorder.spin(0.05)
        while heard.count < 2 and time.monotonic() < end:
            other.publish(String(data='second'))
            recorder.spin(0.1)
        assert heard.count >= 2
    finally:
        recorder.close()


def start(tmp_path, *options):
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': '1'}
    return subprocess.Popen(
        [sys.executable, '-m', 'vw2_ros.cli', 'record', '--out', str(tmp_path / 'bag'), *options],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def feed(bench, robot, child, seconds, folder):
    """Play the robot until the bag has grown for so long."""
    begun = None
    end = time.monotonic() + 120
    while time.monotonic() < end and child.poll() is None:
        robot.step()
        bench.executor.spin_once(timeout_sec=0.002)
        if begun is None and any(f.stat().st_size > 50_000 for f in folder.glob('*.mcap')):
            begun = time.monotonic()
        if begun and time.monotonic() - begun > seconds:
            return
    child.kill()
    raise AssertionError(child.communicate())


AT_S = [2.0, *(pytest.param(s, marks=pytest.mark.slow) for s in np.linspace(1, 4, 50))]


@pytest.mark.parametrize('at_s', AT_S)
def test_killed(bench, tmp_path, at_s):
    """At most a second is lost, and the rest needs no repair (measured: 0.1 s)."""
    robot = Robot(bench)
    robot.words.publish(String(data='wave'))
    child = start(tmp_path)
    try:
        feed(bench, robot, child, at_s, tmp_path / 'bag')
    finally:
        child.kill()
    killed_ns = time.time_ns()
    child.communicate()
    os.utime(*bags.files_of(tmp_path / 'bag'), (1e9, 1e9))  # long ago
    assert killed_ns - max(m[2] for m in bags.Bag(tmp_path / 'bag').messages()) < 1e9
    result = convert_bags([tmp_path / 'bag'], tmp_path / 'data', progress=False)
    assert result['training']['annotations'] >= 1 and result['training']['frames'] > 15 * at_s


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ended(bench, tmp_path, number):
    robot = Robot(bench)
    child = start(tmp_path)
    try:
        feed(bench, robot, child, 1.2, tmp_path / 'bag')
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, err
    assert '/image_raw' in out and 'Next: vw2 convert --bag' in out
    assert (tmp_path / 'bag/metadata.yaml').is_file() and read(tmp_path / 'bag')['/image_raw'] > 20


def test_nothing_came(tmp_path):
    child = start(tmp_path, '--seconds', '0.5')
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1 and 'nothing came on /image_raw' in err
    assert 'Next:' not in out
    assert cli.main(['record', '--out', str(tmp_path / 'bag')]) == 1  # it exists


def test_what_waits_when_the_recording_ends_is_kept(bench, tmp_path):
    joints = bench.peer.create_publisher(JointState, names.JOINT_STATES, qos.reliable(100))
    recorder = Recorder(tmp_path / 'bag')
    try:
        assert bench.until(
            lambda: joints.get_subscription_count(), 60, each=lambda: recorder.spin(0.01)
        )
        bench.spin(0.5, each=lambda: recorder.spin(0.01))  # both ends know of each other
        before = recorder.heard['/joint_states'].count
        for i in range(60):
            joints.publish(convert.joints_to_message(('a',), np.array([i]), stamp_ns=i + 1))
        bench.spin(0.5)
        assert recorder.heard['/joint_states'].count == before  # nobody has looked yet
    finally:
        recorder.close()
    assert read(tmp_path / 'bag')['/joint_states'] == before + 60


def test_from_the_play_table_to_a_policy(bench, tmp_path):
    """The whole way: table node -> bag -> data with the labels of what was done -> weights that load.

    In lockstep, so that a busy machine changes nothing.
    """
    from vw2_ros.models.policy import Policy
    from vw2_ros.models.stages.head import HeadStage
    from vw2_ros.models.training.run import run
    from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode
    from vw2_ros.sim.expert.expert import Expert
    from vw2_ros.sim.play_table import PlayTable

    with PlayTable('D') as table:  # the table starts alike, so that the expert's actions fit
        expert, given, told = Expert(table, 'open_drawer'), [], []
        while not expert.done and len(given) < 100:
            given.append(expert.act())
            table.step(given[-1])
            joints, grip = table.command
            told.append(np.append(joints, 0.04 if grip > 0 else 0.0))
    assert expert.done
    node = bench.add(
        CalvinBridgeNode, image_size=32, gripper_every=300, discovery_s=0.0, lockstep=True
    )
    commands = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable())
    words = bench.peer.create_publisher(String, names.INSTRUCTION, qos.latched())
    words.publish(String(data='open the drawer'))
    recorder = Recorder(tmp_path / 'bag', Wanted(image='static/image_raw'))
    sent = []

    def answer(msg):
        number = round((convert.stamp_to_ns(msg.header.stamp) - sent[0]) * 30e-9) if sent else 0
        sent.append(convert.stamp_to_ns(msg.header.stamp))
        if number < len(told):
            commands.publish(
                convert.trajectory_to_message(
                    (*open_arm().joints, open_arm().finger_joints[0]),
                    told[number],
                    stamp_ns=sent[-1],
                )
            )

    bench.peer.create_subscription(JointState, names.JOINT_STATES, answer, qos.reliable())

    def hear():
        recorder.spin(0.001)

    try:
        assert bench.until(
            lambda: (
                all(
                    recorder.heard[t].subscription is not None
                    for t in recorder.heard
                    if t.endswith(('image_raw', 'states', 'commands', 'instruction'))
                    and t != '/commands'
                )
                and commands.get_subscription_count() >= 2
            ),
            60,
            each=hear,
        )
        bench.spin(0.5, each=hear)  # both ends of a connection know of each other
        bench.call(Trigger, names.START_TASK)
        assert bench.until(lambda: node.ticks >= len(told), 120, each=hear)
        bench.spin(0.3, each=hear)
    finally:
        recorder.close()
    result = convert_bags(
        [tmp_path / 'bag'], tmp_path / 'data', image='static/image_raw', progress=False
    )
    (report,) = result['bags'].values()
    (episode,) = report['episodes']
    heard = {t: h.count for t, h in recorder.heard.items()}
    assert episode['actions'] == episode['gripper'] == 'commands', repr((episode, heard))
    store = FrameStore([tmp_path / 'data'], size=32)
    # the last step ended the task: no frame came after; nor is known what held before the first
    assert len(given) - 3 <= len(store) <= len(given) - 1
    wrong = np.abs(store.rel_actions - np.clip(given, -1, 1)[1 : len(store) + 1])  # (n, 7)
    assert wrong.max() < 0.02, wrong.round(3).tolist()

    weights = tiny_weights(tmp_path / 'weights', image_size=32)
    config = tmp_path / 'head.yaml'
    config.write_text(
        'head:\n  model: {hidden: 16, layers: 1}\n'
        '  train: {steps: 3, batch: 4, warmup: 1, threads: 1}\n'
    )
    run(
        HeadStage(config, [tmp_path / 'data'], init=pathlib.Path(weights), start=weights),
        tmp_path / 'run',
    )
    policy = Policy.load(str(tmp_path / 'run/policy'))
    rgb = np.zeros((32, 32, 3), np.uint8)
    actions = policy.actions(policy.plan(rgb, 'open the drawer').hidden)
    assert np.asarray(actions).shape == (16, 7) and np.isfinite(actions).all()


def test_signals_are_as_before(tmp_path):
    """A recording that cannot begin leaves Ctrl-C to whoever had it."""
    from vw2_ros.recording import recorder

    (tmp_path / 'bag').mkdir()
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError):
        recorder.run(tmp_path / 'bag')
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
