# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What nodes say in their log and on /diagnostics: what was wanted, what came, once and not again."""

import array
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_helpers import state, tiny_weights
from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.files import config_file
from vw2_ros.messages import convert, qos
from vw2_ros.nodes import camera as camera_node
from vw2_ros.nodes.camera import CameraNode
from vw2_ros.nodes.planner import PlannerNode


class Told:
    """The log lines of all nodes, and the newest (level, message) of one on /diagnostics."""

    def __init__(self, bench, name):
        # as the log is offered: what was said before the subscription is known comes, too
        self.logs = bench.hear(
            Log, '/rosout', QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self.heard = bench.hear(DiagnosticArray, names.DIAGNOSTICS, 10)
        self.name = name

    def lines(self, words):
        return [log.msg for log in self.logs if words in log.msg]

    def now(self):
        own = [s for m in self.heard for s in m.status if s.name == self.name]
        return (own[-1].level[0], own[-1].message) if own else (-1, '')


def picture(bench, rng):
    return convert.numpy_to_image(
        rng.integers(0, 256, (32, 32, 3), np.uint8),
        'rgb8',
        stamp_ns=bench.peer.get_clock().now().nanoseconds,
    )


def test_the_log_says_what_is_missing_what_is_wrong_and_when_it_is_well(bench):
    told = Told(bench, 'camera')
    node = bench.add(CameraNode)
    assert bench.until(lambda: told.lines('no image yet from /input'))
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    bad = Image(width=4, height=4, encoding='rgba9', step=16, data=array.array('B', bytes(64)))
    assert bench.until(
        lambda: node.health.counters['input refused'] >= 50 and told.lines("Got 'rgba9'"),
        each=lambda: source.publish(bad),
    )
    assert len(told.lines('')) < 20, 'a line for what has changed, not for each image'
    rng = np.random.default_rng(0)
    assert bench.until(
        lambda: told.lines('running'), each=lambda: source.publish(picture(bench, rng))
    )


def test_a_camera_that_falls_silent_says_what_was_refused(bench):
    told = Told(bench, 'camera')
    bench.add(CameraNode)
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    rng = np.random.default_rng(0)
    assert bench.until(
        lambda: told.now()[0] == 0 and told.now()[1] == 'running',
        each=lambda: source.publish(picture(bench, rng)),
    )
    bad = Image(width=4, height=4, encoding='yuv9', step=8, data=array.array('B', bytes(32)))
    assert bench.until(
        lambda: told.now()[0] == 2 and 'silent' in told.now()[1] and "Got 'yuv9'" in told.now()[1],
        each=lambda: source.publish(bad),
    )


def test_a_camera_that_was_unplugged_goes_on_when_it_is_back(bench, monkeypatch):
    opened, told = [], Told(bench, 'camera')

    class Source:
        """A device that gives three frames, is gone, and is there again at the third try."""

        live = True

        def __init__(self, path, *, loop=False):
            opened.append(path)
            if len(opened) in (2, 3):
                raise ValueError(f'{path} must be a V4L2 device or a video file.')
            self.left = 3 if len(opened) == 1 else 10**6

        def read(self):
            if not self.left:
                raise ValueError('/dev/video7 gave no frame: is it unplugged or in use?')
            self.left -= 1
            return np.zeros((48, 64, 3), np.uint8)

        def close(self):
            pass

    monkeypatch.setattr(camera_node, 'Source', Source)
    monkeypatch.setattr(camera_node, 'REOPEN_PERIOD_S', 0.2)
    bench.add(CameraNode, source='device', device='/dev/video7', max_rate_hz=30.0)
    assert bench.until(lambda: told.now()[0] == 2 and '/dev/video7' in told.now()[1])
    images = bench.hear(Image, names.IMAGE, qos.newest())
    assert bench.until(lambda: images and told.now() == (0, 'running'))
    assert opened == ['/dev/video7'] * 4


def test_images_without_a_stamp_make_no_plan_and_are_told(bench, tmp_path):
    told = Told(bench, 'planner')
    bench.add(
        PlannerNode,
        weights=tiny_weights(tmp_path / 'tiny', 32, dldm=False),
        instruction='open the drawer',
    )
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    rng = np.random.default_rng(0)

    def unstamped():
        msg = picture(bench, rng)
        msg.header.stamp = convert.ns_to_stamp(0)
        camera.publish(msg)

    assert bench.until(lambda: 'stamp must be set' in told.now()[1], each=unstamped)


def test_simulated_time_without_a_clock_is_told(bench):
    told = Told(bench, 'camera')
    bench.add(CameraNode, use_sim_time=True)
    assert bench.until(
        lambda: told.now() == (2, 'use_sim_time is set, and nothing ever came on /clock')
    )


def test_whole_numbers_and_unknown_names_of_parameters(bench):
    told = Told(bench, 'camera')
    node = bench.add(CameraNode, max_rate_hz=30, widht=64)
    assert node.config.max_rate_hz == 30.0
    assert bench.until(lambda: told.lines('no such parameter: widht; ignored'))
    assert state(node) == 'active'


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['-p', 'width:=wide'], "'width' to 'wide' of type 'STRING', expecting type 'INTEGER'"),
        (['-p', 'jpeg_quality:=500'], 'jpeg_quality out of range'),
        (['--params-file', '/no/such/file.yaml'], '/no/such/file.yaml'),
    ],
)
def test_arguments_of_which_no_node_can_be_made(arguments, words):
    done = subprocess.run(
        [sys.executable, '-m', 'vw2_ros.nodes.camera', '--ros-args', *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=config_file('robot.yaml').parents[1],
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert words in done.stderr.strip().splitlines()[-1]


def test_a_transition_that_there_is_not_is_refused_and_the_node_stays(bench):
    told = Told(bench, 'camera')
    node = bench.add(CameraNode)

    def ask(number):
        return bench.call(
            ChangeState,
            'camera/change_state',
            ChangeState.Request(transition=Transition(id=number)),
        ).success

    assert not ask(Transition.TRANSITION_ACTIVATE), 'it is active'
    assert state(node) == 'active'
    assert bench.until(lambda: told.lines('transition 3'))
    assert ask(Transition.TRANSITION_DEACTIVATE) and ask(Transition.TRANSITION_CLEANUP)
    assert bench.until(lambda: told.lines('deactivate: done') and told.lines('cleanup: done'))
    assert ask(Transition.TRANSITION_CONFIGURE) and ask(Transition.TRANSITION_ACTIVATE)
    assert state(node) == 'active'
