# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which version this is: number, commit and shipped weights. Standard library only."""

import subprocess
import xml.etree.ElementTree

from vw2_ros import files


def number() -> str:
    """Return the version that package.xml says, e.g. '0.2.0'."""
    tree = xml.etree.ElementTree.parse(files.share_dir() / 'package.xml')
    return tree.getroot().findtext('version', 'unknown')


def commit() -> str:
    """Return the commit of the source tree that runs, with '+changes' if it was edited since.

    An installed copy, and a source tree without git, give 'unknown'.
    """
    root = files.checkout()
    if root is None or not (root / '.git').exists():
        return 'unknown'

    def git(*arguments: str) -> str:
        command = ['git', '-C', str(root), *arguments]
        done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=10)
        return done.stdout.strip()

    try:
        changed = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', 'HEAD') + ('+changes' if changed else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def lines() -> list[str]:
    """Return what `vw2 --version` prints: version, commit, and a line for each shipped weights."""
    head, plus, changes = commit().partition('+')
    where = f'commit {head[:12]}{plus}{changes}' if files.checkout() else 'installed'
    shipped = [
        f'weights {name}, sha256 {files.folder_sha256(files.weights_dir() / name)[:16]}'
        for name in files.shipped_weights()
    ]
    return [f'vw2_ros {number()}, {where}', *(shipped or ['no shipped weights'])]
