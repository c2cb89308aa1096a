# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What an experiment found: table.md, table.json, report.html, mean_length.png, curves.png.

table.json:

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

Intervals hold 95 % of 4000 bootstrap means: seeds and chains are drawn with replacement, each on
its own, since all seeds meet the same chains.
"""

import base64
import html
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from vw2_ros.evaluation import report
from vw2_ros.experiment.jobs import KINDS, SCENE, Plan

DRAWS = 4000
LOW, HIGH = 2.5, 97.5
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
CURVES = (
    ('dLDM', ('dldm', 'disentangle'), 'mse', 'held-out MSE'),
    ('planner', ('planner',), 'loss', 'held-out cross-entropy of codes'),
    ('action head', ('head',), 'xyz_l1', 'held-out error of xyz actions'),
)


# ------------------------------------------------------------------------------------- statistics


def _weights(seeds: int, chains: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed (DRAWS, seeds) and each chain (DRAWS, chains) is drawn, as shares."""
    rng = np.random.default_rng(0)
    return tuple(rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n for n in (seeds, chains))


def bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of (seeds, chains) under resampling: float (DRAWS,), the same draws at every call."""
    by_seed, by_chain = _weights(*values.shape)
    return np.einsum('rs,sc,rc->r', by_seed, values, by_chain)


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean of (seeds, chains) and its 95 % interval, {mean, low, high}."""
    low, high = np.percentile(bootstrap_means(values), [LOW, HIGH])
    return {'mean': float(values.mean()), 'low': float(low), 'high': float(high)}


def ratio(first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """Ratio of two means over the same (seeds, chains), {ratio, low, high}.

    Both are resampled together. None stands for no finite number: the second mean is 0.
    """
    a, b = bootstrap_means(first), bootstrap_means(second)
    with np.errstate(divide='ignore', invalid='ignore'):
        drawn, point = a / b, first.mean() / second.mean()
    drawn = drawn[~np.isnan(drawn)]  # 0 / 0 says nothing
    # A draw that is there: between a number and infinity there is no middle.
    low, high = (
        np.percentile(drawn, [LOW, HIGH], method='nearest') if len(drawn) else (np.nan, np.nan)
    )
    return {
        k: float(v) if np.isfinite(v) else None
        for k, v in (('ratio', point), ('low', low), ('high', high))
    }


# ---------------------------------------------------------------------------------- what came out


def collected(plan: Plan, out: pathlib.Path, table: str, scale: str) -> dict:
    """The content of table.json, of what is complete so far (see the head of this file)."""
    rows = [_row(plan, row, out) for row in plan.rows]
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
        'seeds': plan.seeds,
        'once': list(plan.once),
        'chains': plan.chains,
        'rows': rows,
        'ratios': ratios,
    }


def _row(plan: Plan, row, out: pathlib.Path) -> dict:
    runs = [run for seed in range(plan.seeds) if (run := _run(plan, row.name, seed, out))]
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


def _run(plan: Plan, row: str, seed: int, out: pathlib.Path) -> dict | None:
    """One row with one seed; None where nothing of it is trained yet."""
    jobs = {
        kind: plan.jobs[name]
        for kind, name in plan.runs[row, seed].items()
        if plan.jobs[name].is_complete(out)
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
        'commands': [job.text for job in plan.needed(row, seed) if job.is_complete(out)],
    }


def _json(path: pathlib.Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


# ------------------------------------------------------------------------------------------ files


def write(plan: Plan, out: pathlib.Path, table: str, scale: str) -> dict:
    """Write all files of what is complete so far; returns the content of table.json."""
    result = collected(plan, out, table, scale)
    _replace(out / 'table.json', (json.dumps(result, indent=2) + '\n').encode())
    _replace(out / 'table.md', markdown(result).encode())
    if any(row['mean_length'] for row in result['rows']):
        bars(out / 'mean_length.png', result)
    curves(out / 'curves.png', plan, out)
    _replace(out / 'report.html', page(result, out).encode())
    return result


def read(out: pathlib.Path) -> dict:
    """The content of table.json, {} where there is none."""
    return _json(out / 'table.json')


def _replace(path: pathlib.Path, content: bytes) -> None:
    part = path.with_name(path.name + '.part')
    part.write_bytes(content)
    os.replace(part, path)


def tables(result: Mapping) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, header, lines) of each table, as text; the first column names the row."""
    rows = result['rows']
    out = []
    if any(row['mean_length'] for row in rows):
        out.append(
            (
                'Chains of five',
                [
                    'row',
                    'labels',
                    'latents',
                    *'12345',
                    'mean length',
                    'paper',
                    'chains',
                    'parameters',
                    'checkpoint',
                ],
                [_chain_line(row) for row in rows],
            )
        )
    if result['ratios']:
        out.append(
            (
                'Ratios of mean lengths, over the seeds that both rows have',
                ['rows', 'seeds', 'ratio', 'paper'],
                [
                    [
                        f'{r["of"]} / {r["to"]}',
                        str(r['seeds']),
                        _spread(r['ratio'], r['low'], r['high']),
                        _number(r['paper']),
                    ]
                    for r in result['ratios']
                ],
            )
        )
    if any(row['held_out'] for row in rows):
        keys = [k for k in HELD_OUT if any(k in row['held_out'] for row in rows)]
        out.append(
            (
                'Codes, without a robot',
                ['row', 'what', *(HELD_OUT[k] for k in keys)],
                [
                    [row['name'], row['what'], *(_figure(row['held_out'].get(k)) for k in keys)]
                    for row in rows
                ],
            )
        )
    kinds = [k for k in KINDS if any(k in row['seconds'] for row in rows)]
    out.append(
        (
            'Training',
            ['row', *kinds, 'minutes'],
            [
                [
                    row['name'],
                    *(_stage(row, kind) for kind in kinds),
                    f'{sum(row["seconds"].values()) / 60:.1f}',
                ]
                for row in rows
            ],
        )
    )
    return out


def _chain_line(row: Mapping) -> list[str]:
    length = row['mean_length']
    seeds = [run for run in row['runs'] if run['lengths']]
    return [
        row['name'],
        f'{100 * row["labels"]:.0f} %',
        row['what'],
        *([f'{100 * s["mean"]:.1f}' for s in row['success_at']] if length else [''] * 5),
        _spread(length['mean'], length['low'], length['high']) if length else '',
        _number(row['paper']),
        f'{len(seeds)} x {len(seeds[0]["lengths"])}' if seeds else '',
        f'{row["parameters"]:,}' if row['parameters'] else '',
        ' '.join(run['checkpoint_sha256'][:8] for run in seeds),
    ]


def _stage(row: Mapping, kind: str) -> str:
    seconds = row['seconds'].get(kind)
    if seconds is None:
        return ''
    steps = row['steps'].get(kind)
    return f'{steps:,} steps, {seconds:.0f} s' if steps else f'{seconds:.0f} s'


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.2f}'


def _figure(value: float | None) -> str:
    return '' if value is None else f'{value:.4g}'


def _spread(mean: float | None, low: float | None, high: float | None) -> str:
    a, b, c = ('–' if x is None else f'{x:.2f}' for x in (mean, low, high))
    return f'{a} [{b}, {c}]'


def markdown(result: Mapping) -> str:
    """table.md."""
    parts = [
        f'# {result["experiment"]}, scale {result["scale"]}',
        '',
        f'{_extent(result)}{_commits(result)}',
    ]
    for title, header, lines in tables(result):
        parts += [
            '',
            f'## {title}',
            '',
            _line(header),
            _line(['---'] * len(header)),
            *map(_line, lines),
        ]
    return '\n'.join(
        [*parts, '', f'Command: `{result["command"]}`; every stage is in commands.sh.', '']
    )


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _extent(result: Mapping) -> str:
    counts = {
        n
        for row in result['rows']
        if (n := sum(bool(run['lengths'] or not result['chains']) for run in row['runs']))
    } or {result['seeds']}
    few, many = min(counts), max(counts)
    seeds = (
        (f'{few} to ' if few < many else '')
        + f'{many} seed{"s" if many > 1 else ""}'
        + (' of a row' if few < many else '')
    )
    if many > 1:
        seeds += f' (but for {", ".join(result["once"])}: trained once)'
    if not result['chains']:
        return f'{seeds}; figures of codes are means over them.'
    over = (
        'chains only'
        if many == 1
        else 'chains and seeds'
        if few > 1
        else 'chains, and over seeds where a row has several'
    )
    return (
        f'Scene {result["scene"]}, {result["chains"]} chains of five, {seeds}. Success in '
        f'percent. Brackets: 95 % bootstrap interval over {over}.'
    )


def _commits(result: Mapping) -> str:
    """The sentence that says which code made which stages, where it is not the same for all."""
    stages: dict[str, set[str]] = {}
    for row in result['rows']:
        for run in row['runs']:
            for kind, commit in run['git_commit'].items():
                stages.setdefault(str(commit), set()).add(kind)
    if len(stages) < 2:
        return ''
    told = '; '.join(
        f'{commit[:7]}{"+changes" if "+" in commit else ""} '
        f'({", ".join(kind for kind in KINDS if kind in kinds)})'
        for commit, kinds in stages.items()
    )
    return f' Stages were finished by the code of different commits: {told}.'


def page(result: Mapping, out: pathlib.Path) -> str:
    """report.html: the tables and the pictures in one file."""
    parts = [
        f'<h1>{html.escape(result["experiment"])}, scale {html.escape(result["scale"])}</h1>',
        f'<p>{html.escape(_extent(result) + _commits(result))}</p>',
    ]
    for title, header, lines in tables(result):
        head, *body = ([html.escape(cell) for cell in line] for line in (header, *lines))
        parts += [
            f'<h2>{html.escape(title)}</h2><div style="overflow-x: auto"><table>',
            '<tr>',
            *(f'<th style="width: auto; white-space: normal">{cell}</th>' for cell in head),
            '</tr>',
            *(f'<tr><td>{"</td><td>".join(line)}</td></tr>' for line in body),
            '</table></div>',
        ]
    for name in ('mean_length', 'curves'):
        file = out / f'{name}.png'
        if file.is_file():
            data = base64.b64encode(file.read_bytes()).decode()
            parts.append(
                f'<h2>{name.replace("_", " ").capitalize()}</h2><figure><img alt="{name}" '
                f'style="width: 100%" src="data:image/png;base64,{data}"></figure>'
            )
    parts.append(f'<h2>How it was made</h2><code>{html.escape(result["command"])}</code>')
    return report.page(result['experiment'], parts)


# --------------------------------------------------------------------------------------- pictures


def bars(path: pathlib.Path, result: Mapping) -> None:
    """Mean length of each row with its interval; a ring where the paper has a figure."""
    rows = [row for row in result['rows'] if row['mean_length']]
    figure = Figure(figsize=(1.4 + 1.3 * len(rows), 3.6), layout='constrained')
    axes = figure.add_subplot()
    means, lows, highs = (
        np.array([row['mean_length'][k] for row in rows]) for k in ('mean', 'low', 'high')
    )
    places = np.arange(len(rows))
    axes.bar(
        places, means, 0.6, color=['#9db8dd' if row['labels'] < 1 else '#3b76c4' for row in rows]
    )
    axes.errorbar(
        places,
        means,
        [np.maximum(means - lows, 0), np.maximum(highs - means, 0)],
        fmt='none',
        ecolor='#1c2430',
        capsize=4,
    )
    paper = [(i, row['paper']) for i, row in enumerate(rows) if row['paper'] is not None]
    if paper:
        axes.plot(*zip(*paper), 'o', mfc='none', mec='#d1493f', label='paper, on CALVIN')
        axes.legend(frameon=False)
    axes.set_xticks(
        places, [f'{row["name"]}\n{100 * row["labels"]:.0f} % labels' for row in rows], fontsize=8
    )
    axes.set_ylabel('subtasks in a row, of 5')
    axes.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


def curves(path: pathlib.Path, plan: Plan, out: pathlib.Path) -> None:
    """Learning curves of each stage, a line per run; a stage that rows share has one line."""
    panels = []
    for title, kinds, key, label in CURVES:
        lines: dict[str, tuple[list[str], list[tuple[int, float]]]] = {}
        for (row, _), run in plan.runs.items():
            name = next((run[kind] for kind in reversed(kinds) if kind in run), None)
            points = _curve(out / 'stages' / name / 'log.jsonl', key) if name else []
            if points:
                lines.setdefault(name, ([], points))[0].append(row)
        if lines:
            panels.append((title, label, lines))
    if not panels:
        return
    figure = Figure(figsize=(5 * len(panels), 3.8), layout='constrained')
    colour = {row.name: colormaps['tab20'](i % 20) for i, row in enumerate(plan.rows)}
    for number, (title, label, lines) in enumerate(panels, 1):
        axes, named = figure.add_subplot(1, len(panels), number), set()
        for rows, points in lines.values():
            name = ', '.join(dict.fromkeys(rows))
            axes.plot(
                *zip(*points),
                color=colour[rows[0]],
                lw=1.4,
                marker='o' if len(points) == 1 else None,
                label=None if name in named else name,
            )
            named.add(name)
        axes.set(title=title, xlabel='step', ylabel=label)
        axes.legend(frameon=False, fontsize=7)
        axes.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


def _curve(path: pathlib.Path, key: str) -> list[tuple[int, float]]:
    """(step, value) of a run's validations, as far as its log is whole."""
    points = []
    try:
        for line in path.read_text().splitlines():
            report = json.loads(line)
            if report['kind'] == 'validation' and key in report:
                points.append((report['step'], report[key]))
    except (OSError, ValueError):
        pass
    return points


def _save(figure, path: pathlib.Path) -> None:
    part = path.with_name(path.name + '.part')
    figure.savefig(part, format='png', dpi=110)
    os.replace(part, path)
