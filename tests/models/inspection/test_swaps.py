# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Codes of one clip in another."""

import torch
from inspection_clips import TINY

from vw2_ros.models.dldm import DLDM
from vw2_ros.models.inspection.swaps import swap


def test_swapping_a_query_is_decoding_with_the_others_codes():
    torch.manual_seed(0)
    model = DLDM(TINY).eval()
    video, other = torch.rand(2, 1, 9, 3, 32, 32)
    made = swap(model, video, other)
    assert made.shape == (1, 6, 9, 3, 32, 32)
    f0 = model.encode(video)[:, 0]
    codes = model.codes_to_embedding(model.tokenize(video))
    foreign = model.codes_to_embedding(model.tokenize(other))
    with torch.no_grad():
        assert torch.allclose(made[:, 0], model.decode(codes, f0).clamp(0, 1), atol=1e-6)
        codes[:, :, 2] = foreign[:, :, 2]
        assert torch.allclose(made[:, 3], model.decode(codes, f0).clamp(0, 1), atol=1e-6)
        assert torch.allclose(made[:, 5], model.decode(foreign, f0).clamp(0, 1), atol=1e-6)
    assert torch.equal(swap(model, video, video)[:, 5], made[:, 0])
