# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS 2 bags, by rosbags, which needs no ROS; see `vw2_ros.bags`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.bags.bag import Bag, cdr_reader
from vw2_ros.bags.episodes import left_out
from vw2_ros.bags.images import choose_camera, message_picture
from vw2_ros.bags.stamps import content_of, message_times, stamp_of
from vw2_ros.episodes import EditList
from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.video.reader import Damage, Frames, Notes, library


@dataclasses.dataclass(frozen=True)
class BagReader:
    """A ROS 2 bag: a folder with metadata.yaml, or one file."""

    path: Path
    name: str
    files: Sequence[Path]
    cameras: Sequence[str] = ()

    @property
    def detail(self) -> str:
        """Which topics were asked for, and what was decided about frames."""
        return repr(tuple(self.cameras)) + EditList(self.path).of_frames

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        yield self.name, self._frames(notes)

    def _frames(self, notes: Notes) -> Frames:
        library('rosbags')
        bag = Bag(self.path)
        topic = choose_camera(bag, self.cameras)
        notes.camera = topic
        found = [(at, stamp_of(m), content_of(data)) for at, m, data in _readable(bag, topic)]
        times, why = message_times(*zip(*found))
        if why:
            notes.told.append(f'by arrival, as {why}')
        dropped = np.array(left_out(bag), np.int64).reshape(-1, 2)  # of arrival, from and before
        order = np.unique(times).tolist()  # one that was sent again counts once
        waiting: dict[int, object] = {}
        damage, turn, not_wanted = Damage('images'), 0, 0
        for received_ns, message, _ in _readable(bag, topic):
            at = received_ns if why else stamp_of(message)
            if ((dropped[:, 0] <= received_ns) & (received_ns < dropped[:, 1])).any():
                message, not_wanted = None, not_wanted + 1
            if turn < len(order) and at >= order[turn]:
                waiting.setdefault(at, message)  # messages may come out of order
            while turn < len(order) and order[turn] in waiting:
                at, turn = order[turn], turn + 1
                if (shown := waiting.pop(at)) is None:  # a clip must not reach across
                    yield at * 1e-9, None
                    continue
                try:
                    rgb = message_picture(shown)
                except Exception as error:  # damaged data make the libraries raise nearly anything
                    damage.add(error)
                    rgb = None
                yield at * 1e-9, rgb
        if bag.cut_short:
            notes.told.append(f'not whole: {bag.cut_short}')
        if not_wanted and not_wanted >= len(order):
            raise InvalidValueError('all of its episodes were dropped')
        if not_wanted:
            notes.told.append(f'{not_wanted} of {len(order)} images are of dropped episodes')
        damage.tell(notes, len(order) - not_wanted)


def _readable(bag: Bag, topic: str) -> Iterator[tuple]:
    """(arrival [ns], message, bytes) of a topic; what is no message of its type is left out."""
    read = cdr_reader()
    for _, kind, received_ns, data in bag.messages([topic]):
        try:
            message = read(data, kind)
        except Exception:
            continue
        yield received_ns, message, data
