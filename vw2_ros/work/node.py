# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What runs in a worker process of a Ray node. It imports no Ray."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vw2_ros.errors import UsageError
from vw2_ros.work.errors import Told, told
from vw2_ros.work.folders import Files, identity, pack, unpack
from vw2_ros.work.place import Perform, Work

_open: dict[str, Perform] = {}  # the work that this process has open, by its key
_life = contextlib.ExitStack()  # what that work holds


def check(expected: Mapping[str, str], node: str) -> None:
    """Refuse a node that would give other results.

    Raises:
        UsageError: something of `identity` is another one here.
    """
    here = identity()
    other = [f'{k} {here.get(k, "none")} for {v}' for k, v in expected.items() if here.get(k) != v]
    if other:
        raise UsageError(
            f'every node must have what this machine has. Got {", ".join(other)} on the node '
            f'{node}. Install the same there'
        )


def perform(
    expected: Mapping[str, str],
    node: str,
    key: str,
    work: Callable[[], tuple[Work, Mapping[str, Files]]],
    job: Callable[[], Any],
) -> tuple[Told | None, Any, Files]:
    """Do one job; the work is fetched and opened at the first one.

    Args:
        expected: `identity` of the machine that asks. node: how messages call this one.
        key: of the work. work: gives it, and the files of each folder that it reads.
        job: gives the job. Neither is asked for where the node is another one.
    Returns:
        what is told of an error or None, the result, the files that the job left.
    """
    try:
        check(expected, node)
        if key not in _open:
            _open.clear()
            _life.close()
            _open[key] = _opened(*work())
        with tempfile.TemporaryDirectory(prefix='vw2_job_') as folder:
            return None, _open[key](job(), Path(folder)), pack(folder)
    except Exception as error:
        traceback.print_exc()  # into the log of this worker
        return told(error), None, {}


def _opened(work: Work, folders: Mapping[str, Files]) -> Perform:
    at = {}
    for name, packed in folders.items():
        at[name] = _life.enter_context(tempfile.TemporaryDirectory(prefix='vw2_work_'))
        unpack(packed, at[name])
    return _life.enter_context(work.moved(at).opened())
