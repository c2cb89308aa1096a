# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""FSQ against its paper's properties and against an independent implementation."""

import pytest
import torch

from vw2_ros.models.fsq import FSQ


def test_every_code_is_reachable_and_the_maps_are_inverse():
    fsq = FSQ((8, 5, 5, 5))
    assert fsq.codebook_size == 1000
    indices = torch.arange(1000)
    codes = fsq.indices_to_codes(indices)
    assert torch.equal(fsq.codes_to_indices(codes), indices)
    assert len(torch.unique(codes, dim=0)) == 1000
    assert codes.min() >= -1 and codes.max() <= 1
    # Each grid point is a fixed point of the rounding: z = the inverse of the squash.
    seen = fsq(torch.randn(200_000, 4) * 2)[1]
    assert len(torch.unique(seen)) == 1000


# The default, and those of the rows `codebook-8` and `codebook-4096`.
@pytest.mark.parametrize('levels', [(8, 5, 5, 5), (2, 2, 2), (8, 8, 8, 8)])
def test_normed_input_uses_the_codebook(levels):
    fsq = FSQ(levels)
    z = torch.randn(100_000, len(levels), generator=torch.Generator().manual_seed(0))
    share = torch.bincount(fsq(z)[1], minlength=fsq.codebook_size) / len(z)
    assert torch.special.entr(share).sum().exp() > 0.5 * fsq.codebook_size


def test_gradient_passes_straight_through():
    fsq = FSQ((8, 5))
    z = torch.randn(64, 2, requires_grad=True)
    codes, _ = fsq(z)
    codes.sum().backward()
    wanted = torch.autograd.grad((fsq.bound(z) / torch.tensor([4.0, 2.0])).sum(), z)[0]
    torch.testing.assert_close(z.grad, wanted)


@pytest.mark.parametrize('levels', [(8, 5, 5, 5), (8, 8, 8, 6, 5), (4, 3), (3, 7)])
def test_equal_to_the_library(levels):
    library = pytest.importorskip('vector_quantize_pytorch').FSQ(list(levels))
    z = torch.randn(4096, len(levels), generator=torch.Generator().manual_seed(0)) * 2
    codes, indices = FSQ(levels)(z)
    want_codes, want_indices = library(z[None])
    torch.testing.assert_close(codes, want_codes[0], atol=1e-6, rtol=0)
    assert torch.equal(indices, want_indices[0].long())


@pytest.mark.parametrize('levels', [(), (1, 5), (0,)])
def test_bad_levels(levels):
    with pytest.raises(ValueError, match='at least 2'):
        FSQ(levels)


def test_bad_values():
    with pytest.raises(ValueError, match=r'\[0, 40\)'):
        FSQ((8, 5)).indices_to_codes(torch.tensor([40]))
    with pytest.raises(ValueError, match='last dimension must be 2'):
        FSQ((8, 5))(torch.zeros(3, 4))
