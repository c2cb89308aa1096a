# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Bags and data sets as recordings with episodes, one way to look at both."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vw2_ros import names
from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.arms.contract import Contract, needs_description
from vw2_ros.bags.bag import Bag, BagError, cdr_reader
from vw2_ros.bags.episodes import bag_spans
from vw2_ros.bags.find import find_bags
from vw2_ros.bags.images import choose_camera, message_picture
from vw2_ros.bags.stamps import stamp_of
from vw2_ros.bags.streams import stretch_facts
from vw2_ros.episodes import EditList, Span, read_markers
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import LeftOut
from vw2_ros.models.data.calvin import CalvinFolder, is_calvin
from vw2_ros.models.data.raw import pictures_of, rows_of
from vw2_ros.recording.convert import described
from vw2_ros.recording.episodes import Unusable, label, spans
from vw2_ros.recording.tracks import Tracks

SPLITS = ('training', 'validation')
SHORTEST_S = 1.0  # what lies between two instructions and is shorter is not listed
STATES = ('sensor_msgs/msg/JointState',)


@dataclasses.dataclass(frozen=True)
class Motion:
    """What a policy would learn of an episode, 30 frames a second."""

    actions: np.ndarray  # float64 (n, 7), see recording/labels.py
    joints: np.ndarray  # float64 (n, 7) [rad]; 0 where the arm has fewer
    connected: np.ndarray  # bool (n - 1,): a frame follows the one before


class Recording(Protocol):
    """A bag, or a split of a data set.

    Attributes:
        name: for people. edits: what was decided about it.
    """

    name: str
    edits: EditList

    def spans(self) -> list[Span]:
        """All stretches as edits leave them, also those between episodes."""

    def episodes(self) -> list[tuple[Span, dict]]:
        """Its episodes as edits leave them, also dropped ones, and the facts of each."""

    def pictures(self, span: Span) -> Iterator[tuple[float, np.ndarray]]:
        """Time since the episode began [s], and uint8 (H, W, 3) rgb; damaged ones are left out."""

    def position(self, span: Span, seconds: float) -> int:
        """The position so long after the episode's first picture."""

    def motion(self, span: Span) -> Motion:
        """What a policy would learn of an episode.

        Raises:
            Unusable: nothing, and why.
        """


class BagRecording:
    """A bag, see `Recording`.

    Args:
        image: topic of the camera; '': the first that has pictures.
        contract: name or file of the robot's.
    """

    def __init__(self, path: Path, image: str = '', contract: str = 'play_table'):
        self.bag, self.path, self.name = Bag(path), path, path.name
        self.edits, self.contract = EditList(path), contract
        named = [t for t in self.bag.topics if t.split('/')[-1] == names.IMAGE]
        wanted = [image] if image else named if len(named) == 1 else []
        self.camera = choose_camera(self.bag, wanted)

    @functools.cached_property
    def _streams(self) -> dict[str, tuple[list[int], list[int]]]:
        topics = [self.camera, *(t for t, kind in self.bag.topics.items() if kind in STATES)]
        found: dict[str, tuple[list[int], list[int]]] = {topic: ([], []) for topic in topics}
        read = cdr_reader()
        for topic, kind, received_ns, data in self.bag.messages(topics):
            try:
                stamp_ns = stamp_of(read(data, kind))
            except Exception:  # no message of its type
                continue
            found[topic][0].append(received_ns)
            found[topic][1].append(stamp_ns)
        return found

    def spans(self) -> list[Span]:
        """See `Recording`."""
        return bag_spans(self.bag, edits=self.edits)

    def episodes(self) -> list[tuple[Span, dict]]:
        """See `Recording`."""
        found = []
        for span in self.spans():
            facts = stretch_facts(self._streams, self.camera, span.start, span.stop)
            said = span.text or span.edited
            if (said and facts['frames']) or facts['seconds'] >= SHORTEST_S:
                found.append((span, facts))
        return found

    def pictures(self, span: Span) -> Iterator[tuple[float, np.ndarray]]:
        """See `Recording`."""
        read, began = cdr_reader(), None
        for _, kind, received_ns, data in self.bag.messages([self.camera]):
            if not span.start <= received_ns < span.stop:
                continue
            began = received_ns if began is None else began
            try:
                picture = message_picture(read(data, kind))
            except Exception:  # damaged data make the libraries raise nearly anything
                continue
            yield (received_ns - began) * 1e-9, picture

    def position(self, span: Span, seconds: float) -> int:
        """See `Recording`."""
        return self.arrivals(span)[0] + round(seconds * 1e9)

    def arrivals(self, span: Span | None = None) -> tuple[int, int]:
        """When the first and the last picture of an episode arrived [ns]; None: of the bag."""
        came = np.array(self._streams[self.camera][0])
        if span is not None:
            came = came[(came >= span.start) & (came < span.stop)]
        return int(came.min()), int(came.max())

    @functools.cached_property
    def _tracks(self) -> tuple[Tracks, Contract, list]:
        urdf = described([self.path]) if needs_description(self.contract) else ''
        contract = Contract.load(self.contract, urdf=urdf)
        tracks = Tracks(self.bag, contract, self.camera)
        return tracks, contract, spans(tracks)

    def motion(self, span: Span) -> Motion:
        """See `Recording`."""
        try:
            tracks, contract, found = self._tracks
        except BagError as error:
            raise Unusable(str(error)) from error
        start, end = next(((a, b) for s, a, b in found if s.key == span.key), (0, 0))
        episode = label(tracks, start, end, span.taught, contract)
        usable = np.flatnonzero(episode.usable & (episode.shown if span.taught else True))
        joints = episode.robot_obs[usable, 7:14]
        return Motion(episode.actions[usable], joints, np.diff(usable) == 1)


class SplitRecording:
    """A split of a data set in CALVIN's format, see `Recording`."""

    def __init__(self, path: Path, name: str):
        self.folder, self.path, self.name = CalvinFolder(path), path, name
        self.edits = self.folder.edits

    @functools.cached_property
    def _sources(self) -> dict[int, dict]:
        """First frame id -> what `vw2 convert` knew of the session that begins there."""
        return {m['ranges'][0][0]: m['source'] for m in read_markers(self.path) if 'source' in m}

    def ids(self, span: Span) -> np.ndarray:
        """Ids of the frames of an episode, ascending."""
        ids = self.folder.recorded_ids
        return ids[slice(*np.searchsorted(ids, [span.start, span.stop]))]

    def spans(self) -> list[Span]:
        """See `Recording`."""
        return self.folder.spans

    def episodes(self) -> list[tuple[Span, dict]]:
        """See `Recording`."""
        found = []
        for span in self.spans():
            ids = self.ids(span)
            source: dict[str, Any] = self._sources.get(span.start, {})
            facts = {
                'frames': len(ids),
                'seconds': round(len(ids) / ACTION_HZ, 2),
                'hz': source.get('hz', float(ACTION_HZ)),
                'gaps': int((np.diff(ids) > 1).sum()),
                'skew_ms': source.get('skew_ms'),
            }
            found.append((span, facts))
        return found

    def pictures(self, span: Span) -> Iterator[tuple[float, np.ndarray]]:
        """See `Recording`."""
        for number, picture in enumerate(pictures_of(self.folder, self.ids(span))):
            yield number / ACTION_HZ, picture

    def position(self, span: Span, seconds: float) -> int:
        """See `Recording`."""
        ids = self.ids(span)
        return int(ids[min(max(0, round(seconds * ACTION_HZ)), len(ids) - 1)])

    def motion(self, span: Span) -> Motion:
        """See `Recording`."""
        ids = self.ids(span)
        words = [w for w in self.folder.windows if w.start < span.stop and span.start <= w.end]
        if words:
            shown = np.zeros(len(ids), bool)
            for window in words:
                shown |= (ids >= window.start) & (ids <= window.end)
            ids = ids[shown]
        rows = rows_of(self.folder, ids)
        return Motion(rows['rel_actions'], rows['robot_obs'][:, 7:14], np.diff(ids) == 1)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An episode in a list."""

    number: int  # counts all episodes of the list
    recording: Recording
    span: Span
    facts: dict  # frames, seconds, hz, gaps, skew_ms

    @property
    def state(self) -> str:
        """'correction' where it is one, and 'dropped' or 'changed'; '' where nothing is to be said."""
        edited = 'dropped' if self.span.dropped else 'changed' if self.span.edited else ''
        return ', '.join(filter(None, ['correction' if self.span.correction else '', edited]))

    @property
    def outcome(self) -> str:
        """'success', 'failure' or ''."""
        return {None: '', True: 'success', False: 'failure'}[self.span.success]

    def report(self) -> dict:
        """For a file."""
        return {
            'episode': self.number,
            'recording': self.recording.name,
            'start': self.span.start,
            'stop': self.span.stop,
            'instruction': self.span.text,
            'outcome': self.outcome,
            'state': self.state,
            **self.facts,
        }


def open_recordings(
    data: Sequence[Path],
    image: str = '',
    left_out: LeftOut | None = None,
    contract: str = 'play_table',
) -> list[Recording]:
    """The recordings in folders: splits of data sets, or bags.

    Args:
        image: topic of the camera in bags. left_out: takes path -> reason, of bags not read.
        contract: name or file of the robot's.
    Raises:
        InvalidValueError: nothing of that kind is there, or it is damaged.
    """
    left_out = {} if left_out is None else left_out
    found: list[Recording] = []
    for root in map(Path, data):
        if root.is_dir() and is_calvin(root):
            splits = [root / s for s in SPLITS if (root / s / 'ep_start_end_ids.npy').is_file()]
            found += [SplitRecording(path, path.name) for path in splits or [root]]
            continue
        if (root / 'meta' / 'info.json').is_file():
            raise InvalidValueError(
                f'{root} must hold bags or data. Got a LeRobot data set, of which data are made by '
                'vw2 convert --lerobot'
            )
        for path in find_bags([root], left_out):
            try:
                found.append(BagRecording(path, image, contract))
            except InvalidValueError as error:
                left_out[path] = str(error)
    if not found:
        why = '; '.join(f'{path}: {reason}' for path, reason in left_out.items())
        raise InvalidValueError(
            f'{data[0]} must hold recordings that can be read. Got none. {why}'
        )
    return found


def entries(recordings: Sequence[Recording]) -> list[Entry]:
    """All episodes, numbered."""
    found = [(recording, *episode) for recording in recordings for episode in recording.episodes()]
    return [Entry(i, *parts) for i, parts in enumerate(found)]
