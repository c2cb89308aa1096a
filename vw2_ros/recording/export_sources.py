# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 export lerobot` exports: the demonstrations of data folders, or of bags, row by row.

| source | episodes                            | pictures                                |
| ------ | ----------------------------------- | --------------------------------------- |
| data   | annotated windows, training first   | png files of shards as they are         |
| bags   | instructions, cut where frames lack | jpeg and png messages as they are       |

| rows   | state                               | action                                  |
| ------ | ----------------------------------- | --------------------------------------- |
| steps  | robot_obs (15), see Table.robot_obs | rel_actions (7): x 0.02 m, x 0.05 rad   |
| joints | joints [rad], gripper from 0 to 1   | commanded joints [rad], gripper 0 or 1  |

Other pictures are made png files. Joints can be had of bags alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vw2_ros import names
from vw2_ros.arms.contract import Contract
from vw2_ros.bags.bag import Bag, BagError, cdr_reader, files_of
from vw2_ros.bags.episodes import bag_spans
from vw2_ros.bags.images import COMPRESSED, message_picture
from vw2_ros.bags.stamps import stamp_of
from vw2_ros.episodes import EditList
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import file_sha256
from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import CalvinFolder, LanguageWindow, reading_file
from vw2_ros.models.data.episodes import outcomes
from vw2_ros.models.data.origin import merged_config
from vw2_ros.recording import labels
from vw2_ros.recording.episodes import IMAGE_OFF_NS, MIN_FRAMES, Episode, Unusable, label, spans
from vw2_ros.recording.lerobot import OWN, OWN_JOINTS
from vw2_ros.recording.lerobot_writer import EpisodeKey, Picture, Row
from vw2_ros.recording.tracks import FINGER_M, Tracks
from vw2_ros.sim.dataset_writer import decode_png, encode_png

FPS = 30
ACTIONS = ('steps', 'joints')
STATE, ACTION, IMAGES = 'observation.state', 'action', 'observation.images'
STATE_NAMES = [
    *('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper_width'),
    *(f'joint{i}' for i in range(1, 8)),
    'gripper',
]
ACTION_NAMES = ['x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper']
SPLITS = {'training': 'train', 'validation': 'validation'}


class Source(Protocol):
    """What can be exported.

    Attributes:
        robot: its type. refused: what was left out -> why, filled while rows are read.
    """

    robot: str
    refused: dict[str, str]

    def hashes(self) -> dict[str, str]:
        """What it is made of -> a hash of its content."""

    def identity(self) -> dict[str, Any]:
        """What changes when the rows would."""

    def features(self) -> dict[str, dict]:
        """Key -> dtype, shape, names of what rows hold."""

    def outcomes(self) -> bool:
        """Whether it is known of all episodes how they ended."""

    def count(self) -> int:
        """About how many rows there are."""

    def rows(self, done: set[str]) -> Iterator[tuple[EpisodeKey, Row]]:
        """All rows but those of the episodes that are done."""


def _features(cameras: dict[str, tuple[int, int]], state: list[str], action: dict) -> dict:
    """Features of pictures (height, width), of a state and of an action."""
    return {
        **{
            f'{IMAGES}.{name}': {
                'dtype': 'image',
                'shape': [height, width, 3],
                'names': ['height', 'width', 'channels'],
            }
            for name, (height, width) in cameras.items()
        },
        STATE: {'dtype': 'float32', 'shape': [len(state)], 'names': state},
        ACTION: {'dtype': 'float32', 'shape': [len(action['names'])], **action},
    }


def _steps(frame: str) -> dict:
    return {'names': ACTION_NAMES, 'info': {**OWN, 'frame': frame}}


# ---------------------------------------------------------------------------- data folders


class DataSource:
    """The annotated windows of data folders in CALVIN's format.

    Raises:
        DataError: a folder is damaged, or its actions have another frame than the others'.
        InvalidValueError: nothing in them is annotated.
    """

    def __init__(self, roots: Sequence[Path]):
        self.refused: dict[str, str] = {}
        self.folders: list[tuple[str, CalvinFolder]] = []
        for root in roots:
            for split in SPLITS:
                if (root / split / 'ep_start_end_ids.npy').is_file():
                    self.folders.append((split, CalvinFolder(root / split)))
            if (root / 'ep_start_end_ids.npy').is_file():
                self.folders.append(('training', CalvinFolder(root)))
        self.folders.sort(key=lambda pair: pair[0])  # stable: training first
        if not any(folder.windows for _, folder in self.folders):
            raise InvalidValueError(
                f'{", ".join(map(str, roots))} must hold demonstrations in words. Got no language '
                'annotations'
            )
        frames = {_frame_of(folder) for _, folder in self.folders}
        if len(frames) > 1:
            raise DataError(
                f'all data must have actions in one frame. Got {", ".join(sorted(frames))}'
            )
        self.frame = next(iter(frames))
        self.robot = 'panda'

    def hashes(self) -> dict[str, str]:
        """See `Source`."""
        return {str(folder.path): folder.content_hash for _, folder in self.folders}

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {
            'data': [[f.content_hash, f.written] for _, f in self.folders],
            'success': [[success for _, success in _windows(f)] for _, f in self.folders],
        }

    @functools.cached_property
    def _first(self) -> tuple[Row, dict[str, tuple[int, int]]]:
        """The first row, and the sizes of its pictures."""
        _, row = next(self.rows(set()))
        sizes = {k: v.rgb().shape[:2] for k, v in row.items() if isinstance(v, Picture)}
        return row, {k.removeprefix(f'{IMAGES}.'): size for k, size in sizes.items()}

    def features(self) -> dict[str, dict]:
        """See `Source`."""
        return _features(self._first[1], STATE_NAMES, _steps(self.frame))

    def outcomes(self) -> bool:
        """See `Source`."""
        return all(said is not None for _, folder in self.folders for _, said in _windows(folder))

    def count(self) -> int:
        """See `Source`."""
        return sum(w.end - w.start + 1 for _, folder in self.folders for w in folder.windows)

    def rows(self, done: set[str]) -> Iterator[tuple[EpisodeKey, Row]]:
        """See `Source`."""
        for number, (split, folder) in enumerate(self.folders):
            frames = _FrameFiles(folder)
            for window, success in _windows(folder):
                name = f'{number}/{window.start}-{window.end}'
                if name not in done:
                    key = EpisodeKey(name, window.phrase, success, SPLITS[split])
                    yield from ((key, row) for row in frames.of(window))


def _windows(folder: CalvinFolder) -> list[tuple[LanguageWindow, bool | None]]:
    """The windows in order, and how each ended."""
    windows = sorted(folder.windows, key=lambda w: (w.start, w.end))
    return list(zip(windows, outcomes(folder.spans, windows)))


def _frame_of(folder: CalvinFolder) -> str:
    recorded = merged_config(folder).get('recorded')
    return str(recorded.get('action_frame', 'base')) if isinstance(recorded, dict) else 'base'


class _FrameFiles:
    """Rows of a folder's frames, from shards or from one file each."""

    def __init__(self, folder: CalvinFolder):
        self.folder = folder
        self._firsts = []  # of each shard
        for path in folder.shards:
            with reading_file(path), np.load(path, allow_pickle=False) as archive:
                ids = archive['frame_ids']
                self._firsts.append(int(ids[0]) if len(ids) else -1)
        self._last: tuple[int, dict] = (-1, {})

    def of(self, window: LanguageWindow) -> Iterator[Row]:
        """The rows of a window."""
        for frame in range(window.start, window.end + 1):
            yield self._of_shard(frame) if self._firsts else self._of_file(frame)

    def _of_shard(self, frame: int) -> Row:
        number = int(np.searchsorted(self._firsts, frame, side='right')) - 1
        path = self.folder.shards[max(number, 0)]
        if self._last[0] != number:
            with reading_file(path), np.load(path, allow_pickle=False) as archive:
                wanted = ('frame_ids', 'rgb_static', 'offsets', 'rel_actions', 'robot_obs')
                self._last = number, {key: archive[key] for key in wanted}
        with reading_file(path):
            shard = self._last[1]
            i = int(np.searchsorted(shard['frame_ids'], frame))
            if i == len(shard['frame_ids']) or shard['frame_ids'][i] != frame:
                raise DataError(f'{path} must hold frame {frame}. Collect the data again')
            png = shard['rgb_static'][shard['offsets'][i] : shard['offsets'][i + 1]].tobytes()
            return {
                f'{IMAGES}.static': Picture(png, functools.partial(decode_png, png)),
                STATE: shard['robot_obs'][i],
                ACTION: shard['rel_actions'][i],
            }

    def _of_file(self, frame: int) -> Row:
        path = self.folder.path / f'episode_{frame:07d}.npz'
        with reading_file(path), np.load(path, allow_pickle=False) as archive:
            row: Row = {STATE: archive['robot_obs'], ACTION: archive['rel_actions']}
            for key in ('rgb_static', 'rgb_gripper'):
                if key in archive.files:
                    name = f'{IMAGES}.{key.removeprefix("rgb_")}'
                    row[name] = _png_of(archive[key])
            return row


def _png_of(rgb: np.ndarray) -> Picture:
    return Picture(encode_png(rgb), lambda: rgb)


# ---------------------------------------------------------------------------- bags


class BagSource:
    """The demonstrations of bags.

    Args:
        bags: bags, not folders of bags.
        contract: of the robot. cameras: name -> topic of the pictures, the first one gives the time.
        instruction: what bags show that have no words.
        actions: one of `ACTIONS`. targets: see `episodes.label`.
    Raises:
        BagError: no bag has pictures.
    """

    def __init__(
        self,
        bags: Sequence[Path],
        contract: Contract,
        cameras: dict[str, str],
        instruction: str = '',
        actions: str = 'steps',
        targets: str = 'auto',
    ):
        self.bags, self.contract, self.cameras = list(bags), contract, cameras
        self.instruction, self.actions, self.targets = instruction, actions, targets
        self.refused: dict[str, str] = {}
        self.robot = contract.name

    @functools.cached_property
    def _hashes(self) -> list[str]:
        """sha256 hex of each bag's files."""
        told = (''.join(map(file_sha256, files_of(bag))) for bag in self.bags)
        return [hashlib.sha256(text.encode()).hexdigest() for text in told]

    def hashes(self) -> dict[str, str]:
        """See `Source`."""
        return dict(zip(map(str, self.bags), self._hashes))

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {
            'bags': self._hashes,
            'edits': [[repr(edit) for edit in EditList(bag).edits] for bag in self.bags],
            'contract': self.contract.sha256,
            'cameras': self.cameras,
            'instruction': self.instruction,
            'actions': [self.actions, self.targets],
        }

    @functools.cached_property
    def _first(self) -> Row:
        for _, row in self.rows(set()):
            return row
        why = '; '.join(f'{name}: {reason}' for name, reason in self.refused.items())
        raise BagError(f'no bag holds a demonstration. {why}'.strip())

    def features(self) -> dict[str, dict]:
        """See `Source`."""
        sizes = {n: self._first[f'{IMAGES}.{n}'].rgb().shape[:2] for n in self.cameras}
        if self.actions == 'steps':
            return _features(sizes, STATE_NAMES, _steps(self.contract.action_frame))
        joints = [*self.contract.joints, 'gripper']
        return _features(sizes, joints, {'names': joints, 'info': OWN_JOINTS})

    def outcomes(self) -> bool:
        """See `Source`."""
        found = []
        for path in self.bags:
            with contextlib.suppress(BagError):  # it is refused when its rows are read
                found += bag_spans(Bag(path), self.instruction)
        return all(s.success is not None for s in found if s.text and not s.dropped)

    def count(self) -> int:
        """See `Source`."""
        return 0  # nobody knows before the bags are read

    def rows(self, done: set[str]) -> Iterator[tuple[EpisodeKey, Row]]:
        """See `Source`."""
        for number, path in enumerate(self.bags):
            try:
                yield from _long_enough(self._of_bag(number, path), done)
            except BagError as error:
                self.refused[path.name] = str(error)

    def _of_bag(self, number: int, path: Path) -> Iterator[tuple[EpisodeKey, Row]]:
        bag = Bag(path)
        first, *others = self.cameras.values()
        tracks = Tracks(bag, self.contract, first, others)
        for count, (span, start, end) in enumerate(spans(tracks, self.instruction)):
            text = span.text
            if not text or span.dropped:
                continue
            name = f'{number}/{count}'
            try:
                episode = label(tracks, start, end, text, self.contract, self.targets)
            except Unusable as error:
                self.refused[f'{path.name} "{text}"'] = str(error)
                continue
            yield from self._of_episode(tracks, episode, name, span.success)

    def _of_episode(
        self, tracks: Tracks, episode: Episode, name: str, success: bool | None
    ) -> Iterator[tuple[EpisodeKey, Row]]:
        """Rows as soon as all their pictures are there; a new episode where frames are missing."""
        wanted = {}  # camera -> number of its message for each frame, -1: none is near
        for camera, topic in self.cameras.items():
            track = tracks.track(names.IMAGE if topic == tracks.image_topic else topic)
            if track is None:
                raise BagError(f'no pictures on {topic}')
            near, off = labels.nearest(track.time_ns, episode.ticks_ns)
            wanted[camera] = np.where(off <= IMAGE_OFF_NS, track.order[near], -1)
        usable = episode.usable & episode.shown
        for numbers in wanted.values():
            usable = usable & (numbers >= 0)
        states, actions = self._numbers(episode)
        piece, before = 0, -1
        frames = np.flatnonzero(usable).tolist()
        for frame, pictures in _together(tracks.bag, self.cameras, wanted, frames):
            if pictures is None:
                continue
            piece += before not in (-1, frame - 1)
            before = frame
            key = EpisodeKey(f'{name}.{piece}', episode.instruction, success)
            yield key, {**pictures, STATE: states[frame], ACTION: actions[frame]}

    def _numbers(self, episode: Episode) -> tuple[np.ndarray, np.ndarray]:
        if self.actions == 'steps':
            return episode.robot_obs, episode.actions
        opening = episode.robot_obs[:, 6:7] / (2 * FINGER_M)
        return (
            np.column_stack([episode.joints, opening]),
            np.column_stack([episode.told, (episode.actions[:, 6] + 1) / 2]),
        )


def _long_enough(
    stream: Iterator[tuple[EpisodeKey, Row]], done: set[str]
) -> Iterator[tuple[EpisodeKey, Row]]:
    """Without the episodes that are done, or that hold less than a chunk of actions."""
    name, begin = '', []
    for key, row in stream:
        if key.name != name:
            name, begin = key.name, []
        if name in done:
            continue
        begin.append((key, row))
        if len(begin) == MIN_FRAMES:
            yield from begin
        elif len(begin) > MIN_FRAMES:
            yield begin.pop()


def _together(
    bag: Bag, cameras: dict[str, str], wanted: dict[str, np.ndarray], frames: list[int]
) -> Iterator[tuple[int, dict[str, Picture] | None]]:
    """Each frame with the pictures of all cameras, in order; None where one cannot be read."""
    read, counts = cdr_reader(), dict.fromkeys(cameras, -1)
    named = {topic: camera for camera, topic in cameras.items()}
    needed = {camera: set(numbers[frames].tolist()) for camera, numbers in wanted.items()}
    # the lowest number that a frame or one after it needs: what stands below may be forgotten
    least = {c: np.minimum.accumulate(n[frames][::-1])[::-1] for c, n in wanted.items()}
    pictures: dict[str, dict[int, Picture | None]] = {camera: {} for camera in cameras}
    at = 0

    def ready(frame: int) -> bool:
        return all(int(wanted[c][frame]) in pictures[c] for c in cameras)

    for topic, kind, _, data in bag.messages(list(named)) if frames else ():
        camera = named[topic]
        try:
            message = read(data, kind)
            stamp_of(message)
        except Exception:  # it was not counted either
            continue
        counts[camera] += 1
        if counts[camera] in needed[camera]:
            try:
                pictures[camera][counts[camera]] = _picture_of(message)
            except Exception:  # damaged data make the libraries raise nearly anything
                pictures[camera][counts[camera]] = None
        while at < len(frames) and ready(frames[at]):
            frame = frames[at]
            found = {f'{IMAGES}.{c}': pictures[c][int(wanted[c][frame])] for c in cameras}
            yield frame, None if None in found.values() else found
            at += 1
            for c in cameras:
                keep = least[c][at] if at < len(frames) else counts[c] + 1
                pictures[c] = {i: p for i, p in pictures[c].items() if i >= keep}
        if at == len(frames):
            return


def _picture_of(message) -> Picture:
    """A message's picture: as the file that it is where LeRobot sees the same in it, else as png."""
    rgb = message_picture(message)
    if message.__msgtype__ == COMPRESSED:
        data = bytes(message.data)
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        coloured = plain is not None and plain.ndim == 3 and plain.shape[2] == 3
        if coloured and plain.dtype == np.uint8 and (plain[..., ::-1] == rgb).all():
            return Picture(data, lambda: rgb)
    return _png_of(rgb)


def sha256_of(identity: dict[str, Any]) -> str:
    """sha256 hex of a source's identity."""
    return hashlib.sha256(repr(identity).encode()).hexdigest()
