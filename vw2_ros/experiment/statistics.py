# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Means and ratios of chain lengths, with 95 % bootstrap intervals.

Seeds and chains are drawn with replacement, each on its own, since all seeds meet the same chains.
"""

import numpy as np

DRAWS = 4000
LOW, HIGH = 2.5, 97.5


def _weights(seeds: int, chains: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed (DRAWS, seeds) and each chain (DRAWS, chains) is drawn, as shares."""
    rng = np.random.default_rng(0)
    return tuple(rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n for n in (seeds, chains))


def bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of (seeds, chains) under resampling: float (DRAWS,), the same draws at every call."""
    by_seed, by_chain = _weights(*values.shape)
    return np.einsum('rs,sc,rc->r', by_seed, values, by_chain)


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean of (seeds, chains) and its 95 % interval, {mean, low, high}."""
    low, high = np.percentile(bootstrap_means(values), [LOW, HIGH])
    return {'mean': float(values.mean()), 'low': float(low), 'high': float(high)}


def ratio(first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """Ratio of two means over the same (seeds, chains), {ratio, low, high}.

    Both are resampled together. None stands for no finite number: the second mean is 0.
    """
    a, b = bootstrap_means(first), bootstrap_means(second)
    with np.errstate(divide='ignore', invalid='ignore'):
        drawn, point = a / b, first.mean() / second.mean()
    drawn = drawn[~np.isnan(drawn)]  # 0 / 0 says nothing
    # A draw that is there: between a number and infinity there is no middle.
    low, high = (
        np.percentile(drawn, [LOW, HIGH], method='nearest') if len(drawn) else (np.nan, np.nan)
    )
    return {
        k: float(v) if np.isfinite(v) else None
        for k, v in (('ratio', point), ('low', low), ('high', high))
    }
