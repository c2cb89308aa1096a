# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Decoded recordings on disk: one file of frames each, with its index beside it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import Size, sides
from vw2_ros.models.data.video.decode import Stopped
from vw2_ros.models.data.video.reader import Notes
from vw2_ros.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class DecodedRecording:
    """A recording in the cache.

    Attributes:
        path: of its frames, uint8 (n, h, w, 3). size: (h, w) [px].
        name: of the recording. fingerprint: of its files and how they were read.
        ranges: (take, number of frames) of each contiguous range, in order.
        skipped: take -> reason, of what could not be read. notes: of the rest, for a user.
    """

    path: Path
    size: tuple[int, int]
    name: str
    fingerprint: str
    ranges: Sequence[tuple[str, int]]
    skipped: dict[str, str]
    notes: Notes = dataclasses.field(default_factory=Notes)

    def __len__(self) -> int:
        return sum(n for _, n in self.ranges)

    @property
    def rgb(self) -> np.ndarray:
        """uint8 (n, h, w, 3), memory-mapped."""
        return _mapped(self.path, (len(self), *self.size, 3))


@functools.lru_cache(4096)  # a process may hold some ten thousand maps, not millions
def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.memmap(path, np.uint8, 'r', shape=shape)


class VideoCache:
    """The decoded recordings of one data folder at one size and rate.

    What is finished is never decoded again, so a run that was killed goes on where it was, and
    several processes share the work.

    Args:
        folder: where they lie; made if it is missing.
        size: side of the frames, or (height, width) [px].
    """

    def __init__(self, folder: Path, size: Size):
        self.folder, self.size = folder, sides(size)
        folder.mkdir(parents=True, exist_ok=True)

    def entry(
        self,
        name: str,
        fingerprint: str,
        ranges: Sequence = (),
        skipped: dict | None = None,
        notes: Notes | None = None,
    ) -> DecodedRecording:
        """Say where a recording lies here, decoded or not; files of one name begin alike."""
        begin = hashlib.sha256(name.encode()).hexdigest()[:16]
        path = self.folder / f'{begin}_{fingerprint[:16]}.u8'
        return DecodedRecording(
            path, self.size, name, fingerprint, ranges, skipped or {}, notes or Notes()
        )

    def find(self, name: str, fingerprint: str) -> DecodedRecording | None:
        """A recording, if all of it is here."""
        path = self.entry(name, fingerprint).path
        try:
            index = json.loads(path.with_suffix('.json').read_text())
            ranges = [(take, int(n)) for take, n in index['ranges']]
            decoded = self.entry(
                name, fingerprint, ranges, dict(index['skipped']), Notes(**index['notes'])
            )
            whole = path.stat().st_size == 3 * len(decoded) * math.prod(self.size)
            return decoded if whole else None
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def fill(
        self, what: str, missing: Sequence[tuple[str, str]], write: Callable
    ) -> list[DecodedRecording]:
        """Write recordings that are missing, in threads.

        Args:
            what: said by the progress bar.
            missing: name and fingerprint of each.
            write: called as write(name, file, stop); returns ranges, skipped and notes, see
                `decode.decode`.
        Raises:
            DataError: a file cannot be written.
        """
        stop = threading.Event()

        def work(key: tuple[str, str]) -> DecodedRecording:
            with _turn(lock, key[1], stop) as alone:
                return self.find(*key) or self._keep(
                    *key, lambda file: write(key[0], file, stop), alone
                )

        with open(self.folder / 'lock', 'ab') as lock:
            return _in_threads(what, work, missing, stop)

    def _keep(self, name: str, fingerprint: str, write: Callable, alone: bool) -> DecodedRecording:
        """Write a recording beside and rename; `write(file)` returns (ranges, skipped, notes)."""
        path = self.entry(name, fingerprint).path
        part = path.with_suffix('.part' if alone else f'.{os.getpid()}.part')
        try:
            with open(part, 'wb', buffering=1 << 20) as file:
                ranges, skipped, notes = write(file)
            if ranges:
                os.replace(part, path)
                index = {
                    'name': name,
                    'ranges': ranges,
                    'skipped': skipped,
                    'notes': dataclasses.asdict(notes),
                }
                part.write_text(json.dumps(index))
                os.replace(part, path.with_suffix('.json'))
            return self.entry(name, fingerprint, ranges, skipped, notes)
        except OSError as error:
            raise DataError(
                f'{path} cannot be written: {error}. What is decoded so far stays; free '
                'some space and run again'
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def forget_replaced(self, kept: Iterable[DecodedRecording]) -> None:
        """Remove what was decoded of files whose content has changed since."""
        now = {d.path.stem.partition('_')[0]: d.path.stem for d in kept}
        for old in self.folder.iterdir():
            stem = old.name.partition('.')[0]
            if now.get(stem.partition('_')[0], stem) != stem:
                old.unlink(missing_ok=True)


@contextlib.contextmanager
def _turn(lock, fingerprint: str, stop: threading.Event):
    """Keep other processes from a recording meanwhile; yields whether the file system has locks."""
    place = int(fingerprint[:12], 16)
    held = None
    while held is None:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            held = True
        except BlockingIOError:
            if stop.wait(0.2):
                raise Stopped from None
        except OSError:
            held = False
    try:
        yield held
    finally:
        if held:
            fcntl.lockf(lock, fcntl.LOCK_UN, 1, place)


def _in_threads(what: str, work: Callable, items: Sequence, stop: threading.Event) -> list:
    """Call work(item) for each item, in threads, with a progress bar; the results in order.

    Decoding releases the interpreter lock. Where one fails, `stop` is set for the others.
    """
    with progress_bar() as bar, concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        task = bar.add_task(what, total=len(items))
        try:
            futures = [pool.submit(work, item) for item in items]
            left = set(futures)
            while left:  # a Ctrl-C that comes just before a wait without end would not end it
                done, left = concurrent.futures.wait(left, 0.5, 'FIRST_COMPLETED')
                for future in done:
                    future.result()
                    bar.advance(task)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
