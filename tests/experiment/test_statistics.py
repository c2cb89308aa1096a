# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Intervals and ratios of chain lengths."""

import numpy as np
import pytest

from vw2_ros.experiment.statistics import interval, ratio


def test_interval_of_independent_chains():
    rng = np.random.default_rng(1)
    values = rng.binomial(5, 0.4, (1, 400)).astype(float)
    found = interval(values)
    wanted = 1.96 * values.std() / np.sqrt(400)
    assert found['mean'] == values.mean()
    assert abs(found['high'] - found['low'] - 2 * wanted) < 0.1 * 2 * wanted
    # seeds that differ widen it, though there are more chains in all
    seeds = np.concatenate([values, values + 1])
    assert np.ptp(list(interval(seeds).values())[1:]) > 4 * wanted


def test_ratio_is_paired_over_chains():
    rng = np.random.default_rng(2)
    easy = rng.integers(1, 5, (2, 200)).astype(float)  # chains differ much, rows do not
    paired = ratio(1.5 * easy, easy)
    assert paired['ratio'] == pytest.approx(1.5)
    assert paired['low'] == pytest.approx(1.5) and paired['high'] == pytest.approx(1.5)
    alone = ratio(1.5 * easy, easy[:, ::-1])
    assert alone['high'] - alone['low'] > 0.1


def test_ratio_to_nothing():
    some, nothing = np.ones((1, 10)), np.zeros((1, 10))
    assert ratio(some, nothing) == {'ratio': None, 'low': None, 'high': None}
    assert ratio(nothing, some) == {'ratio': 0.0, 'low': 0.0, 'high': 0.0}
    rare = nothing.copy()
    rare[0, 0] = 1.0
    found = ratio(some, rare)
    assert found['ratio'] == 10.0 and found['high'] is None and 0 < found['low'] < 10
