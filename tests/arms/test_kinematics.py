# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Panda's kinematics against CALVIN's numbers, finite differences and itself."""

import numpy as np
import pytest

from vw2_ros.arms import panda as kin


def random_joints(rng, n):
    middle = 0.5 * (kin.JOINT_LOWER + kin.JOINT_UPPER)
    half = 0.5 * (kin.JOINT_UPPER - kin.JOINT_LOWER)
    return middle + 0.8 * half * rng.uniform(-1, 1, (n, 7))


def test_the_rest_pose_is_calvins():
    position, rotation = kin.forward(kin.REST_JOINTS)
    assert position + kin.BASE_POSITION == pytest.approx(
        [0.02586889, -0.2313129, 0.5712808], abs=1e-6
    )
    assert kin.matrix_to_euler(rotation) == pytest.approx(
        [3.09045411, -0.02908596, 1.50013585], abs=1e-6
    )


def test_the_tcp_lies_below_the_hand():
    q = random_joints(np.random.default_rng(0), 1)[0]
    hand, hand_rotation = kin.hand_pose(q)
    tcp, rotation = kin.forward(q)
    assert rotation == pytest.approx(hand_rotation)
    assert (tcp - hand) @ rotation == pytest.approx([0, 0, kin.TCP_OFFSET])


def test_the_jacobian_is_the_derivative():
    for q in random_joints(np.random.default_rng(1), 5):
        at, rotation, jacobian = kin.forward_and_jacobian(q)
        for j in range(7):
            dq = np.eye(7)[j] * 1e-6
            at2, rotation2 = kin.forward(q + dq)
            assert jacobian[:3, j] == pytest.approx((at2 - at) / 1e-6, abs=1e-5)
            spin = (rotation2 - rotation) @ rotation.T / 1e-6
            assert jacobian[3:, j] == pytest.approx([spin[2, 1], spin[0, 2], spin[1, 0]], abs=1e-5)


def test_the_mean_velocity_leads_from_pose_to_pose():
    before, after = kin.REST_JOINTS, kin.REST_JOINTS + 0.05 * np.arange(7) / 7
    velocity = kin.mean_velocity(before, after, 0.1)
    (p0, r0), (p1, r1) = kin.forward(before), kin.forward(after)
    assert p0 + 0.1 * velocity[:3] == pytest.approx(p1)
    angle = 0.1 * np.linalg.norm(velocity[3:])
    x, y, z = velocity[3:] / np.linalg.norm(velocity[3:])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues
    assert turn @ r0 == pytest.approx(r1)
    _, _, jacobian = kin.forward_and_jacobian(0.5 * (before + after))
    assert velocity == pytest.approx(jacobian @ (after - before) / 0.1, abs=1e-3)


def test_rotations_there_and_back():
    rng = np.random.default_rng(2)
    for euler in rng.uniform([-3.1, -1.5, -3.1], [3.1, 1.5, 3.1], (20, 3)):
        matrix = kin.euler_to_matrix(euler)
        assert kin.matrix_to_euler(matrix) == pytest.approx(euler)
        quaternion = kin.euler_to_quaternion(euler)
        assert kin.quaternion_to_matrix(quaternion) == pytest.approx(matrix)
        assert kin.quaternion_to_euler(3.0 * quaternion) == pytest.approx(euler)
    # straight up, where x and z turn about the same axis
    locked = kin.euler_to_matrix([0.4, np.pi / 2, 0.3])
    assert kin.euler_to_matrix(kin.matrix_to_euler(locked)) == pytest.approx(locked, abs=1e-6)
    with pytest.raises(ValueError, match='zero'):
        kin.quaternion_to_matrix([0, 0, 0, 0])


def test_the_inverse_finds_a_pose_nearby():
    rng = np.random.default_rng(3)
    for q in random_joints(rng, 20):
        goal = np.clip(q + rng.uniform(-0.1, 0.1, 7), kin.JOINT_LOWER, kin.JOINT_UPPER)
        position, rotation = kin.forward(goal)
        found = kin.inverse(position, rotation, q, iterations=30)
        at, turn = kin.forward(found)
        assert at == pytest.approx(position, abs=1e-4)
        assert turn == pytest.approx(rotation, abs=1e-3)


def test_the_inverse_stays_within_limits_out_of_reach():
    _, rotation = kin.forward(kin.REST_JOINTS)
    q = kin.REST_JOINTS
    for _ in range(60):
        q = kin.inverse(np.array([2.0, 0.0, 0.5]), rotation, q)
        assert np.isfinite(q).all()
        assert (q >= kin.JOINT_LOWER).all() and (q <= kin.JOINT_UPPER).all()
    reached = np.linalg.norm(kin.forward(q)[0])
    assert reached > 0.7  # it stretches as far as it can


def test_the_spare_joint_drifts_home():
    position, rotation = kin.forward(kin.REST_JOINTS)
    q = kin.inverse(position, rotation, kin.REST_JOINTS + 0.05, iterations=20)
    for _ in range(200):
        q = kin.inverse(position, rotation, q)
    assert q == pytest.approx(kin.REST_JOINTS, abs=1e-3)


def test_relative_actions_move_the_target_not_the_pose():
    controller = kin.EndEffectorController()
    controller.reset(kin.REST_JOINTS)
    start, euler = controller.target
    for _ in range(4):
        q, gripper = controller.step([1, -0.5, 0, 0, 0, 1, -1])
    position, turned = controller.target
    assert position - start == pytest.approx([0.08, -0.04, 0.0])
    assert turned - euler == pytest.approx([0, 0, 0.2])
    assert gripper == -1.0
    at, rotation = kin.forward(q)
    assert at + kin.BASE_POSITION == pytest.approx(position, abs=1e-4)
    assert rotation == pytest.approx(kin.euler_to_matrix(turned), abs=1e-3)


def test_many_steps_stay_on_the_target():
    rng = np.random.default_rng(4)
    controller = kin.EndEffectorController()
    for _ in range(300):
        position, euler = controller.target
        action = np.append(rng.uniform(-1, 1, 6), 1.0)
        action[:3] += 4 * (np.array([0.0, -0.1, 0.55]) - position)
        action[3:6] += np.array([3.1, 0.0, 1.5]) - euler
        q, _ = controller.step(np.clip(action, -1, 1))
        assert kin.forward(q)[0] + kin.BASE_POSITION == pytest.approx(
            controller.position, abs=2e-4
        )


@pytest.mark.parametrize(
    'action, message',
    [
        (np.zeros(6), 'shape'),
        ([0, 0, np.nan, 0, 0, 0, 1], 'finite'),
        ([0, 0, 0, 0, 0, 0, 0.5], 'gripper'),
        ([0, 0, 0, 0, 0, 0, np.inf], 'finite'),
    ],
)
def test_bad_actions_leave_the_target(action, message):
    controller = kin.EndEffectorController()
    before = controller.target
    with pytest.raises(ValueError, match=message):
        controller.step(action)
    assert controller.target[0] == pytest.approx(before[0])
    with pytest.raises(ValueError):
        controller.reset(np.full(7, np.nan))
