# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Cosmos-Predict2's pipeline folder, as diffusers writes it: its parts, read from this disk alone.

Only JSON and safetensors are read, and no hub is asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.storage import MAX_STATE_BYTES, load_json, load_state, load_tensors

WEIGHT_FILES = re.compile(r'diffusion_pytorch_model(-\d+-of-\d+)?\.safetensors')


def load_pipeline_part(path: Path, cls: type, dtype: torch.dtype | None = None) -> Any:
    """One sub-folder of a pipeline: a model in `dtype`, or without one a scheduler.

    diffusers' own from_pretrained wants accelerate, and only logs what is missing or left over.

    Args:
        path: the sub-folder. cls: the class of diffusers that it must hold.
    Raises:
        CheckpointError: if it is missing, damaged, of another class, or without safetensors.
    """
    config = path / ('config.json' if dtype else 'scheduler_config.json')
    advice = f'Give the whole pipeline folder, as downloaded, with its sub-folder {path.name}/.'
    if not config.is_file():
        raise CheckpointError(
            f'{config} must describe a {cls.__name__}. Got nothing there. {advice}'
        )
    saved = load_json(config)
    got = saved.get('_class_name') if isinstance(saved, dict) else type(saved).__name__
    if got != cls.__name__:
        raise CheckpointError(
            f'{path} must hold a {cls.__name__}. Got {got}. Take a pipeline of '
            'Cosmos-Predict2 Video2World.'
        )
    if dtype is None:
        return cls.from_config(saved)
    tensors: dict[str, Tensor] = {}
    for file in sorted(path.glob('*.safetensors')):
        if WEIGHT_FILES.fullmatch(file.name):
            tensors.update(load_tensors(file, limit=MAX_STATE_BYTES)[0])
    if not tensors:
        raise CheckpointError(
            f'{path} must hold diffusion_pytorch_model.safetensors. '
            f'Got {sorted(f.name for f in path.iterdir())}. {advice}'
        )
    with torch.device('meta'):
        part = cls.from_config(saved)
    # Memory without values: random ones of 2 billion weights would take minutes.
    part = part.to(dtype).to_empty(device='cpu')
    load_state(part, tensors, str(path))
    return part
