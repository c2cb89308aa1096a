# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What an experiment found: table.json.

| key | what |
| --- | --- |
| experiment, scale, command, scene, seeds, once, chains | what was run, `seeds` at most |
| rows | in order, see below; a row without a finished run has no figures |
| ratios | [{of, to, seeds, ratio, low, high, paper}] of mean lengths, paired over chains and over |
| | the seeds that both rows have, so many |

| key of a row | what |
| --- | --- |
| name, what, labels, stages, change, paper | the row |
| video, planning | data that dLDM and VDM, and the planner, learn from; null without latents |
| success_at | [{mean, low, high}] x 5: share of the chains with at least 1..5 subtasks done |
| mean_length | {mean, low, high}: subtasks done in a chain |
| parameters | of planner and head |
| steps, seconds | per stage of training, of one seed; shared stages count in every row |
| held_out | means over the seeds of what `HELD_OUT` names |
| runs | [{seed, lengths, checkpoint_sha256, git_commit, data, scores, commands}] |
| - git_commit, data | stage -> commit of the code, digest of the data |

Intervals hold 95 % of the bootstrap means, see `statistics`.
"""

import json
import pathlib
import shlex
import sys

import numpy as np

from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.rows import SCENE, Row
from vw2_ros.experiment.statistics import interval, ratio

# Mean lengths of two rows of the table, and their ratio in the paper.
RATIOS = (
    ('videoworld2', 'none', 1.68),
    ('videoworld2', 'lapa', 1.26),
    ('videoworld2', 'videoworld1', None),
    ('videoworld2-full', 'none-full', 1.22),
)
HELD_OUT = {
    'mse': 'held-out MSE',
    'code_usage': 'code usage',
    'perplexity': 'perplexity',
    'code_gain': 'what codes tell the VDM',
    'cross_entropy': 'cross-entropy of codes',
    'accuracy': 'accuracy of codes',
}


def collected(graph: JobGraph, out: pathlib.Path, table: str, scale: str) -> dict:
    """The content of table.json, of what is complete so far (see the head of this file)."""
    rows = [_row(graph, row, out) for row in graph.rows]
    lengths = {
        row['name']: {r['seed']: r['lengths'] for r in row['runs'] if r['lengths']} for row in rows
    }
    ratios = []
    for of, to, paper in RATIOS if table == 'calvin-table' else ():
        seeds = sorted(set(lengths.get(of, ())) & set(lengths.get(to, ())))
        if seeds:
            pair = (np.array([lengths[name][s] for s in seeds]) for name in (of, to))
            ratios.append(
                {'of': of, 'to': to, 'seeds': len(seeds), **ratio(*pair), 'paper': paper}
            )
    return {
        'experiment': table,
        'scale': scale,
        'command': shlex.join(['vw2', *sys.argv[1:]]),
        'scene': SCENE,
        'seeds': graph.seeds,
        'once': list(graph.once),
        'chains': graph.chains,
        'rows': rows,
        'ratios': ratios,
    }


def _row(graph: JobGraph, row: Row, out: pathlib.Path) -> dict:
    runs = [run for seed in range(graph.seeds) if (run := _run(graph, row.name, seed, out))]
    found = {
        'name': row.name,
        'what': row.what,
        'labels': row.labels,
        'video': row.video if row.stages else None,
        'planning': list(row.planning) if row.stages else None,
        'stages': list(row.stages),
        'change': row.change,
        'paper': row.paper,
        'success_at': None,
        'mean_length': None,
        'parameters': None,
        'steps': {},
        'seconds': {},
        'held_out': {},
        'runs': runs,
    }
    evaluated = [run['lengths'] for run in runs if run['lengths']]
    if evaluated:
        lengths = np.array(evaluated)
        found['mean_length'] = interval(lengths)
        found['success_at'] = [interval((lengths >= n).astype(float)) for n in range(1, 6)]
    for run in runs:
        found['parameters'] = run.pop('parameters') or found['parameters']
        found['steps'] |= run.pop('steps')
        for kind, seconds in run.pop('seconds').items():
            found['seconds'].setdefault(kind, []).append(seconds)
    found['seconds'] = {k: round(float(np.mean(v)), 1) for k, v in found['seconds'].items()}
    for key in HELD_OUT:
        values = [run['scores'][key] for run in runs if key in run['scores']]
        if values:
            found['held_out'][key] = float(np.mean(values))
    return found


def _run(graph: JobGraph, row: str, seed: int, out: pathlib.Path) -> dict | None:
    """One row with one seed; None where nothing of it is trained yet."""
    jobs = {
        kind: graph.jobs[name]
        for kind, name in graph.runs[row, seed].items()
        if graph.jobs[name].is_complete(out)
    }
    folders = {kind: out / 'stages' / job.name for kind, job in jobs.items()}
    made = {
        kind: _json(folder / ('policy' if kind == 'head' else '') / 'provenance.json')
        for kind, folder in folders.items()
        if kind != 'eval'
    }
    if not made:
        return None
    result = _json(folders['eval'] / 'result.json') if 'eval' in folders else {}
    scores = {}
    for kind in ('dldm', 'disentangle'):  # the later one counts
        of_codes = made.get(kind, {}).get('scores', {})
        scores |= {k: of_codes[k] for k in ('mse', 'code_usage', 'code_gain') if k in of_codes}
        if of_codes.get('perplexity'):
            scores['perplexity'] = float(np.mean(list(of_codes['perplexity'].values())))
    of_planner = made.get('planner', {}).get('scores', {})
    scores |= {
        name: of_planner[key]
        for name, key in (('cross_entropy', 'loss'), ('accuracy', 'accuracy'))
        if key in of_planner
    }
    return {
        'seed': seed,
        'lengths': result.get('lengths'),
        'scores': scores,
        'checkpoint_sha256': result.get('checkpoint_sha256'),
        'git_commit': {kind: m.get('git_commit') for kind, m in made.items()},
        'data': {kind: m.get('data') for kind, m in made.items()},
        'parameters': made.get('head', {}).get('parameters'),
        'steps': {kind: m['steps'] for kind, m in made.items() if 'steps' in m},
        'seconds': {kind: m['seconds'] for kind, m in made.items() if 'seconds' in m}
        | ({'eval': result['seconds']} if result else {}),
        'commands': [job.text for job in graph.needed(row, seed) if job.is_complete(out)],
    }


def _json(path: pathlib.Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def read(out: pathlib.Path) -> dict:
    """The content of table.json, {} where there is none."""
    return _json(out / 'table.json')
