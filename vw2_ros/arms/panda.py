# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Kinematics of the Franka Panda in plain numpy: forward, Jacobian, inverse, and CALVIN's control.

The tool centre point (TCP) lies 0.14 m from `panda_hand` along its z axis, between the tips of the
play table's fingers, which are longer than the stock ones. Euler angles are about the fixed axes
x, y, z in that order (R = Rz Ry Rx), metres and radians throughout. Everything here is a pure
function of its arguments but `EndEffectorController`, whose state is the target that it carries.
"""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.errors import InvalidValueError

# lowest and highest angle of each joint [rad], and the pose that redundancy is resolved towards
JOINT_LOWER = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
JOINT_UPPER = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
# The arm is stretched out where joint 4 is at -0.467. Beyond, it folds up the other way, and cannot
# come back: the solver stays on this side.
ELBOW_UPPER = -0.55
REST_JOINTS = np.array(
    [-1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866]
)
BASE_POSITION = np.array([-0.34, -0.46, 0.24])  # panda_link0 in the play table's world frame
TCP_OFFSET = 0.14  # panda_hand -> TCP along z [m]
FLANGE_TO_HAND_YAW = -math.pi / 4
REL_POSITION_SCALE = 0.02  # one unit of a relative action [m]
REL_ROTATION_SCALE = 0.05  # one unit of a relative action [rad]
ACTION_PERIOD_S = 1 / 30  # what one action lasts

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
_HAND_OFFSET = 0.107  # last joint -> panda_hand along z [m]
_HAND_COS, _HAND_SIN = math.cos(FLANGE_TO_HAND_YAW), math.sin(FLANGE_TO_HAND_YAW)
_LOWER, _UPPER = JOINT_LOWER.tolist(), JOINT_UPPER.tolist()
_LAST_STEP = 1e-3  # below this error [m, rad] one more step ends the search


# ---------------------------------------------------------------- rotations


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


def matrix_to_euler(matrix: np.ndarray) -> np.ndarray:
    """Fixed-axes Euler angles (3,) [rad] of a rotation matrix (3, 3), each in [-pi, pi]."""
    (m00, _, _), (m10, m11, m12), (m20, m21, m22) = np.asarray(matrix, dtype=float).tolist()
    sy = -m20
    if abs(sy) > 1.0 - 1e-9:  # gimbal lock: put the whole turn into x
        return np.array([math.atan2(-m12, m11), math.copysign(math.pi / 2, sy), 0.0])
    return np.array([math.atan2(m21, m22), math.asin(sy), math.atan2(m10, m00)])


def quaternion_to_matrix(quaternion) -> np.ndarray:
    """Rotation matrix (3, 3) of a quaternion (x, y, z, w); it need not have unit length."""
    x, y, z, w = (float(v) for v in quaternion)
    n = x * x + y * y + z * z + w * w
    if n < 1e-12:
        raise InvalidValueError(f'a quaternion must not be zero. Got {quaternion!r}')
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


def _rotation_error(target: np.ndarray, current: np.ndarray) -> tuple[float, float, float]:
    # the rotation vector that turns `current` into `target`, in the base frame
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


# ---------------------------------------------------------------- the arm


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
        [c * xx + s * yx, c * yx - s * xx, zx, px + _HAND_OFFSET * zx],
        [c * xy + s * yy, c * yy - s * xy, zy, py + _HAND_OFFSET * zy],
        [c * xz + s * yz, c * yz - s * xz, zz, pz + _HAND_OFFSET * zz],
    ]
    return joints, hand


def hand_pose(q) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) and rotation (3, 3) of `panda_hand` in `panda_link0` for joints (7,) [rad]."""
    hand = np.array(_chain(np.asarray(q, dtype=float).tolist())[1])  # (3, 4)
    return hand[:, 3], hand[:, :3]


def forward(q) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) [m] and rotation (3, 3) of the TCP in `panda_link0` for joints (7,) [rad]."""
    (xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz) = _chain(
        np.asarray(q, dtype=float).tolist()
    )[1]
    at = np.array((px + TCP_OFFSET * zx, py + TCP_OFFSET * zy, pz + TCP_OFFSET * zz))
    return at, np.array((xx, yx, zx, xy, yy, zy, xz, yz, zz)).reshape(3, 3)


def mean_velocity(before, after, period_s: float) -> np.ndarray:
    """Velocity [m/s] and angular velocity [rad/s] of the TCP in `panda_link0`, (6,).

    Args:
        before, after: joints (7,) [rad], `period_s` apart.
    """
    (p0, r0), (p1, r1) = forward(before), forward(after)
    return np.append(p1 - p0, _rotation_error(r1, r0)) / period_s


def forward_and_jacobian(q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TCP position (3,), rotation (3, 3) and Jacobian (6, 7) in `panda_link0`.

    Rows 0-2 of the Jacobian give the velocity of the TCP, rows 3-5 its angular velocity.
    """
    at, turn, jac = _jacobian(np.asarray(q, dtype=float).tolist())
    return np.array(at), turn, jac


def _jacobian(q: list[float]) -> tuple[tuple[float, float, float], np.ndarray, np.ndarray]:
    joints, hand = _chain(q)
    (xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz) = hand
    tx, ty, tz = px + TCP_OFFSET * zx, py + TCP_OFFSET * zy, pz + TCP_OFFSET * zz
    columns: list[float] = []
    for ax, ay, az, px, py, pz in joints:
        rx, ry, rz = tx - px, ty - py, tz - pz
        columns += (ay * rz - az * ry, az * rx - ax * rz, ax * ry - ay * rx, ax, ay, az)
    turn = np.array((xx, yx, zx, xy, yy, zy, xz, yz, zz)).reshape(3, 3)
    return (tx, ty, tz), turn, np.array(columns).reshape(7, 6).T  # (6, 7)


def inverse(
    position,
    rotation,
    seed,
    *,
    rest=REST_JOINTS,
    iterations: int = 4,
    damping: float = 0.02,
    rest_gain: float = 0.05,
    tolerance: float = 1e-5,
    max_step: float = 0.3,
) -> np.ndarray:
    """Joints (7,) that bring the TCP to a pose, by damped least squares from a seed.

    Args:
        position: (3,) [m], the TCP in `panda_link0`.
        rotation: (3, 3).
        seed: (7,) [rad], where to start; the last commanded joints keep the motion continuous.
        rest: (7,) [rad]; the spare degree of freedom drifts towards it.
        iterations: at most so many steps; one control step needs two or three.
        damping: of the least squares; keeps the step bounded near singular poses.
        rest_gain: share of the way to `rest` taken per call, in the null space.
        tolerance: stop below this error [m and rad].
        max_step: no joint moves more than this in one iteration [rad].
    Returns:
        (7,) [rad] within the joint limits, the nearest found where the pose is out of reach. From
        a seed with a bent elbow (joint 4 below `ELBOW_UPPER`) it stays bent.
    """
    # Plain numbers where there are three or seven of them, arrays where there are 6 x 7.
    q = np.asarray(seed, dtype=float).tolist()
    px, py, pz = np.asarray(position, dtype=float).tolist()
    rotation = np.asarray(rotation, dtype=float)
    upper = _UPPER.copy()
    upper[3] = min(max(ELBOW_UPPER, q[3]), _UPPER[3])
    free = [True] * 7  # False where a joint sits on its limit and was pushed against it
    for i in range(iterations):
        (x, y, z), turn, jac = _jacobian(q)
        offset = (px - x, py - y, pz - z, *_rotation_error(rotation, turn))
        error = np.array(offset)
        size = max(map(abs, offset))
        if size < tolerance and i > 0:
            break
        if not all(free):
            jac = jac * free
        gram = jac @ jac.T
        diagonal = gram.reshape(36)[::7]  # (6, 6) -> (6,), a view
        diagonal += damping * damping * min(1.0, 10.0 * size)
        diagonal += 1e-9
        if i == 0 and rest_gain > 0.0:
            bias = rest_gain * (rest - np.array(q))
            rhs = np.empty((6, 2))
            rhs[:, 0] = error
            rhs[:, 1] = jac @ bias
            both = jac.T @ np.linalg.solve(gram, rhs)  # (7, 2)
            dq = both[:, 0] + bias - both[:, 1]
        else:
            dq = jac.T @ np.linalg.solve(gram, error)
        largest = max(map(abs, dq.tolist()))
        if largest > max_step:
            dq *= max_step / largest
        wanted = [a + b for a, b in zip(q, dq.tolist())]
        q = [min(max(w, low), high) for w, low, high in zip(wanted, _LOWER, upper)]
        free = [w == v for w, v in zip(wanted, q)]
        if i > 0 and size < _LAST_STEP and all(free):
            break  # the error shrinks with its square: another look would find it below tolerance
    return np.array(q)


# ---------------------------------------------------------------- CALVIN's control


def check_action(action, size: int = 7) -> np.ndarray:
    """The action as float64 (size,), or ValueError: wrong size, not finite, gripper not -1 or +1.

    A gripper value within 1e-6 of -1 or +1 is taken for it.
    """
    a = np.asarray(action, dtype=float)
    if a.shape != (size,):
        raise InvalidValueError(f'an action must have shape ({size},). Got {a.shape}')
    if not all(map(math.isfinite, a.tolist())):
        raise InvalidValueError(f'an action must be finite. Got {a.tolist()}')
    grip = float(a[-1])
    if abs(abs(grip) - 1.0) > 1e-6:
        raise InvalidValueError(
            f'the gripper (last value) must be -1 (close) or +1 (open). Got {grip}; '
            'send the sign of a continuous prediction'
        )
    a = a.copy()
    a[-1] = 1.0 if grip > 0 else -1.0
    return a


class EndEffectorController:
    """Turns CALVIN's end-effector actions into joint commands.

    A relative action moves the *target*, not the measured pose, so the target runs ahead of an arm
    that is held back, as in CALVIN. The target is in the world frame, whose axes are those of
    `panda_link0` and whose origin lies `base_position` away from it.
    """

    def __init__(self, base_position=BASE_POSITION) -> None:
        self.base_position = np.array(base_position, dtype=float)
        self.position = np.zeros(3)
        self.euler = np.zeros(3)
        self.joints = REST_JOINTS.copy()
        self.gripper = 1.0
        self.reset(REST_JOINTS)

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the target's position (3,) [m] and Euler angles (3,) [rad], world frame."""
        return self.position.copy(), self.euler.copy()

    def reset(self, q, gripper: float = 1.0) -> None:
        """Put the target where the joints (7,) hold the TCP, and start the solver there."""
        q = np.array(q, dtype=float)
        if q.shape != (7,) or not np.isfinite(q).all():
            raise InvalidValueError(f'joints must be 7 finite numbers. Got {q!r}')
        at, turn = forward(q)
        self.position = at + self.base_position
        self.euler = matrix_to_euler(turn)
        self.joints = q
        self.gripper = 1.0 if gripper > 0 else -1.0

    def step(self, action) -> tuple[np.ndarray, float]:
        """Add one relative action (7,) to the target.

        Args:
            action: x 0.02 m, x 0.05 rad, gripper -1 close or +1 open.
        Returns:
            commanded joints (7,) [rad] and the gripper (-1.0 or +1.0).
        Raises:
            ValueError: as `check_action`; the target has not moved then.
        """
        a = check_action(action)
        self.position = self.position + REL_POSITION_SCALE * a[:3]
        self.euler = self.euler + REL_ROTATION_SCALE * a[3:6]
        return self._solve(a[6])

    def move_to(self, position, euler, gripper: float) -> tuple[np.ndarray, float]:
        """Set the target to a world pose, (3,) [m] and (3,) [rad]; returns as `step`."""
        a = check_action(np.concatenate([np.ravel(position), np.ravel(euler), [gripper]]))
        self.position, self.euler = a[:3], a[3:6]
        return self._solve(a[6])

    def _solve(self, gripper: float) -> tuple[np.ndarray, float]:
        self.gripper = float(gripper)
        self.joints = inverse(
            self.position - self.base_position, euler_to_matrix(self.euler), self.joints
        )
        return self.joints.copy(), self.gripper
