# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Provenance: what made a checkpoint."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from vw2_ros.card import Card, command_line


def git_commit() -> str:
    """Commit of the source that runs ('+changes' if edited since), 'unknown' if installed."""
    folder = Path(__file__).resolve().parents[1]  # models/
    try:

        def git(*arguments: str) -> str:
            return subprocess.run(
                ['git', '-C', str(folder), *arguments],
                check=True,
                text=True,
                capture_output=True,
                timeout=10,
            ).stdout.strip()

        commit = git('rev-parse', 'HEAD')
        changed = git('status', '--porcelain', '--untracked-files=no', '--', str(folder))
        return commit + ('+changes' if changed else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def provenance(**facts) -> dict:
    """What made a checkpoint: command, commit, versions, and the facts given."""
    return {
        'command': command_line(),
        'git_commit': git_commit(),
        'torch': torch.__version__,
        'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        **facts,
    }


_IN_OTHER_SECTIONS = ('command', 'data', 'scores', 'stage')


def training_card(record: dict, folder: Path, data: Iterable[Path]) -> Card:
    """The card of what a stage of training left in a folder.

    Args:
        record: its `provenance`. data: the folders that it learned from.
    """
    stage = record['stage']
    numbers = {k: v for k, v in record['scores'].items() if isinstance(v, (int, float))}
    plain = {
        k: v
        for k, v in record.items()
        if k not in _IN_OTHER_SECTIONS and not isinstance(v, (dict, list, tuple))
    }
    tasks = {'tasks': ', '.join(record['tasks'])} if record.get('tasks') else {}
    return Card(
        title=f'{folder.resolve().name}: {stage}',
        what=f'Made by `vw2 train {stage}`. It knows what the data below show, and was judged as the '
        'scores say; `provenance.json` has every setting.',
        command=record['command'],
        data={', '.join(map(str, data)): record['data']} if record.get('data') else {},
        facts={**plain, **tasks},
        scores=numbers,
        files=sorted(p.name for p in folder.glob('*.safetensors')),
    )
