# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An arm in an engine: its joints, its fingers and their motors, as CALVIN drives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.sim.engine import Engine
from vw2_ros.sim.state import FINGER_LINKS

ARM_FORCE = 200.0  # N m
ARM_MAX_VELOCITY = 2.0  # rad/s
FINGER_CLOSE_FORCE = 200.0  # N
FINGER_OPEN_FORCE = 2.0  # N
FINGER_MAX_VELOCITY = 1.0  # m/s


class ArmBody:
    """An arm of n joints and two fingers within an engine."""

    def __init__(self, engine: Engine, arm: Arm, urdf: Path) -> None:
        """Load the arm's description at `urdf` into an engine."""
        self.kind = arm
        self.engine = engine
        self.body = engine.load_urdf(str(urdf), tuple(arm.base_position), fixed=True)
        joints = engine.joints(self.body)
        fingers = dict(zip(arm.finger_links, FINGER_LINKS))
        # index -> neutral name, see `BlockState`
        self.links = {-1: 'arm'} | {j.index: fingers.get(j.link, 'arm') for j in joints}
        by_name = {j.name: j.index for j in joints}
        self.arm = tuple(by_name[name] for name in arm.joints)
        self.fingers = tuple(by_name[name] for name in arm.finger_joints)
        engine.gear(self.body, *self.fingers, max_force=50.0)
        self._opens: bool | None = None  # what the fingers' motors were last told

    def reset(self, q: np.ndarray, width: float) -> None:
        """Put the joints (n,) [rad], clipped to the limits, and the gripper's width [m], at rest."""
        q = np.clip(q, self.kind.lower_rad, self.kind.upper_rad)
        finger = min(max(0.5 * width, 0.0), self.kind.finger_open_m)
        self.place(np.append(q, (finger, finger)))

    def place(self, positions: np.ndarray) -> None:
        """Put the joints (n + 2,) somewhere, at rest: the arm's [rad], then the fingers' [m]."""
        for joint, value in zip(self.arm + self.fingers, positions):
            self.engine.set_joint(self.body, joint, float(value))

    def all_positions(self) -> np.ndarray:
        """The joints (n + 2,): arm [rad], then fingers [m]."""
        return self.engine.joint_states(self.body, self.arm + self.fingers)[0]

    def command(self, q: np.ndarray, gripper: float) -> None:
        """Drive the joints (n,) [rad]; gripper +1 opens, -1 closes."""
        self.engine.position_motors(
            self.body,
            self.arm,
            np.asarray(q, dtype=float).tolist(),
            force=ARM_FORCE,
            max_velocity=ARM_MAX_VELOCITY,
        )
        opens = bool(gripper > 0)
        if opens is self._opens:
            return  # a motor keeps its goal
        self._opens = opens
        self.engine.position_motors(
            self.body,
            self.fingers,
            [self.kind.finger_open_m if opens else 0.0] * 2,
            force=FINGER_OPEN_FORCE if opens else FINGER_CLOSE_FORCE,
            max_velocity=FINGER_MAX_VELOCITY,
        )

    def joint_states(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Positions (n,) [rad], velocities (n,) [rad/s] and the gripper's width [m]."""
        states = self.engine.joint_states(self.body, self.arm + self.fingers)  # (2, n + 2)
        return states[0, :-2], states[1, :-2], float(states[0, -2] + states[0, -1])
