# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A linear map from codes to actions, for the few labelled clips of latent training: not in the paper.

It only shapes the codes, and is thrown away with the training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.parallel import common_count


class ActionReadout(nn.Module):
    """Codes (B, K-1, N, C) -> actions (B, K-1, 7); each step has its own weights."""

    def __init__(self, config: DLDMConfig) -> None:
        super().__init__()
        width = config.queries * len(config.levels)
        self.weight = nn.Parameter(torch.zeros(config.steps, width, 7))
        self.bias = nn.Parameter(torch.zeros(config.steps, 7))

    def forward(self, codes: Tensor) -> Tensor:
        """Actions as `LabelledClips.actions` tells them."""
        flat = codes.flatten(2)  # (B, K-1, N, C) -> (B, K-1, N * C)
        return torch.einsum('bkd,kda->bka', flat, self.weight) + self.bias

    def loss(self, codes: Tensor, actions: Tensor, labelled: Tensor) -> Tensor:
        """Mean squared error over the labelled clips, bool (B,), of the batch of all processes."""
        error = (self(codes) - actions).square().mean((1, 2))  # (B,)
        return (error * labelled).sum() / common_count(labelled.sum())
