# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Arms by Pinocchio: against the Panda's own code, finite differences, and along random paths."""

import dataclasses

import arm_files
import numpy as np
import pytest

from vw2_ros.arms import geometry, open_arm
from vw2_ros.arms.actions import (
    ACTION_PERIOD_S,
    POSITION_STEP_M,
    ROTATION_STEP_RAD,
    EndEffectorController,
)
from vw2_ros.arms.contract import Contract

ARMS = ('panda', 'fr3', 'xarm7', 'ur5e')
TRACKING_M, TRACKING_RAD = 0.002, 0.01  # of the issue
TOOL_M = 0.25 * ACTION_PERIOD_S  # the tool's way in an action at its highest speed


def contract_of(name):
    """A shipped contract, with a box that never binds: what is tried here is the arm's reach."""
    contract = Contract.load(name, urdf=arm_files.example_urdf(name) if name in OTHERS else '')
    box = {'box_lower_m': [-10.0] * 3, 'box_upper_m': [10.0] * 3}
    return dataclasses.replace(contract, limits=dataclasses.replace(contract.limits, **box))


OTHERS = ('xarm7', 'ur5e')


def random_joints(limits, rng, n):
    return rng.uniform(limits.lower_rad, limits.upper_rad, (n, len(limits.joints)))


def test_pinocchio_agrees_with_the_pandas_own_code(capsys):
    own = open_arm()
    other = open_arm(
        'urdf',
        urdf=arm_files.example_urdf('panda'),
        joints=own.joints,
        rest_rad=own.rest_rad,
        base_frame=own.base_frame,
        tool_frame='panda_hand',
        tool_offset_m=(0, 0, own.tool_offset_m),
    )
    q = random_joints(Contract.load('panda').limits, np.random.default_rng(0), 1000)
    off = np.zeros(3)
    for joints in q:
        pairs = zip(own.forward_and_jacobian(joints), other.forward_and_jacobian(joints))
        off = np.maximum(off, [np.abs(a - b).max() for a, b in pairs])
        for a, b in zip(own.hand_pose(joints), other.hand_pose(joints)):
            assert a == pytest.approx(b, abs=1e-12)
        assert other.forward(joints)[0] == pytest.approx(own.forward(joints)[0], abs=1e-12)
    with capsys.disabled():
        print(f'\nPanda against Pinocchio, 1000 poses: {off[0]:.1e} m, Jacobian {off[2]:.1e}')
    assert (off <= 1e-9).all()
    assert (other.lower_rad == own.lower_rad).all() and (other.upper_rad == own.upper_rad).all()
    assert (other.velocity_rad_s == own.velocity_rad_s).all()


@pytest.mark.parametrize('name', OTHERS)
def test_the_jacobian_is_the_derivative(name):
    contract = contract_of(name)
    for q in random_joints(contract.limits, np.random.default_rng(1), 5):
        at, rotation, jacobian = contract.arm.forward_and_jacobian(q)
        for j in range(len(q)):
            at2, rotation2 = contract.arm.forward(q + np.eye(len(q))[j] * 1e-6)
            assert jacobian[:3, j] == pytest.approx((at2 - at) / 1e-6, abs=1e-5)
            spin = (rotation2 - rotation) @ rotation.T / 1e-6
            assert jacobian[3:, j] == pytest.approx([spin[2, 1], spin[0, 2], spin[1, 0]], abs=1e-5)


def test_poses_are_in_the_base_frame():
    """A base that is turned and moved in the URDF's root changes nothing."""
    pytest.importorskip('pinocchio')
    facts = {
        'joints': [joint[0] for joint in arm_files.ELBOW_ARM],
        'rest_rad': arm_files.ELBOW_HOME,
        'base_frame': 'base',
        'tool_frame': 'tool',
        'tool_offset_m': (0.01, 0.02, 0.1),
        'tool_rpy_rad': (0.1, 0.2, 0.3),
    }
    moved = (
        '<link name="room"/><joint name="floor" type="fixed"><parent link="room"/>'
        '<child link="base"/><origin xyz="1 2 3" rpy="0.4 -0.5 2.0"/></joint>'
    )
    plain = open_arm('urdf', urdf=arm_files.chain(), **facts)
    turned = open_arm('urdf', urdf=arm_files.chain(extra=moved), **facts)
    q = np.array([0.3, -0.2, 0.9, 0.4, 0.5, -0.6])
    for a, b in zip(plain.forward_and_jacobian(q), turned.forward_and_jacobian(q)):
        assert a == pytest.approx(b, abs=1e-12)
    hand, tool = plain.hand_pose(q), plain.forward(q)
    assert hand[1].T @ (tool[0] - hand[0]) == pytest.approx([0.01, 0.02, 0.1])
    assert hand[1].T @ tool[1] == pytest.approx(geometry.euler_to_matrix([0.1, 0.2, 0.3]))


def path(arm, limits, rng):
    """A random reachable pose, and up to half a second of even actions (6,) on the way to another."""
    q = rng.uniform(limits.lower_rad, limits.upper_rad)
    near = np.clip(q + rng.uniform(-0.4, 0.4, len(q)), limits.lower_rad, limits.upper_rad)
    (p, r), (p2, r2) = arm.forward(q), arm.forward(near)
    turn = geometry.matrix_to_euler(r2) - geometry.matrix_to_euler(r)
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    units = np.concatenate([(p2 - p) / POSITION_STEP_M, turn / ROTATION_STEP_RAD])
    actions = max(np.abs(units).max(), np.linalg.norm(p2 - p) / TOOL_M, 1.0)
    return q, units / actions, int(min(15, np.ceil(actions)))


def follow(name, poses):
    """Follow random paths; the worst of everything, and how many paths were slowed down, and why."""
    contract, rng = contract_of(name), np.random.default_rng(0)
    arm, limits = contract.arm, contract.limits
    controller, slowed = EndEffectorController(arm, limits), {}
    worst = dict.fromkeys(('m', 'rad', 'end_m', 'beyond_rad', 'too_fast_rad_s'), 0.0)

    def note(key, value):
        worst[key] = max(worst[key], float(value))

    for _ in range(poses):
        q, action, steps = path(arm, limits, rng)
        controller.reset(q)
        begin, why = controller.target[0], set()
        for _ in range(steps):
            before = q
            q, _ = controller.step(np.append(action, 1.0))
            (at, turn), (position, euler) = arm.forward(q), controller.target
            error = geometry.rotation_error(geometry.euler_to_matrix(euler), turn)
            note('m', np.linalg.norm(at + arm.base_position - position))
            note('rad', np.linalg.norm(error))
            low, high = limits.velocity_bounds(before)
            speed = (q - before) / ACTION_PERIOD_S
            note('too_fast_rad_s', np.maximum(speed - high, low - speed).max())
            note('beyond_rad', np.maximum(q - limits.upper_rad, limits.lower_rad - q).max())
            if controller.slowed:
                why.add(controller.slowed.split(':')[0].split(' is ')[-1])
        if not why:  # then the path is the one that was asked for
            wanted = begin + steps * POSITION_STEP_M * action[:3]
            note('end_m', np.linalg.norm(arm.forward(q)[0] + arm.base_position - wanted))
        for reason in why:
            slowed[reason] = slowed.get(reason, 0) + 1
        slowed['any'] = slowed.get('any', 0) + bool(why)
    return worst, slowed


def check_tracking(name, poses, capsys):
    worst, slowed = follow(name, poses)
    with capsys.disabled():
        shares = ', '.join(f'{why} {n / poses:.1%}' for why, n in sorted(slowed.items()))
        print(
            f'\n{name}: {poses} poses, {1e3 * worst["m"]:.2f} mm, {worst["rad"]:.4f} rad, '
            f'end {1e3 * worst["end_m"]:.2f} mm; slowed down: {shares}'
        )
    assert max(worst['m'], worst['end_m']) <= TRACKING_M and worst['rad'] <= TRACKING_RAD
    assert worst['beyond_rad'] <= 0 and worst['too_fast_rad_s'] <= 1e-9
    assert slowed['any'] <= 0.3 * poses


@pytest.mark.parametrize('name', ARMS)
def test_random_paths_are_followed(name, capsys):
    check_tracking(name, 100, capsys)


@pytest.mark.slow
@pytest.mark.parametrize('name', ARMS)
def test_ten_thousand_random_paths_are_followed(name, capsys):
    check_tracking(name, 10_000, capsys)


@pytest.mark.parametrize('name', ARMS)
def test_a_stretched_arm_stands_and_says_so_and_comes_back(name):
    contract = contract_of(name)
    controller = EndEffectorController(contract.arm, contract.limits)
    controller.reset(contract.home_rad)
    for _ in range(200):
        out, _ = controller.step([0.4, 0, 0, 0, 0, 0, 1])
    assert controller.slowed and '0 % of its way' in controller.slowed
    stretched = controller.target[0]
    assert (controller.step([0.4, 0, 0, 0, 0, 0, 1])[0] == out).all()
    for _ in range(30):
        controller.step([-0.4, 0, 0, 0, 0, 0, 1])
    assert controller.slowed == ''
    back = controller.target[0] - stretched
    assert back == pytest.approx([-30 * 0.4 * POSITION_STEP_M, 0, 0], abs=0.03)


def test_actions_in_the_tools_frame():
    arm, q = open_arm(), open_arm().rest_rad
    controller = EndEffectorController(arm, frame='tool')
    for axis in range(3):
        controller.reset(q)
        at, turn = arm.forward(q)
        for _ in range(5):
            action = np.zeros(7)
            action[axis], action[6] = 0.5, 1.0
            joints, _ = controller.step(action)
        assert arm.forward(joints)[0] - at == pytest.approx(0.05 * turn[:, axis], abs=1e-3)
        controller.reset(q)
        action[axis], action[3 + axis] = 0.0, 1.0
        for _ in range(5):
            joints, _ = controller.step(action)
        spin = geometry.rotation_error(arm.forward(joints)[1], turn)
        assert spin == pytest.approx(0.25 * turn[:, axis], abs=5e-3)


def test_spare_joints_go_home_slowly():
    """A robot that begins far from home: the elbow does not swing while the tool moves."""
    contract = Contract.load('panda')
    far = contract.home_rad + np.array([0.5, 0.2, -0.6, 0.2, 0.5, 0.0, 0.4])
    controller = EndEffectorController(contract.arm, contract.limits)
    controller.reset(far)
    joints, _ = controller.step([0, 0, 0, 0, 0, 0, 1])
    assert np.abs(joints - far).max() <= 0.3 * ACTION_PERIOD_S * 1.5
