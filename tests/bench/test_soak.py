# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The soak: slopes that outliers do not bend, memory and waits of processes, and a short real run."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vw2_ros.bench import soak
from vw2_ros.control.clock import missed_in


def test_a_slope_is_that_of_most_points():
    hours = np.linspace(0, 2, 50)
    values = 100 + 3 * hours
    values[10] += 1000
    assert soak.slope(hours * 3600, values) == pytest.approx(3)
    many = np.linspace(0, 8 * 3600, 6000)
    assert soak.slope(many, many / 3600 * 0.5) == pytest.approx(0.5)


def test_memory_of_a_process_is_its_own():
    code = 'x = bytearray(50_000_000); print(flush=True); input()'
    with subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        assert 47 < soak.own_memory_mb(child.pid) < 90
        child.communicate('\n')


def test_a_process_without_a_core_is_seen_to_wait():
    # two that want the same core: each waits for the other
    core = min(os.sched_getaffinity(0))
    code = f'import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass'
    children = [subprocess.Popen([sys.executable, '-c', code]) for _ in range(6)]
    waits, began_s = soak.Waits(children[0].pid), time.monotonic()
    try:
        end = began_s + 20
        while waits.within_s(began_s, time.monotonic()) < 0.1 and time.monotonic() < end:
            time.sleep(0.1)
        now_s = time.monotonic()
        assert 0.1 <= waits.within_s(began_s, now_s) <= (now_s - began_s) * 2
        assert waits.within_s(now_s + 1, now_s + 2) == 0  # no look is so young
    finally:
        waits.close()
        for child in children:
            child.kill()
            child.wait()


@pytest.mark.parametrize(
    'gap_ms, waited_ms, explained',
    [
        (50.1, 0, False),
        (50.1, 8, False),  # the node's own delay is the larger part
        (50.1, 9, True),
        (83, 30, False),  # it would have been late without the waiting, too
        (83, 34, True),
        (400, 340, False),
        (400, 360, True),
    ],
)
def test_waiting_explains_a_miss_that_would_not_have_been_without_it(gap_ms, waited_ms, explained):
    assert missed_in(gap_ms / 1e3, soak.PERIOD_S) >= 1
    assert soak.is_explained(gap_ms / 1e3, waited_ms / 1e3) is explained


@pytest.mark.slow
def test_all_nodes_run(tmp_path):
    pytest.importorskip('rclpy')
    result = soak.run(minutes=0.5, out=tmp_path)
    assert set(result['memory_mb_per_h']) == {
        'calvin_bridge', 'planner', 'action', 'watchdog', 'imagination', 'camera',
    }  # fmt: skip
    assert result['commands'] > 300
    told = json.loads((tmp_path / 'soak.json').read_text())
    assert len(told['samples']['at_s']) == len(told['samples']['memory_mb']['action']) > 3
    assert (tmp_path / 'memory.png').stat().st_size > 10_000


@pytest.mark.slow
def test_ctrl_c_ends_it_with_the_figures_so_far(tmp_path):
    pytest.importorskip('rclpy')
    command = [sys.executable, '-m', 'vw2_ros.cli', 'bench', 'soak', '--minutes', '60', '--out']
    with subprocess.Popen([*command, str(tmp_path)], start_new_session=True) as child:
        wait_for_samples(child.pid)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: the nodes get it, too
        assert child.wait(60) == 0
    told = json.loads((tmp_path / 'soak.json').read_text())
    assert 0 < told['minutes'] < 5
    assert told['commands'] > 0


def wait_for_samples(pid):
    """Until all nodes have run for half a minute."""
    nodes = 6
    children = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
    end = time.monotonic() + 180
    while len(children.read_text().split()) < nodes and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(45)
