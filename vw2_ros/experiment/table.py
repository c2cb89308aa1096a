# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""table.md and report.html: the content of table.json for people."""

import base64
import html
import pathlib
from collections.abc import Mapping, Sequence

from vw2_ros.evaluation import report
from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.plots import bars, curves
from vw2_ros.experiment.results import HELD_OUT, collected
from vw2_ros.experiment.rows import KINDS
from vw2_ros.files import write_json, write_whole


def write_table(graph: JobGraph, out: pathlib.Path, table: str, scale: str) -> dict:
    """Write all files of what is complete so far; returns the content of table.json."""
    result = collected(graph, out, table, scale)
    write_json(out / 'table.json', result)
    write_whole(out / 'table.md', markdown(result))
    if any(row['mean_length'] for row in result['rows']):
        bars(out / 'mean_length.png', result)
    curves(out / 'curves.png', graph, out)
    write_whole(out / 'report.html', page(result, out))
    return result


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
