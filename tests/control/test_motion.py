# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""No command leads beyond a limit of the joints or of the tool, however late or early it comes."""

import dataclasses

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.arms.limits import Braking
from vw2_ros.control.motion import Tick, braked, limit_motion, limit_tool

CONTRACT = panda_at()
LIMITS, ARM = CONTRACT.limits, CONTRACT.arm
SLOWED = dataclasses.replace(
    LIMITS,
    velocity_rad_s=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    acceleration_rad_s2=np.full(7, 10.0),
    braking=Braking(
        offset_rad_s=[0.3, 0.2, 0.2, 0.3, 0.35, 0.35, 0.35],
        slope_rad_s2=[12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0],
        lower_rad=LIMITS.lower_rad - 0.0064,
        upper_rad=LIMITS.upper_rad + 0.0064,
    ),
)


def jittered(rng, period_s, shape):
    """Times of ticks: most near the period, some early, some up to three periods late."""
    kind = rng.random(shape)
    return period_s * np.where(
        kind < 0.7,
        rng.uniform(0.8, 1.2, shape),
        np.where(kind < 0.85, rng.uniform(0.01, 1, shape), rng.uniform(1, 3, shape)),
    )


@pytest.mark.parametrize('period_s', [1 / 30, 1 / 1000])
@pytest.mark.parametrize('limits', [LIMITS, SLOWED], ids=['panda', 'slowed near its ends'])
def test_row_6_a_million_random_steps_of_jittered_ticks_violate_no_limit(limits, period_s):
    """0 violations of position, velocity, acceleration: by the tick, and by second differences."""
    rng = np.random.default_rng(2)
    robots, ticks = 1000, 1000
    position = rng.uniform(limits.lower_rad, limits.upper_rad, (robots, 7))
    step, target = np.zeros((robots, 7)), position.copy()
    before_s = np.full((robots, 1), period_s)
    scale = 10.0 ** rng.uniform(-3, 1, (robots, 1))  # from a shiver to far outside
    worst = np.full(6, -np.inf)
    for _ in range(ticks):
        jump = rng.random((robots, 1)) < 0.05
        new = np.where(
            jump, rng.uniform(-9, 9, (robots, 7)), target + scale * rng.normal(0, 0.1, (robots, 7))
        )
        elapsed_s = jittered(rng, period_s, (robots, 1))
        tick = Tick(elapsed_s, before_s)
        command, _ = limit_motion(position, step, target, new, limits, tick)
        velocity, change = (command - position) / elapsed_s, None
        change = np.abs(velocity - step / before_s)
        slowest, fastest = limits.velocity_bounds(command)
        worst = np.maximum(
            worst,
            [
                (limits.lower_rad - command).max(),
                (command - limits.upper_rad).max(),
                (velocity - fastest).max(),
                (slowest - velocity).max(),
                (change / elapsed_s - limits.acceleration_rad_s2).max(),
                (change / ((elapsed_s + before_s) / 2) - limits.acceleration_rad_s2).max(),
            ],
        )
        position, step, target, before_s = command, command - position, new, elapsed_s
    print('worst [rad, rad, rad/s, rad/s, rad/s^2, rad/s^2] beyond a limit', worst)
    assert (worst[:2] <= 0).all(), worst
    assert (worst[2:] <= 1e-5).all(), worst  # rounding of the differences above


def test_late_then_early_tick():
    """Two commands at once moved 1.9 times as fast as the limit: limits were those of a tick."""
    position, step, target = CONTRACT.home_rad, np.zeros(7), CONTRACT.home_rad
    before_s, moved = LIMITS.period_s, []
    for periods in [1.0] * 20 + [1.9, 0.1] * 20:
        elapsed_s = periods * LIMITS.period_s
        aim = target + 9.0 * elapsed_s * np.eye(7)[0]
        tick = Tick(elapsed_s, before_s)
        command, _ = limit_motion(position, step, target, aim, LIMITS, tick)
        moved.append((command - position)[0] / elapsed_s)
        position, step, target, before_s = command, command - position, aim, elapsed_s
    assert max(moved) <= LIMITS.velocity_rad_s[0] + 1e-9


def test_braking_of_each_joint():
    step = np.array([0.06, -0.06, 0.001, 0, 0, 0, 0])
    tick = Tick(1 / 30, 1 / 30)
    moved = braked(CONTRACT.home_rad, step, LIMITS, tick) - CONTRACT.home_rad
    lost = LIMITS.acceleration_rad_s2 / 30**2
    np.testing.assert_allclose(moved[:2], [0.06 - lost[0], -0.06 + lost[1]])
    assert not moved[2:].any()


# ----------------------------------------------------------------------- tool


def targets(rng, kind, steps, period_s):
    """Joints (steps, 7) that nobody in their senses asks for."""
    lower, upper = LIMITS.lower_rad, LIMITS.upper_rad
    if kind == 'walks':
        walk = np.cumsum(rng.normal(0, 0.05, (steps, 7)), axis=0)
        return np.clip(CONTRACT.home_rad + walk, lower, upper)
    every = round({'jumps': 1.3, 'corners': 3.0}[kind] / period_s)
    draws = rng.random((steps // every + 1, 7))
    draws = np.round(draws) if kind == 'corners' else draws
    return np.repeat(lower + draws * (upper - lower), every, axis=0)[:steps]


@pytest.mark.parametrize('period_s', [1 / 30, 1 / 200])
@pytest.mark.parametrize('kind', ['jumps', 'walks', 'corners'])
def test_tool_stays_in_its_box_and_below_its_speed_whatever_the_joints_are_told(kind, period_s):
    rng = np.random.default_rng(0)
    steps = round((30 if period_s > 0.01 else 5) / period_s)
    position, step, target = CONTRACT.home_rad, np.zeros(7), CONTRACT.home_rad
    before_s, tool, outside_m, speed, way_m = period_s, ARM.forward(position)[0], 0.0, 0.0, 0.0
    for aim, elapsed_s in zip(
        targets(rng, kind, steps, period_s), jittered(rng, period_s, steps).tolist()
    ):
        tick = Tick(elapsed_s, before_s)
        command, _ = limit_motion(position, step, target, aim, LIMITS, tick)
        command, _ = limit_tool(position, step, command, LIMITS, ARM.forward, tick)
        change = np.abs((command - position) / elapsed_s - step / before_s)
        shorter_s = min(elapsed_s, (elapsed_s + before_s) / 2)
        assert (change / shorter_s <= LIMITS.acceleration_rad_s2 + 1e-5).all()
        assert (LIMITS.lower_rad <= command).all() and (command <= LIMITS.upper_rad).all()
        at = ARM.forward(command)[0]
        outside_m = max(outside_m, *(LIMITS.box_lower_m - at), *(at - LIMITS.box_upper_m))
        speed = max(speed, np.linalg.norm(at - tool) / elapsed_s)
        way_m += np.linalg.norm(at - tool)
        position, step, target, before_s, tool = command, command - position, aim, elapsed_s, at
    print(f'{outside_m * 1e3:.2f} mm outside, {speed:.4f} m/s, {way_m:.1f} m in all')
    assert outside_m <= 1e-3
    assert speed <= LIMITS.tool_speed_m_s * 1.001
    assert way_m > 0.2, 'it is not simply stopped'


def test_tool_that_begins_outside_may_only_move_inwards():
    box = {'box_lower_m': [0.45, -0.7, 0.0], 'box_upper_m': [0.8, 0.7, 0.9]}
    limits = dataclasses.replace(LIMITS, **box)
    rng = np.random.default_rng(1)
    position, step, target = CONTRACT.home_rad, np.zeros(7), CONTRACT.home_rad
    tick, x = Tick(limits.period_s, limits.period_s), ARM.forward(position)[0][0]
    assert x < 0.4
    for aim in targets(rng, 'jumps', 1500, limits.period_s):
        command, _ = limit_motion(position, step, target, aim, limits, tick)
        command, _ = limit_tool(position, step, command, limits, ARM.forward, tick)
        now = ARM.forward(command)[0][0]
        assert now >= min(x, 0.45) - 1e-3
        x = max(x, min(now, 0.45))
        position, step, target = command, command - position, aim
    assert x > 0.44, 'it has come in'


def test_motion_within_all_limits_passes_bit_for_bit():
    t = np.arange(300)[:, None] / 30
    aims = CONTRACT.home_rad + 0.03 * np.sin(t + np.arange(7)) * (1 - np.exp(-t))
    position, step, target = aims[0], np.zeros(7), aims[0]
    tick = Tick(1 / 30, 1 / 30)
    for aim in aims:
        command, why = limit_motion(position, step, target, aim, LIMITS, tick)
        command, more = limit_tool(position, step, command, LIMITS, ARM.forward, tick)
        np.testing.assert_array_equal(command, aim)
        assert why == more == ()
        position, step, target = command, command - position, aim
