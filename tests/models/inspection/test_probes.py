# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Probes of hand-made codes whose answers are known."""

import dataclasses

import numpy as np
import pytest
from inspection_clips import CLIPS, HAND, NOISE, STEPS, TOLD, contains, hand_made

pytest.importorskip('sklearn', reason="pip install 'vw2_ros[inspect]'")

from vw2_ros.models.inspection.clips import HORIZONS  # noqa: E402
from vw2_ros.models.inspection.probes import probe, scene_probe  # noqa: E402


def test_probe_of_codes_that_are_the_motion():
    found = probe(TOLD, CLIPS, 'D')
    for part in ('test', 'seen'):
        assert found['hand']['clip'][part].value > 0.999
        assert found['drawer']['clip'][part].value > 0.999
    assert found['slider']['clip'] == {'test': None, 'seen': None}  # it never moves


def test_probe_of_codes_that_say_nothing():
    found = probe(NOISE, CLIPS, 'D')['hand']
    for horizon in HORIZONS:
        assert abs(found[horizon]['test'].value) < 0.03
        assert found[horizon]['test'].figures()['high'] < 0.05


def test_probe_of_codes_that_are_a_nuisance():
    change = np.random.default_rng(4).normal(scale=0.3, size=(*HAND.shape[:2], 1))
    wild = dataclasses.replace(CLIPS, motion={**CLIPS.motion, 'exposure': change})
    found = probe(np.concatenate([change, NOISE], axis=2), wild, 'D')
    assert found['exposure']['clip']['test'].value > 0.99
    assert found['hand']['clip']['test'].value < 0.05


def test_probe_with_half_of_the_variance():
    codes = HAND + np.random.default_rng(2).normal(size=HAND.shape)
    found = probe(codes, CLIPS, 'D')['hand']['clip']
    assert found['test'].value == pytest.approx(0.5, abs=0.06) and contains(found['test'], 0.5)


def test_probe_of_codes_that_mean_something_else_in_the_test_scene():
    codes = TOLD * np.where(CLIPS.scene == 'D', -1, 1)[:, None, None]
    found = probe(codes, CLIPS, 'D')['hand']['clip']
    assert found['seen'].value > 0.99 and found['test'].value < -2.9  # 1 - (2y)^2 / y^2


def test_unseen_looks_are_tested_and_never_learned_from():
    """What is learned is the same with them; codes that mean nothing there are found out."""
    alone = probe(TOLD, CLIPS, 'D')
    fresh = hand_made(episodes=4, seed=5)
    told = np.concatenate([fresh.motion['hand'] / 0.05, fresh.motion['drawer'] / 0.02], axis=2)
    upside_down = told * np.where(fresh.scene == 'D', 1, -1)[:, None, None]
    found = probe(TOLD, CLIPS, 'D', looks=(upside_down, fresh))
    for part in ('test', 'seen'):
        assert found['hand']['clip'][part].figures() == alone['hand']['clip'][part].figures()
    assert found['hand']['clip']['test_looks'].value > 0.99  # scene D
    assert found['hand']['clip']['looks'].value < -2.9  # 1 - (2y)^2 / y^2
    assert found['slider']['clip']['looks'] is None
    only_d = probe(TOLD, CLIPS, 'D', looks=(told[fresh.scene == 'D'], hand_made('D', 4)))
    assert only_d['hand']['clip']['looks'] is None


def test_scene_probe():
    letters = np.eye(4)[np.unique(CLIPS.scene, return_inverse=True)[1]]
    telling = np.repeat(letters[:, None], STEPS, axis=1)
    assert scene_probe(telling, CLIPS).value == 1.0
    assert scene_probe(NOISE, CLIPS).value == pytest.approx(0.25, abs=0.12)
