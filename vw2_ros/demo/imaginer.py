# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The policy once more, in a process of its own that takes no time which a node could use.

It checks the weights and decodes plans into pictures, while the nodes run and for the film.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import warnings
from dataclasses import dataclass

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.work.local import end_with_parent

APART_S = 8 / ACTION_HZ  # a film shows the clip of a plan for so long, or until the next plan's


@dataclass(frozen=True)
class Facts:
    """What is known of weights once they are loaded."""

    sha256: str
    warnings: tuple[str, ...]


class Imaginer:
    """Decodes plans; nothing is begun before `load`.

    Args:
        weights: shipped weights by name, or a folder.
        renderer: what draws the pictures that the policy gets.
        scene: the table that they show.
    """

    def __init__(self, weights: str, renderer: str, scene: str):
        self._weights, self._pictures = weights, (renderer, scene)
        self._pool = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context('spawn'), _begin_worker
        )
        self._facts: concurrent.futures.Future | None = None
        self._clip: concurrent.futures.Future | None = None
        self.newest: np.ndarray | None = None  # clip (16, S, S, 3) of a plan a moment ago

    def __enter__(self) -> 'Imaginer':
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)

    def load(self) -> concurrent.futures.Future:
        """Begin to load the weights; the future's result are `Facts`, or a CheckpointError."""
        if self._facts is None:
            self._facts = self._pool.submit(_load, self._weights, *self._pictures)
        return self._facts

    def offer(self, codes: np.ndarray, rgb: np.ndarray) -> None:
        """Decode a plan into `newest`, unless another one still is; returns at once."""
        if not self.load().done() or self._facts.exception():
            return
        if self._clip is not None and self._clip.done():
            self.newest, self._clip = self._clip.result(), None
        if self._clip is None:
            self._clip = self._pool.submit(_imagine, codes, rgb)

    def clips(self, plans) -> list[tuple[int, np.ndarray]]:
        """Clips [(stamp_ns, frames (16, S, S, 3))] of the plans that a film shows.

        Args:
            plans: (stamp_ns, codes (4, 4), rgb (S, S, 3)), in order.
        """
        self.load().result()
        shown: list = []
        for plan in plans:
            if not shown or plan[0] - shown[-1][0] >= APART_S * 1e9:
                shown.append(plan)
        stamps, codes, pictures = zip(*shown) if shown else ((), (), ())
        clips = self._pool.map(_imagine, codes, pictures)
        return [(s, clip) for s, clip in zip(stamps, clips) if clip is not None]


_policy = None  # of the process


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which ends this one
    end_with_parent()
    os.nice(19)


def _load(weights: str, renderer: str, scene: str) -> Facts:
    global _policy
    from vw2_ros.models.policy import Policy

    loaded = Policy.load(weights)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        loaded.check_images(renderer, scene=scene)
    _policy = loaded
    return Facts(loaded.sha256, tuple(str(w.message) for w in said))


def _imagine(codes: np.ndarray, rgb: np.ndarray) -> np.ndarray | None:
    return _policy.imagine(rgb, codes.astype(np.int64)) if _policy.can_imagine else None
