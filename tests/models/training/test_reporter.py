# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a run tells: bars and logs."""

import json
import re
import time

import calvin_files

from vw2_ros import progress
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.training.reporter import Reporter, _bar
from vw2_ros.progress import progress_bar


def test_a_narrow_terminal_shows_the_time_that_is_left():
    with _bar() as bar:
        bar.console.width = 80
        bar.add_task(
            'disentangle',
            total=1.0,
            completed=0.5,
            note='step 67600 pass 118.5 loss 1.0450 0.03 s/step, 266 samples/s, waiting 0 %',
        )
        with bar.console.capture() as shown:
            bar.console.print(bar.make_tasks_table(bar.tasks))
    assert '50% 0:00:00 -:--:-- step 67600' in shown.get() and shown.get().count('\n') == 1


def test_resumes_after_a_log_that_was_cut_short(tmp_path):
    reporter = Reporter(tmp_path, 'toy', 0)
    for step in (2, 4, 6):
        reporter.report(step, {'loss': 1.0})
    reporter.close()
    with open(tmp_path / 'log.jsonl', 'a') as log:
        log.write('{"stage": "toy", "st')
    Reporter(tmp_path, 'toy', 4).close()
    assert [json.loads(x)['step'] for x in (tmp_path / 'log.jsonl').open()] == [2, 4]


def test_a_bar_without_a_terminal_prints_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress.Bar, 'every_s', 0.05)
    with progress_bar() as bar:
        task = bar.add_task('decoding', total=1000)
        bar.advance(task, 100)
        time.sleep(0.5)
        bar.advance(task, 900)
    out, err = capsys.readouterr()
    assert 'decoding 100 of 1000\n' in err and 'decoding 1000' not in err and not out


def test_the_bar_of_copies_comes_to_its_end(tmp_path, capsys):
    data = calvin_files.write_data(tmp_path, shards=True, episodes=1, frames=40)
    store = FrameStore([data], 'training', 96)
    n = len(store.resized(32))
    assert f'{n}/{n}' in re.search('32 px copies.*', capsys.readouterr().err)[0]
