# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An operator has the arm: he moves it within the limits, and whatever is wrong moves nothing."""

import dataclasses

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.arms.actions import EndEffectorController
from vw2_ros.arms.geometry import mean_velocity
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
from vw2_ros.control.takeover import SILENCE_S, Motion

CONTRACT = panda_at()
LIMITS, ARM = CONTRACT.limits, CONTRACT.arm
PERIOD_S = LIMITS.period_s
UP = np.array([0, 0, 0.1, 0, 0, 0])  # [m/s]


class Bench:
    """An arm that follows at once, a policy that goes along x, and an operator who may speak."""

    def __init__(self, contract=CONTRACT):
        self.loop = ControlLoop(contract, ControlConfig())
        self.loop.instruct('lift')
        self.now_s, self.joints, self.ticks = 100.0, contract.home_rad.copy(), 0
        self.twist, self.gripper, self.age_s, self.policy = None, 0.0, 0.0, True
        self.refused, self.sent = [], []

    def tick(self):
        self.now_s += PERIOD_S
        self.ticks += 1
        loop, now_s = self.loop, self.now_s
        loop.see_joints(self.joints, now_s)
        if self.policy:
            loop.see_image(self.ticks.to_bytes(4, 'big'), now_s)
            actions = np.tile([0.2, 0, 0, 0, 0, 0, 1.0], (16, 1))
            loop.accept(Chunk(round(now_s * 1e9), actions, now_s, 'lift'), now_s)
        if self.twist is not None:
            at_s = now_s - self.age_s
            motion = Motion(round(at_s * 1e9), at_s, np.array(self.twist), self.gripper)
            self.refused.append(loop.take_over(motion, now_s))
        command = loop.step(now_s)
        if command.joints is not None:
            self.joints = command.joints
        self.sent.append(command.joints is not None)
        return command

    def run(self, seconds):
        before = ARM.forward(self.joints)
        for _ in range(round(seconds / PERIOD_S)):
            command = self.tick()
        self.way = ARM.forward(self.joints)[0] - before[0]
        return command

    def stands(self, seconds=1.0):
        at = self.joints.copy()
        self.run(seconds)
        return np.array_equal(at, self.joints)


def armed():
    bench = Bench()
    bench.run(0.5)
    assert bench.loop.rearm(bench.now_s) == ''
    bench.run(2.0)
    assert bench.loop.command.status == 'moving' and bench.way[0] > 0.1
    return bench


def test_an_operator_takes_the_arm_from_the_policy_and_gives_it_back():
    bench = armed()
    leader = lambda: bench.loop.takeover.leader(bench.now_s)  # noqa: E731
    assert leader() == 'policy'
    bench.twist = UP
    bench.run(0.5)
    bench.run(1.0)
    np.testing.assert_allclose(bench.way, [0, 0, 0.1], atol=0.003)
    assert leader() == 'correction' and bench.loop.command.plan_ns is None
    assert bench.loop.counts['overruled'] > 40
    assert 'must be silent' in bench.loop.hand_back(bench.now_s)
    bench.twist = None
    assert 'teleop/twist is' in bench.run(0.5).reasons[0] and leader() == 'nobody'
    assert bench.stands(), 'plans come, and nothing moves before he hands it back'
    assert bench.loop.hand_back(bench.now_s) == '' and leader() == 'policy'
    assert 'already' in bench.loop.hand_back(bench.now_s)
    bench.run(0.2)
    assert 0 < bench.way[0] < 0.01, 'it begins slowly'
    bench.run(2.0)
    assert bench.way[0] > 0.1
    told = [event.kind for event in bench.loop.events if event.kind in ('takeover', 'handback')]
    assert told == ['takeover', 'handback']


def test_silent_in_mid_motion():
    bench = armed()
    bench.twist = 2 * UP
    bench.run(1.0)
    bench.twist = None
    fell_silent_s, still_s = bench.now_s, None
    for _ in range(30):
        before = bench.joints
        bench.tick()
        if np.array_equal(before, bench.joints):
            still_s = bench.now_s - PERIOD_S - fell_silent_s
            break
    assert SILENCE_S - 2 * PERIOD_S <= still_s <= SILENCE_S + 0.15, still_s


@pytest.mark.parametrize('moves', [True, False])
def test_disarmed_or_stopped_nothing_moves(moves):
    bench = Bench()
    bench.twist = UP if moves else 0 * UP
    assert bench.run(1.0).status == 'disarmed' and not any(bench.sent)
    reason = bench.loop.rearm(bench.now_s)
    assert ('teleop/twist must be at rest' in reason) == moves
    bench.twist = 0 * UP
    bench.run(1.0)
    if moves:
        assert not any(bench.sent) and bench.loop.rearm(bench.now_s) == ''
    assert bench.stands()
    bench.twist = UP
    bench.run(1.0)
    assert 0.09 < bench.way[2] < 0.101
    bench.loop.stop()
    bench.run(0.5)
    assert bench.stands() and bench.loop.command.status == 'stopped'


@pytest.mark.parametrize(
    'twist, age_s, gripper, why',
    [
        ([np.nan, 0, 0, 0, 0, 0], 0.0, 0.0, '6 finite numbers'),
        ([0, 0, 0, 0, np.inf, 0], 0.0, 0.0, '6 finite numbers'),
        ([0.1, 0], 0.0, 0.0, '6 finite numbers'),
        (UP, 0.25, 0.0, 'from 250 ms ago'),
        (UP, -0.1, 0.0, 'from -100 ms ago'),
        (UP, 0.0, np.nan, 'gripper must be'),
    ],
)
def test_what_makes_no_sense_takes_the_arm_and_moves_nothing(twist, age_s, gripper, why):
    bench = armed()
    bench.twist, bench.age_s, bench.gripper = twist, age_s, gripper
    bench.run(0.3)
    assert all(why in refused for refused in bench.refused), bench.refused
    assert bench.stands() and bench.loop.command.status == 'holding'
    assert 'at rest' in bench.loop.rearm(bench.now_s)
    bench.twist, bench.age_s, bench.gripper = UP, 0.0, 0.0
    bench.run(1.0)
    assert bench.way[2] > 0.05, 'it goes on when he says something that makes sense'


def test_older_messages_move_nothing_and_a_clock_set_back_is_forgiven():
    loop = armed().loop
    motion = Motion(10**9, 102.0, UP)
    assert loop.take_over(motion, 102.0) == ''
    assert 'older' in loop.take_over(dataclasses.replace(motion, stamp_ns=10**9 - 1), 102.01)
    assert not loop.has_plan, 'and the arm holds'
    assert loop.take_over(Motion(1, 103.0, UP), 103.0) == ''


def test_no_instruction_and_no_camera_are_needed():
    bench = Bench()
    bench.policy = False
    bench.loop.instruct('')
    bench.run(0.5)
    bench.loop.rearm(bench.now_s)
    bench.twist, bench.gripper = UP, -1.0
    assert bench.run(2.0).status == 'moving' and bench.way[2] > 0.1
    assert bench.loop.command.gripper == -1.0
    assert bench.loop.takeover.leader(bench.now_s) == 'operator', 'nothing is corrected'
    bench.gripper = 0.0
    assert bench.run(0.5).gripper == -1.0, 'as it is'
    bench.loop.restart()
    assert bench.loop.takeover.leader(bench.now_s) == 'policy'


def test_the_limits_hold_for_an_operator():
    bench = armed()
    bench.twist = [9.0, 9.0, 9.0, 0, 0, 0]
    tool = [ARM.forward(bench.joints)[0]]
    for _ in range(120):
        bench.tick()
        tool.append(ARM.forward(bench.joints)[0])
    speed = np.linalg.norm(np.diff(tool, axis=0), axis=1) / PERIOD_S
    assert speed.max() <= LIMITS.tool_speed_m_s + 1e-6 and speed.max() > 0.2
    assert (np.array(tool) <= LIMITS.box_upper_m + 5e-4).all()


@pytest.mark.parametrize('frame', ['base', 'tool'])
@pytest.mark.parametrize('axis', range(6))
def test_a_twist_moves_the_tool_along_its_axis(frame, axis):
    controller = EndEffectorController(ARM, frame=frame)
    controller.reset(CONTRACT.home_rad)
    twist = np.zeros(6)
    twist[axis] = 0.1 if axis < 3 else 0.3
    before = ARM.forward(CONTRACT.home_rad)
    joints, _ = controller.step(np.append(controller.action_of(twist), 1.0))
    got = mean_velocity(before, ARM.forward(joints), 1 / 30)
    if frame == 'tool':
        got = np.ravel(got.reshape(2, 3) @ before[1])
    np.testing.assert_allclose(got, twist, atol=0.01)
    huge = controller.action_of(np.sign(twist) * 1e300)
    assert np.isfinite(huge).all() and np.abs(huge).max() <= 1 + 1e-9
