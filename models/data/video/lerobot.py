# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets v2.0, v2.1 and v3: videos, or pictures in parquet files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import read_picture
from vw2_ros.models.data.video.files import VideoFileReader, frames_between, video_frames
from vw2_ros.models.data.video.reader import Damage, Frames, Notes, VideoReader, library

MISSING = 0.1  # an episode that lacks a larger share of its frames is damaged


@dataclasses.dataclass(frozen=True)
class LeRobotVideoReader:
    """A LeRobot v3 video file: episodes one after another, (name, from, to) [s] each."""

    path: Path
    name: str
    episodes: Sequence[tuple[str, float, float]]
    fps: float
    camera: str = ''

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """Where the episodes lie."""
        return repr(self.episodes)

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`. The file is decoded once, up to what is damaged."""
        notes.camera = self.camera
        half = 0.5 / self.fps  # time stamps are rounded
        source = _Forward(self.path)
        for name, start, end in self.episodes:
            yield name, source.between(start - half, end - half, round((end - start) * self.fps))


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
    path = root / 'meta' / 'info.json'
    try:
        info = json.loads(path.read_text())
        version, fps = str(info['codebase_version']), float(info['fps'])
        if not version.startswith(('v2.', 'v3.')):
            raise DataError(
                f'{path} is of LeRobot {version}; v2.0, v2.1 and v3.0 can be read. '
                'Convert it with a LeRobot release of that time'
            )
        camera = _lerobot_camera(info['features'], cameras, path)
        filmed = info['features'][camera]['dtype'] == 'video'
        template = info['video_path' if filmed else 'data_path']
        if version.startswith('v3.'):
            return _lerobot_v3(root, template, camera, fps, filmed, lead)
        found: list[VideoReader] = []
        for episode in _episode_numbers(root, int(info['total_episodes'])):
            place = template.format(
                episode_chunk=episode // int(info['chunks_size']),
                video_key=camera,
                episode_index=episode,
            )
            found.append(
                VideoFileReader(root / place, lead + place, camera)
                if filmed
                else LeRobotPictureReader(root / place, lead + place, camera, fps, root)
            )
        return found
    except DataError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f'{path} or what it refers to cannot be read as the index of a LeRobot '
            f'data set: {type(error).__name__} {error}'
        ) from error


def _episode_numbers(root: Path, total: int) -> list[int]:
    """The numbers of a v2 set's episodes; they have gaps where some were removed."""
    path = root / 'meta' / 'episodes.jsonl'
    if not path.is_file():
        return list(range(total))
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    return sorted({int(json.loads(line)['episode_index']) for line in lines})


def _lerobot_camera(features: dict, cameras: Sequence[str], path: Path) -> str:
    pictures = [k for k, feature in features.items() if feature.get('dtype') in ('video', 'image')]
    depth = [key for key in pictures if _is_depth(features[key])]
    # a set with several cameras may call a coloured picture of depth one of them
    known = sorted((k for k in pictures if k not in depth), key=lambda key: 'depth' in key.lower())
    wanted = [key for key in cameras if key in known] if cameras else known
    if not wanted:
        raise DataError(
            f'{path} has no camera {" or ".join(cameras)}'.rstrip()
            + f'; cameras there: {", ".join(known) or "none"}'
            + (f'; depth, or of one channel: {", ".join(depth)}' if depth else '')
        )
    return wanted[0]


def _is_depth(feature: dict) -> bool:
    """Whether a feature says that it is depth, or has one channel, as depth does."""
    told = json.dumps(feature)
    if 'depth_map": true' in told or re.search(r'"video\.pix_fmt": "gray(9|1\d|f)', told):
        return True
    return _channels(feature) == 1


def _channels(feature: dict) -> int:
    """Channels of a picture's shape, height and width first or last; 3 where nobody says."""
    shape, names = feature.get('shape') or [], feature.get('names')
    if isinstance(names, list) and len(names) == len(shape):
        for size, name in zip(shape, names):
            if str(name).lower().startswith(('channel', 'c')):
                return int(size)
    if len(shape) == 2:
        return 1
    if len(shape) != 3:
        return 3
    first, last = int(shape[0]), int(shape[-1])
    return first if first in (1, 3, 4) and last not in (1, 3, 4) else last


def _lerobot_v3(
    root: Path, template: str, camera: str, fps: float, filmed: bool, lead: str
) -> list[VideoReader]:
    parquet = library('pyarrow.parquet')
    kind = f'videos/{camera}' if filmed else 'data'
    columns = ['episode_index', f'{kind}/chunk_index', f'{kind}/file_index']
    if filmed:
        columns += [f'{kind}/from_timestamp', f'{kind}/to_timestamp']
    index = sorted((root / 'meta' / 'episodes').rglob('*.parquet'))
    if not index:
        raise DataError(f'{root / "meta" / "episodes"} holds no parquet file')
    inside: dict[str, list] = {}
    for path in index:
        table = parquet.read_table(path, columns=columns)
        for episode, chunk, file, *times in zip(*(table[key].to_pylist() for key in columns)):
            place = template.format(video_key=camera, chunk_index=chunk, file_index=file)
            inside.setdefault(place, []).append((episode, *times))
    if not filmed:
        return [
            LeRobotPictureReader(root / place, lead + place, camera, fps, root) for place in inside
        ]
    return [
        LeRobotVideoReader(
            root / place,
            lead + place,
            tuple(
                (f'{lead}{place}#{episode}', start, end)
                for episode, start, end in sorted(episodes, key=lambda e: e[1])
            ),
            fps,
            camera,
        )
        for place, episodes in inside.items()
    ]
