# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS messages <-> numpy, without rclpy. Pictures of any camera: `vw2_ros.encodings`.

What the nodes write themselves:

| encoding | numpy                  | meaning here                            |
| -------- | ---------------------- | --------------------------------------- |
| rgb8     | uint8   (H, W, 3)      | camera image, red first                 |
| bgr8     | uint8   (H, W, 3)      | camera image, blue first                |
| mono8    | uint8   (H, W)         | grey image                              |
| 16UC1    | uint16  (H, W)         | depth [mm], or the codes of a plan      |
| 32FC1    | float32 (H, W)         | depth [m], or the hidden states of a plan |

Everything that a foreign node may have got wrong raises `ConvertError` with one sentence that says
what was wanted and what came. `data` and all sequences are written as `array.array`: the only form
that is quick in Jazzy and accepted under Humble's field checks.
"""

import array
import math
import sys
from dataclasses import dataclass

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vw2_ros import encodings
from vw2_ros.encodings import ConvertError, compressed_to_rgb, samples
from vw2_ros.messages import bridge

NS_PER_S = 1_000_000_000

ENCODINGS = {
    'rgb8': (np.dtype(np.uint8), 3),
    'bgr8': (np.dtype(np.uint8), 3),
    'mono8': (np.dtype(np.uint8), 1),
    '16UC1': (np.dtype(np.uint16), 1),
    '32FC1': (np.dtype(np.float32), 1),
}
MAX_PIXELS = 1e6  # in a calibration
MAX_JOINTS = 256  # a foreign message must not make us allocate without bound


# ---------------------------------------------------------------- time stamps


def stamp_to_ns(stamp) -> int:
    """builtin_interfaces/Time -> nanoseconds since the epoch of its clock.

    Raises:
        ConvertError: if the nanoseconds are not in [0, 1e9) or the seconds negative.
    """
    if stamp.sec < 0 or not 0 <= stamp.nanosec < NS_PER_S:
        raise ConvertError(
            f'stamp must have sec >= 0 and nanosec < 1e9. Got {stamp.sec} s {stamp.nanosec} ns.'
        )
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Nanoseconds (>= 0) -> builtin_interfaces/Time."""
    sec, nanosec = divmod(int(stamp_ns), NS_PER_S)
    if not 0 <= sec < 2**31:
        raise ConvertError(f'a stamp must lie within 0 and 2^31 s. Got {stamp_ns} ns.')
    return Time(sec=sec, nanosec=nanosec)


# --------------------------------------------------------------------- images


def image_to_numpy(msg) -> np.ndarray:
    """sensor_msgs/Image -> array in the shape and type of the table above, own memory.

    Honours `step` (rows may be padded) and `is_bigendian`; channels stay in the message's order.

    Raises:
        ConvertError: unknown encoding, zero or absurd size, `step` or `data` too short or long.
    """
    if msg.encoding not in ENCODINGS:
        raise ConvertError(
            f'image encoding must be one of {", ".join(ENCODINGS)}. Got {msg.encoding!r:.60}.'
        )
    dtype, channels = ENCODINGS[msg.encoding]
    pixels = samples(msg, dtype, channels).copy()  # (H, W * channels)
    return pixels.reshape(len(pixels), -1, 3) if channels == 3 else pixels  # (H, W[, 3])


def numpy_to_image(pixels, encoding: str, *, stamp_ns: int = 0, frame_id: str = '') -> Image:
    """Array of the table above -> sensor_msgs/Image, tightly packed, in the machine's byte order.

    Raises:
        ConvertError: if the array's shape or type is not the encoding's.
    """
    if encoding not in ENCODINGS:
        raise ConvertError(
            f'image encoding must be one of {", ".join(ENCODINGS)}. Got {encoding!r:.60}.'
        )
    dtype, channels = ENCODINGS[encoding]
    pixels = np.ascontiguousarray(pixels)
    wanted = '(H, W, 3)' if channels == 3 else '(H, W)'
    good_shape = (
        pixels.ndim == (3 if channels == 3 else 2)
        and pixels.size > 0
        and (channels == 1 or pixels.shape[2] == 3)
    )
    if pixels.dtype != dtype or not good_shape:
        raise ConvertError(
            f'{encoding} must be {dtype} {wanted}. Got {pixels.dtype} {pixels.shape}.'
        )
    msg = Image()
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == 'big')
    msg.step = pixels.shape[1] * channels * dtype.itemsize
    msg.data = _array('B', pixels)
    return msg


def image_to_rgb(msg) -> np.ndarray:
    """Camera image of any encoding of `vw2_ros.encodings` -> uint8 (H, W, 3), red first.

    By cv_bridge where it works and knows the encoding; it gives the same.

    Raises:
        ConvertError: as `encodings.image_to_rgb`.
    """
    return bridge.image_to_rgb(msg) if bridge.knows(msg) else encodings.image_to_rgb(msg)


def image_to_depth(msg) -> np.ndarray:
    """Depth image (32FC1 [m] or 16UC1 [mm], REP-118) -> float32 (H, W) [m]; NaN, 0: unknown."""
    pixels = image_to_numpy(msg)
    if msg.encoding == '16UC1':
        return pixels.astype(np.float32) * np.float32(1e-3)
    if msg.encoding != '32FC1':
        raise ConvertError(f'a depth image must be 32FC1 or 16UC1. Got {msg.encoding!r:.60}.')
    return pixels


def rgb_to_compressed(
    rgb, fmt: str = 'jpeg', *, quality: int = 90, stamp_ns: int = 0, frame_id: str = ''
) -> CompressedImage:
    """uint8 (H, W, 3), red first -> sensor_msgs/CompressedImage; `fmt` is 'jpeg' or 'png'.

    Raises:
        ConvertError: another format, type or shape.
    """
    rgb = np.asarray(rgb)
    if fmt not in ('jpeg', 'png'):
        raise ConvertError(f"format must be 'jpeg' or 'png'. Got {fmt!r:.60}.")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ConvertError(f'a picture must be uint8 (H, W, 3). Got {rgb.dtype} {rgb.shape}.')
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if fmt == 'jpeg' else []
    done, data = cv2.imencode(
        '.jpg' if fmt == 'jpeg' else '.png', np.ascontiguousarray(rgb[:, :, ::-1]), options
    )
    if not done:
        raise ConvertError(f'a picture must be one that {fmt} can hold. Got {rgb.shape}.')
    msg = CompressedImage()
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.format = fmt
    msg.data = _array('B', data)
    return msg


def any_image_to_rgb(msg) -> np.ndarray:
    """Image or CompressedImage -> uint8 (H, W, 3), red first."""
    return compressed_to_rgb(msg) if hasattr(msg, 'format') else image_to_rgb(msg)


# --------------------------------------------------------------------- joints


@dataclass(frozen=True)
class Joints:
    """Joints in the order that was asked for; rad (m for the fingers)."""

    position: np.ndarray  # float64 (n,)
    stamp_ns: int


def joints_from_message(msg, names) -> Joints:
    """sensor_msgs/JointState -> the joints `names`, found by name, whatever their order.

    Only positions are read: velocities and efforts are not judged.

    Raises:
        ConvertError: a wanted joint is missing or named twice, the lengths disagree, or a wanted
            value is not finite.
    """
    order = _order(msg.name, names)
    position = _pick('position', msg.position, len(msg.name), order)
    return Joints(position, stamp_to_ns(msg.header.stamp))


def joints_to_message(
    names, position, velocity=None, *, stamp_ns: int = 0, frame_id: str = ''
) -> JointState:
    """Joint names, positions [rad or m] and velocities -> sensor_msgs/JointState."""
    msg = JointState()
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.name = list(names)
    msg.position = _doubles('position', position, len(msg.name))
    if velocity is not None:
        msg.velocity = _doubles('velocity', velocity, len(msg.name))
    return msg


def trajectory_to_message(
    names, position, *, stamp_ns: int = 0, after_s: float = 0.0, frame_id: str = ''
) -> JointTrajectory:
    """One joint target, to be reached `after_s` seconds after the stamp -> JointTrajectory."""
    msg = JointTrajectory()
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.joint_names = list(names)
    point = JointTrajectoryPoint()
    point.positions = _doubles('position', position, len(msg.joint_names))
    after_ns = round(after_s * NS_PER_S)
    point.time_from_start.sec, point.time_from_start.nanosec = divmod(after_ns, NS_PER_S)
    msg.points = [point]
    return msg


def trajectory_from_message(msg, names) -> Joints:
    """JointTrajectory -> the last point's positions of the joints `names`, found by name.

    Raises:
        ConvertError: as `joints_from_message`, and for a trajectory without points.
    """
    if not len(msg.points):
        raise ConvertError('joint trajectory must have at least one point. Got none.')
    order = _order(msg.joint_names, names)
    position = _pick('position', msg.points[-1].positions, len(msg.joint_names), order)
    return Joints(position, stamp_to_ns(msg.header.stamp))


def check_camera_info(msg) -> None:
    """Refuse a calibration that is no number; zeros say that a camera is not calibrated.

    Raises:
        ConvertError: NaN, infinity or more than `MAX_PIXELS` pixels in k, d or r.
    """
    for name in 'kdr':
        values = [float(v) for v in getattr(msg, name)[:16]]
        if not all(abs(v) <= MAX_PIXELS for v in values):  # NaN is not, either
            raise ConvertError(
                f'camera_info: {name} must be numbers within {MAX_PIXELS:g}. Got {values!s:.200}.'
            )


def floats_to_message(values) -> Float64MultiArray:
    """(n,) numbers -> std_msgs/Float64MultiArray (forward_command_controller's `commands`)."""
    msg = Float64MultiArray()
    msg.data = _doubles('data', values, len(values))
    return msg


def floats_from_message(msg, size: int) -> np.ndarray:
    """std_msgs/Float64MultiArray -> float64 (size,), finite.

    Raises:
        ConvertError: another length, or a value that is not finite.
    """
    if len(msg.data) != size:
        raise ConvertError(f'array must hold {size} numbers. Got {len(msg.data)}.')
    return _pick('data', msg.data, size, range(size))


# -------------------------------------------------------------------- helpers


def _array(code: str, values: np.ndarray) -> array.array:
    filled = array.array(code)
    filled.frombytes(memoryview(np.ascontiguousarray(values)).cast('B'))
    return filled


def _doubles(what: str, values, count: int) -> array.array:
    values = np.asarray(values, np.float64)
    if values.shape != (count,):
        raise ConvertError(f'{what} must hold {count} numbers. Got shape {values.shape}.')
    return _array('d', values)


def _order(sent, wanted) -> list[int]:
    if len(sent) > MAX_JOINTS:
        raise ConvertError(f'at most {MAX_JOINTS} joints are read. Got {len(sent)}.')
    index = {name: i for i, name in enumerate(sent)}
    if len(index) != len(sent):
        raise ConvertError('joint names must differ. Got one twice.')
    missing = [name for name in wanted if name not in index]
    if missing:
        raise ConvertError(
            f'joints must hold {", ".join(missing)}. Got {", ".join(map(str, sent))!s:.200}.'
        )
    return [index[name] for name in wanted]


def _pick(what: str, values, count: int, order) -> np.ndarray:
    if len(values) != count:
        raise ConvertError(f'{what} must hold one number per name ({count}). Got {len(values)}.')
    picked = np.array([values[i] for i in order], np.float64)  # (n,)
    if not all(map(math.isfinite, picked)):
        raise ConvertError(f'{what} must be finite. Got {picked.tolist()!s:.200}.')
    return picked
