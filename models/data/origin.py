# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How a data folder was made: its config, which scene each frame shows, the camera.

| file | what it says |
| --- | --- |
| `.hydra/merged_config.yaml` | renderer, static camera, actions' frame, scene where there is one |
| `scene_info.npy` | {calvin_scene_A: (first, last frame id), ...}; of CALVIN's downloads |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vw2_ros.models.checkpoint import ACTION_FRAMES
from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import CalvinFolder, member_of, reading_file, split_folder
from vw2_ros.models.data.pickled import load_annotations
from vw2_ros.models.data.store import FrameStore

CONFIG = '.hydra/merged_config.yaml'
LOOKED_AT = 64  # files of a folder, or up to twice as many, whose pictures' size is looked at
_SCENE = re.compile(r'calvin_(?:scene|table)_([A-Z])')  # a name in `scene_info.npy`
_LETTERS = re.compile(r'calvin_(?:scene|table)_([A-Z]+)(?![A-Za-z])')


def merged_config(folder: CalvinFolder) -> dict[str, Any]:
    """What `.hydra/merged_config.yaml` says; {} where there is none that can be read."""
    try:
        content = yaml.safe_load((folder.path / CONFIG).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def check_origin(roots: Iterable[Path | str]) -> None:
    """Refuse training data without a word on what drew them, before anything is decoded.

    Raises:
        DataError: a folder has no config that can be read; all that writes data here writes one,
            and CALVIN's downloads have theirs.
    """
    for root in roots:
        path = split_folder(root, 'training') / CONFIG
        try:
            found = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            said = 'no such file'
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            said = f'{type(error).__name__}: {str(error).splitlines()[0]}'
        else:
            if isinstance(found, dict):
                continue
            said = f'{found!r:.40}'
        raise DataError(
            f'{path} must say what drew the pictures: renderer, or env.use_egl of CALVIN. '
            f"Got {said}. Copy it from where the data came from; of a camera's pictures it says "
            '"renderer: camera"'
        )


def check_pictures(roots: Iterable[Path | str], size: int) -> None:
    """Refuse training data that a policy would see enlarged, by some files of each folder.

    What `vw2 convert` wrote may be small: that robot's camera is no larger when the policy runs.

    Args:
        size: side of the square that the policy sees [px].
    Raises:
        DataError: a picture is smaller; or see `CalvinFolder`.
    """
    for folder in (CalvinFolder(split_folder(root, 'training')) for root in roots):
        if 'recorded' in merged_config(folder):
            continue
        files = folder.shards or [
            folder.path / f'episode_{number:07d}.npz' for number in folder.recorded_ids
        ]
        for path in files[:: max(1, len(files) // LOOKED_AT)]:
            with reading_file(path), np.load(path, allow_pickle=False) as archive:
                if folder.shards:
                    shape = (int(member_of(archive, 'image_size', path)),) * 2
                else:
                    shape = member_of(archive, 'rgb_static', path).shape[:2]
                if min(shape) < size:
                    raise DataError(
                        f'{path}: rgb_static must have at least {size} x {size} pixels, which the '
                        f'policy sees. Got {" x ".join(map(str, shape))}. Collect larger ones'
                    )


def renderer_of(store: FrameStore) -> str:
    """What drew the pictures, by name; 'unknown' of those that do not say.

    CALVIN's own folders say whether it was EGL.
    """
    found = set()
    for folder in store.folders:
        config = merged_config(folder)
        env = _part(config, 'env')
        named = config.get('renderer', env.get('renderer'))
        if named is None and 'use_egl' in env:
            named = 'calvin_env_egl' if env['use_egl'] else 'calvin_env_tiny'
        found.add('unknown' if named is None else str(named))
    return united(*found)


def united(*renderers: str) -> str:
    """Several such answers as one: each name once, in order; empty ones are nothing."""
    return ', '.join(sorted({name for text in renderers if text for name in text.split(', ')}))


def scene_of(store: FrameStore) -> str:
    """Which tables the pictures show, 'A, D', R for those drawn at random; 'unknown' if unsaid."""
    found = set()
    for folder in store.folders:
        path, letters = folder.path / 'scene_info.npy', _letters(folder)
        if path.is_file():
            try:
                letters = _told_by_ranges(folder, path)
            except (
                DataError
            ):  # it only describes the data; what needs each frame's scene refuses it
                letters = ()
        found.update([str(letter) for letter in letters] or ['unknown'])
    return united(*found)


def _letters(folder: CalvinFolder) -> list[str]:
    """Letters of the scenes that the config names, each once, in order."""
    text = yaml.safe_dump(merged_config(folder).get('scene'))
    return sorted(set(''.join(_LETTERS.findall(text))))


def action_frame_of(store: FrameStore) -> str:
    """Whose axes the actions of the data have: 'base', or what `vw2 convert` wrote there.

    Raises:
        DataError: of some it is the base and of others the tool, or something else.
    """
    found = {}
    for folder in store.folders:
        recorded = _part(merged_config(folder), 'recorded')
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
        config = merged_config(folder)
        for who in ('expert', 'redrawn'):  # who played there, and who drew
            facts = _part(_part(config, who), 'calvin_env')
            if facts and facts not in found:
                found.append(facts)
    return found


def static_camera(folder: CalvinFolder) -> dict[str, Any]:
    """The static camera as the config has it (`fov`, `look_from`, ...); {} where it says nothing."""
    return _part(_part(merged_config(folder), 'cameras'), 'static')


def _part(config: dict[str, Any], key: str) -> dict[str, Any]:
    part = config.get(key)
    return part if isinstance(part, dict) else {}


def scene_of_frames(folder: CalvinFolder) -> np.ndarray:
    """The letter of the scene that each frame shows, str (n,).

    Raises:
        DataError: neither file says it of all frames.
    """
    path = folder.path / 'scene_info.npy'
    if path.is_file():
        return _told_by_ranges(folder, path)
    letters = _letters(folder)
    if len(letters) != 1:
        raise DataError(
            f'{folder.path} must say which scene its frames show: scene_info.npy, or one '
            f'calvin_scene_A to D in {CONFIG}. Got {", ".join(letters) or "neither"}. Take both '
            'from where the data came from'
        )
    return np.full(len(folder), letters[0])


def _told_by_ranges(folder: CalvinFolder, path: Path) -> np.ndarray:
    found = np.full(len(folder), '')
    try:
        for name, (first, last) in load_annotations(path).items():
            here = (folder.frame_ids >= int(first)) & (folder.frame_ids <= int(last))
            found[here] = _SCENE.fullmatch(name).group(1)
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f'{path} must hold calvin_scene_A to D, with the first and the last frame of each. '
            f'Got {type(error).__name__}: {error}'
        ) from error
    if (found == '').any():
        raise DataError(
            f'{path} must name the scene of each frame. Got none for frame '
            f"{folder.frame_ids[found == ''][0]}. CALVIN's README links corrected files"
        )
    return found
