# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 train disentangle`: what learns, what it leaves, resume."""

import dataclasses
import json
import sys

import calvin_files
import pytest
import torch
import yaml

pytest.importorskip('diffusers')

from vw2_ros.cli import main as vw2  # noqa: E402
from vw2_ros.models.data.codes import CODES_FILE
from vw2_ros.models.dldm import DLDM, DLDMConfig  # noqa: E402
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.run_folder import load_model  # noqa: E402
from vw2_ros.models.stages import disentangle as train_disentangle  # noqa: E402
from vw2_ros.models.stages.disentangle import (  # noqa: E402
    DisentangleConfig,
    Disentangled,
    DisentangleSettings,
    DisentangleStage,  # noqa: E402
    vdm_for,
)
from vw2_ros.models.stages.vdm import VDMStage
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.storage import load_tensors  # noqa: E402
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.config import config_path, read_settings
from vw2_ros.models.training.run import run  # noqa: E402
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS, VDMConfig  # noqa: E402


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('videos') / 'data', 20, shards=True, words=False
    )


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """Warm-up and prior of the tiny config."""
    folder = tmp_path_factory.mktemp('runs')
    run(WarmUpStage('tiny', [data]), folder / 'warmup')
    run(VDMStage('tiny', [data]), folder / 'vdm')
    return folder


def config(path, **changes):
    content = yaml.safe_load(config_path('tiny').read_text())
    for part, values in changes.items():
        content['disentangle'].setdefault(part, {}).update(values)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope='module')
def whole(runs, data):
    """A run through the command line, which finds warm-up and prior beside --out."""
    assert (
        vw2(
            [
                'train',
                'disentangle',
                '--config',
                'tiny',
                '--data',
                str(data),
                '--out',
                str(runs / 'dldm'),
            ]
        )
        == 0
    )
    return runs / 'dldm'


@pytest.mark.parametrize('name', ['tiny', 'cpu', 'gpu'])
def test_shipped_sections_are_valid(name):
    settings = read_settings(DisentangleSettings, name)
    assert settings.loss == DisentangleConfig() and settings.vdm == {}


def tensors_of(folder, name):
    return load_tensors(folder / f'{name}.safetensors')[0]


def build(runs, backbone='full', switches=None, **loss):
    dldm = load_model(DLDM, DLDMConfig, runs / 'warmup', 'dldm')
    torch.manual_seed(0)
    vdm = vdm_for(dldm.config, runs / 'vdm', switches or {}, backbone, fps=30)
    return Disentangled(dldm, vdm, DisentangleConfig(backbone=backbone, **loss))


def clips(model, count=2):
    c = model.dldm.config
    torch.manual_seed(1)
    return torch.rand(count, c.clip_frames, 3, c.image_size, c.image_size)


def test_both_models_learn_and_the_planner_finds_codes(whole, runs):
    before, after = (tensors_of(folder, 'dldm') for folder in (runs / 'warmup', whole))
    assert all((after[key] != before[key]).any() for key in ('qformer.q', 'code_query'))
    vdm = load_model(VDM, VDMConfig, whole, 'vdm')
    prior = load_model(VDM, VDMConfig, runs / 'vdm', 'vdm')
    moved = {
        name: any((a != b).any() for a, b in zip(part.parameters(), old.parameters()))
        for name, part, old in (
            ('transformer', vdm.transformer, prior.transformer),
            ('connector', vdm.connector.norm, prior.connector.norm),
            ('vae', vdm.vae, prior.vae),
        )
    }
    assert moved == {'transformer': True, 'connector': True, 'vae': False}
    assert vdm.controlnet.control_blocks[0].after_proj.weight.any()
    assert vdm.config.fps == 30  # of the clips
    assert set(load_tensors(whole / CODES_FILE)[0]) == {'folder', 'frame_ids', 'indices'}
    assert {path.name for path in (whole / 'pictures').glob('*_000006.png')} == {
        'real_above_rebuilt_000006.png',
        'real_above_imagined_000006.png',
    }
    record = json.loads((whole / 'provenance.json').read_text())
    assert record['stage'] == 'disentangle' and record['warmup']['stage'] == 'dldm'
    assert record['vdm']['stage'] == 'vdm'
    assert {'mse', 'denoising_loss', 'denoising_other', 'code_gain', 'code_usage'} <= set(
        record['scores']
    )
    assert 'code_gain_alone' in record['scores']
    assert len(record['code_gain_by_time']) == 10


def test_codes_that_say_little_are_told(runs, data, tmp_path, capsys):
    # after six steps the VDM does not read them yet
    dropped = {'control_dropout': 0.9, 'noise_draws': 2}
    file = config(tmp_path / 'dropped.yaml', loss=dropped, labels={'share': 1.0})
    stage = DisentangleStage(file, [data], init=runs / 'warmup', vdm=runs / 'vdm')
    run(stage, tmp_path / 'run')
    assert 'raise disentangle.loss.control_dropout' in ' '.join(capsys.readouterr().err.split())
    assert stage.identity()['loss']['control_dropout'] == 0.9
    # the few clips with actions teach too, and leave no weights behind
    lines = [json.loads(line) for line in (tmp_path / 'run/log.jsonl').open()]
    assert all(line['label_loss'] > 0 for line in lines if line['kind'] == 'train')
    assert (
        tensors_of(tmp_path / 'run', 'dldm').keys() == tensors_of(runs / 'warmup', 'dldm').keys()
    )


def test_runs_that_were_begun_before_a_switch_was_there_go_on():
    assert 'control_dropout' not in DisentangleConfig().identity()


@pytest.mark.parametrize(
    ('key', 'value'), [('control_dropout', 2), ('code_times', [1, 0]), ('noise_draws', 0)]
)
def test_draws_that_make_no_sense_are_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=key):
        DisentangleConfig(**{key: value})


def query_gradient(model, loss=lambda result: result['loss']):
    """Gradient at the dLDM's query, where the control branch adds something already."""
    torch.manual_seed(2)
    for block in model.vdm.controlnet.control_blocks:
        torch.nn.init.normal_(block.after_proj.weight, std=0.2)
    model.zero_grad()
    loss(model.loss(clips(model), noise())).backward()
    assert model.vdm.controlnet.control_blocks[0].after_proj.weight.grad.any()
    return model.dldm.qformer.q.grad.clone()


def test_codes_learn_from_the_vdm_alone(runs):
    """With sg the query's gradient is that of the denoising loss; without, another comes on top."""
    model = build(runs)
    both = query_gradient(model)
    denoising = query_gradient(model, lambda r: r['loss'] - r['reconstruction_loss'])
    assert both.any() and torch.equal(both, denoising)
    assert not torch.allclose(both, query_gradient(build(runs, stop_gradient=False)))


@pytest.mark.parametrize('detach', [True, False])
def test_codes_learn_nothing_through_control(runs, detach):
    model = build(runs, switches={'detach_control': detach})
    for block in model.vdm.transformer.transformer_blocks:  # the other way to the codes is shut
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    assert bool(query_gradient(model).any()) is not detach


def test_control_branch_starts_as_the_trained_backbone(runs):
    vdm = build(runs).vdm
    block, source = vdm.controlnet.control_blocks[0], vdm.transformer.transformer_blocks[0]
    torch.testing.assert_close(block.attn1.to_q.weight, source.attn1.to_q.weight)
    prior = load_model(VDM, VDMConfig, runs / 'vdm', 'vdm')
    torch.testing.assert_close(
        source.attn1.to_q.weight, prior.transformer.transformer_blocks[0].attn1.to_q.weight
    )
    torch.testing.assert_close(vdm.connector.null, prior.connector.null)
    torch.testing.assert_close(vdm.statistics, prior.statistics)


def test_a_vdm_learns_codes_that_stay(runs, data, tmp_path):
    path = config(tmp_path / 'c.yaml', loss={'learn_codes': False})
    run(DisentangleStage(path, [data], runs / 'warmup', runs / 'vdm'), tmp_path / 'out')
    for name, first, same in (('dldm', 'warmup', True), ('vdm', 'vdm', False)):
        before, _ = load_tensors(runs / first / f'{name}.safetensors')
        after, _ = load_tensors(tmp_path / 'out' / f'{name}.safetensors')
        equal = [torch.equal(before[k], after[k]) for k in before.keys() & after.keys()]
        assert all(equal) is same
    with pytest.raises(ConfigError, match='then nothing learns'):
        DisentangleConfig(learn_codes=False, backbone='frozen')


def test_missing_peft_is_told(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(ConfigError, match="needs peft, .*pip install 'peft>=0.17', or take back"):
        build(runs, 'lora')


@pytest.mark.parametrize('backbone', ['full', 'lora', 'frozen', 'random'])
def test_what_of_the_backbone_learns(runs, backbone):
    if backbone == 'lora':
        pytest.importorskip('peft')
    model = build(runs, backbone)
    learns = {name for name, p in model.vdm.transformer.named_parameters() if p.requires_grad}
    every = {name for name, _ in model.vdm.transformer.named_parameters()}
    assert (
        learns
        == {
            'full': every,
            'random': every,
            'frozen': set(),
            'lora': {name for name in every if 'lora_' in name},
        }[backbone]
    )
    assert bool(learns) == (backbone != 'frozen')
    prior = load_model(VDM, VDMConfig, runs / 'vdm', 'vdm')
    same = torch.equal(
        prior.transformer.patch_embed.proj.weight,
        model.vdm.transformer.state_dict()[
            ('base_model.model.' if backbone == 'lora' else '') + 'patch_embed.proj.weight'
        ],
    )
    assert same == (backbone != 'random')
    model.loss(clips(model))['loss'].backward()
    assert model.dldm.qformer.q.grad.any()


def test_adapters_are_merged_into_what_is_saved(runs, data, tmp_path):
    pytest.importorskip('peft')
    file = config(tmp_path / 'c.yaml', loss={'backbone': 'lora', 'lora_rank': 2})
    run(DisentangleStage(file, [data], runs / 'warmup', runs / 'vdm'), tmp_path / 'dldm')
    saved = load_model(VDM, VDMConfig, tmp_path / 'dldm', 'vdm')
    prior = load_model(VDM, VDMConfig, runs / 'vdm', 'vdm')
    pairs = [
        (
            m.transformer.transformer_blocks[0].attn1.to_q.weight,
            m.transformer.patch_embed.proj.weight,
        )
        for m in (saved, prior)
    ]
    assert (pairs[0][0] != pairs[1][0]).any() and torch.equal(pairs[0][1], pairs[1][1])


@pytest.mark.parametrize(
    'switches', [{'control': False}, {'mask': 'full', 'connector': 'conv', 'control_grey': True}]
)
def test_switches_reach_the_vdm(runs, switches):
    model = build(runs, switches=switches)
    model.loss(clips(model))['loss'].backward()
    assert model.dldm.qformer.q.grad.any()
    assert (model.vdm.controlnet is None) == ('control' in switches)


@pytest.mark.parametrize(
    'change, told',
    [
        ({'vdm': {'heads': 3}}, 'sizes of the prior must stay'),
        ({'vdm': {'hieght': 3}}, 'hieght'),
        ({'vdm': {'mask': 'some'}}, 'mask must be'),
        ({'loss': {'backbone': 'half'}}, 'backbone must be'),
        ({'loss': {'l1': -1}}, 'l1 and perceptual must be >= 0'),
        ({'loss': {'mse': 0}}, 'one of them > 0. Got 0.0, 0.0, 0.0'),
    ],
)
def test_bad_switches_are_refused(runs, data, tmp_path, change, told):
    file = config(tmp_path / 'c.yaml', **change)
    with pytest.raises(ConfigError, match=told):
        run(DisentangleStage(file, [data], runs / 'warmup', runs / 'vdm'), tmp_path / 'd')


def test_resumed_equals_uninterrupted(whole, runs, data, tmp_path):
    train = {'steps': 6, 'checkpoint_minutes': 1e-9}
    file = config(tmp_path / 'c.yaml', train=train)
    out = tmp_path / 'dldm'
    run(DisentangleStage(file, [data], runs / 'warmup', runs / 'vdm'), out)
    for newest in checkpoints(out)[1:]:
        for part in newest.iterdir():
            part.unlink()
        newest.rmdir()
    (out / 'vdm.safetensors').unlink()
    run(DisentangleStage(file, [data], runs / 'warmup', runs / 'vdm'), out, resume=True)
    for name in ('dldm', 'vdm'):
        again, once = tensors_of(out, name), tensors_of(whole, name)
        assert all(torch.equal(again[key], once[key]) for key in once), name


class Distance(torch.nn.Module):
    """In the place of LPIPS: the squared error of pictures through a convolution."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.net = torch.nn.Conv2d(3, 2, 3).eval().requires_grad_(False)

    def forward(self, a, b, normalize=False):
        assert a.ndim == b.ndim == 4 and normalize
        return (self.net(a) - self.net(b)).square().mean((1, 2, 3), keepdim=True)


PUBLIC_CODE = {'mse': 0.0, 'l1': 2.0, 'perceptual': 0.1, 'denoising': 10.0, 'edm': True}


@pytest.fixture
def distance(monkeypatch):
    network = Distance()
    monkeypatch.setattr(train_disentangle, 'lpips_network', {'vgg': network}.get)
    return network


def noise(count=2):
    return [torch.Generator().manual_seed(i) for i in range(count)]


def test_losses_of_the_public_code(runs, distance):
    model, plain = build(runs, **PUBLIC_CODE), build(runs)
    video = clips(model)
    result, text = model.loss(video, noise()), plain.loss(video, noise())
    rebuilt = result['reconstruction']
    wanted = (
        2 * (rebuilt - video).abs().mean()
        + 0.1 * distance(rebuilt.flatten(0, 1), video.flatten(0, 1), normalize=True).mean()
    )
    torch.testing.assert_close(result['reconstruction_loss'], wanted)
    torch.testing.assert_close(result['loss'], wanted + result['denoising_loss'])
    assert 5 * text['denoising_loss'] < result['denoising_loss'] < 10 * text['denoising_loss']
    torch.testing.assert_close(text['reconstruction_loss'], text['mse'])
    torch.testing.assert_close(result['mse'], text['mse'])


def test_decoder_learns_from_the_perceptual_loss(runs, distance):
    model = build(runs, mse=0.0, perceptual=1.0)
    assert not any(m is distance for m in model.modules())
    model.loss(clips(model), noise())['loss'].backward()
    assert model.dldm.code_query.grad.any()
    assert distance.net.weight.grad is None


def test_motion_weighs_l1_too(runs):
    dldm = build(runs).dldm
    dldm.config = dataclasses.replace(dldm.config, motion_weight=3.0)
    video = torch.zeros(1, 2, 3, 32, 32)
    video[:, 1, :, :16] = 0.5  # half of the second frame moves
    decoded = video + 0.2
    parts = [float(dldm.reconstruction_loss(decoded, video, *w)) for w in ((1, 0), (0, 1), (2, 3))]
    moved = 1 + 0.25 * 3 * 0.5
    assert parts == pytest.approx([0.04 * moved, 0.2 * moved, 0.68 * moved])


def test_a_run_with_the_losses_of_the_public_code(runs, data, tmp_path, distance):
    file = config(tmp_path / 'c.yaml', loss=PUBLIC_CODE, train={'steps': 2})
    run(DisentangleStage(file, [data], runs / 'warmup', runs / 'vdm'), tmp_path / 'd')
    record = json.loads((tmp_path / 'd' / 'provenance.json').read_text())
    assert PUBLIC_CODE.items() <= record['loss'].items()
    assert not any(
        'perceptual' in name
        for name in load_tensors(checkpoints(tmp_path / 'd')[-1] / 'model.safetensors')[0]
    )


def test_what_a_perceptual_loss_needs_is_told(runs, monkeypatch):
    monkeypatch.setattr(train_disentangle, 'lpips_network', lambda net: None)
    with pytest.raises(ConfigError, match=r"pip install 'vw2_ros\[lpips\]'.*weights once"):
        build(runs, perceptual=0.1)


def test_a_pipeline_is_the_prior(runs, data, tmp_path):
    """As Cosmos-Predict2 comes from the hub, but small; it is said to have 30 frames per second."""
    torch.manual_seed(0)
    net = VDM(dataclasses.replace(CONFIGS['tiny'], self_attention='bidirectional'))
    for name in ('transformer', 'vae', 'scheduler'):
        getattr(net, name).save_pretrained(tmp_path / 'pipeline' / name)
    file = config(tmp_path / 'c.yaml', train={'steps': 2}, vdm={'control_blocks': 1})
    assert (
        vw2(
            [
                'train',
                'disentangle',
                '--config',
                str(file),
                '--data',
                str(data),
                '--init',
                str(runs / 'warmup'),
                '--vdm',
                str(tmp_path / 'pipeline'),
                '--out',
                str(tmp_path / 'dldm'),
            ]
        )
        == 0
    )
    vdm = VDM.load(tmp_path / 'dldm')
    assert vdm.config == dataclasses.replace(net.config, clip_frames=17, fps=30)
    begun, ended = net.state_dict(), vdm.state_dict()
    moved = {
        part: any(
            not torch.equal(ended[key], value)
            for key, value in begun.items()
            if key.startswith(part)
        )
        for part in ('transformer.', 'vae.')
    }
    assert moved == {'transformer.': True, 'vae.': False}


def test_missing_runs_are_named(data, tmp_path, capsys):
    assert (
        vw2(
            [
                'train',
                'disentangle',
                '--config',
                'tiny',
                '--data',
                str(data),
                '--out',
                str(tmp_path / 'dldm'),
            ]
        )
        == 2
    )
    assert 'the warmup run' in capsys.readouterr().err
