# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Inverse kinematics of any arm, by damped least squares with the rest pose in the null space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vw2_ros.arms.geometry import rotation_error

_LAST_STEP = 1e-3  # below this error [m, rad] one more step ends the search
_SAME_RAD = 1e-11  # two searches that differ by less are one

# joints (n,) [rad] as numbers -> position (3 numbers) [m], rotation (3, 3) and Jacobian (6, n) of the
# tool; rows 0-2 of the Jacobian give the tool's velocity, rows 3-5 its angular velocity
Jacobian = Callable[[list[float]], tuple[tuple[float, float, float], np.ndarray, np.ndarray]]


def damped_least_squares(
    jacobian: Jacobian,
    position,
    rotation,
    seed,
    *,
    lower: Sequence[float],
    upper: Sequence[float],
    rest: np.ndarray,
    iterations: int = 4,
    damping: float = 0.02,
    rest_gain: float = 0.05,
    periods: float = 1.0,
    max_drift: float = math.inf,
    tolerance: float = 1e-5,
    max_step: float = 0.3,
    begin: tuple | None = None,
) -> np.ndarray:
    """Joints (n,) [rad] that bring the tool to a pose, found from a seed.

    Args:
        jacobian: of the arm.
        position: (3,) [m], the tool in the arm's base frame.
        rotation: (3, 3).
        seed: (n,) [rad], where to start; the last commanded joints keep the motion continuous.
        lower, upper: n limits [rad] each.
        rest: (n,) [rad]; the spare degrees of freedom drift towards it.
        iterations: at most so many steps; one control step needs two or three.
        damping: of the least squares; keeps the step bounded near singular poses.
        rest_gain: share of the way to `rest` taken per period of 1/30 s, in the null space.
        periods: how many such periods the call is for.
        max_drift: no joint drifts further than this towards `rest` [rad].
        tolerance: stop below this error [m and rad].
        max_step: no joint moves more than this in one iteration [rad].
        begin: what `jacobian` says of the seed, where that is known.
    Returns:
        (n,) [rad] within the limits, the nearest found where the pose is out of reach.
    """
    # Plain numbers where there are three or n of them, arrays where there are 6 x n.
    q = np.asarray(seed, dtype=float).tolist()
    px, py, pz = np.asarray(position, dtype=float).tolist()
    rotation = np.asarray(rotation, dtype=float)
    free = [True] * len(q)  # False where a joint sits on its limit and was pushed against it
    last = before_last = q
    for i in range(iterations):
        (x, y, z), turn, jac = begin if i == 0 and begin is not None else jacobian(q)
        offset = (px - x, py - y, pz - z, *rotation_error(rotation, turn))
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
            bias = _drift(rest_gain * periods * (rest - np.array(q)), max_drift)
            rhs = np.stack([error, jac @ bias], axis=1)  # (6, 2)
            both = jac.T @ np.linalg.solve(gram, rhs)  # (n, 2)
            dq = both[:, 0] + bias - both[:, 1]
        else:
            dq = jac.T @ np.linalg.solve(gram, error)
        largest = max(map(abs, dq.tolist()))
        if largest > max_step:
            dq *= max_step / largest
        wanted = [a + b for a, b in zip(q, dq.tolist())]
        before_last, last = last, q
        q = [min(max(w, low), high) for w, low, high in zip(wanted, lower, upper)]
        free = [w == v for w, v in zip(wanted, q)]
        if i > 0 and size < _LAST_STEP and all(free):
            break  # the error shrinks with its square: another look would find it below tolerance
        if i > 1 and _same(
            q, before_last
        ):  # from now on it goes to and fro: a joint is at its end
            q = q if (iterations - 1 - i) % 2 == 0 else last
            break
    return np.array(q)


def _same(a: list[float], b: list[float]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b)) < _SAME_RAD


def _drift(bias: np.ndarray, most: float) -> np.ndarray:
    """A way (n,) [rad] towards the rest pose, no joint further than `most`."""
    far = max(map(abs, bias.tolist()))
    return bias * (most / far) if far > most else bias
