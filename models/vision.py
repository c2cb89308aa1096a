# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Image tokens from keypoints: six small convolutions, a fine map, a spatial softmax per channel.

VideoWorld 2 feeds the first image through its language model's own vision tower. Ours is trained
from scratch on a CPU, so it takes what locates small objects cheaply: keypoints (Levine et al.
2016) of a map at a quarter of the image's size, each with the feature found at its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the keypoint encoder."""

    image_size: int = 96  # side of the square rgb image [px], a multiple of 4
    stem: int = 16  # channels at half the image's size
    channels: int = 32  # channels at a quarter of it
    keypoints: int = 32  # spatial softmax maps
    per_token: int = 1  # keypoints that share one image token
    frozen: bool = False  # the keypoints do not learn: they were trained before

    def __post_init__(self) -> None:
        if self.image_size < 16 or self.image_size % 4:
            raise InvalidValueError(
                f'image_size must be a multiple of 4, at least 16. Got {self.image_size}.'
            )
        if min(self.stem, self.channels, self.keypoints, self.per_token) < 1:
            raise InvalidValueError(
                f'stem, channels, keypoints and per_token must be at least 1. Got {self}.'
            )
        if self.keypoints % self.per_token:
            raise InvalidValueError(
                f'keypoints must be a multiple of per_token. '
                f'Got {self.keypoints} and {self.per_token}.'
            )

    @property
    def tokens(self) -> int:
        """Image tokens per image."""
        return self.keypoints // self.per_token


class Keypoints(NamedTuple):
    """places (B, P, 2) in [-1, 1], x right, y down; features found there (B, P, channels)."""

    place: Tensor
    local: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of the places, (B, P, 2)."""
        return self.place.shape


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.ReLU(inplace=True)
    )


class KeypointFinder(nn.Module):
    """uint8 image -> places of the keypoints, and the features found there."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = c = config
        self.convs = nn.Sequential(
            _conv(3, c.stem, 5, 2),
            _conv(c.stem, c.stem, 3),
            _conv(c.stem, c.channels, 3, 2),
            _conv(c.channels, c.channels, 3),
            _conv(c.channels, c.channels, 3),
            nn.Conv2d(c.channels, c.channels, 3, padding=1),
        ).to(memory_format=torch.channels_last)
        self.heat = nn.Conv2d(c.channels, c.keypoints, 1)
        self.log_sharpness = nn.Parameter(torch.zeros(c.keypoints))
        side = c.image_size // 4
        axis = (torch.arange(side) + 0.5) / side * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing='ij')
        # (side * side, 2): x to the right, y down, both in [-1, 1].
        self.register_buffer('grid', torch.stack([x, y], dim=-1).reshape(-1, 2), persistent=False)

    def forward(self, rgb: Tensor) -> Keypoints:
        """uint8 (B, 3, S, S) -> keypoints.

        Raises:
            ValueError: if dtype or shape is another.
        """
        size = self.config.image_size
        if rgb.dtype != torch.uint8 or rgb.dim() != 4 or rgb.shape[1:] != (3, size, size):
            raise InvalidValueError(
                f'rgb must be uint8 (B, 3, {size}, {size}). Got {rgb.dtype} {tuple(rgb.shape)}.'
            )
        x = rgb.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1
        feature = self.convs(x).float()  # (B, C, h, w)
        # bf16 knows places to a fifth of a pixel only: under autocast, too, they are float32
        with torch.autocast(rgb.device.type, enabled=False):
            heat = self.heat(F.relu(feature)).flatten(2)  # (B, P, h*w)
            # Each map at one scale: left to itself the softmax stays flat and no keypoint forms.
            heat = (heat - heat.mean(-1, keepdim=True)) / (heat.std(-1, keepdim=True) + 1e-3)
            weight = (3 * heat * self.log_sharpness.exp().view(1, -1, 1)).softmax(dim=-1)
            place = weight @ self.grid  # (B, P, 2)
            local = weight @ feature.flatten(2).transpose(1, 2)  # (B, P, C)
        return Keypoints(place, local)


class KeypointEncoder(nn.Module):
    """uint8 image -> one token per keypoint group."""

    def __init__(self, config: VisionConfig, width: int) -> None:
        super().__init__()
        self.config = c = config
        self.locate = KeypointFinder(c).requires_grad_(not c.frozen)
        # Sines of (x, y) let one linear layer tell places a few millimetres apart.
        self.register_buffer('bands', torch.pi * 2.0 ** torch.arange(4), persistent=False)
        # Each keypoint has its own projection: (keypoints, features, width).
        features = 2 * (2 + 2 * 2 * 4) + c.channels
        self.project = nn.Parameter(torch.randn(c.keypoints, features, width) * features**-0.5)
        self.bias = nn.Parameter(torch.randn(c.tokens, width) * 0.1)

    def forward(self, seen: Tensor | Keypoints) -> Tensor:
        """uint8 (B, 3, S, S), or the keypoints found in it -> float (B, tokens, width)."""
        place, local = seen if isinstance(seen, Keypoints) else self.locate(seen)
        # Where it is, and where as seen from the first keypoint: what moves is moved to something.
        x = torch.stack([place, place - place[:, :1]], dim=2)  # (B, P, 2, 2)
        angle = (x.unsqueeze(-1) * self.bands).flatten(2)  # (B, P, 2*2*4)
        x = torch.cat([x.flatten(2), angle.sin(), angle.cos(), local], dim=-1)
        x = torch.einsum('bpi,piw->bpw', x, self.project)
        B, P, W = x.shape
        # (B, P, W) -> (B, tokens, per_token, W) -> sum of the group
        return x.view(B, self.config.tokens, self.config.per_token, W).sum(dim=2) + self.bias
