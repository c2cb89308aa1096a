# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VDM: configs that are refused, and the sizes of ours and of the paper's."""

import dataclasses

import pytest
import torch
from vdm_helpers import TINY

pytest.importorskip('diffusers')

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel  # noqa: E402

from vw2_ros.models.storage import save_tensors  # noqa: E402
from vw2_ros.models.training.checkpoints import check_size  # noqa: E402
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS, VDMConfig  # noqa: E402

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
