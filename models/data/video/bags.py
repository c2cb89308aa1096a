# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS 2 bags, by rosbags, which needs no ROS."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.encodings import compressed_to_rgb, image_to_rgb
from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.video.reader import Frames, library

BAGS = ('.mcap', '.db3')
_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


def message_picture(message) -> np.ndarray:
    """A sensor_msgs Image or CompressedImage, as rosbags reads it -> uint8 (H, W, 3) rgb.

    Raises:
        ValueError: damaged, or an encoding that is no picture.
    """
    compressed = message.__msgtype__ == _COMPRESSED
    return compressed_to_rgb(message) if compressed else image_to_rgb(message)


@dataclasses.dataclass(frozen=True)
class BagReader:
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
        """See `VideoReader`."""
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
