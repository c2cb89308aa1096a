# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Recordings decoded into the cache: one rate, one size, one file each."""

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import Size, resize_area, sides
from vw2_ros.models.data.video.reader import Frames, Recording
from vw2_ros.progress import progress_bar

VERSION = 1  # of the cache: another one decodes anew
GAP_S = 1.0  # where no frame comes for longer, a clip must not reach across
TIE = 0.1  # of a tick: of two frames as near, also when stamps are rounded, the later
_EDGE_BYTES = 1 << 12  # of a file's beginning and end: enough to tell content apart


def resample(frames: Frames, fps: float) -> Iterator[tuple[int, np.ndarray]]:
    """Frames at one rate: at each tick the one nearest in time.

    Args:
        frames: at any rate, also an uneven one. Frames that come out of order are left out.
        fps: ticks per second, counted from the first frame.
    Yields:
        number of the piece, and the frame. Where the time jumps (`GAP_S`) a new piece begins.
    """
    piece, ticks, origin, held_at, held = -1, 0, 0.0, None, None
    for time, rgb in frames:
        if held_at is not None and -GAP_S < time - held_at <= 0:
            continue
        connected = held_at is not None and 0 < time - held_at <= GAP_S
        if held_at is not None:
            until = (held_at + time) / 2 if connected else held_at + 0.5 / fps
            while origin + (ticks + TIE) / fps < until:
                yield piece, held
                ticks += 1
        if not connected:
            piece, ticks, origin = piece + 1, 0, time
        held_at, held = time, rgb
    while held_at is not None and origin + (ticks + TIE) / fps < held_at + 0.5 / fps:
        yield piece, held
        ticks += 1


class _Stopped(BaseException):
    """The run was interrupted while this thread decoded."""


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """A recording in the cache: (take, frames) of each range, in order, and what was skipped."""

    path: Path
    name: str
    fingerprint: str
    ranges: Sequence[tuple[str, int]]
    skipped: dict[str, str]

    def __len__(self) -> int:
        return sum(n for _, n in self.ranges)


def _fingerprint(recording: Recording, root: Path, fps: float) -> str:
    """sha256 hex that changes with the content of the files."""
    digest = hashlib.sha256(f'{VERSION} {recording.name} {recording.detail} {fps:g}'.encode())
    for path in recording.files:
        try:
            with open(path, 'rb') as file:
                size = os.fstat(file.fileno()).st_size
                head = file.read(_EDGE_BYTES)
                file.seek(max(0, size - _EDGE_BYTES))
                digest.update(
                    f'\0{path.relative_to(root).as_posix()} {size}\0'.encode() + head + file.read()
                )
        except OSError:
            digest.update(f'\0{path.relative_to(root).as_posix()} missing'.encode())
    return digest.hexdigest()


def _place(folder: Path, name: str, fingerprint: str) -> tuple[Path, str, str]:
    """Where a recording is kept: the same beginning for the same name."""
    begin = hashlib.sha256(name.encode()).hexdigest()[:16]
    return folder / f'{begin}_{fingerprint[:16]}.u8', name, fingerprint


def _finished(path: Path, name: str, fingerprint: str, size: Size) -> _Decoded | None:
    """What the cache holds of a recording, if that is all of it."""
    try:
        index = json.loads(path.with_suffix('.json').read_text())
        decoded = _Decoded(
            path,
            name,
            fingerprint,
            [(t, int(n)) for t, n in index['ranges']],
            dict(index['skipped']),
        )
        whole = path.stat().st_size == 3 * len(decoded) * math.prod(sides(size))
        return decoded if whole else None
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _fill(
    file, recording: Recording, size: Size, fps: float, stop: threading.Event
) -> tuple[list, dict]:
    """Decode a recording into a file; returns (take, frames) of each range, and what failed."""
    ranges: list[tuple[str, int]] = []
    skipped: dict[str, str] = {}
    passed_on = (DataError, MemoryError)

    def note(name: str, error: Exception) -> None:
        why = getattr(error, 'strerror', None) or (error.args[0] if error.args else '')
        skipped[name] = ' '.join(str(why).split()) or type(error).__name__

    def write(frames: Frames) -> list[int]:
        lengths: list[int] = []
        last = small = None
        for piece, rgb in resample(frames, fps):
            if stop.is_set():
                raise _Stopped
            if rgb is not last:
                last, small = rgb, resize_area(rgb, size)
            try:
                file.write(small)
            except OSError as error:
                raise DataError(f'{file.name} cannot be written: {error}') from error
            lengths += [0] * (piece + 1 - len(lengths))
            lengths[piece] += 1
        if not lengths:
            raise InvalidValueError('no frames inside')
        return lengths

    # Decoders may raise nearly anything on damaged bytes.
    try:
        for take, frames in recording.takes():
            begin = file.tell()
            try:
                ranges += [(take, n) for n in write(frames)]
            except passed_on:
                raise
            except Exception as error:
                note(take, error)
                file.seek(begin)
                file.truncate()
    except passed_on:
        raise
    except Exception as error:
        note(recording.name, error)
    if not ranges and not skipped:
        skipped[recording.name] = 'no video inside'
    return ranges, skipped


@contextlib.contextmanager
def _turn(lock, fingerprint: str, stop: threading.Event):
    """Keep a recording from other processes meanwhile; yields whether locks work there."""
    place = int(fingerprint[:12], 16)
    held = None
    while held is None:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            held = True
        except BlockingIOError:
            if stop.wait(0.2):
                raise _Stopped from None
        except OSError:
            held = False
    try:
        yield held
    finally:
        if held:
            fcntl.lockf(lock, fcntl.LOCK_UN, 1, place)


def _keep(path: Path, name: str, fingerprint: str, fill: Callable, alone: bool) -> _Decoded:
    """Write a recording beside and rename; `fill(file)` returns (ranges, skipped)."""
    part = path.with_suffix('.part' if alone else f'.{os.getpid()}.part')
    try:
        with open(part, 'wb', buffering=1 << 20) as file:
            ranges, skipped = fill(file)
        if ranges:
            os.replace(part, path)
            part.write_text(json.dumps({'name': name, 'ranges': ranges, 'skipped': skipped}))
            os.replace(part, path.with_suffix('.json'))
        return _Decoded(path, name, fingerprint, ranges, skipped)
    except OSError as error:
        raise DataError(
            f'{path} cannot be written: {error}. What is decoded so far stays; free '
            'some space and run again'
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _forget_replaced(folder: Path, paths: Iterable[Path]) -> None:
    """Remove what was decoded of files that have other content now."""
    now = {path.stem.partition('_')[0]: path.stem for path in paths}
    for old in folder.iterdir():
        stem = old.name.partition('.')[0]
        if now.get(stem.partition('_')[0], stem) != stem:
            old.unlink(missing_ok=True)


def _in_threads(what: str, work: Callable, items: Sequence, stop: threading.Event) -> list:
    """work(item) of all, in threads (decoding releases the interpreter lock), with a bar."""
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


@functools.lru_cache(4096)  # a process may hold some ten thousand maps, not millions
def _mapped(path: Path, frames: int, size: tuple[int, int]) -> np.ndarray:
    return np.memmap(path, np.uint8, 'r', shape=(frames, *size, 3))
