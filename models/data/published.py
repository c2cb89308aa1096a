# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Files that the authors of VideoWorld 2 publish, and that their public research code writes.

All are of `torch.save`, and are read as tensors, numbers and names alone: nothing in them runs.

| file                     | what it holds                                                       |
| ------------------------ | ------------------------------------------------------------------- |
| VideoCraft-dLDM-codes.pt | {name: codes (clips, L)}, 4 codes of each latent step               |
| latent_code_infos.pt     | [(codes (clips, L), name or path of the video)]                     |
| *_ldm.pt                 | the dLDM's weights by name, without the prefix `ldm_net.`           |

A clip has 1 + 4 * L/4 frames. The clips of a video are the files NAME_0.mp4, NAME_1.mp4, ..., each
taken as a whole, whatever its length. Codes are numbered as `FSQ` numbers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vw2_ros.models.data.codes import OtherDataError
from vw2_ros.models.data.store import ClipStore
from vw2_ros.models.data.video.folder import VideoFolder
from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.errors import CheckpointError, TrainingError
from vw2_ros.models.storage import MAX_STATE_BYTES, check_file

QUERIES = 4  # codes of a latent step
PREFIX = 'ldm_net.'  # of the dLDM's weights among those of a whole training
Codes = dict[str, Tensor]  # name of a video -> its clips' codes, int64 (clips, K-1, 4)


def read_published(path: Path) -> tuple[Codes | None, dict[str, Tensor] | None]:
    """Codes, or else the weights of a dLDM: whichever the file holds.

    Raises:
        CheckpointError: missing, damaged, or more than tensors, numbers and names.
        TrainingError: neither codes nor weights, or codes of a shape that does not fit.
    """
    check_file(path, MAX_STATE_BYTES)
    try:
        held = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader of pickles raise
        raise CheckpointError(
            f'{path} must be a file of torch.save with tensors, numbers and names alone. Got '
            f'{type(error).__name__}: it is damaged, or would run code when it is read, which is '
            'refused. Download it again'
        ) from error
    if isinstance(held, Mapping) and isinstance(held.get('model'), Mapping):
        held = held['model']
    if isinstance(held, Mapping) and any(torch.is_floating_point(v) for v in _tensors(held)):
        weights = {str(k): v for k, v in held.items() if torch.is_tensor(v)}
        own = {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}
        return None, own or weights
    return _codes_in(held, path), None


def _tensors(held: Mapping) -> list[Tensor]:
    return [v for v in held.values() if torch.is_tensor(v)]


def _codes_in(held: Any, path: Path) -> Codes:
    pairs: list = []
    if isinstance(held, Mapping):
        pairs = [(name, codes) for name, codes in held.items()]
    elif isinstance(held, (list, tuple)):
        pairs = [(pair[1], pair[0]) for pair in held if isinstance(pair, (list, tuple))]
    if not pairs or not all(isinstance(name, str) for name, _ in pairs):
        raise TrainingError(
            f'{path} must hold codes, as {{name: codes}} or [(codes, name)], or the weights of a '
            f'dLDM. Got {type(held).__name__} of neither'
        )
    names = [PurePath(name).name.removesuffix('.mp4') for name, _ in pairs]
    if len(names) > 1 and not isinstance(held, Mapping) and all(len(name) == 1 for name in names):
        # The public code zips the clips of a video with the letters of its name.
        raise TrainingError(
            f'{path} must name the video of each clip. Got single letters ({", ".join(names[:8])}), '
            'as the public research code pairs clips with the letters of one name. Let its '
            'ldm_callback.py append (codes, video_path) once for each video'
        )
    found: dict[str, list[Tensor]] = {}
    for name, (_, codes) in zip(names, pairs):
        found.setdefault(name, []).append(_clips(codes, f'{path}: {name}'))
    lengths = {codes.shape[1]: name for name, many in found.items() for codes in many}
    if len(lengths) > 1:
        told = ', '.join(f'{QUERIES * steps} of {name}' for steps, name in lengths.items())
        raise TrainingError(f'{path}: all clips must have as many codes. Got {told}')
    return {name: torch.cat(many) for name, many in found.items()}


def _clips(codes: Any, what: str) -> Tensor:
    """Nested lists or a tensor, (clips, L) or of one clip (L,) -> int64 (clips, L/4, 4)."""
    size = DLDMConfig().codebook_size
    try:
        codes = torch.atleast_2d(torch.as_tensor(codes))
    except (ValueError, TypeError, RuntimeError) as error:
        raise TrainingError(
            f'{what}: codes must be integers (clips, L), each clip as long. Got another nesting'
        ) from error
    whole = not (codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool)
    if not whole or codes.ndim != 2 or not codes.numel() or codes.shape[1] % QUERIES:
        raise TrainingError(
            f'{what}: codes must be integers (clips, L), L a multiple of {QUERIES}. Got '
            f'{codes.dtype} {tuple(codes.shape)}'
        )
    if int(codes.min()) < 0 or int(codes.max()) >= size:
        raise TrainingError(
            f'{what}: codes must lie in [0, {size}), the codebook of {DLDMConfig().levels}. Got '
            f'{int(codes.min())} to {int(codes.max())}'
        )
    return codes.long().reshape(len(codes), -1, QUERIES)


def config_of(codes: Codes) -> DLDMConfig:
    """What is known of the dLDM that made them: clip length, queries and codebook."""
    steps = next(iter(codes.values())).shape[1]
    return DLDMConfig(clip_frames=1 + 4 * steps, queries=QUERIES)


def clips_of_videos(codes: Codes, store: ClipStore, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the clips that lie as files in the store: NAME_0.mp4, ...; of a lone clip NAME.mp4.

    Returns:
        rows int64 (m,) of the store, the first frame of each clip; indices int64 (m, K-1, N).
    Raises:
        OtherDataError: no clip is there.
    """
    first = {
        PurePath(name).stem: store.first_row(number) + row
        for number, folder in enumerate(store.folders)
        if isinstance(folder, VideoFolder)
        for name, row in folder.first_rows().items()
    }
    rows, indices = [], []
    for name, clips in codes.items():
        for i, clip in enumerate(clips.numpy()):
            row = first.get(f'{name}_{i}', first.get(name) if len(clips) == 1 else None)
            if row is not None:
                rows.append(row)
                indices.append(clip)
    if not rows:
        name = next(iter(codes))
        raise OtherDataError(
            f'{path} must hold codes of the videos in the data, e.g. of {name}_0.mp4. Got videos '
            f'{", ".join(sorted(first)[:3]) or "of other kinds"}: give the folder of the clips'
        )
    return np.array(rows), np.stack(indices)


def parts_of_weights(weights: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    """Part, e.g. `encoder` -> its number of tensors and of parameters."""
    out: dict[str, dict[str, int]] = {}
    for name, value in weights.items():
        part = re.sub(r'^network\.', '', name).split('.')[0]
        count = out.setdefault(part, {'tensors': 0, 'parameters': 0})
        count['tensors'] += 1
        count['parameters'] += value.numel()
    return out


def misfits(weights: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """The weights that do not fit into a model, each with its shape and what the model has there."""
    own = model.state_dict()
    return [
        f'{name} {tuple(value.shape)}: '
        + (f'{tuple(own[name].shape)} here' if name in own else 'no such tensor here')
        for name, value in weights.items()
        if name not in own or own[name].shape != value.shape
    ]
