# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Cameras of others, each in a process of its own: rates, sizes, QoS, and lost images."""

import array
import functools
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from camera_driver import driver
from node_peers import SIZE, diagnosed
from sensor_msgs.msg import CameraInfo, Image

from vw2_ros import names
from vw2_ros.bench import camera_driver
from vw2_ros.control.camera import MOST_S
from vw2_ros.files import config_file
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.camera import CameraNode
from vw2_ros.nodes.planner import PlannerNode

INPUT = ['--ros-args', '-r', f'{names.INPUT}:={camera_driver.TOPIC}']
INPUT += ['-r', f'{names.INPUT_INFO}:={camera_driver.INFO}']


class Driven(CameraNode):
    """A camera node that hears the driver."""

    def __init__(self, **options):
        super().__init__(cli_args=INPUT, **options)


@pytest.mark.parametrize(
    'rate_hz, size, qos_arguments',
    [
        (10, '200x200', []),
        (15, '640x480', ['--reliable']),
        (60, '320x240', ['--encoding', 'bgr8']),
    ],
)
def test_a_camera_is_held_to_its_own_rate(bench, weights, rate_hz, size, qos_arguments):
    says = {name: diagnosed(bench, name) for name in ('camera', 'planner')}
    plans = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
    with driver('--rate', str(rate_hz), '--size', size, *qos_arguments, profile=True) as process:
        camera = bench.add(Driven, width=SIZE, height=SIZE)
        planner = bench.add(PlannerNode, weights=weights, instruction='open the drawer')
        assert bench.until(lambda: planner.camera.period_s and len(plans) > 3)
        period, watches = pytest.approx(1 / rate_hz, rel=0.25), (camera.camera, planner.camera)
        # images that a busy machine brought in bursts leave the window again
        measured = bench.until(lambda: all(watch.period_s == period for watch in watches))
        assert measured, [watch.period_s for watch in watches]
        allowed_s = planner.camera.max_age_s
        assert allowed_s == pytest.approx(max(0.1, min(3 / rate_hz, MOST_S)), rel=0.25)
        errors = []
        bench.spin(2.0, lambda: errors.append(says['planner']()))
        silent = [text for level, text in errors if level == 2]
        assert len(silent) < len(errors) / 4, silent[:3]  # on a loaded machine some may be late
        process.send_signal(signal.SIGSTOP)
        try:
            assert bench.until(
                lambda: all('camera silent for' in newest()[1] for newest in says.values()), 5
            )
        finally:
            process.send_signal(signal.SIGCONT)
        assert bench.until(lambda: says['planner']()[0] == 0, 10), says['planner']()


def test_lost_images_are_named(bench):
    """1920x1080 does not fit the shared memory that a driver has by default."""
    newest = diagnosed(bench, 'camera')
    with driver('--size', '1920x1080'):
        bench.add(Driven, width=SIZE, height=SIZE)
        lost = 'large messages are lost'
        assert bench.until(lambda: lost in newest()[1], 20), newest()
        level, text = newest()
    assert level in (1, 2) and text.count('camera_info comes at') == 1
    assert f'set FASTRTPS_DEFAULT_PROFILES_FILE={config_file("fastdds.xml")} in' in text


@pytest.mark.slow
@pytest.mark.parametrize('profile', [False, True])
@pytest.mark.parametrize('size', ['640x480', '1920x1080'])
def test_gaps_with_and_without_the_profile(bench, size, profile):
    """The figures of docs/robot.md; run it alone, on idle cores."""
    arrived_s, infos = [], bench.hear(CameraInfo, camera_driver.INFO, qos.newest(10))
    bench.peer.create_subscription(
        Image, camera_driver.TOPIC, lambda _: arrived_s.append(time.monotonic()), qos.newest()
    )
    with driver('--size', size, profile=profile):
        assert bench.until(lambda: infos)
        bench.spin(1.0)
        arrived_s.clear(), infos.clear()
        bench.spin(8.0)
    gaps_ms = 1e3 * np.diff(arrived_s)
    lost = 1 - len(arrived_s) / len(infos)
    print(
        f'\n{size}, profile {profile}: {lost:.0%} lost, {(gaps_ms > 100).sum()} gaps over 100 ms'
    )
    assert not profile or lost < 0.05


def test_a_camera_node_takes_every_encoding(bench):
    """One driver after another on one topic, as people try theirs."""
    images = bench.hear(Image, names.IMAGE, qos.newest())
    bench.add(CameraNode, width=SIZE, height=SIZE)
    out = bench.peer.create_publisher(Image, names.INPUT, qos.newest())
    for encoding, channels in (('uyvy', 2), ('bayer_gbrg8', 1), ('8UC4', 4), ('mono16', 2)):
        data = array.array('B', bytes(48 * 64 * channels))
        sent = Image(height=48, width=64, encoding=encoding, step=64 * channels, data=data)
        images.clear()
        assert bench.until(lambda: images, 10, each=functools.partial(out.publish, sent)), encoding
        assert convert.image_to_rgb(images[0]).shape == (SIZE, SIZE, 3)
