# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Codes of clips: made by a dLDM, kept in a file, and found again for the frames of a store.

A file of codes, `codes.safetensors`, holds those of the clips that start at every `stride`-th frame:

| key             | dtype, shape        | meaning                                                |
| --------------- | ------------------- | ------------------------------------------------------ |
| folder          | int64 (m,)          | which data folder, index into the metadata's `folders` |
| frame_ids       | int64 (m,)          | first frame of the clip (of video: its count there)    |
| indices         | int32 (m, K-1, N)   | the clip's codes                                       |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.config import from_dict
from vw2_ros.models.data.batches import ClipConfig, to_video
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.store import ClipStore, FrameStore
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.parallel import first_of_machine
from vw2_ros.models.storage import MAX_STATE_BYTES, load_json, load_tensors, save_tensors
from vw2_ros.progress import progress_bar

CODES_FILE = 'codes.safetensors'
SPARSE = 12  # frames between clips, where no file of codes says how many


class OtherDataError(TrainingError):
    """A file of codes is of other data than was given."""


@dataclasses.dataclass(frozen=True)
class DumpConfig:
    """How the codes of a data set are written."""

    stride: int = 4  # frames from the start of one clip to that of the next
    batch: int = 32  # clips that are encoded at a time

    def __post_init__(self):
        if self.stride < 1 or self.batch < 1:
            raise ConfigError(f'stride and batch must be >= 1. Got {self.stride}, {self.batch}')


@torch.inference_mode()
def encode_clips(
    model: DLDM,
    store: ClipStore,
    starts: np.ndarray,
    batch: int,
    clips: ClipConfig = ClipConfig(),
    frames: int | None = None,
) -> torch.Tensor:
    """Codes of the clips of `frames` (default: the model's) from rows `starts`: int32 (m, K-1, N).

    Clips of a batch overlap, so each frame is read once. Codes of a shorter clip are the first of
    those of a longer one.
    """
    c = model.config
    device = next(model.parameters()).device
    within = clips.within(frames or c.clip_frames)
    out = torch.empty((len(starts), (len(within) - 1) // 4, c.queries), dtype=torch.int32)
    with progress_bar() as bar:
        task = bar.add_task('codes', total=len(starts))
        for first in range(0, len(starts), batch):
            part = starts[first : first + batch]
            rows, place = np.unique(part[:, None] + within, return_inverse=True)
            rgb = torch.from_numpy(store.rgb(rows)).to(device)
            video = to_video(rgb[torch.from_numpy(place.reshape(len(part), -1))])
            out[first : first + batch] = model.tokenize(video).cpu().to(torch.int32)
            bar.advance(task, len(part))
    return out


def write_codes(
    model: DLDM,
    store: ClipStore,
    path: Path,
    dump: DumpConfig,
    clips: ClipConfig = ClipConfig(),
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Encode the store's clips and write them to `path` (see the head of this file).

    Args:
        known: rows and indices, as of `read_codes`; folders that they cover are not encoded.
    """
    model.eval()
    span = clips.within(model.config.clip_frames)[-1]
    rows = store.clip_starts(span + 1, dump.stride)
    if known is not None:
        rows = rows[~np.isin(store.folder_of(rows), store.folder_of(known[0]))]
    indices = encode_clips(model, store, rows, dump.batch, clips)
    if known is not None:
        rows = np.concatenate([known[0], rows])
        indices = torch.cat([torch.from_numpy(known[1]).to(indices.dtype), indices])
    hashes = [f.content_hash for f in store.folders]
    save_tensors(
        path,
        {
            'folder': torch.from_numpy(store.folder_of(rows)),
            'indices': indices,
            'frame_ids': torch.from_numpy(store.frame_ids[rows]),
        },
        metadata={'folders': json.dumps(hashes), 'stride': str(dump.stride)},
        limit=MAX_STATE_BYTES,
    )


def read_codes(path: Path, store: ClipStore) -> tuple[np.ndarray, np.ndarray]:
    """Codes that a file holds for the frames of `store`.

    Returns:
        rows int64 (m,) of the store, and indices int64 (m, K-1, N).
    Raises:
        CheckpointError: missing or damaged. TrainingError: not codes. OtherDataError: none of
            the store's folders is among those that were encoded.
    """
    tensors, metadata = load_tensors(path, limit=MAX_STATE_BYTES)
    try:
        hashes = json.loads(metadata['folders'])
        folder, ids = tensors['folder'].numpy(), tensors['frame_ids'].numpy()
        indices = tensors['indices'].numpy().astype(np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f'{path} must be a file of codes, as vw2 train dldm writes it. Got '
            f'{type(error).__name__}: {error}'
        ) from error
    rows, found = [], []
    for number, content in enumerate(f.content_hash for f in store.folders):
        if content in hashes:
            here = np.flatnonzero(folder == hashes.index(content))
            rows.append(store.rows_of(number, ids[here]))
            found.append(indices[here])
    if not rows:
        raise OtherDataError(
            f'{path} must hold codes of the given data. Got those of other data. Run '
            '`vw2 train dldm` on this data'
        )
    return np.concatenate(rows), np.concatenate(found)


class CodedFrames:
    """Frames whose next codes are known, with their task where they have one.

    Attributes:
        rows int64 (m,), indices int64 (m, K-1, N), task int64 (m,) (-1: none) and valid
        bool (m, K-1): False for a step that shows frames after the end of its task.
    """

    def __init__(
        self,
        store: FrameStore,
        rows: np.ndarray,
        indices: np.ndarray,
        tasks: Sequence[str],
        frames_per_step: int = 4,
    ):
        task_at = np.full(len(store), -1)
        end_at = np.full(len(store), len(store))
        for i, folder in enumerate(store.folders):
            for window in folder.windows:
                a, b = store.rows_of(i, np.array([window.start, window.end]))
                if window.task in tasks:
                    task_at[a : b + 1] = tasks.index(window.task)
                    end_at[a : b + 1] = b
        self.rows, self.indices = rows, indices
        self.task = task_at[rows]
        step_end = rows[:, None] + frames_per_step * np.arange(1, indices.shape[1] + 1)
        self.valid = step_end <= end_at[rows][:, None] + 1

    def __len__(self) -> int:
        return len(self.rows)


class LabelledFrames:
    """Batches of labelled frames: picture, words, next actions, and codes where known."""

    def __init__(
        self,
        store: FrameStore,
        demos: Demonstrations,
        coded: CodedFrames | None,
        steps: int,
        queries: int,
    ):
        self.store, self.demos = store, demos
        self.code_at = np.full(len(store), -1)
        self.codes = np.zeros((1, steps, queries), np.int64)
        self.codes_valid = np.zeros((1, steps), bool)
        if coded is not None:
            self.code_at[coded.rows] = np.arange(len(coded))
            # The last entry stands for "none".
            self.codes = np.concatenate([coded.indices, self.codes])
            self.codes_valid = np.concatenate([coded.valid, self.codes_valid])

    def part(self, samples: np.ndarray) -> dict:
        """All but the picture and the words of these samples."""
        actions, valid = self.demos.chunk(samples)
        code = self.code_at[self.demos.sample_row[samples]]
        return {
            'actions': torch.from_numpy(actions),
            'valid': torch.from_numpy(valid),
            'codes': torch.from_numpy(self.codes[code]),
            'codes_valid': torch.from_numpy(self.codes_valid[code]),
        }


def codes_for(
    dldm: DLDM, init: Path, store: FrameStore, out: Path, name: str = CODES_FILE
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the store's frames: from `init`; what it lacks is encoded and kept in `out`."""
    with first_of_machine():
        known, stride = None, SPARSE
        for path in (init / name, out / name):
            if not path.is_file():
                continue
            stride = int(load_tensors(path, limit=MAX_STATE_BYTES)[1].get('stride', stride))
            try:
                codes = read_codes(path, store)
            except OtherDataError:
                continue
            if len(np.unique(store.folder_of(codes[0]))) == len(store.folders):
                return codes
            known = codes
        out.mkdir(parents=True, exist_ok=True)
        clips = clips_of(init)
        pictures = clips.store([f.path for f in store.folders], 'training', dldm.config.size)
        write_codes(dldm, pictures, out / name, DumpConfig(stride=stride), clips, known)
        return read_codes(out / name, store)


def clips_of(folder: Path) -> ClipConfig:
    """Which clips the dLDM of a run folder reads.

    Raises:
        CheckpointError, ConfigError: no config.json, or what it says of clips makes no sense.
    """
    return from_dict(ClipConfig, load_json(Path(folder) / 'config.json').get('clips'), 'clips')
