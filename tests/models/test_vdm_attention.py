# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Codes in the VDM: exact causality, masks, and diffusers' attention unchanged without them."""

import pytest
import torch
from vdm_helpers import TINY, changed, clip, codes, frames_that_differ, latents, model, seeded

pytest.importorskip('diffusers')

from diffusers import CosmosTransformer3DModel  # noqa: E402

from vw2_ros.models.vdm import CLEAN_TIME  # noqa: E402
from vw2_ros.models.vdm_config import cosmos_sizes  # noqa: E402


@pytest.mark.parametrize('connector', ['mlp', 'mlp_self'])
@pytest.mark.parametrize('step', [1, 2, 3])
@torch.no_grad()
def test_a_code_changes_no_earlier_frame(step, connector):
    net, t = model(connector=connector), torch.tensor([0.3, 0.9])
    before = net.velocity(latents(), t, codes(), latents(seed=4))
    after = net.velocity(latents(), t, changed(codes(), step), latents(seed=4))
    assert frames_that_differ(before, after, dim=2) == list(range(step, 4))


@torch.no_grad()
def test_the_conv_connector_is_not_causal():
    net = model(connector='conv')
    with torch.no_grad():
        before, after = net.connector(codes()), net.connector(changed(codes(), 2))
    # [null | step 1 | step 2 | step 3], N tokens each: all three steps read step 2
    assert frames_that_differ(before, after, dim=1) == list(range(1, 1 + 3 * TINY.queries))


@torch.no_grad()
def test_nor_does_it_in_what_is_sampled():
    net, video = model(), clip()
    before, after = (
        net.sample(video[:, 0], z, clip(seed=4), steps=2, generator=seeded(5))
        for z in (codes(), changed(codes(), 2))
    )
    assert frames_that_differ(before, after, dim=1) == list(range(5, 13))


@torch.no_grad()
def test_bidirectional_self_attention_leaks_to_earlier_frames():
    net, t = model(self_attention='bidirectional'), torch.tensor([0.3, 0.9])
    before = net.velocity(latents(), t, codes())
    after = net.velocity(latents(), t, changed(codes(), 3))
    assert frames_that_differ(before, after, dim=2) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    'mask, frames', [('cumulative', [2, 3]), ('current', [2]), ('full', [0, 1, 2, 3])]
)
@torch.no_grad()
def test_masks(mask, frames):
    # in one block self-attention comes first, so what changes has looked at the code itself
    net = model(layers=1, mask=mask, connector='mlp')
    t = torch.tensor([0.3, 0.9])
    before = net.velocity(latents(), t, codes())
    after = net.velocity(latents(), t, changed(codes(), 2))
    assert frames_that_differ(before, after, dim=2) == frames
    assert before.isfinite().all()


@pytest.mark.parametrize('mask', ['cumulative', 'current'])
def test_the_null_token_fills_the_row_of_frame_0(mask):
    net = model(mask=mask)
    table = net._code_mask(1 + 3 * 4, torch.device('cpu'))[0]
    assert table.shape == (4 * TINY.places, 13) and table.any(dim=1).all()
    assert table[0].nonzero().flatten().tolist() == [0]
    last = table[-1].nonzero().flatten().tolist()
    assert last == (list(range(13)) if mask == 'cumulative' else [9, 10, 11, 12])


def test_null_token_is_learned_or_zero():
    net = model()
    net.loss(clip(), codes()).backward()
    assert net.connector.null.grad.any()
    fixed = model(learned_null=False)
    fixed.loss(clip(), codes()).backward()
    assert fixed.connector.null.grad is None and not fixed.connector.null.any()


@torch.no_grad()
def test_without_codes_it_is_a_model_of_the_first_frame():
    net = model(mask='current')
    assert net.loss(clip()).isfinite()
    assert net.sample(clip()[:, 0], steps=1).isfinite().all()


@torch.no_grad()
def test_processors_leave_the_weights_alone():
    net = model(mask='full', self_attention='bidirectional', control=False)
    own = CosmosTransformer3DModel(**cosmos_sizes(net.config)[0])
    assert net.transformer.state_dict().keys() == own.state_dict().keys()
    own.load_state_dict(net.transformer.state_dict())
    t = torch.tensor([0.3, 0.9])
    clean = torch.zeros(2, 1, 4, 4, 4)
    clean[:, :, 0] = 1
    time = t.view(2, 1, 1, 1, 1).repeat(1, 1, 4, 1, 1)
    time[:, :, 0] = CLEAN_TIME
    theirs = own(
        hidden_states=latents(),
        timestep=time,
        fps=16,
        condition_mask=clean,
        encoder_hidden_states=net.connector(codes()),
        padding_mask=torch.zeros(1, 1, 4, 4),
    ).sample
    torch.testing.assert_close(net.velocity(latents(), t, codes()), theirs)
