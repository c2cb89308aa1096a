# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The log of events: it only grows, never waits, and survives a full disk."""

import errno
import json
import threading
import time

import pytest

from vw2_ros.nodes import events
from vw2_ros.nodes.events import EventLog


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    return tmp_path / 'vw2'


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_each_event_is_a_line_with_time_reason_and_hashes(home):
    for _ in range(2):  # a node that comes back appends
        log = EventLog('/left/action', limits='aa', weights='bb')
        log.write('stop', 'asked for')
        log.facts['weights'] = 'cc'
        log.write('swap', 'other weights')
        log.close()
    said = lines(home / 'left_action.jsonl')
    assert [s['event'] for s in said] == ['stop', 'swap'] * 2
    assert said[0] | {'time': ''} == {
        'time': '', 'node': '/left/action', 'event': 'stop', 'reason': 'asked for',
        'limits': 'aa', 'weights': 'bb',
    }  # fmt: skip
    assert said[1]['weights'] == 'cc' and said[0]['time'].endswith('+00:00')


def test_full_files_are_kept_under_the_time_they_were_full_and_not_for_ever(home, monkeypatch):
    monkeypatch.setattr(events, 'MAX_BYTES', 400)
    monkeypatch.setattr(events, 'KEEP_FILES', 3)
    log = EventLog('action')
    for i in range(40):
        log.write('hold', str(i))
    log.close(10)
    files = sorted(home.glob('*.jsonl'), key=lambda f: (f.name == 'action.jsonl', f.name))
    assert len(files) == 4 and all(f.stat().st_size <= 400 for f in files)
    reasons = [int(s['reason']) for f in files for s in lines(f)]
    assert reasons == list(range(reasons[0], 40)), 'the newest, none missing between'


def test_a_full_disk_loses_events_and_nothing_else(home, monkeypatch):
    log, append = EventLog('action'), EventLog._append

    def full(self, line):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(EventLog, '_append', full)
    log.write('stop')
    end = time.monotonic() + 10
    while not log.problem and time.monotonic() < end:
        time.sleep(0.01)
    assert log.lost == 1 and 'No space left on device' in log.problem
    monkeypatch.setattr(EventLog, '_append', append)
    log.write('arm')
    log.close(10)
    assert [s['event'] for s in lines(home / 'action.jsonl')] == ['arm'] and not log.problem


def test_writing_never_waits_for_the_disk(monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(EventLog, '_append', lambda self, line: go_on.wait(30))
    log = EventLog('action')
    began = time.monotonic()
    for _ in range(events.QUEUE + 100):
        log.write('hold')
    assert time.monotonic() - began < 5 and log.lost >= 99
    go_on.set()
    log.close(10)
