# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A job that runs: a `vw2` process of its own. Its log is locked for as long as it lives."""

import datetime
import fcntl
import json
import pathlib
import signal
import subprocess
import time

from vw2_ros.experiment.jobs import Job
from vw2_ros.files import write_json
from vw2_ros.work.place import Place, Process

PATIENCE_S = 60.0  # for a job to save what it has


class RunningJob:
    """A job that runs. Its log is locked for as long as its process lives, ours or not."""

    def __init__(self, job: Job, out: pathlib.Path, threads: int, place: Place):
        self.job, self.out = job, out
        self.begun_s = time.monotonic()
        self.process: Process | None = None
        self._log = open(out / 'stages' / f'{job.name}.log', 'ab')
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._log.close()
            return  # left over from an experiment that was killed, or another one's: not now
        if job.is_complete(out):  # the other one ended it meanwhile
            return
        self.process = place.start(
            [*job.command, *job.spare],
            out,
            reads=[f'configs/{job.name}.yaml', *(f'stages/{need}' for need in job.needs)],
            makes=f'stages/{job.name}',
            log=self._log,
            threads=threads,
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is at it."""
        return self.process is None and self._log.closed

    def poll(self) -> int | None:
        """Exit status once it has ended; 0 is written down."""
        status = self.process.poll() if self.process else 0
        if status is not None:
            if status == 0 and self.process:
                self._mark()
            self._log.close()
        return status

    def _mark(self) -> None:
        marker = {
            'command': list(self.job.command),
            'seconds': round(time.monotonic() - self.begun_s, 1),
            'finished': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        }
        write_json(self.out / 'stages' / f'{self.job.name}.json', marker)

    def interrupt(self) -> None:
        """Ask it to save and end, as Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait for it to end after `interrupt`; one that does not is killed."""
        if self.process:
            try:
                self.process.wait(PATIENCE_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self.process.kill()
                self.process.wait(PATIENCE_S)
            if self.process.returncode == 0:
                self._mark()
        self._log.close()

    def progress(self) -> float | None:
        """How far it is, in [0, 1], where it says so."""
        folder = self.out / 'stages' / self.job.name
        try:
            if self.job.kind == 'eval':
                chains = int(self.job.command[self.job.command.index('--chains') + 1])
                records = max(folder.glob('record-*.jsonl'), key=lambda p: p.stat().st_mtime)
                return min(1.0, (len(records.read_bytes().splitlines()) - 1) / chains)
            lines = (folder / 'log.jsonl').read_text().splitlines()
            return next(x['progress'] for x in map(json.loads, reversed(lines)) if 'progress' in x)
        except (OSError, ValueError, StopIteration):
            return None
