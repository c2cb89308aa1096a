# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which reader a file needs, found by its name: the only place that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vw2_ros.bags.find import bags_among
from vw2_ros.files import LeftOut, walk
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.video.bags import BagReader
from vw2_ros.models.data.video.files import VIDEOS, VideoFileReader
from vw2_ros.models.data.video.lerobot import lerobot_readers
from vw2_ros.models.data.video.reader import VideoReader
from vw2_ros.models.data.video.shards import SHARDS, ShardReader

# Recordings, by their names, that no reader takes; other files are nobody's business.
NOT_READ = {
    '.bag': 'a bag of ROS 1; rosbags-convert makes one of ROS 2',
    '.gif': 'an animation; make a video of it',
    '.hdf5': 'HDF5 is not read',
    '.h5': 'HDF5 is not read',
    '.zip': 'an archive; unpack it',
    '.rar': 'an archive; unpack it',
    '.7z': 'an archive; unpack it',
    '.tar.zst': 'a compressed archive; unpack it',
    '.tar.xz': 'a compressed archive; unpack it',
    '.tar.bz2': 'a compressed archive; unpack it',
}


def find_readers(
    root: Path,
    fps: float = CALVIN_FPS,
    cameras: Sequence[str] = (),
    left_out: LeftOut | None = None,
) -> list[VideoReader]:
    """Readers of all that lies under a folder, sub-folders included, sorted by name.

    What is recognised by what: see the table of `models.data.video`.

    Args:
        root: the folder.
        fps: rate of pictures that come without one.
        cameras: LeRobot keys and ROS topics, the first that a recording has is taken.
        left_out: takes path -> reason, of recordings and folders that no reader takes.
    Raises:
        DataError: a damaged index.
    """
    left_out = {} if left_out is None else left_out
    found: list[VideoReader] = []
    for folder, below, names in walk(root, left_out):
        if (folder / 'meta' / 'info.json').is_file():
            lead = '' if folder == root else f'{folder.relative_to(root).as_posix()}/'
            found += lerobot_readers(folder, cameras, lead)
            below.clear()  # its files are its own
            continue
        for path in (folder / name for name in names):
            name, kind = path.relative_to(root).as_posix(), path.name.lower()
            if kind.endswith(VIDEOS):
                found.append(VideoFileReader(path, name))
            elif kind.endswith(SHARDS):
                found.append(ShardReader(path, name, fps, tuple(cameras)))
            for ending, why in NOT_READ.items():
                if kind.endswith(ending):
                    left_out[path] = why
        found += [
            BagReader(bag, bag.relative_to(root).as_posix(), tuple(files), tuple(cameras))
            for bag, files in bags_among(folder, names).items()
        ]
    return sorted(found, key=lambda reader: reader.name)
