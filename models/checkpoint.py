# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Policy folders: planner, action head, words, and what is known of how they were trained.

A folder is written beside its place and renamed, so a reader meets the old one or the new one.

| file | holds |
| --- | --- |
| planner.safetensors | weights |
| head.safetensors | weights and the action statistics |
| dldm.safetensors | weights (optional: only `imagine` needs them) |
| config.json | format, sizes of each part, `normalization` of the actions, `phrases` |
| tokenizer.json | the words |
| provenance.json | command, commit, data hash, steps, score, renderer, action_frame; SHA-256 of rest |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vw2_ros import files
from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.config import from_dict, to_dict
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.storage import (
    MAX_FILE_BYTES,
    check_file,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.text import Tokenizer

FORMAT = 1
DEFAULT_NAME = 'play_table'
ACTION_FRAMES = ('base', 'tool')  # whose axes the actions have, as a robot's contract says
FLOAT32_LIMIT = 4_000_000  # parameters that fit into a file of 16 MiB

_CONFIGS = {'planner': PlannerConfig, 'head': ActionHeadConfig, 'dldm': DLDMConfig}
_MODULES: dict[str, type[nn.Module]] = {'planner': Planner, 'head': ActionHead, 'dldm': DLDM}
# No size in a config is larger than the largest axis of the part's weights, or than these.
MOST, MOST_PX = 512, 4096


@dataclasses.dataclass
class Checkpoint:
    """A loaded model folder. dldm is None where the folder has none.

    phrases: task -> a wording of it that the policy learned; empty in older folders.
    """

    planner: Planner
    head: ActionHead
    tokenizer: Tokenizer
    dldm: DLDM | None
    provenance: dict[str, Any]
    sha256: str
    path: Path
    phrases: dict[str, str] = dataclasses.field(default_factory=dict)


def folder_sha256(folder: str | Path) -> str:
    """Hex digest of what decides the policy: weights, config and tokenizer, by name."""
    folder = Path(folder)
    for path in [*folder.glob('*.safetensors'), folder / 'config.json', folder / 'tokenizer.json']:
        check_file(path, MAX_FILE_BYTES)
    return files.folder_sha256(folder)


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
    shipped = files.weights_dir() / str(dir_or_name)
    if len(Path(dir_or_name).parts) == 1 and shipped.is_dir():
        return shipped
    raise CheckpointError(
        'policy must be a model folder or one of the shipped names '
        f'{files.shipped_weights()}. Got {str(dir_or_name)!r}. Train one with vw2 train.'
    )


def save_checkpoint(
    folder: str | Path,
    *,
    planner: Planner,
    head: ActionHead,
    tokenizer: Tokenizer,
    dldm: DLDM | None = None,
    provenance: Mapping[str, Any] | None = None,
    phrases: Mapping[str, str] | None = None,
    dtype: str | None = None,
) -> str:
    """Write a model folder; the one that was there before is replaced when all is written.

    Args:
        provenance: command, git_commit, data_sha256, steps, score, renderer, ...: JSON values.
        phrases: task -> a wording of it that the policy learned.
        dtype: of the stored weights; None: float32, or float16 of a planner that would not fit into a
            file. Action statistics stay float32.
    Returns:
        `folder_sha256` of what was written.
    Raises:
        CheckpointError: if a file would be over 16 MiB; the old folder stays.
    """
    if dtype is None:
        size = sum(p.numel() for p in planner.parameters())
        dtype = 'float32' if size < FLOAT32_LIMIT else 'float16'
    parts: dict[str, nn.Module] = {'planner': planner, 'head': head}
    if dldm is not None:
        parts['dldm'] = dldm
    config = {name: to_dict(module.config) for name, module in parts.items()}
    config['format'] = FORMAT
    # The exact statistics stand here, whatever the dtype of the weights.
    config['normalization'] = {'mean': head.mean.tolist(), 'std': head.std.tolist()}
    config['phrases'] = dict(phrases or {})
    with files.whole_folder(folder) as beside:
        for name, module in parts.items():
            save_tensors(beside / f'{name}.safetensors', module.state_dict(), dtype=dtype)
        save_json(beside / 'config.json', config)
        save_json(beside / 'tokenizer.json', tokenizer.to_dict())
        digests = {p.name: files.file_sha256(p) for p in sorted(beside.iterdir())}
        save_json(beside / 'provenance.json', {**(provenance or {}), 'files': digests})
        beside.chmod(0o755)  # weights are read by anybody
        return folder_sha256(beside)


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
            name: from_dict(cls, config[name]) for name, cls in _CONFIGS.items() if name in config
        }
        tokenizer = Tokenizer.from_dict(load_json(folder / 'tokenizer.json'))
        parts = {
            name: _part(_MODULES[name], configs[name], folder / f'{name}.safetensors')
            for name in ('planner', 'head', *(['dldm'] if 'dldm' in configs else []))
        }
        planner, head, dldm = parts['planner'], parts['head'], parts.get('dldm')
        if tokenizer.max_length > MOST:
            raise CheckpointError(
                f'{folder}/tokenizer.json: max_length must be at most {MOST}. Got '
                f'{tokenizer.max_length}. Copy or train the folder again.'
            )
        statistics = config['normalization']
        mean, std = torch.tensor(statistics['mean']), torch.tensor(statistics['std'])
        phrases = {**config.get('phrases', {})}
        for phrase in phrases.values():
            tokenizer.words_of(phrase)  # refuses what is no instruction
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{folder}: config.json and tokenizer.json must describe planner, '
            f'head and words. Got {type(error).__name__}: {error}. Copy or '
            'train the folder again.'
        ) from error
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
    sha256 = folder_sha256(folder)
    return Checkpoint(planner, head, tokenizer, dldm, provenance, sha256, folder, phrases)


def _part(kind: type[nn.Module], config: Any, path: Path) -> nn.Module:
    """A part with its weights.

    Raises:
        CheckpointError: they do not belong together; before memory is taken for what the config says.
    """
    tensors = load_tensors(path)[0]
    largest = max([MOST, *(n for tensor in tensors.values() for n in tensor.shape)])
    for key, value in _sizes(to_dict(config)):
        most = {'image_size': MOST_PX, 'layers': len(tensors)}.get(key, largest)
        if value > most:
            raise CheckpointError(
                f'{path} must have the sizes of its config.json. Got {key} {value}, and weights for at '
                f'most {most}. Do weights and config belong together?'
            )
    module = kind(config)
    load_state(module, tensors, str(path))
    return module.eval().requires_grad_(False)


def _sizes(value: Any, key: str = '') -> Iterator[tuple[str, int]]:
    """All whole numbers of a config, with their keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _sizes(inner, str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _sizes(inner, key)
    elif isinstance(value, int):
        yield key, value


def _verify(folder: Path, provenance: Any) -> None:
    """Compare each file with its digest in provenance.json."""
    digests = provenance.get('files') if isinstance(provenance, dict) else None
    if not isinstance(digests, dict) or not digests:
        raise CheckpointError(
            f'{folder}/provenance.json must list `files` with their SHA-256. '
            'Got none. Copy or train the folder again.'
        )
    for name, wanted in digests.items():
        if Path(name).name != name:
            raise CheckpointError(
                f'{folder}/provenance.json must name files of its own folder. Got {name!r}.'
            )
        check_file(folder / name, MAX_FILE_BYTES)
        got = files.file_sha256(folder / name)
        if got != wanted:
            raise CheckpointError(
                f'{folder / name} must have SHA-256 {wanted}. Got {got}, '
                f'{(folder / name).stat().st_size} bytes: truncated, damaged or '
                'changed by hand. Copy it again, or train it again with '
                'vw2 train.'
            )
