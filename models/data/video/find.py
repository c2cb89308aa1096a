# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which reader a file needs, found by its name: the only place that decides it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.video.bags import BAGS, BagReader
from vw2_ros.models.data.video.files import VIDEOS, VideoFileReader
from vw2_ros.models.data.video.lerobot import lerobot_readers
from vw2_ros.models.data.video.reader import VideoReader
from vw2_ros.models.data.video.shards import SHARDS, ShardReader


def find_readers(
    root: Path, fps: float = CALVIN_FPS, cameras: Sequence[str] = ()
) -> list[VideoReader]:
    """Readers of all that lies under a folder, sub-folders included, sorted by name.

    What is recognised by what: see the table of `models.data.video`.

    Args:
        root: the folder.
        fps: rate of pictures that come without one.
        cameras: LeRobot keys and ROS topics, the first that a recording has is taken.
    Raises:
        DataError: a damaged index.
    """
    found: list[VideoReader] = []
    bags: dict[Path, list[Path]] = {}
    for place, folders, files in os.walk(root):
        folder = Path(place)
        if (folder / 'meta' / 'info.json').is_file():
            lead = '' if folder == root else f'{folder.relative_to(root).as_posix()}/'
            found += lerobot_readers(folder, cameras, lead)
            folders.clear()  # its files are its own
            continue
        folders[:] = [name for name in folders if not name.startswith('.')]
        for path in (folder / name for name in files if not name.startswith('.')):
            name, kind = path.relative_to(root).as_posix(), path.name.lower()
            if kind.endswith(VIDEOS):
                found.append(VideoFileReader(path, name))
            elif kind.endswith(SHARDS):
                found.append(ShardReader(path, name, fps))
            elif kind.endswith(BAGS):
                whole = (folder / 'metadata.yaml').is_file()
                bags.setdefault(folder if whole else path, []).append(path)
    found += [
        BagReader(path, path.relative_to(root).as_posix(), tuple(sorted(files)), tuple(cameras))
        for path, files in bags.items()
    ]
    return sorted(found, key=lambda reader: reader.name)
