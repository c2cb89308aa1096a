# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Frames that are no squares, from the video file to what is imagined."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch
import yaml
from policy_files import tiny_planner, tiny_policy, tiny_words
from video_files import pictures, write_video

from vw2_ros import cli
from vw2_ros.models.data import DataError
from vw2_ros.models.data.batches import ClipConfig
from vw2_ros.models.data.codes import read_codes
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.imagination import Imagination
from vw2_ros.models.policy import Policy
from vw2_ros.models.run_folder import load_model
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.training.config import config_path
from vw2_ros.models.training.run import run  # noqa: E402

pytest.importorskip('av')
pytest.importorskip('diffusers')

from vw2_ros.models.stages import disentangle as train_disentangle  # noqa: E402
from vw2_ros.models.stages.disentangle import DisentangleStage  # noqa: E402
from vw2_ros.models.stages.vdm import VDMStage  # noqa: E402
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import VDMConfig  # noqa: E402

H, W = 32, 48


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('wide')
    for i in range(8):
        write_video(root / f'{i}.mp4', pictures(40, i, width=96, height=64))
    return root


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """Warm-up, prior and both together, all of frames 32 px by 48."""
    folder = tmp_path_factory.mktemp('runs')
    content = yaml.safe_load(config_path('tiny').read_text())
    content['dldm']['model']['image_size'] = [H, W]
    content['vdm']['model'].update(height=H, width=W)
    for stage in ('dldm', 'vdm'):
        content[stage]['clips'] = {'stored_size': 48}
    file = folder / 'c.yaml'
    file.write_text(yaml.safe_dump(content))
    run(WarmUpStage(file, [data]), folder / 'warmup')
    run(VDMStage(file, [data]), folder / 'vdm')
    run(DisentangleStage(file, [data], folder / 'warmup', folder / 'vdm'), folder / 'dldm')
    return folder


def test_video_is_decoded_at_its_shape_and_stored_size(data):
    store = ClipConfig(stored_size=48).store([data], 'training', (H, W))
    assert store.size == (H, W) and store.rgb(np.arange(2)).shape == (2, H, W, 3)
    assert {p.name for p in (data / 'cache').iterdir()} >= {
        'video_48x72px_30fps',
        'video_32x48px_30fps',
    }
    # the ratio is the file's, so nothing of it is cut off
    whole = ClipConfig(stored_size=64).store([data], 'training', (64, 96))
    close = cv2.resize(whole.rgb(np.array(0)), (W, H), interpolation=cv2.INTER_AREA)
    assert np.abs(close.astype(int) - store.rgb(np.array(0))).mean() < 3
    with pytest.raises(DataError, match='stored at 16x24 px; cannot enlarge to 32x48'):
        ClipConfig(stored_size=16).store([data], 'training', (H, W))


def test_every_stage_trains_on_them(runs, data):
    for name in ('warmup', 'vdm', 'dldm'):
        record = json.loads((runs / name / 'provenance.json').read_text())
        assert record['steps'] == 6 and record['scores']['loss'] > 0
    assert json.loads((runs / 'dldm' / 'config.json').read_text())['dldm']['image_size'] == [H, W]
    store = ClipConfig(stored_size=48).store([data], 'training', (H, W))
    rows, codes = read_codes(runs / 'dldm' / 'codes.safetensors', store)
    assert len(rows) and codes.shape[1:] == (4, 4)
    strip = cv2.imread(str(next((runs / 'dldm' / 'pictures').glob('real_above_imagined*.png'))))
    clips, frames = min(4, len(rows)), 5
    assert strip.shape == (clips * 2 * H, frames * W, 3)


@torch.no_grad()
def test_what_was_trained_draws_them(runs):
    dldm = load_model(DLDM, DLDMConfig, runs / 'dldm', 'dldm')
    vdm = load_model(VDM, VDMConfig, runs / 'dldm', 'vdm')
    video = torch.rand(1, 17, 3, H, W)
    codes, indices = dldm.quantize(dldm.query(dldm.encode(video)))
    assert indices.shape == (1, 4, 4)
    low = dldm.decode(codes, dldm.encode(video)[:, 0], video[:, 0])
    assert low.shape == video.shape
    assert vdm.sample(video[:, 0], codes, low, steps=1).shape == video.shape
    with pytest.raises(ValueError, match=r'3, 32, 48\).*Got .*48, 32'):
        dldm.encode(video.transpose(3, 4))
    with pytest.raises(ValueError, match=r'3, 32, 48\).*Got .*48, 32'):
        vdm.sample(video[:, 0].transpose(2, 3), steps=1)


def test_models_of_two_shapes_do_not_go_together(runs):
    other = dataclasses.replace(DLDMConfig(), image_size=(48, 32), clip_frames=17)
    with pytest.raises(ConfigError, match='frames of 32x48 px, the dLDM reads 48x32 px'):
        train_disentangle.vdm_for(other, runs / 'vdm', {}, 'full', fps=30)


@pytest.fixture(scope='module')
def policy(runs, tmp_path_factory):
    """A policy of square pictures, 48 px, with the dLDM of rectangles that its codes are of."""
    words, folder = tiny_words(), tmp_path_factory.mktemp('policy') / 'm'
    torch.manual_seed(0)
    planner = tiny_planner(words, W, codebook_size=1000)
    dldm = load_model(DLDM, DLDMConfig, runs / 'dldm', 'dldm')
    tiny_policy(folder, words=words, planner=planner, dldm=dldm)
    return folder


@pytest.mark.parametrize('renderer', ['decoder', 'vdm'])
def test_what_such_a_model_does_not_see_stands_still(policy, runs, renderer):
    imagination = Imagination(Policy.load(policy), renderer, runs / 'dldm', steps=1)
    rgb = np.random.default_rng(0).integers(0, 256, (W, W, 3), dtype=np.uint8)
    first, second = imagination.imagine(rgb, 'open the drawer', 2)
    assert first.shape == second.shape == (16, W, W, 3)
    edge = (W - H) // 2
    for clip in (first, second):
        assert (clip[:, :edge] == rgb[:edge]).all() and (clip[:, -edge:] == rgb[-edge:]).all()
        assert (clip[-1, edge:-edge] != rgb[edge:-edge]).mean() > 0.5


def test_vw2_imagine_draws_with_them(policy, runs, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((60, 90, 3), np.uint8))
    assert (
        cli.main(
            [
                'imagine',
                '--image',
                str(tmp_path / 'a.png'),
                '--instruction',
                'open the drawer',
                '--out',
                str(tmp_path / 'c.mp4'),
                '--policy',
                str(policy),
                '--renderer',
                'vdm',
                '--vdm',
                str(runs / 'dldm'),
                '--steps',
                '1',
                '--segments',
                '1',
            ]
        )
        == 0
    )
    assert (tmp_path / 'c.mp4').stat().st_size > 1000
