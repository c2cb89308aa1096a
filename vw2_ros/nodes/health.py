# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a node knows of its own health: rates, ages, counters and the newest complaint. No ROS."""

import threading
from collections import Counter, deque

OK, WARN, ERROR, STALE = 0, 1, 2, 3  # diagnostic_msgs/DiagnosticStatus
_COMMAND_LEVELS = {
    'waiting': WARN,
    'disarmed': WARN,
    'idle': OK,
    'moving': OK,
    'holding': ERROR,
    'stopped': ERROR,
}


def verdict(command, lockstep: bool = False) -> tuple[int, str]:
    """Level and text for the last `control.loop.Command`, None if there was none.

    In lockstep the world waits for the arm, so that only a stop is worth a word.
    """
    if command is None:
        return WARN, 'no command yet'
    level = _COMMAND_LEVELS[command.status]
    if level == OK or (lockstep and command.status != 'stopped'):
        return OK, command.status
    return level, f'{command.status}: {"; ".join(command.reasons)}'


def one_line(text: str, longest: int = 500) -> str:
    """Return a text as one printable line: what strangers send goes into logs and onto screens."""
    line = ' '.join(''.join(c if c.isprintable() else ' ' for c in text[: 2 * longest]).split())
    return line if len(line) <= longest else f'{line[: longest - 4]} ...'


class Meter:
    """Rate and age of something that happens again and again; seconds of one monotonic clock."""

    def __init__(self, window: int = 60):
        self.count = 0
        self._times: deque[float] = deque(maxlen=window)

    def tick(self, now_s: float) -> None:
        """Take note that it happened."""
        self.count += 1
        self._times.append(now_s)

    def age_s(self, now_s: float) -> float | None:
        """Seconds since it last happened, None if it never did."""
        return now_s - self._times[-1] if self._times else None

    def rate_hz(self, now_s: float) -> float:
        """Mean rate over the window; an ongoing silence counts."""
        times = tuple(self._times)
        if len(times) < 2:
            return 0.0
        period_s = (times[-1] - times[0]) / (len(times) - 1)
        silence_s = now_s - times[-1]
        if silence_s > 3 * period_s:
            return len(times) / (now_s - times[0])
        return 1.0 / period_s if period_s > 0 else 0.0


class Health:
    """Meters and counters by name, safe to feed from a worker thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self.meters: dict[str, Meter] = {}
        self.counters: Counter = Counter()
        self.values: dict[str, object] = {}
        self._complaint: tuple[float, str] | None = None

    def tick(self, name: str, now_s: float) -> None:
        """Count one event of a stream, e.g. a message of a topic."""
        with self._lock:
            self.meters.setdefault(name, Meter()).tick(now_s)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter, e.g. of drops."""
        with self._lock:
            self.counters[name] += by

    def set(self, name: str, value) -> None:
        """Show a value under its name until it is set again."""
        with self._lock:
            self.values[name] = value

    def complain(self, text: str, now_s: float) -> None:
        """Keep the newest reason why something was refused, as one line."""
        with self._lock:
            self._complaint = (now_s, one_line(text))

    def complaint(self, now_s: float, within_s: float = 2.0) -> str:
        """Return the newest complaint if it is young enough, else ''."""
        with self._lock:
            if self._complaint is None or now_s - self._complaint[0] > within_s:
                return ''
            return self._complaint[1]

    def age_s(self, name: str, now_s: float) -> float | None:
        """Seconds since the last event of a stream, None if there never was one."""
        with self._lock:
            meter = self.meters.get(name)
            return meter.age_s(now_s) if meter else None

    def report(self, now_s: float) -> dict[str, str]:
        """Everything as text, ready for a DiagnosticStatus."""
        out = {}
        with self._lock:
            for name, meter in self.meters.items():
                age_s = meter.age_s(now_s)
                out[f'{name} rate [Hz]'] = f'{meter.rate_hz(now_s):.1f}'
                out[f'{name} age [ms]'] = 'never' if age_s is None else f'{age_s * 1e3:.0f}'
                out[f'{name} count'] = str(meter.count)
            for name, number in self.counters.items():
                out[name] = str(number)
            for name, value in self.values.items():
                out[name] = f'{value:.3g}' if isinstance(value, float) else one_line(str(value))
        return out
