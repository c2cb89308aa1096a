# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets v2.0, v2.1 and v3: videos, or pictures in parquet files."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import read_picture
from vw2_ros.models.data.video.files import VideoFileReader, video_frames
from vw2_ros.models.data.video.reader import Frames, VideoReader, library


@dataclasses.dataclass(frozen=True)
class LeRobotVideoReader:
    """A LeRobot v3 video file: episodes one after another, (name, from, to) [s] each."""

    path: Path
    name: str
    episodes: Sequence[tuple[str, float, float]]
    fps: float

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """Where the episodes lie."""
        return repr(self.episodes)

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`. The file is decoded once, from its beginning to its end."""
        frames = video_frames(self.path)
        waiting = None

        def between(start: float, end: float) -> Frames:
            nonlocal waiting
            while True:
                if waiting is None:
                    waiting = next(frames, None)
                if waiting is None or waiting[0] >= end:
                    return
                frame, waiting = waiting, None
                if frame[0] >= start:
                    yield frame

        half = 0.5 / self.fps  # time stamps are rounded
        for name, start, end in self.episodes:
            yield name, between(start - half, end - half)


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

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        for episode, rows in itertools.groupby(self._rows(), lambda row: row['episode_index']):
            yield f'{self.name}#{episode}', map(self._frame, rows)


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
        for episode in range(int(info['total_episodes'])):
            place = template.format(
                episode_chunk=episode // int(info['chunks_size']),
                video_key=camera,
                episode_index=episode,
            )
            found.append(
                VideoFileReader(root / place, lead + place)
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


def _lerobot_camera(features: dict, cameras: Sequence[str], path: Path) -> str:
    known = [
        key
        for key, feature in features.items()
        if feature.get('dtype') in ('video', 'image')
        and 'depth_map": true' not in json.dumps(feature)
    ]
    wanted = [key for key in cameras if key in known] if cameras else known
    if not wanted:
        raise DataError(
            f'{path} has no camera {" or ".join(cameras)}'.rstrip()
            + f'; cameras there: {", ".join(known) or "none"}'
        )
    return wanted[0]


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
        )
        for place, episodes in inside.items()
    ]
