# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench soak`: all nodes for minutes or hours, in real time: memory, and commands that missed.

The play table, planner, action node, watchdog, imagination and camera node run, each in a process of
its own. An instruction drives the arm; from time to time it is another one, and the table is reset.

| key                   | meaning                                                                  |
| --------------------- | ------------------------------------------------------------------------ |
| memory_mb_per_h       | node -> slope of its own memory (RssAnon), by Theil and Sen, after the   |
|                       | first fifth (at most 10 minutes), in which caches fill                   |
| memory_mb             | node -> memory at the end                                                |
| deadline_misses       | periods in which the action node sent no command                         |
| misses_explained      | of them, those in a gap that was too long because the node, ready to     |
|                       | run, waited for a core: see `is_explained`                               |
| misses_during_resets  | of them, those while the table was reset                                 |
| false_alarms          | of the watchdog                                                          |
"""

import contextlib
import json
import math
import os
import pathlib
import tempfile
import threading
import time
from collections import deque

import numpy as np

from vw2_ros.bench.machine import machine
from vw2_ros.control.clock import missed_in
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import config_file, write_json
from vw2_ros.interruption import Interruption
from vw2_ros.progress import progress_bar

INSTRUCTIONS = (
    'push the red block to the left',
    'open the drawer',
    'turn on the led',
    'push the blue block to the right',
)
INSTRUCTION_S, RESET_S, SAMPLE_S = 20.0, 120.0, 5.0
WINDOW_S = 3.0  # a miss is reported up to so long after it happened
LOOK_S = 0.02  # how often it is looked how long threads waited for a core
PERIOD_S = 1 / 30  # of the commands
CLOCK_TICKS_S = 1 / os.sysconf('SC_CLK_TCK')


def own_memory_mb(pid: int) -> float:
    """Memory that a process has for itself, without files and shared memory [MB]."""
    for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('RssAnon'):
            return int(line.split()[1]) / 1024
    return 0.0


def slope(times_s, values) -> float:
    """Median of all slopes between two points [1/h] (Theil and Sen): outliers do not count."""
    t, v = np.asarray(times_s, float) / 3600, np.asarray(values, float)
    if len(t) > 400:  # means of neighbours: all pairs of 8 hours would be many
        parts = np.array_split(np.arange(len(t)), 400)
        t, v = (np.array([x[p].mean() for p in parts]) for x in (t, v))
    i, j = np.triu_indices(len(t), 1)
    return float(np.median((v[j] - v[i]) / (t[j] - t[i]))) if len(i) else 0.0


def is_explained(gap_s: float, waited_s: float) -> bool:
    """Whether a gap between two commands missed one because the node waited for a core.

    Without the waiting none would have been missed, and the waiting makes up most of what the gap
    is longer than a period.
    """
    return not missed_in(gap_s - waited_s, PERIOD_S) and waited_s > (gap_s - PERIOD_S) / 2


class Waits:
    """How long the threads of a process were ready and had no core; looked at by a thread of its own.

    A thread waits where another one has the core (`schedstat`), and where the host of a virtual
    machine took it away (`steal`, known to 10 ms).
    """

    def __init__(self, pid: int):
        self.pid, self._stopped = pid, threading.Event()
        self._looks: deque[tuple[float, dict[str, float]]] = deque(maxlen=int(10 / LOOK_S))
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def within_s(self, begin_s: float, end_s: float) -> float:
        """The longest that one thread waited, and one core was stolen, in this time [s].

        Args:
            begin_s, end_s: of the monotonic clock, at most 10 s ago. What is counted begins with
                the last look before, and ends with the first one after.
        """
        looks = tuple(self._looks)
        before = [sums for at, sums in looks if at <= begin_s] or [looks[0][1]] if looks else [{}]
        after = [sums for at, sums in looks if at >= end_s] or [looks[-1][1]] if looks else [{}]
        longest = {'thread': 0.0, 'cpu': 0.0}
        for name, sum_s in after[0].items():
            kind = name.split()[0]
            longest[kind] = max(longest[kind], sum_s - before[-1].get(name, sum_s))
        return sum(longest.values())

    def close(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join(2)

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_S):
            sums = _stolen_s()
            for task in pathlib.Path(f'/proc/{self.pid}/task').glob('*'):
                try:
                    waited_ns = int((task / 'schedstat').read_text().split()[1])
                except (OSError, IndexError):
                    continue
                sums[f'thread {task.name}'] = waited_ns * 1e-9
            self._looks.append((time.monotonic(), sums))


def _stolen_s() -> dict[str, float]:
    # "cpu0 user nice system idle iowait irq softirq steal ...", in clock ticks since the start
    lines = (line.split() for line in pathlib.Path('/proc/stat').read_text().splitlines())
    return {
        f'cpu {line[0][3:]}': int(line[8]) * CLOCK_TICKS_S
        for line in lines
        if line[0].startswith('cpu') and line[0] != 'cpu' and len(line) > 8
    }


class _Record:
    """What was seen of the running nodes."""

    def __init__(self, children, client):
        self.children, self.client = children, client
        self.began_s = time.monotonic()
        self.times_s: list[float] = []
        self.memory: dict[str, list[float]] = {name: [] for name in children.running}
        self.seen: dict[str, dict[str, str]] = {}
        self.misses: list[dict] = []
        self.counted = self.commands = self._newest = 0
        self.reset_s = self._told_s = -1e9
        self.waits = Waits(children.running['action'].pid)

    def passed_s(self) -> float:
        return time.monotonic() - self.began_s

    def on_said(self, message) -> None:
        for status in message.status:
            name = status.name.rsplit('/', 1)[-1]
            values = {v.key: v.value for v in status.values}
            self.seen[name] = values
            if name == 'action':
                gaps = values.get('latest gaps [monotonic s]', '')
                self._count(int(values.get('deadline misses', 0)), gaps)
                count = int(values.get('commands', 0))  # begins anew with each reset
                self.commands += count - self._newest if count >= self._newest else count
                self._newest = count

    def _count(self, misses: int, gaps: str) -> None:
        new, self.counted = misses - self.counted, misses
        if new <= 0:
            return
        told = [tuple(map(float, gap.split('-'))) for gap in gaps.split()]
        for begin_s, end_s in [gap for gap in told if gap[0] >= self._told_s]:
            self._told_s = end_s
            count, waited_s = (
                missed_in(end_s - begin_s, PERIOD_S),
                self.waits.within_s(begin_s, end_s),
            )
            new -= count
            self._miss(count, end_s, end_s - begin_s, waited_s)
        if new > 0:  # more than the newest gaps
            self._miss(new, time.monotonic(), math.nan, 0.0)

    def _miss(self, count: int, at_s: float, gap_s: float, waited_s: float) -> None:
        self.misses.append(
            {
                'at_s': round(at_s - self.began_s, 2),
                'count': count,
                'gap_ms': round(1e3 * gap_s, 1) if math.isfinite(gap_s) else None,
                'waited_for_a_core_ms': round(1e3 * waited_s, 1),
                'explained': math.isfinite(gap_s) and is_explained(gap_s, waited_s),
                'reset': time.monotonic() - self.reset_s < WINDOW_S,
            }
        )

    def sample(self) -> None:
        self.times_s.append(self.passed_s())
        for name, child in self.children.running.items():
            self.memory[name].append(own_memory_mb(child.pid))

    def result(self) -> dict:
        t = np.array(self.times_s)
        after = t >= min(0.2 * t[-1], 600.0)
        missed = sum(m['count'] for m in self.misses)
        explained = sum(m['count'] for m in self.misses if m['explained'])
        at_resets = sum(m['count'] for m in self.misses if m['reset'] and not m['explained'])
        slopes = {
            name: round(slope(t[after], np.array(values)[after]), 3)
            for name, values in self.memory.items()
        }
        return {
            'minutes': round(t[-1] / 60, 1),
            'memory_mb_per_h': slopes,
            'memory_mb': {name: round(values[-1], 1) for name, values in self.memory.items()},
            'commands': self.commands,
            'deadline_misses': missed,
            'misses_explained': explained,
            'misses_during_resets': at_resets,
            'misses_unexplained': missed - explained - at_resets,
            'false_alarms': int(self.seen['watchdog'].get('losses', 0)),
            'missed_table_steps': int(self.seen['calvin_bridge'].get('missed steps', 0)),
        }


def run(name: str = 'play_table', *, minutes: float = 30.0, out: pathlib.Path) -> dict:
    """Run all nodes for so long; write `soak.json`, with all samples, and `memory.png` into `out`.

    Ctrl-C or SIGTERM ends it earlier: the figures are then of the minutes that passed.

    Raises:
        BringUpError, ClientError: a node did not come up, or ended.
    """
    from diagnostic_msgs.msg import DiagnosticArray

    from vw2_ros import names
    from vw2_ros.bringup.domain import private_domain
    from vw2_ros.bringup.system import Children
    from vw2_ros.client import Client
    from vw2_ros.messages import qos

    if not minutes > 0:
        raise InvalidValueError(f'minutes must be above 0. Got {minutes}.')
    where = machine()
    weights = str(pathlib.Path(name).resolve()) if pathlib.Path(name).is_dir() else name
    with (
        private_domain() as env,
        tempfile.TemporaryDirectory(prefix='vw2_soak_') as logs,
        Children(_processes(weights), log_dir=logs, env=env) as children,
        Client(check=children.check) as client,
    ):
        client.wait_active(list(children.running), 180.0)
        record = _Record(children, client)
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, record.on_said, qos.reliable(50))
        try:
            _drive(record, minutes * 60)
        finally:
            record.waits.close()
        result = record.result() | {'policy': name} | where
    out.mkdir(parents=True, exist_ok=True)
    samples = {'at_s': [round(t, 1) for t in record.times_s], 'memory_mb': record.memory}
    write_json(out / 'soak.json', result | {'misses': record.misses, 'samples': samples})
    plot(out / 'soak.json', out / 'memory.png')
    return result


def _processes(weights: str):
    from vw2_ros import names
    from vw2_ros.bringup.system import Process, calvin

    source = f'{names.STATIC}/{names.IMAGE}'
    camera = Process(
        'camera_node',
        'camera',
        str(config_file('robot.yaml')),
        {'source': 'topic'},
        ((names.INPUT, source), (names.IMAGE, f'soak/{names.IMAGE}')),
    )
    return *calvin(weights=weights, imagination='true'), camera


def _drive(record: _Record, seconds: float) -> None:
    """Say instruction after instruction, and reset the table now and then, until Ctrl-C or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt), Interruption(), progress_bar() as bar:
        task = bar.add_task('soak (s)', total=round(seconds))
        _talk(record, seconds, lambda: bar.update(task, **_progress(record)))
        record.sample()
        record.client.spin(1.1)  # the last report of each node


def _progress(record: _Record) -> dict:
    told = f'soak (s), {record.counted} commands missed'
    return {'completed': round(record.passed_s()), 'description': told}


def _talk(record: _Record, seconds: float, each) -> None:
    said, spoken_s, sampled_s = 0, -1e9, -1e9
    record.reset_s = time.monotonic()
    while record.passed_s() < seconds:
        now = time.monotonic()
        if now - record.reset_s > RESET_S:
            record.client.reset_table()
            record.reset_s, spoken_s = time.monotonic(), -1e9
        if now - spoken_s > INSTRUCTION_S:
            for node in ('planner', 'action'):
                record.client.set(node, instruction=INSTRUCTIONS[said % len(INSTRUCTIONS)])
            said, spoken_s = said + 1, time.monotonic()
        if now - sampled_s > SAMPLE_S:
            record.sample()
            sampled_s = now
            each()
        record.client.spin(0.5)


def plot(source: pathlib.Path, target: pathlib.Path) -> None:
    """Draw the memory of each node, and when commands missed, from `soak.json`."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    told = json.loads(source.read_text())
    minutes = np.array(told['samples']['at_s']) / 60
    figure, axes = pyplot.subplots(figsize=(8, 4), layout='constrained')
    for name, values in told['samples']['memory_mb'].items():
        label = f'{name} ({told["memory_mb_per_h"][name]:+.2f} MB/h)'
        axes.plot(minutes, np.array(values) - values[-1], label=label, lw=1)
    for miss in told['misses']:
        axes.axvline(
            miss['at_s'] / 60, color='0.8' if miss['explained'] else 'red', lw=0.5, zorder=0
        )
    axes.set_xlabel('minutes; a grey line is a missed command whose node waited for a core')
    axes.set_ylabel('memory - memory at the end [MB]')
    axes.legend(fontsize=8)
    figure.savefig(target, dpi=120)
    pyplot.close(figure)
