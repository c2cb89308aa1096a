# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Labelled frames of a store: which task, which words, which actions follow.

demonstrations = Demonstrations(FrameStore(['data']), horizon=policy.chunk)
samples = demonstrations.draw(np.random.default_rng(0), 32)
actions, valid = demonstrations.chunk(samples)    # the actions that follow each, and a mask
"""

from __future__ import annotations

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError
from vw2_ros.models.data.store import FrameStore


class Demonstrations:
    """Labelled frames of a store: which task, which words, which actions follow.

    Args:
        store: frames with language windows.
        horizon: actions in a chunk, as many as a plan of the policy has.
        labels: fraction of the windows whose labels may be used, drawn per task with `seed`
            (CALVIN's "10 %" protocol is 0.1); at least one window of each task stays.
        corrections: how much more often a frame of a human correction is drawn than another of
            its task.
    Attributes:
        tasks: names present, sorted. phrases: task -> its distinct wordings, sorted.
        start, end, task_of: int64 (w,), first row, last row and task index of each window.
        sample_row, sample_window: int64 (m,), every labelled frame, ordered by task.
        corrected: bool (w,), windows of corrections.
    Raises:
        DataError: the store has no language annotations. ValueError: labels not in (0, 1].
    """

    def __init__(
        self,
        store: FrameStore,
        horizon: int = 1,
        labels: float = 1.0,
        seed: int = 0,
        corrections: float = 1.0,
    ):
        if not 0.0 < labels <= 1.0:
            raise InvalidValueError(f'labels must be in (0, 1]. Got {labels}')
        if not 0.0 < corrections < np.inf:
            raise InvalidValueError(f'corrections must be above 0. Got {corrections}')
        windows = [
            (int(store.rows_of(i, w.start)), int(store.rows_of(i, w.end)), w)
            for i, folder in enumerate(store.folders)
            for w in folder.windows
        ]
        if not windows:
            raise DataError(
                f'{", ".join(str(f.path) for f in store.folders)}: no language '
                'annotations, so no labelled demonstrations'
            )
        self.store, self.horizon = store, horizon
        self.tasks = sorted({w.task for *_, w in windows})
        self.phrases = {
            task: sorted({w.phrase for *_, w in windows if w.task == task}) for task in self.tasks
        }
        index = {task: i for i, task in enumerate(self.tasks)}
        task_of = np.array([index[w.task] for *_, w in windows])
        keep = _fraction_per_group(task_of, labels, np.random.default_rng([seed, 1]))
        self.start = np.array([a for a, *_ in windows])[keep]
        self.end = np.array([b for _, b, _ in windows])[keep]
        self.task_of = task_of[keep]
        self.corrected = np.array(_corrected(store))[keep]
        by_task = np.argsort(self.task_of, kind='stable')
        lengths = (self.end - self.start + 1)[by_task]
        self.sample_window = np.repeat(by_task, lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.sample_row = self.start[self.sample_window] + within
        self._task_bounds = np.searchsorted(
            self.task_of[self.sample_window], np.arange(len(self.tasks) + 1)
        )
        weight = np.where(self.corrected, corrections, 1.0)[self.sample_window]
        self._weights_before = np.append(0.0, np.cumsum(weight))  # (m + 1,)

    def __len__(self) -> int:
        return len(self.sample_row)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n sample indices: the task uniformly, then a frame of it, one of a correction more often."""
        task, before = rng.integers(len(self.tasks), size=n), self._weights_before
        low, high = self._task_bounds[task], self._task_bounds[task + 1]
        way = rng.random(n) * (before[high] - before[low])
        if not self.corrected.any():
            return low + way.astype(np.int64)
        found = np.searchsorted(before, before[low] + way, side='right') - 1
        return np.clip(found, low, high - 1)

    def task(self, samples: np.ndarray) -> np.ndarray:
        """int64 task index of each sample."""
        return self.task_of[self.sample_window[samples]]

    def chunk(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The actions that follow each sample.

        Returns:
            actions float32 (n, horizon, 7) and valid bool (n, horizon): False past the end of the
            task, where the arm's entries are 0 and the gripper repeats its last value.
        """
        row = self.sample_row[samples][:, None] + np.arange(self.horizon)  # (n, horizon)
        end = self.end[self.sample_window[samples]][:, None]  # (n, 1)
        valid = row <= end
        actions = self.store.rel_actions[np.minimum(row, end)]
        actions[..., :6] *= valid[..., None]
        return actions, valid

    def frames_left(self, samples: np.ndarray) -> np.ndarray:
        """int64: frames from the sample to the last of its window."""
        return self.end[self.sample_window[samples]] - self.sample_row[samples]


def _corrected(store: FrameStore) -> list[bool]:
    """Whether each window of a store lies in a human correction."""
    return [
        any(span.start <= window.start < span.stop for span in folder.corrections)
        for folder in store.folders
        for window in folder.windows
    ]


def _fraction_per_group(group: np.ndarray, fraction: float, rng) -> np.ndarray:
    """Sorted indices: round(fraction * size) members of each group, at least one."""
    kept = []
    for value in np.unique(group):
        members = np.flatnonzero(group == value)
        n = max(1, round(fraction * len(members)))
        kept.append(members if n == len(members) else rng.permutation(members)[:n])
    return np.sort(np.concatenate(kept))
