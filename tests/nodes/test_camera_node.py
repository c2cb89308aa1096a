# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The camera node, a real one over DDS: what it publishes and what it refuses."""

import array

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, diagnosed
from ros_helpers import state
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vw2_ros import names
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.camera import CameraNode


def test_camera_resizes_and_keeps_the_stamp(bench):
    bench.add(CameraNode, source='topic', width=SIZE, height=SIZE, compressed_out=True)
    images = bench.hear(Image, names.IMAGE, qos.newest())
    jpegs = bench.hear(CompressedImage, names.compressed(names.IMAGE), qos.newest())
    infos = bench.hear(CameraInfo, names.CAMERA_INFO, qos.newest())
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    info = bench.peer.create_publisher(CameraInfo, names.INPUT_INFO, qos.reliable(1))
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, 32:] = 200
    sent = convert.numpy_to_image(rgb, 'rgb8', stamp_ns=7_000_000_123, frame_id='lens')
    calibration = CameraInfo(
        width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
    )

    def send():
        info.publish(calibration)
        source.publish(sent)

    assert bench.until(lambda: images and jpegs and infos, each=send)
    got = convert.image_to_rgb(images[0])
    assert got.shape == (SIZE, SIZE, 3) and got[16, 8].max() == 0 and got[16, 24].min() == 200
    assert convert.stamp_to_ns(images[0].header.stamp) == 7_000_000_123
    assert images[0].header.frame_id == 'lens'
    assert np.abs(convert.compressed_to_rgb(jpegs[0]).astype(int) - got).max() < 20
    assert infos[0].width == SIZE and infos[0].k[0] == pytest.approx(50 * SIZE / 48)
    assert infos[0].k[2] == pytest.approx(SIZE / 2)


def test_camera_refuses_what_is_no_picture(bench):
    newest = diagnosed(bench, 'camera')
    node = bench.add(CameraNode, source='topic')
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    bad = Image(width=4, height=4, encoding='rgb8', step=12, data=array.array('B', bytes(5)))
    assert bench.until(
        lambda: node.health.counters['input refused'], each=lambda: source.publish(bad)
    )
    assert bench.until(lambda: newest()[0] in (1, 2))
    assert state(node) == 'active'


def test_camera_plays_a_file_and_says_when_it_ends(bench, tmp_path):
    path = str(tmp_path / 'clip.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 30, (64, 48))
    for _ in range(20):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    newest = diagnosed(bench, 'camera')
    images = bench.hear(Image, names.IMAGE, qos.newest())
    bench.add(CameraNode, source='file', file=path, width=SIZE, height=SIZE)
    assert bench.until(lambda: newest() == (2, f'{path} has ended'))
    assert images and convert.image_to_rgb(images[-1]).shape == (SIZE, SIZE, 3)


def test_camera_without_a_device_is_told(bench):
    newest = diagnosed(bench, 'camera')
    bench.add(CameraNode, wait=False, source='device', device='/dev/video99')
    assert bench.until(lambda: newest()[0] == 2)
    assert '/dev/video99 must be a V4L2 device or a video file' in newest()[1]
