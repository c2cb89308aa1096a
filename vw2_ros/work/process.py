# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A `vw2` command as a process: how it is started, and how a Ray node runs one for another machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from vw2_ros.work.folders import Files, unpack
from vw2_ros.work.node import check

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start_vw2(
    arguments: Sequence[str],
    folder: Path,
    log: IO[bytes],
    threads: int,
    before: Callable[[], object] | None = None,
) -> subprocess.Popen:
    """Start a command of this very package in a folder; all that it prints goes to `log`."""
    environment = {'OMP_NUM_THREADS': str(threads), **os.environ, 'PYTHONUNBUFFERED': '1'}
    root = str(Path(__file__).resolve().parents[2])  # this very code, not another's
    path = environment.get('PYTHONPATH')
    environment['PYTHONPATH'] = root + (os.pathsep + path if path else '')
    # A session of its own: Ctrl-C reaches it once, through us.
    return subprocess.Popen(
        [sys.executable, '-m', 'vw2_ros.cli', *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=before,
    )


def _die_with_parent() -> None:
    """Runs in the child: SIGTERM when the worker process of Ray has been killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Remote:
    """A command that this node runs for another machine, which asks for `news` of it."""

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix='vw2_stage_')
        self._folder = Path(self._temporary.name)
        self._process: subprocess.Popen | None = None
        self._told = 0  # bytes of the log
        self._sent: dict[str, tuple] = {}  # name -> what tells whether a file has changed

    def start(
        self,
        expected: Mapping[str, str],
        node: str,
        arguments: Sequence[str],
        given: Files,
        makes: str,
        threads: int,
    ) -> None:
        """Start it.

        Args:
            expected: `identity` of the machine that asks. node: how messages call this one.
            given: files that it finds in its folder. makes: folder below, of which news are sent.
        Raises:
            UsageError: see `check`.
        """
        check(expected, node)
        unpack(given, self._folder)
        self._makes = self._folder / makes
        self._sent = _states(self._makes)
        self._log = open(self._folder / 'log', 'w+b')
        self._process = start_vw2(arguments, self._folder, self._log, threads, _die_with_parent)

    def news(self, patience_s: float) -> tuple[int | None, bytes, Files, list[str]]:
        """What has come since the last time, after some seconds or when it ends.

        Returns:
            status (None: it runs), what it printed, changed files of its folder, all names there.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        status = self._process.returncode
        with open(self._folder / 'log', 'rb') as log:
            log.seek(self._told)
            printed = log.read()
        self._told += len(printed)
        for _ in range(5):  # until nothing was written meanwhile
            states, files = _states(self._makes), {}
            for name, state in states.items():
                if self._sent.get(name) != state:
                    with contextlib.suppress(FileNotFoundError):
                        files[name] = (self._makes / name).read_bytes()
            if _states(self._makes) == states:
                break
        self._sent = states
        return status, printed, files, sorted(states)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)


def _states(folder: Path) -> dict[str, tuple]:
    """Name -> time, size and inode of each file that is whole."""
    found = {}
    for path in folder.rglob('*'):
        name = path.relative_to(folder)
        if any(part.endswith('.part') for part in name.parts) or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            found[name.as_posix()] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
