# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VDM: shapes, gradients, control branch, flow matching."""

import subprocess
import sys

import pytest
import torch
from vdm_helpers import LATENT, clip, codes, frames_that_differ, latents, model, seeded

pytest.importorskip('diffusers')

from vw2_ros.models.dldm import DLDM, DLDMConfig  # noqa: E402
from vw2_ros.models.vdm_noise import NoiseDraws  # noqa: E402


@torch.no_grad()
def test_shapes_and_the_first_frame():
    net, video = model(), clip()
    x = net.encode(video)
    assert x.shape == LATENT and x.dtype == torch.float32
    assert net.decode(x).shape == video.shape
    assert net.loss(video, codes(), clip(seed=4)).shape == ()
    seen = []
    velocity = net.velocity
    net.velocity = lambda x, *rest: seen.append(x[:, :, :1]) or velocity(x, *rest)
    made = net.sample(video[:, 0], codes(), clip(seed=4), steps=3, generator=seeded(5))
    assert made.shape == video.shape and 0 <= made.min() and made.max() <= 1
    first = net.encode(video[:, :1])
    assert len(seen) == 3 and all(torch.equal(s, first) for s in seen)
    torch.testing.assert_close(made[:, :1], net.decode(first))


@torch.no_grad()
def test_one_frame_alone_has_the_latent_it_has_in_the_clip():
    net, video = model(), clip()
    torch.testing.assert_close(net.encode(video[:, :1]), net.encode(video)[:, :, :1])


@torch.no_grad()
def test_latents_see_no_later_frame():
    net, video = model(), clip()
    other = video.clone()
    other[:, 5:] = 0  # frames 5..8 belong to latent frame 2
    assert frames_that_differ(net.encode(video), net.encode(other), dim=2) == [2, 3]


def code_gradient(net, attached):
    """Gradient of the denoising loss at the codes, whose control video follows the codes or not."""
    z = codes().requires_grad_()
    control = clip(seed=4) * 0.5 + z.mean() * 0.1
    net.loss(clip(), z, control if attached else control.detach(), seeded(6)).backward()
    return z.grad


def test_codes_learn_through_cross_attention_and_not_through_control():
    assert code_gradient(model(), True).any()
    assert torch.equal(code_gradient(model(), True), code_gradient(model(), False))


@pytest.mark.parametrize('detach', [True, False])
def test_with_cross_attention_shut_nothing_reaches_the_codes(detach):
    net = model(detach_control=detach)
    for block in net.transformer.transformer_blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    z = codes().requires_grad_()
    net.loss(clip(), z, clip(seed=4) * 0.5).backward()  # only the branch's context is left
    assert bool(z.grad.any()) is not detach
    assert bool(code_gradient(net, True).any()) is not detach
    assert net.controlnet.control_blocks[0].after_proj.weight.grad.any()
    hint = latents(seed=4).requires_grad_()
    net.flow_loss(latents(), codes(), hint).backward()
    assert (hint.grad is None) is detach


@torch.no_grad()
def test_control_is_nothing_at_first_and_at_weight_0():
    t, hint = torch.tensor([0.3, 0.9]), latents(seed=4)
    fresh, trained = model(control_is_trained=False), model()
    without = fresh.velocity(latents(), t, codes())
    assert torch.equal(without, fresh.velocity(latents(), t, codes(), hint))
    assert not torch.equal(without, trained.velocity(latents(), t, codes(), hint))
    shut = model(control_weight=0.0)
    shut.controlnet.forward = None  # not even asked
    assert torch.equal(without, shut.velocity(latents(), t, codes(), hint))


@torch.no_grad()
def test_control_weight_scales_what_the_branch_adds():
    t, hint = torch.tensor([0.3, 0.9]), latents(seed=4)
    nets = [model(layers=1, control_weight=w) for w in (0.0, 1.0, 2.0)]
    inputs = []
    for net in nets:  # the one block's output is what norm_out reads
        net.transformer.norm_out.register_forward_pre_hook(lambda m, args: inputs.append(args[0]))
        net.velocity(latents(), t, codes(), hint)
    torch.testing.assert_close(inputs[2] - inputs[0], 2 * (inputs[1] - inputs[0]))


@torch.no_grad()
def test_a_grey_hint_has_no_colours():
    net, colours = model(control_grey=True), clip(seed=4)
    grey = colours.mean(2, keepdim=True).expand_as(colours)
    assert torch.equal(net.encode_control(colours), net.encode(grey))
    assert not torch.equal(net.encode_control(colours), net.encode(colours))


def test_the_branch_starts_as_a_copy_of_the_backbone():
    net = model(control_is_trained=False)
    block = net.controlnet.control_blocks[0]
    assert torch.equal(
        block.attn1.to_q.weight, net.transformer.transformer_blocks[0].attn1.to_q.weight
    )
    assert not block.after_proj.weight.any() and not block.after_proj.bias.any()


def test_no_branch():
    net = model(control=False)
    assert net.controlnet is None and net.loss(clip(), codes()).isfinite()
    with pytest.raises(ValueError, match='control must be None'):
        net.loss(clip(), codes(), clip())


@torch.no_grad()
def test_the_loss_is_the_flows_velocity_after_frame_0():
    net, seen = model(), {}
    velocity = net.velocity

    def remember(noisy, time, *rest):
        seen.update(noisy=noisy, time=time)
        return velocity(noisy, time, *rest)

    net.velocity = remember
    x0 = latents()
    loss = net.flow_loss(x0, codes(), generator=seeded(7))
    noisy, t = seen['noisy'], seen['time'].view(2, 1, 1, 1, 1)
    assert (0 < t).all() and (t < 1).all() and torch.equal(noisy[:, :, 0], x0[:, :, 0])
    # x0 and the noisy input give eps back, so the target is (noisy - x0) / t
    target = ((noisy - x0) / t)[:, :, 1:]
    predicted = velocity(noisy, seen['time'], codes())[:, :, 1:]
    torch.testing.assert_close(loss, (predicted - target).square().mean())


@torch.no_grad()
def test_edm_weighs_the_error_of_x0():
    net, x0, seen = model(), latents(), {}
    velocity = net.velocity

    def remember(noisy, time, *rest):
        seen.update(noisy=noisy, time=time, flow=velocity(noisy, time, *rest))
        return seen['flow']

    net.velocity = remember
    plain, edm = (
        net.flow_loss(x0, codes(), generator=seeded(7), draws=NoiseDraws(edm=on))
        for on in (False, True)
    )
    t = seen['time'].view(2, 1, 1, 1, 1)
    sigma, guess = t / (1 - t), seen['noisy'] - t * seen['flow']
    weight = (1 + sigma**2) / sigma**2
    torch.testing.assert_close(edm, (weight * (guess - x0) ** 2)[:, :, 1:].mean())
    assert 0.5 * plain < edm < plain


@torch.no_grad()
def test_noise_of_a_clip_is_its_own():
    net, video, z = model(), clip(), codes()
    own = [net.loss(video[i : i + 1], z[i : i + 1], generator=[seeded(i)]) for i in (0, 1)]
    both = net.loss(video, z, generator=[seeded(0), seeded(1)])
    torch.testing.assert_close(both, torch.stack(own).mean())
    assert not torch.allclose(own[0], net.loss(video[:1], z[:1], generator=[seeded(1)]))
    rebuilt = [net.autoencoder_loss(video[i : i + 1], generator=[seeded(i)]) for i in (0, 1)]
    together = net.autoencoder_loss(video, generator=[seeded(0), seeded(1)])
    assert together.shape == (2,)
    torch.testing.assert_close(together, torch.cat(rebuilt))


@torch.no_grad()
def test_sampling_takes_the_steps_of_the_video2world_pipeline():
    net, video = model(), clip()
    net.velocity = lambda x, time, *_: x.roll(1, dims=-1) * 0.3 + time.view(-1, 1, 1, 1, 1)
    net.decode = lambda x, first: x
    ours = net.sample(video[:, 0], steps=5, generator=seeded(8))
    # the pipeline's own: x0 + sigma eps, sigmas from 80 to 0.002, the clean frame put in each time
    scheduler = net.scheduler
    scheduler.register_to_config(sigma_max=80.0, sigma_min=0.002)
    scheduler.set_timesteps(sigmas=torch.linspace(0, 1, 5))
    first = net.encode(video[:, :1])
    x = torch.randn((2, 8, 3, 4, 4), generator=seeded(8)) * 80
    for sigma, timestep in zip(scheduler.sigmas, scheduler.timesteps):
        t = sigma / (1 + sigma)
        flow = net.velocity(torch.cat([first, (1 - t) * x], 2), t.expand(2))[:, :, 1:]
        x0 = (1 - t) * x - t * flow
        x = scheduler.step((x - x0) / sigma, timestep, x).prev_sample
    torch.testing.assert_close(ours, torch.cat([first, x], 2), rtol=1e-4, atol=1e-4)
    assert scheduler.sigmas[0] == pytest.approx(80) and scheduler.sigmas[4] == pytest.approx(0.002)


def test_it_learns_one_clip():
    net = model(control_is_trained=False)
    with torch.no_grad():
        x0, hint = latents(), latents()

    def held_out():
        with torch.no_grad():
            return sum(net.flow_loss(x0, codes(), hint, seeded(s)).item() for s in range(5)) / 5

    before = held_out()
    optimizer = torch.optim.AdamW(
        [p for n, p in net.named_parameters() if not n.startswith('vae.')], lr=3e-3
    )
    for step in range(150):
        optimizer.zero_grad()
        net.flow_loss(x0, codes(), hint, seeded(100 + step)).backward()
        optimizer.step()
    assert held_out() < 0.5 * before


def test_its_autoencoder_learns_and_its_latents_get_mean_0_and_deviation_1():
    net, video = model(), clip()[:, :5] * 0.2 + torch.tensor([0.2, 0.5, 0.7]).view(3, 1, 1)
    optimizer = torch.optim.AdamW(net.vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = net.autoencoder_loss(video.clamp(0, 1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    net.measure_latents(video)
    x = net.encode(video)
    torch.testing.assert_close(x.mean((0, 2, 3, 4)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3, 4)), torch.ones(8), atol=1e-3, rtol=0)
    assert not torch.equal(net.statistics, model().statistics)


def test_it_is_the_denoising_loss_of_the_dldm():
    dldm = DLDM(
        DLDMConfig(
            image_size=32,
            clip_frames=13,
            channels=(8, 8, 8),
            decoder_channels=(8, 8, 8),
            query_width=16,
            query_heads=2,
        )
    )
    out = dldm.loss(clip(), model().loss)
    out['loss'].backward()
    assert out['denoising_loss'].isfinite() and dldm.qformer.q.grad.any()


def test_bad_inputs_are_told():
    net = model()
    with pytest.raises(ValueError, match=r'video must be float \(B, 13, 3, 32, 32\). Got'):
        net.loss(clip()[:, :9], codes())
    with pytest.raises(ValueError, match=r'video must be float .* Got torch.uint8'):
        net.loss(clip().to(torch.uint8), codes())
    with pytest.raises(ValueError, match=r'codes must be \(2, 3, 4, 4\). Got'):
        net.loss(clip(), codes()[:, :2])
    with pytest.raises(ValueError, match='first_frame must be float'):
        net.sample(clip(), codes())
    with pytest.raises(ValueError, match='control must be float'):
        net.sample(clip()[:, 0], codes(), clip()[:, :1])
    with pytest.raises(ValueError, match='steps must be at least 1. Got 0'):
        net.sample(clip()[:, 0], steps=0)


def test_the_other_models_do_without_diffusers():
    code = (
        'import sys, vw2_ros.models.dldm, vw2_ros.models.checkpoint\n'
        'print("diffusers" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'False'
