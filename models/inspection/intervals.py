# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Figures with bootstrap intervals over episodes, and their paired differences."""

from __future__ import annotations

import dataclasses

import numpy as np

DRAWS = 1000  # of a bootstrap
FEWEST = 4  # episodes that an interval needs


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap draws; draws of equal episodes and seed are paired."""

    value: float
    draws: np.ndarray  # (DRAWS,)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)

    def figures(self) -> dict[str, float | None]:
        """value, and low and high of the 95 % interval (None where there were too few episodes)."""
        out = {'value': round(float(self.value), 4), 'low': None, 'high': None}
        if np.isfinite(self.draws).all():
            out['low'], out['high'] = np.percentile(self.draws, [2.5, 97.5]).round(4).tolist()
        return out


def estimate(statistic, sums: np.ndarray, episode: np.ndarray, seed: int = 0) -> Estimate:
    """A statistic of sums over samples, bootstrapped over episodes.

    Args:
        statistic: (..., q) sums -> (...). sums: float (n, q), what each sample adds.
        episode: int (n,); with fewer than FEWEST there is no interval.
    """
    _, which = np.unique(episode, return_inverse=True)
    E = int(which.max()) + 1
    per_episode = np.zeros((E, sums.shape[1]))
    np.add.at(per_episode, which, sums.astype(np.float64))
    times = np.random.default_rng(seed).multinomial(E, np.full(E, 1 / E), size=DRAWS)
    draws = statistic(times @ per_episode) if E >= FEWEST else np.full(DRAWS, np.nan)
    return Estimate(float(statistic(per_episode.sum(0))), draws)


def mean(values: np.ndarray, episode: np.ndarray, seed: int) -> Estimate:
    """Mean of values (n,), bootstrapped over episodes."""
    sums = np.stack([values, np.ones(len(values))], axis=1)
    return estimate(lambda s: s[..., 0] / s[..., 1], sums, episode, seed)


def r_squared(
    truth: np.ndarray, guess: np.ndarray, episode: np.ndarray, seed: int = 0
) -> Estimate | None:
    """1 - squared error / variance, both summed over the axes of truth (n, d).

    None where nothing moves in `truth`.
    """
    if not len(truth) or np.abs(truth - truth.mean(0)).max() < 1e-4:  # m
        return None
    d = truth.shape[1]
    sums = np.concatenate([(truth - guess) ** 2, truth**2, truth, np.ones((len(truth), 1))], 1)

    def statistic(s):
        error, square = s[..., :d].sum(-1), s[..., d : 2 * d].sum(-1)
        spread = square - (s[..., 2 * d : 3 * d] ** 2).sum(-1) / s[..., -1]
        return 1 - error / np.maximum(spread, 1e-12)

    return estimate(statistic, sums, episode, seed)


def differences(first: dict, second: dict) -> dict:
    """Subtract the second's figures from the first's, of the same clips, with paired intervals.

    Args:
        first, second: {'probe': .., 'retrieval': ..}.
    """
    probes = {
        t: {
            h: {part: _less(a, second['probe'][t][h][part]) for part, a in parts.items()}
            for h, parts in horizons.items()
        }
        for t, horizons in first['probe'].items()
    }
    retrievals = {
        part: {
            h: a and {'cosine': _less(a['cosine'], second['retrieval'][part][h]['cosine'])}
            for h, a in horizons.items()
        }
        for part, horizons in first['retrieval'].items()
    }
    return {'probe': probes, 'retrieval': retrievals}


def _less(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    return a - b if a is not None and b is not None else None


def figures(value):
    """Plain JSON values: each Estimate as value, low and high."""
    if isinstance(value, Estimate):
        return value.figures()
    if isinstance(value, dict):
        return {str(key): figures(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [figures(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value
