# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the rest of the package needs to know of a robot arm: the protocol `Arm`."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vw2_ros.arms.geometry import Pose


class Arm(Protocol):
    """The facts and the kinematics of one kind of arm with a parallel gripper.

    Joints are in radians, lengths in metres. Poses are in `base_frame`, where nothing else is said.
    *Tool* means the tool centre point (TCP), between the finger tips; *hand* means the link that
    carries fingers and wrist camera. The methods are pure functions of their arguments, and the
    arrays are read-only.
    """

    name: str  # as `open_arm` takes it
    joints: tuple[str, ...]  # names of the n joints, from the base to the hand
    finger_joints: tuple[str, str]  # names; both move alike
    finger_links: tuple[str, str]  # names of the links that hold things, left and right
    base_frame: str  # name of the link that poses are in
    base_position: np.ndarray  # (3,) [m], origin of `base_frame` in the play table's world frame
    lower_rad: np.ndarray  # (n,), lowest angle of each joint
    upper_rad: np.ndarray  # (n,), highest angle of each joint
    velocity_rad_s: np.ndarray  # (n,), highest speed of each joint
    rest_rad: np.ndarray  # (n,), where the arm starts and what spare joints drift towards
    finger_open_m: float  # way of each finger from closed to open; the gripper opens twice that

    def forward(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of the tool for joints (n,) [rad]."""

    def hand_pose(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of the hand for joints (n,) [rad]."""

    def forward_and_jacobian(self, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position (3,) [m], rotation (3, 3) and Jacobian (6, n) of the tool for joints (n,) [rad].

        Rows 0-2 of the Jacobian give the velocity of the tool, rows 3-5 its angular velocity.
        """

    def inverse(self, position, rotation, seed, *, periods: float = 1.0) -> np.ndarray:
        """Joints (n,) [rad] that bring the tool to a pose: some damped steps from a seed.

        Args:
            position: (3,) [m]. rotation: (3, 3).
            seed: (n,) [rad], where to start; the last commanded joints keep the motion continuous.
            periods: time that the motion from the seed takes, in periods of 1/30 s: spare joints
                drift towards their rest by as much.
        Returns:
            (n,) [rad] within the limits, the nearest found where the pose is out of reach.
        """
