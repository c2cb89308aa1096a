# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Work in this process, or in several processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from vw2_ros.work.errors import WorkError, raised, told
from vw2_ros.work.place import Process, Work
from vw2_ros.work.process import start_vw2


class Local:
    """Processes of this machine. One worker is this process itself.

    Args:
        workers: processes.
    """

    def __init__(self, workers: int = 1):
        self.workers = workers

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_) -> None:
        """Nothing outlives `perform`."""

    def perform(self, work: Work, jobs: Sequence[Any], out: Path) -> Iterator[Any]:
        """See `Place.perform`. In this process, errors of a job are raised as they are."""
        world = min(self.workers, len(jobs))
        if world > 1:
            yield from in_processes(work, jobs, out, world)
        elif jobs:
            with work.opened() as perform:
                for job in jobs:
                    yield perform(job, out)

    def start(
        self,
        arguments: Sequence[str],
        out: Path,
        reads: Sequence[str],
        makes: str,
        log: IO[bytes],
        threads: int,
    ) -> Process:
        """See `Place.start`. It runs in `out` itself."""
        return start_vw2(arguments, out, log, threads)


def in_processes(work: Work, jobs: Sequence[Any], out: Path, world: int) -> Iterator[Any]:
    """As `Local.perform`, in `world` worker processes; each asks for a job when it has none."""
    context = multiprocessing.get_context('spawn')  # no copy of this process's threads
    # One pipe per worker, so that a killed worker cannot leave a shared lock held.
    workers, pipes, waiting = [], {}, list(reversed(jobs))
    try:
        with _ctrl_c_ignored():
            for rank in range(world):
                ours, theirs = context.Pipe()
                worker = context.Process(
                    target=_work, args=(work, out, theirs), name=f'worker-{rank}'
                )
                worker.start()
                theirs.close()
                workers.append(worker)
                pipes[ours] = worker
                ours.send(waiting.pop())
        while pipes:
            for pipe in multiprocessing.connection.wait(list(pipes)):
                try:
                    error, result = pipe.recv()
                except (EOFError, ConnectionError):
                    raise WorkError(
                        f'{pipes[pipe].name} died; run the same command again to go on'
                    ) from None
                if error:
                    raise raised(error)
                if waiting:
                    with contextlib.suppress(OSError):  # it died: told at the next `recv`
                        pipe.send(waiting.pop())
                else:
                    del pipes[pipe]
                yield result
    finally:
        _end(workers)


def _end(workers: list, patience_s: float = 15.0) -> None:
    """Terminate all workers, and kill those that do not end in time.

    What they have started ends with them.
    """
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + patience_s
    for worker in workers:
        worker.join(max(end - time.monotonic(), 0.0))
        worker.kill()
        worker.join()


@contextlib.contextmanager
def _ctrl_c_ignored():
    """Processes that are started in this block ignore Ctrl-C; this process ends them on its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(work: Work, out: Path, pipe) -> None:
    """Run in a worker process: do job after job."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it has started ends too
    os.environ['OMP_NUM_THREADS'] = '1'
    end_with_parent()
    try:
        with work.opened() as perform:
            while True:
                pipe.send((None, perform(pipe.recv(), out)))
    except EOFError:  # the parent has gone
        return
    except Exception as error:
        pipe.send((told(error), None))


def end_with_parent() -> None:
    """End this worker process, as SIGTERM would, once its parent is gone."""

    def watch() -> None:
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
