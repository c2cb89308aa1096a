# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A work to do in any place: it squares numbers, and says where."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import time


@dataclasses.dataclass(frozen=True)
class Squares:
    """Job n: n squared, and a file that says so. It can wait for a file, and die."""

    reads: tuple = ()  # a folder with a file `offset`, which is added
    last: str = 'whole/*'
    waits_for: str = ''
    dies_at: int = -1

    def moved(self, at):
        return dataclasses.replace(self, reads=tuple(at[folder] for folder in self.reads))

    @contextlib.contextmanager
    def opened(self):
        offset = sum(int(pathlib.Path(folder, 'offset').read_text()) for folder in self.reads)

        def perform(job, out):
            if job == self.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if job == 'bad':
                raise ValueError(f'{job} is no number')
            while self.waits_for and not os.path.exists(self.waits_for):
                time.sleep(0.05)
            for name in (f'n{job}.txt', f'whole/n{job}.txt'):
                (out / name).parent.mkdir(exist_ok=True)
                (out / name).write_text(str(job**2 + offset))
            return job, job**2 + offset, os.getpid()

        yield perform
