# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Clips of any video, with or without labels, for VideoWorld 2's latent pre-training (Sec. 3).

    store = clip_store(['data/play', 'data/phone_videos', 'data/lerobot'], 'training', size=96)
    store.rgb(store.clip_starts(17)[:4, None] + range(17))    # 4 clips of 17 frames

A data folder in CALVIN's format is read by `calvin.py`, any other by `video/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vw2_ros.models.data import DataError
from vw2_ros.models.data.cache import DecodedFolder
from vw2_ros.models.data.calvin import (
    CALVIN_FPS,
    CalvinFolder,
    is_calvin,
    split_folder,
    with_validation,
)
from vw2_ros.models.data.pictures import Size
from vw2_ros.models.data.store import ClipStore, FrameStore
from vw2_ros.models.data.video.folder import VideoFolder


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
        cameras: see `find_readers`.
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
