# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training configs: how to optimise, and the sections of a YAML file."""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path

import torch

from vw2_ros.errors import InvalidValueError, MissingFileError, close_matches
from vw2_ros.files import named_config, read_yaml
from vw2_ros.models import parallel
from vw2_ros.models.config import from_dict
from vw2_ros.models.device import DEVICES, find_device
from vw2_ros.models.errors import ConfigError

Settings = typing.TypeVar('Settings')


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to optimise. Rates are per step."""

    steps: int = 1000
    batch: int = 16  # samples of a step, of all processes together
    lr: float = 3e-4  # peak; table A.1's of the planner
    final_lr: float = 0.02  # share of lr that is left at the end
    warmup: int = 100  # steps of linear warm-up
    weight_decay: float = 0.05  # of matrices; table A.1's of the planner
    beta1: float = 0.9
    beta2: float = 0.98  # table A.1's of the planner
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights; 0: no averaging
    max_minutes: float = 0.0  # wall time of the loop; 0: no limit
    checkpoint_minutes: float = 5.0  # what an interruption may cost at most
    validate_every: int = 0  # steps; 0: only at the end
    log_every: int = 20  # steps
    seed: int = 0
    threads: int = 0  # torch threads; 0: as many as there are cores
    device: str = 'auto'  # auto, cpu, cuda
    bf16: bool = True  # on a GPU
    bf16_cpu: bool = False  # on a CPU; quicker only if it has instructions for it (AVX512-BF16)
    recompute: bool = False  # the VDM's blocks in the backward pass: less memory, a third slower
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

    def replaced(self, seed: int | None, max_minutes: float | None) -> TrainConfig:
        """Return the config with the values of the command line; None keeps the config's own."""
        changes = {'seed': seed, 'max_minutes': max_minutes}
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def prepare(self) -> torch.device:
        """Set torch's threads and how it treats numbers, and meet the other processes.

        Returns:
            the device, see `torch_device`.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision('high')
        # Sharp softmaxes are full of denormals, and a CPU is slow with them.
        torch.set_flush_denormal(True)
        return self.torch_device()

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


def load_section(config: Path | str, section: str) -> dict:
    """What a training config says of one stage, by parts (`train`, `model`, ...).

    Raises:
        ConfigError: no such file, not YAML, or no such section.
    """
    path = config_path(config)
    try:
        content = read_yaml(path)
    except InvalidValueError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get(section), dict):
        raise ConfigError(f'{path} has no section {section!r}')
    return content[section]


def part_of(settings: type, part: str) -> typing.Any:
    """A field of a settings class that is a part of another stage's section."""
    return dataclasses.field(metadata={'part': (settings, part)})


def read_settings(cls: type[Settings], config: Path | str) -> Settings:
    """Build a stage's settings from a training config, e.g. read_settings(WarmUpSettings, 'cpu').

    Args:
        cls: a dataclass with `section`, the name of its section. Each field is a part of that
            section, or of another one's (`part_of`): a config dataclass, or dict for plain values.
        config: YAML file or a name in config/train/. A part that is missing has its defaults.
    Raises:
        ConfigError: a section is missing, a part or key is not known, or a value is bad.
    """
    hints, values = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        home, part = field.metadata.get('part', (cls, field.name))
        section = load_section(config, home.section)
        known = [f.name for f in dataclasses.fields(home) if 'part' not in f.metadata]
        if unknown := sorted(set(section) - set(known)):
            raise ConfigError(f'{home.section}: {close_matches("part", unknown[0], known)}')
        value, kind = section.get(part), hints[field.name]
        values[field.name] = (
            (value or {}) if kind is dict else from_dict(kind, value, f'{home.section}.{part}')
        )
    return cls(**values)
