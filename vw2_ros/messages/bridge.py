# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""cv_bridge, where it is installed and works: it breaks under NumPy 2, sometimes by a crash.

So that is tried in a child process first, once, with the conversions that matter here.
"""

import functools
import importlib.util
import subprocess
import sys

import numpy as np

from vw2_ros.encodings import ConvertError, pixels

# what cv_bridge of every release converts to rgb8 by itself
KNOWN = {
    *('rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'yuv422', 'yuv422_yuy2'),
    *(f'bayer_{pattern}8' for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')),
}
PROBE_S = 20.0
_PROBE = """
import array
import cv_bridge
from sensor_msgs.msg import Image
for encoding, size in (('rgb8', 3), ('bayer_rggb8', 1), ('yuv422', 2)):
    data = array.array('B', bytes(16 * size))
    image = Image(height=4, width=4, encoding=encoding, step=4 * size, data=data)
    assert cv_bridge.CvBridge().imgmsg_to_cv2(image, 'rgb8').shape == (4, 4, 3)
"""


@functools.cache
def works() -> bool:
    """Whether cv_bridge is installed and converts; takes a second the first time, where it is."""
    if importlib.util.find_spec('cv_bridge') is None:
        return False
    try:
        done = subprocess.run(
            [sys.executable, '-c', _PROBE], capture_output=True, timeout=PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def knows(message) -> bool:
    """Whether cv_bridge is to convert this sensor_msgs/Image."""
    return message.encoding in KNOWN and works()


def image_to_rgb(message) -> np.ndarray:
    """sensor_msgs/Image of one of `KNOWN` -> uint8 (H, W, 3), red first, by cv_bridge.

    Raises:
        ConvertError: as `encodings.pixels`, or cv_bridge refuses it.
    """
    pixels(message)  # cv_bridge does not refuse all that is wrong
    try:
        rgb = _bridge().imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:  # a CvBridgeError, or what its C++ part raised
        raise ConvertError(
            f'image must be one that cv_bridge takes. Got {message.encoding}: {error!s:.200}.'
        ) from error
    return np.array(rgb, np.uint8)


@functools.cache
def _bridge():
    from cv_bridge import CvBridge  # only where `works`

    return CvBridge()
