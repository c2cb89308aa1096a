# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Statistics of a LeRobot data set's features, as meta/stats.json has them.

Of numbers: per column, exact. Of pictures: per channel, in [0, 1], from counts of the 256 levels, which
add up exactly over episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUANTILES = {'q01': 0.01, 'q10': 0.10, 'q50': 0.50, 'q90': 0.90, 'q99': 0.99}
EVERY = 4  # of so many pictures one is counted
COUNTED_PX = 150  # of a picture's side, about so many pixels are counted
_LEVELS = np.arange(256) / 255


def number_stats(values: np.ndarray) -> dict[str, list]:
    """Statistics of numbers (n, k), n > 0."""
    values = np.asarray(values, np.float64)
    found = {
        'min': values.min(0),
        'max': values.max(0),
        'mean': values.mean(0),
        'std': values.std(0),
        **{name: np.quantile(values, q, axis=0) for name, q in QUANTILES.items()},
    }
    return {name: value.tolist() for name, value in found.items()} | {'count': [len(values)]}


class Levels:
    """How often each level of each channel was seen in pictures."""

    def __init__(self, counts: Sequence | None = None, pictures: int = 0):
        self.counts = np.zeros((3, 256), np.int64)
        if counts is not None:
            self.counts += np.asarray(counts, np.int64)
        self.pictures = pictures

    def add(self, rgb: np.ndarray) -> None:
        """Count a picture uint8 (H, W, 3)."""
        stride = max(1, min(rgb.shape[:2]) // COUNTED_PX)
        for channel in range(3):
            part = rgb[::stride, ::stride, channel].reshape(-1)
            self.counts[channel] += np.bincount(part, minlength=256)
        self.pictures += 1

    def plus(self, other: Levels) -> Levels:
        """Both together."""
        return Levels(self.counts + other.counts, self.pictures + other.pictures)

    def stats(self) -> dict[str, list]:
        """Statistics, (3, 1, 1) each."""
        n = np.maximum(self.counts.sum(1), 1)  # (3,)
        mean = self.counts @ _LEVELS / n
        std = np.sqrt(np.maximum(self.counts @ _LEVELS**2 / n - mean**2, 0))
        below = np.cumsum(self.counts, axis=1)  # (3, 256)
        seen = self.counts > 0
        found = {
            'min': _LEVELS[seen.argmax(1)],
            'max': _LEVELS[255 - seen[:, ::-1].argmax(1)],
            'mean': mean,
            'std': std,
            **{
                name: _LEVELS[np.minimum((below < q * n[:, None]).sum(1), 255)]
                for name, q in QUANTILES.items()
            },
        }
        shaped = {name: value.reshape(3, 1, 1).tolist() for name, value in found.items()}
        return shaped | {'count': [self.pictures]}
