# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The pictures of an experiment: mean_length.png and curves.png."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.files import whole

CURVES = (
    ('dLDM', ('dldm', 'disentangle'), 'mse', 'held-out MSE'),
    ('planner', ('planner',), 'loss', 'held-out cross-entropy of codes'),
    ('action head', ('head',), 'xyz_l1', 'held-out error of xyz actions'),
)


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


def curves(path: pathlib.Path, graph: JobGraph, out: pathlib.Path) -> None:
    """Learning curves of each stage, a line per run; a stage that rows share has one line."""
    panels = []
    for title, kinds, key, label in CURVES:
        lines: dict[str, tuple[list[str], list[tuple[int, float]]]] = {}
        for (row, _), run in graph.runs.items():
            name = next((run[kind] for kind in reversed(kinds) if kind in run), None)
            points = _curve(out / 'stages' / name / 'log.jsonl', key) if name else []
            if points:
                lines.setdefault(name, ([], points))[0].append(row)
        if lines:
            panels.append((title, label, lines))
    if not panels:
        return
    figure = Figure(figsize=(5 * len(panels), 3.8), layout='constrained')
    colour = {row.name: colormaps['tab20'](i % 20) for i, row in enumerate(graph.rows)}
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
    with whole(path) as beside:
        figure.savefig(beside, format='png', dpi=110)
