# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The page of `vw2 check`: the worst episodes first, with pictures; it needs no file beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.evaluation import film, report
from vw2_ros.review.check import Checked, Verdict, counted, idle_frames
from vw2_ros.review.show import sheet, title

PICTURED = 60  # episodes with pictures: of more the page would be too large to open
PARTS = (('x', '#3b76c4'), ('y', '#e08a1e'), ('z', '#2f9e62'))
TURN = '#b0479a'  # of the largest of roll, pitch and yaw


def render(verdict: Verdict, data: Path) -> str:
    """The page as text."""
    worst = sorted(verdict.episodes, key=lambda c: (c.score, c.entry.number))
    seconds = sum(seconds for _, seconds in verdict.labels.values())
    found = sum(bool(c.findings) for c in verdict.episodes)
    scores = [c.score for c in verdict.episodes]
    parts = [
        f'<h1>{_text(data)}: what a policy would learn</h1>',
        report.tiles(
            [
                (f'{len(worst)}', 'episodes'),
                (f'{seconds / 60:.1f} min', 'in all'),
                (f'{len([t for t in verdict.labels if t])}', 'instructions'),
                (f'{found}', 'episodes with findings'),
                (_outcomes(verdict), 'success, failure, nobody said'),
                (f'{np.mean(scores):.0f}' if scores else '-', 'mean score, of 100'),
            ]
        ),
    ]
    if verdict.findings:
        rows = ''.join(
            f'<li><b>{_text(f.kind)}</b>: {_text(f.text)}</li>' for f in verdict.findings
        )
        parts += ['<h2>All together</h2>', f'<ul>{rows}</ul>']
    parts += ['<h2>Instructions</h2>', _labels(verdict)]
    parts += ['<h2>Episodes, the worst first</h2>', _legend()]
    parts += [_episode(c, data, i < PICTURED) for i, c in enumerate(worst)]
    if len(worst) > PICTURED:
        parts.append(f'<p>Pictures are shown of the {PICTURED} worst.</p>')
    return report.page(f'{data}: check', parts)


def _outcomes(verdict: Verdict) -> str:
    return ', '.join(str(verdict.outcomes.get(kind, 0)) for kind in ('success', 'failure', ''))


def _text(value: object) -> str:
    return html.escape(str(value))


def _legend() -> str:
    parts = (*PARTS, ('the largest of roll, pitch and yaw', TURN))
    names = ', '.join(f'<span style="color:{colour}">{name}</span>' for name, colour in parts)
    return (
        f'<p class="soft">Below the pictures: the actions {names} in units of the largest, the '
        'gripper (black: open above, closed below), and in grey where nothing moves.</p>'
    )


def _labels(verdict: Verdict) -> str:
    rows = sorted(verdict.labels.items(), key=lambda item: -item[1][0])
    most = max((n for _, (n, _) in rows), default=1)
    body = ''.join(
        f'<tr><th>{_text(text or "without words")}</th>'
        f'<td><div class="track"><div style="width:{100 * n / most:.1f}%"></div></div></td>'
        f'<td class="number">{counted(n)}, {seconds:.0f} s</td></tr>'
        for text, (n, seconds) in rows
    )
    return f'<table>{body}</table>'


def _episode(checked: Checked, data: Path, pictured: bool) -> str:
    entry = checked.entry
    found = ''.join(f'<li><b>{_text(f.kind)}</b>: {_text(f.text)}</li>' for f in checked.findings)
    parts = [
        f'<h3>{_text(title(entry))}, score {checked.score}</h3>',
        f'<ul>{found}</ul>' if found else '',
    ]
    if pictured and (rows := sheet(entry, 1)):
        parts.append(_picture(cv2_jpg(film.strip(rows, title(entry))), title(entry)))
    if pictured and checked.motion is not None:
        parts.append(_picture(('png', _plot(checked)), f'actions of episode {entry.number}'))
    if found:
        parts.append(
            f'<p class="soft"><code>vw2 episodes drop {_text(data)} {entry.number}</code></p>'
        )
    return ''.join(parts)


def cv2_jpg(rgb: np.ndarray) -> tuple[str, bytes]:
    """('jpeg', the file) of a picture uint8 (H, W, 3) rgb."""
    return 'jpeg', cv2.imencode('.jpg', np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes()


def _picture(file: tuple[str, bytes], what: str) -> str:
    kind, content = file
    data = base64.b64encode(content).decode()
    return (
        f'<img style="width:100%;display:block" alt="{_text(what)}" '
        f'src="data:image/{kind};base64,{data}">'
    )


def _plot(checked: Checked) -> bytes:
    """PNG of the actions over time."""
    from matplotlib.figure import Figure

    actions = checked.motion.actions
    seconds = np.arange(len(actions)) / ACTION_HZ
    figure = Figure(figsize=(10.24, 1.1), layout='constrained', facecolor='white')
    axes = figure.subplots()
    for i, (name, colour) in enumerate(PARTS):
        axes.plot(seconds, actions[:, i], color=colour, linewidth=0.9, label=name)
    turn = np.take_along_axis(actions, 3 + np.abs(actions[:, 3:6]).argmax(1)[:, None], 1)
    axes.plot(seconds, turn[:, 0], color=TURN, linewidth=0.9)
    axes.step(seconds, 1.1 * actions[:, 6], color='black', linewidth=1.1, where='post')
    axes.fill_between(
        seconds, -1.2, 1.2, where=idle_frames(actions), color='#c9ced6', linewidth=0, step='mid'
    )
    axes.set_xlim(0, max(seconds[-1], 1 / ACTION_HZ))
    axes.set_ylim(-1.2, 1.2)
    axes.tick_params(labelsize=7)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=100)
    return buffer.getvalue()


def lines(verdict: Verdict) -> Iterable[str]:
    """What was found, in lines for people."""
    for checked in sorted(verdict.episodes, key=lambda c: (c.score, c.entry.number)):
        for finding in checked.findings:
            yield f'{title(checked.entry)}: {finding.kind}: {finding.text}'
    for finding in verdict.findings:
        yield f'all: {finding.kind}: {finding.text}'
