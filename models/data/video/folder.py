# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The videos of one data folder, decoded, as frames with ids and ranges."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vw2_ros.files import FileHashes, LeftOut
from vw2_ros.models import parallel
from vw2_ros.models.data import DataError
from vw2_ros.models.data.cache import cache_folder
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.pictures import Size, label, resize_area, sides
from vw2_ros.models.data.video.cache import DecodedRecording, VideoCache
from vw2_ros.models.data.video.decode import Stopped, decode, fingerprint_of
from vw2_ros.models.data.video.files import VIDEOS
from vw2_ros.models.data.video.find import find_readers
from vw2_ros.models.data.video.reader import VideoReader

HELD_OUT = 20  # one video of so many is for validation, where there is no validation/
_failed: dict[str, dict[str, str]] = {}  # fingerprint -> why, of what this process could not read


class VideoFolder:
    """The recordings of one data folder, decoded; a frame's id counts all frames of the folder.

    Where the folder has training/ and validation/, these are the splits; an empty validation/ means
    that nothing is held out. Else one video of `HELD_OUT`, chosen by its name, is held out (at least
    one; of a single video its last part).

    Args:
        root: the folder. split: 'training' or 'validation'.
        size: side of the stored images, or (height, width) [px]. fps: their rate.
        cameras: see `find_readers`.
    Attributes:
        path, frame_ids, ranges: of the split, as of data.CalvinFolder.
        windows: none; nobody says what a video shows.
        skipped: name -> reason, of what could not be read.
    Raises:
        DataError: nothing can be read, a library is missing, or the cache cannot be written.
    """

    windows: tuple = ()

    def __init__(
        self,
        root: Path | str,
        split: str = 'training',
        size: Size = 96,
        fps: float = CALVIN_FPS,
        cameras: Sequence[str] = (),
    ):
        root = Path(root)
        if not root.is_dir():
            raise DataError(f'there is no data folder {root}')
        given = all((root / name).is_dir() for name in ('training', 'validation'))
        self.path = root / split if given else root
        self.size, self.fps = sides(size), fps
        left_out: LeftOut = {}
        readers = find_readers(self.path, fps, cameras, left_out)
        if not readers and not (given and split == 'validation'):
            raise DataError(
                f"{self.path} holds nothing to train on: expected CALVIN's format "
                '(`vw2 collect`), a LeRobot data set (meta/info.json), ROS 2 bags (.mcap, .db3), '
                f'WebDataset shards (.tar) or videos ({", ".join(VIDEOS)}). ' + _listed(left_out)
            )
        key = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        self._cache = cache_folder(self.path, key)
        decoded = self._decode(readers)
        self.skipped = {
            **{name: why for d in decoded for name, why in d.skipped.items()},
            **{path.relative_to(self.path).as_posix(): why for path, why in left_out.items()},
        }
        self._recordings = [d for d in decoded if d.ranges]
        if readers and not self._recordings:
            raise DataError(
                f'{self.path}: none of {len(decoded)} recordings can be read. '
                + _listed(self.skipped)
            )
        if split == 'training' and parallel.leads():
            self._tell()
        self._lay_out(None if given else split)

    def _tell(self) -> None:
        """Say which cameras were taken, and what was left out."""
        cameras = Counter(d.notes.camera for d in self._recordings if d.notes.camera)
        if cameras:
            told = ', '.join(f'{name} ({n})' for name, n in cameras.most_common())
            print(f'vw2: {self.path}: cameras (recordings): {told}', file=sys.stderr)
        for d in self._recordings:
            for note in d.notes.told:
                warnings.warn(f'{self.path / d.name}: {note}', stacklevel=4)
        if self.skipped:
            warnings.warn(
                f'{self.path}: {len(self.skipped)} skipped. {_listed(self.skipped)}', stacklevel=4
            )

    def _decode(self, readers: Sequence[VideoReader]) -> list[DecodedRecording]:
        cache = self._cache_of(self.size)
        hashes = FileHashes(self._cache / 'hashes.json')
        fingerprints = {r.name: fingerprint_of(r, self.path, self.fps, hashes) for r in readers}
        hashes.save()
        finished: dict[str, DecodedRecording] = {}
        for name, fingerprint in fingerprints.items():
            known = cache.find(name, fingerprint)
            if known is None and fingerprint in _failed:
                known = cache.entry(name, fingerprint, (), _failed[fingerprint])
            if known is not None:
                finished[name] = known
        missing = [key for key in fingerprints.items() if key[0] not in finished]
        if missing:
            # Processes that start together begin at different ends, and so share the work.
            np.random.default_rng(os.getpid()).shuffle(missing)
            by_name = {reader.name: reader for reader in readers}

            def write(name: str, file, stop: threading.Event) -> tuple[list, dict]:
                return decode(by_name[name], file, self.size, self.fps, stop)

            for made in cache.fill(f'decoding {self.path}', missing, write):
                if not made.ranges:
                    _failed[made.fingerprint] = made.skipped
                finished[made.name] = made
            cache.forget_replaced(finished.values())
        return [finished[r.name] for r in readers]

    def _cache_of(self, size: Size) -> VideoCache:
        return VideoCache(self._cache / f'video_{label(size)}px_{self.fps:g}fps', size)

    def _lay_out(self, split: str | None) -> None:
        """Which ranges of which recording are in the split (None: all), and their rows."""
        pieces = []  # take, recording, first frame in it, frames, id of the first
        frame_id = 0
        for number, decoded in enumerate(self._recordings):
            offset = 0
            for take, n in decoded.ranges:
                pieces.append((take, number, offset, n, frame_id))
                offset, frame_id = offset + n, frame_id + n
        if split:
            pieces = _part_of(pieces, split == 'validation')
        self._recording, self._offset, lengths, first = (
            np.array([piece[k] for piece in pieces], np.int64) for k in range(1, 5)
        )
        self._bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.ranges = np.stack([first, first + lengths - 1], axis=1)  # (k, 2)
        self.frame_ids = (
            np.concatenate([np.arange(a, b + 1) for a, b in self.ranges])
            if len(pieces)
            else np.zeros(0, np.int64)
        )

    def __len__(self) -> int:
        return len(self.frame_ids)

    def first_rows(self) -> dict[str, int]:
        """Name of each recording whose beginning is in the split -> the row of its first frame."""
        begun = np.flatnonzero(self._offset == 0)
        return {
            self._recordings[self._recording[i]].name: int(self._bounds[i]) for i in begun[::-1]
        }

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 hex over what was read of which files, and at which rate."""
        return hashlib.sha256(
            json.dumps([self.fps, [(d.fingerprint, d.ranges) for d in self._recordings]]).encode()
        ).hexdigest()

    @property
    def rgb(self) -> VideoFolder:
        """The images: rgb[rows] is uint8 (*rows.shape, h, w, 3)."""
        return self

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        flat = rows.reshape(-1)  # (n,)
        piece = np.searchsorted(self._bounds, flat, side='right') - 1
        place = self._offset[piece] + flat - self._bounds[piece]
        which = self._recording[piece]
        out = np.empty((len(flat), *self.size, 3), np.uint8)
        for number in np.unique(which):
            here = which == number
            out[here] = self._recordings[number].rgb[place[here]]
        return out.reshape(*rows.shape, *self.size, 3)

    def resized(self, size: Size) -> VideoFolder:
        """The same images at another size, made from these once (`resize_area`) and cached."""
        cache = self._cache_of(size)
        mine = {d.name: d for d in self._recordings}
        copies = {d.name: cache.find(d.name, d.fingerprint) for d in self._recordings}

        def shrink(name: str, file, stop: threading.Event) -> tuple[Sequence, dict]:
            for rgb in mine[name].rgb:
                if stop.is_set():
                    raise Stopped
                file.write(resize_area(rgb, size))
            return mine[name].ranges, mine[name].skipped, mine[name].notes

        missing = [(d.name, d.fingerprint) for d in self._recordings if copies[d.name] is None]
        if missing:
            made = cache.fill(f'{label(size)} px copies', missing, shrink)
            copies.update({d.name: d for d in made})
            cache.forget_replaced(copies.values())
        other = copy.copy(self)
        other.size = sides(size)
        other._recordings = [copies[d.name] for d in self._recordings]
        return other


def _listed(skipped: dict) -> str:
    return '; '.join(f'{name}: {why}' for name, why in skipped.items())


def _part_of(pieces: list, held_out: bool) -> list:
    """The held-out pieces, or the others. A piece: (take, recording, offset, frames, id)."""

    def draw(take: str) -> int:
        return int.from_bytes(hashlib.sha256(take.encode()).digest()[:8], 'big')

    takes = sorted({piece[0] for piece in pieces}, key=draw)
    if len(takes) == 1:
        take, number, offset, n, first = pieces[-1]
        most = n - n // HELD_OUT
        if held_out:
            return [(take, number, offset + most, n - most, first + most)] if most < n else []
        return [*pieces[:-1], (take, number, offset, most, first)]
    chosen = {take for take in takes[1:-1] if draw(take) % HELD_OUT == 0} | {takes[0]}
    return [piece for piece in pieces if (piece[0] in chosen) == held_out]
