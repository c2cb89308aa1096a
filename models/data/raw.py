# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Frames of a split in CALVIN's format as they were written: pictures of any size, rows in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import ROW_SHAPES, CalvinFolder, member_of, reading_file

FRAME_STRIDE = 10_000  # ids of a session of `vw2 collect` or `vw2 convert`


def _places(folder: CalvinFolder, ids: np.ndarray) -> list[tuple[Path, np.ndarray]]:
    """(shard, ids in it) of these frames, in order of ids."""
    guess = {path.stem: path for path in folder.shards}
    found: list[tuple[Path, np.ndarray]] = []
    wanted = ids
    for session in np.unique(ids // FRAME_STRIDE).tolist():
        path = guess.get(f'shard_{session:05d}')
        if path is not None:
            inside = np.intersect1d(wanted, _ids_of(path))
            found.append((path, inside))
            wanted = np.setdiff1d(wanted, inside)
    for path in (
        folder.shards if len(wanted) else ()
    ):  # of others, whose shards hold what they like
        inside = np.intersect1d(wanted, _ids_of(path))
        if len(inside):
            found.append((path, inside))
            wanted = np.setdiff1d(wanted, inside)
    if len(wanted):
        raise DataError(
            f'{folder.path / "shards"} must hold all frames of the index. Got {len(wanted)} that '
            f'are in no shard, first {wanted[0]}. Collect them again'
        )
    return sorted(((p, i) for p, i in found if len(i)), key=lambda f: int(f[1][0]))


def _ids_of(shard: Path) -> np.ndarray:
    with reading_file(shard), np.load(shard, allow_pickle=False) as archive:
        return np.asarray(member_of(archive, 'frame_ids', shard)).astype(np.int64)


def pictures_of(folder: CalvinFolder, ids: Sequence[int]) -> Iterator[np.ndarray]:
    """Static pictures of frames, uint8 (S, S, 3) rgb, in the order of ids.

    Args:
        ids: ascending.
    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    ids = np.asarray(ids, np.int64)
    if not folder.shards:
        for number in ids:
            path = folder.path / f'episode_{number:07d}.npz'
            with reading_file(path), np.load(path, allow_pickle=False) as archive:
                yield member_of(archive, 'rgb_static', path)
        return
    for path, inside in _places(folder, ids):
        with reading_file(path), np.load(path, allow_pickle=False) as archive:
            pngs, offsets = (member_of(archive, key, path) for key in ('rgb_static', 'offsets'))
            there = np.asarray(member_of(archive, 'frame_ids', path)).astype(np.int64)
        for i in np.searchsorted(there, inside):
            image = cv2.imdecode(pngs[offsets[i] : offsets[i + 1]], cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(f'{path}: the image of frame {there[i]} is damaged')
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def rows_of(
    folder: CalvinFolder, ids: Sequence[int], keys: Sequence[str] = ('rel_actions', 'robot_obs')
) -> dict[str, np.ndarray]:
    """Rows of frames, float64 (n, ...) each, in the order of ids.

    Args:
        ids: ascending. keys: of `ROW_SHAPES`.
    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    ids = np.asarray(ids, np.int64)
    parts: dict[str, list] = {key: [np.zeros((0, *ROW_SHAPES[key]))] for key in keys}
    if not folder.shards:
        for number in ids:
            path = folder.path / f'episode_{number:07d}.npz'
            with reading_file(path), np.load(path, allow_pickle=False) as archive:
                for key in keys:
                    parts[key].append(np.asarray(member_of(archive, key, path), float)[None])
    for path, inside in _places(folder, ids) if folder.shards else ():
        with reading_file(path), np.load(path, allow_pickle=False) as archive:
            there = np.asarray(member_of(archive, 'frame_ids', path)).astype(np.int64)
            rows = np.searchsorted(there, inside)
            for key in keys:
                parts[key].append(np.asarray(member_of(archive, key, path), float)[rows])
    return {key: np.concatenate(values) for key, values in parts.items()}
