# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One recording decoded: brought to one rate, cut to one shape, resized, written to a file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.files import FileHashes
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import Size, resize_area
from vw2_ros.models.data.video.reader import Frames, Notes, VideoReader, reason_of

VERSION = 2  # of what is decoded: another one decodes anew
GAP_S = 1.0  # where no frame comes for longer, a clip must not reach across
TIE = 0.1  # of a tick: of two frames as near, also when stamps are rounded, the later


class Stopped(BaseException):
    """The run was interrupted while this thread decoded."""


def fingerprint_of(reader: VideoReader, root: Path, fps: float, hashes: FileHashes) -> str:
    """sha256 hex that changes with the content of the files."""
    digest = hashlib.sha256(f'{VERSION} {reader.name} {reader.detail} {fps:g}'.encode())
    for path in reader.files:
        try:
            content = hashes.of(path)
        except OSError:
            content = 'missing'
        digest.update(f'\0{path.relative_to(root).as_posix()} {content}'.encode())
    return digest.hexdigest()


def resample(frames: Frames, fps: float) -> Iterator[tuple[int, np.ndarray]]:
    """Frames at one rate: at each tick the one nearest in time.

    Args:
        frames: at any rate, also an uneven one. Frames that come out of order are left out; None
            stands for one that cannot be read.
        fps: ticks per second, counted from the first frame.
    Yields:
        number of the piece, and the frame. Where the time jumps (`GAP_S`) a new piece begins.
    """
    piece, ticks, origin, held_at, held = -1, 0, 0.0, None, None
    for time, rgb in frames:
        if rgb is None:  # a clip must not reach across what cannot be read
            if held_at is not None:
                while origin + (ticks + TIE) / fps < held_at + 0.5 / fps:
                    yield piece, held
                    ticks += 1
            held_at = None
            continue
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
) -> tuple[list[tuple[str, int]], dict[str, str], Notes]:
    """Decode a recording into a file.

    Args:
        file: open for writing; frames are written as uint8 (h, w, 3), one after another.
        size: of the frames that are written. fps: their rate.
        stop: set where the run ends before its time.
    Returns:
        (take, number of frames) of each contiguous range, in order; take -> reason, of what could
        not be read; and what a user should know of the rest.
    Raises:
        DataError: the file cannot be written, or a library is missing. Stopped: `stop` is set.
    """
    ranges: list[tuple[str, int]] = []
    skipped: dict[str, str] = {}
    notes = Notes()
    passed_on = (DataError, MemoryError)

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
        for take, frames in reader.takes(notes):
            begin = file.tell()
            try:
                ranges += [(take, n) for n in write(frames)]
            except passed_on:
                raise
            except Exception as error:
                skipped[take] = reason_of(error)
                file.seek(begin)
                file.truncate()
    except passed_on:
        raise
    except Exception as error:
        skipped[reader.name] = reason_of(error)
    if not ranges and not skipped:
        skipped[reader.name] = 'no video inside'
    return ranges, skipped, notes
