# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sight first: the keypoints learn from the probe alone, then may stay as they are.

Part of stage 3 (`train_head.py`). The convolutions are half the cost of a step. Once keypoints lie
where they should, those of every frame are found once and kept, and planner and head see several
times as many samples in the same time.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .data import FrameStore
from .data import progress_bar
from .probe import Probe
from .training import ConfigError
from .training import fit
from .training import TrainConfig
from .vision import KeypointEncoder
from .vision import Keypoints


@dataclasses.dataclass(frozen=True)
class SightConfig:
    """steps, lr, max_minutes: of the probe's lessons before everything else; 0 steps: none.

    frozen: afterwards the keypoints stay as they are, and are found only once for each frame.
    """

    steps: int = 0
    lr: float = 3e-3
    max_minutes: float = 0.0
    frozen: bool = False

    def __post_init__(self):
        if min(self.steps, self.max_minutes) < 0 or not self.lr > 0:
            raise ConfigError('steps and max_minutes must be >= 0, lr > 0. '
                              f'Got {self.steps}, {self.max_minutes}, {self.lr}')


class _Lesson(nn.Module):
    def __init__(self, vision: KeypointEncoder, probe: Probe):
        super().__init__()
        self.vision, self.probe = vision, probe


def learn(vision: KeypointEncoder, probe: Probe, weights: tuple[float, float],
          config: SightConfig, train: TrainConfig, out: Path, *, resume: bool, identity: dict,
          make_batch: Callable[[int], dict], finish: Callable[[dict], dict]) -> dict:
    """Train sight by the probe's errors alone.

    Args:
        weights: of the readout's error and of the keypoints'. train: of the stage; its batch, seed
            and the like hold here too. make_batch, finish: see `fit`; batches hold rgb uint8
            (B, S, S, 3), state and points.
        Others: see `fit`.
    Returns:
        the last errors.
    Raises:
        TrainingError, SystemExit: see `fit`.
    """
    train = dataclasses.replace(train, steps=config.steps, lr=config.lr, validate_every=0,
                                max_minutes=config.max_minutes)
    lesson = _Lesson(vision, probe)

    def loss(batch: dict, progress: float) -> dict:
        vision(batch['rgb'].permute(0, 3, 1, 2))
        state, points = probe(batch['state'], batch['points'])
        return {'loss': weights[0] * state + weights[1] * points, 'state': state.detach(),
                'points': points.detach()}

    return fit('sight', lesson, train, out, make_batch=make_batch, loss=loss, finish=finish,
               resume=resume, identity=identity).last


@torch.inference_mode()
def find_all(vision: KeypointEncoder, store: FrameStore, batch: int = 64) -> Keypoints:
    """The keypoints of every frame of a store, on the CPU."""
    c, n = vision.config, len(store)
    found = Keypoints(torch.empty(n, c.keypoints, 2), torch.empty(n, c.keypoints, c.channels))
    device = next(vision.parameters()).device
    with progress_bar() as bar:
        task = bar.add_task('keypoints', total=n)
        for first in range(0, n, batch):
            rows = np.arange(first, min(n, first + batch))
            rgb = torch.from_numpy(store.rgb(rows)).to(device).permute(0, 3, 1, 2)
            for all_of_it, part in zip(found, vision.locate(rgb), strict=True):
                all_of_it[first:first + len(rows)] = part.cpu()
            bar.advance(task, len(rows))
    return found
