# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What data folders say of how they were made, in `.hydra/merged_config.yaml`."""

from __future__ import annotations

from pathlib import Path

import yaml

from vw2_ros.models.checkpoint import ACTION_FRAMES
from vw2_ros.models.data import DataError
from vw2_ros.models.data.store import FrameStore


def renderer_of(store: FrameStore) -> str:
    """What drew the images, as the data folders say in `.hydra/merged_config.yaml`.

    CALVIN's own folders say whether it was EGL.
    """
    found = set()
    for folder in store.folders:
        content = _how_made(folder.path)
        env = _part(content, 'env')
        named = content.get('renderer', env.get('renderer'))
        if named is None and 'use_egl' in env:
            named = 'calvin_env_egl' if env['use_egl'] else 'calvin_env_tiny'
        found.add(str(named))
    return ', '.join(sorted(found)).replace('None', 'unknown')


def action_frame_of(store: FrameStore) -> str:
    """Whose axes the actions of the data have: 'base', or what `vw2 convert` wrote there.

    Raises:
        DataError: of some it is the base and of others the tool, or something else.
    """
    found = {}
    for folder in store.folders:
        recorded = _part(_how_made(folder.path), 'recorded')
        found.setdefault(str(recorded.get('action_frame', 'base')), folder.path)
    if len(found) > 1 or not set(found) <= set(ACTION_FRAMES):
        said = ', '.join(f'{frame} in {path}' for frame, path in found.items())
        raise DataError(
            f'all data must have actions in one frame, {" or ".join(ACTION_FRAMES)}. Got {said}. '
            'Convert the recordings again, with one action_frame in their contracts.'
        )
    return next(iter(found))


def calvin_env_of(store: FrameStore) -> list[dict[str, str]]:
    """The checkouts of calvin_env that the data are of: commit, and SHA-256 of code and assets.

    Empty where there is none, or where the data do not say: CALVIN's own do not.
    """
    found = []
    for folder in store.folders:
        facts = _part(_part(_how_made(folder.path), 'expert'), 'calvin_env')
        if facts and facts not in found:
            found.append(facts)
    return found


def _how_made(split: Path) -> dict:
    """What `.hydra/merged_config.yaml` says of a data folder, empty where there is none."""
    try:
        content = yaml.safe_load((split / '.hydra' / 'merged_config.yaml').read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _part(content: dict, key: str) -> dict:
    part = content.get(key)
    return part if isinstance(part, dict) else {}
