# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An operator takes the arm from the policy, and hands it back. Pure.

Whatever comes of an operator takes the arm, also what makes no sense: then it holds. A motion counts
for `SILENCE_S`; when he is silent for longer, the arm holds, and the policy goes on only when
it is told to.

| leader       | who                                                                       |
| ------------ | ------------------------------------------------------------------------- |
| `policy`     | nobody took the arm: plans are followed                                   |
| `operator`   | he moves it, and no plan was followed before                              |
| `correction` | he took it from a policy that followed a plan: what he shows corrects it  |
| `nobody`     | he is silent: the arm holds                                               |
"""

from dataclasses import dataclass

import numpy as np

from vw2_ros.names import CORRECTION, NOBODY, OPERATOR, POLICY

SILENCE_S = 0.2  # he says at 10 Hz or more what he wants


@dataclass(frozen=True)
class Motion:
    """What an operator wants, until he says something else."""

    stamp_ns: int  # of his message: tells older ones from newer ones
    observed_s: float  # when that was, on the loop's clock
    twist: np.ndarray  # of the tool (6,), in the contract's action frame: [m/s], then [rad/s]
    gripper: float = 0.0  # -1.0 close, +1.0 open, 0.0 as it is


class Takeover:
    """Whether an operator has the arm, and how fresh his word is."""

    def __init__(self):
        self.active = False
        self._corrects = False
        self._heard_s = -np.inf  # when anything of him came
        self._moved_s = -np.inf  # when he last wanted motion
        self._newest_ns = -1

    def begin(self, corrects: bool) -> None:
        """He has the arm from now on.

        Args:
            corrects: a policy was at work.
        """
        self.active, self._corrects = True, corrects

    def hear(self, motion: Motion | None, now_s: float) -> str:
        """Take what came of him; '' if it may be followed, else why not.

        Args:
            motion: None: it makes no sense.
        """
        spoke = now_s - self._heard_s <= SILENCE_S
        self._heard_s = now_s
        if motion is None or np.any(motion.twist):
            self._moved_s = now_s
        if motion is None:
            return 'it makes no sense'
        if not (np.shape(motion.twist) == (6,) and np.isfinite(motion.twist).all()):
            return f'a twist must be 6 finite numbers. Got {np.asarray(motion.twist).tolist()}.'
        if motion.gripper not in (-1.0, 0.0, 1.0):
            return f'the gripper must be -1, 0 or 1. Got {motion.gripper}.'
        age_s = now_s - motion.observed_s
        if not 0 <= age_s <= SILENCE_S:
            return f'it is from {age_s * 1e3:.0f} ms ago, limit {SILENCE_S * 1e3:.0f} ms'
        if motion.stamp_ns <= self._newest_ns and spoke:  # else his clock was set back
            return 'it is older than the one before'
        self._newest_ns = motion.stamp_ns
        return ''

    def silent(self, now_s: float) -> bool:
        """Whether nothing of him came for so long that the arm holds."""
        return not now_s - self._heard_s <= SILENCE_S

    def moving(self, now_s: float) -> bool:
        """Whether he wanted motion just now, allowed or not."""
        return now_s - self._moved_s <= SILENCE_S

    def leader(self, now_s: float) -> str:
        """Who moves the arm, see the table above."""
        if not self.active:
            return POLICY
        if self.silent(now_s):
            return NOBODY
        return CORRECTION if self._corrects else OPERATOR
