# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Decoded frames, kept beside the data and memory-mapped."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vw2_ros.files import whole, write_whole
from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import (
    ROW_SHAPES,
    CalvinFolder,
    read_frame,
    read_shard,
    reading_file,
)
from vw2_ros.models.data.pictures import Size, label, resize_area, sides
from vw2_ros.models.parallel import first_of_machine
from vw2_ros.progress import progress_bar

CACHE_VERSION = 3  # of what is decoded: another one decodes anew


def cache_folder(split: Path, key: str) -> Path:
    """Where decoded frames go: beside the data, or in the user's cache if that is read-only.

    Args:
        split: the folder that the data lie in.
        key: name of the folder in the user's cache.
    """
    beside = split / 'cache'
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return beside
    except OSError:
        root = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache'))
        folder = root / 'vw2_ros' / 'frames' / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _Rows:
    """Some rows of a memory-mapped array, e.g. those that were not dropped."""

    def __init__(self, of: np.ndarray, rows: np.ndarray):
        self.of, self.rows = of, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows) -> np.ndarray:
        return self.of[self.rows[rows]]


class DecodedFolder:
    """Decoded images (`rgb`) and `state` of one split folder, memory-mapped from its cache.

    All recorded frames are decoded once; `rgb` and `state` have the rows that edits left.
    """

    def __init__(self, folder: CalvinFolder, size: Size, source: DecodedFolder | None = None):
        self.folder, self.size = folder, sides(size)
        told = f'{CACHE_VERSION} {folder.recorded_hash} {folder.written}'
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.cache = cache_folder(folder.path, key)
        self.image_file = self.cache / f'rgb_{label(size)}_{key}.u8'
        self.state_file = self.cache / f'state_{key}.npz'
        shape = (len(folder.recorded_ids), *self.size, 3)
        with first_of_machine():
            complete = (
                self.state_file.is_file()
                and self.image_file.is_file()
                and self.image_file.stat().st_size == math.prod(shape)
            )
            if not complete:
                self._build(shape, source)
        self.rgb = (
            np.memmap(self.image_file, np.uint8, 'r', shape=shape)
            if shape[0]
            else np.zeros(shape, np.uint8)
        )
        with (
            reading_file(self.state_file),
            np.load(self.state_file, allow_pickle=False) as archive,
        ):
            self.state = {name: archive[name] for name in ROW_SHAPES}
        self.recorded_rgb, self.recorded_state = self.rgb, self.state
        # names what `rgb` shows, for what is made of it and kept
        self.name = self.image_file.stem
        if len(folder) < shape[0]:
            rows = np.searchsorted(folder.recorded_ids, folder.frame_ids)
            self.rgb = _Rows(self.rgb, rows)
            self.state = {name: values[rows] for name, values in self.state.items()}
            self.name += f'_{folder.content_hash[:8]}'

    def resized(self, size: Size) -> DecodedFolder:
        """The same images at another size, made from these once."""
        return DecodedFolder(self.folder, size, self)

    def _build(self, shape: tuple[int, ...], source: DecodedFolder | None) -> None:
        need = math.prod(shape)
        free = shutil.disk_usage(self.cache).free
        if need > free:
            raise DataError(
                f'{self.cache} must have {need / 1e9:.1f} GB free for the decoded frames. '
                f'Got {free / 1e9:.1f} GB. Make room'
            )
        with whole(self.image_file) as beside:
            beside.touch()
            if need:
                os.truncate(beside, need)
                rgb = np.memmap(beside, np.uint8, 'r+', shape=shape)
                state = self._resize(source, rgb) if source else self._decode(rgb)
                rgb.flush()
                del rgb
            else:
                state = {key: np.zeros((0, *s), np.float32) for key, s in ROW_SHAPES.items()}
            buffer = io.BytesIO()
            np.savez(buffer, **state)
            write_whole(self.state_file, buffer.getvalue())
        for old in self.cache.glob(f'rgb_{label(self.size)}_*.u8'):
            if old != self.image_file:  # the data grew: what was decoded before is of no more use
                old.unlink(missing_ok=True)

    def _resize(self, source: DecodedFolder, rgb: np.ndarray) -> dict[str, np.ndarray]:
        of = source.recorded_rgb
        with progress_bar() as bar:
            for i in bar.track(range(len(rgb)), description=f'{label(self.size)} px copies'):
                rgb[i] = resize_area(of[i], self.size)
        return source.recorded_state

    def _decode(self, rgb: np.ndarray) -> dict[str, np.ndarray]:
        n, ids = len(rgb), self.folder.recorded_ids
        state = {key: np.zeros((n, *shape), np.float32) for key, shape in ROW_SHAPES.items()}
        found = np.zeros(n, bool)

        def take_shard(path: Path) -> int:
            shard_ids, images, rows = read_shard(path, self.size)
            target = np.minimum(np.searchsorted(ids, shard_ids), n - 1)  # ids ascend
            known = ids[target] == shard_ids
            target = target[known]
            rgb[target] = images[known]
            for key, value in rows.items():
                state[key][target] = value[known]
            found[target] = True
            return int(known.sum())

        def take_frames(rows: Sequence[int]) -> int:
            for i in rows:
                path = self.folder.path / f'episode_{ids[i]:07d}.npz'
                rgb[i], row = read_frame(path, self.size)
                for key, value in row.items():
                    state[key][i] = value
                found[i] = True
            return len(rows)

        if self.folder.shards:
            jobs = [(take_shard, path) for path in self.folder.shards]
        else:
            jobs = [(take_frames, rows) for rows in np.array_split(np.arange(n), -(-n // 100))]
        # Decompression and image code release the interpreter lock.
        with (
            progress_bar() as bar,
            concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        ):
            task = bar.add_task(f'decoding {self.folder.path}', total=n)
            futures = [pool.submit(function, argument) for function, argument in jobs]
            try:
                for future in concurrent.futures.as_completed(futures):
                    bar.advance(task, future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not found.all():
            missing = ids[np.flatnonzero(~found)]
            raise DataError(
                f'{self.folder.path / "shards"} must hold all frames of the index. Got '
                f'{len(missing)} that are in no shard, first {missing[0]}. Collect them again'
            )
        return state
