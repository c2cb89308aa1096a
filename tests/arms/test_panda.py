# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Panda against CALVIN's numbers, finite differences and itself."""

import numpy as np
import pytest

from vw2_ros.arms import geometry, open_arm
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.panda import TCP_OFFSET_M

PANDA = open_arm('panda')


def random_joints(rng, n):
    middle = 0.5 * (PANDA.lower_rad + PANDA.upper_rad)
    half = 0.5 * (PANDA.upper_rad - PANDA.lower_rad)
    return middle + 0.8 * half * rng.uniform(-1, 1, (n, 7))


def test_the_rest_pose_is_calvins():
    position, rotation = PANDA.forward(PANDA.rest_rad)
    assert position + PANDA.base_position == pytest.approx(
        [0.02586889, -0.2313129, 0.5712808], abs=1e-6
    )
    assert geometry.matrix_to_euler(rotation) == pytest.approx(
        [3.09045411, -0.02908596, 1.50013585], abs=1e-6
    )


def test_the_tcp_lies_below_the_hand():
    q = random_joints(np.random.default_rng(0), 1)[0]
    hand, hand_rotation = PANDA.hand_pose(q)
    tcp, rotation = PANDA.forward(q)
    assert rotation == pytest.approx(hand_rotation)
    assert (tcp - hand) @ rotation == pytest.approx([0, 0, TCP_OFFSET_M])


def test_the_jacobian_is_the_derivative():
    for q in random_joints(np.random.default_rng(1), 5):
        at, rotation, jacobian = PANDA.forward_and_jacobian(q)
        for j in range(7):
            dq = np.eye(7)[j] * 1e-6
            at2, rotation2 = PANDA.forward(q + dq)
            assert jacobian[:3, j] == pytest.approx((at2 - at) / 1e-6, abs=1e-5)
            spin = (rotation2 - rotation) @ rotation.T / 1e-6
            assert jacobian[3:, j] == pytest.approx([spin[2, 1], spin[0, 2], spin[1, 0]], abs=1e-5)


def test_the_inverse_finds_a_pose_nearby():
    rng = np.random.default_rng(3)
    for q in random_joints(rng, 20):
        goal = np.clip(q + rng.uniform(-0.1, 0.1, 7), PANDA.lower_rad, PANDA.upper_rad)
        position, rotation = PANDA.forward(goal)
        found = PANDA.inverse(position, rotation, q, iterations=30)
        at, turn = PANDA.forward(found)
        assert at == pytest.approx(position, abs=1e-4)
        assert turn == pytest.approx(rotation, abs=1e-3)


def test_the_inverse_stays_within_limits_out_of_reach():
    _, rotation = PANDA.forward(PANDA.rest_rad)
    q = PANDA.rest_rad
    for _ in range(60):
        q = PANDA.inverse(np.array([2.0, 0.0, 0.5]), rotation, q)
        assert np.isfinite(q).all()
        assert (q >= PANDA.lower_rad).all() and (q <= PANDA.upper_rad).all()
    reached = np.linalg.norm(PANDA.forward(q)[0])
    assert reached > 0.7  # it stretches as far as it can


def test_the_spare_joint_drifts_home():
    position, rotation = PANDA.forward(PANDA.rest_rad)
    q = PANDA.inverse(position, rotation, PANDA.rest_rad + 0.05, iterations=20)
    for _ in range(200):
        q = PANDA.inverse(position, rotation, q)
    assert q == pytest.approx(PANDA.rest_rad, abs=1e-3)


def test_the_facts_fit_together():
    assert len(PANDA.joints) == len(PANDA.rest_rad) == 7
    assert (PANDA.lower_rad < PANDA.rest_rad).all() and (PANDA.rest_rad < PANDA.upper_rad).all()
    with pytest.raises(ValueError, match='read-only'):
        PANDA.rest_rad[0] = 0.0


@pytest.mark.parametrize('name', ['panda', 'play_table'])
def test_the_limits_of_the_gate_are_the_arms(name):
    limits = Contract.load(name).limits
    assert limits.joints == PANDA.joints
    assert (limits.lower_rad == PANDA.lower_rad).all()
    assert (limits.upper_rad == PANDA.upper_rad).all()


def test_another_arm_is_unknown():
    with pytest.raises(ValueError, match="kinematics must be one of panda, urdf. Got 'ur5e'"):
        open_arm('ur5e')


def test_other_facts_make_another_arm():
    facts = {
        'joints': tuple(f'my_{name}' for name in PANDA.joints),
        'upper_rad': PANDA.upper_rad - 0.1,
        'tool_offset_m': 0.1034,
    }
    mine = open_arm('panda', **facts)
    assert mine.joints[0] == 'my_panda_joint1' and PANDA.joints[0] == 'panda_joint1'
    assert (mine.upper_rad < PANDA.upper_rad).all()
    (tcp, turn), (hand, _) = mine.forward(mine.rest_rad), mine.hand_pose(mine.rest_rad)
    assert (tcp - hand) @ turn == pytest.approx([0, 0, 0.1034])
    goal = PANDA.forward(PANDA.rest_rad)
    assert mine.forward(mine.inverse(*goal, mine.rest_rad, iterations=20))[0] == pytest.approx(
        goal[0], abs=1e-4
    )
