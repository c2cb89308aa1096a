# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Random changes of what planner and sight are shown while they learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from vw2_ros.models.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of what the planner is shown."""

    shift: int = 3  # largest move of the picture [px]
    contrast: float = 0.1  # largest relative change
    brightness: float = 0.1  # largest relative change
    forget: float = 0.1  # these three: see Tokenizer.augment
    drop_ngrams: float = 0.1
    drop_word: float = 0.05
    null_instruction: float = 0.1  # share of labelled frames that get an empty instruction

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
        """Draw what `apply` needs to change n pictures."""
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


def shift_images(rgb: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move each picture by whole pixels, repeating the edge: (B, H, W, 3), int (B, 2) as (y, x)."""
    B, H, W, _ = rgb.shape
    if rgb.is_cuda:  # one kernel; on a CPU the gather takes seven times as long as copies
        y = (torch.arange(H, device=rgb.device) - shift[:, :1]).clamp(0, H - 1)  # (B, H)
        x = (torch.arange(W, device=rgb.device) - shift[:, 1:]).clamp(0, W - 1)  # (B, W)
        pictures = torch.arange(B, device=rgb.device)
        return rgb[pictures[:, None, None], y[:, :, None], x[:, None, :]]
    most = int(shift.abs().max())
    padded = rgb.index_select(1, torch.arange(-most, H + most).clamp(0, H - 1))
    left, right = (padded[:, :, i : i + 1].expand(-1, -1, most, -1) for i in (0, W - 1))
    padded = torch.cat([left, padded, right], dim=2)
    out = torch.empty_like(rgb)
    for picture, moved, (y, x) in zip(padded, out, shift.tolist()):
        moved.copy_(picture[most - y : most - y + H, most - x : most - x + W])
    return out


def jitter_colour(rgb: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """uint8 (B, ..., 3) -> the same with contrast gain[:, 0] about grey and offset gain[:, 1]."""
    shape = (-1, *[1] * (rgb.ndim - 1))
    contrast, offset = gain[:, 0].view(shape), gain[:, 1].view(shape)
    offset = 127.5 * (1 - contrast) + 255.0 * offset
    return rgb.float().mul_(contrast).add_(offset).clamp_(0, 255).to(torch.uint8)
