# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stores of frames: every image decoded once, rows and clips over several folders.

    store = FrameStore(['data', 'more_data'])    # every image decoded once, (n, 96, 96, 3) uint8
    store.clip_starts(17)                        # rows where a clip of 17 frames begins

A *row* counts the frames of all given folders one after another. `range_end` int64 (n,) is the last
row of the contiguous range that a row is in. What else a `FrameStore` has of each row: see
`calvin.py`.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.cache import DecodedFolder
from vw2_ros.models.data.calvin import ROW_SHAPES, CalvinFolder, split_folder
from vw2_ros.models.data.pictures import Size, label, sides
from vw2_ros.models.data.wild import Nuisances, draw_nuisances, make_wild


class DataFolder(Protocol):
    """Which frames a data folder has: `CalvinFolder` or `VideoFolder`.

    Attributes:
        frame_ids: int64 (n,), ascending.
        ranges: int64 (k, 2), first and last id of each contiguous range.
        content_hash: hex digest that names exactly this data.
    """

    path: Path
    frame_ids: np.ndarray
    ranges: np.ndarray
    content_hash: str

    def __len__(self) -> int: ...


class DecodedFrames(Protocol):
    """The frames of a data folder at one size: `DecodedFolder` or `VideoFolder`.

    Attributes:
        rgb: rgb[rows] is uint8 (*rows.shape, h, w, 3).
    """

    rgb: Any

    def resized(self, size: Size) -> DecodedFrames:
        """The same frames at another size."""


class ClipStore:
    """Rows, clips and hashes of data folders that are decoded.

    Args:
        folders: which frames there are. decoded: the frames of each folder.
        size: side of the stored images, or (height, width) [px]; as an attribute always both.
    Attributes:
        nuisances: of each row, of a store that is wild; else None.
    Raises:
        DataError: no folder, or no frames.
    """

    def __init__(
        self, folders: Sequence[DataFolder], decoded: Sequence[DecodedFrames], size: Size
    ):
        self.size, self.folders, self.decoded = sides(size), list(folders), list(decoded)
        if not self.folders:
            raise DataError('there must be a data folder. Got none. Name one with --data')
        self._bounds = np.cumsum([0, *(len(folder) for folder in self.folders)])
        if not self._bounds[-1]:
            raise DataError(
                f'{", ".join(str(f.path) for f in self.folders)} must hold frames. Got none'
            )
        self.nuisances: Nuisances | None = None
        self.frame_ids = np.concatenate([folder.frame_ids for folder in self.folders])
        self.range_end = self._range_end()

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def _range_end(self) -> np.ndarray:
        ends, base = [], 0
        for folder in self.folders:
            for first, last in folder.ranges:
                n = last - first + 1
                ends.append(np.full(n, base + n - 1))
                base += n
        return np.concatenate(ends)

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 hex that names exactly this data (order of folders included)."""
        parts = [f.content_hash for f in self.folders]
        if self.nuisances is not None:
            parts.append(f'wild {hashlib.sha256(self.nuisances.exposure.tobytes()).hexdigest()}')
        return hashlib.sha256(' '.join(parts).encode()).hexdigest()

    def resized(self, size: Size) -> ClipStore:
        """The same frames at another size, made from these once (`resize_area`) and cached.

        Raises:
            DataError: it is larger.
        """
        wanted = sides(size)
        if wanted == self.size:
            return self
        if any(new > old for new, old in zip(wanted, self.size)):
            raise DataError(
                f'frames are stored at {label(self.size)} px; cannot enlarge to {label(size)}'
            )
        other = copy.copy(self)
        other.size = wanted
        other.decoded = [decoded.resized(size) for decoded in self.decoded]
        return other

    def wild(self, strength: float = 1.0, fps: float = 30.0) -> ClipStore:
        """The same frames, as if filmed where looks change within a clip: see `wild.py`.

        Each range of frames has its own nuisances, the same whenever it is read.
        """

        def seed(folder: DataFolder, first: int) -> int:
            return int(hashlib.sha256(f'{folder.content_hash} {first}'.encode()).hexdigest(), 16)

        other = copy.copy(self)
        other.__dict__.pop('content_hash', None)
        other.nuisances = Nuisances.joined(
            [
                draw_nuisances(
                    int(last - first + 1),
                    np.random.default_rng(seed(folder, int(first))),
                    strength,
                    fps,
                )
                for folder in self.folders
                for first, last in folder.ranges
            ]
        )
        return other

    def rgb(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (*rows.shape, h, w, 3)."""
        rows = np.asarray(rows)
        if self.nuisances is None:
            return self._calm(rows)
        flat = rows.reshape(-1)
        return make_wild(self._calm(flat), self.nuisances[flat]).reshape(
            *rows.shape, *self.size, 3
        )

    def _calm(self, rows: np.ndarray) -> np.ndarray:
        if len(self.decoded) == 1:
            return self.decoded[0].rgb[rows]
        flat = rows.reshape(-1)  # (n,)
        out = np.empty((len(flat), *self.size, 3), np.uint8)
        which = self.folder_of(flat)
        for i in np.unique(which):
            here = which == i
            out[here] = self.decoded[i].rgb[flat[here] - self._bounds[i]]
        return out.reshape(*rows.shape, *self.size, 3)

    def clip_starts(self, frames: int, stride: int = 1) -> np.ndarray:
        """int64 rows r with r .. r + frames - 1 in one contiguous range, every `stride`-th."""
        rows = np.arange(0, len(self))
        starts = rows[rows + frames - 1 <= self.range_end]
        first = starts - self.range_start(starts)
        return starts[first % stride == 0]

    def range_start(self, rows: np.ndarray) -> np.ndarray:
        """int64 first row of the contiguous range that each row is in."""
        ends = np.unique(self.range_end)
        starts = np.concatenate([[0], ends[:-1] + 1])
        return starts[np.searchsorted(ends, rows)]

    def folder_of(self, rows: np.ndarray) -> np.ndarray:
        """int64 index of the folder that each row belongs to."""
        return np.searchsorted(self._bounds, rows, side='right') - 1

    def first_row(self, folder: int) -> int:
        """The first row of the folder-th folder."""
        return int(self._bounds[folder])

    def rows_of(self, folder: int, frame_ids: np.ndarray) -> np.ndarray:
        """Rows of frame ids of the folder-th folder."""
        ids = self.folders[folder].frame_ids
        return np.searchsorted(ids, frame_ids) + self._bounds[folder]


class FrameStore(ClipStore):
    """All frames of one or several data folders, decoded once and then memory-mapped.

    Args:
        roots: data folders, each with `<split>/` inside (or a split folder itself).
        split: 'training' or 'validation'.
        size: side of the stored images, or (height, width) [px].
    Raises:
        DataError: a folder, index or frame is missing or damaged; the message names the file.
    """

    def __init__(self, roots: Iterable[Path | str], split: str = 'training', size: Size = 96):
        folders = [CalvinFolder(split_folder(root, split)) for root in roots]
        super().__init__(folders, [DecodedFolder(folder, size) for folder in folders], size)
        for key in ROW_SHAPES:
            setattr(self, key, np.concatenate([d.state[key] for d in self.decoded]))
