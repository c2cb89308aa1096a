# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training configs: those that are shipped, and what a bad one is told."""

import re

import pytest
import yaml

from vw2_ros.models.action_head import ActionHeadConfig
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.batches import ClipConfig
from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.stages.sight import SightSettings
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.training.config import TrainConfig, config_path, load_section, read_settings
from vw2_ros.models.training.run import run


def test_learning_rate():
    config = TrainConfig(steps=100, lr=1.0, warmup=10, final_lr=0.1)
    assert config.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert config.learning_rate(10, 0.0) == pytest.approx(1.0)
    assert config.learning_rate(50, 0.5) == pytest.approx(0.55)
    assert config.learning_rate(99, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize('name', ['tiny', 'cpu', 'gpu'])
def test_shipped_configs_are_valid(name):
    for stage in ('dldm', 'sight', 'planner', 'head'):
        section = load_section(name, stage)
        from_dict(TrainConfig, section['train'], stage)
        from_dict(DLDMConfig, load_section(name, 'dldm')['model'])
        from_dict(PlannerConfig, load_section(name, 'planner')['model'])
        from_dict(ActionHeadConfig, load_section(name, 'head')['model'])
    assert config_path(config_path(name)) == config_path(name)


@pytest.mark.parametrize('name', ['cpu', 'gpu'])
def test_minutes_of_a_comment_are_those_of_the_stage(name):
    text = config_path(name).read_text()
    said = {
        stage: int(minutes)
        for stage, minutes in re.findall(r'^(\w+):  # (\d+) minutes', text, re.MULTILINE)
    }
    assert said == {
        stage: sum(part.get('max_minutes', 0) for part in parts.values())
        for stage, parts in yaml.safe_load(text).items()
    }


def test_bad_configs_say_what_they_got(tmp_path):
    with pytest.raises(ConfigError, match='unknown key .* Did you mean batch'):
        from_dict(TrainConfig, {'bacth': 3}, 'dldm.train')
    with pytest.raises(ConfigError, match=r'steps must be int. Got 1.5'):
        from_dict(TrainConfig, {'steps': 1.5})
    with pytest.raises(ConfigError, match=r'lr must be > 0. Got -1'):
        from_dict(TrainConfig, {'lr': -1})
    assert from_dict(TrainConfig, {'lr': '1e-4'}).lr == 1e-4
    with pytest.raises(ConfigError, match='one of cpu, gpu, paper, tiny'):
        config_path('enormous')
    path = tmp_path / 'c.yaml'
    path.write_text('dldm: [1, 2')
    with pytest.raises(ConfigError, match='not YAML'):
        load_section(path, 'dldm')
    path.write_text('dldm: {train: {}, trian: {}}')
    with pytest.raises(ConfigError, match='trian'):
        run(WarmUpStage(path, [tmp_path]), tmp_path / 'out')


def test_settings_are_read_by_section(tmp_path):
    path = tmp_path / 'c.yaml'
    path.write_text('sight: {loss: {points: 2}}\nplanner: {vision: {keypoints: 9}, model: {a: 1}}')
    settings = read_settings(SightSettings, path)
    assert settings.train == TrainConfig() and settings.loss.points == 2
    assert settings.vision.keypoints == 9 and settings.planner == {'a': 1}  # of another section
    path.write_text('sight: {}')
    with pytest.raises(ConfigError, match="no section 'planner'"):
        read_settings(SightSettings, path)
    path.write_text('sight: {}\nplanner: {visoin: {}}')
    with pytest.raises(
        ConfigError,
        match="planner: unknown part 'visoin'. Did you mean vision. Known: model, vision",
    ):
        read_settings(SightSettings, path)


@pytest.mark.parametrize(
    ('cls', 'values', 'key'),
    [
        (TrainConfig, {'steps': float('inf')}, 'steps must be int. Got inf'),
        (TrainConfig, {'weight_decay': float('nan')}, 'weight_decay must be a finite float'),
        (TrainConfig, {'lr': '.inf'}, 'lr must be a finite float'),
        (TrainConfig, {'lr': '1e999'}, 'lr must be a finite float'),
        (TrainConfig, {'lr': True}, 'lr must be a finite float. Got True'),
        (TrainConfig, {'steps': True}, 'steps must be int. Got True'),
        (TrainConfig, {'steps': None}, 'steps must be int. Got None'),
        (TrainConfig, {'lr': [1e-3]}, 'lr must be a finite float'),
        (TrainConfig, {'device': True}, 'device must be str. Got True'),
        (TrainConfig, {'bf16': 1}, 'bf16 must be bool. Got 1'),
        (DLDMConfig, {'channels': 8}, 'channels must be a list. Got 8'),
        (DLDMConfig, {'channels': [4, 8.5, 8]}, r'channels\[1\] must be int. Got 8.5'),
        (DLDMConfig, {'channels': [4, True, 8]}, r'channels\[1\] must be int. Got True'),
        (DLDMConfig, {'channels': '488'}, "channels must be a list. Got '488'"),
        (DLDMConfig, {'levels': [8, float('nan')]}, r'levels\[1\] must be int. Got nan'),
        (DLDMConfig, {'image_size': [32, 32, 32]}, 'image_size must be a list of 2'),
        (DLDMConfig, {'image_size': float('inf')}, 'image_size must be int. Got inf'),
        (DLDMConfig, {'image_size': 32.5}, 'image_size must be int. Got 32.5'),
        (ClipConfig, {'cameras': '/image_raw'}, "cameras must be a list. Got '/image_raw'"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(cls, values, key):
    with pytest.raises(ConfigError, match=r'^dldm\.part\.' + key):
        from_dict(cls, values, 'dldm.part')


def test_good_values_stay_good():
    assert from_dict(DLDMConfig, {'image_size': [32, 48]}).size == (32, 48)
    assert from_dict(DLDMConfig, {'image_size': 32, 'channels': [4, 8, 8]}).channels == (4, 8, 8)
    assert from_dict(TrainConfig, {'lr': '1e-4', 'steps': 6.0}).steps == 6


def test_a_config_with_a_key_twice_is_refused(tmp_path):
    path = tmp_path / 'twice.yaml'
    path.write_text('dldm:\n  train: {steps: 6, lr: 1e-3, lr: 1e-9}\n')
    with pytest.raises(ConfigError, match="twice.yaml must give each key once. Got 'lr' twice"):
        load_section(path, 'dldm')
