# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a user or a foreign node may get wrong, through the real program and the real nodes.

Each case gives one clear message and a status that is not 0, or the node stays up, holds the arm
and reports it on /diagnostics. Nothing that was written before is lost.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from calvin_files import write_split

from vw2_ros import cli

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def vw2(capsys):
    """Give the console program, run in this process: arguments -> (status, stderr)."""

    def call(*arguments):
        status = cli.main([str(a) for a in arguments])
        return status, capsys.readouterr().err

    return call


def assert_told(result, *words, status=None):
    """One line on stderr with these words, and a status that says that it failed."""
    code, text = result
    assert code != 0 if status is None else code == status, text
    assert 'Traceback' not in text
    last = text.strip().splitlines()[-1]
    assert last.startswith('vw2: error:'), text
    for word in words:
        assert word in last, last


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return the folder of an untrained model with the true formats and tiny sizes."""
    from ros_helpers import tiny_weights

    return pathlib.Path(tiny_weights(tmp_path_factory.mktemp('weights') / 'untrained', 96))


# -------------------------------------------------- unknown scene, task, policy


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['demo', '--scene', 'E'], ["unknown scene 'E'", 'A, B, C, D']),
        (['collect', '--out', 'nowhere', '--scenes', 'AX'], ["unknown scene 'X'"]),
        (
            ['eval', '--policy', 'random', '--tasks', 'open_drawr'],
            ["unknown task 'open_drawr'", 'Did you mean open_drawer'],
        ),
        (['eval', '--chains', '1', '--policy', 'expret'], ["unknown policy 'expret'", 'expert']),
        (['bench', 'policy', '--policy', 'no/such/folder'], ["unknown policy 'no/such/folder'"]),
    ],
)
def test_unknown_scene_task_or_policy(vw2, arguments, words):
    assert_told(vw2(*arguments), *words, status=2)
    assert not (ROOT / 'nowhere').exists()


# ------------------------------------------------------------------ checkpoint


@pytest.mark.parametrize(
    'name', ['planner.safetensors', 'head.safetensors', 'config.json', 'tokenizer.json']
)
@pytest.mark.parametrize('harm', ['missing', 'half', 'flipped'])
def test_damaged_checkpoint_is_told(checkpoint, tmp_path, name, harm):
    from vw2_ros.models.errors import CheckpointError
    from vw2_ros.models.policy import Policy

    folder = tmp_path / 'damaged'
    shutil.copytree(checkpoint, folder)
    file = folder / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    if harm == 'missing':
        file.unlink()
    else:
        file.write_bytes(data if harm == 'flipped' else data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=name):
        Policy.load(folder, threads=None)


def test_damaged_checkpoint_through_the_program(vw2, checkpoint, tmp_path):
    folder = tmp_path / 'damaged'
    shutil.copytree(checkpoint, folder)
    with open(folder / 'head.safetensors', 'r+b') as file:
        file.truncate(1000)
    assert_told(vw2('bench', 'policy', '--policy', folder), 'head.safetensors', status=1)


def test_folder_that_is_no_checkpoint(vw2, tmp_path):
    assert_told(vw2('bench', 'policy', '--policy', tmp_path), str(tmp_path), status=1)


# ------------------------------------------------------------------------ data


@pytest.mark.parametrize('harm', ['missing', 'corrupt', 'empty'])
def test_data_folder_with_a_bad_frame(vw2, tmp_path, harm):
    data = tmp_path / 'data'
    write_split(data / 'training')
    write_split(data / 'validation', episodes=1, first_id=500)
    frame = sorted((data / 'training').glob('episode_*.npz'))[7]
    if harm == 'missing':
        frame.unlink()
    else:
        frame.write_bytes(frame.read_bytes()[:400] if harm == 'corrupt' else b'')
    before = sorted(p.name for p in (data / 'training').glob('episode_*.npz'))
    result = vw2('train', 'dldm', '--config', 'tiny', '--data', data, '--out', tmp_path / 'run')
    assert_told(result, frame.name, status=1)
    assert sorted(p.name for p in (data / 'training').glob('episode_*.npz')) == before


def test_no_data_folder(vw2, tmp_path):
    assert_told(
        vw2(
            'train',
            'dldm',
            '--config',
            'tiny',
            '--data',
            tmp_path / 'none',
            '--out',
            tmp_path / 'run',
        ),
        'is not a folder',
        status=2,
    )


# ---------------------------------------------------------------- image, words


def test_policy_refuses_wrong_images_and_empty_instructions(checkpoint):
    from vw2_ros.models.policy import Policy

    policy = Policy.load(checkpoint, threads=None)
    good = np.zeros((96, 96, 3), np.uint8)
    for rgb in (
        good[:64],
        good[:, :, 0],
        good.astype(np.float32),
        None,
        np.full((96, 96, 3), np.nan),
    ):
        with pytest.raises(ValueError, match='rgb must be .* Got'):
            policy.plan(rgb, 'open the drawer')
    for words in ('', '   ', '?!'):
        with pytest.raises(ValueError, match='instruction'):
            policy.plan(good, words)
    assert np.isfinite(policy.plan(good, 'frotz plugh').hidden).all()  # unknown words: it plans
    assert policy.known_words('frotz plugh') == 0
    with pytest.raises(ValueError, match='finite'):
        policy.actions(np.full(policy.hidden_shape, np.nan, np.float32))


# --------------------------------------------- foreign messages, real processes


class Robot:
    """Plays camera and robot for the planner and the action node, which run for themselves."""

    def __init__(self, client):
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image, JointState
        from trajectory_msgs.msg import JointTrajectory

        from vw2_ros import names
        from vw2_ros.arms import open_arm
        from vw2_ros.messages import convert, qos

        self.client, self.convert, self.names = client, convert, names
        self.images = client.publisher(Image, f'static/{names.IMAGE}', qos.reliable(1))
        self.plans = client.publisher(Image, names.PLAN_HIDDEN, qos.reliable(1))
        self.joints = client.publisher(JointState, names.JOINT_STATES, qos.reliable())
        self.arm = open_arm()
        self.measured = np.append(self.arm.rest_rad, [0.04, 0.04])
        self.targets, self.told = [], {}
        client.subscribe(
            JointTrajectory,
            names.JOINT_COMMANDS,
            lambda m: self.targets.append(list(m.points[0].positions)),
            qos.reliable(),
        )
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, self._note, qos.reliable())
        self.rng = np.random.default_rng(0)

    def _note(self, msg):
        for status in msg.status:
            level = status.level[0] if isinstance(status.level, bytes) else status.level
            self.told[status.name.rsplit('/', 1)[-1]] = (level, status.message)

    def picture(self):
        """An image as it should be."""
        return self.convert.numpy_to_image(
            self.rng.integers(0, 256, (96, 96, 3), np.uint8), 'rgb8', stamp_ns=time.time_ns()
        )

    def live(self, seconds, spoil=lambda image: image, until=lambda: False):
        """Send images and joints 30 times a second; return the commands that came meanwhile."""
        began = len(self.targets)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until():
            self.images.publish(spoil(self.picture()))
            self.joints.publish(
                self.convert.joints_to_message(
                    (*self.arm.joints, *self.arm.finger_joints),
                    self.measured,
                    stamp_ns=time.time_ns(),
                )
            )
            self.client.spin(1 / 30)
        return np.array(self.targets[began:])

    def until_told(self, node, words, spoil=lambda image: image):
        """Go on until a node says these words on /diagnostics with a level that is not OK."""

        def said():
            level, message = self.told.get(node, (0, ''))
            return level > 0 and words in message

        self.live(15, spoil, said)
        assert said(), self.told


@pytest.fixture(scope='module')
def robot(checkpoint, tmp_path_factory):
    """Give planner and action node in processes of their own, and somebody to play the rest."""
    pytest.importorskip('rclpy')
    from vw2_ros.bringup.domain import private_domain
    from vw2_ros.bringup.system import Children, calvin
    from vw2_ros.client import Client

    processes = [p for p in calvin(weights=str(checkpoint)) if p.name != 'calvin_bridge']
    with (
        private_domain() as env,
        Children(processes, log_dir=tmp_path_factory.mktemp('log'), env=env) as children,
        Client(check=children.check) as client,
    ):
        client.wait_active(['planner', 'action'], 300)
        client.say('open the drawer')
        yield Robot(client)


def wrong_encoding(image):
    image.encoding = 'rgb9'
    return image


def wrong_size(image):
    image.height = 1
    return image


def not_finite(image):
    from vw2_ros.messages import convert

    # Another number in the corner of each, or the camera counts as frozen.
    nan = np.full((96, 96), np.nan, np.float32)
    nan[0, 0] = time.monotonic()
    return convert.numpy_to_image(nan, '32FC1', stamp_ns=convert.stamp_to_ns(image.header.stamp))


@pytest.mark.parametrize(
    'spoil, words',
    [
        (wrong_encoding, "Got 'rgb9'"),
        (wrong_size, 'step x 1 rows'),
        (not_finite, 'Got 32FC1, which is depth'),
    ],
)
def test_bad_image_holds_the_arm_and_is_reported(robot, spoil, words):
    began = len(robot.targets)
    moved = robot.live(
        20,
        until=lambda: len(robot.targets) > began + 5 and robot.told.get('action', (2, ''))[0] == 0,
    )
    assert len(moved)
    robot.until_told('planner', words, spoil)
    robot.until_told('action', 'holding', spoil)  # the last good plan has run out
    robot.live(0.5, spoil)  # and the arm has come to rest
    held = robot.live(0.5, spoil)
    assert np.isfinite(held).all() and np.ptp(held, axis=0).max() == 0


def test_bad_plans_are_dropped_and_reported(robot):
    from vw2_ros.messages import convert

    robot.live(1.0)

    def spoil(image):
        robot.plans.publish(
            convert.numpy_to_image(
                np.full((4, 16), np.nan, np.float32),
                '32FC1',
                frame_id='plan/00000000/' + 64 * '0',
                stamp_ns=time.time_ns(),
            )
        )
        return image

    robot.until_told('action', 'must be finite', spoil)
    assert np.isfinite(robot.targets).all()


@pytest.mark.parametrize(
    'words, told',
    [
        ('', 'no instruction'),
        ('  ', 'no instruction'),
        ('frobnicate the quux', 'unknown instruction'),
    ],
)
def test_empty_or_unknown_instruction_holds_the_arm_and_is_reported(robot, words, told):
    robot.client.say('open the drawer')
    robot.live(1.0)
    robot.client.say(words)
    robot.until_told('planner', told)
    robot.live(1.0)  # it comes to rest
    held = robot.live(0.5)
    if words.strip():
        assert len(held) and np.ptp(held, axis=0).max() == 0
    else:  # nothing to do: nothing is sent
        assert not len(held) and robot.told['action'][0] == 0
    robot.client.say('open the drawer')
    robot.live(15, until=lambda: robot.told['planner'][0] == 0)
    assert robot.told['planner'][0] == 0


def test_second_simulator_is_refused_and_the_first_goes_on(tmp_path):
    pytest.importorskip('rclpy')
    from vw2_ros.bringup.domain import private_domain
    from vw2_ros.bringup.system import Children, calvin
    from vw2_ros.client import Client

    bridge = calvin()[:1]
    with (
        private_domain() as env,
        Children(bridge, log_dir=tmp_path / 'a', env=env) as first,
        Client(check=first.check) as client,
    ):
        client.wait_active(['calvin_bridge'], 60)
        with Children(bridge, log_dir=tmp_path / 'b', env=env) as second:
            status = second.running['calvin_bridge'].wait(60)
            assert status == 2
            assert 'must have no other publisher' in second.last_words('calvin_bridge')
        assert client.trigger('reset') == 'scene D'


# ------------------------------------------------------------------------ Ctrl-C


@pytest.mark.parametrize('after_s', [0.5, 8.0])
def test_ctrl_c_ends_the_nodes_cleanly(checkpoint, tmp_path, after_s):
    """While they import, while they come up, while they run."""
    pytest.importorskip('rclpy')
    from vw2_ros.bringup.domain import private_environment
    from vw2_ros.bringup.system import Children, calvin

    with Children(
        calvin(weights=str(checkpoint)), log_dir=tmp_path, env=private_environment()
    ) as children:
        time.sleep(after_s)
        for child in children.running.values():
            child.send_signal(signal.SIGINT)
        statuses = {name: child.wait(30) for name, child in children.running.items()}
        logs = ''.join(path.read_text() for path in tmp_path.iterdir())
    assert set(statuses.values()) <= {0, 1, 130, -signal.SIGINT}, statuses
    if after_s > 5:
        assert 'Traceback' not in logs


def test_ctrl_c_during_training_keeps_the_checkpoint(tmp_path):
    data, run = tmp_path / 'data', tmp_path / 'run'
    write_split(data / 'training')
    write_split(data / 'validation', episodes=1, first_id=500)
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    config = (ROOT / 'config/train/tiny.yaml').read_text()
    (tmp_path / 'long.yaml').write_text(re.sub(r'steps: \d+', 'steps: 1000000', config))
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'vw2_ros.cli',
            'train',
            'dldm',
            '--config',
            tmp_path / 'long.yaml',
            '--data',
            data,
            '--out',
            run,
        ],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end_s = time.monotonic() + 60
        while (
            not any(run.rglob('events.*')) and process.poll() is None and time.monotonic() < end_s
        ):
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, text
    assert 'Traceback' not in text
    assert any(run.rglob('*.safetensors')), list(run.rglob('*'))
