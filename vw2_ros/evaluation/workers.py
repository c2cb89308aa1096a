# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Performs rollouts in this process or in several worker processes."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from vw2_ros.evaluation.record import EvaluationError
from vw2_ros.evaluation.rollouts import Options, Rollout, instructions
from vw2_ros.evaluation.runners import open_runner


def performed(
    options: Options,
    pending: list[Rollout],
    wordings: Mapping[str, list[str]],
    films: Mapping[str, pathlib.Path],
) -> Iterator[dict]:
    """Perform the rollouts; yield a line of the record, {rollout, subtasks}, for each.

    Args:
        pending: what is to be done. With several workers the lines come in another order.
        wordings: task -> wordings. films: name of a rollout -> mp4 file, where it is filmed.
    Raises:
        EvaluationError: a worker failed or died.
    """
    world = min(options.workers, len(pending))
    if world > 1:
        yield from in_processes(options, pending, wordings, films, world)
    elif pending:
        with contextlib.closing(open_runner(options)) as runner:
            for rollout in pending:
                yield _line(runner, rollout, wordings, films)


def _line(runner, rollout: Rollout, wordings: Mapping, films: Mapping) -> dict:
    said = instructions(rollout, wordings)
    return {
        'rollout': rollout.name,
        'subtasks': runner.perform(rollout, said, films.get(rollout.name)),
    }


def in_processes(
    options: Options, pending: list[Rollout], wordings: Mapping, films: Mapping, world: int
) -> Iterator[dict]:
    """As `performed`, in `world` worker processes; each takes every `world`-th rollout."""
    context = multiprocessing.get_context('spawn')  # no copy of this process's threads
    # One pipe per worker, so that a killed worker cannot leave a shared lock held.
    workers, pipes = [], {}
    try:
        with _ctrl_c_ignored():
            for rank in range(world):
                receiver, sender = context.Pipe(duplex=False)
                worker = context.Process(
                    target=_work,
                    args=(options, pending[rank::world], wordings, films, sender),
                    name=f'rollouts-{rank}',
                    daemon=not options.ros,  # a daemon may not start the nodes' processes
                )
                worker.start()
                sender.close()
                workers.append(worker)
                pipes[receiver] = worker
        while pipes:
            for receiver in multiprocessing.connection.wait(list(pipes)):
                try:
                    line = receiver.recv()
                except EOFError:
                    worker = pipes.pop(receiver)
                    worker.join()
                    if worker.exitcode:
                        raise EvaluationError(
                            f'worker {worker.name} died; run the same command again to go on'
                        ) from None
                    continue
                if 'error' in line:
                    raise EvaluationError(line['error'])
                yield line
    finally:
        _end(workers)


def _end(workers: list[multiprocessing.Process], patience_s: float = 15.0) -> None:
    """Terminate all workers, and kill those that do not end in time.

    The nodes that a worker has started end with it.
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


def _work(
    options: Options, shard: list[Rollout], wordings: Mapping, films: Mapping, sender
) -> None:
    """Run in a worker process: perform its shard, rollout after rollout."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nodes are ended too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with contextlib.closing(open_runner(options)) as runner:
            for rollout in shard:
                sender.send(_line(runner, rollout, wordings, films))
    except Exception as error:
        sender.send({'error': f'{type(error).__name__}: {error}'})


def _end_with_parent() -> None:
    """End this worker when its parent is gone."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
