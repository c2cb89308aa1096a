# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Plans become joint commands, in lockstep to the bit and in real time without a jump."""

import dataclasses

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.arms import open_arm
from vw2_ros.arms.actions import EndEffectorController
from vw2_ros.arms.contract import Contract
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop

REST_JOINTS = open_arm().rest_rad
LIMITS = panda_at().limits
PLAY_TABLE = Contract.load('play_table').limits
PERIOD_S = LIMITS.period_s
NS = 10**9


LOCKSTEP = ControlConfig(lockstep=True, chunk=16)
REAL_TIME = ControlConfig(max_plan_age_s=LIMITS.max_age_s, watch_camera=False, chunk=16)


def robot(limits=LIMITS):
    """Give a contract like the play table's, with other limits."""
    return dataclasses.replace(Contract.load('play_table'), limits=limits)


def lockstep(limits=PLAY_TABLE):
    loop = ControlLoop(robot(limits), LOCKSTEP)
    loop.see_joints(REST_JOINTS, 0.0)
    return loop


def accept(loop, stamp_ns, actions, now_s, age_s=0.0, instruction_id=None):
    """Hand over a plan's actions whose image is `age_s` old."""
    return loop.accept(Chunk(stamp_ns, actions, now_s - age_s, instruction_id), now_s)


def smooth(rng, ticks):
    """Actions (ticks, 7) that begin at rest and change no faster than a Panda can follow."""
    t = np.arange(ticks)[:, None] * PERIOD_S
    actions = (
        np.sin(2 * t + rng.uniform(0, 6, 7)) * (1 - np.exp(-3 * t)) * rng.uniform(0.2, 0.6, 7)
    )
    actions[:, 6] = np.where(np.arange(ticks) // 20 % 2, -1, 1)
    return actions


def run_lockstep(loop, actions):
    """Feed the actions as plans of 16 of which 8 are executed; return joints and grippers."""
    joints, grippers = [REST_JOINTS], []
    for tick in range(len(actions)):
        now_s = round(tick * PERIOD_S * NS) / NS  # as stamps in whole nanoseconds give it
        if tick % 8 == 0:
            chunk = np.zeros((16, 7))
            part = actions[tick : tick + 16]
            chunk[: len(part)] = part
            assert accept(loop, round(tick * PERIOD_S * NS), chunk, now_s) == ''
        command = loop.step(now_s, joints[-1])  # the arm follows
        assert command.frame == tick % 8
        joints.append(command.joints)
        grippers.append(command.gripper)
    return np.array(joints[1:]), np.array(grippers)


def test_lockstep_adds_nothing_to_the_actions():
    actions = smooth(np.random.default_rng(0), 160)
    joints, grippers = run_lockstep(lockstep(), actions)
    controller = EndEffectorController(open_arm())
    for action, q, gripper in zip(actions, joints, grippers):
        wanted, grip = controller.step(action)
        np.testing.assert_array_equal(q, wanted)
        assert gripper == grip


def test_lockstep_is_deterministic_over_a_whole_subtask():
    actions = np.random.default_rng(1).uniform(-1, 1, (360, 7))
    first, second = run_lockstep(lockstep(), actions), run_lockstep(lockstep(), actions)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_plan_may_come_before_the_first_joints():
    loop = ControlLoop(robot(PLAY_TABLE), LOCKSTEP)
    assert accept(loop, 0, drift(0.1), 0.0) == ''
    command = loop.step(0.0, REST_JOINTS)
    assert command.status == 'moving' and command.frame == 0 and command.plan_ns == 0


def test_lockstep_clips_to_one():
    wild, clipped = lockstep(), lockstep()
    actions = np.random.default_rng(2).uniform(-3, 3, (16, 7))
    np.testing.assert_array_equal(
        run_lockstep(wild, actions)[0], run_lockstep(clipped, np.clip(actions, -1, 1))[0]
    )


@pytest.mark.parametrize('axis', range(6))
@pytest.mark.parametrize('sign', [-1, 1])
def test_full_speed_from_rest_passes_on_the_play_table(axis, sign):
    actions = np.zeros((24, 7))
    actions[:8, axis] = 0.8 * sign  # at once 0.48 m/s or 1.2 rad/s
    actions[:, 6] = 1.0
    loop = lockstep()
    run_lockstep(loop, actions)
    assert loop.counts['limited'] == 0


def test_full_speed_from_rest_on_a_real_panda_arrives_where_the_actions_lead():
    actions = np.zeros((60, 7))
    actions[:10, 0] = 1.0  # 0.6 m/s at once: more than the joints' acceleration allows
    actions[:, 6] = 1.0
    loop = lockstep(dataclasses.replace(LIMITS, tool_speed_m_s=1.0))
    joints, _ = run_lockstep(loop, actions)
    moved = open_arm().forward(joints[-1])[0] - open_arm().forward(REST_JOINTS)[0]
    np.testing.assert_allclose(moved, [0.2, 0, 0], atol=2e-3)
    accel = np.abs(np.diff(joints, n=2, axis=0)) / PERIOD_S**2
    assert (accel <= LIMITS.acceleration_rad_s2 + 1e-6).all()
    assert 0 < loop.counts['limited'] < 30


def test_gripper_needs_more_than_noise_to_change():
    loop = lockstep()
    chunk = np.zeros((16, 7))
    chunk[:8, 6] = [0.9, 0.05, -0.05, -0.2, 0.05, -0.05, 0.11, 0.0]
    accept(loop, 1, chunk, 0.0)
    seen = [loop.step(i * PERIOD_S, REST_JOINTS).gripper for i in range(8)]
    assert seen == [1, 1, 1, -1, -1, -1, 1, 1]


def test_spent_plan_holds_in_lockstep():
    loop = lockstep()
    accept(loop, 1, np.full((16, 7), 0.1), 0.0)
    status = [loop.step(i * PERIOD_S, REST_JOINTS).status for i in range(12)]
    assert status == ['moving'] * 8 + ['holding'] * 4


# ------------------------------------------------------------------ real time


def real_time(**kwargs):
    loop = ControlLoop(robot(), dataclasses.replace(REAL_TIME, **kwargs))
    loop.see_joints(REST_JOINTS, 0.0)
    return loop


def drift(value):
    """Give a chunk that moves along x at an even speed, `value` x 0.6 m/s."""
    chunk = np.zeros((16, 7))
    chunk[:, 0], chunk[:, 6] = value, 1
    return chunk


def ramp(value=0.0):
    """Give a chunk whose x action names its index."""
    chunk = np.zeros((16, 7))
    chunk[:, 0] = value + np.arange(16) / 100
    chunk[:, 6] = 1
    return chunk


def test_nothing_is_sent_before_every_input_came():
    loop = ControlLoop(robot(), REAL_TIME)
    command = loop.step(0.0)
    assert command.joints is None
    assert command.reasons == (
        'nothing ever came on joint_states',
        'nothing ever came on plan_hidden',
    )
    command = loop.step(0.1, REST_JOINTS)
    assert command.joints is None and command.reasons == ('nothing ever came on plan_hidden',)
    assert accept(loop, 1, ramp(), 0.1) == ''
    command = loop.step(0.1, REST_JOINTS)
    np.testing.assert_allclose(command.joints, REST_JOINTS, atol=1e-2)


def test_a_late_plan_is_entered_where_it_has_got_to():
    loop = real_time()
    assert accept(loop, 1, ramp(), 1.0, age_s=0.07) == ''
    command = loop.step(1.0, REST_JOINTS)
    assert command.frame == 2
    assert command.action[0] == pytest.approx(0.9 * 0.02 + 0.1 * 0.03)  # from 2.1 to 3.1
    assert loop.step(1.0 + 0.029, REST_JOINTS).frame == 3


@pytest.mark.parametrize(
    'delay, frames', [(0.0, [1, 1, 2, 2]), (-0.5, [1, 1, 1, 1]), (1.0, [2, 2, 3, 3])]
)
def test_a_plan_is_entered_where_it_will_be_when_the_arm_follows(delay, frames):
    seen = []
    for late in (1.05, 1.45, 1.55, 1.95):  # periods after the image, as a free timer has it
        loop = real_time(command_delay_s=delay * PERIOD_S)
        accept(loop, 1, ramp(), 1.0)
        seen.append(loop.step(1.0 + late * PERIOD_S, REST_JOINTS).frame)
    assert seen == frames


def test_skipped_ticks_skip_actions():
    loop = real_time(max_plan_age_s=0.5)
    accept(loop, 1, ramp(), 1.0)
    frames = [loop.step(1.0 + t * PERIOD_S, REST_JOINTS).frame for t in (0, 1, 5, 6.2)]
    assert frames == [0, 1, 5, 6]


def test_planner_hangs_arm_holds_within_100_ms():
    """Row 4: judged by the age of the image behind the plan, however alive the rest is."""
    loop = real_time()
    accept(loop, 1, ramp(0.5), 1.0, age_s=0.03)
    moving = [
        t for t in np.arange(1.0, 2.0, PERIOD_S) if loop.step(t, REST_JOINTS).status == 'moving'
    ]
    assert max(moving) - (1.0 - 0.03) <= 0.1
    held = loop.step(2.0, REST_JOINTS)
    assert held.status == 'holding' and 'plan_hidden is' in held.reasons[0]
    np.testing.assert_array_equal(held.joints, loop.step(2.1, REST_JOINTS).joints)


def test_camera_falls_silent_arm_holds_within_100_ms_though_the_plan_may_be_older():
    """Row 1."""
    loop = ControlLoop(
        robot(), dataclasses.replace(REAL_TIME, max_plan_age_s=0.3, watch_camera=True)
    )
    accept(loop, 1, ramp(), 0.0)
    assert loop.step(0.0, REST_JOINTS).reasons == ('nothing ever came on image_raw',)
    loop.see_image(b'picture', 0.04, age_s=0.01)
    assert loop.step(0.12, REST_JOINTS).plan_ns == 1
    command = loop.step(0.14, REST_JOINTS)
    assert command.status == 'holding' and command.plan_ns is None
    assert command.reasons == ('image_raw is 110 ms old, limit 100 ms',)


def test_joint_states_fall_silent_arm_holds():
    loop = real_time()
    for i in range(8):
        accept(loop, i + 1, ramp(), i * PERIOD_S)
        command = loop.step(i * PERIOD_S)  # the only joints came at 0
        assert command.status == ('moving' if i <= 3 else 'holding')
    assert 'joint_states is' in command.reasons[0]


def test_held_arm_does_not_wind_up_and_resumes_without_a_jump():
    loop = real_time()
    now_s, stamp = 0.0, 1
    last = None
    for tick in range(120):
        now_s = tick * PERIOD_S
        if tick % 2 == 0 and not 40 <= tick < 80:
            accept(loop, stamp := stamp + 1, drift(0.2), now_s)
        command = loop.step(now_s, REST_JOINTS if last is None else last)
        if last is not None:
            assert np.abs(command.joints - last).max() < 0.03
        if tick == 60:
            held, target = command.joints, loop.controller.target[0]
        if tick == 79:
            np.testing.assert_array_equal(command.joints, held)
            np.testing.assert_array_equal(loop.controller.target[0], target)
        last = command.joints
    assert loop.counts['holds'] == pytest.approx(39, abs=1)


def test_late_and_out_of_order_plans_are_dropped_and_counted():
    loop = real_time()
    assert accept(loop, 50, ramp(), 1.0) == ''
    assert 'older' in accept(loop, 40, ramp(), 1.0)
    assert 'older' in accept(loop, 50, ramp(), 1.0)
    assert '101 ms ago' in accept(loop, 60, ramp(), 1.0, age_s=0.101)
    assert 'ago' in accept(loop, 60, ramp(), 1.0, age_s=3600.0)
    assert 'ago' in accept(loop, 60, ramp(), 1.0, age_s=float('nan'))
    assert {k: loop.counts[k] for k in ('plans', 'late', 'out_of_order')} == {
        'plans': 1,
        'late': 3,
        'out_of_order': 2,
    }


def test_plans_go_on_after_the_clock_of_the_stamps_was_set_back():
    loop = real_time()
    assert accept(loop, 3600 * NS, ramp(), 1.0) == ''
    assert 'older' in accept(loop, NS, ramp(), 1.05), 'it may have been overtaken'
    assert accept(loop, NS, ramp(), 2.0) == ''
    assert loop.step(2.0, REST_JOINTS).plan_ns == NS


def test_new_instruction_voids_the_old_plan():
    loop = real_time()
    loop.instruct('aaaa')
    accept(loop, 1, ramp(), 0.0, instruction_id='aaaa')
    assert loop.step(0.0, REST_JOINTS).status == 'moving'
    loop.instruct('aaaa')  # said again: nothing new
    assert loop.has_plan
    loop.instruct('bbbb')
    assert loop.step(PERIOD_S, REST_JOINTS).status == 'holding'
    assert 'another instruction' in accept(loop, 2, ramp(), 0.04, instruction_id='aaaa')
    assert loop.step(2 * PERIOD_S, REST_JOINTS).status == 'holding'
    assert accept(loop, 3, ramp(), 0.05, instruction_id='bbbb') == ''
    assert loop.counts['other_instruction'] == 1


def test_chunks_are_blended_into_each_other():
    loop = real_time()
    accept(loop, 1, drift(0.0), 0.0)
    loop.step(0.0, REST_JOINTS)
    accept(loop, 2, drift(0.8), PERIOD_S)
    seen = [loop.step((1 + i) * PERIOD_S, REST_JOINTS).action[0] for i in range(4)]
    np.testing.assert_allclose(seen, [0.2, 0.4, 0.6, 0.8])


def test_frozen_camera_holds():
    loop = real_time()
    accept(loop, 1, ramp(), 0.0)
    for _ in range(LIMITS.frozen_frames):
        loop.see_image(b'the same', 0.0)
    assert 'camera frozen' in loop.step(0.0, REST_JOINTS).reasons[0]


def test_nan_plans_are_dropped_then_latched():
    loop = real_time()
    bad = ramp()
    bad[7, 2] = np.nan
    for i in range(LIMITS.latch_after - 1):
        assert '1 that are not' in accept(loop, i + 1, bad, 0.0)
    accept(loop, 10, ramp(), 0.0)
    assert loop.step(0.0, REST_JOINTS).status == 'moving'
    for i in range(LIMITS.latch_after):
        accept(loop, 11 + i, bad, 0.0)
    assert loop.step(PERIOD_S, REST_JOINTS).status == 'stopped'
    assert loop.counts['bad'] == 2 * LIMITS.latch_after - 1


@pytest.mark.parametrize('shape', [(16, 6), (8, 7), (7,), (0, 7)])
def test_plan_of_another_shape_is_dropped(shape):
    loop = real_time()
    assert '16 x 7' in accept(loop, 1, np.zeros(shape), 0.0)


def test_stop_within_one_tick_and_only_rearm_resumes():
    """Row 15."""
    loop = real_time()
    for tick in range(20):
        accept(loop, tick + 1, drift(0.2), tick * PERIOD_S)
        moving = loop.step(tick * PERIOD_S, REST_JOINTS)
    loop.stop('stop service')
    stopped = loop.step(20 * PERIOD_S, REST_JOINTS)
    assert stopped.status == 'stopped' and stopped.frame is None
    for tick in range(21, 40):
        accept(loop, tick + 1, drift(-0.2), tick * PERIOD_S)
        stopped = loop.step(tick * PERIOD_S, stopped.joints)
        assert stopped.status == 'stopped'
    assert np.abs(stopped.joints - moving.joints).max() < 0.02
    assert loop.rearm(40 * PERIOD_S) == ''
    held = loop.step(40 * PERIOD_S, stopped.joints)
    assert held.status == 'holding'  # not by a plan from before
    np.testing.assert_array_equal(held.joints, stopped.joints)
    accept(loop, 100, drift(0.0), 41 * PERIOD_S)
    again = loop.step(41 * PERIOD_S, stopped.joints)
    assert again.status == 'moving'
    assert np.abs(again.joints - stopped.joints).max() < 0.01  # the elbow drifts to its rest


def test_stop_before_the_first_joints_and_over_a_reset():
    loop = ControlLoop(robot(), REAL_TIME)
    assert 'joint_states' in loop.rearm(0.0)
    loop.stop('early')
    accept(loop, 1, ramp(), 0.0)
    loop.see_joints(REST_JOINTS, 0.0)
    accept(loop, 2, ramp(), 0.0)
    assert loop.step(0.0).status == 'stopped'
    loop.restart()
    accept(loop, 3, ramp(), 0.0)
    assert loop.step(0.0, REST_JOINTS).status == 'stopped'
    assert loop.rearm(0.0) == ''
    accept(loop, 4, ramp(), 0.0)
    assert loop.step(PERIOD_S, REST_JOINTS).status == 'moving'


def test_a_blocked_arm_is_stopped_and_goes_on_from_where_it_is():
    loop = real_time()
    for tick in range(150):
        accept(loop, tick + 1, drift(1.0), tick * PERIOD_S)
        command = loop.step(tick * PERIOD_S, REST_JOINTS)
        assert np.abs(command.joints - REST_JOINTS).max() < 0.6  # with a tick and the brakes
    assert command.status == 'stopped' and 'is the arm blocked' in command.reasons[0]
    np.testing.assert_allclose(command.joints, REST_JOINTS, atol=1e-9)
    assert loop.rearm(150 * PERIOD_S) == ''
    accept(loop, 200, drift(0.1), 150 * PERIOD_S)
    again = loop.step(150 * PERIOD_S, REST_JOINTS)
    assert again.status == 'moving' and np.abs(again.joints - REST_JOINTS).max() < 0.02


def test_joints_that_jump_are_refused_and_pull_at_nothing():
    loop = real_time()
    for tick in range(6):
        accept(loop, tick + 1, drift(0.0), tick * PERIOD_S)
        before = loop.step(tick * PERIOD_S, REST_JOINTS)
    nonsense = REST_JOINTS + np.eye(7)[3]
    with pytest.raises(
        ValueError,
        match='panda_joint4 must move as an arm can. Got a jump of 1.00 rad within 33 ms',
    ):
        loop.see_joints(nonsense, 6 * PERIOD_S)
    command = loop.step(6 * PERIOD_S)
    assert command.status == 'moving' and np.abs(command.joints - before.joints).max() < 0.01
    command = loop.step(7 * PERIOD_S, REST_JOINTS)
    assert command.status == 'moving', 'one bad message is forgotten'
    for tick in range(8, 30):  # an arm that stays there was moved by somebody
        try:
            loop.see_joints(nonsense, tick * PERIOD_S)
        except ValueError:
            assert loop.step(tick * PERIOD_S).status in ('moving', 'holding')
    assert loop.step(30 * PERIOD_S, nonsense).status == 'stopped'


def test_the_arm_starts_where_it_is_when_the_first_plan_comes():
    loop = ControlLoop(robot(), REAL_TIME)
    jogged = REST_JOINTS - 0.5 * np.eye(7)[0]
    loop.step(0.0, REST_JOINTS)
    loop.step(9.9, jogged)
    accept(loop, 1, drift(0.1), 10.0)
    command = loop.step(10.0, jogged)
    assert command.status == 'moving' and np.abs(command.joints - jogged).max() < 0.02


def test_rearm_wants_joints_of_now():
    loop = real_time()
    loop.stop()
    assert loop.rearm(0.15) == (
        'joint_states must be at most 100 ms old. Got 150 ms old ones: nobody knows where the arm is. '
        'Look at its driver.'
    )
    assert loop.stop_reason
    loop.see_joints(REST_JOINTS, 0.15)
    assert loop.rearm(0.15) == '' and not loop.stop_reason


@pytest.mark.parametrize(
    'limits, wanted',
    [
        (
            {
                n: getattr(LIMITS, n)[:6]
                for n in (
                    'joints',
                    'lower_rad',
                    'upper_rad',
                    'velocity_rad_s',
                    'acceleration_rad_s2',
                    'following_rad',
                )
            },
            '7 joints of the arm panda. Got 6.',
        ),
        ({'period_s': 0.01}, 'period_s must be 0.033333 .* Got 0.01. .* 30 Hz'),
    ],
)
def test_limits_of_another_arm_or_in_lockstep_of_another_rate_are_refused(limits, wanted):
    with pytest.raises(ValueError, match=wanted):
        ControlLoop(robot(dataclasses.replace(LIMITS, **limits)), LOCKSTEP)


def test_velocities_begin_where_the_arm_is():
    """An arm that is sent velocities need not be where the joints of the commands lead."""
    loop = ControlLoop(robot(), dataclasses.replace(REAL_TIME, velocity=True))
    step = np.zeros(7)
    for tick in range(90):  # blocked: full speed all the time, yet within limits
        accept(loop, tick + 1, drift(1.0), tick * PERIOD_S)
        command = loop.step(tick * PERIOD_S, REST_JOINTS)
        assert command.status == 'moving'
        np.testing.assert_allclose(command.joints - command.step, REST_JOINTS, atol=1e-12)
        assert (
            np.abs(command.step - step) <= LIMITS.acceleration_rad_s2 * PERIOD_S**2 + 1e-9
        ).all()
        step = command.step
    assert np.abs(step).max() > 0.02
    for tick in range(90, 110):  # the plan gets old: it brakes to a stand
        command = loop.step(tick * PERIOD_S, REST_JOINTS)
    assert command.status == 'holding' and not command.step.any()


def test_an_hour_of_clock_jump_after_arrival_moves_nothing():
    """Row 10: only arrival reads the other clock; from then on ages are monotonic."""
    loop = real_time()
    accept(loop, 1_700_000_000 * NS, ramp(), 5.0, age_s=0.03)
    loop.see_joints(REST_JOINTS, 5.0)
    before = loop.step(5.0, REST_JOINTS)
    # the wall clock jumps back: stamps are old now, and refused; the arm comes to a hold
    assert accept(loop, (1_700_000_000 - 3600) * NS, ramp(), 5.03) != ''
    after = loop.step(5.0 + PERIOD_S, REST_JOINTS)
    assert after.frame == before.frame + 1


@pytest.mark.parametrize(
    'wrong',
    [
        {'execute': 0},
        {'execute': 17},
        {'blend': -1},
        {'max_plan_age_s': 0.0},
        {'gripper_hysteresis': 1.0},
    ],
)
def test_bad_config_fails_when_it_is_built(wrong):
    with pytest.raises(ValueError, match='Got'):
        ControlConfig(chunk=16, **wrong)
