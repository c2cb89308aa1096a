# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The film of a rollout: what the static camera sees at ten pictures a second, with words."""

from collections.abc import Iterator

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.evaluation import film
from vw2_ros.sim.table import Table

VIDEO_HZ = 10
VIDEO_PX = 200


class Reel:
    """Pictures of a rollout, every third step.

    Args:
        subtasks: how many the rollout may have.
    """

    def __init__(self, subtasks: int):
        self._subtasks = subtasks
        self._pictures: list[tuple[np.ndarray, str, str, str]] = []

    @staticmethod
    def wants(step: int) -> bool:
        """Whether this step is shown."""
        return step % (ACTION_HZ // VIDEO_HZ) == 0

    def see(self, table: Table, number: int, instruction: str, step: int) -> None:
        """Take a picture, if this step of subtask `number` (from 0) is shown."""
        if self.wants(step):
            self._take(table, number, instruction, step, film.RUNNING)

    def end(self, table: Table, number: int, instruction: str, step: int, success: bool) -> None:
        """Show the verdict on the subtask for one second."""
        verdict = film.SUCCEEDED if success else film.FAILED
        self._take(table, number, instruction, step, verdict)
        self._pictures += [self._pictures[-1]] * (VIDEO_HZ - 1)

    def frames(self) -> Iterator[np.ndarray]:
        """The captioned pictures, one after another."""
        return (film.captioned(*p) for p in self._pictures)

    def _take(self, table, number, instruction, step, verdict) -> None:
        which = f'{number + 1} of {self._subtasks}, ' if self._subtasks > 1 else ''
        note = f'{which}{step / ACTION_HZ:4.1f} s'
        self._pictures.append((table.render('static', VIDEO_PX), instruction, note, verdict))
