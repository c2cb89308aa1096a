# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Messages <-> numpy, and what foreign nodes get wrong (safety table, row 12)."""

import array
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from vw2_ros.messages import convert  # noqa: E402
from vw2_ros.messages.convert import ConvertError  # noqa: E402

NAMES = tuple(f'panda_joint{i}' for i in range(1, 8))


def picture(encoding, rng, H=5, W=7):
    dtype, channels = convert.ENCODINGS[encoding]
    shape = (H, W, 3) if channels == 3 else (H, W)
    if dtype.kind == 'f':
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize('encoding', convert.ENCODINGS)
def test_image_round_trip(encoding):
    pixels = picture(encoding, np.random.default_rng(0))
    msg = convert.numpy_to_image(pixels, encoding, stamp_ns=12_000_000_034, frame_id='static')
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (12, 34)
    assert isinstance(msg.data, array.array)
    back = convert.image_to_numpy(msg)
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)


@pytest.mark.parametrize('encoding', convert.ENCODINGS)
def test_padded_rows(encoding):
    pixels = picture(encoding, np.random.default_rng(1))
    msg = convert.numpy_to_image(pixels, encoding)
    rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)
    padded = np.concatenate([rows, np.full((msg.height, 3), 77, np.uint8)], axis=1)
    msg.step += 3  # odd, so that no row after the first is aligned
    msg.data = array.array('B', padded.tobytes())
    np.testing.assert_array_equal(convert.image_to_numpy(msg), pixels)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_big_endian(encoding):
    pixels = picture(encoding, np.random.default_rng(2))
    msg = convert.numpy_to_image(pixels, encoding)
    msg.is_bigendian = 1
    msg.data = array.array('B', pixels.astype(pixels.dtype.newbyteorder('>')).tobytes())
    back = convert.image_to_numpy(msg)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, pixels)


def test_depth_in_metres():
    mm = np.array([[0, 1500]], np.uint16)
    np.testing.assert_allclose(
        convert.image_to_depth(convert.numpy_to_image(mm, '16UC1')), [[0, 1.5]]
    )


def test_own_memory():
    msg = convert.numpy_to_image(np.zeros((2, 2, 3), np.uint8), 'rgb8')
    convert.image_to_numpy(msg)[:] = 9
    assert not any(msg.data)


@pytest.mark.parametrize('fmt, tolerance', [('png', 0), ('jpeg', 12)])
def test_compressed_round_trip(fmt, tolerance):
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    rgb = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], np.uint8(40)), axis=2)
    msg = convert.rgb_to_compressed(rgb, fmt, stamp_ns=5)
    assert msg.format == fmt and isinstance(msg.data, array.array)
    back = convert.any_image_to_rgb(msg)
    assert np.abs(back.astype(int) - rgb).max() <= tolerance


def test_joints_by_name():
    q = np.arange(7.0)
    shuffled = np.random.default_rng(5).permutation(7)
    msg = convert.joints_to_message(
        [NAMES[i] for i in shuffled], q[shuffled], 2 * q[shuffled], stamp_ns=9
    )
    joints = convert.joints_from_message(msg, NAMES)
    np.testing.assert_array_equal(joints.position, q)
    assert joints.stamp_ns == 9


@pytest.mark.parametrize(
    'spoil, reason',
    [
        (lambda m: m.name.pop(), 'one number per name'),
        (lambda m: m.name.__setitem__(0, 'elbow'), 'joints must hold panda_joint1. Got'),
        (lambda m: m.name.__setitem__(0, 'panda_joint2'), 'one twice'),
        (lambda m: m.position.pop(), 'one number per name'),
        (lambda m: m.position.__setitem__(3, float('nan')), 'finite'),
    ],
)
def test_malformed_joints(spoil, reason):
    msg = convert.joints_to_message([*NAMES, 'finger'], np.zeros(8))
    spoil(msg)
    with pytest.raises(ConvertError, match=reason):
        convert.joints_from_message(msg, NAMES)


def test_trajectory_round_trip():
    q = np.linspace(-1, 1, 7)
    msg = convert.trajectory_to_message(NAMES, q, stamp_ns=3, after_s=1 / 30)
    assert msg.points[0].time_from_start.nanosec == 33_333_333
    joints = convert.trajectory_from_message(msg, NAMES[::-1])
    np.testing.assert_array_equal(joints.position, q[::-1])
    msg.points = []
    with pytest.raises(ConvertError, match='at least one point'):
        convert.trajectory_from_message(msg, NAMES)


def test_float_array_round_trip():
    msg = convert.floats_to_message(np.arange(7.0))
    np.testing.assert_array_equal(convert.floats_from_message(msg, 7), np.arange(7.0))
    with pytest.raises(ConvertError, match='must hold 8 numbers. Got 7'):
        convert.floats_from_message(msg, 8)
    msg.data[2] = float('inf')
    with pytest.raises(ConvertError, match='finite'):
        convert.floats_from_message(msg, 7)


def test_stamps():
    for ns in (0, 1, 1_700_000_000_123_456_789):
        assert convert.stamp_to_ns(convert.ns_to_stamp(ns)) == ns
    with pytest.raises(ConvertError):
        convert.ns_to_stamp(-1)
    with pytest.raises(ConvertError):
        convert.ns_to_stamp(2**31 * convert.NS_PER_S)


def test_ten_thousand_malformed_messages_raise_only_convert_errors():
    """Row 12: 10^4 generated cases, no crash, one reason each."""
    rng = np.random.default_rng(6)
    encodings = [*convert.ENCODINGS, '', 'RGB8', 'rgba8', 'yuv422', 'x' * 300]
    refused = 0
    for _ in range(5000):
        msg = convert.Image()
        msg.encoding = str(rng.choice(encodings))
        msg.height, msg.width = (int(rng.choice([0, 1, 2, 3, 96, 2**32 - 1])) for _ in 'hw')
        msg.step = int(rng.choice([0, 1, 3, 6, 9, 12, 288, 2**32 - 1]))
        msg.is_bigendian = int(rng.integers(0, 256))
        msg.data = array.array('B', rng.bytes(int(rng.choice([0, 1, 9, 12, 18, 288]))))
        try:
            assert convert.image_to_numpy(msg).shape[:2] == (msg.height, msg.width)
        except ConvertError as error:
            refused += 1
            assert '\n' not in str(error) and len(str(error)) < 300
    pool = [*NAMES, *NAMES, 'elbow', '']
    for _ in range(4000):
        msg = convert.JointState()
        names = rng.choice(pool, int(rng.integers(0, 12)), replace=bool(rng.integers(2)))
        msg.name = [str(name) for name in names]
        values = rng.choice(
            [0.0, 1e308, np.nan, np.inf, -1.0],
            int(rng.integers(0, 12)),
            p=[0.5, 0.1, 0.1, 0.1, 0.2],
        )
        msg.position = array.array('d', values)
        try:
            assert np.isfinite(convert.joints_from_message(msg, NAMES).position).all()
        except ConvertError as error:
            refused += 1
            assert '\n' not in str(error) and len(str(error)) < 600
    good = [
        bytes(convert.rgb_to_compressed(picture('rgb8', rng, 8, 8), fmt).data)
        for fmt in ('jpeg', 'png')
    ]
    for case in range(1000):
        data = bytearray(good[case % 2])
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(256)
        msg = convert.CompressedImage()
        msg.format = 'jpeg'
        msg.data = array.array('B', data)
        try:
            assert convert.compressed_to_rgb(msg).dtype == np.uint8
        except ConvertError:
            refused += 1
    assert refused > 8000


@pytest.mark.skipif('ROS_PYTHON_CHECK_FIELDS' in os.environ, reason='this is the inner run')
def test_passes_under_the_field_checks_of_humble():
    env = {**os.environ, 'ROS_PYTHON_CHECK_FIELDS': '1'}
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-p',
            'no:cacheprovider',
            __file__,
            '-k',
            'not ten_thousand',
        ],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
