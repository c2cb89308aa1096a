# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The key-step classifier: labels from windows, training, what it says, a DINOv2 as its eye."""

import json

import calvin_files
import numpy as np
import pytest
import torch
import yaml

from vw2_ros.models.data.attempts import Attempts
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import CheckpointError, ConfigError
from vw2_ros.models.key_steps import KeyStepConfig, KeySteps, load_dinov2
from vw2_ros.models.stages.keysteps import (
    KeyStepsSettings,
    KeyStepsStage,
    PairConfig,
    blurred,
    scores,
)
from vw2_ros.models.training.config import config_path, read_settings
from vw2_ros.models.training.run import run

MARGIN = 22
TINY = KeyStepConfig(image_size=32, channels=(4, 8, 8), reduced=8, hidden=16)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('keys') / 'data'
    for split, episodes, seed in (('training', 30, 0), ('validation', 12, 1)):
        calvin_files.write_split(root / split, shards=True, episodes=episodes, seed=seed)
    return root


def config(path, **train):
    """The tiny config; a square that slides reaches no goal at a certain instant: wide margin."""
    content = yaml.safe_load(config_path('tiny').read_text())
    content['keysteps']['train'].update(train)
    content['keysteps']['pairs'] = {'margin': MARGIN}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    record = run(
        KeyStepsStage(config(folder / 'c.yaml', steps=120, batch=16, lr=5e-3), [data]),
        folder / 'k',
    )
    return record, folder / 'k'


def frames(seed, n=3, size=32):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def with_windows(folder, spans, tasks):
    """Rewrite the annotations of a split folder."""
    content = {
        'language': {'ann': ['do it'] * len(spans), 'task': tasks},
        'info': {'episodes': [], 'indx': spans},
    }
    np.save(folder / 'lang_annotations' / 'auto_lang_ann.npy', content, allow_pickle=True)


# --------------------------------------------------------------------- labels


def test_attempts_join_what_a_cut_parted(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=3, frames=40, shards=True)
    # 39 -> 40 is a cut; 64 -> 65 is none; at 79 -> 80 the task changes
    with_windows(
        tmp_path / 'training',
        [(80, 100), (40, 60), (5, 39), (61, 64), (65, 79)],
        ['a', 'a', 'a', 'b', 'b'],
    )
    found = Attempts.of(FrameStore([tmp_path], 'training', 32))
    named = [found.tasks[i] for i in found.task]
    assert list(zip(named, found.start, found.end)) == [
        ('a', 5, 60),
        ('b', 61, 64),
        ('b', 65, 79),
        ('a', 80, 100),
    ]
    only = Attempts.of(FrameStore([tmp_path], 'training', 32), ['x', 'b'])
    assert only.task.tolist() == [1, 1] and only.start.tolist() == [61, 65]


def test_earlier_frames_keep_away_from_the_end():
    found = Attempts(('a',), np.zeros(2, int), np.array([0, 100]), np.array([50, 104]))
    assert found.before(12, 0.0).tolist() == [0, 100]
    assert found.before(12, 1.0).tolist() == [37, 100]
    assert found.before(12, 0.5).tolist() == [18, 100]


def test_blur_is_of_the_chosen_alone():
    rgb = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    out = blurred(rgb, torch.tensor([False, True]))
    assert torch.equal(out[0], rgb[0]) and out[1].std() < 0.8 * rgb[1].std()


# ------------------------------------------------------------------- training


def test_it_learns_to_see_the_goal(trained):
    record, _ = trained
    assert record['scores']['accuracy'] > 0.75
    s = record['scores']
    assert s['accuracy'] == pytest.approx((s['hit'] + s['reject']) / 2)


def test_what_is_stored_says_the_same(trained, data):
    record, folder = trained
    stored = json.loads((folder / 'provenance.json').read_text())
    assert stored['scores'] == record['scores'] and stored['stage'] == 'keysteps'
    model = KeySteps.load(folder)
    assert model.tasks == tuple(sorted(calvin_files.PHRASES))
    store = FrameStore([data], 'validation', 32)
    again = scores(model, store, Attempts.of(store, model.tasks), MARGIN)
    assert again == {k: record['scores'][k] for k in again}


def test_frames_of_any_size_are_judged(trained, data):
    _, folder = trained
    model = KeySteps.load(folder)
    store = FrameStore([data], 'validation', 96)
    found = Attempts.of(store, model.tasks)
    start, end = store.rgb(found.start), store.rgb(found.end)
    said = model.reached(start, end)
    assert said.shape == (len(found), 3) and ((said >= 0) & (said <= 1)).all()
    own = said[np.arange(len(found)), found.task]
    assert own.mean() > model.reached(start, start)[np.arange(len(found)), found.task].mean() + 0.3


def test_interrupted_training_goes_on(data, tmp_path):
    often = {'steps': 4, 'checkpoint_minutes': 1e-9}
    whole = run(KeyStepsStage(config(tmp_path / 'c.yaml', **often), [data]), tmp_path / 'a')
    folder = sorted((tmp_path / 'a' / 'checkpoints').iterdir())[-1]
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()  # back to the step before
    again = run(
        KeyStepsStage(config(tmp_path / 'c.yaml', **often), [data]), tmp_path / 'a', resume=True
    )
    assert again['scores'] == whole['scores'] and again['steps'] == 4


def test_of_several_processes_one_writes(data, tmp_path, monkeypatch):
    monkeypatch.setattr('vw2_ros.models.parallel.leads', lambda: False)
    assert run(KeyStepsStage(config(tmp_path / 'c.yaml', steps=1), [data]), tmp_path / 'k') == {}
    assert not list((tmp_path / 'k').glob('*.json'))


@pytest.mark.parametrize('name', ['tiny', 'cpu', 'gpu'])
def test_configs_are_read(name):
    KeySteps(read_settings(KeyStepsSettings, name).model, ['a', 'b'])


# ------------------------------------------------------------------ bad input


def test_bad_sizes_and_frames_are_told(tmp_path):
    for change in ({'image_size': 30}, {'channels': (4, 8)}, {'hidden': 0}):
        with pytest.raises(ValueError, match=r'must .*Got'):
            KeyStepConfig(**change)
    for change in ({'margin': -1}, {'jitter': 1.0}, {'blur': 2.0}):
        with pytest.raises(ConfigError, match=r'must .*Got'):
            PairConfig(**change)
    model = KeySteps(TINY, ['a'])
    with pytest.raises(ValueError, match=r'uint8 \(B, S, S, 3\)'):
        model.reached(frames(0), frames(1, n=2))
    with pytest.raises(ValueError, match='float64'):
        model.reached(frames(0) / 255, frames(1) / 255)


def test_other_folders_are_refused(trained, tmp_path):
    with pytest.raises(CheckpointError, match='config.json must exist'):
        KeySteps.load(tmp_path)
    (tmp_path / 'config.json').write_text('{"dldm": {}}')
    with pytest.raises(CheckpointError, match='key-step classifier'):
        KeySteps.load(tmp_path)
    model = KeySteps(TINY, ['a', 'b'])
    model.save(tmp_path / 'm', {})
    weights = tmp_path / 'm' / 'keysteps.safetensors'
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match='whole safetensors'):
        KeySteps.load(tmp_path / 'm')


# --------------------------------------------------------------------- DINOv2


@pytest.fixture(scope='module')
def dino(tmp_path_factory):
    """A tiny random DINOv2 in the hub's layout."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('dino')
    Dinov2Model(
        Dinov2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=7
        )
    ).save_pretrained(folder)
    return folder


def test_a_dinov2_is_the_eye_and_stays_as_it_is(dino, data, tmp_path):
    run(
        KeyStepsStage(config(tmp_path / 'c.yaml', weight_decay=0.5), [data], backbone=dino),
        tmp_path / 'k',
    )
    model, given = KeySteps.load(tmp_path / 'k'), load_dinov2(dino).state_dict()
    kept = model.eye.backbone.state_dict()
    assert all(torch.equal(kept[k], v) for k, v in given.items()) and len(kept) == len(given)
    torch.manual_seed(0)
    fresh = KeySteps(model.config, model.tasks, load_dinov2(dino))
    assert not torch.equal(fresh.head[0].weight, model.head[0].weight)
    assert model.reached(frames(0), frames(1)).shape == (3, 3)


def test_what_is_no_dinov2_is_refused(dino, tmp_path):
    with pytest.raises(CheckpointError, match='Got no config.json'):
        load_dinov2(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "vit"}')
    with pytest.raises(CheckpointError, match='it is a vit'):
        load_dinov2(tmp_path)
    (tmp_path / 'config.json').write_text((dino / 'config.json').read_text())
    (tmp_path / 'pytorch_model.bin').write_bytes(b'cos\nsystem\n')
    with pytest.raises(CheckpointError, match='DINOv2 as safetensors'):
        load_dinov2(tmp_path)
