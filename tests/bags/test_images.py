# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Depth is never the camera, whatever its topic is called and however it is coded."""

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, T, header, image, write  # noqa: E402

from vw2_ros.bags.bag import Bag  # noqa: E402
from vw2_ros.bags.images import NoCameraError, cameras_of, choose_camera, image_topics  # noqa: E402

RGB = np.dstack([np.full((16, 24), v, np.uint8) for v in (200, 40, 10)])
DEEP = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 100


def raw(array, encoding):
    h, w = array.shape[:2]
    data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    kind = 'sensor_msgs/msg/Image'
    return kind, T[kind](header(START_S), h, w, encoding, 0, len(data) // h, data)


def packed(array, form, ending='.png'):
    kind = 'sensor_msgs/msg/CompressedImage'
    return kind, T[kind](header(START_S), form, cv2.imencode(ending, array)[1].reshape(-1))


DEPTH = {
    '16UC1': raw(DEEP, '16UC1'),
    '32FC1': raw(DEEP.astype(np.float32), '32FC1'),
    '64FC1': raw(DEEP.astype(np.float64), '64FC1'),
    '16SC1': raw(DEEP.astype(np.int16), '16SC1'),
    'png of 16UC1': packed(DEEP, '16UC1; png compressed '),
    'png, nobody says': packed(DEEP, 'png'),
    'compressedDepth': packed(DEEP, '16UC1; compressedDepth png'),
    'tiff of 32FC1': packed(DEEP.astype(np.float32), '32FC1; tiff compressed', '.tiff'),
    'grey, called depth': raw(DEEP.astype(np.uint8), 'mono8'),
    'mono16, called depth': raw(DEEP, 'mono16'),
    'damaged': ('sensor_msgs/msg/Image', image(START_S, RGB)[1]),
}
DEPTH['damaged'][1].data = np.zeros(7, np.uint8)


@pytest.mark.parametrize('what', DEPTH)
def test_depth_is_not_taken(tmp_path, what):
    colour = packed(RGB[..., ::-1], 'rgb8; jpeg compressed bgr8', '.jpg')
    topics = {'/a/depth': DEPTH[what], '/z/colour': colour}
    messages = [(START_S + i / 30, t, m) for i in range(3) for t, m in topics.items()]
    bag = Bag(write(tmp_path / 'bag', messages))
    assert choose_camera(bag) == '/z/colour'
    assert list(cameras_of(bag, image_topics(bag.topics))[1]) == ['/a/depth']


@pytest.mark.parametrize('what', [w for w in DEPTH if 'called' not in w])
def test_depth_alone_is_told(tmp_path, what):
    bag = Bag(write(tmp_path / 'bag', [(START_S, '/a/depth', DEPTH[what])]))
    with pytest.raises(NoCameraError, match='no images; /a/depth: '):
        choose_camera(bag)
    with pytest.raises(NoCameraError, match='no image topic /a/depth; /a/depth: '):
        choose_camera(bag, ['/a/depth'])


def test_colour_before_grey_and_a_damaged_first_image(tmp_path):
    bad = image(START_S, RGB)
    bad[1].data = np.zeros(7, np.uint8)
    messages = [(START_S + i, '/a/infra', raw(RGB[..., 0], 'mono8')) for i in range(3)]
    messages += [(START_S, '/b/colour', bad), (START_S + 1, '/b/colour', image(START_S + 1, RGB))]
    bag = Bag(write(tmp_path / 'bag', messages))
    assert cameras_of(bag, image_topics(bag.topics)) == (['/b/colour', '/a/infra'], {})
    assert choose_camera(bag, ['/a/infra']) == '/a/infra'
