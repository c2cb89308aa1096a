# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record`: what the policy sees and what the arm does, from topics into a bag.

Every topic that `vw2 convert` reads is subscribed to as it appears, with the quality of service
that its publishers offer. Messages are not decoded; a callback only notes the time and hands the
bytes to `BagWriter`. `ros2 bag record -s mcap` of the same topics serves as well.

At the bench (`bench.py`) a person begins and ends episodes; what comes between them is not kept.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms.contract import ROBOT_DESCRIPTION
from vw2_ros.arms.contract import topics as topics_of
from vw2_ros.errors import InvalidValueError
from vw2_ros.keyboard import Keyboard
from vw2_ros.recording import bench
from vw2_ros.recording.writer import BagWriter, RingWriter, Storage

KINDS = {
    'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage,
    'sensor_msgs/msg/CameraInfo': CameraInfo,
    'sensor_msgs/msg/JointState': JointState,
    'std_msgs/msg/String': String,
    'trajectory_msgs/msg/JointTrajectory': JointTrajectory,
    'std_msgs/msg/Float64MultiArray': Float64MultiArray,
}
IMAGES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
NO_PICTURES = (names.PLAN_HIDDEN, names.LATENT_PLAN, names.IMAGINED)  # though of that type
COMMANDS = (names.JOINT_COMMANDS, names.POSITION_COMMANDS, names.GRIPPER_COMMAND)
DEPTH = 100  # messages that may wait in the middleware
GAP_S = 0.1  # of silence, as long as the nodes bear with
LAST_S = 0.5  # for what waits when the recording ends; where more and more comes, that ends it
LOOK_S = 0.5  # how often new topics and publishers are looked for
KEYS_S = 0.05  # how often keys are looked for
STRING = 'std_msgs/msg/String'


@dataclass(frozen=True)
class Wanted:
    """What is recorded, and how."""

    image: str = ''  # topic of the camera; '': those of the contract
    namespace: str = ''  # of all topics
    contract: str = 'play_table'  # name or file of the robot's
    instructions: tuple[str, ...] = ()  # what is shown at the bench, in turn; none: no bench
    takeovers: bool = False  # only what a person shows who takes the arm from a policy
    last_s: float = 0.0  # keep so much in memory, and write on request; 0: write all at once
    storage: Storage = Storage()

    def __post_init__(self):
        if bool(self.instructions) + bool(self.last_s) + self.takeovers > 1:
            raise InvalidValueError(
                'one of episodes (--instruction), takeovers (--takeovers) and the last seconds '
                '(--last) must be recorded. Got several'
            )


@dataclass
class Heard:
    """What came on one topic."""

    kind: str = ''
    profile: tuple = ()
    subscription: object = None
    count: int = 0
    before: int = 0  # count at the last report
    gaps: int = 0
    last_s: float = 0.0


class Recorder:
    """Subscribes, counts, and fills a bag until `close`.

    Args:
        folder: of the bag, or, for the last seconds, of the bags.
        wanted: topics, and how they are kept.
    Attributes:
        heard: topic -> what came. cameras, joints: topics that must come.
        bench: episodes, None where nobody begins and ends them.
    """

    def __init__(self, folder: Path, wanted: Wanted | None = None):
        wanted = wanted or Wanted()
        robot = topics_of(wanted.contract)
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node(
            'vw2_record',
            namespace=wanted.namespace,
            context=self._context,
            start_parameter_services=False,
        )
        name = self.node.resolve_topic_name
        cameras = (wanted.image,) if wanted.image else robot.cameras or (names.IMAGE,)
        infos = () if wanted.image else robot.infos
        self.cameras = [name(topic) for topic in cameras]
        self.joints = [name(topic) for topic in robot.joint_states]
        self.instruction, self.leader = name(names.INSTRUCTION), name(names.LEADER)
        topics = (
            *(cameras[0], robot.joint_states[0], names.INSTRUCTION, *cameras, *robot.joint_states),
            *(*robot.commands, *COMMANDS, *infos, ROBOT_DESCRIPTION, names.LEADER),
        )
        self.heard = {name(topic): Heard() for topic in topics}
        # they come when something changes: silence is no gap
        self._seldom = (self.instruction, self.leader, name(ROBOT_DESCRIPTION))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        try:
            self.bench = _bench(wanted, self._say)
            self.writer: BagWriter | RingWriter = (
                RingWriter(folder, wanted.last_s, self._seldom, wanted.storage)
                if wanted.last_s
                else BagWriter(folder, self._seldom, wanted.storage)
            )
        except BaseException:
            self._leave()
            raise
        self._answering = [
            self.node.create_service(Trigger, f'{names.EPISODE}/{verb}', self._answerer(verb))
            for verb in (bench.VERBS if self.bench else ('save',) if wanted.last_s else ())
        ]
        self.said: list[str] = []  # lines for people that nobody has printed yet
        self.began_s = self._reported_s = time.monotonic()
        self._look()
        self.node.create_timer(LOOK_S, self._look)

    def spin(self, seconds: float) -> None:
        """Record for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.writer.failed:
            self._executor.spin_once(timeout_sec=min(left, 0.2))

    def do(self, verb: str) -> tuple[bool, str]:
        """Do what a key or a service asks for; whether it could be done, and a line for people."""
        if verb == 'save' and isinstance(self.writer, RingWriter):
            done, said = True, f'writing the last seconds to {self.writer.save()}'
        elif self.bench is not None:
            done, said = self.bench.do(verb)
        else:
            return False, f'no {verb} here'
        self.said.append(said)
        return done, said

    def _say(self, topic: str, text: str) -> None:
        """Put a message of ours into the bag."""
        data = bytes(serialize_message(String(data=text)))
        self.writer.put(self.node.resolve_topic_name(topic), STRING, time.time_ns(), data)

    def _lead(self, topic: str, kind: str, received_ns: int, data: bytes) -> None:
        """Begin or end an episode by what a policy is told, and by who has the arm."""
        if topic == self.leader:
            self.writer.put(topic, kind, received_ns, data)
        what = names.LEADER if topic == self.leader else names.INSTRUCTION
        said = self.bench.hear(what, deserialize_message(data, String).data)
        self.said += [said] if said else []

    def _answerer(self, verb: str):
        def answer(_, response):
            response.success, response.message = self.do(verb)
            return response

        return answer

    def close(self) -> None:
        """Take what has come and waits, leave the graph and close the bag; as `BagWriter.close`."""
        end, quiet = time.monotonic() + LAST_S, 0
        while quiet < 3 and time.monotonic() < end and not self.writer.failed:
            before = sum(h.count for h in self.heard.values())
            self._executor.spin_once(timeout_sec=0.02)  # one message, or the timer
            quiet = 0 if sum(h.count for h in self.heard.values()) > before else quiet + 1
        if self.bench is not None:
            self.said += filter(None, [self.bench.close()])
        self._leave()
        self.writer.close()

    def report(self) -> str:
        """Rates since the last report, gaps and drops in all, in one line."""
        now = time.monotonic()
        passed, self._reported_s = max(now - self._reported_s, 1e-3), now
        parts = []
        for topic, h in self.heard.items():
            new, h.before = h.count - h.before, h.count
            if topic == self.instruction:
                parts.append(f'{topic} {h.count}')
            elif topic not in self._seldom and h.count or topic in (*self.cameras, *self.joints):
                gaps = f' ({h.gaps} gaps)' if h.gaps else ''
                others = self.other_images() if topic in self.cameras and not h.count else ''
                parts.append(
                    f'{topic} {new / passed:.0f} Hz{gaps}'
                    if h.count
                    else f'{topic} NOTHING YET{others}'
                )
        dropped = sum(self.writer.dropped.values())
        lost = f', {dropped} DROPPED' if dropped else ''
        episodes = f'{self.bench.status()}, ' if self.bench else ''
        return f'{now - self.began_s:4.0f} s  {episodes}{", ".join(parts)}{lost}'

    def missing(self) -> list[str]:
        """Topics without which `vw2 convert` can do nothing, and on which nothing came."""
        return [t for t in (*self.cameras, *self.joints) if not self.heard[t].count]

    def other_images(self) -> str:
        """Which topics there are to choose from, where a camera is silent; '' where none."""
        others = [
            topic
            for topic, kinds in self.node.get_topic_names_and_types()
            if IMAGES & set(kinds)
            and topic not in self.cameras
            and not topic.endswith(NO_PICTURES)
        ]
        return f' (but there are {", ".join(sorted(others))})' if others else ''

    def _leave(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _look(self) -> None:
        """Subscribe to what has appeared, anew where its publishers changed their offer."""
        for topic, h in self.heard.items():
            offers = self.node.get_publishers_info_by_topic(topic)
            kinds = {o.topic_type for o in offers} & set(KINDS)
            if not kinds:
                continue
            kind = h.kind if h.kind in kinds else min(kinds)
            qos = [o.qos_profile for o in offers if o.topic_type == kind]
            profile = (
                all(q.reliability == ReliabilityPolicy.RELIABLE for q in qos),
                all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in qos),
            )
            if (kind, profile) == (h.kind, h.profile):
                continue
            if h.subscription is not None:
                self.node.destroy_subscription(h.subscription)
            h.kind, h.profile = kind, profile
            h.subscription = self.node.create_subscription(
                KINDS[kind], topic, self._taker(topic, h), _profile(*profile), raw=True
            )

    def _taker(self, topic: str, h: Heard):
        def take(data: bytes) -> None:
            received_ns, now_s = time.time_ns(), time.monotonic()
            if isinstance(self.bench, bench.Takeovers) and topic in (
                self.instruction,
                self.leader,
            ):
                self._lead(topic, h.kind, received_ns, data)
            elif self.bench is None or self.bench.running or topic in self._seldom:
                self.writer.put(topic, h.kind, received_ns, data)
            h.gaps += bool(h.count and topic not in self._seldom and now_s - h.last_s > GAP_S)
            h.count, h.last_s = h.count + 1, now_s

        return take


def _bench(wanted: Wanted, say) -> bench.Bench | None:
    if wanted.takeovers:
        return bench.Takeovers(say)
    return bench.Bench(wanted.instructions, say) if wanted.instructions else None


def _profile(reliable: bool, latched: bool) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def run(out: Path, wanted: Wanted | None = None, seconds: float = 0.0) -> int:
    """Record until Ctrl-C, SIGTERM or `seconds` have passed (0: no end), and say what comes.

    Returns:
        0, or 1 if a camera or joint_states were silent.
    Raises:
        ValueError: `out` exists, or the disk is full; what was written is kept.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _record(out, wanted or Wanted(), seconds)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record(out: Path, wanted: Wanted, seconds: float) -> int:
    def ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    recorder = Recorder(out, wanted)
    if wanted.instructions or wanted.takeovers:
        print(bench.HELP if wanted.instructions else bench.TAKEOVER_HELP, flush=True)
    elif wanted.last_s:
        print(bench.SAVE_HELP, flush=True)
    else:
        print(
            f'recording to {out}; Ctrl-C ends it. Publish what is shown on {recorder.instruction}, '
            "and '' when it is done",
            flush=True,
        )
    live = sys.stdout.isatty()
    try:
        with Keyboard(bench.KEYS) as keyboard:
            _follow(recorder, keyboard, seconds, live)
    except KeyboardInterrupt:
        pass
    for number in (signal.SIGTERM, signal.SIGINT):  # the bag is being closed
        signal.signal(number, signal.SIG_IGN)
    recorder.close()
    status = _told(recorder, out, live)
    for line in recorder.said:
        print(line)
    return status


def _follow(recorder: Recorder, keyboard: Keyboard, seconds: float, live: bool) -> None:
    """Record, and print a line per second and per episode, until it is time to end."""
    began_s = told_s = time.monotonic()
    while not recorder.writer.failed:
        recorder.spin(KEYS_S)
        for verb in keyboard.pressed():
            if verb == 'quit':
                return
            recorder.do(verb)
        for line in recorder.said:
            print(f'\r\033[K{line}{bench.BELL}' if live else line, flush=True)
        recorder.said.clear()
        now_s = time.monotonic()
        over = seconds and now_s - began_s >= seconds
        if now_s - told_s >= 1.0 or over:
            told_s = now_s
            line = recorder.report()
            print(f'\r\033[K{line}' if live else line, end='' if live else '\n', flush=True)
        if over:
            return


def _told(recorder: Recorder, out: Path, live: bool) -> int:
    """Say what was recorded, and what to do next; the exit status."""
    writer, missing = recorder.writer, recorder.missing()
    if isinstance(writer, RingWriter):
        bags = ', '.join(map(str, writer.saved))
        told = f'{writer.written} messages in {bags}' if bags else 'Nothing was written'
        print(f'{chr(10) if live else ""}{told}')
    else:
        first = f'vw2 episodes list {out}' if recorder.bench else f'vw2 convert --bag {out}'
        more = '' if recorder.bench else ' --out data/mine'
        print(
            f'{chr(10) if live else ""}{writer.written} messages in {out}.'
            + ('' if missing else f' Next: {first}{more}')
        )
    for topic in missing:
        print(
            f'vw2: nothing came on {topic}: look at --image, --contract, --namespace, '
            'ROS_DOMAIN_ID and `ros2 topic list`',
            file=sys.stderr,
        )
    return int(bool(missing))
