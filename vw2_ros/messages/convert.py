# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS messages <-> numpy, without rclpy and without cv_bridge.

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

from vw2_ros.errors import InvalidValueError

NS_PER_S = 1_000_000_000

ENCODINGS = {
    'rgb8': (np.dtype(np.uint8), 3),
    'bgr8': (np.dtype(np.uint8), 3),
    'mono8': (np.dtype(np.uint8), 1),
    '16UC1': (np.dtype(np.uint16), 1),
    '32FC1': (np.dtype(np.float32), 1),
}
# A foreign message must not make us allocate without bound.
MAX_SIDE_PX = 8192
MAX_COMPRESSED_BYTES = 32 * 1024 * 1024
MAX_JOINTS = 256


class ConvertError(InvalidValueError):
    """A message that does not say what its type promises; the text is one clear reason."""


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
    H, W = int(msg.height), int(msg.width)
    if not (0 < H <= MAX_SIDE_PX and 0 < W <= MAX_SIDE_PX):
        raise ConvertError(
            f'image must measure 1 to {MAX_SIDE_PX} px on each side. Got {W} x {H}.'
        )
    row_bytes = W * channels * dtype.itemsize
    step = int(msg.step)
    if step < row_bytes:
        raise ConvertError(
            f'image step must be at least {row_bytes} bytes for {W} px of '
            f'{msg.encoding}. Got {step}.'
        )
    if len(msg.data) != step * H:
        raise ConvertError(
            f'image data must hold step x height = {step * H} bytes. Got {len(msg.data)}.'
        )
    rows = np.frombuffer(msg.data, np.uint8).reshape(H, step)  # (H, step)
    pixels = rows[:, :row_bytes].copy()  # (H, W * channels * itemsize)
    if dtype.itemsize > 1:
        sent = dtype.newbyteorder('>' if msg.is_bigendian else '<')
        pixels = pixels.view(sent).astype(dtype)
    return pixels.reshape(H, W, 3) if channels == 3 else pixels  # (H, W[, 3])


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
    """Camera image (rgb8, bgr8 or mono8) -> uint8 (H, W, 3), red first.

    Raises:
        ConvertError: as `image_to_numpy`, and for encodings that are no picture.
    """
    if msg.encoding not in ('rgb8', 'bgr8', 'mono8'):
        raise ConvertError(
            f'a camera image must be rgb8, bgr8 or mono8. Got {msg.encoding!r:.60}.'
        )
    pixels = image_to_numpy(msg)
    if msg.encoding == 'bgr8':
        return np.ascontiguousarray(pixels[:, :, ::-1])
    if msg.encoding == 'mono8':
        return np.repeat(pixels[:, :, None], 3, axis=2)  # (H, W, 3)
    return pixels


def image_to_depth(msg) -> np.ndarray:
    """Depth image (32FC1 [m] or 16UC1 [mm], REP-118) -> float32 (H, W) [m]; NaN, 0: unknown."""
    pixels = image_to_numpy(msg)
    if msg.encoding == '16UC1':
        return pixels.astype(np.float32) * np.float32(1e-3)
    if msg.encoding != '32FC1':
        raise ConvertError(f'a depth image must be 32FC1 or 16UC1. Got {msg.encoding!r:.60}.')
    return pixels


def compressed_to_rgb(msg) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg or png) -> uint8 (H, W, 3), red first.

    Raises:
        ConvertError: not a whole JPEG or PNG file, or larger than `MAX_SIDE_PX` a side.
    """
    data = bytes(msg.data)
    if not 0 < len(data) <= MAX_COMPRESSED_BYTES:
        raise ConvertError(
            f'compressed image must hold 1 to {MAX_COMPRESSED_BYTES} bytes. Got {len(data)}.'
        )
    if data.startswith(b'\xff\xd8'):
        size, whole = _jpeg_size(data), data.rstrip(b'\0').endswith(b'\xff\xd9')
    elif data.startswith(b'\x89PNG\r\n\x1a\n'):
        size, whole = _png_size(data), b'IEND' in data[-16:]
    else:
        raise ConvertError(
            f'compressed image must be a jpeg or png file. Got format '
            f'{msg.format!r:.60} starting with {data[:4].hex()}.'
        )
    # Decoders return half a picture for half a file: look before they do.
    if not whole or size is None:
        raise ConvertError(f'compressed image of {len(data)} bytes is cut off')
    if not all(0 < side <= MAX_SIDE_PX for side in size):
        raise ConvertError(
            f'image must measure 1 to {MAX_SIDE_PX} px on each side. Got {size[0]} x {size[1]}.'
        )
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ConvertError(f'compressed image cannot be decoded: {error.err}') from error
    if bgr is None:
        raise ConvertError(f'compressed image of {len(data)} bytes cannot be decoded')
    return np.ascontiguousarray(bgr[:, :, ::-1])


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
        raise ConvertError(f'cannot encode {rgb.shape} as {fmt}')
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
    """Joints in the order that was asked for; rad, rad/s, N m (m, m/s, N for the fingers)."""

    position: np.ndarray  # float64 (n,)
    velocity: np.ndarray | None  # float64 (n,), None if not sent
    stamp_ns: int


def joints_from_message(msg, names) -> Joints:
    """sensor_msgs/JointState -> the joints `names`, found by name, whatever their order.

    Raises:
        ConvertError: a wanted joint is missing or named twice, the lengths disagree, or a wanted
            value is not finite.
    """
    order = _order(msg.name, names)
    position = _pick('position', msg.position, len(msg.name), order)
    velocity = None
    if len(msg.velocity):
        velocity = _pick('velocity', msg.velocity, len(msg.name), order)
    return Joints(position, velocity, stamp_to_ns(msg.header.stamp))


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
    return Joints(position, None, stamp_to_ns(msg.header.stamp))


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


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24:
        return None
    return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the frame header (ITU T.81 B.2.2), None if there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return (
                int.from_bytes(data[at + 7 : at + 9], 'big'),
                int.from_bytes(data[at + 5 : at + 7], 'big'),
            )
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], 'big'))
    return None
