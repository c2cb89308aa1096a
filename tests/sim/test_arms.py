# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Other arms before the play table: described once, driven within their limits."""

import numpy as np
import pytest

pytest.importorskip('pinocchio')

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.geometry import quaternion_to_matrix
from vw2_ros.evaluation.players import ExpertPlayer, ThroughContract
from vw2_ros.sim.arms import _robots, table_contract
from vw2_ros.sim.expert.motion import FLY_Z, hand_rotation
from vw2_ros.sim.expert.starts import prepare
from vw2_ros.sim.mounts import MOUNTS, mount_of
from vw2_ros.sim.table import Simulator
from vw2_ros.sim.task_run import RUNNING, SUCCEEDED, TaskRun

OTHERS = ('fr3', 'xarm7', 'ur5e')


@pytest.fixture(scope='module', params=OTHERS)
def table(request):
    with Simulator(arm=request.param).open('D') as table:
        yield table


def test_the_simulated_hand_is_where_the_kinematics_say(table):
    import pybullet

    body, client = table._robot.body, table._engine._client
    hand = next(
        j.index for j in table._engine.joints(body) if j.link.endswith('_hand') and not j.moves
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = np.clip(
            table.arm.rest_rad + rng.uniform(-0.5, 0.5, len(table.arm.joints)),
            table.arm.lower_rad,
            table.arm.upper_rad,
        )
        table._robot.reset(q, 0.08)
        state = pybullet.getLinkState(
            body, hand, computeForwardKinematics=True, physicsClientId=client
        )
        position, rotation = table.arm.hand_pose(q)
        assert np.abs(position + table.arm.base_position - state[4]).max() < 1e-4
        assert np.abs(rotation - quaternion_to_matrix(state[5])).max() < 1e-4
    table.reset()


@pytest.mark.parametrize('name', OTHERS)
def test_limits_on_the_table_are_those_of_the_real_arm(name):
    ours = table_contract(name).limits
    urdf = MOUNTS[name].urdf  # without our hand
    theirs = Contract.load(name, urdf=str(_robots() / urdf) if urdf else '').limits
    for key in ('lower_rad', 'upper_rad', 'velocity_rad_s', 'acceleration_rad_s2'):
        assert np.array_equal(getattr(ours, key), getattr(theirs, key)), key
    assert ours.tool_speed_m_s == theirs.tool_speed_m_s == 0.25
    assert (ours.braking is None) == (theirs.braking is None)


@pytest.mark.parametrize('name', OTHERS)
def test_the_reach_that_the_expert_counts_on_is_there(name):
    arm, mount = table_contract(name).arm, mount_of(name)
    for way in (0.5, 1.0, 1.5):  # [rad] from x, over the table
        far = mount.reach_m - 0.01
        target = np.array([far * np.cos(way), far * np.sin(way), FLY_Z - arm.base_position[2]])
        q = arm.rest_rad
        for share in np.linspace(0.3, 1.0, 80):
            q = arm.inverse(target * [share, share, 1.0], hand_rotation(np.pi / 2), q)
        assert np.abs(arm.forward(q)[0] - target).max() < 2e-3, way


def test_the_expert_opens_the_drawer_within_the_limits(table):
    limits = table_contract(table.arm.name).limits
    prepare(table, 'open_drawer', np.random.default_rng(3))
    table.reset(scene_obs=table.scene_obs())
    player = ThroughContract(ExpertPlayer(), table_contract(table.arm.name))
    player.reset(table, (0,))
    player.begin(table, 'open_drawer', '')
    judged, commands = TaskRun(table, 'open_drawer', 240, 0), [table.joint_positions()]
    while judged.status == RUNNING:
        action = player.act(table)
        commands.append(action[1][:-1])
        table.step(action)
        judged.stepped()
    assert judged.status == SUCCEEDED
    q = np.array(commands)
    velocity = np.diff(q, axis=0) / ACTION_PERIOD_S
    acceleration = np.diff(velocity, axis=0) / ACTION_PERIOD_S
    low, high = limits.velocity_bounds(q[1:])
    assert (velocity >= low - 1e-6).all() and (velocity <= high + 1e-6).all()
    assert (np.abs(acceleration) <= limits.acceleration_rad_s2 + 1e-6).all()
    tool = np.array([table.arm.forward(joints)[0] for joints in q])
    speed = np.linalg.norm(np.diff(tool, axis=0), axis=1) / ACTION_PERIOD_S
    assert speed.max() <= limits.tool_speed_m_s + 1e-3


def test_an_unknown_arm_is_named():
    with pytest.raises(ValueError, match="must be one of panda, fr3, xarm7, ur5e. Got 'ur7'"):
        Simulator(arm='ur7')
    with pytest.raises(ValueError, match='the table calvin must have its own arm, panda. Got fr3'):
        Simulator('calvin', arm='fr3')
