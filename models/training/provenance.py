# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Provenance: what made a checkpoint."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch


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
    program = Path(sys.argv[0]).name
    return {
        'command': ' '.join([program, *sys.argv[1:]]),
        'git_commit': git_commit(),
        'torch': torch.__version__,
        'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        **facts,
    }
