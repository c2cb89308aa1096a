# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Does the nearest code of another scene show the same motion?"""

from __future__ import annotations

import numpy as np

from vw2_ros.models.inspection.clips import HORIZONS, MOVES_M, Clips, direction, lively
from vw2_ros.models.inspection.intervals import mean


def neighbours(
    codes: np.ndarray, clips: Clips, seed: int = 0, among: tuple[np.ndarray, Clips] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest code of the same step in another scene.

    Args:
        among: codes and clips to search; None: the same ones.
    Returns:
        clip int64 (m, steps), and distance float (m, steps). Equals are chosen among at random.
    """
    from sklearn.neighbors import NearestNeighbors

    # Codes lie on a grid: a grain of noise decides between equals.
    rng = np.random.default_rng([seed, 3])
    noisy = codes + 1e-4 * rng.standard_normal(codes.shape)
    there, held = (noisy, clips) if among is None else among
    if among is not None:
        there = there + 1e-4 * rng.standard_normal(there.shape)
    nearest = np.empty(codes.shape[:2], np.int64)
    distance = np.empty(codes.shape[:2])
    for letter in np.unique(clips.scene):
        mine, others = np.flatnonzero(clips.scene == letter), np.flatnonzero(held.scene != letter)
        for k in range(clips.steps):
            search = NearestNeighbors(n_neighbors=1, algorithm='brute').fit(there[others, k])
            d, i = search.kneighbors(noisy[mine, k])
            nearest[mine, k], distance[mine, k] = others[i[:, 0]], d[:, 0]
    return nearest, distance


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of displacements (..., 3) -> (...); 0 where one stands still (below MOVES_M)."""
    length_a, length_b = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    moves = (length_a > MOVES_M) & (length_b > MOVES_M)
    return np.where(moves, (a * b).sum(-1) / np.maximum(length_a * length_b, 1e-12), 0.0)


def retrieve(
    codes: np.ndarray,
    clips: Clips,
    test_scene: str,
    seed: int = 0,
    permutations: int = 200,
    looks: tuple[np.ndarray, Clips] | None = None,
) -> dict:
    """Does the nearest code of another scene show the hand going the same way?

    Takes the samples in which the hand moves. The figure is the mean cosine between the hand's
    displacement in a sample and that in the nearest sample of another scene (0 if it stands still
    there). Chance is the same mean after the neighbours of each scene and step were shuffled.

    Args:
        looks: codes and clips that only ask; what is found is always of `clips`.
    Returns:
        'test' (queries of `test_scene`) and 'all', with `looks` also 'test_looks' (its queries of
        `test_scene`) and 'looks' (the rest of it) -> horizon -> {'cosine': Estimate, 'chance',
        'chance_low', 'chance_high' (95 % of the permutations), 'p', 'queries'}; None where the
        hand never moves.
    """
    asked = [
        (
            neighbours(codes, clips, seed)[0],
            clips,
            {'test': clips.scene == test_scene, 'all': clips.scene != ''},
        )
    ]
    if looks:
        there = looks[1].scene == test_scene
        asked.append(
            (
                neighbours(*looks, seed, (codes, clips))[0],
                looks[1],
                {'test_looks': there, 'looks': ~there},
            )
        )
    step = np.arange(clips.steps)
    out: dict = {name: {} for _, _, parts in asked for name in parts}
    for horizon in HORIZONS:
        found = clips.moved('hand', horizon)  # (m, steps, 3)
        for nearest, asking, parts in asked:
            hand = asking.moved('hand', horizon)
            moving = np.linalg.norm(hand, axis=-1) > MOVES_M
            for name, part in parts.items():
                query = moving & part[:, None]
                if not query.any():
                    out[name][horizon] = None
                    continue
                got = cosine(hand, found[nearest, step])[query]
                rng = np.random.default_rng([seed, 4])
                dealt = np.array(
                    [
                        cosine(hand, found[_dealt(nearest, asking.scene, rng), step])[query].mean()
                        for _ in range(permutations)
                    ]
                )
                low, high = np.percentile(dealt, [2.5, 97.5])
                clip = np.broadcast_to(np.arange(len(hand))[:, None], query.shape)[query]
                out[name][horizon] = {
                    'cosine': mean(got, asking.episode[clip], seed),
                    'chance': float(dealt.mean()),
                    'chance_low': float(low),
                    'chance_high': float(high),
                    'queries': int(query.sum()),
                    'p': float((1 + (dealt >= got.mean()).sum()) / (1 + permutations)),
                }
    return out


def _dealt(nearest: np.ndarray, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = nearest.copy()
    for letter in np.unique(scene):
        mine = scene == letter
        out[mine] = rng.permuted(nearest[mine], axis=0)
    return out


def matching_pairs(
    codes: np.ndarray, clips: Clips, test_scene: str, seed: int = 0, count: int = 6
) -> list[tuple[int, int, float]]:
    """Lively clips of the test scene, and the clip of the nearest last code in another scene.

    Drawn, one for each direction of motion: the best-looking would flatter, and the nearest of all
    are those in which the arm is out of the picture.

    Returns:
        (clip, its neighbour, distance).
    """
    nearest, distance = neighbours(codes, clips, seed)
    ways = direction(clips.moved('hand', 'clip')[:, -1])
    able = np.random.default_rng([seed, 7]).permutation(lively(clips))
    able = able[clips.scene[able] == test_scene]
    _, first = np.unique(ways[able], return_index=True)
    return [
        (int(i), int(nearest[i, -1]), float(distance[i, -1])) for i in able[np.sort(first)[:count]]
    ]
