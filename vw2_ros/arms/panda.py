# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Franka Panda: its facts, and its kinematics in plain numpy.

The tool centre point (TCP) lies 0.14 m from `panda_hand` along its z axis, between the tips of the
play table's fingers, which are longer than the stock ones.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from vw2_ros.arms.geometry import Pose
from vw2_ros.arms.inverse import damped_least_squares

TCP_OFFSET_M = 0.14  # panda_hand -> TCP along z
# The arm is stretched out where joint 4 is at -0.467 rad. Beyond, it folds up the other way, and
# cannot come back: the solver stays on this side.
ELBOW_UPPER_RAD = -0.55

# before joint i the frame moves by (x, y, z) [m] and makes a quarter turn about x (-1, 0, +1), as in
# Franka's description; the joint then turns it about z
_JOINT_ORIGINS = (
    (0.0, 0.0, 0.333, 0),
    (0.0, 0.0, 0.0, -1),
    (0.0, -0.316, 0.0, 1),
    (0.0825, 0.0, 0.0, 1),
    (-0.0825, 0.384, 0.0, -1),
    (0.0, 0.0, 0.0, 1),
    (0.088, 0.0, 0.0, 1),
)
_HAND_OFFSET_M = 0.107  # last joint -> panda_hand along z
_HAND_YAW = -math.pi / 4  # last joint -> panda_hand about z [rad]
_HAND_COS, _HAND_SIN = math.cos(_HAND_YAW), math.sin(_HAND_YAW)


def _fixed(*values: float) -> np.ndarray:
    # shared by everybody: not to be written
    array = np.array(values)
    array.flags.writeable = False
    return array


class Panda:
    """See `Arm`, which it implements; n is 7. The FR3 is the same with other names and limits.

    Args:
        facts: joints, lower_rad, upper_rad, velocity_rad_s, rest_rad, base_frame or tool_offset_m
            (TCP from the hand along z) where they are others than this class's.
    """

    name = 'panda'
    joints = tuple(f'panda_joint{i}' for i in range(1, 8))
    finger_joints = ('panda_finger_joint1', 'panda_finger_joint2')
    finger_links = ('panda_leftfinger', 'panda_rightfinger')
    base_frame = 'panda_link0'
    base_position = _fixed(-0.34, -0.46, 0.24)
    # the range that CALVIN's inverse kinematics stays in
    lower_rad = _fixed(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
    upper_rad = _fixed(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
    # CALVIN's start
    rest_rad = _fixed(
        -1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866
    )
    velocity_rad_s = _fixed(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
    finger_open_m = 0.04
    tool_offset_m = TCP_OFFSET_M

    def __init__(self, **facts) -> None:
        for name, value in facts.items():
            setattr(self, name, _fixed(*value) if name.endswith(('_rad', '_rad_s')) else value)
        self._lower, self._upper = self.lower_rad.tolist(), self.upper_rad.tolist()
        self._jacobian = functools.partial(_jacobian, tool_m=self.tool_offset_m)

    def forward(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of the TCP in `base_frame` for joints (7,) [rad]."""
        (xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz) = _chain(
            np.asarray(q, dtype=float).tolist()
        )[1]
        tool = self.tool_offset_m
        at = np.array((px + tool * zx, py + tool * zy, pz + tool * zz))
        return at, np.array((xx, yx, zx, xy, yy, zy, xz, yz, zz)).reshape(3, 3)

    def hand_pose(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of `panda_hand` in `base_frame`, q (7,) [rad]."""
        hand = np.array(_chain(np.asarray(q, dtype=float).tolist())[1])  # (3, 4)
        return hand[:, 3], hand[:, :3]

    def forward_and_jacobian(self, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """TCP position (3,) [m], rotation (3, 3) and Jacobian (6, 7) in `base_frame`."""
        at, turn, jac = self._jacobian(np.asarray(q, dtype=float).tolist())
        return np.array(at), turn, jac

    def inverse(self, position, rotation, seed, **settings) -> np.ndarray:
        """Joints (7,) [rad] that bring the TCP to a pose in `base_frame`.

        Args:
            position: (3,) [m]. rotation: (3, 3).
            seed: (7,) [rad], where to start; the last commanded joints keep the motion continuous.
            settings: see `damped_least_squares`.
        Returns:
            (7,) [rad] within the limits, the nearest found where the pose is out of reach. From a
            seed with a bent elbow (joint 4 below `ELBOW_UPPER_RAD`) it stays bent.
        """
        upper = self._upper.copy()
        upper[3] = min(max(ELBOW_UPPER_RAD, float(seed[3])), upper[3])
        return damped_least_squares(
            self._jacobian,
            position,
            rotation,
            seed,
            lower=self._lower,
            upper=upper,
            rest=self.rest_rad,
            **settings,
        )


def _chain(q) -> tuple[list, list]:
    # The axis and the origin of each joint, and the pose of the hand, in the base frame. In plain
    # numbers: arrays of three cost more to make than to compute.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
    px = py = pz = 0.0
    joints = []
    for (tx, ty, tz, quarter), angle in zip(_JOINT_ORIGINS, q):
        px += xx * tx + yx * ty + zx * tz
        py += xy * tx + yy * ty + zy * tz
        pz += xz * tx + yz * ty + zz * tz
        if quarter > 0:
            yx, yy, yz, zx, zy, zz = zx, zy, zz, -yx, -yy, -yz
        elif quarter < 0:
            yx, yy, yz, zx, zy, zz = -zx, -zy, -zz, yx, yy, yz
        c, s = math.cos(angle), math.sin(angle)
        xx, yx = c * xx + s * yx, c * yx - s * xx
        xy, yy = c * xy + s * yy, c * yy - s * xy
        xz, yz = c * xz + s * yz, c * yz - s * xz
        joints.append((zx, zy, zz, px, py, pz))
    c, s = _HAND_COS, _HAND_SIN
    hand = [
        [c * xx + s * yx, c * yx - s * xx, zx, px + _HAND_OFFSET_M * zx],
        [c * xy + s * yy, c * yy - s * xy, zy, py + _HAND_OFFSET_M * zy],
        [c * xz + s * yz, c * yz - s * xz, zz, pz + _HAND_OFFSET_M * zz],
    ]
    return joints, hand


def _jacobian(
    q: list[float], tool_m: float = TCP_OFFSET_M
) -> tuple[tuple[float, float, float], np.ndarray, np.ndarray]:
    joints, hand = _chain(q)
    (xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz) = hand
    tx, ty, tz = px + tool_m * zx, py + tool_m * zy, pz + tool_m * zz
    columns: list[float] = []
    for ax, ay, az, px, py, pz in joints:
        rx, ry, rz = tx - px, ty - py, tz - pz
        columns += (ay * rz - az * ry, az * rx - ax * rz, ax * ry - ay * rx, ax, ay, az)
    turn = np.array((xx, yx, zx, xy, yy, zy, xz, yz, zz)).reshape(3, 3)
    return (tx, ty, tz), turn, np.array(columns).reshape(7, 6).T  # (6, 7)
