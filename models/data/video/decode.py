# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One recording decoded: brought to one rate, cut to one shape, resized, written to a file."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import Size, resize_area
from vw2_ros.models.data.video.reader import Frames, VideoReader

VERSION = 1  # of what is decoded: another one decodes anew
GAP_S = 1.0  # where no frame comes for longer, a clip must not reach across
TIE = 0.1  # of a tick: of two frames as near, also when stamps are rounded, the later
_EDGE_BYTES = 1 << 12  # of a file's beginning and end: enough to tell content apart


class Stopped(BaseException):
    """The run was interrupted while this thread decoded."""


def fingerprint_of(reader: VideoReader, root: Path, fps: float) -> str:
    """sha256 hex that changes with the content of the files."""
    digest = hashlib.sha256(f'{VERSION} {reader.name} {reader.detail} {fps:g}'.encode())
    for path in reader.files:
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


def decode(
    reader: VideoReader, file, size: Size, fps: float, stop: threading.Event
) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """Decode a recording into a file.

    Args:
        file: open for writing; frames are written as uint8 (h, w, 3), one after another.
        size: of the frames that are written. fps: their rate.
        stop: set where the run ends before its time.
    Returns:
        (take, number of frames) of each contiguous range, in order; and take -> reason, of what
        could not be read.
    Raises:
        DataError: the file cannot be written, or a library is missing. Stopped: `stop` is set.
    """
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
                raise Stopped
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
        for take, frames in reader.takes():
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
        note(reader.name, error)
    if not ranges and not skipped:
        skipped[reader.name] = 'no video inside'
    return ranges, skipped
