# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Jobs that run: one that fails, and one that an earlier experiment left running."""

import subprocess
import sys
import threading

import pytest
from experiment_files import graph_of

from vw2_ros.experiment import board
from vw2_ros.experiment.jobs import Job, JobGraph, write_commands
from vw2_ros.experiment.rows import chosen
from vw2_ros.experiment.running import RunningJob
from vw2_ros.experiment.scale import Scale
from vw2_ros.experiment.scheduler import ExperimentError, perform
from vw2_ros.work.local import Local


def test_a_failed_stage_is_named_and_the_rest_is_done(tmp_path):
    refused = {'scenes': 'D', 'episodes': 0}
    small = {
        'scenes': 'D',
        'episodes': 1,
        'tasks_per_episode': 1,
        'validation_episodes': 0,
        'shards': 32,
    }
    of = JobGraph(
        chosen('calvin-table', 'lapa'),
        1,
        Scale.load('tiny').config(),
        {'abc': refused, 'd': small},
        chains=1,
    )
    of.jobs = {name: job for name, job in of.jobs.items() if job.kind in ('collect', 'dldm')}
    of.runs = {}  # only these, not the whole row
    write_commands(of, tmp_path)
    with pytest.raises(ExperimentError, match="^collect-.*Invalid value for '--episodes'") as told:
        perform(of, tmp_path, jobs=1)
    assert 'goes on with what is left' in str(told.value) and str(told.value).count('failed:') == 1
    assert not list(tmp_path.glob('stages/dldm*')), 'it builds on the one that failed'
    assert len(list(tmp_path.glob('stages/collect-*.json'))) == 1, 'the other one is done'


def test_a_stage_left_over_by_a_kill_is_waited_for(tmp_path, monkeypatch, capsys):
    """Its log stays locked by the process that outlived the experiment; whoever waits says so."""
    job = Job('collect-0', 'collect', ('--help',))
    (tmp_path / 'stages').mkdir()
    with open(tmp_path / 'stages' / 'collect-0.log', 'ab') as log:
        left = subprocess.Popen(
            [
                sys.executable,
                '-c',
                'import fcntl, sys; '
                'fcntl.flock(1, fcntl.LOCK_EX); sys.stderr.write("x"); '
                'sys.stderr.flush(); sys.stdin.read()',
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.PIPE,
        )
    of = graph_of()
    of.jobs, of.runs = {job.name: job}, {}
    monkeypatch.setattr(board, 'REMIND_S', 0.5)
    try:
        assert left.stderr.read(1) == b'x'
        assert RunningJob(job, tmp_path, 1, Local()).is_elsewhere
        threading.Timer(2.0, left.stdin.close).start()
        perform(of, tmp_path, jobs=1)
    finally:
        left.kill()
        left.wait()
    assert job.is_complete(tmp_path)
    said = capsys.readouterr().err
    assert said.startswith('0/1 waits for collect-0: another process is at it\n')
    assert '0/1 collect-0: elsewhere\n' in said and said.endswith('1/1 done collect-0\n')
