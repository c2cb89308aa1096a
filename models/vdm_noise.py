# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How the denoising loss draws: noise, times, and the clips whose control branch is switched off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from vw2_ros.errors import InvalidValueError

# As Cosmos-Predict2 has it: mean and deviation of the log of s in training; t = s / (1 + s)
LOG_SIGMA = (math.log(4.0), 1.2)
LEAST_SHARE = 1e-6  # keeps a time off the ends of its range, where the log of s is infinite

# One generator draws the noise of all samples; a list has one per sample, so that the noise of a
# sample does not depend on the others.
Generators = torch.Generator | list[torch.Generator] | None


@dataclass(frozen=True)
class NoiseDraws:
    """How often, and where, a clip that is encoded once is made noisy.

    Raises:
        InvalidValueError: a value makes no sense.
    """

    per_clip: int = 1  # noises and times for each clip
    times: tuple[float, float] = (0.0, 1.0)  # those of LOG_SIGMA's that lie in this range
    control_dropout: float = 0.0  # share of draws in which the control branch adds nothing
    edm: bool = False  # noise levels weigh as in the public research code, see `VDM.flow_loss`

    def __post_init__(self) -> None:
        object.__setattr__(self, 'times', tuple(self.times))
        if self.per_clip < 1:
            raise InvalidValueError(f'noise_draws must be at least 1. Got {self.per_clip}.')
        if len(self.times) != 2 or not 0 <= self.times[0] < self.times[1] <= 1:
            raise InvalidValueError(
                f'code_times must be two times, 0 <= from < to <= 1. Got {list(self.times)}.'
            )
        if not 0 <= self.control_dropout <= 1:
            raise InvalidValueError(
                f'control_dropout must lie in [0, 1]. Got {self.control_dropout}.'
            )

    def time(self, count: int, generator: Generators, device: torch.device) -> Tensor:
        """Times t (count,) in (0, 1): the logit is normal, as Cosmos-Predict2 draws it."""
        z = randn_tensor((count,), generator, device)
        if self.times != (0.0, 1.0):
            low, high = (
                torch.special.ndtr((torch.tensor(t).logit() - LOG_SIGMA[0]) / LOG_SIGMA[1]).item()
                for t in self.times
            )
            share = (low + (high - low) * torch.special.ndtr(z)).clamp(
                max(low, LEAST_SHARE), min(high, 1 - LEAST_SHARE)
            )
            z = torch.special.ndtri(share)
        return (LOG_SIGMA[0] + LOG_SIGMA[1] * z).sigmoid()

    def shown(self, count: int, generator: Generators, device: torch.device) -> Tensor | None:
        """In which draws the control branch is on, bool (count,); None: in all, nothing is drawn."""
        if not self.control_dropout:
            return None
        drawn = torch.special.ndtr(randn_tensor((count,), generator, device))
        return drawn >= self.control_dropout
