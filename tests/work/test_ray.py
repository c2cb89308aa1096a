# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A Ray cluster of two nodes on this machine, one of which is killed on the way."""

import contextlib
import json
import os
import pathlib
import re
import signal
import threading
import time

import numpy as np
import pytest
from experiment_files import graph_of
from work_files import Squares

from vw2_ros.errors import UsageError
from vw2_ros.evaluation.rollouts import Options
from vw2_ros.evaluation.run import run
from vw2_ros.experiment.jobs import Job
from vw2_ros.experiment.scheduler import perform
from vw2_ros.sim.collect import collect
from vw2_ros.work import cluster as cluster_module
from vw2_ros.work.errors import WorkError
from vw2_ros.work.folders import identity, pack
from vw2_ros.work.place import open_place

pytest.importorskip('ray', reason='Ray is not installed: pip install ray[client]')
from ray.cluster_utils import Cluster  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture()
def nodes(monkeypatch):
    """A cluster of a head that does no jobs, and two nodes; (cluster, nodes)."""
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    # what the nodes' processes import: this tree, and the tests' own files
    before = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    monkeypatch.setenv(
        'PYTHONPATH', os.pathsep.join([str(ROOT), str(ROOT / 'tests'), *filter(None, before)])
    )
    made = Cluster(initialize_head=True, head_node_args={'num_cpus': 0})
    try:
        both = [made.add_node(num_cpus=1) for _ in range(2)]
        monkeypatch.setenv('RAY_ADDRESS', made.address)
        yield made, both
    finally:
        made.shutdown()


def test_jobs_of_a_killed_node_are_done_again(nodes, tmp_path):
    cluster, (first, _) = nodes
    given, out, go = tmp_path / 'given', tmp_path / 'out', tmp_path / 'go'
    given.mkdir(), out.mkdir()
    (given / 'offset').write_text('100')
    results = []
    work = Squares(reads=(str(given),), waits_for=str(go))
    with open_place('ray') as place:

        def do():
            results.extend(place.perform(work, range(6), out))

        worker = threading.Thread(target=do)
        worker.start()
        time.sleep(5)  # both nodes have a job that waits
        cluster.remove_node(first, allow_graceful=False)
        go.touch()
        worker.join()
        assert sorted(r[:2] for r in results) == [(n, n**2 + 100) for n in range(6)]
        assert set(pack(out)) == {f'{w}n{n}.txt' for n in range(6) for w in ('', 'whole/')}
        with pytest.raises(WorkError, match='ValueError: bad is no number'):
            list(place.perform(Squares(), [1, 'bad'], out))


def test_a_chain_is_the_same_here_and_there(nodes, tmp_path):
    def lines(out):
        (record,) = out.glob('record-*.jsonl')
        found = [json.loads(text) for text in record.read_text().splitlines()][1:]
        return {d['rollout']: d['subtasks'] for d in found}

    for on in ('local', 'ray'):
        run(Options(policy='expert', chains=2, video=1, on=on, out=tmp_path / on))
    assert lines(tmp_path / 'local') == lines(tmp_path / 'ray')
    assert (tmp_path / 'ray/report.html').is_file()
    (film,) = (tmp_path / 'ray/videos').glob('*.mp4')
    assert film.stat().st_size > 1000


def test_a_node_with_another_version_is_refused(nodes, tmp_path, monkeypatch):
    other = {**identity(), 'numpy': '0.1'}
    monkeypatch.setattr(cluster_module, 'identity', lambda: other)
    with open_place('ray') as place, pytest.raises(UsageError, match=r'numpy .* for 0\.1 on the'):
        list(place.perform(Squares(), [1], tmp_path))


def test_sessions_are_the_same_here_and_there(nodes, tmp_path):
    for on in ('local', 'ray'):
        collect(
            tmp_path / on, episodes=2, validation_episodes=1, tasks_per_episode=1, shards=16, on=on
        )
    assert set(pack(tmp_path / 'local')) == set(pack(tmp_path / 'ray'))
    for shard in (tmp_path / 'local').rglob('shard_*.npz'):
        with (
            np.load(shard) as here,
            np.load(tmp_path / 'ray' / shard.relative_to(tmp_path / 'local')) as there,
        ):
            assert all(np.array_equal(here[key], there[key]) for key in here.files)


def test_a_stage_whose_worker_is_killed_goes_on(nodes, tmp_path):
    command = 'collect --episodes 8 --validation-episodes 0 --tasks-per-episode 1 --shards 16'
    job = Job('collect-0', 'collect', (*command.split(), '--out', 'stages/collect-0'))
    of = graph_of()
    of.jobs, of.runs = {job.name: job}, {}
    out = tmp_path / 'out'
    (out / 'stages').mkdir(parents=True)
    cluster, both = nodes
    raylets = {node.all_processes['raylet'][0].process.pid for node in both}

    def kill():
        while not list(out.glob('stages/collect-0/training/sessions/*.json')):
            time.sleep(0.1)
        for status in pathlib.Path('/proc').glob('[0-9]*/status'):
            with contextlib.suppress(OSError):
                name, parent = re.search(
                    r'^Name:\t(.*)$.*^PPid:\t(\d+)$', status.read_text(), re.M | re.S
                ).groups()
                if int(parent) in raylets and name.startswith('ray::Stage'):
                    os.kill(int(status.parent.name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    perform(of, out, jobs=1, on='ray')
    killer.join()
    assert job.is_complete(out)
    assert 'begun again from what has come home' in (out / 'stages/collect-0.log').read_text()
    collect(tmp_path / 'local', episodes=8, validation_episodes=0, tasks_per_episode=1, shards=16)
    assert set(pack(out / 'stages/collect-0')) == set(pack(tmp_path / 'local'))
