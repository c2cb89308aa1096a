# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rotations there and back, and velocities from pose to pose."""

import numpy as np
import pytest

from vw2_ros.arms import geometry, open_arm

PANDA = open_arm()


def test_the_mean_velocity_leads_from_pose_to_pose():
    before, after = PANDA.rest_rad, PANDA.rest_rad + 0.05 * np.arange(7) / 7
    velocity = geometry.mean_velocity(PANDA.forward(before), PANDA.forward(after), 0.1)
    (p0, r0), (p1, r1) = PANDA.forward(before), PANDA.forward(after)
    assert p0 + 0.1 * velocity[:3] == pytest.approx(p1)
    angle = 0.1 * np.linalg.norm(velocity[3:])
    x, y, z = velocity[3:] / np.linalg.norm(velocity[3:])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues
    assert turn @ r0 == pytest.approx(r1)
    _, _, jacobian = PANDA.forward_and_jacobian(0.5 * (before + after))
    assert velocity == pytest.approx(jacobian @ (after - before) / 0.1, abs=1e-3)


def test_rotations_there_and_back():
    rng = np.random.default_rng(2)
    for euler in rng.uniform([-3.1, -1.5, -3.1], [3.1, 1.5, 3.1], (20, 3)):
        matrix = geometry.euler_to_matrix(euler)
        assert geometry.matrix_to_euler(matrix) == pytest.approx(euler)
        quaternion = geometry.euler_to_quaternion(euler)
        assert geometry.quaternion_to_matrix(quaternion) == pytest.approx(matrix)
        assert geometry.quaternion_to_euler(3.0 * quaternion) == pytest.approx(euler)
    # straight up, where x and z turn about the same axis
    locked = geometry.euler_to_matrix([0.4, np.pi / 2, 0.3])
    assert geometry.euler_to_matrix(geometry.matrix_to_euler(locked)) == pytest.approx(
        locked, abs=1e-6
    )
    with pytest.raises(ValueError, match='zero'):
        geometry.quaternion_to_matrix([0, 0, 0, 0])
