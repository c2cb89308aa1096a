# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A camera's message gives a policy the same picture live and from a bag, to the byte.

Live, ROS reads the message, the camera node makes image_raw of it, and the planner's node a picture. A
bag of the same message is written by rosbags, in either storage, and converted.
"""

import functools
import zlib
from unittest import mock

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')
from bag_files import START_S, STORE, Motion, T, header, write  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from vw2_ros.bags.bag import Bag  # noqa: E402
from vw2_ros.bags.images import COMPRESSED, IMAGE, choose_camera  # noqa: E402
from vw2_ros.cameras.frames import Fit  # noqa: E402
from vw2_ros.encodings import PICTURES  # noqa: E402
from vw2_ros.messages import convert  # noqa: E402
from vw2_ros.models.data.pictures import KEPT_PX, resize_area  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.nodes.camera import CameraNode  # noqa: E402
from vw2_ros.recording.convert import convert_bags, kept_pictures  # noqa: E402

LARGE, SMALL = (204, 212), (98, 102)  # than frames are kept; both are larger than what is seen
SIDE_PX = 96  # of what the policy sees
# format of a compressed image -> channels and type of the file
FILES = {
    'jpeg': (3, np.uint8),
    'png': (3, np.uint8),
    'rgb8; jpeg compressed bgr8': (3, np.uint8),
    'bgr8; png compressed bgr8': (3, np.uint8),
    'rgb8; png compressed rgb8': (3, np.uint8),
    'bgra8; png compressed ': (4, np.uint8),
    'rgb16; png compressed bgr16': (3, np.uint16),
    'mono8; jpeg compressed mono8': (1, np.uint8),
    'mono16; png compressed ': (1, np.uint16),
    'bayer_gbrg8; png compressed ': (1, np.uint8),
}
ALL = [*PICTURES, *FILES]


def message(form, number, size):
    """(type, message) of an encoding or a format; no two numbers look alike."""
    rng = np.random.default_rng([number, zlib.crc32(form.encode())])
    at, (H, W) = header(START_S + number / 30), size
    if form in FILES:
        channels, dtype = FILES[form]
        pixels = rng.integers(0, np.iinfo(dtype).max, (H, W, channels), dtype, endpoint=True)
        ending = '.jpg' if 'jpeg' in form else '.png'
        return COMPRESSED, T[COMPRESSED](at, form, cv2.imencode(ending, pixels)[1].reshape(-1))
    known, pad = PICTURES[form], number % 3
    step = W * known.channels * np.dtype(known.dtype).itemsize + pad
    data = rng.integers(0, 255, step * int(H * known.planes), np.uint8, endpoint=True)
    return IMAGE, T[IMAGE](at, H, W, form, number % 2, step, data)


def live(kind, sent):
    """What the policy sees of a message that comes now."""
    data = STORE.serialize_cdr(sent, kind)
    heard = deserialize_message(bytes(data), CompressedImage if kind == COMPRESSED else Image)
    published = []
    node = mock.Mock(fit=Fit(size=(SIDE_PX, SIDE_PX)), compressed_out=None, info=None)
    node.config.frame_id = 'camera'
    node.images_out.publish = published.append
    node._publish = functools.partial(CameraNode._publish, node)
    CameraNode._forward(node, None, heard)
    return convert.any_image_to_rgb(published[0])


def same(folder, form, numbers, size):
    """Compare the pictures of some messages, live and from a bag."""
    sent = {i: message(form, i, size) for i in numbers}
    storage = ('mcap', 'sqlite3')[numbers[0] // len(numbers) % 2]
    messages = [(START_S + i / 30, '/camera', told) for i, told in sent.items()]
    bag = Bag(write(folder / 'bag', messages, storage))
    found = dict(kept_pictures(bag, choose_camera(bag), set(range(len(sent)))))
    assert len(found) == len(sent) and found[0].shape[0] == min(KEPT_PX, *size)
    for picture, told in zip(found.values(), sent.values(), strict=True):
        # as `read_shard` and all other readers of data sets
        assert resize_area(picture, SIDE_PX).tobytes() == live(*told).tobytes(), form


@pytest.mark.parametrize('form', ALL)
def test_live_and_bag_are_the_same(tmp_path, form):
    same(tmp_path / '0', form, range(10), LARGE)
    same(tmp_path / '1', form, range(10, 20), SMALL)


@pytest.mark.slow
@pytest.mark.parametrize('form', ALL)
def test_1000_frames_are_the_same(tmp_path, form):
    import shutil

    for first in range(0, 1000, 50):
        same(tmp_path / 'part', form, range(first, first + 50), SMALL if first else LARGE)
        shutil.rmtree(tmp_path / 'part')


def test_what_is_learned_from_a_bag_is_what_is_seen_live(tmp_path):
    """Through `vw2 convert` and the frames that training reads."""
    messages, seen, number = [], set(), 0
    for at, topic, told in Motion(joint_hz=30).messages():
        if topic == '/image_raw':
            told = message('bayer_rggb8', number, LARGE)
            seen.add(live(*told).tobytes())
            number += 1
        messages.append((at, topic, told))
    convert_bags([write(tmp_path / 'bag', messages)], tmp_path / 'data', progress=False)
    store = FrameStore([tmp_path / 'data'], size=SIDE_PX)
    learned = {rgb.tobytes() for rgb in store.rgb(np.arange(len(store)))}
    assert len(learned) >= 50 and learned <= seen
