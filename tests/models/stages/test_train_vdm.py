# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 train vdm`: both lessons, what they leave, resume."""

import dataclasses
import json
import math
import shutil

import calvin_files
import cv2
import numpy as np
import pytest
import torch
import yaml

pytest.importorskip('diffusers')

from vw2_ros.models.data.batches import ClipConfig  # noqa: E402
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.run_folder import load_model  # noqa: E402
from vw2_ros.models.stages import vdm as train_vdm  # noqa: E402
from vw2_ros.models.stages.vdm import (
    VDMSettings,
    VDMStage,  # noqa: E402
)
from vw2_ros.models.storage import load_tensors  # noqa: E402
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.config import TrainConfig, config_path, read_settings
from vw2_ros.models.training.run import run as train_stage  # noqa: E402
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS, VDMConfig  # noqa: E402


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('videos') / 'data', 20, shards=True, words=False
    )


def tiny(path, **changes):
    """The tiny config with changes, e.g. train={'steps': 3}; returns the file."""
    content = yaml.safe_load(config_path('tiny').read_text())
    for part, values in changes.items():
        content['vdm'].setdefault(part, {}).update(values)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope='module')
def run(data, tmp_path_factory):
    """A whole run of the tiny config, with a checkpoint after every step."""
    folder = tmp_path_factory.mktemp('run')
    often = {'checkpoint_minutes': 1e-9}
    config = tiny(folder / 'c.yaml', vae=often, train=often)
    train_stage(VDMStage(config, [data]), folder / 'vdm')
    return config, folder / 'vdm'


def tensors_of(file):
    return load_tensors(file)[0]


@pytest.mark.parametrize('name', ['tiny', 'cpu', 'gpu'])
def test_sizes_are_those_of_the_model_file(name):
    assert read_settings(VDMSettings, name).model == CONFIGS[name]


def test_stage_writes_a_model_that_loads(run):
    _, out = run
    model = load_model(VDM, VDMConfig, out, 'vdm')
    assert model.config == dataclasses.replace(CONFIGS['tiny'], fps=30)  # of the clips
    trained = tensors_of(checkpoints(out)[-1] / 'ema.safetensors')
    assert all(torch.equal(v, trained[k]) for k, v in model.state_dict().items())
    assert model.sample(torch.rand(1, 3, 32, 32), steps=2).shape == (1, 13, 3, 32, 32)
    record = json.loads((out / 'provenance.json').read_text())
    assert record['stage'] == 'vdm' and record['steps'] == 6 and record['vae']['steps'] == 4
    assert list((out / 'tensorboard').iterdir()) and (out / 'vae' / 'log.jsonl').is_file()


def test_a_patch_code_is_taken_from_clips_without_a_lesson(data, tmp_path):
    config = tiny(tmp_path / 'c.yaml', model={'vae': 'patch', 'predict': 'x0'}, train={'steps': 2})
    train_stage(VDMStage(config, [data]), tmp_path / 'vdm')
    assert not (tmp_path / 'vdm' / 'vae').exists()
    model = VDM.load(tmp_path / 'vdm')
    directions = model.vae.directions
    torch.testing.assert_close(directions @ directions.T, torch.eye(8), rtol=0, atol=1e-4)
    record = json.loads((tmp_path / 'vdm' / 'provenance.json').read_text())
    assert 0 < record['scores']['rebuilt_mse'] < 0.1 and record['vae'] == {}
    stage = VDMStage(config, [data], max_minutes=10)
    assert stage.train.max_minutes == 10  # there is nothing to share them with


def test_frames_that_are_left_out_lower_the_rate(data, tmp_path):
    assert ClipConfig(fps=10).rate(17) == 10
    assert ClipConfig(offsets=[0, 16, 16, 16, 16]).rate(5) == 7.5
    with pytest.raises(ConfigError, match='above 0'):
        ClipConfig(offsets=[0, 0, 0, 0, 0]).rate(5)
    config = tiny(
        tmp_path / 'c.yaml',
        vae={'steps': 1},
        train={'steps': 1},
        clips={'offsets': list(range(0, 26, 2))},
    )
    train_stage(VDMStage(config, [data]), tmp_path / 'vdm')
    assert VDM.load(tmp_path / 'vdm').config.fps == 15


def test_held_out_scores_are_numbers(run):
    _, out = run
    log = [json.loads(line) for line in (out / 'log.jsonl').open()]
    scores = [x for x in log if x['kind'] == 'validation']
    assert [x['step'] for x in scores][:2] == [3, 6]
    for name in ('loss', 'imagined_mse', 'still_mse'):
        assert all(math.isfinite(x[name]) and x[name] > 0 for x in scores)
    assert len({x['still_mse'] for x in scores}) == 1
    assert json.loads((out / 'provenance.json').read_text())['scores']['rebuilt_mse'] > 0


def test_curves_are_drawn_of_both_lessons(run, tmp_path):
    blue = (59, 118, 196)

    def panels(folder):
        picture = cv2.imread(str(folder / 'curves.png'))[..., ::-1]
        columns = np.flatnonzero((picture == blue).all(axis=2).any(axis=0))
        return picture.shape[1] // 306, 1 + int((np.diff(columns) > 60).sum())

    _, out = run
    assert panels(out) == (3, 3)
    assert [
        [r['step'] for r in train_vdm.validations(out / lesson / 'log.jsonl')]
        for lesson in ('.', 'vae')
    ] == [[3, 6], [4]]
    shutil.copy(out / 'log.jsonl', tmp_path)  # as after a move without the first lesson
    train_vdm.draw_curves(tmp_path)
    assert panels(tmp_path) == (2, 2)


def test_held_out_noise_is_fixed(run):
    model = load_model(VDM, VDMConfig, run[1], 'vdm')
    video = torch.rand(3, 13, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    assert train_vdm.flow_error(model, video, 2) == train_vdm.flow_error(model, video, 2)


def test_second_lesson_leaves_autoencoder_and_control_branch(run):
    _, out = run
    learned = tensors_of(checkpoints(out / 'vae')[-1] / 'ema.safetensors')
    torch.manual_seed(0)
    start = VDM(CONFIGS['tiny']).state_dict()
    end = tensors_of(out / 'vdm.safetensors')
    moved = {k for k, v in end.items() if not torch.equal(v, start[k])}
    for name, value in learned.items():
        assert torch.equal(end[f'vae.{name}'], value)
    assert {k.split('.')[0] for k in moved} == {'vae', 'transformer', 'connector', 'statistics'}
    assert {k for k in moved if k.startswith('connector')} == {'connector.null'}


@pytest.mark.parametrize('lesson', ['vae', 'vdm'])
def test_resumed_equals_uninterrupted(run, data, tmp_path, lesson):
    config, whole = run
    out = tmp_path / 'vdm'
    shutil.copytree(whole, out)
    shutil.rmtree(checkpoints(out)[-1])  # goes on from the step before
    if lesson == 'vae':  # ended in the first lesson
        shutil.rmtree(out / 'checkpoints')
        shutil.rmtree(checkpoints(out / 'vae')[-1])
    (out / 'vdm.safetensors').unlink()
    train_stage(VDMStage(config, [data]), out, resume=True)
    a, b = (tensors_of(folder / 'vdm.safetensors') for folder in (whole, out))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_finished_autoencoder_is_not_trained_again(run, data, tmp_path):
    config, whole = run
    out = tmp_path / 'vdm'
    shutil.copytree(whole, out)
    shutil.rmtree(out / 'vae')
    assert train_stage(VDMStage(config, [data]), out, resume=True)['steps'] == 6
    assert not (out / 'vae').exists()


def test_data_without_held_out_frames(data, tmp_path):
    shutil.copytree(data / 'training', tmp_path / 'data' / 'training')
    config = tiny(tmp_path / 'c.yaml', vae={'steps': 1}, train={'steps': 1})
    record = train_stage(VDMStage(config, [tmp_path / 'data']), tmp_path / 'vdm')
    assert set(record['scores']) == {'loss'} and not (tmp_path / 'vdm' / 'curves.png').exists()


def test_wrong_sizes_are_refused(data, tmp_path):
    for change, message in (
        ({'height': 36}, r'height must be a multiple of 8 \* patch = 16. Got 36'),
        ({'clip_frames': 16}, r'clip_frames must be 1 \+ a multiple of 4.* Got 16'),
    ):
        with pytest.raises(ConfigError, match=message):
            train_stage(
                VDMStage(tiny(tmp_path / 'c.yaml', model=change), [data]), tmp_path / 'vdm'
            )


def test_minutes_are_shared():
    vae, train = TrainConfig(max_minutes=5), TrainConfig(max_minutes=15)
    assert train_vdm.share(vae, train, 4) == (1, 3)
    assert train_vdm.share(vae, TrainConfig(), 4) == (2, 2)
    assert train_vdm.share(vae, train, None) == (None, None)
    assert train_vdm.share(vae, train, 0) == (0, 0)
