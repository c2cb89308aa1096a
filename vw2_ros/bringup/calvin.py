# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 doctor` asks of a checkout of calvin_env. Standard library only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from vw2_ros import files
from vw2_ros.bringup.checks import MISSING, Check

GROUP = 'CALVIN'
PATIENCE_S = 300.0


def calvin_env(folder: str) -> Iterator[Check]:
    """What is in the checkout, and whether its environment opens, asked in another process."""
    root = files.checkout()
    path = [str(root)] if root else []
    path += filter(None, [os.environ.get('PYTHONPATH', '')])
    try:
        done = subprocess.run(
            [sys.executable, '-m', 'vw2_ros.sim.calvin_report', folder],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(path)},
        )
    except subprocess.TimeoutExpired:
        yield Check(GROUP, 'checkout', MISSING, f'no answer within {PATIENCE_S:.0f} s')
        return
    for line in done.stdout.splitlines():
        yield Check(GROUP, **json.loads(line))
    if done.returncode:
        said = done.stderr.strip().splitlines()
        found = said[-1] if said else f'exit status {done.returncode}'
        yield Check(GROUP, 'check', MISSING, found, 'install what is missing above')
