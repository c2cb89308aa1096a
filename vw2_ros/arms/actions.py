# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's actions: 30 a second, each a step of the tool; and the controller that follows them."""

from __future__ import annotations

import functools
import math

import numpy as np

from vw2_ros.arms.arm import Arm
from vw2_ros.arms.geometry import (
    Pose,
    euler_to_matrix,
    matrix_to_euler,
    rotation_error,
    rotvec_to_matrix,
)
from vw2_ros.arms.limits import Limits
from vw2_ros.errors import InvalidValueError

ACTION_HZ = 30
ACTION_PERIOD_S = 1 / ACTION_HZ
POSITION_STEP_M = 0.02  # what one unit of a relative action moves
ROTATION_STEP_RAD = 0.05  # what one unit of a relative action turns

# of a robot, whose target stays where the joints are
FOLLOW_M, FOLLOW_RAD = 0.001, 0.005  # the tool is at its target, if not further off
DRIFT_RAD_S = 0.3  # highest speed with which spare joints go to their rest
BOX_MARGIN_M = 0.005  # the target stays so far within the box, for the tool to go along its walls
AT_END_RAD = 0.01  # so near to its limit a joint is said to be at its end
SINGULAR = 0.08  # smallest singular value of a Jacobian [m, rad] that is called near a singularity
_TRIES = 6
_TINY = 1e-9


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

    A relative action moves the *target*, not the measured pose. The target is in the world frame,
    whose axes are those of the arm's base frame, and in which that frame's origin lies at
    `arm.base_position`.

    Without limits the target runs ahead of an arm that is held back, as in CALVIN. With limits it
    stays in the box of the tool and below its speed, and goes only as far as the joints can follow
    at once: near a singularity, where a small way of the tool is a long one of the joints, it slows
    down, and where the arm ends it stands. `slowed` says so.

    Args:
        limits: of a robot; None: none are kept here.
        frame: whose axes an action has, 'base' or 'tool'.
    """

    def __init__(self, arm: Arm, limits: Limits | None = None, frame: str = 'base') -> None:
        self.arm, self.limits, self.frame = arm, limits, frame
        self._poses = functools.lru_cache(maxsize=16)(arm.forward)
        self.position = np.zeros(3)
        self.euler = np.zeros(3)
        self.joints = arm.rest_rad.copy()
        self.gripper = 1.0
        self.slowed = ''  # why the last action was not followed whole, '' if it was
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
        self._put(q)
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
        way = POSITION_STEP_M * periods * a[:3]
        turn = ROTATION_STEP_RAD * periods * a[3:6]
        if self.frame == 'tool':
            tool = euler_to_matrix(self.euler)
            way = tool @ way
            turn = _continuous(matrix_to_euler(tool @ euler_to_matrix(turn)), self.euler)
            turn = turn - self.euler
        if self.limits is not None:
            return self._follow(way, turn, a[6], periods)
        self.position = self.position + way
        self.euler = self.euler + turn
        return self._solve(a[6], periods)

    def move_to(self, position, euler, gripper: float) -> tuple[np.ndarray, float]:
        """Set the target to a world pose, (3,) [m] and (3,) [rad]; returns as `step`."""
        a = check_action(np.concatenate([np.ravel(position), np.ravel(euler), [gripper]]))
        self.position, self.euler = a[:3], a[3:6]
        return self._solve(a[6])

    def action_of(self, twist) -> np.ndarray:
        """The relative action (6,) in [-1, 1] that moves the tool as a twist says, from here.

        A twist that is faster than an action can say keeps its direction.

        Args:
            twist: of the tool (6,), finite, along the axes of `frame`: [m/s], then [rad/s].
        """
        way, turn = np.reshape(twist, (2, 3)) * ACTION_PERIOD_S  # in the time of one action
        way = way / max(1.0, np.abs(way).max() / POSITION_STEP_M)
        turn = turn / max(1.0, np.abs(turn).max() / ROTATION_STEP_RAD)
        by = rotvec_to_matrix(turn)
        if self.frame == 'base':
            after = matrix_to_euler(by @ euler_to_matrix(self.euler))
            by_euler = _continuous(after, self.euler) - self.euler
        else:
            by_euler = matrix_to_euler(by)
        return np.append(way / POSITION_STEP_M, np.clip(by_euler / ROTATION_STEP_RAD, -1, 1))

    def forward(self, q) -> Pose:
        """As `Arm.forward`; the poses of the newest joints are remembered. Do not write to them."""
        return self._poses(tuple(q.tolist()))

    def _put(self, q: np.ndarray) -> None:
        """Put the target where joints (n,) [rad] hold the TCP."""
        at, turn = self.forward(q)
        self.position = at + self.arm.base_position
        self.euler = matrix_to_euler(turn)

    def _solve(self, gripper: float, periods: float = 1.0) -> tuple[np.ndarray, float]:
        self.gripper = float(gripper)
        self.joints = self._inverse(self.position, self.euler, periods)
        return self.joints.copy(), self.gripper

    def _inverse(self, position, euler, periods: float, **settings) -> np.ndarray:
        return self.arm.inverse(
            position - self.arm.base_position,
            euler_to_matrix(euler),
            self.joints,
            periods=periods,
            **settings,
        )

    def _follow(self, way, turn, gripper: float, periods: float) -> tuple[np.ndarray, float]:
        """Move the target by as much of a step as the joints can do in that time.

        Args:
            way: (3,) [m]. turn: of the Euler angles (3,) [rad].
        """
        self.gripper, self.slowed = float(gripper), ''
        if not (way.any() or turn.any()):  # spare joints rest, too
            return self.joints.copy(), self.gripper
        elapsed_s, share, before = periods * ACTION_PERIOD_S, 1.0, self.joints
        way = self._bounded(way, elapsed_s)
        low, high = (speed * elapsed_s for speed in self.limits.velocity_bounds(before))
        at, rotation, jacobian = self.arm.forward_and_jacobian(before)
        begin = at.tolist(), rotation, jacobian
        for _ in range(_TRIES):
            position, euler = self.position + share * way, self.euler + share * turn
            drift = share * DRIFT_RAD_S * elapsed_s
            step = self._inverse(position, euler, periods, max_drift=drift, begin=begin) - before
            joints = before + np.clip(step, low, high)
            if self._holds(joints, position, euler):
                self.position, self.euler, self.joints = position, euler, joints
                break
            fast = float(np.max(step / np.where(step > 0, high + _TINY, low - _TINY)))
            share *= 0.5 if fast <= 1 else max(0.1, 0.9 / fast)
        else:  # it cannot be done from here: stand
            share = 0.0
        if share < 1:
            self.slowed = f'{self._why()}: the tool goes {100 * share:.0f} % of its way'
        return self.joints.copy(), self.gripper

    def _bounded(self, way, elapsed_s: float) -> np.ndarray:
        """As much of a way (3,) [m] as the speed and the box of the tool allow."""
        most_m = self.limits.tool_speed_m_s * elapsed_s
        if _size(way) > most_m:
            way = way * (most_m / _size(way))
        at = self.position - self.arm.base_position
        low = np.minimum(self.limits.box_lower_m + BOX_MARGIN_M, at)  # from outside: only inwards
        high = np.maximum(self.limits.box_upper_m - BOX_MARGIN_M, at)
        return np.clip(at + way, low, high) - at

    def _holds(self, joints, position, euler) -> bool:
        """Whether joints (n,) hold the tool at a pose in the world frame, as near as it matters."""
        at, turn = self.forward(joints)
        off = np.abs(at + self.arm.base_position - position).max()
        return off < FOLLOW_M and _size(rotation_error(euler_to_matrix(euler), turn)) < FOLLOW_RAD

    def _why(self) -> str:
        for name, q, low, high in zip(
            self.arm.joints, self.joints, self.limits.lower_rad, self.limits.upper_rad
        ):
            if min(q - low, high - q) < AT_END_RAD:
                return f'{name} is at its end'
        jacobian = self.arm.forward_and_jacobian(self.joints)[2]
        if np.linalg.svd(jacobian, compute_uv=False)[-1] < SINGULAR:
            return 'near a singularity'
        return 'joints at full speed'


def _size(vector) -> float:
    return math.sqrt(sum(v * v for v in vector))


def _continuous(euler: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The same angles (3,) [rad], within half a turn of those before."""
    return euler + 2 * math.pi * np.round((before - euler) / (2 * math.pi))
