# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Runs the jobs of an experiment, several at a time, in an order that their needs allow."""

import os
import pathlib
import time
from collections.abc import Callable, Iterable

from vw2_ros.errors import VW2Error
from vw2_ros.experiment.board import Board
from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.running import RunningJob
from vw2_ros.interruption import Interruption
from vw2_ros.work.place import LOCAL, open_place


class ExperimentError(VW2Error, RuntimeError):
    """A job failed; the message names it and its log. What is complete is kept."""


def perform(
    graph: JobGraph,
    out: pathlib.Path,
    jobs: int,
    after: Callable[[], object] = lambda: None,
    on: str = LOCAL,
) -> None:
    """Run what is not complete, `jobs` of them at a time, or as many as a cluster has room for.

    Args:
        on: where, see `check_place`.
        after: called whenever an evaluation has ended.
    Raises:
        ExperimentError: a job failed; what does not build on it was done all the same.
        UsageError: the place cannot run them.
        KeyboardInterrupt: Ctrl-C or SIGTERM; running jobs have saved what they have.
    """
    done = {name for name, job in graph.jobs.items() if job.is_complete(out)}
    waiting = [job for name, job in graph.jobs.items() if name not in done]
    running: dict[str, RunningJob] = {}
    failed: dict[str, int] = {}
    with (
        open_place(on if waiting else LOCAL) as place,
        Interruption(),
        Board(graph, done, running, failed) as board,
    ):
        threads = max(1, (os.cpu_count() or 1) // jobs)
        if on != LOCAL and waiting:
            threads = graph.workers
            jobs = place.room(threads)
        try:
            while waiting or running:
                waiting = [j for j in waiting if not set(j.needs) & _lost(graph, failed)]
                for job in [j for j in waiting if done.issuperset(j.needs)]:
                    if len(running) == jobs:
                        break
                    process = RunningJob(job, out, threads, place)
                    if not process.is_elsewhere:
                        waiting.remove(job)
                        board.elsewhere.discard(job.name)
                        running[job.name] = process
                        board.note(f'begins {job.name} ({graph.users(job.name)})')
                    elif job.name not in board.elsewhere:
                        board.elsewhere.add(job.name)
                        board.note(f'waits for {job.name}: another process is at it')
                board.remind()
                time.sleep(0.1)
                for name, process in list(running.items()):
                    status = process.poll()
                    if status is None:
                        continue
                    del running[name]
                    if status:
                        failed[name] = status
                    else:
                        done.add(name)
                    board.note(f'{"failed" if status else "done"} {name}')
                    if process.job.kind == 'eval' and not status:
                        after()
        finally:
            for process in running.values():
                process.interrupt()
            for process in running.values():
                process.end()
    if failed:
        raise ExperimentError(
            '; '.join(_why(name, out) for name in failed) + '. The same command '
            'goes on with what is left'
        )


def _lost(graph: JobGraph, failed: Iterable[str]) -> set[str]:
    """Jobs that failed, and those that build on them."""
    lost = set(failed)
    for job in graph.jobs.values():  # in the order of their needs
        if set(job.needs) & lost:
            lost.add(job.name)
    return lost


def _why(name: str, out: pathlib.Path) -> str:
    log = out / 'stages' / f'{name}.log'
    lines = [x for x in log.read_text(errors='replace').splitlines() if x.strip()]
    last = lines[-1].removeprefix('vw2: error: ') if lines else 'it said nothing'
    return f'{name} failed: {last} (all of it: {log})'
