# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Clips of any video, with or without labels, for VideoWorld 2's latent pre-training (Sec. 3).

    store = clip_store(['data/play', 'data/phone_videos', 'data/lerobot'], 'training', size=96)
    store.rgb(store.clip_starts(17)[:4, None] + range(17))    # 4 clips of 17 frames

What may lie in a data folder, found by looking, sub-folders included:

| what                       | is recognised by                      | frames of it are             |
| -------------------------- | ------------------------------------- | ---------------------------- |
| CALVIN's format            | ep_start_end_ids.npy                  | `FrameStore`'s, see data.py  |
| LeRobot v2.0, v2.1, v3     | meta/info.json                        | an episode's camera          |
| ROS 2 bags                 | .mcap, .db3, metadata.yaml            | an image topic               |
| WebDataset shards          | .tar, .tgz                            | a sample's video or pictures |
| video files                | .mp4, .webm, .mkv, .avi, .mov         | the file's                   |

A *recording* is what is decoded in one go (a file, a bag); its *takes* are the videos in it (one,
or the episodes and samples). Frames are brought to one rate, cut to one shape around the centre,
resized, and kept in `cache/` beside the data, one file per recording. What is finished is never
decoded again, so a run that was killed goes on where it was, and several processes share the work.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import dataclasses
import fcntl
import functools
import hashlib
import importlib
import io
import itertools
import json
import math
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.store import (
    CalvinFolder,
    ClipStore,
    DataError,
    DecodedFolder,
    FrameStore,
    cache_folder,
    progress_bar,
    resize_area,
    split_folder,
    with_validation,
)
from vw2_ros.models.sizes import Size, label, sides

VERSION = 1  # of the cache: another one decodes anew
CALVIN_FPS = 30.0  # CALVIN's data and the play table's
HELD_OUT = 20  # one video of so many is for validation, where there is no validation/
GAP_S = 1.0  # where no frame comes for longer, a clip must not reach across
TIE = 0.1  # of a tick: of two frames as near, also when stamps are rounded, the later
TRUNCATED_S = 1.0  # a video may end so much before what its head says, or a tenth of it
VIDEOS = ('.mp4', '.webm', '.mkv', '.avi', '.mov')
SHARDS = ('.tar', '.tar.gz', '.tgz')
BAGS = ('.mcap', '.db3')
PICTURES = ('jpg', 'jpeg', 'png', 'webp')
_EDGE_BYTES = 1 << 12  # of a file's beginning and end: enough to tell content apart

Frames = Iterator[tuple[float, np.ndarray]]  # time [s], ascending, and uint8 (H, W, 3) rgb


class Recording(Protocol):
    """What a reader of one kind of data is.

    Attributes:
        name: path within the data folder. files: that it is read from.
        detail: what else decides which frames come, e.g. the camera.
    """

    name: str
    files: Sequence[Path]
    detail: str

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """Name and frames of each video inside, each read to its end before the next.

        Raises whatever a damaged file makes the library raise; DataError ends everything.
        """


def library(name: str, package: str | None = None):
    """Import a library that only some kinds of data need.

    Raises:
        DataError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = package or name.partition('.')[0]
        raise DataError(
            f'reading this data needs {package}, which is not installed: '
            f'pip install {package} (or all readers: pip install "vw2_ros[video]")'
        ) from error


# ------------------------------------------------------------------------------------ video files


def video_frames(file: Path | io.BytesIO) -> Frames:
    """Frames of one video file, turned upright as the file says.

    Raises:
        ValueError, or what PyAV raises: damaged, cut short, or no video inside.
    """
    av = library('av')
    with av.open(str(file) if isinstance(file, Path) else file) as container:
        stream = container.streams.best('video')
        if stream is None:
            raise InvalidValueError('no video stream inside')
        stream.thread_type = 'AUTO'
        rate = float(stream.average_rate or stream.guessed_rate or CALVIN_FPS)
        promised = _promised_s(container, stream)
        number, first, time, lasts = 0, None, 0.0, 0.0
        for number, frame in enumerate(container.decode(stream), 1):
            if frame.is_corrupt:
                raise InvalidValueError(f'frame {number} is damaged')
            time = frame.time if frame.time is not None else (number - 1) / rate
            first = time if first is None else first
            lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate
            rgb = frame.to_ndarray(format='rgb24')
            yield time, np.rot90(rgb, getattr(frame, 'rotation', 0) // 90)
        seen = time - (first or 0.0) + lasts  # a still picture may last long
        if number and seen + max(TRUNCATED_S, 0.1 * promised) < promised:
            raise InvalidValueError(f'cut short: {seen:.1f} s of {promised:.1f} s are there')


def _promised_s(container, stream) -> float:
    """Seconds of video that the file's head promises; 0 where it does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    told = re.fullmatch(r'(\d+):(\d+):(\d+(\.\d+)?)', stream.metadata.get('DURATION', ''))
    if told:  # Matroska, WebM
        return 3600.0 * int(told[1]) + 60.0 * int(told[2]) + float(told[3])
    alone = len(container.streams) == 1  # else it may be the sound's
    return container.duration / 1e6 if container.duration and alone else 0.0


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """One file with one video."""

    path: Path
    name: str
    detail: str = ''

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `Recording`."""
        yield self.name, video_frames(self.path)


# ---------------------------------------------------------------------------------------- LeRobot


@dataclasses.dataclass(frozen=True)
class EpisodesInVideo:
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
        """See `Recording`. The file is decoded once, from its beginning to its end."""
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
class EpisodesInParquet:
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
        """See `Recording`."""
        for episode, rows in itertools.groupby(self._rows(), lambda row: row['episode_index']):
            yield f'{self.name}#{episode}', map(self._frame, rows)


def lerobot_recordings(root: Path, cameras: Sequence[str] = (), lead: str = '') -> list[Recording]:
    """The recordings of a LeRobot data set, v2.0, v2.1 or v3.

    Args:
        root: folder that holds meta/info.json.
        cameras: keys, the first that the data set has is taken; none: its first camera.
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
        found: list[Recording] = []
        for episode in range(int(info['total_episodes'])):
            place = template.format(
                episode_chunk=episode // int(info['chunks_size']),
                video_key=camera,
                episode_index=episode,
            )
            found.append(
                VideoFile(root / place, lead + place)
                if filmed
                else EpisodesInParquet(root / place, lead + place, camera, fps, root)
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
) -> list[Recording]:
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
            EpisodesInParquet(root / place, lead + place, camera, fps, root) for place in inside
        ]
    return [
        EpisodesInVideo(
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


# ------------------------------------------------------------------------------------------- bags


def read_picture(data) -> np.ndarray:
    """A jpeg, png or webp file's bytes -> uint8 (H, W, 3) rgb.

    Raises:
        ValueError: damaged, or not such a file.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise InvalidValueError('a picture is damaged')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


_ENCODINGS = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
}
_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


def message_picture(message) -> np.ndarray:
    """A sensor_msgs Image or CompressedImage, as rosbags reads it -> uint8 (H, W, 3) rgb.

    Raises:
        ValueError: damaged, or an encoding that is no picture.
    """
    if message.__msgtype__ == _COMPRESSED:
        return read_picture(message.data)
    if message.encoding not in _ENCODINGS:
        raise InvalidValueError(
            f'image encoding {message.encoding!r}; can be read: {", ".join(_ENCODINGS)}'
        )
    channels, code = _ENCODINGS[message.encoding]
    h, w = message.height, message.width
    lines = np.asarray(message.data).reshape(h, message.step)  # a line may be padded
    rgb = lines[:, : w * channels].reshape(h, w, channels)
    return rgb if code is None else cv2.cvtColor(np.ascontiguousarray(rgb), code)


@dataclasses.dataclass(frozen=True)
class Bag:
    """A ROS 2 bag: a folder with metadata.yaml, or one file."""

    path: Path
    name: str
    files: Sequence[Path]
    cameras: Sequence[str] = ()

    @property
    def detail(self) -> str:
        """Which topics were asked for."""
        return repr(tuple(self.cameras))

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `Recording`."""
        yield self.name, self._frames()

    def _frames(self) -> Frames:
        rosbag2, typesys = library('rosbags.rosbag2'), library('rosbags.typesys')
        # Image messages are the same in all releases of ROS 2.
        read = typesys.get_typestore(typesys.Stores.ROS2_JAZZY).deserialize_cdr
        with rosbag2.Reader(self.path) as bag:
            topic = self._topic(bag, read)
            chosen = [c for c in bag.connections if c.topic == topic]
            for connection, received_ns, data in bag.messages(chosen):
                message = read(data, connection.msgtype)
                taken = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
                yield taken or received_ns * 1e-9, message_picture(message)

    def _topic(self, bag, read: Callable) -> str:
        """The first topic, of those asked for or by name, whose pictures can be read."""
        images = {c.topic: c for c in bag.connections if c.msgtype in (_IMAGE, _COMPRESSED)}
        reason = f'image topics there: {", ".join(sorted(images)) or "none"}'
        for topic in [t for t in self.cameras if t in images] if self.cameras else sorted(images):
            for connection, _, data in itertools.islice(bag.messages([images[topic]]), 1):
                try:
                    message_picture(read(data, connection.msgtype))
                    return topic
                except ValueError as error:  # depth, for one
                    reason = f'{topic}: {error}'
        raise InvalidValueError(
            f'no image topic {" or ".join(self.cameras)}'.rstrip() + f'; {reason}'
        )


# ----------------------------------------------------------------------------------------- shards


def _in_order(name: str) -> list:
    """Sort key by which frame_9 comes before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def _take_of(sample: dict) -> str:
    """Samples that belong to one take; pictures of their own are frames of their folder."""
    key = sample['__key__']
    return key.rpartition('/')[0] or key if any(p in sample for p in PICTURES) else key


@dataclasses.dataclass(frozen=True)
class Shard:
    """A WebDataset tar. A sample is a video, or pictures: `key.0001.jpg ...` or `take/0001.jpg`.

    Pictures have the rate that the sample's json gives as `fps`, else the one that is asked for.
    """

    path: Path
    name: str
    fps: float

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """The rate of pictures."""
        return f'{self.fps:g}'

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `Recording`."""
        webdataset = library('webdataset')
        samples = webdataset.tariterators.tarfile_samples([{'url': str(self.path.resolve())}])
        for take, group in itertools.groupby(samples, _take_of):
            pictures, fps = {}, self.fps
            for sample in group:
                if 'json' in sample:
                    fps = float(json.loads(sample['json']).get('fps', fps))
                for suffix, data in sample.items():
                    kind = suffix.rpartition('.')[2]
                    if f'.{kind}' in VIDEOS:
                        yield (
                            f'{self.name}/{sample["__key__"]}.{suffix}',
                            video_frames(io.BytesIO(data)),
                        )
                    elif kind in PICTURES:
                        pictures[f'{sample["__key__"]}.{suffix}'] = data
            if pictures:
                frames = [pictures[key] for key in sorted(pictures, key=_in_order)]
                yield (
                    f'{self.name}/{take}',
                    ((i / fps, read_picture(data)) for i, data in enumerate(frames)),
                )


# ------------------------------------------------------------------------------- finding them all


def find_recordings(
    root: Path, fps: float = CALVIN_FPS, cameras: Sequence[str] = ()
) -> list[Recording]:
    """What can be read under a folder, sorted by name (see the table at the head of this file).

    Args:
        root: the folder.
        fps: rate of pictures that come without one.
        cameras: LeRobot keys and ROS topics, the first that a source has is taken.
    Raises:
        DataError: a damaged index.
    """
    found: list[Recording] = []
    bags: dict[Path, list[Path]] = {}
    for place, folders, files in os.walk(root):
        folder = Path(place)
        if (folder / 'meta' / 'info.json').is_file():
            lead = '' if folder == root else f'{folder.relative_to(root).as_posix()}/'
            found += lerobot_recordings(folder, cameras, lead)
            folders.clear()  # its files are its own
            continue
        folders[:] = [name for name in folders if not name.startswith('.')]
        for path in (folder / name for name in files if not name.startswith('.')):
            name, kind = path.relative_to(root).as_posix(), path.name.lower()
            if kind.endswith(VIDEOS):
                found.append(VideoFile(path, name))
            elif kind.endswith(SHARDS):
                found.append(Shard(path, name, fps))
            elif kind.endswith(BAGS):
                whole = (folder / 'metadata.yaml').is_file()
                bags.setdefault(folder if whole else path, []).append(path)
    found += [
        Bag(path, path.relative_to(root).as_posix(), tuple(sorted(files)), tuple(cameras))
        for path, files in bags.items()
    ]
    return sorted(found, key=lambda recording: recording.name)


# --------------------------------------------------------------------------------------- decoding


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


_failed: dict[str, dict[str, str]] = {}  # fingerprint -> why, of what this process could not read


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


@functools.lru_cache(4096)  # a process may hold some ten thousand maps, not millions
def _mapped(path: Path, frames: int, size: tuple[int, int]) -> np.ndarray:
    return np.memmap(path, np.uint8, 'r', shape=(frames, *size, 3))


def _place(folder: Path, name: str, fingerprint: str) -> tuple[Path, str, str]:
    """Where a recording is kept: the same beginning for the same name."""
    begin = hashlib.sha256(name.encode()).hexdigest()[:16]
    return folder / f'{begin}_{fingerprint[:16]}.u8', name, fingerprint


def _forget_replaced(folder: Path, paths: Iterable[Path]) -> None:
    """Remove what was decoded of files that have other content now."""
    now = {path.stem.partition('_')[0]: path.stem for path in paths}
    for old in folder.iterdir():
        stem = old.name.partition('.')[0]
        if now.get(stem.partition('_')[0], stem) != stem:
            old.unlink(missing_ok=True)


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


# -------------------------------------------------------------------------------- all data folders


def is_calvin(root: Path | str) -> bool:
    """Whether a data folder is in CALVIN's format."""
    return any(
        (Path(root) / split / 'ep_start_end_ids.npy').is_file()
        for split in ('', 'training', 'validation')
    )


def clip_store(
    roots: Iterable[Path | str],
    split: str = 'training',
    size: Size = 96,
    fps: float = CALVIN_FPS,
    cameras: Sequence[str] = (),
) -> ClipStore | None:
    """Frames of data folders of any kind, one after another; of CALVIN's alone, a `FrameStore`.

    Args:
        roots: data folders. split: 'training' or 'validation'.
        size: side of the stored images, or (height, width) [px]. fps: rate of the frames.
        cameras: see `find_recordings`.
    Returns:
        the store; None where nothing is held out for validation.
    Raises:
        DataError: no such folder, nothing in it that can be read, or CALVIN's format at another
            rate than its own.
    """
    roots = [Path(root) for root in roots]
    calvin = [root for root in roots if is_calvin(root)]
    if calvin and fps != CALVIN_FPS:
        raise DataError(
            f"{calvin[0]} is in CALVIN's format, which has {CALVIN_FPS:g} frames/s; "
            f'clips.fps must be {CALVIN_FPS:g} with it. Got {fps:g}'
        )
    if split == 'validation':
        without = set(calvin) - set(with_validation(calvin))
        roots = [root for root in roots if root not in without]
    if all(root in calvin for root in roots):
        return FrameStore(roots, split, size) if roots or split == 'training' else None
    folders, decoded = [], []
    for root in roots:
        if root in calvin:
            folders.append(CalvinFolder(split_folder(root, split)))
            decoded.append(DecodedFolder(folders[-1], size))
        else:
            folders.append(VideoFolder(root, split, size, fps, cameras))
            decoded.append(folders[-1])
    return ClipStore(folders, decoded, size) if any(map(len, folders)) else None
