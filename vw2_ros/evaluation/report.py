# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One HTML file about an evaluation: figures, a bar per task, films. It needs nothing beside it.

It shows a result with the keys of `evaluation`; the films that `result['videos']` names are put
into the file itself.
"""

import base64
import html
import os
import pathlib
from collections.abc import Iterable, Mapping

from vw2_ros.files import write_whole

LOST_SHOWN = 20  # of the pairs of tasks at whose second one most chains ended
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #d9dee7;
  --paper: #fff; --panel: #f5f7fa; --good: #2f9e62; --bad: #d1493f; --bar: #3b76c4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #343c4a;
  --paper: #14181f; --panel: #1c222c; --good: #4cc38a; --bad: #f0766c; --bar: #6aa1e6 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif }
h1 { font-size: 24px; margin: 0 0 4px } h2 { font-size: 18px; margin: 34px 0 10px }
p, .soft { color: var(--soft) } p { margin: 0 }
code { font: 13px/1.4 ui-monospace, 'DejaVu Sans Mono', monospace; overflow-wrap: anywhere }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 16px; min-width: 130px }
.tile b { display: block; font-size: 26px; line-height: 1.3 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line);
  vertical-align: middle; font-weight: normal }
th { color: var(--soft); width: 190px; white-space: nowrap }
td.number { text-align: right; white-space: nowrap; width: 110px;
  font-variant-numeric: tabular-nums }
.track { background: var(--panel); border-radius: 3px; height: 14px; min-width: 160px }
.track div { background: var(--bar); border-radius: 3px; height: 14px }
.films { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 18px }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden }
video { display: block; width: 100%; background: #000 }
.scroll { overflow-x: auto }
.plot { margin: 12px 0 } .plot img { display: block; width: 100%; background: #fff }
figcaption { padding: 8px 12px 12px; font-size: 14px }
ol { margin: 4px 0 0; padding-left: 22px }
.good { color: var(--good) } .bad { color: var(--bad) }
"""


def write(path: str | os.PathLike, result: Mapping, folder: str | os.PathLike) -> None:
    """Write the report, whole or not at all.

    Args:
        path: the HTML file.
        result: keys of `evaluation`'s table; what is missing is left out. Each entry of `videos`
            may hold `subtasks`: [{task, instruction, success, steps}].
        folder: what the files in `result['videos']` are relative to. A film that is not there is
            named, not shown.
    """
    save(path, render(result, pathlib.Path(folder)))


def save(path: str | os.PathLike, text: str) -> None:
    """Write a text, whole or not at all."""
    write_whole(path, text)


def page(title: str, parts: Iterable[str]) -> str:
    """A page that needs nothing beside it, of parts that are HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><style>{_STYLE}</style></head>\n<body>\n'
        + '\n'.join(parts)
        + '\n</body></html>\n'
    )


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Large figures in a row, of (figure, what it is)."""
    body = ''.join(
        f'<div class="tile"><b>{_text(v)}</b><span class="soft">{_text(k)}</span></div>'
        for v, k in figures
    )
    return f'<div class="tiles">{body}</div>'


def settings(rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and values."""
    body = ''.join(
        f'<tr><th>{_text(key)}</th><td><code>{_text(value)}</code></td></tr>'
        for key, value in rows
    )
    return f'<table>{body}</table>'


def render(result: Mapping, folder: pathlib.Path) -> str:
    """The report as text."""
    policy = result.get('policy', 'policy')
    table = 'the real CALVIN' if result.get('table') == 'calvin' else 'the play table'
    return page(
        f'{policy}: evaluation',
        [
            f'<h1>{_text(policy)} on {table}, scene {_text(result.get("scene", "?"))}</h1>',
            f'<p>{_text(_extent(result))}</p>',
            _tiles(result),
            *_chains(result),
            *_tasks(result.get('per_task', {})),
            *_transitions(result.get('transitions', ())),
            *_films(result.get('videos', ()), folder),
            *_every(result.get('rollouts', ())),
            '<h2>How it was made</h2>',
            _settings(result),
        ],
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _extent(result: Mapping) -> str:
    trials = sum(c['trials'] for c in result.get('per_task', {}).values())
    chains = result.get('chains') or 0
    said = [f'{chains} chain{"s" if chains != 1 else ""} of five subtasks'] if chains else []
    said.append(f'{trials} tr{"ies" if trials != 1 else "y"} behind the success by task')
    how = ', through the ROS nodes' + (', in real time' if result.get('real_time') else '')
    return ', '.join(said) + (how if result.get('ros') else '')


def _tiles(result: Mapping) -> str:
    shown = []
    if result.get('avg_len') is not None:
        shown.append((f'{result["avg_len"]:.2f}', 'mean chain length, of 5'))
    if result.get('mean_success') is not None:
        shown.append((f'{100 * result["mean_success"]:.1f} %', 'mean over the tasks'))
    rates = {t: c['success'] / c['trials'] for t, c in result.get('per_task', {}).items()}
    if rates:
        worst = min(rates, key=rates.__getitem__)
        shown.append((f'{100 * rates[worst]:.0f} %', f'worst: {worst}'))
    if result.get('seconds') is not None:
        shown.append((_duration(result['seconds']), 'wall clock'))
    return tiles(shown)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def _bar_rows(rows: Iterable[tuple[str, float, str]]) -> str:
    body = ''.join(
        f'<tr><th>{_text(name)}</th>'
        f'<td><div class="track"><div style="width:{100 * share:.1f}%"></div></div></td>'
        f'<td class="number">{_text(label)}</td></tr>'
        for name, share, label in rows
    )
    return f'<table>{body}</table>'


def _chains(result: Mapping) -> list[str]:
    if not result.get('success_at'):
        return []
    rows = [
        (f'{n} in a row', share, f'{100 * share:.1f} %')
        for n, share in enumerate(result['success_at'], 1)
    ]
    return ['<h2>Subtasks done in a row</h2>', _bar_rows(rows)]


def _tasks(per_task: Mapping) -> list[str]:
    if not per_task:
        return []
    rows = [
        (
            task,
            c['success'] / c['trials'],
            f'{c["success"]} / {c["trials"]}  {100 * c["success"] / c["trials"]:.0f} %',
        )
        for task, c in per_task.items()
    ]
    return ['<h2>Success by task</h2>', _bar_rows(rows)]


def _transitions(rows: Iterable[Mapping]) -> list[str]:
    lost = [row for row in rows if row['success'] < row['trials']]
    bars = [
        (
            f'{row["after"]}, then {row["task"]}',
            1 - row['success'] / row['trials'],
            f'{row["trials"] - row["success"]} of {row["trials"]} lost',
        )
        for row in lost[:LOST_SHOWN]
    ]
    return ['<h2>Where chains were lost: after which task</h2>', _bar_rows(bars)] if bars else []


def _films(videos: Iterable[Mapping], folder: pathlib.Path) -> list[str]:
    figures = [_film(v, folder) for v in videos]
    return ['<h2>Films</h2>', f'<div class="films">{"".join(figures)}</div>'] if figures else []


def _film(entry: Mapping, folder: pathlib.Path) -> str:
    file = folder / entry['file']
    if file.is_file():
        data = base64.b64encode(file.read_bytes()).decode()
        player = (
            f'<video controls muted loop playsinline preload="auto" '
            f'src="data:video/mp4;base64,{data}"></video>'
        )
    else:
        player = f'<p>{_text(file.name)} is missing</p>'
    steps = ''.join(
        f'<li>“{_text(s["instruction"])}” '
        f'{_verdict(s["success"])} <span class="soft">{s["steps"] / 30:.1f} s</span></li>'
        for s in entry.get('subtasks', ())
    )
    name = _text(entry.get('rollout', file.name).replace('/', ' '))
    return (
        f'<figure>{player}<figcaption>{name}: {_verdict(entry["success"])}'
        f'<ol>{steps}</ol></figcaption></figure>'
    )


def _every(rollouts: Iterable[Mapping]) -> list[str]:
    rows = []
    for line in rollouts:
        done = sum(s['success'] for s in line['subtasks'])
        last = line['subtasks'][-1]
        ended = '' if last['success'] else f', then failed: {last["instruction"]}'
        how = '' if line.get('real_time', True) else ' (lockstep)'
        rows.append((line['rollout'].replace('/', ' ') + how, done / 5, f'{done} of 5{ended}'))
    return ['<h2>Every chain</h2>', _bar_rows(rows)] if rows else []


def _verdict(success: bool) -> str:
    return '<span class="good">succeeded</span>' if success else '<span class="bad">failed</span>'


def _settings(result: Mapping) -> str:
    shown = (
        'command',
        'policy',
        'checkpoint_sha256',
        'scene',
        'renderer',
        'seed',
        'ros',
        'real_time',
        'too_slow',
        'steps',
        'missed_table_steps',
        'image_to_command_ms_p50',
    )
    return settings((key, result[key]) for key in shown if result.get(key) is not None)
