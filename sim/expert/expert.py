# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A scripted expert for the 34 tasks, through relative end-effector actions only.

Its choice depends on what can be seen: where the hand is, how wide the gripper, where blocks and
handles are. A network can therefore learn it from single pictures. What it remembers is the state
at the start of the task, and uses it only to know how far to push or to turn, and which block has
slipped out of the hand.

Each step has three parts: `look` (what there is to see), a skill of `skills` (one per task, made of
the motions in `motion` and `grasp`), and here the ways out of a jam.

Try it: `vw2 eval --policy expert --tasks all --rollouts 10`
"""

from __future__ import annotations

import numpy as np

from vw2_ros.sim.expert.look import CLOSE, OPEN, Look, look_at, norm
from vw2_ros.sim.expert.motion import LEASH_M, back_out
from vw2_ros.sim.expert.skills import skill_for
from vw2_ros.sim.scenes import COLOURS
from vw2_ros.sim.table import Table
from vw2_ros.sim.tasks import check_task, held_block

JAM_STEPS = 14  # that long behind its target, the hand is stuck
ANY_BLOCK = ('unstack_block', 'push_into_drawer')  # tasks that may take any block


class Expert:
    """Solves one task from the table's present state, always in the same way.

    Args:
        table: it is only looked at.
        task: one of the 34.
    Raises:
        InvalidValueError: unknown task.
    """

    def __init__(self, table: Table, task: str) -> None:
        self.table = table
        self.task = check_task(task)
        self.start = table.state()
        self._judge = table.judge(self.task)
        self._skill = skill_for(task)
        # what the fingers may close around
        self._wanted = {*task.split('_'), held_block(self.start)}
        self._held_up = 0  # how long the hand has been kept from its target [steps]
        self._escape = 0  # for how long to back out still [steps]
        self._nudge = np.zeros(2)  # (2,) [m], see `Look`

    @property
    def done(self) -> bool:
        """Whether the task counts as solved now."""
        return self._judge()

    def act(self) -> np.ndarray:
        """The next relative action (7,), each value in [-1, 1], the gripper exactly -1 or 1."""
        look = self.look()
        lag = look.target - look.tcp
        self._held_up = self._held_up + 1 if norm(lag) > 0.7 * LEASH_M else 0
        if self._held_up > JAM_STEPS:
            # something is in the way: out, and next time a little to the side
            self._escape, self._held_up = JAM_STEPS, 0
            self._nudge = -0.01 * lag[:2] / max(norm(lag[:2]), 0.01)
        if self._escape > 0:
            self._escape -= 1
            return back_out(look, CLOSE if look.held or look.width < 0.01 else OPEN)
        action = self._skill(look)
        if action[6] == CLOSE and not look.held and self._would_catch(look):
            return back_out(look, OPEN)
        return action

    def _would_catch(self, look: Look) -> bool:
        """Whether the open fingers still lie around a block that the task has no use for."""
        if look.width < 0.02 or self.task in ANY_BLOCK:
            return False
        room = (0.03, 0.05, 0.05)  # [m] in the hand's frame: y from finger to finger, z ahead
        return any(
            (np.abs(look.rotation.T @ (look.position(colour) - look.tcp)) < room).all()
            for colour in COLOURS
            if colour not in self._wanted
        )

    def look(self) -> Look:
        """What there is to see now."""
        return look_at(self.table, self.start, self._nudge)


def run(table: Table, task: str, limit: int) -> tuple[bool, int]:
    """Let the expert try a task from the present state, for at most `limit` steps.

    Returns:
        whether it was solved, and after how many steps.
    """
    expert = Expert(table, task)
    for i in range(limit):
        table.step(expert.act())
        if expert.done:
            return True, i + 1
    return False, limit
