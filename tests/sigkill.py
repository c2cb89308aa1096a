# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Real processes that SIGKILL ends at a chosen moment: before or after their n-th change on disk."""

import multiprocessing
import os
import pathlib
import shutil
import signal

# what changes files, besides the libraries'
CHANGES = (
    (os, 'replace'),
    (pathlib.Path, 'write_bytes'),
    (pathlib.Path, 'unlink'),
    (pathlib.Path, 'mkdir'),
    (shutil, 'rmtree'),
)
_server = multiprocessing.get_context('forkserver')
_server.set_forkserver_preload(
    ['pyarrow.parquet', 'rosbags.highlevel', 'vw2_ros.recording.export', 'vw2_ros.recording.sets']
)


def run(work, arguments: tuple, moment: int) -> bool:
    """Call work(*arguments) in a process of its own; whether it came to its end.

    Args:
        work: a function that the process can import.
        moment: at which moment it is killed, from 1 on.
    Raises:
        AssertionError: it ended in another way.
    """
    process = _server.Process(target=_armed, args=(work, arguments, moment))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == 0


def _armed(work, arguments, moment):
    seen = 0

    def tick():
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(original):
        def call(*args, **kwargs):
            tick()
            result = original(*args, **kwargs)
            tick()
            return result

        return call

    import pyarrow.parquet

    writer = pyarrow.parquet.ParquetWriter
    for owner, name in (*CHANGES, (writer, 'write_table'), (writer, 'close')):
        setattr(owner, name, watched(getattr(owner, name)))
    work(*arguments)
