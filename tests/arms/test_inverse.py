# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The solver with another arm than the Panda: two links in a plane and a lift."""

import numpy as np
import pytest

from vw2_ros.arms.inverse import damped_least_squares

UPPER_ARM, FOREARM = 0.4, 0.3  # [m]


def jacobian(q):
    """Two joints about z and a slide along z."""
    a, b, lift = q
    x1, y1 = UPPER_ARM * np.cos(a), UPPER_ARM * np.sin(a)
    x2, y2 = FOREARM * np.cos(a + b), FOREARM * np.sin(a + b)
    columns = np.array(
        [[-y1 - y2, x1 + x2, 0, 0, 0, 1], [-y2, x2, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]]
    )
    c, s = np.cos(a + b), np.sin(a + b)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return (x1 + x2, y1 + y2, lift), rotation, columns.T


def solve(position, rotation, **settings):
    limits = {'lower': [-3.0, -2.5, 0.0], 'upper': [3.0, 2.5, 0.5]}
    return damped_least_squares(
        jacobian, position, rotation, [0.1, 0.5, 0.1], rest=np.zeros(3), **limits, **settings
    )


def test_it_finds_a_pose_with_three_joints():
    wanted = [0.6, 1.1, 0.3]
    position, rotation, _ = jacobian(wanted)
    assert solve(position, rotation, iterations=50) == pytest.approx(wanted, abs=1e-3)


def test_it_keeps_the_limits_where_the_pose_is_out_of_reach():
    position, rotation, _ = jacobian([0.6, 1.1, 2.0])
    assert solve(position, rotation, iterations=50)[2] == 0.5
