# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Run folders: what a stage of training leaves for those that build on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn

from vw2_ros.models.config import from_dict, to_dict
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.storage import (
    MAX_STATE_BYTES,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.vision import KeypointEncoder, VisionConfig


def previous(folder: Path) -> dict:
    """Provenance of the stage before, empty where it left none."""
    try:
        return load_json(Path(folder) / 'provenance.json')
    except CheckpointError:
        return {}


def load_model(cls: type, config_cls: type, folder: Path, name: str) -> nn.Module:
    """One model of a run folder, e.g. load_model(DLDM, DLDMConfig, folder, 'dldm'), on the CPU.

    Raises:
        CheckpointError: missing, damaged, or weights and config do not belong together.
    """
    folder = Path(folder)
    config = load_json(folder / 'config.json')
    if name not in config:
        raise CheckpointError(
            f'{folder}/config.json must have a section {name!r}. Got '
            f'{sorted(config)}. Is this the folder of the stage before?'
        )
    model = cls(from_dict(config_cls, config[name]))
    tensors, _ = load_tensors(folder / f'{name}.safetensors', limit=MAX_STATE_BYTES)
    load_state(model, tensors, str(folder))
    return model.eval()


def load_sight(vision: KeypointEncoder, folder: Path) -> None:
    """Give a planner's keypoint encoder the weights of a run, or of a policy.

    Args:
        folder: of `vw2 train sight`, or a policy's.
    Raises:
        CheckpointError: missing, damaged, or of other sizes.
    """
    config, width, tensors = _sight_in(Path(folder))
    wanted = dataclasses.replace(vision.config, frozen=False), vision.bias.shape[-1]
    if (config, width) != wanted:
        raise CheckpointError(
            f'{folder} must fit planner.vision and planner.model.width, '
            f'{wanted[0]}, {wanted[1]}. Got {config}, {width}'
        )
    load_state(vision, tensors, str(folder))


def _sight_in(folder: Path) -> tuple[VisionConfig, int | None, dict]:
    """Sizes, width and tensors of the keypoint encoder in a folder."""
    found = load_json(folder / 'config.json')
    if 'planner' in found:
        planner = load_model(Planner, PlannerConfig, folder, 'planner')
        vision = dataclasses.replace(planner.config.vision, frozen=False)
        return vision, planner.config.width, planner.vision.state_dict()
    try:
        config = from_dict(VisionConfig, found['vision'])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{folder} is neither a run of vw2 train sight nor a policy: {error!r}'
        ) from error
    return config, found.get('width'), load_tensors(folder / 'vision.safetensors')[0]


def with_keypoints(planner: Planner, folder: Path) -> Planner:
    """A planner with the keypoints of a sight run, frozen, in place of its own.

    What it makes of them, the projection to image tokens, stays its own.

    Raises:
        CheckpointError: see `load_sight`.
    """
    vision = dataclasses.replace(planner.config.vision, frozen=True)
    changed = Planner(dataclasses.replace(planner.config, vision=vision))
    load_sight(changed.vision, folder)
    own = {k: v for k, v in planner.state_dict().items() if not k.startswith('vision.locate.')}
    changed.load_state_dict(own, strict=False)
    return changed


def save_run(out: Path, record: dict, config: dict, **models: nn.Module) -> None:
    """Write <name>.safetensors of each model, config.json and provenance.json.

    Args:
        record: the provenance. config: name -> config dataclass, or a plain value.
    """
    for name, model in models.items():
        # A run's, not a policy's: a planner of 64,000 codes does not fit into a file that is shipped.
        save_tensors(out / f'{name}.safetensors', model.state_dict(), limit=MAX_STATE_BYTES)
    plain = {
        name: to_dict(value) if dataclasses.is_dataclass(value) else value
        for name, value in config.items()
    }
    save_json(out / 'config.json', plain)
    save_json(out / 'provenance.json', record)
