# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Two ways of clocking the control loop: a timer, or a world that waits for each command. Pure.

`RealTime`: a timer calls once per period of the monotonic clock, whatever has come by then.
`Lockstep`: each joint_states is answered by one command, once the plan that is due has come; times
are the stamps.
"""

import math
from collections import deque

import numpy as np

from vw2_ros.control.loop import Command, ControlLoop
from vw2_ros.errors import InvalidValueError


def missed_in(interval_s: float, period_s: float) -> int:
    """How many ticks should have come in an interval between two of them, but did not."""
    return max(0, round(interval_s / period_s) - 1)


class TickClock:
    """Keeps time of a periodic timer: ticks that came too late are skipped, counted, never queued.

    Times are seconds of one monotonic clock.

    Raises:
        InvalidValueError: the period is not above 0.
    """

    def __init__(self, period_s: float, history: int = 900):
        if not (period_s > 0 and math.isfinite(period_s)):
            raise InvalidValueError(f'period_s must be above 0. Got {period_s}.')
        self.period_s = period_s
        self.ticks = 0
        self.missed = 0
        self.gaps_s: deque[tuple[float, float]] = deque(maxlen=5)  # around what was missed lately
        self._last_s: float | None = None
        self._late_s: deque[float] = deque(maxlen=history)

    def tick(self, now_s: float) -> int:
        """Take note of a tick; return how many should have come since the last one but did not."""
        missed = 0
        if self._last_s is not None:
            interval_s = now_s - self._last_s
            self._late_s.append(interval_s - self.period_s)
            missed = missed_in(interval_s, self.period_s)
            if missed:
                self.gaps_s.append((self._last_s, now_s))
        self._last_s = now_s
        self.ticks += 1
        self.missed += missed
        return missed

    def jitter_ms(self, percentile: float = 99.0) -> float:
        """Percentile of |interval - period| [ms] over the last ticks; 0 before there are two."""
        if not self._late_s:
            return 0.0
        return float(np.percentile(np.abs(self._late_s), percentile) * 1e3)


class RealTime:
    """Steps a loop at each tick of a timer, and accounts for both."""

    def __init__(self, loop: ControlLoop):
        self.loop = loop
        self.ticks = TickClock(loop.limits.period_s)
        self.latency_ms: deque[float] = deque(maxlen=1000)  # image -> first command of its plan
        self._followed_ns: int | None = None

    def now_s(self, monotonic_s: float) -> float:
        """Return the loop's time: that of the monotonic clock."""
        return monotonic_s

    def restart(self) -> None:
        """Restart the loop; the account of the timer goes on."""
        self.loop.restart()

    def step(self, now_s: float) -> Command:
        """Return the command of the period that begins at `now_s` of the monotonic clock."""
        self.ticks.tick(now_s)
        command = self.loop.step(now_s)
        if command.plan_ns not in (None, self._followed_ns):
            self._followed_ns = command.plan_ns
            self.latency_ms.append(command.age_s * 1e3)
        return command

    def report(self) -> dict:
        """Return jitter, misses and latencies for /diagnostics."""
        out = {
            'command jitter p99 [ms]': self.ticks.jitter_ms(99),
            'deadline misses': self.ticks.missed,
        }
        if self.ticks.gaps_s:
            gaps = (f'{begin:.4f}-{end:.4f}' for begin, end in self.ticks.gaps_s)
            out['latest gaps [monotonic s]'] = ' '.join(gaps)
        if self.latency_ms:
            for p in (50, 99):
                out[f'image to command p{p} [ms]'] = float(np.percentile(self.latency_ms, p))
            out['image to command plans'] = len(self.latency_ms)
        return out


class Lockstep:
    """Steps a loop once for each joint_states, once the plan that is due has come."""

    def __init__(self, loop: ControlLoop):
        self.loop = loop
        self.joints = None  # the newest that came
        self._answered_ns: int | None = None

    def now_s(self, monotonic_s: float) -> float:
        """Return the loop's time: the stamp of the newest joints, where any have come."""
        return monotonic_s if self.joints is None else self.joints.stamp_ns * 1e-9

    def restart(self) -> None:
        """Restart the loop; the joints that came are forgotten, too."""
        self.loop.restart()
        self.joints = self._answered_ns = None

    def step(self, joints=None) -> tuple[Command, int] | None:
        """Return the command for the newest joints and their stamp [ns]; None while a plan is due.

        The same joints have the same answer, however often they come.

        Args:
            joints: `messages.convert.Joints` that have just come; None: something else has, a plan
                for example.
        """
        self.joints = joints = joints or self.joints
        if joints is None:
            return None
        if joints.stamp_ns != self._answered_ns:
            if self._waits(joints.stamp_ns):
                return None
            self.loop.step(joints.stamp_ns * 1e-9, joints.position)
            self._answered_ns = joints.stamp_ns
        return self.loop.command, joints.stamp_ns

    def report(self) -> dict:
        """Return nothing: in a world that waits nothing is late."""
        return {}

    def _waits(self, stamp_ns: int) -> bool:
        planned_ns, config = self.loop.newest_ns, self.loop.config
        if planned_ns == stamp_ns:  # the plan that was due has come
            return False
        spent_ns = (config.execute - 0.5) * self.loop.limits.period_s * 1e9
        return not self.loop.has_plan or stamp_ns - planned_ns >= spent_ns
