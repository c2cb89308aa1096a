# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training configs: how to optimise, and the sections of a YAML file."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
import yaml

from vw2_ros.errors import MissingFileError
from vw2_ros.files import named_config
from vw2_ros.models import parallel
from vw2_ros.models.config import from_dict
from vw2_ros.models.device import DEVICES, find_device
from vw2_ros.models.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to optimise. Rates are per step; `max_minutes` bounds the wall time of the loop."""

    steps: int = 1000
    batch: int = 16
    lr: float = 3e-4
    final_lr: float = 0.02  # share of lr that is left at the end
    warmup: int = 100  # steps of linear warm-up
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights; 0: no averaging
    max_minutes: float = 0.0  # 0: no limit
    checkpoint_minutes: float = 5.0
    validate_every: int = 0  # steps; 0: only at the end
    log_every: int = 20
    seed: int = 0
    threads: int = 0  # torch threads; 0: as many as there are cores
    device: str = 'auto'  # auto, cpu, cuda
    bf16: bool = True  # on a GPU
    recompute: bool = (
        False  # the VDM's blocks again in the backward pass: a third slower, less memory
    )
    preload: bool = False  # hold all frames in the device's memory
    prefetch: int = 4  # batches made ahead

    def __post_init__(self):
        for name in ('steps', 'batch', 'log_every', 'prefetch'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be >= 1. Got {getattr(self, name)}')
        for name in ('warmup', 'weight_decay', 'max_minutes', 'validate_every', 'threads'):
            if getattr(self, name) < 0:
                raise ConfigError(f'{name} must be >= 0. Got {getattr(self, name)}')
        for name in ('lr', 'clip', 'checkpoint_minutes'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be > 0. Got {getattr(self, name)}')
        for name in ('beta1', 'beta2', 'ema', 'final_lr'):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f'{name} must be in [0, 1). Got {getattr(self, name)}')
        if self.device not in DEVICES:
            raise ConfigError(f'device must be one of {", ".join(DEVICES)}. Got {self.device!r}')

    def torch_device(self) -> torch.device:
        """The device to train on; under `accelerate launch` this process's own.

        Raises:
            InvalidValueError: cuda was asked for and is not there.
        """
        return parallel.join(find_device(self.device).type)

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up over steps, times a cosine over progress in [0, 1] down to final_lr."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        decay = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.lr * warm * (self.final_lr + (1.0 - self.final_lr) * decay)


def config_path(config: Path | str) -> Path:
    """The YAML file that `config` means: a path, or a name such as tiny, cpu, gpu, paper.

    Names are looked up in `config/train/` of the checkout and of `share/vw2_ros` where installed.

    Raises:
        ConfigError: no such file or name.
    """
    try:
        return named_config('train', config)
    except MissingFileError as error:
        raise ConfigError(str(error)) from error


def load_config(config: Path | str, stage: str) -> dict:
    """The section of one stage ('dldm', 'planner', 'head' or 'vdm') of a training config.

    Raises:
        ConfigError: no such file, not YAML, or no such section.
    """
    path = config_path(config)
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} is not YAML: {error}') from error
    if not isinstance(content, dict) or not isinstance(content.get(stage), dict):
        raise ConfigError(f'{path} has no section {stage!r}')
    return content[stage]


def stage_configs(config: Path | str, stage: str, **classes: type) -> dict:
    """Build each part of a stage's section, e.g. stage_configs('cpu', 'dldm', train=TrainConfig).

    Raises:
        ConfigError: a part or key that is not known, or a bad value.
    """
    section = load_config(config, stage)
    unknown = set(section) - set(classes)
    if unknown:
        raise ConfigError(
            f'{stage}: unknown part {sorted(unknown)[0]!r}; known: {", ".join(classes)}'
        )
    return {
        name: (section.get(name) or {})
        if cls is dict
        else from_dict(cls, section.get(name), f'{stage}.{name}')
        for name, cls in classes.items()
    }
