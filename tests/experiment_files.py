# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Job graphs, tiny scales and folders of an experiment, as if it had run."""

import json
import pathlib

import yaml

from vw2_ros.experiment.jobs import JobGraph, write_commands
from vw2_ros.experiment.rows import chosen, merged
from vw2_ros.experiment.scale import Scale

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = {
    'abc': {'scenes': 'ABC', 'episodes': 3, 'randomize': True, 'seed': 31},
    'd': {'scenes': 'D', 'episodes': 2},
}


def graph_of(table='calvin-table', rows='', seeds=1, chains=20, change=None, **options):
    config = merged(Scale.load('tiny').config(), change or {})
    return JobGraph(chosen(table, rows), seeds, config, DATA, chains, **options)


def kinds(of):
    return [job.kind for job in of.jobs.values()]


def pretend(of, out, lengths=(1, 2), commit=lambda job: 'a' * 40):
    """As if all these jobs had been done."""
    write_commands(of, out)
    for name, job in of.jobs.items():
        folder = out / 'stages' / name
        (folder / 'policy').mkdir(parents=True)
        made = json.dumps({'git_commit': commit(job), 'steps': 3, 'seconds': 1.0})
        (folder / 'provenance.json').write_text(made)
        (folder / 'policy' / 'provenance.json').write_text(made)
        (folder / 'result.json').write_text(
            json.dumps({'lengths': lengths, 'checkpoint_sha256': 'b' * 64, 'seconds': 1.0})
        )
        (out / 'stages' / f'{name}.json').write_text(json.dumps({'command': list(job.command)}))


def write_scale(folder, data, **changes):
    """Path of a tiny scale with this data and these changes of the config."""
    content = yaml.safe_load((ROOT / 'config' / 'experiment' / 'tiny.yaml').read_text())
    content |= {'data': {name: str(data) for name in ('abc', 'd')}, 'chains': 1}
    content['train'] = merged(content['train'], changes)
    path = folder / 'scale.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)
