# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Work in a process of its own, which SIGKILL ends at a chosen moment."""

import multiprocessing
import os
import pathlib
import pkgutil
import shutil
import signal
import sys

from vw2_ros import commands

# what changes files, besides the libraries'
CHANGES = (
    (os, 'replace'),
    (pathlib.Path, 'write_bytes'),
    (pathlib.Path, 'unlink'),
    (pathlib.Path, 'mkdir'),
    (shutil, 'rmtree'),
)
IMPORTED = ['pytest', 'pyarrow.parquet', 'rosbags.highlevel', 'vw2_ros.cli']  # once, for all
IMPORTED += [f'vw2_ros.recording.{name}' for name in ('convert', 'export', 'sets')]
IMPORTED += [f'vw2_ros.review.{name}' for name in ('decide', 'show')]
IMPORTED += [f'vw2_ros.commands.{found.name}' for found in pkgutil.iter_modules(commands.__path__)]
_server = multiprocessing.get_context('forkserver')  # threads of the tests' process do no harm
_server.set_forkserver_preload(IMPORTED)


def run(work, *arguments, at=None, during=None):
    """Call work(*arguments) in a process of its own, and kill it at a moment.

    Args:
        work: a function that the process can import.
        at: which moment, from 1 on; None: it is not killed.
        during: (class, name) of a method: from its begin on, every call of anything is a moment.
            None: the moments are before and after each change on disk.
    Returns:
        what it returned, and how many moments it had; None where it was killed.
    Raises:
        AssertionError: it ended in another way.
    """
    ours, theirs = _server.Pipe(duplex=False)
    process = _server.Process(target=_watched, args=(work, arguments, at, during, theirs))
    process.start()
    theirs.close()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return ours.recv() if process.exitcode == 0 else None


def _watched(work, arguments, at, during, pipe):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    moments = 0

    def tick():
        nonlocal moments
        moments += 1
        if moments == at:
            os.kill(os.getpid(), signal.SIGKILL)

    if during:
        _watch_calls(*during, tick)
    else:
        _watch_changes(tick)
    result = work(*arguments)
    sys.setprofile(None)
    pipe.send((result, moments))


def _watch_calls(owner, name, tick):
    method = getattr(owner, name)

    def profile(_, event, __):
        if event in ('call', 'c_call'):
            tick()

    def watched(*args, **kwargs):
        sys.setprofile(profile)
        return method(*args, **kwargs)

    setattr(owner, name, watched)


def _watch_changes(tick):
    import pyarrow.parquet

    def watched(original):
        def call(*args, **kwargs):
            tick()
            result = original(*args, **kwargs)
            tick()
            return result

        return call

    writer = pyarrow.parquet.ParquetWriter
    for owner, name in (*CHANGES, (writer, 'write_table'), (writer, 'close')):
        setattr(owner, name, watched(getattr(owner, name)))
