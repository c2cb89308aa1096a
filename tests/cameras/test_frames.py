# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Crop, resize and the sources that are not topics."""

import time

import cv2
import numpy as np
import pytest

from vw2_ros.cameras.frames import Fit, Source


def picture(width, height):
    x = np.linspace(0, 255, width)[None, :, None]
    y = np.linspace(0, 255, height)[:, None, None]
    return np.concatenate([np.broadcast_to(a, (height, width, 1)) for a in (x, y, x)], 2).astype(
        np.uint8
    )


def test_centred_square():
    fit = Fit(size=(96, 96))
    assert fit.window(640, 480) == (80, 0, 480, 480)
    assert fit.window(480, 640) == (0, 80, 480, 480)
    out = fit(picture(640, 480))
    assert out.shape == (96, 96, 3) and out.flags.c_contiguous
    # what is kept lies in the middle: the ramp from 80 / 640 to 560 / 640
    assert abs(int(out[48, 0, 0]) - 255 * 82 / 640) < 3
    assert abs(int(out[48, -1, 0]) - 255 * 557 / 640) < 3


def test_crop_is_exact_and_checked():
    rgb = picture(64, 48)
    np.testing.assert_array_equal(Fit(crop=(3, 5, 20, 10))(rgb), rgb[5:15, 3:23])
    np.testing.assert_array_equal(Fit()(rgb), rgb)
    with pytest.raises(ValueError, match='within the picture of 64 x 48'):
        Fit(crop=(50, 0, 20, 10))(rgb)
    with pytest.raises(ValueError, match='crop must be'):
        Fit(crop=(0, 0, 0, 7))
    with pytest.raises(ValueError, match='size must be'):
        Fit(size=(96, 0))


def test_intrinsics_follow_the_picture():
    K = [500.0, 0, 320, 0, 500, 240, 0, 0, 1]
    fit = Fit(size=(96, 96))
    out = fit.intrinsics(K, 640, 480)
    # a point seen at pixel (400, 300) is seen where the picture's pixel went
    u, v = (400 - 80) * 96 / 480, 300 * 96 / 480
    ray = np.linalg.inv(np.reshape(K, (3, 3))) @ [400, 300, 1]
    np.testing.assert_allclose((out @ ray)[:2], [u, v])


@pytest.fixture
def video(tmp_path):
    path = str(tmp_path / 'clip.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 50, (64, 48))
    for i in range(5):
        writer.write(np.full((48, 64, 3), (0, 0, 40 * i), np.uint8))  # bgr: red grows
    writer.release()
    return path


def test_file_is_read_to_its_end(video):
    source = Source(video)
    began = time.monotonic()
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    assert time.monotonic() - began >= 4 / 50  # paced, not as fast as it can be decoded
    source.close()
    assert len(frames) == 5 and frames[0].shape == (48, 64, 3)
    assert [int(f[24, 32, 0]) // 38 for f in frames] == [0, 1, 2, 3, 4]
    assert frames[-1][:, :, 2].max() < 20


def test_file_can_begin_again(video):
    source = Source(video, loop=True)
    reds = [int(source.read()[24, 32, 0]) for _ in range(7)]
    source.close()
    assert reds[5:] == reds[:2]


def test_what_is_no_video_is_told(tmp_path):
    with pytest.raises(ValueError, match='nothing there'):
        Source(str(tmp_path / 'gone.mp4'))
    text = tmp_path / 'text.mp4'
    text.write_text('no video')
    with pytest.raises(ValueError, match='cannot be read as video'):
        Source(str(text))
