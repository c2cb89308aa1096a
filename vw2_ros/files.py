# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where config/, launch/ and the shipped weights lie, and how a file is written whole.

In a checkout (also `pip install -e` and `colcon build --symlink-install`) they are the files of the
source tree; an installed copy has config/ and launch/ under <prefix>/share/vw2_ros and the weights
beside the models.
"""

from __future__ import annotations

import json
import os
import pathlib
import site
import sysconfig
from collections.abc import Iterator
from typing import Any

_PACKAGE = pathlib.Path(__file__).resolve().parent


def checkout() -> pathlib.Path | None:
    """Return the root of the source tree this module runs from, or None for an installed copy."""
    return _PACKAGE.parent if (_PACKAGE.parent / 'package.xml').is_file() else None


def _share_folders() -> Iterator[pathlib.Path]:
    root = checkout()
    if root is not None:
        yield root
    # colcon and pip: <prefix>/lib/pythonX.Y/site-packages (or local/lib/.../dist-packages);
    # pip --target: the folder itself is the prefix
    yield from (parent / 'share' / 'vw2_ros' for parent in _PACKAGE.parents)
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if prefix:
            yield pathlib.Path(prefix) / 'share' / 'vw2_ros'
    yield pathlib.Path(sysconfig.get_path('data')) / 'share' / 'vw2_ros'
    yield pathlib.Path(site.getuserbase()) / 'share' / 'vw2_ros'


def share_dir() -> pathlib.Path:
    """Return the folder that holds package.xml, config/ and launch/.

    Raises:
        FileNotFoundError: if the package was installed without its data files.
    """
    tried = []
    for folder in _share_folders():
        if (folder / 'package.xml').is_file():
            return folder
        tried.append(str(folder))
    raise FileNotFoundError(
        'share/vw2_ros (package.xml, config/, launch/) was not found; looked in '
        f'{", ".join(tried)}. Install the package again with pip or colcon.'
    )


def config_file(name: str) -> pathlib.Path:
    """Return config/<name>, e.g. 'calvin.yaml' or 'train/tiny.yaml'.

    Raises:
        FileNotFoundError: if there is no such file; the message lists those there are.
    """
    return _file('config', name)


def launch_file(name: str) -> pathlib.Path:
    """Return launch/<name>.

    Raises:
        FileNotFoundError: if there is no such file; the message lists those there are.
    """
    return _file('launch', name)


def weights_dir() -> pathlib.Path:
    """Return the folder with one sub-folder per set of shipped weights (it may be absent)."""
    root = checkout()
    return (root if root is not None else _PACKAGE) / 'models' / 'weights'


def shipped_weights() -> list[str]:
    """Return the names of the shipped weights, sorted."""
    folder = weights_dir()
    if not folder.is_dir():
        return []
    return sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name[0] not in '._')


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file beside its place and rename it, so that a reader never sees half of it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON, as `write_whole` does."""
    write_whole(path, json.dumps(value, indent=2) + '\n')


def _file(kind: str, name: str) -> pathlib.Path:
    folder = share_dir() / kind
    path = folder / name
    if path.is_file():
        return path
    known = sorted(
        str(f.relative_to(folder))
        for f in folder.rglob('*')
        if f.is_file() and '__pycache__' not in f.parts
    )
    raise FileNotFoundError(
        f"no {kind} file '{name}' in {folder}; there are: {', '.join(known) or 'none'}"
    )
