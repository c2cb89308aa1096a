# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training on videos of any kind."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

from video_files import pictures, write_mixture, write_video  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data.batches import ClipConfig, ClipSource  # noqa: E402
from vw2_ros.models.data.clips import clip_store  # noqa: E402
from vw2_ros.models.data.codes import read_codes  # noqa: E402
from vw2_ros.models.errors import ConfigError, TrainingError  # noqa: E402
from vw2_ros.models.stages.vdm import VDMStage  # noqa: E402
from vw2_ros.models.stages.warmup import WarmUpStage  # noqa: E402
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.run import run  # noqa: E402


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    """CALVIN data, a folder of mp4 and a bag."""
    return write_mixture(tmp_path_factory.mktemp('mixed'))


def test_which_clips_a_step_sees_depends_on_seed_and_step(mixed):
    config = ClipConfig(stored_size=32)
    sources = [
        ClipSource(mixed, config, 17, 32, torch.device('cpu'), load) for load in (False, True)
    ]
    a, b = (source.finish(source.make_batch(5, batch=6, seed=0))['video'] for source in sources)
    assert torch.equal(a, b) and a.shape == (6, 17, 3, 32, 32)
    c = sources[0].finish(sources[0].make_batch(6, batch=6, seed=0))['video']
    assert not torch.equal(a, c)


def test_config():
    for bad in ({'fps': 0.0}, {'cameras': 'top'}):
        with pytest.raises(ConfigError):
            ClipConfig(**bad)


def test_training_on_a_folder_of_videos(mixed, tmp_path):
    assert (
        cli.main(
            [
                'train',
                'dldm',
                '--config',
                'tiny',
                '--data',
                str(mixed[0]),
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    scores = [json.loads(line) for line in (tmp_path / 'out' / 'log.jsonl').open()]
    assert [s['step'] for s in scores if s['kind'] == 'train'] == [2, 4, 6]
    assert any(s['kind'] == 'validation' and s['loss'] > 0 for s in scores)
    store = clip_store(mixed[:1])
    rows, codes = read_codes(tmp_path / 'out' / 'codes.safetensors', store)
    np.testing.assert_array_equal(rows, store.clip_starts(17, 4))
    assert codes.shape == (len(rows), 4, 4)
    record = json.loads((tmp_path / 'out' / 'provenance.json').read_text())
    assert record['data'] == store.content_hash and record['clips']['fps'] == 30.0


def test_run_is_resumed_only_with_the_same_videos(mixed, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(mixed[0], data, ignore=shutil.ignore_patterns('cache'))
    out = tmp_path / 'out'
    run(WarmUpStage('tiny', [data]), out)
    assert checkpoints(out)
    run(WarmUpStage('tiny', [data]), out, resume=True)
    write_video(data / 'new.mp4', pictures(40))
    with pytest.raises(TrainingError, match='another data'):
        run(WarmUpStage('tiny', [data]), out, resume=True)


def test_video_diffusion_model_trains_on_a_mixture(mixed, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        record = run(VDMStage('tiny', mixed), tmp_path / 'out')
    assert record['steps'] == 6 and record['scores']['rebuilt_mse'] > 0
