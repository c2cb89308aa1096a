# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How a robot begins to move after a re-arm: slowly, and no further than it follows. Pure.

A driver that has just come may not be reached yet: on a busy machine the middleware takes seconds to
find it, and what is sent before is lost, but for the last command. A command that ran ahead meanwhile
would let the arm jump there.
"""

import numpy as np

from vw2_ros import names

BLEND_IN_S = 1.0  # until it moves at full pace
TRIED_RAD = 0.02  # so far the command goes while the arm stands
SEEN_RAD = 0.005  # an arm that was seen to move so far follows


class FirstMotion:
    """Of a robot, from a re-arm on.

    Args:
        command, joints: where it was commanded to be, and was, at the re-arm [rad] (n,).
        now_s: when that was, on the loop's clock.
    """

    def __init__(self, command: np.ndarray, joints: np.ndarray, now_s: float):
        self._command, self._joints = command.copy(), joints.copy()
        self._seen = self._waited = False
        self.begin(now_s)

    def begin(self, now_s: float) -> None:
        """Begin slowly at this time."""
        self._began_s = now_s

    def speed(self, now_s: float) -> float:
        """Share of the full pace, in 0..1."""
        return float(np.clip((now_s - self._began_s) / BLEND_IN_S, 0, 1))

    def unfollowed(self, command: np.ndarray, joints: np.ndarray, now_s: float) -> str:
        """Why no more is sent than this command; '' where more is.

        Args:
            command, joints: the last command, and where the arm is [rad] (n,).
        """
        if self._seen:
            return ''
        if np.abs(joints - self._joints).max() >= SEEN_RAD:
            self._seen = True
            if self._waited:
                self.begin(now_s)
            return ''
        sent = np.abs(command - self._command).max()
        if sent < TRIED_RAD:
            return ''
        self._waited = True
        return (
            f'{names.JOINT_STATES} must follow the commands. The arm stood, and was sent {sent:.3f} '
            'rad: do they reach its driver, and are its brakes off?'
        )
