# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Intervals over episodes, and paired differences."""

import numpy as np
import pytest
from inspection_clips import CLIPS, HAND, TOLD, hand_made

pytest.importorskip('sklearn', reason="pip install 'vw2_ros[inspect]'")

from vw2_ros.models.inspection.intervals import differences, r_squared  # noqa: E402
from vw2_ros.models.inspection.probes import probe  # noqa: E402
from vw2_ros.models.inspection.retrieval import retrieve  # noqa: E402


def test_interval_counts_episodes_not_frames():
    """Every clip ten times over tells no more; ten times the episodes do."""
    clips = hand_made(each=2)
    codes = clips.motion['hand'] / 0.05 + np.random.default_rng(2).normal(
        size=clips.motion['hand'].shape
    )
    guess, truth = 0.025 * codes[:, 0], clips.motion['hand'][:, 0]

    def width(times, shift):
        episode = np.concatenate([clips.episode + shift * t for t in range(times)])
        f = r_squared(np.tile(truth, (times, 1)), np.tile(guess, (times, 1)), episode).figures()
        return f['high'] - f['low']

    assert width(10, 0) == pytest.approx(width(1, 0), rel=0.01)
    assert width(10, 1000) < 0.5 * width(1, 0)


def test_too_few_episodes_have_no_interval():
    few = CLIPS.episode < 2
    found = r_squared(TOLD[few, 0], TOLD[few, 0], CLIPS.episode[few])
    assert found.figures() == {'value': 1.0, 'low': None, 'high': None}


def test_paired_difference_is_narrower_than_its_parts():
    """Two codes that share their noise differ by little, surely."""
    shared = np.random.default_rng(4).normal(size=HAND.shape)
    both = [
        {
            'probe': probe(HAND + amount * shared, CLIPS, 'D'),
            'retrieval': retrieve(HAND + amount * shared, CLIPS, 'D', permutations=2),
        }
        for amount in (0.9, 1.0)
    ]
    less = differences(*both)
    f = less['probe']['hand']['clip']['test'].figures()
    single = both[0]['probe']['hand']['clip']['test'].figures()
    assert 0 < f['low'] < f['value'] < f['high']
    assert f['high'] - f['low'] < 0.5 * (single['high'] - single['low'])
    assert less['probe']['slider']['clip']['test'] is None
    same = differences(both[0], both[0])
    assert same['retrieval']['test']['clip']['cosine'].figures() == {
        'value': 0.0,
        'low': 0.0,
        'high': 0.0,
    }
