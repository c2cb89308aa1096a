# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets v2.0, v2.1 and v3: videos, or pictures in parquet files."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import read_picture
from vw2_ros.models.data.video.files import VideoFileReader, frames_between, video_frames
from vw2_ros.models.data.video.lerobot_index import LeRobotIndex, Part
from vw2_ros.models.data.video.reader import Damage, Frames, Notes, VideoReader, library, reason_of

MISSING = 0.1  # an episode that lacks a larger share of its frames is damaged


@dataclasses.dataclass(frozen=True)
class LeRobotVideoReader:
    """A LeRobot v3 video file: episodes one after another, (number, from, to) [s] each."""

    path: Path
    name: str
    episodes: Sequence[tuple[int, float, float]]
    fps: float
    camera: str = ''

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """Where the episodes lie."""
        return repr(tuple((f'{self.name}#{number}', a, b) for number, a, b in self.episodes))

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`. The file is decoded once, up to what is damaged."""
        notes.camera = self.camera
        half = 0.5 / self.fps  # time stamps are rounded
        source = _Forward(self.path)
        for number, start, end in self.episodes:
            promised = round((end - start) * self.fps)
            yield f'{self.name}#{number}', source.between(start - half, end - half, promised)


class _Forward:
    """The frames of a file, from its beginning to its end; after damage, part by part."""

    def __init__(self, path: Path):
        self.path, self.waiting, self.damaged = path, None, False
        self.frames = video_frames(path)

    def between(self, start: float, end: float, promised: int) -> Frames:
        """Frames from `start` on, before `end` [s].

        Raises:
            InvalidValueError: fewer than promised. Others: see `video_frames`.
        """
        count, last = 0, start
        if not self.damaged:
            try:
                while True:
                    if self.waiting is None:
                        self.waiting = next(self.frames, None)
                    if self.waiting is None or self.waiting[0] >= end:
                        break
                    frame, self.waiting = self.waiting, None
                    if frame[0] >= start:
                        count, last = count + 1, frame[0]
                        yield frame
            except Exception:  # it may be another episode's: decoders run ahead
                self.damaged = True
        if self.damaged:
            for frame in frames_between(self.path, start, end):
                if not count or frame[0] > last:
                    count, last = count + 1, frame[0]
                    yield frame
        if count < promised * (1 - MISSING):
            raise InvalidValueError(f'{count} of {promised} frames are there')


@dataclasses.dataclass(frozen=True)
class LeRobotPictureReader:
    """A LeRobot data file that holds the pictures themselves."""

    path: Path
    name: str
    camera: str
    fps: float
    root: Path

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """The camera, and the rate that gives the time of a frame."""
        return f'{self.camera} {self.fps:g}'

    def _rows(self) -> Iterator[dict]:
        parquet = library('pyarrow.parquet')
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(
                64, columns=[self.camera, 'episode_index', 'frame_index']
            ):
                yield from batch.to_pylist()

    def _frame(self, row: dict) -> tuple[float, np.ndarray]:
        image = row[self.camera]
        data = image['bytes'] or (self.root / image['path']).read_bytes()
        return row['frame_index'] / self.fps, read_picture(data)

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        notes.camera = self.camera
        for episode, rows in itertools.groupby(self._rows(), lambda row: row['episode_index']):
            yield f'{self.name}#{episode}', self._frames(episode, rows, notes)

    def _frames(self, episode: int, rows: Iterator[dict], notes: Notes) -> Frames:
        damage, number = Damage(f'pictures of episode {episode}'), 0
        for row in rows:
            number += 1
            try:
                yield self._frame(row)
            except Exception as error:  # damaged bytes
                damage.add(error)
                yield row['frame_index'] / self.fps, None
        damage.tell(notes, number)


def lerobot_readers(root: Path, cameras: Sequence[str] = (), lead: str = '') -> list[VideoReader]:
    """Readers of a LeRobot data set, v2.0, v2.1 or v3.

    Args:
        root: folder that holds meta/info.json.
        cameras: keys; the first that the data set has is taken. None given: its first camera.
        lead: what names begin with, where the set is a part of the data folder.
    Raises:
        DataError: the index is missing or damaged, another version, or no such camera.
    """
    index = LeRobotIndex.open(root)
    return [reader for reader, _ in _readers(index, index.camera(cameras), lead)]


def _readers(
    index: LeRobotIndex, camera: str, lead: str = ''
) -> Iterator[tuple[VideoReader, list[Part]]]:
    """Readers of a camera, and which episodes each of them has."""
    root, filmed = index.root, index.filmed(camera)
    for place, parts in index.places(camera if filmed else '').items():
        name = lead + place
        if not filmed:
            yield LeRobotPictureReader(root / place, name, camera, index.fps, root), parts
        elif index.v3:
            yield LeRobotVideoReader(root / place, name, tuple(parts), index.fps, camera), parts
        else:
            yield VideoFileReader(root / place, name, camera), parts


def lerobot_films(
    index: LeRobotIndex, camera: str, damaged: dict[str, str]
) -> Iterator[tuple[int, Iterator[tuple[int, np.ndarray | None]]]]:
    """Each episode's number, and its (frame_index, picture). Read each to its end before the next.

    A picture is uint8 (H, W, 3) rgb; None: it cannot be read.

    Args:
        damaged: takes file -> reason, of what cannot be read from there on.
    Raises:
        DataError: the index is damaged. While pictures are read, whatever damaged ones raise.
    """
    for reader, parts in _readers(index, camera):
        begins = {number: start for number, start, _ in parts}
        alone = next(iter(begins)) if len(begins) == 1 else None
        takes = reader.takes(Notes())
        while True:
            try:
                take, frames = next(takes)
            except StopIteration:
                break
            except DataError:
                raise
            except Exception as error:  # damaged files make the libraries raise nearly anything
                damaged[reader.name] = reason_of(error)
                break
            number = alone if alone is not None else int(take.rpartition('#')[2])
            yield number, _numbered(frames, begins.get(number, 0.0), index.fps)


def _numbered(frames: Frames, start: float, fps: float) -> Iterator[tuple[int, np.ndarray | None]]:
    for time, rgb in frames:
        yield round((time - start) * fps), rgb
