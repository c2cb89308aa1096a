# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where work runs: the protocols `Work` and `Place`, and the only function that chooses a place.

    with open_place('ray://head:10001') as place:
        for result in place.perform(work, jobs, out):
            ...

What a job gives does not depend on where it was done, or on what else was done there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from vw2_ros.errors import UsageError

LOCAL, RAY = 'local', 'ray'

Perform = Callable[[Any, Path], Any]  # (job, folder for its files) -> result


class Work(Protocol):
    """What is done with each job. It is pickled to wherever it is done, as jobs and results are."""

    reads: Sequence[str]  # folders that it reads, which a cluster's nodes may not have
    last: str  # of the files of a job, those that match this say that the others are whole

    def moved(self, at: Mapping[str, str]) -> Work:
        """The same work where the folders of `reads` lie elsewhere. Args: at: folder -> where."""

    def opened(self) -> contextlib.AbstractContextManager[Perform]:
        """What does the jobs, one after another in one process."""


class Process(Protocol):
    """A command that runs; as `subprocess.Popen`."""

    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        ...

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        ...

    def wait(self, timeout: float) -> int:
        """Wait for its end, at most `timeout` seconds; its exit status."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Place(Protocol):
    """Does jobs, several at a time."""

    def __enter__(self) -> Place: ...

    def __exit__(self, *_) -> None: ...

    def perform(self, work: Work, jobs: Sequence[Any], out: Path) -> Iterator[Any]:
        """Yield the result of each job, in the order in which they end.

        Args:
            out: folder to which the files of a job come.
        Raises:
            WorkError: a job failed, or a process died; what was yielded is whole.
            UsageError: the place cannot do this work.
        """

    def start(
        self,
        arguments: Sequence[str],
        out: Path,
        reads: Sequence[str],
        makes: str,
        log: IO[bytes],
        threads: int,
    ) -> Process:
        """Start a `vw2` command whose paths are relative to `out`.

        Args:
            arguments: of `vw2`. reads: files and folders below `out` that it reads.
            makes: folder below `out` that it makes, or goes on with.
            log: gets what it prints. threads: of its computations, and CPUs that it takes.
        """


def check_place(on: str) -> str:
    """Return where work is to run: 'local', 'ray', or 'ray://HOST:PORT'.

    Raises:
        UsageError: there is no such place, or Ray is not installed.
    """
    if on == LOCAL:
        return on
    if on != RAY and not re.fullmatch(r'ray://[^:/\s]+:\d{1,5}', on):
        raise UsageError(f'--on must be {LOCAL}, {RAY} or ray://HOST:PORT. Got {on!r}')
    if importlib.util.find_spec('ray') is None:
        raise UsageError(
            f'--on {on} must have Ray. Got no package ray. Install vw2_ros with its extra [ray]'
        )
    return on


def open_place(on: str = LOCAL, workers: int | None = None) -> Place:
    """Open a place; use it in a `with` statement.

    Args:
        on: see `check_place`.
        workers: jobs at a time. None: one here; on a cluster, one for each of its CPUs.
    Raises:
        UsageError: see `check_place`, or the cluster does not answer.
    """
    if check_place(on) == LOCAL:
        from vw2_ros.work.local import Local

        return Local(workers or 1)
    from vw2_ros.work.cluster import Cluster

    return Cluster(on if on != RAY else os.environ.get('RAY_ADDRESS', ''), workers)
