# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The control loop, clocked as the action node does it: faults, lockstep, the account."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from contracts import panda_at

from vw2_ros.arms import open_arm  # noqa: E402
from vw2_ros.arms.contract import Contract
from vw2_ros.control.clock import Lockstep, RealTime, TickClock  # noqa: E402
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop  # noqa: E402
from vw2_ros.messages.convert import Joints  # noqa: E402
from vw2_ros.messages.outputs import Output  # noqa: E402
from vw2_ros.messages.plan import instruction_id  # noqa: E402
from vw2_ros.nodes.health import ERROR, OK, WARN, verdict  # noqa: E402

REST_JOINTS = open_arm().rest_rad
TABLE = Contract.load('play_table')
LIMITS = TABLE.limits
PERIOD_S = LIMITS.period_s
S_NS = 10**9
ACTIONS = np.tile([0.2, 0, 0, 0, 0, 0, 1.0], (16, 1))


def chunk(stamp_ns, observed_s=None, instruction='lift', actions=ACTIONS):
    if observed_s is None:
        observed_s = stamp_ns * 1e-9
    return Chunk(stamp_ns, actions, observed_s, instruction_id(instruction))


class World:
    """A clock, joints that follow, a camera and a planner, each of which can be broken."""

    def __init__(self, **config):
        self.loop = ControlLoop(TABLE, ControlConfig(**config))
        self.loop.instruct(instruction_id('lift'))
        self.clock = RealTime(self.loop)
        self.now_s, self.epoch_ns = 100.0, 7 * S_NS
        self.joints = REST_JOINTS.copy()
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
            self.loop.see_joints(self.joints, self.now_s)
            if self.camera:
                frame = self.frozen or self.rng.bytes(64)
                self.loop.see_image(frame, self.now_s, 0.01)
            if self.planner:
                seen = chunk(self.now_ns - 40_000_000, self.now_s - 0.04)
                self.loop.accept(seen, self.now_s)
            command = self.clock.step(self.now_s)
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
    assert verdict(world.loop.command)[0] == OK
    if fault == 'frozen':
        world.frozen = b'the same'
    else:
        setattr(world, fault, False)
    # 250 ms is the oldest image behind a plan, 100 ms the oldest image; ten frames make it frozen
    world.run(14)
    assert still(world.run(20))
    level, text = verdict(world.loop.command)
    assert level == ERROR and words in text
    if fault == 'frozen':
        world.frozen = None
    else:
        setattr(world, fault, True)
    assert not still(world.run(20))
    assert verdict(world.loop.command)[0] == OK


def test_silent_camera_holds_within_100_ms():
    world = World()
    world.run(30)
    world.camera = False
    commands = world.run(12)
    held = [i for i in range(11) if still(commands[i:])]
    assert held and (held[0] + 1) * PERIOD_S <= 0.1 + 3 * PERIOD_S  # and it brakes on the way
    assert world.loop.command.status == 'holding'


def test_a_clock_that_jumps_moves_nothing():
    world = World()
    q = world.run(30)[-1]
    world.epoch_ns += 3600 * S_NS  # the wall clock, not the monotonic one
    after = world.run(3)
    assert np.abs(after[0] - q).max() <= (LIMITS.velocity_rad_s * PERIOD_S).max()
    assert verdict(world.loop.command)[0] == OK


def test_nothing_arrived_no_command():
    loop = ControlLoop(TABLE)
    assert verdict(loop.command) == (WARN, 'no command yet')
    command = RealTime(loop).step(1.0)
    assert command.joints is None
    level, text = verdict(loop.command)
    assert level == WARN and 'nothing ever came on' in text


def test_other_instructions_are_void():
    world = World()
    world.run(10)
    seen = chunk(world.now_ns, world.now_s)
    world.loop.instruct(instruction_id('push'))
    assert world.loop.accept(seen, world.now_s) == 'plan is for another instruction'
    world.loop.instruct(instruction_id(''))  # nobody wants anything: no plan is for that
    assert world.loop.accept(seen, world.now_s)


def test_account_of_latency_and_misses():
    world = World()
    world.run(20)
    report = world.loop.report() | world.clock.report()
    assert report['image to command p50 [ms]'] == pytest.approx(40, abs=0.1)
    assert report['deadline misses'] == 0 and report['plans'] == 20
    assert 'latest gaps [monotonic s]' not in report
    world.now_s += 3 * PERIOD_S
    world.run(1)
    report = world.clock.report()
    assert report['deadline misses'] == 3
    begin, end = map(float, report['latest gaps [monotonic s]'].split('-'))
    assert end - begin == pytest.approx(4 * PERIOD_S, abs=2e-4)


def test_a_restart_does_not_undo_a_stop():
    world = World()
    world.run(20)
    world.loop.stop()
    world.run(5)
    missed = world.clock.report()['deadline misses']
    world.clock.restart()
    assert world.clock.report()['deadline misses'] == missed
    assert still(world.run(20))
    assert verdict(world.loop.command) == (ERROR, 'stopped: stopped: asked for')
    assert world.loop.rearm(world.now_s) == ''
    assert not still(world.run(20))


def contract(form, gripper):
    panda = panda_at()
    return replace(
        panda,
        command=replace(panda.command, form=form),
        gripper=replace(panda.gripper, form=gripper),
    )


@pytest.mark.parametrize('stamp, sec', [('zero', 0), ('now', 7)])
def test_a_trajectory_starts_at_once_unless_it_shall_bear_the_time(stamp, sec):
    world = World()
    world.run(5)
    panda = panda_at()
    output = Output(replace(panda, command=replace(panda.command, stamp=stamp, length_s=0.25)))
    msg = output.arm(world.loop.command, 7 * S_NS)
    assert msg.header.stamp.sec == sec and msg.points[0].time_from_start.nanosec == 250_000_000


def test_a_twist_is_what_the_limits_leave_of_the_action():
    limits = panda_at().limits
    loop = ControlLoop(
        replace(TABLE, limits=limits), ControlConfig(velocity=True, watch_camera=False)
    )
    output = Output(contract('twist', 'none'))
    actions = np.tile([1.0, 0, 0, 0, 0, 0, 1.0], (16, 1))  # 0.6 m/s
    loop.accept(chunk(1, 0.0, actions=actions), 0.0)
    speeds = []
    for tick in range(20):
        command = loop.step(tick * PERIOD_S, REST_JOINTS)
        speeds.append(output.arm(command, 1).twist.linear.x)
    assert 0 < speeds[0] < 0.5
    assert speeds[3] == pytest.approx(limits.tool_speed_m_s, abs=0.01), 'what the tool may'
    held = speeds[8:]  # the plan is older than 0.25 s
    assert held[0] > 0.05 and held[-1] == 0, 'it brakes, and does not jump to zero'


@pytest.mark.parametrize('kind', ['trajectory', 'positions', 'joint_state'])
def test_the_gripper_goes_out_with_the_arm_or_by_itself(kind):
    world = World()
    world.run(5)
    both, arm = Output(contract(kind, 'joint')), Output(contract(kind, 'width'))

    def values(message):
        if kind == 'trajectory':
            return message.joint_names, message.points[0].positions
        return (None, message.data) if kind == 'positions' else (message.name, message.position)

    names, position = values(both.arm(world.loop.command, 1))
    assert names in (None, [*LIMITS.joints, 'panda_finger_joint1']) and position[7] == 0.04
    names, position = values(arm.arm(world.loop.command, 1))
    assert names in (None, list(LIMITS.joints)) and len(position) == 7
    assert list(arm.gripper(world.loop.command).data) == [0.04]


# ------------------------------------------------------------------- lockstep


def joints_at(tick):
    return Joints(REST_JOINTS, S_NS + tick * S_NS // 30)


def lockstep(execute):
    return Lockstep(ControlLoop(TABLE, ControlConfig(lockstep=True, execute=execute)))


def accept(clock, seen):
    return clock.loop.accept(seen, seen.observed_s)


def test_lockstep_waits_for_the_plan_that_is_due():
    clock = lockstep(8)
    for tick in range(20):
        joints = joints_at(tick)
        if tick % 8 == 0:
            assert clock.step(joints) is None, tick
            assert accept(clock, chunk(joints.stamp_ns)) == ''
            answer = clock.step()
        else:
            answer = clock.step(joints)
        command, stamp_ns = answer
        assert stamp_ns == joints.stamp_ns and command.frame == tick % 8
        # the same question has the same answer
        assert clock.step(joints)[0] is command


def test_lockstep_plan_may_come_first_and_restart_forgets():
    clock = lockstep(4)
    assert accept(clock, chunk(joints_at(0).stamp_ns)) == ''
    assert clock.step(joints_at(0)) is not None
    clock.loop.instruct(instruction_id('again'), again=True)
    assert clock.step(joints_at(1)) is None, 'a new instruction wants a new plan'
    clock.restart()
    assert clock.step() is None
    assert accept(clock, chunk(joints_at(0).stamp_ns, instruction='again')) == ''
    assert clock.step() is None, 'it waits for joints'


def test_time_of_both_clocks():
    clock = lockstep(4)
    assert clock.now_s(99.0) == 99.0, 'nothing else is known yet'
    clock.step(joints_at(1))
    assert clock.now_s(99.0) == pytest.approx(1 + PERIOD_S)
    assert RealTime(clock.loop).now_s(99.0) == 99.0


def test_a_world_that_waits_may_hold_the_arm():
    clock = lockstep(8)
    accept(clock, chunk(joints_at(0).stamp_ns))
    clock.step(joints_at(0))
    command = clock.loop.step(1 + 12 * PERIOD_S, REST_JOINTS)  # the chunk is spent
    assert command.status == 'holding'
    assert verdict(command)[0] == ERROR and verdict(command, lockstep=True) == (OK, 'holding')
    clock.loop.stop()
    stopped = clock.loop.step(1 + 13 * PERIOD_S, REST_JOINTS)
    assert verdict(stopped, lockstep=True)[0] == ERROR


# ---------------------------------------------------------------------- ticks


def test_row_11_ticks_that_did_not_come_are_counted():
    clock = TickClock(1 / 30)
    now_s = 5.0
    missed = []
    for wait in [1, 1, 1.02, 0.98, 3, 1, 2.4, 0.6, 1]:
        now_s += wait / 30
        missed.append(clock.tick(now_s))
    assert missed == [0, 0, 0, 0, 2, 0, 1, 0, 0] and clock.missed == 3
    assert clock.jitter_ms(100) == pytest.approx(2 / 30 * 1e3)
    assert TickClock(0.1).jitter_ms() == 0
