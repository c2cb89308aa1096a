# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VDM: exact causality, gradients, control branch, flow matching, diffusers' folders."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
import torch

pytest.importorskip('diffusers')

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel  # noqa: E402

from vw2_ros.models import vdm as video_diffusion  # noqa: E402
from vw2_ros.models.checkpoint import (
    CheckpointError,
    config_from_dict,
    config_to_dict,
    load_state,
    load_tensors,
    save_tensors,
)
from vw2_ros.models.dldm import DLDM, DLDMConfig  # noqa: E402
from vw2_ros.models.training.checkpoints import check_size
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS, VDMConfig  # noqa: E402

TINY = CONFIGS['tiny']
LATENT = (2, 8, 4, 4, 4)  # (B, C, K, h, w)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def model(control_is_trained=True, **changes):
    torch.manual_seed(0)
    net = VDM(dataclasses.replace(TINY, **changes))
    if control_is_trained and net.controlnet is not None:
        for block in net.controlnet.control_blocks:
            torch.nn.init.normal_(block.after_proj.weight, std=0.2)
    return net


def clip(batch=2, seed=1):
    return torch.rand(batch, TINY.clip_frames, 3, TINY.height, TINY.width, generator=seeded(seed))


def codes(batch=2, seed=2):
    return (
        torch.rand(batch, TINY.steps, TINY.queries, TINY.code_size, generator=seeded(seed)) * 2 - 1
    )


def latents(seed=3):
    return torch.randn(LATENT, generator=seeded(seed))


def frames_that_differ(a, b, dim):
    """Numbers of the frames of two tensors that are not bit by bit the same."""
    return [k for k in range(a.shape[dim]) if not torch.equal(a.select(dim, k), b.select(dim, k))]


def changed(given, step):
    """The codes with those of one step (1..K-1) changed."""
    other = given.clone()
    other[:, step - 1] = -other[:, step - 1] + 0.1
    return other


# ------------------------------------------------------------------------------------------ shapes


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


# --------------------------------------------------------------------------------------- causality


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


# ------------------------------------------------------------------------------ gradients, control


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


# ----------------------------------------------------------------------- diffusers' own, unchanged


@torch.no_grad()
def test_processors_leave_the_weights_alone():
    net = model(mask='full', self_attention='bidirectional', control=False)
    own = CosmosTransformer3DModel(**video_diffusion._sizes(net.config)[0])
    assert net.transformer.state_dict().keys() == own.state_dict().keys()
    own.load_state_dict(net.transformer.state_dict())
    t = torch.tensor([0.3, 0.9])
    clean = torch.zeros(2, 1, 4, 4, 4)
    clean[:, :, 0] = 1
    time = t.view(2, 1, 1, 1, 1).repeat(1, 1, 4, 1, 1)
    time[:, :, 0] = video_diffusion.CLEAN_TIME
    theirs = own(
        hidden_states=latents(),
        timestep=time,
        fps=16,
        condition_mask=clean,
        encoder_hidden_states=net.connector(codes()),
        padding_mask=torch.zeros(1, 1, 4, 4),
    ).sample
    torch.testing.assert_close(net.velocity(latents(), t, codes()), theirs)


# Cosmos-Predict2-2B-Video2World, as diffusers' convert_cosmos_to_diffusers.py writes it: its
# transformer, Wan 2.1's VAE, and the scheduler as the pipeline sets it.
PUBLISHED = {
    'transformer': {
        'in_channels': 17,
        'out_channels': 16,
        'num_attention_heads': 16,
        'attention_head_dim': 128,
        'num_layers': 28,
        'mlp_ratio': 4.0,
        'text_embed_dim': 1024,
        'adaln_lora_dim': 256,
        'max_size': (128, 240, 240),
        'patch_size': (1, 2, 2),
        'rope_scale': (1.0, 3.0, 3.0),
        'concat_padding_mask': True,
        'extra_pos_embed_type': None,
    },
    'vae': {
        'base_dim': 96,
        'z_dim': 16,
        'dim_mult': [1, 2, 4, 4],
        'num_res_blocks': 2,
        'attn_scales': [],
        'temperal_downsample': [False, True, True],
        'dropout': 0.0,
    },
    'scheduler': {'use_karras_sigmas': True, 'sigma_max': 80.0, 'sigma_min': 0.002},
}


def test_the_papers_size_is_the_published_one():
    with torch.device('meta'):
        net = VDM(VDMConfig())
        theirs = {
            'transformer': CosmosTransformer3DModel(**PUBLISHED['transformer']),
            'vae': AutoencoderKLWan(**PUBLISHED['vae']),
        }
    assert all(p.is_meta for p in net.parameters())
    for name, keys in PUBLISHED.items():
        own = getattr(net, name).config
        assert {key: own[key] for key in keys} == keys
    for name, part in theirs.items():
        shapes = [
            {key: value.shape for key, value in model.state_dict().items()}
            for model in (getattr(net, name), part)
        ]
        assert shapes[0] == shapes[1]
    count = sum(p.numel() for p in net.transformer.parameters())
    assert count == 1_956_413_440
    c = net.config
    assert (c.latent_frames, c.steps * c.queries, c.places) == (24, 92, 30 * 52)
    assert len(net.controlnet.control_blocks) == len(range(0, 28, c.control_every)) == 3
    # a whole step of it, shapes only
    x = torch.empty(1, 16, 24, 60, 104, device='meta')
    z = torch.empty(1, 23, 4, 4, device='meta')
    assert net.velocity(x, torch.empty(1, device='meta'), z, x).shape == x.shape


def test_checkpoints_of_the_papers_size_may_be_saved():
    with torch.device('meta'):
        check_size(VDM(VDMConfig()))


@pytest.mark.parametrize('name', ['cpu', 'gpu'])
def test_our_sizes_fit_into_one_shipped_file(name, tmp_path):
    net = VDM(CONFIGS[name])
    save_tensors(tmp_path / 'vdm.safetensors', net.state_dict(), dtype='float16')
    assert net.config.self_attention == 'frame_causal'


# ------------------------------------------------------------------------------------ flow matching


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
    plain, edm = (net.flow_loss(x0, codes(), generator=seeded(7), edm=on) for on in (False, True))
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
    net.decode = lambda x: x
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


# ----------------------------------------------------------------------------------------- folders


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline folder as diffusers writes it, and the model it came from."""
    net = model(self_attention='bidirectional')
    folder = tmp_path / 'pipeline'
    for name in ('transformer', 'vae', 'scheduler'):
        getattr(net, name).save_pretrained(folder / name)
    (folder / 'model_index.json').write_text('{"_class_name": "Cosmos2VideoToWorldPipeline"}')
    return folder, net


CLIP_ONLY = VDMConfig(height=32, width=32, clip_frames=13, control_blocks=1, layers=1)


@torch.no_grad()
def test_a_pipeline_from_the_hub(pipeline):
    folder, net = pipeline
    assert sorted(p.name for p in (folder / 'transformer').iterdir()) == [
        'config.json',
        'diffusion_pytorch_model.safetensors',
    ]
    loaded = VDM.load_pipeline(folder, CLIP_ONLY)
    assert not any(x.is_meta for x in (*loaded.parameters(), *loaded.buffers()))
    assert loaded.config == net.config  # the sizes are the folder's
    for name in ('transformer', 'vae'):
        own, theirs = getattr(net, name).state_dict(), getattr(loaded, name).state_dict()
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[key], theirs[key]) for key in own)
    assert torch.equal(loaded.encode(clip()), net.eval().encode(clip()))
    t = torch.tensor([0.3, 0.9])
    loaded.connector.load_state_dict(net.connector.state_dict())
    assert torch.equal(loaded.velocity(latents(), t, codes()), net.velocity(latents(), t, codes()))


@torch.no_grad()
def test_our_own_is_one_config_and_one_file_of_tensors(tmp_path):
    net, other = model().eval(), VDM(config_from_dict(VDMConfig, config_to_dict(TINY))).eval()
    net.measure_latents(clip())
    save_tensors(tmp_path / 'vdm.safetensors', net.state_dict())
    load_state(other, load_tensors(tmp_path / 'vdm.safetensors')[0], 'vdm.safetensors')
    made, again = (
        m.sample(clip()[:, 0], codes(), clip(seed=4), 2, seeded(9)) for m in (net, other)
    )
    assert other.config == TINY and torch.equal(made, again)


@torch.no_grad()
def test_half_precision(pipeline):
    net = VDM.load_pipeline(pipeline[0], CLIP_ONLY, dtype=torch.bfloat16)
    assert net.transformer.dtype == net.controlnet.dtype == torch.bfloat16
    assert net.vae.dtype == net.connector.null.dtype == torch.bfloat16
    assert net.loss(clip(), codes(), clip(seed=4)).dtype == torch.float32
    assert net.sample(clip()[:, 0], codes(), clip(seed=4), 1).isfinite().all()


def test_what_is_wrong_with_a_folder_is_told(pipeline, tmp_path):
    folder, _ = pipeline

    def broken(name, change):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(CheckpointError) as told:
            VDM.load_pipeline(copy, CLIP_ONLY)
        return str(told.value)

    def edit(file, **keys):
        def change(copy):
            saved = json.loads((copy / file).read_text())
            (copy / file).write_text(json.dumps({**saved, **keys}))

        return change

    torch.manual_seed(0)
    no_mask = CosmosTransformer3DModel(**{**video_diffusion._sizes(TINY)[0], 'in_channels': 8})
    weights = 'transformer/diffusion_pytorch_model.safetensors'
    message = broken('no_vae', lambda p: shutil.rmtree(p / 'vae'))
    assert 'must describe a AutoencoderKLWan. Got nothing there. Give the whole' in message
    message = broken('class', edit('transformer/config.json', _class_name='WanTransformer3DModel'))
    assert 'CosmosTransformer3DModel. Got WanTransformer3DModel' in message
    message = broken(
        'scheduler', edit('scheduler/scheduler_config.json', _class_name='UniPCMultistepScheduler')
    )
    assert 'FlowMatchEulerDiscreteScheduler. Got UniPC' in message
    message = broken(
        'pickle', lambda p: (p / weights).rename(p / 'transformer/diffusion_pytorch_model.bin')
    )
    assert 'must hold diffusion_pytorch_model.safetensors. Got' in message and '.bin' in message
    message = broken('cut', lambda p: (p / weights).write_bytes((p / weights).read_bytes()[:9000]))
    assert 'must be a whole safetensors file' in message
    message = broken('fewer', edit('transformer/config.json', num_layers=3))
    assert "missing ['transformer_blocks.2." in message
    message = broken('wide', edit('transformer/config.json', text_embed_dim=64))
    assert 'attn2.to_k.weight must be (32, 64). Got (32, 32)' in message
    message = broken('text2world', lambda p: no_mask.save_pretrained(p / 'transformer'))
    assert 'transformer: in_channels must be 9' in message and 'Got 8' in message


@pytest.mark.parametrize(
    'change',
    [
        {'height': 40},
        {'width': 0},
        {'clip_frames': 16},
        {'head_size': 8},
        {'mask': 'causal'},
        {'connector': 'linear'},
        {'self_attention': 'causal'},
        {'control_blocks': 3},
        {'control_weight': -1.0},
        {'rope_scale': (1.0, 1.0)},
        {'layers': 0},
        {'vae_patch': 4},
        {'fps': 0.0},
    ],
)
def test_a_bad_config_fails_when_it_is_built(change):
    with pytest.raises(ValueError, match=r'must .*Got'):
        dataclasses.replace(TINY, **change)


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
