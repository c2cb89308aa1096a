# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's actions: 30 a second, each a step of the tool; and the controller that follows them."""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.arms.arm import Arm
from vw2_ros.arms.geometry import euler_to_matrix, matrix_to_euler, rotation_error, wrapped
from vw2_ros.errors import InvalidValueError

ACTION_HZ = 30
ACTION_PERIOD_S = 1 / ACTION_HZ
POSITION_STEP_M = 0.02  # what one unit of a relative action moves
ROTATION_STEP_RAD = 0.05  # what one unit of a relative action turns


def check_action(action, size: int = 7) -> np.ndarray:
    """The action as float64 (size,), its gripper (the last value) exactly -1.0 or +1.0.

    A gripper value within 1e-6 of -1 or +1 is taken for it.

    Raises:
        InvalidValueError: wrong size, not finite, or another gripper value.
    """
    a = np.asarray(action, dtype=float)
    if a.shape != (size,):
        raise InvalidValueError(f'an action must have shape ({size},). Got {a.shape}')
    if not all(map(math.isfinite, a.tolist())):
        raise InvalidValueError(f'an action must be finite. Got {a.tolist()}')
    grip = float(a[-1])
    if abs(abs(grip) - 1.0) > 1e-6:
        raise InvalidValueError(
            f'the gripper (last value) must be -1 (close) or +1 (open). Got {grip}. '
            'Send the sign of a continuous prediction'
        )
    a = a.copy()
    a[-1] = 1.0 if grip > 0 else -1.0
    return a


class EndEffectorController:
    """Turns CALVIN's end-effector actions into joint commands for an arm of n joints.

    A relative action moves the *target*, not the measured pose, so the target runs ahead of an arm
    that is held back, as in CALVIN. The target is in the world frame, whose axes are those of the
    arm's base frame, and in which that frame's origin lies at `arm.base_position`.
    """

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self.position = np.zeros(3)
        self.euler = np.zeros(3)
        self.joints = arm.rest_rad.copy()
        self.gripper = 1.0
        self.reset(arm.rest_rad)

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the target's position (3,) [m] and Euler angles (3,) [rad], world frame."""
        return self.position.copy(), self.euler.copy()

    def reset(self, q, gripper: float = 1.0) -> None:
        """Put the target where joints (n,) [rad] hold the TCP, and start the solver there.

        Raises:
            InvalidValueError: the joints are not n finite numbers.
        """
        q = np.array(q, dtype=float)
        n = len(self.arm.joints)
        if q.shape != (n,) or not np.isfinite(q).all():
            raise InvalidValueError(f'joints must be {n} finite numbers. Got {q!r}')
        at, turn = self.arm.forward(q)
        self.position = at + self.arm.base_position
        self.euler = matrix_to_euler(turn)
        self.joints = q
        self.gripper = 1.0 if gripper > 0 else -1.0

    def step(self, action, periods: float = 1.0) -> tuple[np.ndarray, float]:
        """Add one relative action (7,) to the target.

        Args:
            action: x 0.02 m, x 0.05 rad, gripper -1 close or +1 open.
            periods: for how long it acts, in actions' time of 1/30 s.
        Returns:
            commanded joints (n,) [rad] and the gripper (-1.0 or +1.0).
        Raises:
            InvalidValueError: as `check_action`; the target has not moved then.
        """
        a = check_action(action)
        self.position = self.position + POSITION_STEP_M * periods * a[:3]
        self.euler = self.euler + ROTATION_STEP_RAD * periods * a[3:6]
        return self._solve(a[6], periods)

    def move_to(self, position, euler, gripper: float) -> tuple[np.ndarray, float]:
        """Set the target to a world pose, (3,) [m] and (3,) [rad]; returns as `step`."""
        a = check_action(np.concatenate([np.ravel(position), np.ravel(euler), [gripper]]))
        self.position, self.euler = a[:3], a[3:6]
        return self._solve(a[6])

    def hold_back(self, joints, lead_m: float, lead_rad: float) -> None:
        """Bring the target back to where it leads joints (n,) [rad] by so much at most.

        The solver then starts at these joints, which are what the arm was told.
        """
        at, turn = self.arm.forward(joints)
        at = at + self.arm.base_position
        ahead = self.position - at
        far = math.sqrt(ahead.dot(ahead)) / lead_m
        if far > 1.0:
            self.position = at + ahead / far
        ahead = rotation_error(euler_to_matrix(self.euler), turn)
        if math.hypot(*ahead) > lead_rad:
            share = lead_rad / math.hypot(*ahead)
            self.euler = self.euler + (1.0 - share) * wrapped(matrix_to_euler(turn) - self.euler)

    def _solve(self, gripper: float, periods: float = 1.0) -> tuple[np.ndarray, float]:
        self.gripper = float(gripper)
        self.joints = self.arm.inverse(
            self.position - self.arm.base_position,
            euler_to_matrix(self.euler),
            self.joints,
            periods=periods,
        )
        return self.joints.copy(), self.gripper
