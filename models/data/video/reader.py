# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The protocol of all readers of video, and what they share."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError

PICTURES = ('jpg', 'jpeg', 'png', 'webp')
# time [s], ascending, and uint8 (H, W, 3) rgb; None: it cannot be read
Frames = Iterator[tuple[float, np.ndarray | None]]


@dataclasses.dataclass
class Notes:
    """What a user should know of a recording that was read.

    Attributes:
        camera: which one was taken, where there may be several. told: what was left out, and why.
    """

    camera: str = ''
    told: list[str] = dataclasses.field(default_factory=list)


class VideoReader(Protocol):
    """Reads one recording, which may have several videos in it.

    Attributes:
        name: path of the recording within the data folder.
        files: what it is read from.
        detail: what else decides which frames come, e.g. the camera.
    """

    name: str
    files: Sequence[Path]
    detail: str

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """Name and frames of each video inside. Read each to its end before the next.

        Args:
            notes: takes what a user should know, e.g. which camera was taken.
        Raises:
            DataError: nothing can be read at all, e.g. a library is missing.
            Exception: whatever a damaged file makes the library raise; the take is then skipped.
        """


class Damage:
    """Counts what cannot be read of a recording whose rest can be.

    Args:
        what: what is counted, e.g. 'images'.
    """

    def __init__(self, what: str):
        self.what, self.count, self.first = what, 0, ''

    def add(self, error: Exception) -> None:
        """Count one."""
        self.count += 1
        self.first = self.first or reason_of(error)

    def tell(self, notes: Notes, of: int) -> None:
        """Note what was left out.

        Raises:
            InvalidValueError: it is all there was.
        """
        if self.count and self.count >= of:
            raise InvalidValueError(f'none of {of} {self.what} can be read: {self.first}')
        if self.count:
            notes.told.append(
                f'{self.count} of {of} {self.what} left out, which cannot be read: {self.first}'
            )


def reason_of(error: Exception) -> str:
    """What went wrong, in one line."""
    why = getattr(error, 'strerror', None) or (error.args[0] if error.args else '')
    return ' '.join(str(why).split()) or type(error).__name__


def library(name: str, package: str | None = None):
    """Import a library that only some kinds of data need.

    Raises:
        DataError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = package or name.partition('.')[0]
        raise DataError(
            f'reading this data needs {package}, which is not installed: '
            f'pip install {package} (or all readers: pip install "vw2_ros[video]")'
        ) from error
