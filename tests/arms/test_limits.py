# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Limits that make no sense are refused (row 6 of the safety table), and speeds near the ends."""

import dataclasses
import inspect
import sys
import types

import numpy as np
import pytest

from vw2_ros.arms import limits
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.limits import Braking

LIMITS = Contract.load('panda').limits


def values():
    return {field.name: getattr(LIMITS, field.name) for field in dataclasses.fields(LIMITS)}


@pytest.mark.parametrize(
    'spoil, reason',
    [
        (lambda v: v.update(acceleration_rad_s2=[1.0]), 'acceleration_rad_s2 must be 7'),
        (lambda v: v.update(velocity_rad_s=[0.0] * 7), 'velocity_rad_s must be above 0'),
        (lambda v: v.update(following_rad=[0.3]), 'following_rad must be 7'),
        (lambda v: v.update(following_rad=[0.0] * 7), 'following_rad must be above 0'),
        (lambda v: v.update(lower_rad=[3.0] * 7), 'lower_rad must be below'),
        (lambda v: v.update(upper_rad=[float('nan')] * 7), 'upper_rad must be 7 finite'),
        (lambda v: v.update(max_age_s=float('inf')), 'max_age_s must be above 0'),
        (lambda v: v.update(max_age_s='1e-1'), "max_age_s must be a number. Got '1e-1'"),
        (lambda v: v.update(max_age_s=None), 'max_age_s must be a number. Got None'),
        (lambda v: v.update(max_age_s=[0.1, 0.1]), 'max_age_s must be a number'),
        (lambda v: v.update(latch_after=True), 'latch_after must be a whole number. Got True'),
        (lambda v: v.update(frozen_frames=10.5), 'frozen_frames must be a whole number. Got 10.5'),
        (lambda v: v.update(following_rad=['a'] * 7), 'following_rad must be 7 finite numbers'),
        (lambda v: v.update(following_rad=[[0.3], 0.3]), 'following_rad must be 7 finite numbers'),
        (lambda v: v.update(joints=[[1], 'a']), 'joints must be different names'),
        (lambda v: v.update(upper_rad=[166.0] * 7), 'Are these degrees'),
    ],
)
def test_limits_that_make_no_sense(spoil, reason):
    spoilt = values()
    spoil(spoilt)
    with pytest.raises(ValueError, match=reason):
        limits.Limits(**spoilt)


def test_types_are_checked_where_annotations_are_text(monkeypatch):
    """Under `from __future__ import annotations` a field's type is a string."""
    source = inspect.getsource(limits)
    module = types.ModuleType('later')
    monkeypatch.setitem(sys.modules, 'later', module)
    exec(compile('from __future__ import annotations\n' + source, 'later', 'exec'), vars(module))
    assert module.Limits(**values()).latch_after == 5
    for name, wrong in (('latch_after', 2.5), ('period_s', True), ('max_age_s', '0.1')):
        with pytest.raises(ValueError, match=rf'limits\.{name} must be a'):
            module.Limits(**values() | {name: wrong})


def test_braking_is_of_as_many_joints_and_makes_sense():
    good = {
        'offset_rad_s': [0.3] * 7,
        'slope_rad_s2': [12.0] * 7,
        'lower_rad': [-3.0] * 7,
        'upper_rad': [3.0] * 7,
    }
    for name, wrong, says in (
        ('offset_rad_s', [-1.0] * 7, 'offset_rad_s must be at least 0'),
        ('slope_rad_s2', [0.0] * 7, 'slope_rad_s2 must be above 0'),
        ('lower_rad', [4.0] * 7, 'lower_rad must be below upper_rad'),
        ('upper_rad', [3.0] * 6, 'upper_rad must be 7 finite numbers'),
    ):
        with pytest.raises(ValueError, match=f'limits.braking.{says}'):
            Braking(**good | {name: wrong})
    two = Braking(**{name: value[:2] for name, value in good.items()})
    with pytest.raises(ValueError, match='limits.braking must be of 7 joints. Got 2'):
        dataclasses.replace(LIMITS, braking=two)


def test_without_braking_the_speed_is_the_same_everywhere():
    low, high = LIMITS.velocity_bounds(np.zeros((5, 7)))
    assert low.shape == high.shape == (5, 7)
    assert (high == LIMITS.velocity_rad_s).all() and (low == -LIMITS.velocity_rad_s).all()
