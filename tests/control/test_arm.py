# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The arm's loop as the action node runs it, without ROS running: faults, lockstep, the account."""

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from vw2_ros.arms import open_arm  # noqa: E402
from vw2_ros.control.arm import Arm, ArmConfig  # noqa: E402
from vw2_ros.control.safety import Limits  # noqa: E402
from vw2_ros.files import config_file  # noqa: E402
from vw2_ros.messages.convert import Joints  # noqa: E402
from vw2_ros.messages.outputs import Output  # noqa: E402
from vw2_ros.messages.plan import PlanPart, instruction_id  # noqa: E402
from vw2_ros.nodes.health import ERROR, OK, WARN  # noqa: E402

LIMITS = Limits.from_yaml(config_file('limits_play_table.yaml'))
PERIOD_S = LIMITS.period_s
S_NS = 10**9
ACTIONS = np.tile([0.2, 0, 0, 0, 0, 0, 1.0], (16, 1))


def part(stamp_ns, instruction='lift'):
    return PlanPart(np.zeros((4, 8), np.float32), stamp_ns, instruction_id(instruction))


class World:
    """A clock, joints that follow, a camera and a planner, each of which can be broken."""

    def __init__(self, **config):
        self.arm = Arm(LIMITS, ArmConfig(**config))
        self.arm.instruct('lift')
        self.now_s, self.epoch_ns = 100.0, 7 * S_NS
        self.joints = open_arm().rest_rad.copy()
        self.rng = np.random.default_rng(0)
        self.camera = self.planner = True
        self.frozen = None

    @property
    def now_ns(self):
        return self.epoch_ns + round(self.now_s * 1e9)

    def run(self, ticks):
        """Return the commanded joints (ticks, 7), None where there was no command."""
        out = []
        for _ in range(ticks):
            self.now_s += PERIOD_S
            self.arm.loop.see_joints(self.joints, self.now_s)
            if self.camera:
                frame = self.frozen or self.rng.bytes(64)
                self.arm.see_image(frame, 0.01, self.now_s)
            if self.planner:
                seen_s = self.now_s - 0.04
                self.arm.accept(part(self.now_ns - 40_000_000), ACTIONS, seen_s, self.now_s)
            command = self.arm.tick(self.now_s, self.now_ns)
            if command.joints is not None:
                self.joints = command.joints
            out.append(command.joints)
        return out


def still(commands):
    return np.ptp(np.array(commands), axis=0).max() == 0


@pytest.mark.parametrize(
    'fault, words',
    [('camera', 'image_raw is'), ('frozen', 'camera frozen'), ('planner', 'plan_hidden is')],
)
def test_a_fault_holds_the_arm_and_is_told(fault, words):
    world = World()
    assert not still(world.run(30)[5:])
    assert world.arm.verdict()[0] == OK
    if fault == 'frozen':
        world.frozen = b'the same'
    else:
        setattr(world, fault, False)
    # 250 ms is the oldest image behind a plan, 100 ms the oldest image; ten frames make it frozen
    world.run(14)
    assert still(world.run(20))
    level, text = world.arm.verdict()
    assert level == ERROR and words in text
    if fault == 'frozen':
        world.frozen = None
    else:
        setattr(world, fault, True)
    assert not still(world.run(20))
    assert world.arm.verdict()[0] == OK


def test_silent_camera_holds_within_100_ms():
    world = World()
    world.run(30)
    world.camera = False
    commands = world.run(12)
    held = [i for i in range(11) if still(commands[i:])]
    assert held and (held[0] + 1) * PERIOD_S <= 0.1 + 3 * PERIOD_S  # and it brakes on the way
    assert world.arm.command.status == 'holding'


def test_a_clock_that_jumps_moves_nothing():
    world = World()
    q = world.run(30)[-1]
    world.epoch_ns += 3600 * S_NS  # the wall clock, not the monotonic one
    after = world.run(3)
    assert np.abs(after[0] - q).max() <= (LIMITS.velocity_rad_s * PERIOD_S).max()
    assert world.arm.verdict()[0] == OK


def test_nothing_arrived_no_command():
    arm = Arm(LIMITS, ArmConfig())
    assert arm.verdict() == (WARN, 'no command yet')
    command = arm.tick(1.0, S_NS)
    assert command.joints is None
    assert arm.verdict()[0] == WARN and 'nothing ever came on' in arm.verdict()[1]


def test_other_instructions_are_void():
    world = World()
    world.run(10)
    world.arm.instruct('push')
    assert (
        world.arm.accept(part(world.now_ns), ACTIONS, world.now_s, world.now_s)
        == 'plan is for another instruction'
    )
    world.arm.instruct('')  # nobody wants anything: no plan is for that
    assert world.arm.accept(part(world.now_ns), ACTIONS, world.now_s, world.now_s)


def test_account_of_latency_and_misses():
    world = World()
    world.run(20)
    report = world.arm.report()
    assert report['image to command p50 [ms]'] == pytest.approx(40, abs=0.1)
    assert report['deadline misses'] == 0 and report['plans'] == 20
    world.now_s += 3 * PERIOD_S
    world.run(1)
    assert world.arm.report()['deadline misses'] == 3


def test_a_restart_does_not_undo_a_stop():
    world = World()
    world.run(20)
    world.arm.loop.stop()
    world.run(5)
    world.arm.restart()
    assert still(world.run(20))
    assert world.arm.verdict() == (ERROR, 'stopped: stopped: asked for')
    assert world.arm.rearm(world.now_s) == ''
    assert not still(world.run(20))


def test_a_twist_is_what_the_limits_leave_of_the_action():
    limits = Limits.panda()
    arm = Arm(limits, ArmConfig(velocity=True, watch_camera=False))
    output = Output('twist', limits.joints, '', 0.04, 'panda_link0', limits.period_s)
    arm.accept(part(1), np.tile([1.0, 0, 0, 0, 0, 0, 1.0], (16, 1)), 0.0, 0.0)  # 0.6 m/s
    speeds = []
    for tick in range(20):
        arm.loop.see_joints(open_arm().rest_rad, tick * PERIOD_S)
        command = arm.tick(tick * PERIOD_S, 1)
        speeds.append(output.message(command, 1).twist.linear.x)
    assert 0 < speeds[0] < 0.5
    assert speeds[3] == pytest.approx(0.6, abs=0.02), 'what was asked for'
    held = speeds[8:]  # the plan is older than 0.25 s
    assert held[0] > 0.1 and held[-1] == 0, 'it brakes, and does not jump to zero'


@pytest.mark.parametrize('kind', ['trajectory', 'positions', 'joint_state'])
def test_the_gripper_goes_out_with_the_arm_or_by_itself(kind):
    world = World()
    world.run(5)
    both = Output(kind, LIMITS.joints, 'finger', 0.04, 'panda_link0', PERIOD_S)
    arm = Output(kind, LIMITS.joints, '', 0.04, 'panda_link0', PERIOD_S)

    def values(message):
        if kind == 'trajectory':
            return message.joint_names, message.points[0].positions
        return (None, message.data) if kind == 'positions' else (message.name, message.position)

    names, position = values(both.message(world.arm.command, 1))
    assert names in (None, [*LIMITS.joints, 'finger']) and position[7] == 0.04
    names, position = values(arm.message(world.arm.command, 1))
    assert names in (None, list(LIMITS.joints)) and len(position) == 7
    assert list(arm.gripper(world.arm.command).data) == [0.04]


# ------------------------------------------------------------------- lockstep


def joints_at(tick):
    return Joints(open_arm().rest_rad, None, S_NS + tick * S_NS // 30)


def test_lockstep_waits_for_the_plan_that_is_due():
    arm = Arm(LIMITS, ArmConfig(lockstep=True, execute=8))
    for tick in range(20):
        joints = joints_at(tick)
        if tick % 8 == 0:
            assert arm.answer(joints) is None, tick
            assert arm.accept(part(joints.stamp_ns), ACTIONS, 0.0, 0.0) == ''
            answer = arm.answer()
        else:
            answer = arm.answer(joints)
        command, stamp_ns = answer
        assert stamp_ns == joints.stamp_ns and command.frame == tick % 8
        # the same question has the same answer
        assert arm.answer(joints)[0] is command


def test_lockstep_plan_may_come_first_and_restart_forgets():
    arm = Arm(LIMITS, ArmConfig(lockstep=True, execute=4))
    assert arm.accept(part(joints_at(0).stamp_ns), ACTIONS, 0.0, 0.0) == ''
    assert arm.answer(joints_at(0)) is not None
    arm.instruct('again', again=True)
    assert arm.answer(joints_at(1)) is None, 'a new instruction wants a new plan'
    arm.restart()
    assert arm.answer() is None
