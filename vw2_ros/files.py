# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where config/, launch/ and the shipped weights lie, and how a file or a folder is written whole.

In a checkout (also `pip install -e` and `colcon build --symlink-install`) they are the files of the
source tree; an installed copy has config/ and launch/ under <prefix>/share/vw2_ros and the weights
beside the models.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import site
import sysconfig
from collections.abc import Iterator
from typing import Any

from vw2_ros.errors import MissingFileError, unknown

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
        MissingFileError: if the package was installed without its data files.
    """
    tried = []
    for folder in _share_folders():
        if (folder / 'package.xml').is_file():
            return folder
        tried.append(str(folder))
    raise MissingFileError(
        'share/vw2_ros (package.xml, config/, launch/) must be installed. Got none in '
        f'{", ".join(tried)}. Install the package again with pip or colcon'
    )


def config_file(name: str) -> pathlib.Path:
    """Return config/<name>, e.g. 'calvin.yaml' or 'train/tiny.yaml'.

    Raises:
        MissingFileError: if there is no such file; the message lists those there are.
    """
    folder = share_dir() / 'config'
    path = folder / name
    if path.is_file():
        return path
    known = sorted(str(f.relative_to(folder)) for f in folder.rglob('*') if f.is_file())
    raise MissingFileError(
        f"config must have the file. Got '{name}' in {folder}; "
        f'there are: {", ".join(known) or "none"}'
    )


def named_config(kind: str, name: str | os.PathLike, what: str = 'config') -> pathlib.Path:
    """Return the file that a user means by `name`: a YAML file, or one of config/<kind>/.

    Args:
        kind: folder in config/, 'train' or 'experiment'.
        name: path of a file, or e.g. 'tiny' for config/<kind>/tiny.yaml.
        what: how the message calls it.
    Raises:
        MissingFileError: if there is neither; the message lists the names there are.
    """
    if os.path.isfile(name):
        return pathlib.Path(name)
    folder = share_dir() / 'config' / kind
    known = sorted(f.stem for f in folder.glob('*.yaml'))
    if str(name) not in known:
        hint = unknown(what, str(name), known)
        raise MissingFileError(f'{hint} Give a YAML file, or one of {", ".join(known)}')
    return folder / f'{name}.yaml'


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


def file_sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(folder: pathlib.Path) -> str:
    """Return the digest that `vw2 eval` writes as checkpoint_sha256 (models/checkpoint.py)."""
    names = sorted(p.name for p in folder.glob('*.safetensors'))
    names += [n for n in ('config.json', 'tokenizer.json') if (folder / n).is_file()]
    lines = ''.join(f'{name} {file_sha256(folder / name)}\n' for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a file beside `path` to write to; it becomes `path` when the block ends without error.

    So a reader sees the old file or the whole new one, and a full disk leaves nothing behind.
    Folders are made as needed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a folder beside `path` to fill; it becomes `path` when the block ends without error.

    What lay at `path` is removed after that; it stays if anything fails.
    """
    path = pathlib.Path(path)
    beside = path.with_name(f'.{path.name}.{os.getpid()}.part')
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        if not path.exists():
            os.replace(beside, path)
            return
        old = path.with_name(f'.{path.name}.{os.getpid()}.old.part')
        os.replace(path, old)
        try:
            os.replace(beside, path)
        except OSError:
            os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes, whole or not at all."""
    with whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=2) + '\n')
