# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Pictures of every encoding, each against what it was made from, and what is refused.

The oracles are the picture itself (RGB of some order, alpha, grey, 16 bits), a mosaic that is cut
from it here (Bayer), BT.601 written out (YUV), and cv_bridge where it works.
"""

import array
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from vw2_ros import encodings  # noqa: E402
from vw2_ros.encodings import PICTURES, ConvertError, compressed_to_rgb  # noqa: E402
from vw2_ros.messages import bridge, convert  # noqa: E402

H, W = 24, 32


def scene():
    """A smooth picture whose channels differ: uint8 (H, W, 3), red first."""
    y, x = np.mgrid[:H, :W]
    return np.stack([60 + 5 * x, 200 - 4 * y, 20 + 2 * x + y], axis=2).astype(np.uint8)


def yuv():
    """Y (H, W), U and V (H / 2, W / 2) of smooth colours."""
    y, x = np.mgrid[:H, :W]
    v, u = np.mgrid[: H // 2, : W // 2]
    return (
        (40 + 4 * x + 2 * y).astype(np.uint8),
        (60 + 6 * u).astype(np.uint8),
        (200 - 8 * v).astype(np.uint8),
    )


def bt601(Y, U, V):
    """ITU-R BT.601, studio range, written out: uint8 (H, W, 3)."""
    Y, U, V = (np.asarray(a, float) for a in (Y, U, V))
    Y, U, V = 255 / 219 * (Y - 16), U - 128, V - 128
    R = Y + 255 / 224 * 1.402 * V
    B = Y + 255 / 224 * 1.772 * U
    G = Y - 255 / 224 * (1.772 * 0.114 / 0.587 * U + 1.402 * 0.299 / 0.587 * V)
    return np.clip(np.rint(np.stack([R, G, B], axis=2)), 0, 255).astype(np.uint8)


def packed(order):
    """Y, U, V of 4:2:2 in memory, in the order of e.g. 'uyvy', and what it shows."""
    Y, U, V = yuv()
    U, V = U.repeat(2, axis=0), V.repeat(2, axis=0)  # (H, W / 2)
    parts = {'u': U, 'v': V}
    out = np.zeros((H, W // 2, 4), np.uint8)
    for at, letter in enumerate(order):
        luma = Y[:, 0::2] if order[:at].count('y') == 0 else Y[:, 1::2]
        out[:, :, at] = luma if letter == 'y' else parts[letter]
    return out.reshape(H, W * 2), bt601(Y, U.repeat(2, axis=1), V.repeat(2, axis=1))


def planar(first, second):
    """Luma, and below it the chroma of 4:2:0, interleaved; and what it shows."""
    Y, U, V = yuv()
    parts = {'u': U, 'v': V}
    chroma = np.stack([parts[first], parts[second]], axis=2).reshape(H // 2, W)
    U, V = (a.repeat(2, axis=0).repeat(2, axis=1) for a in (U, V))
    return np.concatenate([Y, chroma]), bt601(Y, U, V)


def mosaic(pattern, bits):
    """What a sensor with this colour filter sees of the scene: its first two rows' colours."""
    rgb = scene().astype(np.uint16) * (257 if bits == 16 else 1)
    colour = {'r': 0, 'g': 1, 'b': 2}
    out = np.zeros((H, W), np.uint16 if bits == 16 else np.uint8)
    for i, letter in enumerate(pattern):
        rows, columns = slice(i // 2, None, 2), slice(i % 2, None, 2)
        out[rows, columns] = rgb[rows, columns, colour[letter]]
    return out, scene()


def wide(pixels):
    return pixels.astype(np.uint16) * 257


def table():
    """Encoding -> (bytes in memory, the picture, by how much a value may differ inside)."""
    rgb = scene()
    alpha = np.full((H, W, 1), 7, np.uint8)
    rgba, bgra = np.concatenate([rgb, alpha], 2), np.concatenate([rgb[:, :, ::-1], alpha], 2)
    grey = rgb[:, :, 1]
    same = np.stack([grey] * 3, axis=2)
    uyvy, yuyv = packed('uyvy'), packed('yuyv')
    out = {
        'rgb8': (rgb, rgb, 0),
        'bgr8': (rgb[:, :, ::-1], rgb, 0),
        'rgba8': (rgba, rgb, 0),
        'bgra8': (bgra, rgb, 0),
        'mono8': (grey, same, 0),
        'mono16': (wide(grey), same, 0),
        'rgb16': (wide(rgb), rgb, 0),
        'bgr16': (wide(rgb[:, :, ::-1]), rgb, 0),
        'rgba16': (wide(rgba), rgb, 0),
        'bgra16': (wide(bgra), rgb, 0),
        '8UC1': (grey, same, 0),
        '8UC3': (rgb[:, :, ::-1], rgb, 0),
        '8UC4': (bgra, rgb, 0),
        'yuv422': (*uyvy, 2),
        'uyvy': (*uyvy, 2),
        'yuv422_yuy2': (*yuyv, 2),
        'yuyv': (*yuyv, 2),
        'nv12': (*planar('u', 'v'), 2),
        'nv21': (*planar('v', 'u'), 2),
    }
    for pattern in ('rggb', 'bggr', 'gbrg', 'grbg'):
        for bits in (8, 16):
            out[f'bayer_{pattern}{bits}'] = (*mosaic(pattern, bits), 2)
    return out


TABLE = table()


def message(encoding, memory, *, pad=0, big=False):
    """A sensor_msgs/Image with rows padded by so many bytes."""
    dtype = memory.dtype.newbyteorder('>' if big else '<')
    rows = np.ascontiguousarray(memory.astype(dtype)).reshape(len(memory), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=77)
    return Image(
        height=H,
        width=W,
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=int(big),
        data=array.array('B', rows.tobytes()),
    )


def differs(got, want):
    """The largest difference, without the rim, where a mosaic is not interpolated."""
    return np.abs(got.astype(int) - want)[2:-2, 2:-2].max()


def test_every_encoding_is_in_the_table():
    assert set(TABLE) == set(PICTURES) and len(TABLE) >= 15


@pytest.mark.parametrize('pad, big', [(0, False), (5, False), (0, True), (3, True)])
@pytest.mark.parametrize('encoding', PICTURES)
def test_picture_is_what_the_camera_saw(encoding, pad, big):
    memory, want, tolerance = TABLE[encoding]
    msg = message(encoding, memory, pad=pad, big=big)
    got = convert.any_image_to_rgb(msg)
    assert got.shape == (H, W, 3) and got.dtype == np.uint8 and got.flags.c_contiguous
    assert differs(got, want) <= tolerance
    before = bytes(msg.data)
    got[:] = 0  # its own memory
    assert bytes(msg.data) == before


def test_full_range_of_16_bits():
    values = np.array([[0, 128, 65535, 32896]] * 2, np.uint16)
    msg = message('mono16', np.tile(values, (H // 2, W // 4)))
    assert convert.image_to_rgb(msg)[0, :4, 0].tolist() == [0, 0, 255, 128]


@pytest.mark.parametrize('encoding', PICTURES)
@pytest.mark.parametrize(
    'spoil, reason',
    [
        (lambda m: setattr(m, 'data', m.data[:-1]), 'data must hold'),
        (lambda m: setattr(m, 'data', m.data[:0]), 'data must hold'),
        (lambda m: setattr(m, 'data', array.array('B', bytes(m.data) * 2)), 'data must hold'),
        (lambda m: setattr(m, 'step', m.step - 1), 'step must be at least'),
        (lambda m: setattr(m, 'step', m.step + 1), 'data must hold'),
        (lambda m: setattr(m, 'step', 2**32 - 1), 'data must hold'),
        (lambda m: setattr(m, 'width', 0), 'image must measure'),
        (lambda m: setattr(m, 'height', 2**32 - 2), 'image must measure'),
    ],
)
def test_malformed_pictures(encoding, spoil, reason):
    msg = message(encoding, TABLE[encoding][0])
    spoil(msg)
    with pytest.raises(ConvertError, match=reason) as caught:
        convert.image_to_rgb(msg)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('encoding', ['uyvy', 'yuyv', 'nv12', 'nv21', 'bayer_rggb8'])
def test_odd_sizes(encoding):
    msg = message(encoding, TABLE[encoding][0])
    msg.width -= 1
    with pytest.raises(ConvertError, match=f'a {encoding} image must measure a multiple of 2'):
        convert.image_to_rgb(msg)


@pytest.mark.parametrize('encoding', ['nv12', 'bayer_grbg16', 'mono8', 'rgb8', 'uyvy'])
def test_smallest_picture(encoding):
    memory = np.zeros((3, 2) if encoding == 'nv12' else (2, 2 * PICTURES[encoding].channels))
    msg = message(encoding, memory.astype(PICTURES[encoding].dtype))
    msg.height = msg.width = 2
    try:
        assert convert.image_to_rgb(msg).shape == (2, 2, 3)
    except ConvertError as error:  # OpenCV interpolates no mosaic that small
        assert encoding.startswith('bayer'), error


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_depth_is_no_picture(encoding):
    depth = np.ones((H, W), np.uint16 if encoding == '16UC1' else np.float32)
    msg = convert.numpy_to_image(depth, encoding)
    with pytest.raises(ConvertError, match=f'Got {encoding}, which is depth'):
        convert.image_to_rgb(msg)
    np.testing.assert_array_equal(convert.image_to_numpy(msg), depth)  # codes go by this


@pytest.mark.parametrize('encoding', ['', 'RGB8', 'yuv420', 'x' * 300])
def test_unknown_encoding(encoding):
    msg = message('rgb8', TABLE['rgb8'][0])
    msg.encoding = encoding
    with pytest.raises(ConvertError, match='must be one of rgb8, bgr8') as caught:
        convert.image_to_rgb(msg)
    assert len(str(caught.value)) < 600


# ----------------------------------------------------------- compressed images


def compressed(form, pixels):
    """A file of pixels in OpenCV's order, with a format as the message bears it."""
    done, data = cv2.imencode('.jpg' if 'jp' in form else '.png', pixels)
    assert done
    return CompressedImage(format=form, data=array.array('B', data.tobytes()))


def noise(side):
    return np.random.default_rng(4).integers(0, 256, (side, side, 3), dtype=np.uint8)


BGR = np.ascontiguousarray(scene()[:, :, ::-1])


@pytest.mark.parametrize(
    'form, pixels',
    [
        ('jpeg', BGR),
        ('png', BGR),
        ('jpg', BGR),
        ('', BGR),
        # as compressed_image_transport writes them
        ('rgb8; jpeg compressed bgr8', BGR),
        ('bgr8; jpeg compressed bgr8', BGR),
        ('bgra8; jpeg compressed bgr8', BGR),
        ('yuv422; jpeg compressed bgr8', BGR),
        ('rgb8; png compressed bgr8', BGR),
        ('rgb16; png compressed bgr16', wide(BGR)),
        ('bgra8; png compressed ', np.concatenate([scene(), scene()[:, :, :1]], 2)),
        # red is first in the file where it does not say bgr
        ('rgb8; jpeg compressed ', scene()),
        ('rgb8; png compressed rgb8', scene()),
        ('bayer_rggb8; png compressed ', mosaic('rggb', 8)[0]),
        ('bayer_gbrg16; png compressed ', mosaic('gbrg', 16)[0]),
    ],
)
def test_compressed_picture(form, pixels):
    got = compressed_to_rgb(compressed(form, pixels))
    assert differs(got, scene()) <= (8 if 'png' not in form else 2)


@pytest.mark.parametrize(
    'form, pixels',
    [
        ('mono8; jpeg compressed mono8', scene()[:, :, 1]),
        ('mono8; png compressed ', scene()[:, :, 1]),
        ('mono16; png compressed ', wide(scene()[:, :, 1])),
        ('bayer_rggb8; jpeg compressed mono8', scene()[:, :, 1]),  # was made grey by the sender
        ('png', scene()[:, :, 1]),
    ],
)
def test_compressed_grey(form, pixels):
    got = compressed_to_rgb(compressed(form, pixels))
    assert differs(got, scene()[:, :, 1:2].repeat(3, axis=2)) <= (8 if 'jpeg' in form else 0)


@pytest.mark.parametrize(
    'form',
    [
        '16UC1; compressedDepth',
        '16UC1; compressedDepth png',
        '16UC1; compressedDepth rvl',
        '32FC1; compressedDepth png',
        '16UC1; png compressed ',
        'png',  # one channel of 16 bits that nobody calls grey
        'rgb8; png compressed bgr8',
    ],
)
def test_compressed_depth_is_no_picture(form):
    with pytest.raises(ConvertError, match='which is depth: take the topic of the colour camera'):
        compressed_to_rgb(compressed(form, np.full((H, W), 1500, np.uint16)))


@pytest.mark.parametrize('fmt', ['png', 'jpeg'])
@pytest.mark.parametrize('keep', [3, 12, 40, 0.5, 0.99])
def test_cut_off_compressed_image(fmt, keep):
    msg = convert.rgb_to_compressed(noise(64), fmt)
    size = keep if isinstance(keep, int) else int(keep * len(msg.data))
    msg.data = msg.data[:size]
    with pytest.raises(ConvertError):
        compressed_to_rgb(msg)


def test_compressed_image_that_claims_a_huge_size():
    msg = convert.rgb_to_compressed(np.zeros((8, 8, 3), np.uint8), 'png')
    data = bytearray(msg.data)
    data[16:20] = (100_000).to_bytes(4, 'big')
    msg.data = array.array('B', data)
    with pytest.raises(ConvertError, match='100000 x 8'):
        compressed_to_rgb(msg)


# ------------------------------------------------------------------- cv_bridge


def test_against_cv_bridge():
    pytest.importorskip('cv_bridge')
    if not bridge.works():
        pytest.skip('cv_bridge is installed and does not work')
    for encoding in sorted(bridge.KNOWN):
        memory = TABLE[encoding][0]
        for pad in (0, 4):
            msg = message(encoding, memory, pad=pad)
            theirs, ours = bridge.image_to_rgb(msg), encodings.image_to_rgb(msg)
            np.testing.assert_array_equal(theirs, ours, err_msg=encoding)


@pytest.mark.parametrize(
    'body, used',
    [
        ('import numpy\nclass CvBridge:\n    imgmsg_to_cv2 = lambda *_: numpy.ones((4, 4, 3))', 1),
        ('raise ImportError("numpy.core.multiarray failed to import")', 0),
        ('import os\nos.abort()', 0),  # what a library built for another NumPy may do
        ('class CvBridge:\n    imgmsg_to_cv2 = lambda *_: None', 0),
    ],
)
def test_cv_bridge_is_tried_in_a_child_process(tmp_path, body, used):
    (tmp_path / 'cv_bridge.py').write_text(body)
    code = (
        'import array, sys\n'
        f'sys.path.insert(0, {str(tmp_path)!r})\n'
        'import os\n'
        f"os.environ['PYTHONPATH'] = os.pathsep.join([{str(tmp_path)!r}, "
        "os.environ.get('PYTHONPATH', '')])\n"
        'from sensor_msgs.msg import Image\n'
        'from vw2_ros.messages import convert\n'
        "image = Image(height=4, width=4, encoding='rgb8', step=12, "
        "data=array.array('B', bytes(48)))\n"
        'print(convert.image_to_rgb(image).max())\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(used)]
