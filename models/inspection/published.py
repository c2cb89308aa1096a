# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a published file says by itself, without video: see `data/published.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from vw2_ros.models.config import from_dict
from vw2_ros.models.data.published import (
    Codes,
    config_of,
    misfits,
    parts_of_weights,
    read_published,
)
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import FSQ
from vw2_ros.models.inspection.codes import usage
from vw2_ros.models.training.config import config_path


def look_into(path: Path) -> dict:
    """Figures of a published file of codes, or of weights.

    Raises:
        CheckpointError, TrainingError: see `read_published`.
    """
    codes, weights = read_published(path)
    return {'file': path.name, **(_of_codes(codes) if codes else _of_weights(weights))}


def _of_codes(codes: Codes) -> dict:
    config, clips = config_of(codes), torch.cat(list(codes.values()))
    return {
        'videos': len(codes),
        'clips': len(clips),
        'clip_frames': config.clip_frames,
        'codes_of_a_clip': clips[0].numel(),
        'codes': usage(clips.numpy(), config.codebook_size),
        'nearest': nearest(codes),
    }


def nearest(codes: Codes) -> dict | None:
    """How often the clip of another video with the nearest codes is of the same task.

    The task is the video's name without its number, e.g. `paper_boat` of `paper_boat_12`.

    Returns:
        same_task and chance, shares of the clips whose task another video shows too; None where
        there is no such clip, or all videos are of one task.
    """
    video = np.repeat(np.arange(len(codes)), [len(clips) for clips in codes.values()])
    names = [re.sub(r'[_\d]+$', '', name) for name in codes]
    task = np.array(names)[video]
    grid = FSQ(config_of(codes).levels).indices_to_codes(torch.cat(list(codes.values())))
    flat = grid.flatten(1).numpy()  # (m, K-1, N, C) -> (m, (K-1) * N * C)
    same, chance = [], []
    for i in range(len(flat)):
        others = np.flatnonzero(video != video[i])
        alike = task[others] == task[i]
        if alike.any() and not alike.all():
            distance = np.square(flat[others] - flat[i]).sum(1)
            same.append(alike[distance.argmin()])
            chance.append(alike.mean())
    if not same:
        return None
    return {'same_task': float(np.mean(same)), 'chance': float(np.mean(chance))}


def _of_weights(weights: Mapping[str, Tensor]) -> dict:
    size = yaml.safe_load(config_path('paper').read_text())['dldm']['model']
    with torch.device('meta'):
        ours = DLDM(from_dict(DLDMConfig, size))
    return {
        'parts': parts_of_weights(weights),
        'parameters': sum(value.numel() for value in weights.values()),
        'fitting': len(weights) - len(misfits(weights, ours)),
        'misfits': misfits(weights, ours),
    }
