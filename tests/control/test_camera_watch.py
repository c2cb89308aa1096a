# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A camera is held to its own rate."""

import numpy as np
import pytest

from vw2_ros.control.camera import CameraWatch


def watched(rate_hz, frames=40, lost=0.0, jitter_s=0.0, frame=None, seed=0):
    rng = np.random.default_rng(seed)
    watch = CameraWatch(0.1, 10)
    for i in range(frames):
        if rng.random() >= lost:
            watch.see(100 + i / rate_hz + rng.uniform(-jitter_s, jitter_s), frame)
    return watch


@pytest.mark.parametrize(
    'rate_hz, age_s, frozen',
    [(60, 0.1, 10), (30, 0.1, 10), (25, 0.12, 8), (15, 0.2, 5), (10, 0.3, 3), (5, 0.3, 3)],
)
def test_limits_follow_the_rate(rate_hz, age_s, frozen):
    watch = watched(rate_hz)
    assert watch.period_s == pytest.approx(1 / rate_hz)
    assert watch.max_age_s == pytest.approx(age_s)
    assert watch.frozen_frames == frozen


@pytest.mark.parametrize('lost', [0.2, 0.43])
def test_lost_images_widen_nothing(lost):
    assert watched(30, 300, lost).max_age_s == pytest.approx(0.1, abs=0.001)


def test_jitter():
    assert watched(15, 300, jitter_s=0.01).max_age_s == pytest.approx(0.2, abs=0.04)
    assert watched(30, 300, jitter_s=0.01).max_age_s == pytest.approx(0.1, abs=0.001)


def test_until_the_period_is_known_the_least_age_counts():
    watch = watched(10, 4)
    assert watch.period_s is None and watch.max_age_s == 0.1 and watch.frozen_frames == 10


def test_a_break_is_no_period():
    watch = watched(30)
    for s in (200.0, 300.0, 400.0, 500.0, 600.0, 700.0):
        watch.see(s)
    assert watch.max_age_s == pytest.approx(0.1)


def test_another_rate_is_learned():
    watch = watched(30)
    for i in range(30):
        watch.see(200 + i / 15)
    assert watch.max_age_s == pytest.approx(0.2)


@pytest.mark.parametrize('rate_hz, frames', [(60, 10), (30, 10), (15, 5), (10, 3)])
def test_frozen_after_the_same_time(rate_hz, frames):
    watch = watched(rate_hz, 40)
    seen = []
    for i in range(12):
        watch.see(200 + i / rate_hz, b'the same')
        seen.append(watch.frozen)
    assert seen.index(True) == frames - 1
    watch.see(300, b'another')
    assert not watch.frozen and watch.identical == 1


def test_frozen_can_be_off():
    watch = CameraWatch(0.1)
    for i in range(50):
        watch.see(i / 30, b'the same')
    assert not watch.frozen


def test_bad_values():
    with pytest.raises(ValueError, match='least_age_s must be above 0. Got 0'):
        CameraWatch(0)
