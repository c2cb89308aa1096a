# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record` finds no room while the arm moves: it says so and ends, and the arm does not notice."""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')

from robot_stack import running

from vw2_ros.bags import bag as bags

ROOM_BYTES = 200_000
# a file-size limit stands for the full disk: writing fails from there on
RECORD = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from vw2_ros.cli import main
sys.exit(main(['record', '--out', {out!r}]))
"""


def recorder(out, room=ROOM_BYTES):
    code = RECORD.format(room=room, out=str(out))
    return subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.PIPE, text=True)


def intervals_ms(arm, since_s, until_s):
    times = np.array([c['t'] for c in arm.commands(since_s) if c['t'] < until_s])
    return np.diff(times) * 1e3


def recorded(stack, arm, out, room, seconds):
    """Record for so long; (intervals of the commands meanwhile [ms], how the recorder ended)."""
    with recorder(out, room) as process:
        assert stack.until(out.exists)
        began_s = time.monotonic()
        stack.bench.spin(seconds, stack.robot)
        until_s = time.monotonic()
        if room > ROOM_BYTES:
            process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    return intervals_ms(arm, began_s, until_s), process.returncode, said


@pytest.fixture
def moving(bench, tmp_path):
    with running(bench, tmp_path, on_stale='silent') as (stack, arm):
        stack.comes_up_disarmed()
        stack.moves(arm)
        yield stack, arm


def test_commands_go_on_when_the_disk_is_full(moving, tmp_path):
    stack, arm = moving
    times, status, said = recorded(stack, arm, tmp_path / 'bag', ROOM_BYTES, 8.0)
    assert status == 1 and 'File too large' in said and 'what came before is kept' in said
    assert len(times) > 30
    assert len(list(bags.Bag(pathlib.Path(tmp_path / 'bag')).messages())) > 10


@pytest.mark.slow
def test_a_full_disk_costs_the_control_timer_nothing(moving, tmp_path):
    stack, arm = moving
    with_room, full = [], []
    for turn in range(4):  # in turn: whatever else this machine does falls on both
        for name, room, into in (('room', 1 << 40, with_room), ('full', ROOM_BYTES, full)):
            into.append(recorded(stack, arm, tmp_path / f'{name}{turn}', room, 15.0)[0])
    with_room, full = np.concatenate(with_room), np.concatenate(full)
    before, after = np.percentile(with_room, 99), np.percentile(full, 99)
    print(
        f'\ninterval of commands, p99: {before:.2f} ms while recording, {after:.2f} ms with the '
        f'disk full ({100 * (after / before - 1):+.1f} %), of {len(with_room)} and {len(full)}'
    )
    assert after <= 1.05 * before
