# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Can the motion, or the scene, be read from the code? Linear probes, tested on an unseen scene."""

from __future__ import annotations

import numpy as np

from vw2_ros.models.inspection.clips import HORIZONS, Clips
from vw2_ros.models.inspection.intervals import Estimate, mean, r_squared

ALPHAS = 10.0 ** np.arange(-2, 5)
HELD_OUT = 0.25  # of the episodes of each scene


def held_out_episodes(clips: Clips, seed: int) -> np.ndarray:
    """bool (m,): clips of every fourth episode of each scene, drawn; of a lone one none."""
    rng = np.random.default_rng([seed, 2])
    held = []
    for letter in np.unique(clips.scene):
        episodes = np.unique(clips.episode[clips.scene == letter])
        count = max(1, round(HELD_OUT * len(episodes))) if len(episodes) > 1 else 0
        held.append(rng.permutation(episodes)[:count])
    return np.isin(clips.episode, np.concatenate(held))


def probe(
    codes: np.ndarray,
    clips: Clips,
    test_scene: str,
    seed: int = 0,
    looks: tuple[np.ndarray, Clips] | None = None,
) -> dict:
    """R^2 of a ridge regression from code to displacement (and nuisances), learned on the other scenes.

    Each step has its own weights (the dLDM normalises each step's codes by themselves); the
    penalty is chosen by cross-validation over the training episodes, for all targets together.

    Args:
        codes: float (m, steps, D).
        looks: codes (n, steps, D) and clips that only test.
    Returns:
        target -> horizon -> {'test': Estimate on `test_scene`, 'seen': Estimate on held-out
        episodes of the training scenes}; with `looks` also 'test_looks' and 'looks', on its clips
        of `test_scene` and of the rest; None where nothing moves or there is no such episode.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold

    test = clips.scene == test_scene
    seen = held_out_episodes(clips, seed) & ~test
    fit = ~test & ~seen
    groups = clips.episode[fit]
    splits = list(GroupKFold(min(5, len(set(groups)))).split(groups, groups=groups))
    sets = [(codes, clips)]
    parts = {'test': (0, test), 'seen': (0, seen)}  # name -> which set, and which clips of it
    if looks:
        sets.append(looks)
        there = looks[1].scene == test_scene
        parts |= {'test_looks': (1, there), 'looks': (1, ~there)}
    targets = clips.targets
    out: dict = {target: {} for target in targets}
    for horizon in HORIZONS:
        truth = [{target: c.moved(target, horizon) for target in targets} for _, c in sets]
        every = [np.concatenate(list(t.values()), axis=2) for t in truth]  # (m, steps, 9 or more)
        # one penalty for metres and millimetres
        scale = np.maximum(every[0][fit].std((0, 1)), 1e-6)
        guess = [np.empty_like(e) for e in every]
        for k in range(clips.steps):
            ridge = RidgeCV(ALPHAS, cv=splits, scoring='neg_mean_squared_error')
            ridge.fit(codes[fit, k], every[0][fit, k] / scale)
            for guessed, (z, _) in zip(guess, sets):
                guessed[:, k] = ridge.predict(z[:, k]) * scale
        ends = np.cumsum([0, *(t.shape[2] for t in truth[0].values())])
        for target, a, b in zip(targets, ends[:-1], ends[1:]):
            out[target][horizon] = {
                name: r_squared(
                    _flat(truth[n][target][part]),
                    _flat(guess[n][part][..., a:b]),
                    np.repeat(sets[n][1].episode[part], clips.steps),
                    seed,
                )
                for name, (n, part) in parts.items()
            }
    return out


def _flat(x: np.ndarray) -> np.ndarray:
    """(m, steps, ...) -> (m * steps, ...)."""
    return x.reshape(-1, *x.shape[2:])


def scene_probe(codes: np.ndarray, clips: Clips, seed: int = 0) -> Estimate | None:
    """How often a linear classifier names the scene of held-out episodes from the code.

    Chance is one over the number of scenes. None where no episode can be held out.
    """
    from sklearn.linear_model import LogisticRegression

    held = held_out_episodes(clips, seed)
    if not held.any():
        return None
    right = np.empty((int(held.sum()), clips.steps))
    for k in range(clips.steps):
        model = LogisticRegression(class_weight='balanced', max_iter=500)
        model.fit(codes[~held, k], clips.scene[~held])
        right[:, k] = model.predict(codes[held, k]) == clips.scene[held]
    return mean(right.reshape(-1), np.repeat(clips.episode[held], clips.steps), seed)
