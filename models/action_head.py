# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Action head: VideoWorld 2, appendix A, "Latent pre-training on CALVIN".

An MLP on the hidden states that predict the latent codes gives real actions, L2 loss. Each hidden
state gives the actions of its own latent step's frames.

Differs: the gripper, which only opens or closes, is learned by logistic loss (`gripper_loss`;
"mse" is the paper's L2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.parallel import common_count


@dataclass(frozen=True)
class ActionHeadConfig:
    """Sizes of the head."""

    width: int = 192  # of the planner's hidden states
    steps: int = 4  # latent steps of a plan
    frames: int = 4  # actions per latent step
    hidden: int = 384  # of the MLP
    layers: int = 2  # of the MLP
    gripper_loss: str = 'bce'  # or 'mse'
    # Against the arm's mean squared error, in units of each dimension's standard deviation.
    gripper_weight: float = 0.5

    def __post_init__(self) -> None:
        if min(self.width, self.steps, self.frames, self.hidden, self.layers) < 1:
            raise InvalidValueError(f'every size must be at least 1. Got {self}.')
        if self.gripper_loss not in ('bce', 'mse'):
            raise InvalidValueError(
                f'gripper_loss must be "bce" or "mse". Got {self.gripper_loss!r}.'
            )
        if self.gripper_weight < 0:
            raise InvalidValueError(
                f'gripper_weight must be at least 0. Got {self.gripper_weight}.'
            )


class ActionHead(nn.Module):
    """Hidden states (B, steps, width) -> actions (B, steps * frames, 7)."""

    def __init__(self, config: ActionHeadConfig) -> None:
        super().__init__()
        self.config = c = config
        layers: list[nn.Module] = []
        width = c.width
        for _ in range(c.layers):
            layers += [nn.Linear(width, c.hidden), nn.GELU()]
            width = c.hidden
        self.mlp = nn.Sequential(*layers, nn.Linear(width, c.frames * 7))
        # Statistics of the six arm dimensions: saved with the weights, or the policy is lost.
        self.register_buffer('mean', torch.zeros(6))
        self.register_buffer('std', torch.ones(6))

    def set_normalization(self, mean: Tensor, std: Tensor) -> None:
        """Take the training actions' mean and standard deviation, six numbers each (arm).

        Raises:
            ValueError: if a number is not finite, or a deviation is not above zero.
        """
        mean, std = torch.as_tensor(mean).float(), torch.as_tensor(std).float()
        if mean.shape != (6,) or std.shape != (6,):
            raise InvalidValueError(
                'mean and std must hold six numbers (arm: xyz, rpy). '
                f'Got {tuple(mean.shape)} and {tuple(std.shape)}.'
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std > 0).all()):
            raise InvalidValueError(
                f'mean and std must be finite, std above 0. Got {mean}, {std}.'
            )
        self.mean.copy_(mean)
        self.std.copy_(std)

    def _raw(self, hidden: Tensor) -> Tensor:
        """Normalised arm (6) and gripper logit or value (1): (B, steps * frames, 7)."""
        c = self.config
        if hidden.dim() != 3 or hidden.shape[1:] != (c.steps, c.width):
            raise InvalidValueError(
                f'hidden must be (B, {c.steps}, {c.width}). Got {tuple(hidden.shape)}.'
            )
        # (B, steps, frames * 7) -> (B, steps * frames, 7)
        return self.mlp(hidden).reshape(hidden.shape[0], c.steps * c.frames, 7)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states -> actions.

        Returns:
            float (B, steps * frames, 7): rel xyz (x 0.02 m) and rpy (x 0.05 rad) in [-1, 1],
            frame `panda_link0`; gripper in [-1, 1], its sign -1 closes, +1 opens, its size is the
            confidence.
        """
        raw = self._raw(hidden)
        arm = (raw[..., :6] * self.std + self.mean).clamp(-1, 1)
        gripper = raw[..., 6:]
        gripper = (
            torch.tanh(gripper / 2) if self.config.gripper_loss == 'bce' else gripper.clamp(-1, 1)
        )
        return torch.cat([arm, gripper], dim=-1)

    def loss(
        self, hidden: Tensor, actions: Tensor, valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """L2 on the arm, logistic (or L2) on the gripper.

        Args:
            hidden: (B, steps, width). actions: float (B, steps * frames, 7) in [-1, 1], gripper
            -1 or +1. valid: bool (B, steps * frames), False where a frame has no action.
        Returns:
            loss, arm (mean squared error in standard deviations), gripper, gripper_accuracy.
        """
        raw = self._raw(hidden)
        if actions.shape != raw.shape:
            raise InvalidValueError(
                f'actions must be {tuple(raw.shape)}. Got {tuple(actions.shape)}.'
            )
        weight = torch.ones_like(raw[..., 0]) if valid is None else valid.to(raw.dtype)
        total = common_count(weight.sum()) if self.training else weight.sum().clamp(min=1)
        error = (raw[..., :6] - (actions[..., :6] - self.mean) / self.std).square().mean(dim=-1)
        opens = (actions[..., 6] > 0).to(raw.dtype)
        if self.config.gripper_loss == 'bce':
            grip = F.binary_cross_entropy_with_logits(raw[..., 6], opens, reduction='none')
        else:
            grip = (raw[..., 6] - (2 * opens - 1)).square()
        hit = ((raw[..., 6] > 0) == (opens > 0)).to(raw.dtype)
        arm, grip = (error * weight).sum() / total, (grip * weight).sum() / total
        return {
            'loss': arm + self.config.gripper_weight * grip,
            'arm': arm.detach(),
            'gripper': grip.detach(),
            'gripper_accuracy': ((hit * weight).sum() / total).detach(),
        }
