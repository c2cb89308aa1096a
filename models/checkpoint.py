# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Model folders: safetensors + JSON, nothing that runs code when it is read.

A folder is written beside its place and renamed, so a reader meets the old one or the new one.

| file | holds |
| --- | --- |
| planner.safetensors | weights |
| head.safetensors | weights and the action statistics |
| dldm.safetensors | weights (optional: only `imagine` needs them) |
| config.json | format, sizes of each part, `normalization` of the actions |
| tokenizer.json | the words |
| provenance.json | command, git commit, data hash, steps, score, renderer; SHA-256 of the rest |
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.files import whole
from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.text import Tokenizer

FORMAT = 1
MAX_FILE_BYTES = 16 * 2**20
MAX_JSON_BYTES = 4 * 2**20
MAX_STATE_BYTES = 32 * 2**30  # of Cosmos 2B, AdamW's two moments are 16.4 GiB
WEIGHTS_DIR = Path(__file__).resolve().parent / 'weights'
DEFAULT_NAME = 'play_table'

_DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
_CONFIGS = {'planner': PlannerConfig, 'head': ActionHeadConfig, 'dldm': DLDMConfig}


class CheckpointError(VW2Error, RuntimeError):
    """A model folder is missing, damaged or of another shape; the message says what to do."""


@dataclasses.dataclass
class Checkpoint:
    """A loaded model folder. dldm is None where the folder has none."""

    planner: Planner
    head: ActionHead
    tokenizer: Tokenizer
    dldm: DLDM | None
    provenance: dict[str, Any]
    sha256: str
    path: Path


def _write_beside(path: Path, write: typing.Callable[[Path], None], limit: int) -> None:
    """Call write(temporary path), check the size, sync and rename onto path."""
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
        beside.chmod(0o644)  # weights are read by anybody


def save_json(path: str | Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True) + '\n'
    _write_beside(Path(path), lambda p: p.write_text(text), MAX_JSON_BYTES)


def load_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        CheckpointError: if the file is missing, too large or not JSON.
    """
    path = Path(path)
    _check_file(path, MAX_JSON_BYTES)
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
        _write_beside(
            Path(path), lambda p: save_file(stored, p, metadata=dict(metadata or {})), limit
        )
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
    _check_file(path, limit)
    try:
        with safe_open(path, framework='pt') as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f'{path} must be a whole safetensors file. Got '
            f'{path.stat().st_size} bytes: {error}. Copy it again, or train it '
            'again with vw2 train.'
        ) from error


def _check_file(path: Path, limit: int) -> None:
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


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def config_from_dict(cls: type, saved: Mapping[str, Any]) -> Any:
    """Build a config dataclass from JSON or YAML values (lists become tuples).

    Raises:
        ValueError: on an unknown key, with the known ones.
    """
    if not isinstance(saved, Mapping):
        raise InvalidValueError(f'{cls.__name__} must be a mapping. Got {type(saved).__name__}.')
    known = {field.name for field in dataclasses.fields(cls)}
    if saved.keys() - known:
        raise InvalidValueError(
            f'{cls.__name__} knows {sorted(known)}. Got {sorted(saved.keys() - known)} too.'
        )
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in saved.items():
        if dataclasses.is_dataclass(hints[key]) and not dataclasses.is_dataclass(value):
            value = config_from_dict(hints[key], value)
        elif isinstance(value, list):
            value = tuple(value)
        values[key] = value
    try:
        return cls(**values)
    except TypeError as error:
        raise InvalidValueError(f'{cls.__name__}: {error}. Got {dict(saved)}.') from error


def file_sha256(path: str | Path) -> str:
    """Hex digest of one file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(folder: str | Path) -> str:
    """Hex digest of what decides the policy: weights, config and tokenizer, by name."""
    folder = Path(folder)
    digest = hashlib.sha256()
    names = sorted(p.name for p in folder.glob('*.safetensors'))
    for name in [*names, 'config.json', 'tokenizer.json']:
        _check_file(folder / name, MAX_FILE_BYTES)
        digest.update(f'{name} {file_sha256(folder / name)}\n'.encode())
    return digest.hexdigest()


def resolve(dir_or_name: str | Path) -> Path:
    """A folder, or the name of a shipped one (`models/weights/<name>`).

    Raises:
        CheckpointError: if there is neither, the message lists the shipped names; or if it is the
            run that holds the folder.
    """
    path = Path(dir_or_name).expanduser()
    if path.is_dir():
        if not (path / 'config.json').exists() and (path / 'policy' / 'config.json').exists():
            raise CheckpointError(
                f'policy must be a model folder. Got {path}, a run of vw2 train '
                f'head: say {path / "policy"}'
            )
        return path
    shipped = WEIGHTS_DIR / str(dir_or_name)
    if len(Path(dir_or_name).parts) == 1 and shipped.is_dir():
        return shipped
    names = sorted(p.parent.name for p in WEIGHTS_DIR.glob('*/config.json'))
    raise CheckpointError(
        'policy must be a model folder or one of the shipped names '
        f'{names}. Got {str(dir_or_name)!r}. Train one with vw2 train.'
    )


def save_checkpoint(
    folder: str | Path,
    *,
    planner: Planner,
    head: ActionHead,
    tokenizer: Tokenizer,
    dldm: DLDM | None = None,
    provenance: Mapping[str, Any] | None = None,
    dtype: str = 'float32',
) -> str:
    """Write a model folder; the one that was there before is replaced when all is written.

    Args:
        provenance: command, git_commit, data_sha256, steps, score, renderer, ...: JSON values.
        dtype: of the stored weights; action statistics stay float32.
    Returns:
        `folder_sha256` of what was written.
    Raises:
        CheckpointError: if a file would be over 16 MiB; the old folder stays.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f'.{folder.name}.'))
    try:
        parts: dict[str, nn.Module] = {'planner': planner, 'head': head}
        if dldm is not None:
            parts['dldm'] = dldm
        for name, module in parts.items():
            save_tensors(beside / f'{name}.safetensors', module.state_dict(), dtype=dtype)
        config = {name: config_to_dict(module.config) for name, module in parts.items()}
        config['format'] = FORMAT
        # The exact statistics stand here, whatever the dtype of the weights.
        config['normalization'] = {'mean': head.mean.tolist(), 'std': head.std.tolist()}
        save_json(beside / 'config.json', config)
        save_json(beside / 'tokenizer.json', tokenizer.to_dict())
        files = {p.name: file_sha256(p) for p in sorted(beside.iterdir())}
        save_json(beside / 'provenance.json', {**(provenance or {}), 'files': files})
        beside.chmod(0o755)
        sha256 = folder_sha256(beside)
        _swap(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sha256


def _swap(new: Path, place: Path) -> None:
    """Rename new onto place; what lay there is removed after, or put back if that fails."""
    if not place.exists():
        os.replace(new, place)
        return
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=f'.{place.name}.old.'))
    os.replace(place, old / 'was')
    try:
        os.replace(new, place)
    except OSError:
        os.replace(old / 'was', place)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(dir_or_name: str | Path = DEFAULT_NAME) -> Checkpoint:
    """Read and verify a model folder; every part in eval mode, float32.

    Raises:
        CheckpointError: if anything is missing, truncated, damaged, from another format, or does
            not match provenance.json's digests.
    """
    folder = resolve(dir_or_name)
    config = load_json(folder / 'config.json')
    if isinstance(config, dict) and 'format' not in config:
        raise CheckpointError(
            f'{folder} must be a policy, as vw2 train head makes it. Got another '
            f'folder, with {", ".join(sorted(config)) or "nothing"} in its '
            'config.json'
        )
    if not isinstance(config, dict) or config.get('format') != FORMAT:
        got = config.get('format') if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(
            f'{folder}/config.json must be of format {FORMAT}. Got {got}. '
            'Use the version of vw2_ros that wrote it.'
        )
    provenance = load_json(folder / 'provenance.json')
    _verify(folder, provenance)
    try:
        configs = {
            name: config_from_dict(cls, config[name])
            for name, cls in _CONFIGS.items()
            if name in config
        }
        tokenizer = Tokenizer.from_dict(load_json(folder / 'tokenizer.json'))
        planner = Planner(configs['planner'])
        head = ActionHead(configs['head'])
        dldm = DLDM(configs['dldm']) if 'dldm' in configs else None
        statistics = config['normalization']
        mean, std = torch.tensor(statistics['mean']), torch.tensor(statistics['std'])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{folder}: config.json and tokenizer.json must describe planner, '
            f'head and words. Got {type(error).__name__}: {error}. Copy or '
            'train the folder again.'
        ) from error
    parts: dict[str, nn.Module] = {'planner': planner, 'head': head}
    if dldm is not None:
        parts['dldm'] = dldm
    for name, module in parts.items():
        path = folder / f'{name}.safetensors'
        load_state(module, load_tensors(path)[0], str(path))
        module.eval().requires_grad_(False)
    try:
        head.set_normalization(mean, std)
    except ValueError as error:
        raise CheckpointError(f'{folder}/config.json: normalization: {error}') from error
    if (
        planner.config.width != head.config.width
        or planner.config.steps != head.config.steps
        or tokenizer.vocab_size != planner.config.vocab_size
        or tokenizer.buckets != planner.config.buckets
    ):
        raise CheckpointError(
            f'{folder}: planner, head and tokenizer must fit each other. Got '
            f'planner {planner.config}, head {head.config}, '
            f'{tokenizer.vocab_size} words. Do the files belong together?'
        )
    return Checkpoint(planner, head, tokenizer, dldm, provenance, folder_sha256(folder), folder)


def _verify(folder: Path, provenance: Any) -> None:
    """Compare each file with its digest in provenance.json."""
    files = provenance.get('files') if isinstance(provenance, dict) else None
    if not isinstance(files, dict) or not files:
        raise CheckpointError(
            f'{folder}/provenance.json must list `files` with their SHA-256. '
            'Got none. Copy or train the folder again.'
        )
    for name, wanted in files.items():
        if Path(name).name != name:
            raise CheckpointError(
                f'{folder}/provenance.json must name files of its own folder. Got {name!r}.'
            )
        _check_file(folder / name, MAX_FILE_BYTES)
        got = file_sha256(folder / name)
        if got != wanted:
            raise CheckpointError(
                f'{folder / name} must have SHA-256 {wanted}. Got {got}, '
                f'{(folder / name).stat().st_size} bytes: truncated, damaged or '
                'changed by hand. Copy it again, or train it again with '
                'vw2 train.'
            )
