# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What cameras send -> pictures: uint8 (H, W, 3), red first. NumPy and OpenCV, no ROS.

| encoding (sensor_msgs/image_encodings)  | bytes of a pixel | here                                |
| --------------------------------------- | ---------------- | ----------------------------------- |
| rgb8, bgr8, 8UC3                        | 3                | 8UC3: blue first, as OpenCV and RViz |
| rgba8, bgra8, 8UC4                      | 4                | alpha is left out                   |
| mono8, 8UC1                             | 1                | grey                                |
| mono16, rgb16, bgr16, rgba16, bgra16    | 2 a channel      | 0..65535 -> 0..255, as cv_bridge    |
| yuv422 = uyvy, yuv422_yuy2 = yuyv       | 2                | BT.601, 16..235                     |
| nv12, nv21                              | 1.5              | as above; H rows of Y, H / 2 of UV  |
| bayer_{rggb,bggr,gbrg,grbg}{8,16}       | 1, 2             | bilinear                            |

Depth (one channel of 16 bits or more without a name, compressedDepth) is no picture and is refused.

A message is anything with the fields of sensor_msgs/Image or CompressedImage, from a node or from a
bag: both are read by this code, so that training sees what the robot will.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError

# A foreign message must not make us allocate without bound.
MAX_SIDE_PX = 8192
MAX_COMPRESSED_BYTES = 32 * 1024 * 1024
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
DEPTH = ('16UC1', '16SC1', '32SC1', '32FC1', '64FC1')
_TO_8_BITS = 255 / 65535


class ConvertError(InvalidValueError):
    """A message that does not say what its type promises; the text is one clear reason."""


@dataclass(frozen=True)
class Encoding:
    """How a picture lies in memory.

    Attributes:
        dtype: of a sample, uint8 or uint16. channels: samples of a pixel within a row.
        code: OpenCV's conversion to RGB; None: red, green, blue already.
        even: width and height are multiples of these.
        planes: rows of memory for a row of pixels, 1.5 with the chroma below the luma.
    """

    dtype: type
    channels: int
    code: int | None = None
    even: tuple[int, int] = (1, 1)
    planes: float = 1


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first two rows.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_UYVY = Encoding(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY, (2, 1))
_YUYV = Encoding(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2, (2, 1))
PICTURES = {
    'rgb8': Encoding(np.uint8, 3),
    'bgr8': Encoding(np.uint8, 3, cv2.COLOR_BGR2RGB),
    'rgba8': Encoding(np.uint8, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': Encoding(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': Encoding(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    'mono16': Encoding(np.uint16, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': Encoding(np.uint16, 3),
    'bgr16': Encoding(np.uint16, 3, cv2.COLOR_BGR2RGB),
    'rgba16': Encoding(np.uint16, 4, cv2.COLOR_RGBA2RGB),
    'bgra16': Encoding(np.uint16, 4, cv2.COLOR_BGRA2RGB),
    '8UC1': Encoding(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    '8UC3': Encoding(np.uint8, 3, cv2.COLOR_BGR2RGB),
    '8UC4': Encoding(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV12, (2, 2), 1.5),
    'nv21': Encoding(np.uint8, 1, cv2.COLOR_YUV2RGB_NV21, (2, 2), 1.5),
    **{
        f'bayer_{pattern}{bits}': Encoding(dtype, 1, code, (2, 2))
        for pattern, code in _BAYER.items()
        for bits, dtype in ((8, np.uint8), (16, np.uint16))
    },
}


# ------------------------------------------------------------------ raw images


def samples(message, dtype, channels: int, planes: float = 1) -> np.ndarray:
    """The samples of a sensor_msgs/Image, native (H * planes, W * channels), maybe its own memory.

    Honours `step` (rows may be padded) and `is_bigendian`.

    Raises:
        ConvertError: zero or absurd size, `step` too short, `data` too short or too long.
    """
    dtype = np.dtype(dtype)
    H, W = int(message.height), int(message.width)
    _check_size(W, H)
    row_bytes, step = W * channels * dtype.itemsize, int(message.step)
    if step < row_bytes:
        raise ConvertError(
            f'image step must be at least {row_bytes} bytes for {W} px of '
            f'{message.encoding}. Got {step}.'
        )
    rows = int(H * planes)
    if len(message.data) != step * rows:
        raise ConvertError(
            f'image data must hold step x {rows} rows = {step * rows} bytes. '
            f'Got {len(message.data)}.'
        )
    lines = np.frombuffer(message.data, np.uint8).reshape(rows, step)  # (H * planes, step)
    lines = lines[:, :row_bytes]
    if dtype.itemsize == 1:
        return lines
    sent = dtype.newbyteorder('>' if message.is_bigendian else '<')
    return np.ascontiguousarray(lines).view(sent).astype(dtype, copy=False)


def check_picture(encoding: str) -> None:
    """Refuse what is no picture.

    Raises:
        ConvertError: depth, or an unknown encoding.
    """
    if encoding in DEPTH:
        raise ConvertError(
            f'a camera image must be a picture. Got {encoding}, which is depth: take the topic of '
            'the colour camera.'
        )
    if encoding not in PICTURES:
        raise ConvertError(
            f'a camera image must be one of {", ".join(PICTURES)}. Got {encoding!r:.60}.'
        )


def pixels(message) -> np.ndarray:
    """The pixels of a sensor_msgs/Image of an encoding above, native (H * planes, W[, channels]).

    Raises:
        ConvertError: depth, an unknown encoding, an odd size where chroma or Bayer pairs want an
            even one, and as `samples`.
    """
    check_picture(message.encoding)
    known = PICTURES[message.encoding]
    W, H = int(message.width), int(message.height)
    if W % known.even[0] or H % known.even[1]:
        raise ConvertError(
            f'a {message.encoding} image must measure a multiple of {known.even[0]} x '
            f'{known.even[1]} px. Got {W} x {H}.'
        )
    flat = samples(message, known.dtype, known.channels, known.planes)
    if known.channels == 1:
        return flat
    return flat.reshape(len(flat), W, known.channels)  # (H, W * channels) -> (H, W, channels)


def image_to_rgb(message) -> np.ndarray:
    """sensor_msgs/Image of an encoding above -> uint8 (H, W, 3), red first, own memory.

    Raises:
        ConvertError: as `pixels`.
    """
    return _to_rgb(pixels(message), PICTURES[message.encoding].code)


def _to_rgb(picture: np.ndarray, code: int | None) -> np.ndarray:
    try:
        rgb = picture if code is None else cv2.cvtColor(np.ascontiguousarray(picture), code)
        if rgb.dtype == np.uint16:
            return cv2.convertScaleAbs(rgb, alpha=_TO_8_BITS)
    except cv2.error as error:
        raise ConvertError(f'image cannot be converted: {error.err}') from error
    return rgb.copy() if code is None else rgb


def _check_size(width: int, height: int) -> None:
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise ConvertError(
            f'image must measure 1 to {MAX_SIDE_PX} px on each side. Got {width} x {height}.'
        )


# ----------------------------------------------------------- compressed images


def compressed_to_rgb(message) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, or png of 8 or 16 bits) -> uint8 (H, W, 3), red first.

    `format` may be 'jpeg', 'png', or as compressed_image_transport writes it: '<encoding>; png
    compressed <order in the file>'. What that package's subscriber makes of it is made of it here:
    a file is red first where a coloured encoding is named and no 'compressed bgr', and a Bayer
    encoding without an order is still a mosaic.

    Raises:
        ConvertError: depth, not a whole JPEG or PNG file, or larger than `MAX_SIDE_PX` a side.
    """
    data, form = bytes(message.data), str(message.format)
    encoding, _, codec = (part.strip() for part in form.partition(';'))
    if encoding in DEPTH or 'compressedDepth' in form:
        raise _depth(f'format {form!r:.60}')
    picture, known = _decoded(data, form), PICTURES.get(encoding)
    if picture.ndim == 2:
        if picture.dtype == np.uint16 and (known is None or known.dtype != np.uint16):
            raise _depth(f'format {form!r:.60} with one channel of 16 bits')
        raw = encoding.startswith('bayer_') and codec.endswith('compressed') and known is not None
        return _to_rgb(picture, known.code if raw else cv2.COLOR_GRAY2RGB)
    coloured = encoding in PICTURES and encoding.startswith(('rgb', 'bgr'))
    if coloured and codec and 'compressed bgr' not in codec:
        return _to_rgb(np.ascontiguousarray(picture[:, :, :3]), None)
    return _to_rgb(picture, cv2.COLOR_BGR2RGB if picture.shape[2] == 3 else cv2.COLOR_BGRA2RGB)


def is_grey(message) -> bool:
    """Whether the pictures of a message that can be read have one channel."""
    if hasattr(message, 'encoding'):
        return message.encoding.startswith('mono') or message.encoding == '8UC1'
    encoding = str(message.format).partition(';')[0].strip()
    grey = _decoded(bytes(message.data), str(message.format)).ndim == 2
    return grey and not encoding.startswith('bayer_')


def _depth(what: str) -> ConvertError:
    return ConvertError(
        f'a compressed image must be a picture. Got {what}, which is depth: take the topic of the '
        'colour camera.'
    )


def check_whole(data: bytes) -> None:
    """Refuse a picture file of which a part is missing, or that would take too much memory.

    Decoders return half a picture for half a file: this looks before they do. Files of other kinds
    than JPEG, PNG and WebP are left to the decoder.

    Raises:
        ConvertError: cut off, empty, or larger than `MAX_SIDE_PX` a side.
    """
    if not 0 < len(data) <= MAX_COMPRESSED_BYTES:
        raise ConvertError(
            f'a compressed image must hold 1 to {MAX_COMPRESSED_BYTES} bytes. Got {len(data)}.'
        )
    if data.startswith(_JPEG):
        size, whole = _jpeg_size(data), _jpeg_is_whole(data)
    elif data.startswith(_PNG):
        size, whole = _png_size(data), b'IEND' in data[-4096:]
    elif data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        size, whole = (1, 1), len(data) >= 8 + int.from_bytes(data[4:8], 'little')
    else:
        return
    if not whole or size is None:
        raise ConvertError(f'a compressed image of {len(data)} bytes is cut off')
    _check_size(*size)


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the end marker is there; cameras and phones may put something behind it."""
    return data.rstrip(b'\0').endswith(b'\xff\xd9') or data.rfind(b'\xff\xd9') > data.rfind(
        b'\xff\xda'
    )


def _decoded(data: bytes, form: str) -> np.ndarray:
    """The pixels of a whole JPEG or PNG file as OpenCV orders them, (H, W) or (H, W, 3 or 4)."""
    if not data.startswith((_JPEG, _PNG)):
        raise ConvertError(
            f'compressed image must be a jpeg or png file. Got format '
            f'{form!r:.60} starting with {data[:4].hex()}.'
        )
    check_whole(data)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ConvertError(f'compressed image cannot be decoded: {error.err}') from error
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise ConvertError(f'compressed image of {len(data)} bytes cannot be decoded')
    return picture


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
