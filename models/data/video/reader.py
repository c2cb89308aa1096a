# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The protocol of all readers of video, and what they share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vw2_ros.models.data import DataError

PICTURES = ('jpg', 'jpeg', 'png', 'webp')
Frames = Iterator[tuple[float, np.ndarray]]  # time [s], ascending, and uint8 (H, W, 3) rgb


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

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """Name and frames of each video inside. Read each to its end before the next.

        Raises:
            DataError: nothing can be read at all, e.g. a library is missing.
            Exception: whatever a damaged file makes the library raise; the take is then skipped.
        """


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
