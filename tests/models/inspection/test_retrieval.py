# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Retrieval with hand-made codes whose answers are known."""

import numpy as np
import pytest
from inspection_clips import CLIPS, HAND, NOISE, TOLD, contains, hand_made

pytest.importorskip('sklearn', reason="pip install 'vw2_ros[inspect]'")

from vw2_ros.models.inspection.retrieval import cosine, neighbours, retrieve  # noqa: E402


def test_retrieval_of_codes_that_are_the_motion():
    found = retrieve(HAND, CLIPS, 'D')
    for part in ('test', 'all'):
        got = found[part]['clip']
        assert got['cosine'].value > 0.85 and got['p'] < 0.01
        assert abs(got['chance']) < 0.05 and got['chance_high'] < got['cosine'].figures()['low']


def test_retrieval_of_codes_that_say_nothing():
    got = retrieve(NOISE, CLIPS, 'D')['all']['clip']
    assert got['p'] > 0.01 and contains(got['cosine'], got['chance'])


def test_one_code_for_everything_retrieves_at_random():
    got = retrieve(np.zeros_like(TOLD), CLIPS, 'D')['all']['clip']
    assert abs(got['cosine'].value) < 0.1 and got['p'] > 0.01


def test_neighbours_are_of_another_scene_and_the_nearest():
    nearest, distance = neighbours(HAND, CLIPS)
    assert (CLIPS.scene[nearest] != CLIPS.scene[:, None]).all()
    other = CLIPS.scene != CLIPS.scene[5]
    apart = np.linalg.norm(HAND[:, 1] - HAND[5, 1], axis=1)
    assert distance[5, 1] == pytest.approx(apart[other].min(), abs=1e-2)


def test_clips_in_unseen_looks_ask_and_are_never_found():
    fresh = hand_made('AD', episodes=4, seed=5)
    codes = fresh.motion['hand'] / 0.05
    nearest, distance = neighbours(codes, fresh, among=(HAND, CLIPS))
    assert (CLIPS.scene[nearest] != fresh.scene[:, None]).all()
    other = CLIPS.scene != fresh.scene[5]
    apart = np.linalg.norm(HAND[:, 1] - codes[5, 1], axis=1)
    assert distance[5, 1] == pytest.approx(apart[other].min(), abs=1e-2)
    found = retrieve(
        HAND,
        CLIPS,
        'D',
        permutations=5,
        looks=(codes * np.where(fresh.scene == 'D', 1, -1)[:, None, None], fresh),
    )
    assert found['test_looks']['clip']['cosine'].value > 0.85
    assert found['looks']['clip']['cosine'].value < -0.85  # those of scene A: the other way round
    alone = retrieve(HAND, CLIPS, 'D', permutations=5)
    assert found['all']['clip']['cosine'].figures() == alone['all']['clip']['cosine'].figures()


def test_cosine_with_what_stands_still_is_zero():
    a = np.array([[0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0]])
    b = np.array([[0.2, 0, 0], [-0.2, 0, 0], [1e-4, 0, 0]])
    assert cosine(a, b).tolist() == pytest.approx([1, -1, 0])
