# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A progress bar that is of use in a log file, too."""

import sys
import threading

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar(Progress):
    """rich's progress bar on stderr; where that is no terminal, a plain line about once a minute."""

    every_s = 60.0

    def __init__(self, *columns):
        super().__init__(*columns, console=Console(stderr=True))
        self._ended = threading.Event()

    def start(self) -> None:
        """Show it."""
        super().start()
        if not self.console.is_terminal:
            threading.Thread(target=self._tell, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        super().stop()

    def _tell(self) -> None:
        while not self._ended.wait(self.every_s):
            for task in self.tasks:
                if task.total and not task.finished:
                    print(
                        f'{task.description} {task.completed:g} of {task.total:g}',
                        file=sys.stderr,
                        flush=True,
                    )


def progress_bar() -> Bar:
    """The progress bar that every long reading loop shows (stderr, so stdout stays clean)."""
    return Bar(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
