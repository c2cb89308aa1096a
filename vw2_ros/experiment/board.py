# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the screen shows while an experiment runs."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.rows import KINDS
from vw2_ros.experiment.running import RunningJob

REMIND_S = 60.0  # without a terminal: how often to say what runs


class Board:
    """Rows and seeds against stages on the screen; plain lines where there is no terminal."""

    def __init__(
        self,
        graph: JobGraph,
        done: set[str],
        running: dict[str, RunningJob],
        failed: dict[str, int],
    ):
        self.graph, self.done, self.running, self.failed = graph, done, running, failed
        self.elsewhere: set[str] = set()  # other processes are at these
        self.console = Console(stderr=True)
        self.began_s = self.told_s = time.monotonic()
        self.live = (
            Live(
                get_renderable=self._table,
                console=self.console,
                refresh_per_second=2,
                transient=False,
            )
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> 'Board':
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()

    def note(self, text: str) -> None:
        """A line for those who see no table."""
        if not self.live:
            print(f'{len(self.done)}/{len(self.graph.jobs)} {text}', file=sys.stderr, flush=True)
        self.told_s = time.monotonic()

    def remind(self) -> None:
        """A note of what runs, where there was none for a minute."""
        if time.monotonic() - self.told_s > REMIND_S:
            self.note(
                ', '.join(
                    f'{name}: {self._state(name)[1]}' for name in (*self.running, *self.elsewhere)
                )
            )

    def _table(self) -> Table:
        kinds = [k for k in KINDS if any(k in run for run in self.graph.runs.values())]
        spent_s = time.monotonic() - self.began_s
        collects = any(run.job.kind == 'collect' for run in self.running.values())
        table = Table(
            title=f'{len(self.done)} of {len(self.graph.jobs)} stages complete, '
            f'{spent_s / 60:.0f} min{", collects data" if collects else ""}',
            title_justify='left',
        )
        for column in ('row', 'seed', *kinds):
            table.add_column(column)
        for (row, seed), run in self.graph.runs.items():
            table.add_row(row, str(seed), *(self._cell(run.get(kind)) for kind in kinds))
        return table

    def _cell(self, name: str | None) -> str:
        if name is None:
            return ''
        colour, state = self._state(name)
        return f'[{colour}]{state}'

    def _state(self, name: str) -> tuple[str, str]:
        if name in self.done:
            return 'green', 'done'
        if name in self.failed:
            return 'red', 'failed'
        if name in self.elsewhere:
            return 'yellow', 'elsewhere'
        if name not in self.running:
            return 'dim', 'waits'
        share = self.running[name].progress()
        return 'yellow', 'begins' if share is None else f'{100 * share:.0f} %'
