# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rotations and poses, for any arm: plain functions of numbers and small arrays.

Euler angles are about the fixed axes x, y, z in that order (R = Rz Ry Rx). Quaternions are
(x, y, z, w). A pose is a position (3,) [m] and a rotation matrix (3, 3). Angles are in radians.
"""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.errors import InvalidValueError

Pose = tuple[np.ndarray, np.ndarray]  # position (3,) [m], rotation (3, 3)


def euler_to_matrix(euler) -> np.ndarray:
    """Rotation matrix (3, 3) of fixed-axes Euler angles (3,) [rad]."""
    x, y, z = (float(v) for v in euler)
    cx, sx, cy, sy, cz, sz = (
        math.cos(x),
        math.sin(x),
        math.cos(y),
        math.sin(y),
        math.cos(z),
        math.sin(z),
    )
    return np.array(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )


def euler_to_matrices(euler: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of many fixed-axes Euler angles (..., 3) [rad] at once."""
    (cx, cy, cz), (sx, sy, sz) = (
        np.moveaxis(f(np.asarray(euler, dtype=float)), -1, 0) for f in (np.cos, np.sin)
    )
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_euler(matrix: np.ndarray) -> np.ndarray:
    """Fixed-axes Euler angles (3,) [rad] of a rotation matrix (3, 3), each in [-pi, pi]."""
    (m00, _, _), (m10, m11, m12), (m20, m21, m22) = np.asarray(matrix, dtype=float).tolist()
    sy = -m20
    if abs(sy) > 1.0 - 1e-9:  # gimbal lock: put the whole turn into x
        return np.array([math.atan2(-m12, m11), math.copysign(math.pi / 2, sy), 0.0])
    return np.array([math.atan2(m21, m22), math.asin(sy), math.atan2(m10, m00)])


def quaternion_to_matrix(quaternion) -> np.ndarray:
    """Rotation matrix (3, 3) of a quaternion (x, y, z, w); it need not have unit length.

    Raises:
        InvalidValueError: the quaternion is zero.
    """
    x, y, z, w = (float(v) for v in quaternion)
    n = x * x + y * y + z * z + w * w
    if n < 1e-12:
        raise InvalidValueError(
            f'a quaternion must not be zero. Got {quaternion!r}. Send a unit quaternion'
        )
    s = 2.0 / n
    return np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    )


def euler_to_quaternion(euler) -> np.ndarray:
    """Quaternion (x, y, z, w) of fixed-axes Euler angles (3,) [rad]."""
    x, y, z = (0.5 * float(v) for v in euler)
    cx, sx, cy, sy, cz, sz = (
        math.cos(x),
        math.sin(x),
        math.cos(y),
        math.sin(y),
        math.cos(z),
        math.sin(z),
    )
    return np.array(
        [
            sx * cy * cz - cx * sy * sz,
            cx * sy * cz + sx * cy * sz,
            cx * cy * sz - sx * sy * cz,
            cx * cy * cz + sx * sy * sz,
        ]
    )


def quaternion_to_euler(quaternion) -> np.ndarray:
    """Fixed-axes Euler angles (3,) [rad] of a quaternion (x, y, z, w)."""
    x, y, z, w = (float(v) for v in quaternion)
    n = x * x + y * y + z * z + w * w
    sy = 2.0 * (w * y - x * z) / n if n > 1e-12 else 1.0
    if abs(sy) > 1.0 - 1e-9:  # zero, or gimbal lock
        return matrix_to_euler(quaternion_to_matrix(quaternion))
    return np.array(
        [
            math.atan2(2.0 * (y * z + w * x), n - 2.0 * (x * x + y * y)),
            math.asin(sy),
            math.atan2(2.0 * (x * y + w * z), n - 2.0 * (y * y + z * z)),
        ]
    )


def rotvec_to_matrix(rotvec: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a rotation vector (3,) [rad]."""
    angle = float(np.linalg.norm(rotvec))
    if angle < 1e-12:
        return np.eye(3)
    half = math.sin(angle / 2) / angle
    return quaternion_to_matrix([*(np.asarray(rotvec, float) * half), math.cos(angle / 2)])


def rotation_error(target: np.ndarray, current: np.ndarray) -> tuple[float, float, float]:
    """The rotation vector [rad] that turns `current` (3, 3) into `target` (3, 3), in their frame."""
    e = (target @ current.T).tolist()
    vx, vy, vz = e[2][1] - e[1][2], e[0][2] - e[2][0], e[1][0] - e[0][1]
    sin2 = math.sqrt(vx * vx + vy * vy + vz * vz)
    cos2 = e[0][0] + e[1][1] + e[2][2] - 1.0
    if sin2 < 1e-9:
        if cos2 > 0.0:
            return 0.5 * vx, 0.5 * vy, 0.5 * vz
        # half a turn: any axis with E a = a will do; the largest diagonal element gives one
        diagonal = [e[0][0], e[1][1], e[2][2]]
        i = diagonal.index(max(diagonal))
        axis = [e[0][i], e[1][i], e[2][i]]
        axis[i] += 1.0
        n = math.pi / math.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
        return axis[0] * n, axis[1] * n, axis[2] * n
    k = math.atan2(sin2, cos2) / sin2
    return vx * k, vy * k, vz * k


def mean_velocity(before: Pose, after: Pose, period_s: float) -> np.ndarray:
    """Velocity [m/s] and angular velocity [rad/s] (6,) from one pose to another.

    Args:
        before, after: of the same point, in the same frame, `period_s` apart.
    """
    (p0, r0), (p1, r1) = before, after
    return np.append(p1 - p0, rotation_error(r1, r0)) / period_s
