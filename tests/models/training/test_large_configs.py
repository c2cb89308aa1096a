# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sizes that no test can train: paper.yaml, gpu.yaml. Their numbers, and shapes without memory."""

from dataclasses import replace

import pytest
import torch

from vw2_ros.models.action_head import ActionHeadConfig
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.stages.head import HeadSettings
from vw2_ros.models.stages.planner import PlannerSettings
from vw2_ros.models.stages.warmup import WarmUpSettings
from vw2_ros.models.training.checkpoints import check_size
from vw2_ros.models.training.config import TrainConfig, load_section, read_settings

A1 = {  # table A.1: rate, decay, moments, batch, warm-up, iterations
    'dldm': (1e-4, 0.1, 0.9, 0.99, 128, 2000, 100000),
    'planner': (3e-4, 0.05, 0.9, 0.98, 256, 5000, 50000),
}


def dldm_settings(name):
    return read_settings(WarmUpSettings, name)


@pytest.fixture(scope='module')
def dldm():
    return dldm_settings('paper')


def test_numbers_are_those_of_the_paper(dldm):
    c, clips = dldm.model, dldm.clips
    assert (c.size, c.clip_frames, c.queries, c.codebook_size) == ((480, 832), 93, 4, 1000)
    assert c.steps * c.queries == 92 and not (c.relative or c.residual or c.motion_weight)
    assert clips.rate(c.clip_frames) == 16 and clips.stored_size == 480 and not clips.jitter
    trains = {
        stage: from_dict(TrainConfig, load_section('paper', stage)['train'])
        for stage in ('dldm', 'disentangle', 'planner')
    }
    for stage, train in trains.items():
        rate, decay, beta1, beta2, batch, warmup, _ = A1[
            'planner' if stage == 'planner' else 'dldm'
        ]
        assert (
            train.lr,
            train.weight_decay,
            train.beta1,
            train.beta2,
            train.batch,
            train.warmup,
        ) == (rate, decay, beta1, beta2, batch, warmup)
    assert trains['dldm'].steps + trains['disentangle'].steps == A1['dldm'][-1]
    assert trains['planner'].steps == A1['planner'][-1]
    with pytest.raises(ConfigError, match="no section 'vdm'"):
        load_section('paper', 'vdm')  # Cosmos comes trained


def test_planner_and_head_are_valid():
    augment = AugmentConfig(shift=0, contrast=0, brightness=0)  # table A.1: none
    planner = read_settings(PlannerSettings, 'paper')
    from_dict(PlannerConfig, planner.model)
    assert planner.augment == augment
    head = read_settings(HeadSettings, 'paper')
    from_dict(ActionHeadConfig, head.model)
    assert head.augment == replace(augment, null_instruction=0)


def test_its_models_fit_each_other(dldm):
    """A step of disentangling with the published 2B model, in shapes alone."""
    pytest.importorskip('diffusers')
    from vw2_ros.models.stages.disentangle import (
        DisentangleConfig,
        Disentangled,
        DisentangleSettings,
    )
    from vw2_ros.models.vdm import VDM
    from vw2_ros.models.vdm_config import VDMConfig

    c = dldm.model
    settings = read_settings(DisentangleSettings, 'paper')
    config = VDMConfig(
        height=c.size[0],
        width=c.size[1],
        clip_frames=c.clip_frames,
        queries=c.queries,
        code_size=len(c.levels),
        fps=dldm.clips.rate(c.clip_frames),
        **settings.vdm,
    )
    assert config == VDMConfig()  # whose parts are the published ones, see test_vdm_config.py
    assert settings.loss == DisentangleConfig() and settings.train.recompute
    with torch.device('meta'):
        model = Disentangled(DLDM(c), VDM(config), settings.loss)
        video = torch.empty(1, 93, 3, 480, 832)
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (
            ('dldm', model.dldm),
            ('transformer', model.vdm.transformer),
            ('control', model.vdm.controlnet),
            ('vae', model.vdm.vae),
        )
    }
    assert 10e6 < counts['dldm'] < 50e6
    assert counts['transformer'] == 1_956_413_440
    assert 0.05 < counts['control'] / counts['transformer'] < 0.2  # 3 of 28 blocks, and more
    assert 120e6 < counts['vae'] < 130e6
    check_size(model)
    result = model.loss(video)
    assert all(
        result[key].is_meta and result[key].shape == ()
        for key in ('loss', 'reconstruction_loss', 'denoising_loss')
    )
    assert result['indices'].shape == (1, 23, 4)
    assert result['reconstruction'].shape == video.shape
    assert model.vdm.config.places * 24 == 37440  # tokens of a clip


def test_a_step_of_the_gpu_config():
    pytest.importorskip('diffusers')
    from vw2_ros.models.stages.disentangle import Disentangled, DisentangleSettings
    from vw2_ros.models.stages.vdm import VDMSettings
    from vw2_ros.models.vdm import VDM

    c = dldm_settings('gpu').model
    settings = read_settings(DisentangleSettings, 'gpu')
    prior = read_settings(VDMSettings, 'gpu').model
    assert (prior.size, prior.clip_frames) == (c.size, c.clip_frames)
    with torch.device('meta'):
        vdm = VDM.on(VDM(prior), queries=c.queries, code_size=len(c.levels), **settings.vdm)
        model = Disentangled(DLDM(c), vdm, settings.loss)
        video = torch.empty(settings.train.batch, c.clip_frames, 3, *c.size)
    result = model.loss(video)
    assert result['loss'].shape == () and result['reconstruction'].shape == video.shape
    # one GPU holds several times as much as 10 million numbers and what goes with them
    assert 5e6 < sum(p.numel() for p in model.parameters()) < 15e6
