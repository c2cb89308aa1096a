# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""FSQ, the quantiser of VideoWorld 2: finite scalar quantisation (Mentzer et al. 2023).

Each of `len(levels)` numbers is squashed into a range with `L` integer points and rounded there;
the gradient passes straight through the rounding. There is no codebook to learn or to collapse:
[8, 5, 5, 5] gives 8 * 5 * 5 * 5 = 1000 codes. Differs from the paper for L = 2, see below.
`CodeUsage` counts how many of the codes are in use.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError


class FSQ(nn.Module):
    """Round each channel to its own small grid.

    Args:
        levels: points per channel, each at least 2, e.g. (8, 5, 5, 5).
    Raises:
        ValueError: if a level is below 2 or no level is given.
    """

    def __init__(self, levels: tuple[int, ...] = (8, 5, 5, 5)) -> None:
        super().__init__()
        levels = tuple(int(n) for n in levels)
        if not levels or min(levels) < 2:
            raise InvalidValueError(f'levels must be integers of at least 2. Got {levels}.')
        self.levels = levels
        self.dim = len(levels)
        self.codebook_size = math.prod(levels)
        grid = torch.tensor(levels)
        # Mixed radix: the first channel is the fastest digit of the index.
        radix = torch.cumprod(torch.tensor((1, *levels[:-1])), dim=0)
        # An even grid has no middle point: its range is moved by half a step.
        offset = torch.where(grid % 2 == 0, 0.5, 0.0)
        reach = (grid - 1) * (1 + 1e-3) / 2
        # 0 is squashed onto a point, but of a grid of two points between them: in the paper's way
        # all but inputs below -3.8 would go to one of the two.
        shift = torch.where(grid == 2, 0.0, torch.atanh(offset / reach))
        self.register_buffer('_grid', grid, persistent=False)
        self.register_buffer('_radix', radix, persistent=False)
        self.register_buffer('_offset', offset, persistent=False)
        self.register_buffer('_reach', reach, persistent=False)
        self.register_buffer('_shift', shift, persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Squash (..., C) into the range whose integer points are the grid."""
        return torch.tanh(z + self._shift) * self._reach - self._offset

    def quantize(self, z: Tensor) -> Tensor:
        """Round (..., C) to the grid; values in [-1, 1]; straight-through gradient."""
        bounded = self.bound(z.float())
        rounded = bounded + (torch.round(bounded) - bounded).detach()
        return rounded / (self._grid // 2)

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """Grid values (..., C) in [-1, 1] -> int64 (...) in [0, codebook_size)."""
        half = self._grid // 2
        digits = torch.round(codes * half).long() + half
        return (digits * self._radix).sum(dim=-1)

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """Inverse of `codes_to_indices`: int64 (...) -> float32 (..., C).

        Raises:
            ValueError: if an index lies outside [0, codebook_size).
        """
        if indices.numel() and (
            int(indices.min()) < 0 or int(indices.max()) >= self.codebook_size
        ):
            raise InvalidValueError(
                f'indices must lie in [0, {self.codebook_size}). '
                f'Got {int(indices.min())} to {int(indices.max())}.'
            )
        half = self._grid // 2
        digits = (indices.unsqueeze(-1) // self._radix) % self._grid
        return (digits - half).float() / half

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) -> grid values (..., C) with gradient, and int64 indices (...)."""
        if z.shape[-1] != self.dim:
            raise InvalidValueError(
                f'last dimension must be {self.dim}. Got shape {tuple(z.shape)}.'
            )
        codes = self.quantize(z)
        return codes, self.codes_to_indices(codes.detach())


class CodeUsage:
    """Counts of the codes seen, per query: how much of the codebook is alive.

    Args:
        codebook_size: number of codes. queries: N.
        floor: perplexity below which `warn_on_collapse` warns.
    """

    def __init__(self, codebook_size: int, queries: int, floor: float = 20.0) -> None:
        self.counts = torch.zeros(queries, codebook_size, dtype=torch.int64)
        self.floor = floor

    def update(self, indices: Tensor) -> None:
        """Count the indices int64 (..., N) of more clips."""
        queries, size = self.counts.shape
        flat = indices.detach().cpu().reshape(-1, queries)
        for n in range(queries):
            codes = flat[:, n]  # of a model that diverged they are no codes
            codes = codes[(codes >= 0) & (codes < size)]
            self.counts[n] += torch.bincount(codes, minlength=size)

    def usage(self) -> float:
        """Fraction of the codebook seen at least once, by any query, 0 to 1."""
        return float((self.counts.sum(dim=0) > 0).float().mean())

    def perplexity(self) -> list[float]:
        """exp(entropy) of each query's codes: 1 is collapse, codebook_size is uniform."""
        p = self.counts.double() / self.counts.sum(dim=1, keepdim=True).clamp(min=1)
        entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=1)
        return entropy.exp().tolist()

    def scores(self) -> dict:
        """`usage` and `perplexity` as they are logged."""
        perplexity = {f'query_{n}': p for n, p in enumerate(self.perplexity())}
        return {'code_usage': self.usage(), 'perplexity': perplexity}

    def warn_on_collapse(self) -> bool:
        """Warn if a query's perplexity is below the floor; True if so."""
        low = [f'query {n}: {p:.1f}' for n, p in enumerate(self.perplexity()) if p < self.floor]
        if low:
            warnings.warn(
                f'codes collapse: perplexity below {self.floor:g} of '
                f'{self.counts.shape[1]} ({", ".join(low)}). Train longer, lower the '
                'learning rate, or look at the data: does anything move?',
                stacklevel=2,
            )
        return bool(low)
