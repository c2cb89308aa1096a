# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The card (README.md) of what a command made: weights, an evaluation, an exported data set.

Training, `vw2 eval` and `vw2 export` write one with `write_card`; all cards have the same sections, and
what is not known is left out.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vw2_ros.files import file_sha256, write_whole

FILE = 'README.md'
_SHOWN = 200  # characters of a value in a table


def command_line() -> str:
    """The command that runs now, as one types it."""
    program = Path(sys.argv[0]).stem
    return shlex.join(['vw2' if program in ('cli', '__main__') else program, *sys.argv[1:]])


@dataclass(frozen=True)
class Card:
    """What a card says."""

    title: str
    what: str  # a sentence or two for a person who finds the folder
    command: str  # that made it
    data: Mapping[str, str] = field(default_factory=dict)  # what it was made of -> its hash
    # what a person needs to judge it: name -> value, e.g. commit, seed, steps, renderer
    facts: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)  # name -> figure
    success: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # task -> solved, tried
    films: Sequence[str] = ()  # files, from the card's folder
    files: Sequence[str] = ()  # likewise; their SHA-256 is told
    # what hubs read of a card's head, e.g. {'tags': ['LeRobot']}; JSON values
    header: Mapping[str, Any] = field(default_factory=dict)


def write_card(folder: str | os.PathLike, card: Card) -> Path:
    """Write the card into a folder, whole or not at all; where it lies."""
    path = Path(folder) / FILE
    write_whole(path, render(card, path.parent))
    return path


def render(card: Card, folder: Path) -> str:
    """The card as Markdown."""
    parts = [_header(card.header), f'# {_line(card.title)}', card.what]
    if card.command:
        parts += ['## Command', f'```sh\n{card.command}\n```']
    if card.data:
        parts += ['## Data', _table(('data', 'hash'), card.data.items())]
    if card.success:
        parts += ['## Success', *_success(card.success)]
    if card.scores:
        shown = {name: f'{value:.5g}' for name, value in card.scores.items()}
        parts += ['## Scores', _table(('score', 'value'), shown.items())]
    if card.films:
        parts += ['## Films', '\n'.join(f'* [{name}](<{name}>)' for name in card.films)]
    hashes = {n: file_sha256(folder / n) for n in card.files if (folder / n).is_file()}
    if hashes:
        parts += ['## Files', _table(('file', 'SHA-256'), hashes.items())]
    facts = {name: value for name, value in card.facts.items() if value not in (None, '', {}, [])}
    if facts:
        parts += ['## How it was made', _table(('what', 'value'), facts.items())]
    return '\n\n'.join(part for part in parts if part) + '\n'


def wilson(solved: int, tried: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's)."""
    z, share = 1.96, solved / tried
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    half = (
        z
        / (1 + z * z / tried)
        * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    )
    return middle - half, middle + half


def _success(success: Mapping[str, tuple[int, int]]) -> list[str]:
    solved, tried = (sum(column) for column in zip(*success.values()))
    low, high = wilson(solved, tried)
    rows = [(task, f'{a} of {b}') for task, (a, b) in success.items()]
    return [
        f'{solved} of {tried} tries, {100 * solved / tried:.0f} % (95 % interval {100 * low:.0f} to '
        f'{100 * high:.0f}).',
        _table(('task', 'solved of tried'), rows),
    ]


def _header(header: Mapping[str, Any]) -> str:
    if not header:
        return ''
    import yaml

    return f'---\n{yaml.safe_dump(dict(header), sort_keys=False)}---'


def _table(head: tuple[str, str], rows) -> str:
    lines = [f'| {head[0]} | {head[1]} |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| {_line(a)} | {_line(b)} |' for a, b in rows)])


def _line(value: Any) -> str:
    """A value in one line, with nothing that would end a cell."""
    text = ' '.join(str(value).split())
    return (text if len(text) <= _SHOWN else f'{text[:_SHOWN]} ...').replace('|', r'\|')
