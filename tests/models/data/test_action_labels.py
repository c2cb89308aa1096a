# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A few clips with actions, while a dLDM learns from video."""

import copy
import json

import calvin_files
import numpy as np
import pytest
import torch
import yaml
from video_files import pictures, write_video

from vw2_ros.models.action_readout import ActionReadout
from vw2_ros.models.data.batches import ClipConfig, ClipSource
from vw2_ros.models.data.labels import STRETCH, LabelConfig, LabelledClips
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.run_folder import load_model
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.training.config import config_path
from vw2_ros.models.training.run import run

WITHIN = np.arange(9)
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('labels') / 'data'
    return calvin_files.write_data(root, shards=True, episodes=6, frames=80)


@pytest.fixture(scope='module')
def store(data):
    return ClipConfig(stored_size=32).store([data], 'training', 32)


def test_a_share_of_the_video_is_labelled_in_stretches(store):
    some, all_of_it = (LabelledClips(store, WITHIN, share, 0) for share in (0.25, 1.0))
    assert set(some.starts) < set(all_of_it.starts)
    assert len(some.starts) == pytest.approx(0.25 * len(all_of_it.starts), rel=0.3)
    frames = np.unique(some.starts[:, None] + WITHIN)
    # stretches of so many frames, cut short at the end of a range
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    assert all(len(stretch) % (STRETCH * 9) in (0, 80 % (STRETCH * 9)) for stretch in runs)
    assert set(LabelledClips(store, WITHIN, 0.25, 1).starts) != set(some.starts)
    with pytest.raises(ConfigError, match='share must lie'):
        LabelConfig(share=1.5)


def test_a_labelled_clip_tells_what_was_done_since_its_first_frame(store):
    store = copy.copy(store)
    store.rel_actions = np.random.default_rng(0).normal(size=(len(store), 7)).astype(np.float32)
    labels = LabelledClips(store, WITHIN, 1.0, 0)
    rows = labels.starts[[0, 40]]
    told = labels.actions(rows) * labels._scale + labels._mean
    for row, actions in zip(rows, told):
        for k, end in enumerate((4, 8)):
            done = store.rel_actions[row : row + end]
            assert np.allclose(actions[k, :6], done[:, :6].sum(0), atol=1e-5)
            assert actions[k, 6] == pytest.approx(done[-1, 6])
    scaled = labels.actions(labels.starts)
    assert np.allclose(scaled.mean(0), 0, atol=1e-3) and np.allclose(scaled.std(0), 1, atol=1e-3)


def test_every_fourth_clip_of_a_batch_is_labelled(data):
    config = ClipConfig(stored_size=32)
    source = ClipSource([data], config, 9, 32, CPU, labels=LabelConfig(0.1), seed=0)
    batch = source.make_batch(3, batch=8, seed=0)
    assert batch['labelled'].tolist() == [1, 0, 0, 0] * 2
    assert set(batch['rows'][::4, 0]) <= set(source.labels.starts)
    assert source.finish(batch)['actions'].shape == (8, 2, 7)
    assert 'actions' not in ClipSource([data], config, 9, 32, CPU).make_batch(3, 8, 0)


def test_video_without_actions_cannot_be_labelled(tmp_path):
    pytest.importorskip('av')
    for name in 'ab':
        write_video(tmp_path / f'{name}.mp4', pictures(20))
    with pytest.raises(TrainingError, match='labels.share needs data with actions'):
        ClipSource([tmp_path], ClipConfig(stored_size=32), 9, 32, CPU, labels=LabelConfig(0.1))


def test_the_readout_learns_from_labelled_clips_alone():
    config = DLDMConfig(clip_frames=9)
    torch.manual_seed(0)
    readout, codes = ActionReadout(config), torch.randn(64, 2, 4, 4)
    actions = codes.flatten(2) @ torch.randn(16, 7) * 0.2
    labelled = torch.tensor([1.0, 0.0]).repeat(32)
    actions[1::2] = 1e6  # of clips that are not labelled
    optimizer = torch.optim.Adam(readout.parameters(), lr=0.05)
    first = readout.loss(codes, actions, labelled).detach()
    for _ in range(200):
        optimizer.zero_grad()
        loss = readout.loss(codes, actions, labelled)
        loss.backward()
        optimizer.step()
    assert loss < 0.05 * first
    assert readout.loss(codes, actions, torch.zeros(64)) == 0


def test_a_dldm_learns_with_labels_and_leaves_no_readout(data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['dldm']['labels'] = {'share': 0.7, 'weight': 0.5}
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    record = run(WarmUpStage(tmp_path / 'c.yaml', [data]), tmp_path / 'dldm')
    assert record['labels'] == {'share': 0.7, 'weight': 0.5}
    lines = [json.loads(line) for line in (tmp_path / 'dldm/log.jsonl').open()]
    assert all(line['label_loss'] > 0 for line in lines if line['kind'] == 'train')
    load_model(DLDM, DLDMConfig, tmp_path / 'dldm', 'dldm')


def test_labels_alone_reach_the_codes():
    config = DLDMConfig(image_size=16, clip_frames=9)
    torch.manual_seed(0)
    model, readout = DLDM(config), ActionReadout(config)
    torch.nn.init.normal_(readout.weight)

    def gradient(labels):
        model.zero_grad()
        result = model.loss(
            torch.rand(4, 9, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
            denoising=lambda video, codes, rec: codes.sum() * 0,
            labels=labels,
        )
        result['loss'].backward()
        return model.qformer.q.grad.abs().sum()

    assert gradient(None) == 0
    assert gradient(lambda z: readout.loss(z, torch.ones(4, 2, 7), torch.ones(4))) > 0
