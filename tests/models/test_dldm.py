# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""dLDM: shapes, exact causality, gradients of the two stages, code usage."""

import dataclasses

import pytest
import torch

from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage

TINY = DLDMConfig(
    image_size=16,
    clip_frames=17,
    channels=(8, 8, 8),
    decoder_channels=(8, 8, 8),
    query_width=16,
    query_heads=2,
)


def model(config=TINY, **changes):
    torch.manual_seed(0)
    net = DLDM(dataclasses.replace(config, **changes)).eval()
    # Untrained statistics are (0, 1): give the codes spread, so that a change shows.
    net.qformer.out[2].var.fill_(1e-3)
    return net


def clip(config=TINY, batch=2, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(
        batch, config.clip_frames, 3, config.image_size, config.image_size, generator=g
    )


@pytest.mark.parametrize('frames, steps', [(17, 4), (5, 1), (93, 23)])
def test_shapes(frames, steps):
    config = dataclasses.replace(TINY, clip_frames=frames)
    net, video = model(config), clip(config, batch=1)
    f = net.encode(video)
    assert f.shape == (1, steps + 1, 8, 2, 2)
    z = net.query(f)
    codes, indices = net.quantize(z)
    assert z.shape == codes.shape == (1, steps, 4, 4) and indices.shape == (1, steps, 4)
    assert indices.dtype == torch.int64 and indices.max() < 1000
    assert torch.equal(net.codes_to_embedding(indices), codes.detach())
    assert net.decode(codes, f[:, 0]).shape == video.shape
    assert torch.equal(net.tokenize(video), indices)


def test_the_default_size():
    config = DLDMConfig()
    net = DLDM(config)
    assert (config.latent_frames, config.steps, config.codebook_size) == (5, 4, 1000)
    assert sum(p.numel() for p in net.parameters()) < 1e6
    out = net.loss(clip(config, batch=1))
    assert out['reconstruction'].shape == (1, 17, 3, 64, 64)


@pytest.mark.parametrize('frame', [0, 1, 4, 5, 8, 9, 13, 16])
@torch.no_grad()
def test_a_frame_changes_no_earlier_code(frame):
    net, video = model(), clip()
    before_f, other = net.encode(video), video.clone()
    other[:, frame] = 1 - other[:, frame]
    after_f = net.encode(other)
    first = -(-frame // 4)  # the latent frame that frame belongs to
    assert torch.equal(before_f[:, :first], after_f[:, :first])
    assert not torch.equal(before_f[:, first], after_f[:, first])
    before, after = net.query(before_f), net.query(after_f)
    steps = max(first - 1, 0)  # code step k stands at k - 1
    assert torch.equal(before[:, :steps], after[:, :steps])
    assert not torch.equal(before[:, steps:], after[:, steps:])


@torch.no_grad()
def test_queries_that_see_two_latent_frames_miss_what_was_before():
    net, video = model(dataclasses.replace(TINY, sees=2)), clip()
    f = net.encode(video)
    other = f.clone()
    other[:, 1] += 1.0
    same = (net.query(f) == net.query(other)).flatten(2).all(dim=2)[0]
    assert same.tolist() == [False, False, True, True]  # steps 1 and 2 read f_1


@torch.no_grad()
def test_causality_holds_over_time_in_training_mode_too():
    net, video = model().train(), clip()
    other = video.clone()
    other[:, 9:] = 0
    assert torch.equal(net.query(net.encode(video))[:, :2], net.query(net.encode(other))[:, :2])


@pytest.mark.parametrize('step', [1, 2, 3, 4])
@torch.no_grad()
def test_a_code_changes_no_earlier_frame(step):
    net = model()
    f0 = net.encode(clip())[:, 0]
    indices = torch.randint(0, 1000, (2, 4, 4), generator=torch.Generator().manual_seed(2))
    other = indices.clone()
    other[:, step - 1] = (other[:, step - 1] + 501) % 1000
    before = net.decode(net.codes_to_embedding(indices), f0)
    after = net.decode(net.codes_to_embedding(other), f0)
    first = 4 * step - 3  # frames 4k-3..4k belong to step k
    assert torch.equal(before[:, :first], after[:, :first])
    for frame in range(first, first + 4):
        assert not torch.equal(before[:, frame], after[:, frame])


@torch.no_grad()
def test_one_frame_alone_gives_the_same_f0():
    net, video = model(), clip()
    torch.testing.assert_close(net.encode(video[:, :1])[:, 0], net.encode(video)[:, 0])


def test_warm_up_trains_the_codes_by_reconstruction():
    net = model().train()
    net.loss(clip())['loss'].backward()
    assert net.qformer.q.grad.abs().sum() > 0
    assert all(p.grad is not None for p in net.parameters())


def test_disentangled_stage_gives_codes_the_denoising_gradient_only():
    def denoising(video, z, rec):
        assert not rec.requires_grad and rec.shape == video.shape
        return (z * weight).sum()

    weight = torch.zeros(4)
    net = model().train()
    out = net.loss(clip(), denoising)
    out['loss'].backward()
    # The denoising loss says nothing here: then nothing reaches the queries, while f_0 still
    # trains the encoder.
    assert all(not p.grad.any() for p in net.qformer.parameters() if p.grad is not None)
    assert net.encoder[0].conv.weight.grad.abs().sum() > 0
    net.zero_grad()
    weight = torch.ones(4)
    net.loss(clip(), denoising)['loss'].backward()
    assert net.qformer.q.grad.abs().sum() > 0
    assert out['loss'].isfinite() and 'denoising_loss' in out


def test_detached_first_frame_leaves_the_encoder_to_the_codes():
    net = model(detach_first_frame=True).train()
    net.loss(clip(), lambda video, z, rec: (z * 0).sum())['loss'].backward()
    assert not net.encoder[0].conv.weight.grad.any()


@torch.no_grad()
def test_residual_adds_to_the_first_frame():
    net, video = model(residual=True), clip()
    f0 = net.encode(video)[:, 0]
    codes = net.codes_to_embedding(torch.zeros(2, 4, 4, dtype=torch.int64))
    decoded = net.decode(codes, f0, video[:, 0])
    torch.testing.assert_close(
        decoded - net.change(codes, f0), video[:, :1].expand_as(decoded), atol=1e-6, rtol=1e-5
    )
    with pytest.raises(ValueError, match='first_frame'):
        net.decode(codes, f0)


@torch.no_grad()
def test_relative_codes_of_a_still_clip_do_not_name_the_scene():
    net = model(relative=True)
    still = clip(seed=3)[:, :1].expand(-1, 17, -1, -1, -1)
    z = net.query(net.encode(still))
    torch.testing.assert_close(z[0], z[1], atol=1e-3, rtol=0)
    assert not torch.allclose(*net.query(net.encode(clip())), atol=1e-3)


def test_motion_weight_counts_changed_pixels_more():
    plain, weighted = model(), model(motion_weight=10.0)
    video = torch.zeros(1, 5, 3, 16, 16)
    video[:, 1:, :, :4] = 1
    decoded = torch.full_like(video, 0.5)
    assert plain.reconstruction_loss(decoded, video) == pytest.approx(0.25)
    # 4/5 of the frames x 1/4 of the rows weigh 11
    assert weighted.reconstruction_loss(decoded, video) == pytest.approx(0.25 * (1 + 10 * 0.2))


def test_it_learns_a_moving_square():
    torch.manual_seed(0)
    net = DLDM(dataclasses.replace(TINY, clip_frames=5, residual=True, relative=True))
    video = torch.zeros(8, 5, 3, 16, 16)
    for b in range(8):
        for t in range(5):
            x = 4 + (1 if b % 2 else -1) * t
            video[b, t, :, 6:10, x : x + 4] = 1
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(80):
        out = net.loss(video)
        optimizer.zero_grad()
        out['loss'].backward()
        optimizer.step()
    still = (video - video[:, :1]).square().mean()
    # From the first frame alone left and right are the same, half the error would stay: only
    # codes can do this.
    assert out['mse'] < 0.35 * still


@pytest.mark.parametrize(
    'change',
    [
        {'image_size': 20},
        {'clip_frames': 16},
        {'channels': (8, 8)},
        {'motion_weight': -1.0},
        {'query_width': 15},
        {'queries': 0},
        {'decoder_channels': (8,)},
    ],
)
def test_a_bad_config_fails_when_it_is_built(change):
    with pytest.raises(ValueError, match='Got'):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize(
    'video',
    [
        torch.zeros(1, 17, 3, 16, 16, dtype=torch.uint8),
        torch.zeros(1, 16, 3, 16, 16),
        torch.zeros(1, 17, 3, 16, 24),
        torch.zeros(1, 21, 3, 16, 16),
        torch.zeros(17, 3, 16, 16),
    ],
)
def test_a_bad_clip_is_told(video):
    with pytest.raises(ValueError, match=r'video must be float \(B, .*Got'):
        model().encode(video)


def test_code_usage():
    usage = CodeUsage(10, 2, floor=4.0)
    usage.update(torch.tensor([[[0, 3]], [[1, 3]], [[2, 3]], [[3, 3]]]))
    assert usage.perplexity() == pytest.approx([4.0, 1.0])
    assert usage.usage() == pytest.approx(0.4)
    with pytest.warns(UserWarning, match='query 1: 1.0'):
        assert usage.warn_on_collapse()
