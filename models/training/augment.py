# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Random changes of what planner and sight are shown while they learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from vw2_ros.models.training.loop import ConfigError, jitter_colour, shift_images


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of what the planner is shown.

    shift: largest move of the picture [px]. contrast, brightness: largest relative change.
    forget, drop_ngrams, drop_word: see Tokenizer.augment. null_instruction: share of the labelled
    frames that get an empty instruction.
    """

    shift: int = 3
    contrast: float = 0.1
    brightness: float = 0.1
    forget: float = 0.1
    drop_ngrams: float = 0.1
    drop_word: float = 0.05
    null_instruction: float = 0.1

    def __post_init__(self):
        if self.shift < 0:
            raise ConfigError(f'shift must be >= 0. Got {self.shift}')
        for name in (
            'contrast',
            'brightness',
            'forget',
            'drop_ngrams',
            'drop_word',
            'null_instruction',
        ):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f'{name} must be in [0, 1). Got {getattr(self, name)}')

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, torch.Tensor]:
        """What `apply` needs for n pictures."""
        shift = rng.integers(-self.shift, self.shift + 1, (n, 2))
        gain = rng.uniform(-1, 1, (n, 2)) * [self.contrast, self.brightness] + [1.0, 0.0]
        return {
            'shift': torch.from_numpy(shift),
            'gain': torch.from_numpy(gain.astype(np.float32)),
        }

    def apply(self, rgb: torch.Tensor, batch: dict) -> torch.Tensor:
        """uint8 (B, S, S, 3) -> changed as drawn."""
        if self.shift:
            rgb = shift_images(rgb, batch['shift'])
        if self.contrast or self.brightness:
            rgb = jitter_colour(rgb, batch['gain'])
        return rgb


def moved(changes: dict, side: int) -> torch.Tensor:
    """How far a picture's points move with it, (B, 1, 2): (y, x) [px] -> (x, y) in half sides."""
    return changes['shift'].flip(-1)[:, None].float() * (2 / side)
