# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A picture is compared, in numbers, to what a policy was trained on."""

import cv2
import numpy as np
import pytest

from vw2_ros.cameras.drawing import beside, captioned, write_line
from vw2_ros.cameras.frames import Fit
from vw2_ros.cameras.likeness import HEIGHT_PX, Look, crop_warnings, likeness, sheet, warnings


def scene(side=96, seed=0):
    """Coloured boxes on a warm ground, as a table."""
    rng = np.random.default_rng(seed)
    rgb = np.full((side, side, 3), (150, 120, 90), np.uint8)
    for _ in range(12):
        x, y = rng.integers(0, side * 3 // 4, 2).tolist()
        colour = rng.integers(0, 256, 3).tolist()
        cv2.rectangle(rgb, (x, y), (x + side // 4, y + side // 5), colour, -1)
    return rgb


def test_the_same_is_the_same():
    rng = np.random.default_rng(1)
    noisy = np.clip(scene() + rng.normal(0, 4, (96, 96, 3)), 0, 255).astype(np.uint8)
    assert warnings(noisy, scene()) == []
    assert likeness(noisy, scene()) > 0.98


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda p: p // 3, 'it is darker'),
        (lambda p: np.clip(p.astype(int) + 70, 0, 255).astype(np.uint8), 'it is brighter'),
        (lambda p: (128 + (p.astype(int) - 128) // 3).astype(np.uint8), 'its contrast is'),
        (lambda p: p[:, :, ::-1], 'are red and blue swapped?'),
        (lambda p: p // np.array([1, 1, 4], np.uint8), 'set the white balance'),
        (lambda p: p[::-1], 'it shows another view'),
        (lambda p: scene(seed=9), 'fine-tune with vw2 train head --learn-sight'),
        (lambda p: np.zeros_like(p), 'it is darker'),
    ],
)
def test_differences_are_named(change, said):
    trained = scene()
    trained[:, :, 0] = np.maximum(trained[:, :, 0], 120)  # warm enough to tell blue from red
    trained[:, :, 2] //= 2
    seen = np.ascontiguousarray(change(trained))
    assert any(said in text for text in warnings(seen, trained)), warnings(seen, trained)


def test_crop():
    fit = Fit(size=(96, 96))
    assert crop_warnings(fit, 640, 480) == []
    assert crop_warnings(fit, 64, 48) == ['48 px are enlarged to 96: take a larger picture']
    assert crop_warnings(fit, 1920, 720)[0].startswith('38% of the picture are kept')


def test_sheet():
    rgb = cv2.resize(scene(480), (640, 480))
    drawn = sheet(rgb, Fit(size=(96, 96)), scene(), '/camera/image_raw')
    assert drawn.shape[1] == 640 + 2 * HEIGHT_PX + 12 and drawn.dtype == np.uint8
    frame = np.array((255, 200, 0))
    assert (drawn[300, 80:83] == frame).all(axis=1).any()  # the left border of what is kept
    assert sheet(rgb, Fit(size=(96, 96)), None, 't').shape[1] == 640 + HEIGHT_PX + 6
    assert str(Look.of(rgb)).startswith('brightness ')


def test_lines_fit_and_panels_stand_in_line():
    rgb = np.zeros((40, 120, 3), np.uint8)
    out = captioned(rgb, ('a line that is much too long for a picture of this width', 'ü'))
    assert out.shape == (90, 120, 3) and out[:50].max() > 100 and out[:50, -3:].max() == 28
    both = beside([out, rgb])
    assert both.shape == (90, 246, 3) and both[60, 200].tolist() == [28] * 3
    write_line(both, '', 5, 5)
