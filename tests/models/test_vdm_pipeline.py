# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VDM: run folders and diffusers' pipeline folders."""

import json
import shutil

import pytest
import torch
from vdm_helpers import TINY, clip, codes, latents, model, seeded

pytest.importorskip('diffusers')

from diffusers import CosmosTransformer3DModel  # noqa: E402

from vw2_ros.models.config import from_dict, to_dict  # noqa: E402
from vw2_ros.models.errors import CheckpointError  # noqa: E402
from vw2_ros.models.storage import load_state, load_tensors, save_tensors  # noqa: E402
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import VDMConfig, cosmos_sizes  # noqa: E402


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
    net, other = model().eval(), VDM(from_dict(VDMConfig, to_dict(TINY))).eval()
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
    no_mask = CosmosTransformer3DModel(**{**cosmos_sizes(TINY)[0], 'in_channels': 8})
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
