# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Codes that scenes share, and codes on a plane."""

import numpy as np
import pytest
import torch
from inspection_clips import CLIPS, STEPS

from vw2_ros.models.inspection.clips import lively
from vw2_ros.models.inspection.codes import embed, shared_codes


def test_shared_code_is_the_one_that_most_scenes_have():
    indices = np.arange(len(CLIPS.starts))[:, None, None] + np.array([1000, 5000])
    indices = np.repeat(indices, STEPS, axis=1)  # all different: (m, STEPS, 2)
    alike = [
        np.flatnonzero((CLIPS.scene == s) & np.isin(np.arange(len(indices)), lively(CLIPS)))[0]
        for s in 'ABD'
    ]
    indices[alike, -1, 1] = 7
    (row,) = shared_codes(indices, CLIPS)
    assert row['query'] == 1 and row['code'] == 7 and sorted(row['clips']) == sorted(alike)


def test_embedding_is_repeatable_and_leaves_torch_its_threads():
    pytest.importorskip('umap')
    codes = np.random.default_rng(0).normal(size=(60, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first, again = embed(codes, seed=3), embed(codes, seed=3)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert first.shape == (60, 2)
    np.testing.assert_array_equal(first, again)
