# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What runs in a worker process of a Ray node. It imports no Ray."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from vw2_ros.errors import UsageError
from vw2_ros.work.errors import Told, told
from vw2_ros.work.folders import Files, identity, pack, unpack
from vw2_ros.work.place import Perform

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
    expected: Mapping[str, str], node: str, key: str, fetch: Callable[[], bytes], job: bytes
) -> tuple[Told | None, bytes, Files]:
    """Do one job; the work is fetched and opened at the first one.

    Args:
        expected: `identity` of the machine that asks. node: how messages call this one.
        key: of the work. fetch: gives it, pickled: (work, {folder: its files}).
        job: pickled.
    Returns:
        what is told of an error or None, the pickled result, the files that the job left.
    """
    try:
        check(expected, node)
        if key not in _open:
            _open.clear()
            _life.close()
            _open[key] = _opened(fetch())
        with tempfile.TemporaryDirectory(prefix='vw2_job_') as folder:
            result = _open[key](pickle.loads(job), Path(folder))
            return None, pickle.dumps(result), pack(folder)
    except Exception as error:
        traceback.print_exc()  # into the log of this worker
        return told(error), b'', {}


def _opened(pickled: bytes) -> Perform:
    work, folders = pickle.loads(pickled)
    at = {}
    for name, packed in folders.items():
        at[name] = _life.enter_context(tempfile.TemporaryDirectory(prefix='vw2_work_'))
        unpack(packed, at[name])
    return _life.enter_context(work.moved(at).opened())
