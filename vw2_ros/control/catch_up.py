# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A plan that comes late ends where it would have ended, had it come at once.

A plan begins at the arm of its image. By the time it arrives the arm has followed another plan for a
while, or stood still. What the new one wanted in that time, less what the arm was told in it, is
spread over the plan's next actions. Without that every late plan leaves the arm off by the difference.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import replace

import numpy as np

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.control.chunk import Chunk

OVER = 3  # actions that make up for the difference
KEPT_S = 2.0  # how far back the actions that were followed are remembered
LEAST = 0.01  # of an action: a plan that is not later than that is in time


class Followed:
    """The movement (6,), in actions, that one master told the arm, by time."""

    def __init__(self):
        self._at_s: deque[float] = deque()
        self._sums: deque[np.ndarray] = deque()  # from the beginning until then

    def add(self, action: np.ndarray, begin_s: float, end_s: float) -> None:
        """Note the action (7,) of the time from one to another; zeros where the arm stood.

        A time that is not after the last one begins anew: the clock was set back.
        """
        if self._at_s and end_s <= self._at_s[-1]:
            self._at_s.clear()
            self._sums.clear()
        if not self._at_s:
            self._at_s.append(begin_s)
            self._sums.append(np.zeros(6))
        self._sums.append(self._sums[-1] + action[:6] * (end_s - begin_s) / ACTION_PERIOD_S)
        self._at_s.append(end_s)
        while self._at_s[1] < end_s - KEPT_S:
            self._at_s.popleft()
            self._sums.popleft()

    def catch_up(self, chunk: Chunk) -> Chunk:
        """Return the chunk with what it still wants in the actions that come next, within [-1, 1].

        It stays as it is where it is in time, and where nobody knows what the arm did since its image.
        """
        if not self._at_s or not self._at_s[0] <= chunk.observed_s:
            return chunk
        entered = (self._at_s[-1] - chunk.observed_s) / ACTION_PERIOD_S
        if not LEAST < entered < len(chunk.actions):
            return chunk
        after = bisect_right(self._at_s, chunk.observed_s)
        (begin_s, end_s), (begin, end) = (
            (kept[after - 1], kept[after]) for kept in (self._at_s, self._sums)
        )
        before = begin + (end - begin) * (chunk.observed_s - begin_s) / (end_s - begin_s)
        wanted = entered * chunk.mean(0.0, entered)[:6]
        rate = (wanted - (self._sums[-1] - before)) / OVER
        actions, first = chunk.actions.copy(), int(entered)
        actions[first : first + OVER, :6] += rate
        if first + OVER < len(actions):  # of the first one, a part was over
            actions[first + OVER, :6] += rate * (entered - first)
        return replace(chunk, actions=np.clip(actions, -1, 1))
