# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Key steps: does a picture show that a task's goal was reached since another one was taken?

VideoWorld 2 judges imagined videos of a long task by classifiers of its key steps. Here the steps
are the tasks of the play table, which all compare two instants, so the classifier sees two frames:

    start, now -> eye -> features; [start | now - start] -> convolutions -> one logit per task

The eye is a small CNN that learns with the rest, or a DINOv2 (Oquab et al. 2023) of the user's,
which stays as it is. Training: `stages/keysteps.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.config import from_dict, to_dict
from vw2_ros.models.data.pictures import resize_area
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.storage import (
    MAX_STATE_BYTES,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)

NAME = 'keysteps'
# mean and deviation of the pictures that DINOv2 was trained with
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class KeyStepConfig:
    """Sizes of `KeySteps`."""

    image_size: int = 96  # side of the frames [px], a multiple of 8
    channels: tuple[int, ...] = (24, 32, 48)  # of the CNN at 1/2, 1/4, 1/8; unused with a DINOv2
    reduced: int = 32  # channels of the head
    hidden: int = 128  # width of its last layer

    def __post_init__(self) -> None:
        object.__setattr__(self, 'channels', tuple(self.channels))
        if self.image_size < 16 or self.image_size % 8:
            raise InvalidValueError(
                f'image_size must be a multiple of 8, at least 16. Got {self.image_size}.'
            )
        if len(self.channels) != 3 or min(*self.channels, self.reduced, self.hidden) < 1:
            raise InvalidValueError(
                'channels must be three sizes, reduced and hidden one, each at least '
                f'1. Got {self}.'
            )


class SmallEye(nn.Sequential):
    """Frames (B, 3, S, S) in [0, 1] -> features (B, C, S/8, S/8)."""

    def __init__(self, config: KeyStepConfig) -> None:
        a, b, c = config.channels
        super().__init__(
            nn.Conv2d(3, a, 5, 2, 2),
            nn.GroupNorm(1, a),
            nn.GELU(),
            nn.Conv2d(a, b, 3, 2, 1),
            nn.GroupNorm(1, b),
            nn.GELU(),
            nn.Conv2d(b, c, 3, 2, 1),
            nn.GroupNorm(1, c),
            nn.GELU(),
        )
        self.width, self.side = c, config.image_size // 8


class DinoEye(nn.Module):
    """Frames (B, 3, S, S) in [0, 1] -> features (B, C, g, g) of a DINOv2 that stays as it is."""

    def __init__(self, backbone: nn.Module, config: KeyStepConfig) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        patch = backbone.config.patch_size
        self.width, self.side = backbone.config.hidden_size, max(2, config.image_size // patch)
        self.size = self.side * patch
        self.register_buffer('normal', torch.tensor(IMAGENET).view(2, 1, 3, 1, 1))

    def train(self, mode: bool = True) -> DinoEye:
        """The backbone never trains, so nothing in it is ever dropped."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> Tensor:
        mean, std = self.normal
        rgb = F.interpolate(rgb, (self.size, self.size), mode='bilinear', antialias=True)
        tokens = self.backbone((rgb - mean) / std).last_hidden_state[:, 1:]  # (B, g * g, C)
        return tokens.transpose(1, 2).unflatten(2, (self.side, self.side))


class KeySteps(nn.Module):
    """Two frames -> a logit per task: was its goal reached in between?

    Args:
        config: sizes. tasks: names, one per logit.
        backbone: a DINOv2 (see `load_dinov2`); None: the small CNN.
    """

    def __init__(
        self, config: KeyStepConfig, tasks: Sequence[str], backbone: nn.Module | None = None
    ) -> None:
        super().__init__()
        if not tasks:
            raise InvalidValueError('there must be at least one task. Got none.')
        self.config, self.tasks = config, tuple(tasks)
        self.eye = DinoEye(backbone, config) if backbone is not None else SmallEye(config)
        side, r = (self.eye.side + 1) // 2, config.reduced
        self.head = nn.Sequential(
            nn.Conv2d(2 * self.eye.width, r, 1),
            nn.GroupNorm(1, r),
            nn.GELU(),
            nn.Conv2d(r, r, 3, 2, 1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(r * side * side, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, len(tasks)),
        )

    def forward(self, start: Tensor, now: Tensor) -> Tensor:
        """Float (B, 3, S, S) in [0, 1], each -> logits (B, tasks)."""
        first, second = self.eye(torch.cat([start, now])).chunk(2)  # each (B, C, g, g)
        return self.head(torch.cat([first, second - first], dim=1))

    @torch.inference_mode()
    def reached(self, start: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Whether each task's goal is reached.

        Args:
            start, now: uint8 (B, H, W, 3), square.
        Returns:
            float32 (B, tasks), probabilities.
        Raises:
            ValueError: on another dtype or shape.
        """
        for rgb in (start, now):
            if (
                rgb.dtype != np.uint8
                or rgb.ndim != 4
                or rgb.shape != start.shape
                or rgb.shape[1] != rgb.shape[2]
                or rgb.shape[3] != 3
            ):
                raise InvalidValueError(
                    'frames must be uint8 (B, S, S, 3), as many of each. '
                    f'Got {rgb.dtype} {rgb.shape}.'
                )
        a, b = (
            to_float(
                torch.from_numpy(np.stack([resize_area(x, self.config.image_size) for x in rgb]))
            )
            for rgb in (start, now)
        )
        return self(a, b).sigmoid().numpy()

    def save(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Write keysteps.safetensors, config.json and provenance.json."""
        backbone = getattr(self.eye, 'backbone', None)
        save_tensors(folder / f'{NAME}.safetensors', self.state_dict(), limit=MAX_STATE_BYTES)
        save_json(
            folder / 'config.json',
            {
                NAME: to_dict(self.config),
                'tasks': list(self.tasks),
                'backbone': None if backbone is None else backbone.config.to_dict(),
            },
        )
        save_json(folder / 'provenance.json', provenance)

    @classmethod
    def load(cls, folder: str | Path) -> KeySteps:
        """A run folder of `vw2 train keysteps`, in eval mode.

        Raises:
            CheckpointError: missing, damaged, or something else.
        """
        folder = Path(folder).expanduser()
        config = load_json(folder / 'config.json')
        try:
            sizes = from_dict(KeyStepConfig, config[NAME])
            backbone = None
            if config['backbone'] is not None:
                from transformers import Dinov2Config, Dinov2Model

                backbone = Dinov2Model(Dinov2Config.from_dict(config['backbone']))
            model = cls(sizes, config['tasks'], backbone)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'{folder}/config.json must describe a key-step classifier. Got '
                f'{type(error).__name__}: {error}. Give a run folder of vw2 '
                'train keysteps.'
            ) from error
        path = folder / f'{NAME}.safetensors'
        load_state(model, load_tensors(path, limit=MAX_STATE_BYTES)[0], str(path))
        return model.eval().requires_grad_(False)


def to_float(rgb: Tensor) -> Tensor:
    """uint8 (B, S, S, 3) -> float (B, 3, S, S) in [0, 1]."""
    return rgb.permute(0, 3, 1, 2).float() / 255


def load_dinov2(folder: str | Path) -> nn.Module:
    """A DINOv2 from a folder of this disk: config.json and model.safetensors, as on the hub.

    Raises:
        CheckpointError: nothing there, or something else.
    """
    from transformers import AutoConfig, Dinov2Model

    folder = Path(folder).expanduser()
    if not (folder / 'config.json').is_file():
        raise CheckpointError(
            f'{folder} must hold a DINOv2 (config.json, model.safetensors). Got '
            'no config.json. Download facebook/dinov2-small, or leave the '
            'backbone out.'
        )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != 'dinov2':
            raise InvalidValueError(f'it is a {config.model_type}')
        return Dinov2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'{folder} must hold a DINOv2 as safetensors. Got: {error}'
        ) from error
