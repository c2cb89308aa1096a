# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How far one command may go: limits of the joints and of the tool, for ticks of any length. Pure.

The velocity of a command is its step through the time that passed since the command before. It may
change by the acceleration limit times the shorter of two times: that of this tick, and the mean of
this one and the last. So neither the change of velocity through the time of the tick, nor the second
difference of the positions is above the limit, late or early. As the shorter time is never below
half of the tick's, an arm at velocity v surely stands after v^2 / a, however long the next ticks
are: by that it brakes before its limits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vw2_ros.arms.limits import Limits

BOX_TOLERANCE_M = 5e-4  # so far outside is still inside
_ROUNDING_RAD = 1e-12
_LOOK_AHEAD = (0.25, 0.5, 1.0)  # parts of the way to a stand at which the tool is looked at
_HALVINGS = 6  # of the part that is left of a motion which the tool may not make


@dataclass(frozen=True)
class Tick:
    """The time of one command, and of the one before."""

    elapsed_s: float | np.ndarray  # since the last command, a number or (..., 1) [s]
    before_s: float | np.ndarray  # from the one before to that [s]
    even: bool = False  # all ticks, for ever, are as long as this one: the arm may brake later
    speed: float = 1.0  # share of the velocity limits, in 0..1

    def came(self, step):
        """What the velocity of the last `step` makes of this tick [rad] (..., n)."""
        return step * (self.elapsed_s / self.before_s)

    def square(self, limits: Limits):
        """The acceleration limit in rad per tick^2 (..., n)."""
        return limits.acceleration_rad_s2 * (self.elapsed_s * self.elapsed_s)

    def change(self, limits: Limits) -> np.ndarray:
        """How much more or less than that it may be [rad] (..., n)."""
        mean_s = (self.elapsed_s + self.before_s) / 2
        return limits.acceleration_rad_s2 * (self.elapsed_s * np.minimum(self.elapsed_s, mean_s))


def braked(position, step, limits: Limits, tick: Tick) -> np.ndarray:
    """The command of a tick in which each joint brakes as it can [rad] (..., n)."""
    came = tick.came(step)
    move = np.sign(came) * np.maximum(np.abs(came) - tick.change(limits), 0)
    return np.clip(position + move, limits.lower_rad, limits.upper_rad)


def limit_motion(position, step, last_target, target, limits: Limits, tick: Tick | None = None):
    """One tick towards `target` within the limits of the joints; the arrays may be (..., n).

    A target that moves within the limits is met exactly. After a jump the command catches up
    without overshooting a target that stands or moves evenly. The command never gets into a state
    from which it could not brake before a position limit.

    Args:
        position, step: the last command and its way from the one before [rad].
        last_target, target: [rad].
        tick: None: one period after another.

    Returns:
        command [rad] (..., n), and the names of the limits that changed it.
    """
    tick = tick or Tick(limits.period_s, limits.period_s, even=True)
    inside = np.clip(target, limits.lower_rad, limits.upper_rad)
    way = inside - position
    drift = inside - np.clip(last_target, limits.lower_rad, limits.upper_rad)
    behind = way - drift  # how far the last command was from the last target
    want = drift + np.sign(behind) * _longest_step(np.abs(behind), tick.square(limits))
    slowest, fastest = _velocity_steps(position, step, limits, tick)
    low, high = _steps(position, step, limits, tick)
    move = np.clip(want, low, high)
    command = np.where(np.abs(move - way) <= _ROUNDING_RAD, inside, position + move)
    command = np.clip(command, limits.lower_rad, limits.upper_rad)
    if np.array_equal(command, target):
        return command, ()
    reasons = []
    if not np.array_equal(inside, target):
        reasons.append('position limit')
    if ((way > fastest + _ROUNDING_RAD) | (way < slowest - _ROUNDING_RAD)).any():
        reasons.append('velocity limit')
    if (np.abs(np.clip(way, slowest, fastest) - move) > _ROUNDING_RAD).any():
        reasons.append('acceleration limit')
    return command, tuple(reasons)


def _velocity_steps(position, step, limits: Limits, tick: Tick):
    # lowest and highest step by velocity [rad] (..., n)
    came, change = tick.came(step), tick.change(limits)
    slowest, fastest = (
        bound * tick.speed * tick.elapsed_s for bound in limits.velocity_bounds(position)
    )
    # a limit that was lowered meanwhile is met by braking
    return np.minimum(slowest, came + change), np.maximum(fastest, came - change)


def _steps(position, step, limits: Limits, tick: Tick):
    # lowest and highest step by all limits of the joints [rad] (..., n)
    came, change = tick.came(step), tick.change(limits)
    slowest, fastest = _velocity_steps(position, step, limits, tick)
    down, up = _braking_steps(position, limits, tick)
    low = np.maximum(np.maximum(came - change, slowest), -down)
    high = np.minimum(np.minimum(came + change, fastest), up)
    return low, np.maximum(low, high)


def _braking_steps(position, limits: Limits, tick: Tick):
    # the longest steps towards both ends from which the arm stops before them [rad] (..., n)
    tick2 = tick.square(limits)
    ways = (np.maximum(position - limits.lower_rad, 0), np.maximum(limits.upper_rad - position, 0))
    longest = _longest_step if tick.even else _surely_braked_step
    steps = [longest(way, tick2) for way in ways]
    if limits.braking is None:
        return steps
    ends = (position - limits.braking.lower_rad, limits.braking.upper_rad - position)
    return [
        np.minimum(step, _slowed_step(way, limits, tick.elapsed_s))
        for step, way in zip(steps, ends)
    ]


def _longest_step(room, accel):
    """Return the longest step from which braking by `accel` per tick still stops within `room`.

    With m = floor(step / accel) the whole way is (m + 1) step - accel m (m + 1) / 2; solved for
    step. All in rad per tick, room >= 0.
    """
    m = np.floor((np.sqrt(1 + 8 * room / accel) - 1) / 2)
    return (room + accel * m * (m + 1) / 2) / (m + 1)


def _surely_braked_step(room, accel):
    """As `_longest_step`, where the next ticks may have any length.

    The way to a stand is v^2 / a at most. With this step, made in the time t: v t + v^2 / a = room;
    solved for v t.
    """
    return accel / 2 * (np.sqrt(1 + 4 * room / accel) - 1)


def _slowed_step(way, limits: Limits, elapsed_s):
    """Return the longest step that ends no faster than `limits.braking` allows where it ends.

    (v + offset)^2 = slope (way - v t), solved for v t. A slope above the acceleration could not be
    followed by braking through ticks of any length.
    """
    offset = limits.braking.offset_rad_s
    slope = np.minimum(limits.braking.slope_rad_s2, limits.acceleration_rad_s2)
    b = 2 * offset + slope * elapsed_s
    rest = np.maximum(slope * np.maximum(way, 0) - offset**2, 0)
    return (np.sqrt(b * b + 4 * rest) - b) / 2 * elapsed_s


# ----------------------------------------------------------------------- tool


def limit_tool(
    position, step, command, limits: Limits, forward: Callable, tick: Tick | None = None
):
    """Take back as much of a command as the box and the speed of the tool demand.

    `command` is within the limits of the joints. What is left of it lies between it and a common
    braking of all joints, which leads the tool along the way that was looked at before: to a stand
    within the box. So the tool stays there whatever comes next. A tool that is outside of the box
    may only move inwards.

    Args:
        position, step: the last command and its way from the one before [rad] (n,).
        command: [rad] (n,).
        forward: joints (n,) [rad] -> position (3,) [m] and rotation of the tool.
        tick: None: one period after another.

    Returns:
        command [rad] (n,), and the names of the limits that changed it.
    """
    tick = tick or Tick(limits.period_s, limits.period_s, even=True)
    start = forward(position)[0]
    why = _tool_limit(position, command, start, limits, forward, tick)
    if not why:
        return command, ()
    came, change = tick.came(step), tick.change(limits)
    part = np.abs(came) / change  # of the velocity, a joint can lose so much: 1 / part
    move = came * max(0.0, 1 - 1 / part.max()) if part.max() > 1 else np.zeros_like(came)
    brake = position + np.clip(move, *_steps(position, step, limits, tick))
    brake = np.clip(brake, limits.lower_rad, limits.upper_rad)
    low, high, left = 0.0, 1.0, brake
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        between = brake + middle * (command - brake)
        if _tool_limit(position, between, start, limits, forward, tick):
            high = middle
        else:
            low, left = middle, between
    return left, (why,)


def _tool_limit(position, command, start, limits: Limits, forward, tick: Tick) -> str:
    # which limit of the tool the command would break, now or by braking from then on; '' if none
    most_m = limits.tool_speed_m_s * tick.speed * tick.elapsed_s
    at = forward(command)[0]
    if math.dist(at, start) > most_m:
        return 'tool speed'
    if not _in_box(at, start, limits):
        return 'tool box'
    velocity = (command - position) / tick.elapsed_s
    time_s = float((np.abs(velocity) / limits.acceleration_rad_s2).max())
    if time_s <= 0:
        return ''
    last, begin = at, 0.0
    ahead = command + velocity * (time_s * np.array(_LOOK_AHEAD)[:, None])  # (3, n)
    ahead = np.minimum(np.maximum(ahead, limits.lower_rad), limits.upper_rad)
    for joints, end in zip(ahead, _LOOK_AHEAD):
        point = forward(joints)[0]
        if not _in_box(point, at, limits):
            return 'tool box'
        fast_m = limits.tool_speed_m_s * tick.speed * time_s * (end - begin)
        if math.dist(point, last) * math.sqrt(1 - begin) > fast_m:
            return 'tool speed'
        last, begin = point, end
    return ''


def _in_box(point, start, limits: Limits) -> bool:
    # or not further outside than the start
    for p, s, low, high in zip(
        point.tolist(), start.tolist(), limits.box_lower_m.tolist(), limits.box_upper_m.tolist()
    ):
        if p < min(low - BOX_TOLERANCE_M, s) or p > max(high + BOX_TOLERANCE_M, s):
            return False
    return True
