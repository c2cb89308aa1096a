# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A `vw2` command on a Ray node, with the interface of `subprocess.Popen`.

What it prints and what it makes comes home every few seconds. Where its node dies, it is begun again
on another one, from what has come home.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from vw2_ros.work.errors import raised
from vw2_ros.work.folders import identity, pack, unpack

AGAIN = 5  # times that it is begun again
NEWS_S = 2.0


class RemoteProcess:
    """See `Place.start`."""

    def __init__(
        self,
        ray,
        arguments: Sequence[str],
        out: Path,
        reads: Sequence[str],
        makes: str,
        log: IO[bytes],
        threads: int,
    ):
        self._ray, self._arguments, self._out, self._log = ray, arguments, out, log
        self._reads, self._makes, self._threads = reads, makes, threads
        self.returncode: int | None = None
        self._begun = 0
        self._begin()

    def _begin(self) -> None:
        ray = self._ray
        self._begun += 1
        self._actor = (
            ray.remote(_actor_of(identity()))
            .options(num_cpus=self._threads, scheduling_strategy='SPREAD')
            .remote()
        )
        given = ray.put(pack(self._out, *self._reads, self._makes))
        self._answer = self._actor.start.remote(self._arguments, given, self._makes, self._threads)

    def poll(self) -> int | None:
        """Take what has come home; return the exit status once it has ended.

        Raises:
            UsageError: the node cannot run it.
        """
        ray = self._ray
        if self.returncode is not None or not ray.wait([self._answer], timeout=0)[0]:
            return self.returncode
        try:
            error, news = ray.get(self._answer)
        except ray.exceptions.RayError as died:
            text = str(died).strip().splitlines()[0]
            if self._begun > AGAIN:
                self._say(f'it died {self._begun} times: {text}')
                self.returncode = 1
            else:
                self._say(f'begun again from what has come home: {text}')
                self._begin()
            return self.returncode
        if error:
            raise raised(error)
        if news:
            self._take(*news)
        if self.returncode is None:
            self._answer = self._actor.news.remote(NEWS_S)
        else:
            self._actor = None  # Ray ends it when nobody knows it any more
        return self.returncode

    def _take(self, status, printed: bytes, files: Mapping[str, bytes], names: list[str]) -> None:
        self._log.write(printed)
        self._log.flush()
        folder = self._out / self._makes
        unpack(files, folder)
        for path in list(folder.rglob('*')):
            if path.is_file() and path.relative_to(folder).as_posix() not in names:
                path.unlink()
        self.returncode = status

    def _say(self, text: str) -> None:
        self._log.write(f'vw2: {text}\n'.encode())
        self._log.flush()

    def send_signal(self, number: int) -> None:
        """SIGINT: as Ctrl-C does."""
        if number == signal.SIGINT and self._actor is not None:
            self._actor.interrupt.remote()

    def wait(self, timeout: float) -> int:
        """Return the exit status. Raises: subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(list(self._arguments), timeout)
            time.sleep(0.1)
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        if self._actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._actor)
            self._actor, self.returncode = None, -signal.SIGKILL


def _actor_of(expected: Mapping[str, str]):
    """The class of the actor. It travels by value: its first import may already fail there."""

    class Stage:
        def start(self, arguments, given, makes, threads):
            import ray

            node = ray.util.get_node_ip_address()
            try:
                from vw2_ros.work.errors import told
                from vw2_ros.work.process import Remote
            except ImportError as error:
                return ('UsageError', f'the node {node} must have vw2_ros. Got: {error}'), None
            try:
                self._remote = Remote()
                self._remote.start(expected, node, arguments, given, makes, threads)
            except Exception as error:
                return told(error), None
            return None, None

        def news(self, patience_s):
            return None, self._remote.news(patience_s)

        def interrupt(self):
            self._remote.interrupt()

    return Stage
