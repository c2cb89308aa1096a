# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The files that models are kept in: JSON and safetensors, nothing that runs code when it is read.

Each is written whole or not at all, and has a largest size, beyond which it is not read either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.files import whole
from vw2_ros.models.errors import CheckpointError

MAX_FILE_BYTES = 16 * 2**20
MAX_JSON_BYTES = 4 * 2**20
MAX_STATE_BYTES = 32 * 2**30  # of Cosmos 2B, AdamW's two moments are 16.4 GiB

_DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


def _write(path: Path, write: Callable[[Path], None], limit: int) -> None:
    """Let `write` fill a file beside, check its size, sync it and rename it to `path`."""
    with whole(path) as beside:
        write(beside)
        size = beside.stat().st_size
        if size > limit:
            raise CheckpointError(
                f'{path.name} would be {size} bytes; a file may have {limit}. '
                'Store as float16 or make the model smaller.'
            )
        with open(beside, 'rb') as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)  # anybody may read it


def save_json(path: str | Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True) + '\n'
    _write(Path(path), lambda p: p.write_text(text), MAX_JSON_BYTES)


def load_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        CheckpointError: if the file is missing, too large or not JSON.
    """
    path = Path(path)
    check_file(path, MAX_JSON_BYTES)
    try:
        return json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f'{path} must be JSON. Got: {error}. Copy or train the folder again.'
        ) from error


def save_tensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: str = 'float32',
    limit: int = MAX_FILE_BYTES,
) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        dtype: "float32", "float16" or "bfloat16" for float32 tensors; others stay as they are.
        limit: largest file, bytes (training states may be larger: `MAX_STATE_BYTES`).
    Raises:
        CheckpointError: if the file would be larger, or the disk is full; nothing is written.
    """
    if dtype not in _DTYPES:
        raise InvalidValueError(f'dtype must be one of {sorted(_DTYPES)}. Got {dtype!r}.')
    stored = {}
    for key, value in tensors.items():
        value = value.detach().cpu()
        if value.dtype == torch.float32:
            value = value.to(_DTYPES[dtype])
        # safetensors stores plain row-major tensors that share no memory.
        stored[key] = value.clone(memory_format=torch.contiguous_format)
    try:
        _write(Path(path), lambda p: save_file(stored, p, metadata=dict(metadata or {})), limit)
    except SafetensorError as error:  # of the disk, in its own words
        raise CheckpointError(
            f'{path} could not be written: {error}. Make room, and give the same command again '
            '(vw2 train with --resume)'
        ) from error


def load_tensors(
    path: str | Path, *, limit: int = MAX_FILE_BYTES
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote: tensors as stored, and the metadata.

    Raises:
        CheckpointError: if the file is missing, too large, truncated or damaged.
    """
    path = Path(path)
    check_file(path, limit)
    try:
        with safe_open(path, framework='pt') as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f'{path} must be a whole safetensors file. Got '
            f'{path.stat().st_size} bytes: {error}. Copy it again, or train it '
            'again with vw2 train.'
        ) from error


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a module, cast to its own dtypes.

    Raises:
        CheckpointError: if a tensor is missing, left over, of another shape or not finite.
    """
    own = module.state_dict()
    missing, left_over = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or left_over:
        raise CheckpointError(
            f'{source} must hold the {len(own)} tensors of its config.json. '
            f'Got {len(tensors)}; missing {missing[:3]}, left over '
            f'{left_over[:3]}. Do weights and config belong together?'
        )
    for key, value in tensors.items():
        if value.shape != own[key].shape:
            raise CheckpointError(
                f'{source}: {key} must be {tuple(own[key].shape)}. Got '
                f'{tuple(value.shape)}. Do weights and config belong together?'
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f'{source}: {key} must be finite. Got NaN or infinity. The '
                'training diverged: take an earlier checkpoint.'
            )
    module.load_state_dict(dict(tensors))


def check_file(path: Path, limit: int) -> None:
    """Refuse a file that is missing or has more than `limit` bytes, with a CheckpointError."""
    if not path.is_file():
        raise CheckpointError(
            f'{path} must exist. Got nothing there. Is the folder complete? '
            'Copy it again, or train it with vw2 train.'
        )
    if path.stat().st_size > limit:
        raise CheckpointError(
            f'{path} must have at most {limit} bytes. '
            f'Got {path.stat().st_size}. This is not one of our files.'
        )
