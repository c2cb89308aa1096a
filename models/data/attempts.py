# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Tasks that were begun and done, in annotated data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.store import FrameStore


@dataclasses.dataclass(frozen=True)
class Attempts:
    """Tasks that were begun and done: rows of a store.

    A collected attempt may be cut in several windows, where the arm was pushed meanwhile: only the
    last of them ends with the goal, and all of them start from the first one's start.
    """

    tasks: tuple[str, ...]
    task: np.ndarray  # int64 (n,), index into tasks
    start: np.ndarray  # int64 (n,)
    end: np.ndarray  # int64 (n,)

    @classmethod
    def of(cls, store: FrameStore, tasks: Sequence[str] | None = None) -> Attempts:
        """Find the attempts in a store; `tasks` says which tasks count, and numbers them.

        Raises:
            DataError: the store has no language annotations.
        """
        windows = Demonstrations(store)
        order = np.argsort(windows.start, kind='stable')
        start, end = windows.start[order], windows.end[order]
        names = np.array(windows.tasks)[windows.task_of[order]]
        ids = store.frame_ids
        # A window that a cut ends and the same task follows is not the last of its attempt.
        goes_on = np.zeros(len(start), bool)
        goes_on[:-1] = (
            (names[1:] == names[:-1])
            & (start[1:] == end[:-1] + 1)
            & (store.range_end[end[:-1]] == end[:-1])
            & (ids[start[1:]] - ids[end[:-1]] <= 2)
        )
        last = np.flatnonzero(~goes_on)
        first = np.concatenate([[0], last[:-1] + 1])
        known = tuple(tasks) if tasks is not None else tuple(windows.tasks)
        keep = np.isin(names[last], known)
        index = np.array([known.index(n) for n in names[last][keep]], np.int64)
        return cls(known, index, start[first][keep], end[last][keep])

    def __len__(self) -> int:
        return len(self.start)

    def before(self, margin: int, share: np.ndarray | float) -> np.ndarray:
        """Rows that do not show the goal yet: share 0 is the start, 1 `margin` before the end."""
        return self.start + (share * np.maximum(0, self.end - self.start - 1 - margin)).astype(int)
