# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 demo` says while it runs: lines, and on a terminal what camera and planner see, too."""

import time
from collections.abc import Mapping

import cv2
import numpy as np
from rich.color import Color
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

COLUMNS = 32  # of a picture
PERIOD_S = 0.5  # between two pictures


class Screen:
    """Lines that stay, and below them, on a terminal, what changes.

    Args:
        console: where; None: this process's output.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(highlight=False)
        self._live: Live | None = None
        self._shown_s = -1e9
        unicode = self.console.encoding.lower().startswith('utf')
        self.alive = self.console.is_terminal and unicode  # whether pictures are shown

    def __enter__(self) -> 'Screen':
        return self

    def __exit__(self, *_) -> None:
        self.clear()

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def due(self) -> bool:
        """Whether `show` would show anything by now."""
        return self.alive and time.monotonic() - self._shown_s >= PERIOD_S

    def show(self, text: str, pictures: Mapping[str, np.ndarray]) -> None:
        """Show one line, and pictures uint8 (S, S, 3) side by side, by what they are."""
        if not self.due:
            return
        self._shown_s = time.monotonic()
        table = Table.grid(padding=(0, 2))
        table.add_row(*pictures)
        table.add_row(*map(blocks, pictures.values()))
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(Group(Text(text), table), refresh=True)

    def clear(self) -> None:
        """Take away what changes."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def calm(self) -> None:
        """Show no pictures from now on."""
        self.clear()
        self.alive = False


def blocks(rgb: np.ndarray, columns: int = COLUMNS) -> Text:
    """A square picture as text: each character is two pixels, one above the other."""
    small = cv2.resize(rgb, (columns, columns), interpolation=cv2.INTER_AREA).tolist()
    text = Text()
    for upper, lower in zip(small[::2], small[1::2]):
        for above, below in zip(upper, lower):
            text.append('▀', Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append('\n')
    return text
