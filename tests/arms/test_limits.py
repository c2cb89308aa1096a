# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Limits that make no sense are refused (row 6 of the safety table), and speeds near the ends."""

import inspect
import sys
import types

import pytest
import yaml

from vw2_ros.arms import limits
from vw2_ros.arms.limits import Limits
from vw2_ros.files import config_file


@pytest.mark.parametrize(
    'spoil, reason',
    [
        (lambda v: v.pop('velocity_rad_s'), "missing .'velocity_rad_s'"),
        (lambda v: v.update(speed=1), "unknown .'speed'"),
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
def test_no_start_without_limits(tmp_path, spoil, reason):
    values = yaml.safe_load(config_file('limits.yaml').read_text())
    spoil(values)
    (tmp_path / 'limits.yaml').write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match=reason):
        Limits.from_yaml(tmp_path / 'limits.yaml')


def test_types_are_checked_where_annotations_are_text(monkeypatch):
    """Under `from __future__ import annotations` a field's type is a string."""
    source = inspect.getsource(limits)
    module = types.ModuleType('later')
    monkeypatch.setitem(sys.modules, 'later', module)
    exec(compile('from __future__ import annotations\n' + source, 'later', 'exec'), vars(module))
    values = yaml.safe_load(config_file('limits.yaml').read_text())
    assert module.Limits.from_dict(values).latch_after == 5
    for name, wrong in (('latch_after', 2.5), ('period_s', True), ('max_age_s', '0.1')):
        with pytest.raises(ValueError, match=rf'limits\.{name} must be a'):
            module.Limits.from_dict(values | {name: wrong})


def test_limits_file_missing_or_empty(tmp_path):
    with pytest.raises(ValueError, match='no start without them'):
        Limits.from_yaml(tmp_path / 'none.yaml')
    (tmp_path / 'empty.yaml').write_text('')
    with pytest.raises(ValueError, match='no start without them'):
        Limits.from_yaml(tmp_path / 'empty.yaml')
