# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A second try at what is not done after a while.

A policy that sees one picture and remembers nothing does the same thing whenever it sees the same:
once stuck, it stays stuck. So after some seconds with one instruction it plans for another one that
it knows, for half a second. The arm sets out for that one, as it learned to, and comes to its own
task from elsewhere.

It is told of time alone. It does not know whether the task is done, nor whether the arm is stuck.
(Nav2 calls what a robot does when it is stuck recovery behaviours.)
"""

from __future__ import annotations

import dataclasses
import math
import zlib

import numpy as np

from vw2_ros.errors import InvalidValueError

STEP_S = 1 / 30  # of one action of a plan, at the rate of CALVIN [s]
FOR_S = 0.5  # how long another instruction is planned for [s]
EVERY_S = 2.1  # from one recovery to the next [s]
TABLE_AFTER_S = 2.9  # for the play table and CALVIN, where most tasks take 1 to 3 s [s]


@dataclasses.dataclass(frozen=True)
class Recovery:
    """When to plan for which other instruction.

    Args:
        after_s: how long an instruction is followed first [s]; 0: there is no recovery.
        instructions: among which another one is chosen; without any there is no recovery.
    Raises:
        InvalidValueError: after_s is negative or no number.
    """

    after_s: float = 0.0
    instructions: tuple[str, ...] = ()

    def __post_init__(self):
        if not (self.after_s >= 0 and math.isfinite(self.after_s)):
            raise InvalidValueError(f'recover_after_s must be at least 0. Got {self.after_s}.')

    def words(self, instruction: str, followed_s: float) -> str:
        """What to plan for: the instruction, or during a recovery another one.

        The same call gives the same answer. Each instruction has its own order of the others.

        Args:
            followed_s: how long it has been followed, from the first picture on [s].
        """
        late_s = followed_s - self.after_s + 1e-6  # stamps are whole nanoseconds
        due = bool(self.after_s) and 0 <= late_s < math.inf
        if not due or late_s % EVERY_S >= FOR_S:
            return instruction
        others = [other for other in self.instructions if other != instruction]
        if not others:
            return instruction
        order = np.random.default_rng(zlib.crc32(instruction.encode())).permutation(len(others))
        return others[order[int(late_s // EVERY_S) % len(others)]]
