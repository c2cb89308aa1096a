# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The videos of one data folder, decoded, as frames with ids and ranges."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.cache import cache_folder
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.pictures import Size, label, resize_area, sides
from vw2_ros.models.data.video.decode import (
    _Decoded,
    _fill,
    _fingerprint,
    _finished,
    _forget_replaced,
    _in_threads,
    _keep,
    _mapped,
    _place,
    _Stopped,
    _turn,
)
from vw2_ros.models.data.video.files import VIDEOS
from vw2_ros.models.data.video.find import find_recordings
from vw2_ros.models.data.video.reader import Recording

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
        cameras: see `find_recordings`.
    Attributes:
        path, frame_ids, ranges: of the split, as of data.CalvinFolder.
        skipped: name -> reason, of what could not be read.
    Raises:
        DataError: nothing can be read, a library is missing, or the cache cannot be written.
    """

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
        recordings = find_recordings(self.path, fps, cameras)
        if not recordings and not (given and split == 'validation'):
            raise DataError(
                f"{self.path} holds nothing to train on: expected CALVIN's format "
                '(`vw2 collect`), a LeRobot data set (meta/info.json), ROS 2 bags (.mcap, .db3), '
                f'WebDataset shards (.tar) or videos ({", ".join(VIDEOS)})'
            )
        key = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        self._cache = cache_folder(self.path, key)
        decoded = self._decode(recordings)
        self.skipped = {name: why for d in decoded for name, why in d.skipped.items()}
        self._recordings = [d for d in decoded if d.ranges]
        if recordings and not self._recordings:
            raise DataError(
                f'{self.path}: none of {len(decoded)} recordings can be read. '
                + _listed(self.skipped)
            )
        if self.skipped and split == 'training':
            warnings.warn(
                f'{self.path}: {len(self.skipped)} skipped, which cannot be read. '
                + _listed(self.skipped),
                stacklevel=2,
            )
        self._lay_out(None if given else split)

    def _decode(self, recordings: Sequence[Recording]) -> list[_Decoded]:
        folder = self._folder(self.size)
        stop = threading.Event()
        prints = {r.name: _fingerprint(r, self.path, self.fps) for r in recordings}
        finished: dict[str, _Decoded] = {}
        for r in recordings:
            known = _finished(*_place(folder, r.name, prints[r.name]), self.size)
            if known is None and prints[r.name] in _failed:
                known = _Decoded(
                    *_place(folder, r.name, prints[r.name]), (), _failed[prints[r.name]]
                )
            if known is not None:
                finished[r.name] = known
        missing = [r for r in recordings if r.name not in finished]
        # Processes that start together begin at different ends, and so share the work.
        np.random.default_rng(os.getpid()).shuffle(missing)

        def work(recording: Recording) -> None:
            place = _place(folder, recording.name, prints[recording.name])
            with _turn(lock, place[2], stop) as alone:
                done = _finished(*place, self.size) or _keep(
                    *place, lambda file: _fill(file, recording, self.size, self.fps, stop), alone
                )
            if not done.ranges:
                _failed[done.fingerprint] = done.skipped
            finished[recording.name] = done

        if missing:
            with open(folder / 'lock', 'ab') as lock:
                _in_threads(f'decoding {self.path}', work, missing, stop)
            _forget_replaced(folder, [finished[r.name].path for r in recordings])
        return [finished[r.name] for r in recordings]

    def _folder(self, size: Size) -> Path:
        folder = self._cache / f'video_{label(size)}px_{self.fps:g}fps'
        folder.mkdir(parents=True, exist_ok=True)
        return folder

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
            decoded = self._recordings[number]
            out[here] = _mapped(decoded.path, len(decoded), self.size)[place[here]]
        return out.reshape(*rows.shape, *self.size, 3)

    def resized(self, size: Size) -> VideoFolder:
        """The same images at another size, made from these once (`resize_area`) and cached."""
        folder, stop = self._folder(size), threading.Event()

        def copy_of(decoded: _Decoded) -> _Decoded:
            def fill(file) -> tuple[Sequence, dict]:
                for rgb in _mapped(decoded.path, len(decoded), self.size):
                    if stop.is_set():
                        raise _Stopped
                    file.write(resize_area(rgb, size))
                return decoded.ranges, decoded.skipped

            place = folder / decoded.path.name, decoded.name, decoded.fingerprint
            with _turn(lock, decoded.fingerprint, stop) as alone:
                return _finished(*place, size) or _keep(*place, fill, alone)

        copies = {
            d.name: _finished(folder / d.path.name, d.name, d.fingerprint, size)
            for d in self._recordings
        }
        missing = [d for d in self._recordings if copies[d.name] is None]
        if missing:
            with open(folder / 'lock', 'ab') as lock:
                made = _in_threads(f'{label(size)} px copies', copy_of, missing, stop)
            copies.update({d.name: d for d in made})
            _forget_replaced(folder, [d.path for d in copies.values()])
        other = copy.copy(self)
        other.size = sides(size)
        other._recordings = [copies[d.name] for d in self._recordings]
        return other


def _listed(skipped: dict[str, str]) -> str:
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
