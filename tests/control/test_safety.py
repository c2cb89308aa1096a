# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The last gate before the robot: each row of the safety table that is its business."""

import dataclasses

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.control import safety
from vw2_ros.control.safety import FrozenCamera, Request, gate

LIMITS = panda_at().limits
Q0 = np.array(
    [-1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866]
)
FRESH = {'plan_hidden': 0.02, 'joint_states': 0.01}
PERIOD_S = LIMITS.period_s


def armed(q=Q0):
    return safety.armed_at(q, LIMITS)


def follow(state, targets, ages_s=FRESH):
    """Feed targets (T, 7) one by one; return the last state and the commands (T, 7)."""
    commands = []
    for target in targets:
        verdict = gate(state, Request(target, ages_s), LIMITS)
        state = verdict.state
        commands.append(verdict.command)
    return state, np.array(commands)


def moving(ticks=10):
    """A state in the middle of an even motion of 0.3 rad/s, and its targets so far."""
    targets = Q0 + np.linspace(0, 0.3 * PERIOD_S * ticks, ticks + 1)[1:, None]
    state, commands = follow(armed(), targets)
    return state, commands


# ------------------------------------------------------------ nominal motion


def test_motion_within_the_limits_passes_bit_for_bit():
    t = np.arange(300)[:, None] * PERIOD_S
    targets = Q0 + 0.25 * np.sin(2 * t + np.arange(7)) * (1 - np.exp(-t))
    assert np.abs(np.diff(targets, n=2, axis=0)).max() / PERIOD_S**2 < 7.5
    _, commands = follow(armed(), targets)
    np.testing.assert_array_equal(commands, targets)


def test_catches_up_with_a_moving_target_and_does_not_overshoot_one_that_stands():
    run = Q0 + np.arange(1, 31)[:, None] * 1.5 * PERIOD_S * np.eye(7)[0]  # at once 1.5 rad/s
    _, commands = follow(armed(), run)
    np.testing.assert_allclose(commands[-1], run[-1], atol=1e-9)
    jump = np.repeat(Q0[None] + 0.4 * np.eye(7)[0], 60, axis=0)
    _, commands = follow(armed(), jump)
    assert (commands[:, 0] <= jump[0, 0] + 0.03).all()
    np.testing.assert_allclose(commands[-1], jump[-1], atol=1e-9)


# -------------------------------------------------------------- rows 1, 3, 4


@pytest.mark.parametrize('topic', FRESH)
def test_row_1_and_4_old_input_holds_within_100_ms(topic):
    state, _ = moving()
    ages = np.arange(0, 0.3, 0.001)
    moved = [
        gate(state, Request(state.target + 0.01, {**FRESH, topic: a}), LIMITS).status == 'moving'
        for a in ages
    ]
    assert ages[moved].max() == pytest.approx(0.1)
    verdict = gate(state, Request(state.target, {**FRESH, topic: 0.101}), LIMITS)
    assert verdict.status == 'holding'
    assert verdict.reasons == (f'{topic} is 101 ms old, limit 100 ms',)
    assert gate(state, Request(state.target, {topic: float('nan')}), LIMITS).status == 'holding'


def test_hold_is_the_last_commanded_target():
    state, commands = follow(armed(), np.repeat(Q0[None] + 0.005, 5, axis=0))
    state, held = follow(state, np.repeat(Q0[None] - 0.5, 30, axis=0), {'plan_hidden': 0.2})
    np.testing.assert_array_equal(held, np.repeat(commands[-1:], 30, axis=0))
    # a moving arm needs to brake: no new target, and it stands after step / acceleration ticks
    state, commands = moving()
    _, held = follow(state, np.full((30, 7), 9.0), {'plan_hidden': 0.2})
    assert np.abs(held - commands[-1]).max() < 0.3 * PERIOD_S
    np.testing.assert_array_equal(held[2:], np.repeat(held[2:3], 28, axis=0))


def test_row_3_no_command_while_an_input_never_came():
    verdict = gate(armed(), Request(Q0, {**FRESH, 'image': None}), LIMITS)
    assert verdict.command is None and verdict.status == 'waiting'
    assert verdict.reasons == ('nothing ever came on image',)
    assert gate(None, Request(Q0, FRESH), LIMITS).command is None


# --------------------------------------------------------------------- row 2


def test_row_2_ten_identical_frames_are_a_frozen_camera():
    rng = np.random.default_rng(0)
    camera = FrozenCamera(LIMITS.frozen_frames)
    frame = rng.integers(0, 256, (96, 96, 3), np.uint8)
    seen = [camera.see(frame.copy()) for _ in range(12)]
    assert seen == [False] * 9 + [True] * 3
    state, _ = moving()
    verdict = gate(state, Request(state.target, FRESH, camera_frozen=camera.frozen), LIMITS)
    assert verdict.status == 'holding' and 'camera frozen' in verdict.reasons[0]
    frame[0, 0, 0] ^= 1
    assert not camera.see(frame)
    assert not any(camera.see(rng.bytes(100)) for _ in range(50))


# --------------------------------------------------------------------- row 5


def test_row_5_hundred_thousand_fuzzed_vectors():
    """0 of 10^5 vectors with NaN, Inf or a wrong size get through, nor do they move the arm."""
    rng = np.random.default_rng(1)
    targets = np.where(
        rng.random((100_000, 7)) < 0.2,
        rng.choice([np.nan, np.inf, -np.inf], (100_000, 7)),
        Q0 + rng.normal(0, 1, (100_000, 7)),
    )
    targets[::2, rng.integers(7)] = np.nan
    state = armed()
    published_bad = latched = moved_by_bad = 0
    for target, spoil in zip(targets, rng.random(len(targets))):
        if spoil < 0.02:
            target = target[: int(spoil * 350)]
        bad = target.shape != (7,) or not np.isfinite(target).all()
        before = state
        verdict = gate(state, Request(target, FRESH), LIMITS)
        state = verdict.state
        published_bad += not np.isfinite(verdict.command).all()
        moved_by_bad += (
            bad and (np.abs(verdict.command - before.position) > np.abs(before.step) + 1e-12).any()
        )
        if state.latched:
            latched += 1
            state = safety.rearmed(state, state.position, LIMITS)
    assert published_bad == 0
    assert moved_by_bad == 0
    assert latched > 100


def test_row_5_latches_after_n_in_a_row():
    state = armed()
    bad = np.full(7, np.nan)
    for i in range(LIMITS.latch_after - 1):
        verdict = gate(state, Request(bad, FRESH), LIMITS)
        state = verdict.state
        assert verdict.status == 'holding' and state.bad_frames == i + 1
    ok = gate(state, Request(Q0, FRESH), LIMITS)
    assert ok.status == 'moving' and ok.state.bad_frames == 0  # in a row, not in total
    verdict = gate(state, Request(bad, FRESH), LIMITS)
    assert verdict.status == 'stopped'
    for _ in range(3):
        verdict = gate(verdict.state, Request(Q0 + 0.1, FRESH), LIMITS)
        assert verdict.status == 'stopped'
        np.testing.assert_array_equal(verdict.command, Q0)


# --------------------------------------------------------------------- row 6


def test_row_6_a_million_random_steps_violate_no_limit():
    """0 violations of position, velocity, acceleration in 10^6 random targets."""
    rng = np.random.default_rng(2)
    robots, ticks = 1000, 1000
    position = rng.uniform(LIMITS.lower_rad, LIMITS.upper_rad, (robots, 7))
    step = np.zeros((robots, 7))
    target = position.copy()
    worst = np.zeros(4)
    scale = 10.0 ** rng.uniform(-3, 1, (robots, 1))  # from a shiver to far outside
    for _ in range(ticks):
        jump = rng.random((robots, 1)) < 0.05
        new = np.where(
            jump, rng.uniform(-9, 9, (robots, 7)), target + scale * rng.normal(0, 0.1, (robots, 7))
        )
        command, _ = safety.limit_motion(position, step, target, new, LIMITS)
        moved = command - position
        worst = np.maximum(
            worst,
            [
                (LIMITS.lower_rad - command).max(),
                (command - LIMITS.upper_rad).max(),
                (np.abs(moved) / PERIOD_S - LIMITS.velocity_rad_s).max(),
                (np.abs(moved - step) / PERIOD_S**2 - LIMITS.acceleration_rad_s2).max(),
            ],
        )
        position, step, target = command, moved, new
    assert (worst[:2] <= 0).all()
    assert (worst[2:] <= 1e-6).all(), worst  # rounding of the differences above


def test_row_6_through_the_gate_with_every_fault_mixed_in():
    rng = np.random.default_rng(3)
    state = armed()
    step = np.zeros(7)
    for _ in range(8_000):
        target = state.target + rng.normal(0, 0.05, 7)
        if rng.random() < 0.1:
            target = rng.uniform(-4, 4, 7)
        if rng.random() < 0.05:
            target = np.full(7, np.nan)
        age_s = 0.2 if rng.random() < 0.05 else 0.0
        if rng.random() < 0.01:
            state = safety.stopped(state, 'asked for')
        before = state.position
        verdict = gate(state, Request(target, {'plan_hidden': age_s}), LIMITS)
        moved = verdict.command - before
        assert (np.abs(moved) <= LIMITS.velocity_rad_s * PERIOD_S + 1e-9).all()
        assert (np.abs(moved - step) <= LIMITS.acceleration_rad_s2 * PERIOD_S**2 + 1e-9).all()
        assert (LIMITS.lower_rad <= verdict.command).all()
        assert (verdict.command <= LIMITS.upper_rad).all()
        state, step = verdict.state, moved
        if state.latched and rng.random() < 0.2:
            state = safety.rearmed(state, state.position, LIMITS)


def test_row_6_names_the_limit():
    far = Q0 + 3 * np.eye(7)[0]
    assert 'velocity limit' in gate(armed(), Request(far, FRESH), LIMITS).reasons
    quick = Q0 + 0.05 * np.eye(7)[0]
    assert gate(armed(), Request(quick, FRESH), LIMITS).reasons == ('acceleration limit',)
    outside = np.clip(Q0, None, LIMITS.upper_rad)
    outside[5] = 4.0
    assert 'position limit' in gate(armed(), Request(outside, FRESH), LIMITS).reasons


# -------------------------------------------------------------------- row 10


def test_row_10_stamps():
    now = 1_700_000_000 * 10**9
    assert safety.age_of_stamp(now - 40_000_000, now, LIMITS) == pytest.approx(0.04)
    assert safety.age_of_stamp(now + 50_000_000, now, LIMITS) == 0
    with pytest.raises(ValueError, match='in the future. Got 0.051 s'):
        safety.age_of_stamp(now + 51_000_000, now, LIMITS)
    with pytest.raises(ValueError, match='stamp must be set'):
        safety.age_of_stamp(0, now, LIMITS)


@pytest.mark.parametrize('jump_s', [3600, -3600])
def test_row_10_a_jump_of_an_hour_moves_nothing(jump_s):
    stamp = 1_700_000_000 * 10**9
    try:
        age_s = safety.age_of_stamp(stamp, stamp + jump_s * 10**9, LIMITS)
    except ValueError as error:
        assert 'future' in str(error)
        return
    state = armed()
    verdict = gate(state, Request(Q0 + 0.01, {'plan_hidden': age_s}), LIMITS)
    assert verdict.status == 'holding'
    np.testing.assert_array_equal(verdict.command, Q0)


# -------------------------------------------------------------------- row 15


def test_row_15_stop_within_one_tick_and_only_a_rearm_resumes():
    state, commands = moving()
    request = Request(state.target + 0.01, FRESH)
    verdict = gate(safety.stopped(state, 'stop service'), request, LIMITS)
    assert verdict.status == 'stopped' and verdict.reasons == ('stopped: stop service',)
    state, held = follow(verdict.state, np.full((100, 7), 0.3))
    assert np.abs(held - commands[-1]).max() < 0.3 * PERIOD_S
    assert state.latched
    state = safety.rearmed(state, held[-1] + 0.02, LIMITS)  # 0.02: gravity sag
    verdict = gate(state, Request(np.array(held[-1]), FRESH), LIMITS)
    assert verdict.status == 'moving'
    np.testing.assert_array_equal(verdict.command, held[-1])


def test_row_15_no_jump_on_resume():
    state = safety.stopped(armed(), 'asked for')
    pushed = Q0 + 0.5 * np.eye(7)[2]
    state = safety.rearmed(state, pushed, LIMITS)
    np.testing.assert_array_equal(state.position, pushed)
    far = gate(state, Request(Q0 - 1, FRESH), LIMITS)
    assert (np.abs(far.command - pushed) <= LIMITS.acceleration_rad_s2 * PERIOD_S**2 + 1e-12).all()


@pytest.mark.parametrize('silent', [False, True])
def test_an_arm_that_does_not_follow_is_stopped_and_no_longer_pulled_at(silent):
    state, step, found = armed(), np.zeros(7), []
    for tick in range(60):  # at 1 rad/s away from an arm that stands
        target = Q0 + tick * PERIOD_S * np.eye(7)[0]
        request = Request(target, FRESH, measured=Q0, silent_on_stale=silent, movable=True)
        verdict = gate(state, request, LIMITS)
        if verdict.status == 'stopped':
            found.append(verdict)
        else:
            moved = verdict.command - state.position
            assert (np.abs(moved) <= LIMITS.velocity_rad_s * PERIOD_S + 1e-9).all()
            assert (np.abs(moved - step) <= LIMITS.acceleration_rad_s2 * PERIOD_S**2 + 1e-9).all()
            assert np.abs(verdict.command - Q0).max() < 0.36  # the limit and a tick
            step = moved
        state = verdict.state
    first, *others = found
    assert 'panda_joint1 is 0.1' in first.reasons[0] and 'blocked' in first.reasons[0]
    np.testing.assert_array_equal(first.command, Q0)  # at once: it pulls at nothing
    assert not first.state.step.any()
    for verdict in others:
        if silent:
            assert verdict.command is None
        else:
            np.testing.assert_array_equal(verdict.command, Q0)
    state = safety.rearmed(state, Q0, LIMITS)
    assert gate(state, Request(Q0, FRESH, measured=Q0), LIMITS).status == 'moving'


@pytest.mark.parametrize('lag_s', [0.05, 0.1, 0.15])
def test_an_arm_that_lags_is_not_taken_for_one_that_was_moved(lag_s):
    """At full turn, to and fro: it is where it was told to be a while ago."""
    state, told, rng = armed(), [Q0], np.random.default_rng(0)
    late, speed = round(lag_s / PERIOD_S), 0.4 * LIMITS.following_rad / lag_s
    speed = np.minimum(speed, LIMITS.velocity_rad_s)
    target = Q0.copy()
    for tick in range(600):
        if tick % 10 == 0:
            way = rng.choice([-1, 0, 1], 7)
        target = np.clip(target + way * speed * PERIOD_S, Q0 - 0.5, Q0 + 0.5)
        measured = told[max(0, len(told) - 1 - late)]
        request = Request(target, FRESH, measured=measured, silent_on_stale=True, movable=True)
        verdict = gate(state, request, LIMITS)
        assert verdict.status == 'moving', verdict.reasons
        state = verdict.state
        told.append(verdict.command)


@pytest.mark.parametrize('silent', [False, True])
def test_an_arm_that_is_taken_by_hand_while_it_moves_is_left_where_it_is_put(silent):
    """It was pulled back by up to 1.1 rad when the hand let go."""
    state, q = armed(), Q0.copy()
    for tick in range(20):
        request = Request(
            Q0 + 0.01 * tick, FRESH, measured=q, silent_on_stale=silent, movable=True
        )
        verdict = gate(state, request, LIMITS)
        state, q = verdict.state, verdict.command
    for _ in range(20):  # its controller is off, and the hand is faster than the arm may be
        q = q - 0.08 * np.eye(7)[1]
        request = dataclasses.replace(request, measured=q)
        verdict = gate(state, request, LIMITS)
        state = verdict.state
    for _ in range(60):  # the controller is on again
        verdict = gate(state, request, LIMITS)
        assert verdict.status == 'stopped'
        if silent:
            assert verdict.command is None
        else:
            assert np.abs(verdict.command - q).max() <= LIMITS.resume_tolerance_rad
        state = verdict.state


def test_row_15_the_first_reason_stays():
    state = safety.stopped(safety.stopped(armed(), 'first'), 'second')
    assert state.latched == 'first'


# ----------------------------------------------------------------------- misc


def test_arming_refuses_what_is_no_pose():
    with pytest.raises(ValueError, match='7 finite'):
        armed(np.full(7, np.nan))
    with pytest.raises(ValueError, match='7 finite'):
        armed(np.zeros(6))
    with pytest.raises(ValueError, match='panda_joint4 must be within its limits. Got 0.500 rad'):
        armed([0, 0, 0, 0.5, 0, 1, 0])


def test_the_gate_is_pure():
    state = armed()
    before = dataclasses.asdict(state)
    target = Q0 + 0.01
    request = Request(target, FRESH)
    first, second = gate(state, request, LIMITS), gate(state, request, LIMITS)
    np.testing.assert_array_equal(first.command, second.command)
    for name, value in dataclasses.asdict(state).items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(target, Q0 + 0.01)
