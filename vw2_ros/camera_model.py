# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""sensor_msgs/CameraInfo of the play table's cameras: ideal pinholes, no distortion. No rclpy."""

import array

from sensor_msgs.msg import CameraInfo

from vw2_ros.sim.cameras import get_camera

from . import convert


def camera_info(name: str, size: int, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Calibration of camera `name` for square pictures of `size` pixels.

    Raises:
        ValueError: an unknown camera.
    """
    K = get_camera(name).intrinsics(size, size)  # (3, 3)
    msg = CameraInfo()
    msg.header.stamp = convert.ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.width = msg.height = size
    msg.distortion_model = 'plumb_bob'
    msg.d = array.array('d', [0.0] * 5)
    msg.k = K.ravel()
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [*K[0], 0.0, *K[1], 0.0, *K[2], 0.0]
    return msg
