# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Work on the nodes of a Ray cluster: every job is a Ray task.

Nothing needs to lie on the nodes but this very package: the folders that a work reads travel there,
and the files of a job travel back. A task whose process or node dies is done again elsewhere.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from vw2_ros.errors import UsageError
from vw2_ros.work.errors import WorkError, raised
from vw2_ros.work.folders import identity, pack, unpack
from vw2_ros.work.place import Process, Work
from vw2_ros.work.remote import RemoteProcess

AGAIN = 5  # times that a job is done again after its process or its node has died
ANSWER_S = 10.0  # a cluster that does not answer by then is not there


class Cluster:
    """A Ray cluster.

    Args:
        address: ray://HOST:PORT, or HOST:PORT of a cluster that this machine belongs to; '': one
            that runs on this machine, or else a new one of this machine alone.
        workers: jobs at a time; None: as many as there are CPUs.
    Raises:
        UsageError: it does not answer, or has another version of Ray or Python.
    """

    def __init__(self, address: str = '', workers: int | None = None):
        self.workers = workers
        if address:
            _knock(address)
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # nothing is reported to anyone
        os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
        import ray

        self._ray = ray
        try:
            ray.init(address=address or None, log_to_driver=False, logging_level='ERROR')
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f'Ray at {address or "this machine"} must take us in. Got: {error}'
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        """Leave it; what still runs there ends."""
        self._ray.shutdown()

    def room(self, threads: int) -> int:
        """How many commands of so many threads it runs at a time."""
        return max(1, int(self._ray.cluster_resources().get('CPU', 0)) // threads)

    def start(
        self,
        arguments: Sequence[str],
        out: Path,
        reads: Sequence[str],
        makes: str,
        log: IO[bytes],
        threads: int,
    ) -> Process:
        """See `Place.start`."""
        return RemoteProcess(self._ray, arguments, out, reads, makes, log, threads)

    def perform(self, work: Work, jobs: Sequence[Any], out: Path) -> Iterator[Any]:
        """See `Place.perform`."""
        ray = self._ray
        key = uuid.uuid4().hex
        # what lies in a list is not unpacked before the node was looked at
        box = [ray.put((work, {name: pack(name) for name in work.reads}))]
        task = ray.remote(_task_of(identity())).options(
            num_cpus=1, max_retries=AGAIN, scheduling_strategy='SPREAD'
        )
        waiting, running = list(reversed(jobs)), []
        try:
            while waiting or running:
                while waiting and len(running) < (self.workers or len(jobs)):
                    running.append(task.remote(key, box, [ray.put(waiting.pop())]))
                (ended,), running = ray.wait(running, num_returns=1)
                try:
                    error, result, files = ray.get(ended)
                except ray.exceptions.RayError as died:
                    raise WorkError(
                        f'a job could not be done on the cluster: {_line(died)}; run the same '
                        'command again to go on'
                    ) from died
                if error:
                    raise raised(error)
                unpack(files, out, work.last)
                yield result
        finally:
            for task in running:
                ray.cancel(task, force=True)


def _task_of(expected: Mapping[str, str]):
    """What a worker process runs. It travels by value: its first import may already fail there."""

    def task(key: str, box: list, job: list):
        import ray

        node = ray.util.get_node_ip_address()
        try:
            from vw2_ros.work.node import perform
        except ImportError as error:
            return ('UsageError', f'the node {node} must have vw2_ros. Got: {error}'), None, {}
        return perform(expected, node, key, lambda: ray.get(box[0]), lambda: ray.get(job[0]))

    return task


def _knock(address: str) -> None:
    """Refuse an address that nobody answers, at once and in words.

    Raises:
        UsageError: nobody answers, or it is no address.
    """
    found = re.fullmatch(r'(?:ray://)?([^:/\s]+):(\d{1,5})', address)
    if not found:
        raise UsageError(
            f'the address of Ray must be HOST:PORT or ray://HOST:PORT. Got {address!r}'
        )
    try:
        socket.create_connection((found[1], int(found[2])), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f'a Ray cluster must answer at {address}. Got: {error}. Start one with ray start --head'
        ) from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
