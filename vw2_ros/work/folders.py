# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Folders that travel between machines as plain bytes, and what must be the same on all of them."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vw2_ros import files
from vw2_ros.errors import InvalidValueError

Files = dict[str, bytes]  # name below the folder -> content

PACKAGE = Path(files.__file__).parent
DECIDE = ('numpy', 'pybullet', 'torch')  # packages on which a result depends to the last bit


def pack(folder: str | Path, *names: str) -> Files:
    """All files of a folder, those of its sub-folders too.

    Args:
        names: only these files and sub-folders, where they are there.
    """
    folder = Path(folder)
    paths = [folder / name for name in names] or [folder]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for below in paths
        for path in sorted([below, *below.rglob('*')])
        if path.is_file()
    }


def unpack(packed: Files, folder: str | Path, last: str = '') -> None:
    """Write files into a folder, each whole or not at all.

    Args:
        last: those that match this pattern are written after all others.
    Raises:
        InvalidValueError: a name leads out of the folder; nothing is written.
    """
    folder = Path(folder)
    for name in packed:
        path = PurePosixPath(name)
        if path.is_absolute() or '..' in path.parts:
            raise InvalidValueError(f'a file must lie in its folder. Got {name!r}')
    for name in sorted(packed, key=lambda name: bool(last) and PurePosixPath(name).match(last)):
        files.write_whole(folder / name, packed[name])


@functools.cache
def identity(package: Path = PACKAGE) -> Mapping[str, str]:
    """What must be the same wherever a job is done: Python, this package's files, and `DECIDE`."""
    found = {'Python': '.'.join(platform.python_version_tuple()[:2]), 'vw2_ros': code(package)}
    for name in DECIDE:
        try:
            # 2.13.0+cpu and 2.13.0+cu126 do the same on a CPU
            found[name] = importlib.metadata.version(name).partition('+')[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = 'none'
    return found


def code(package: Path = PACKAGE) -> str:
    """Digest of this package's source and config files, wherever and however it is installed."""
    digest = hashlib.sha256()
    roots = {'vw2_ros': package, 'config': files.share_dir() / 'config'}
    for room in ('models', 'sim'):  # beside the package in a checkout, in it once installed
        roots[room] = package / room if (package / room).is_dir() else package.parent / room
    for name, root in sorted(roots.items()):
        for path in sorted([*root.rglob('*.py'), *root.rglob('*.json'), *root.rglob('*.yaml')]):
            inner = path.relative_to(root)
            if name == 'vw2_ros' and inner.parts[0] in ('models', 'sim'):
                continue
            if inner.parts[0] == 'weights':  # they travel
                continue
            content = path.read_bytes()
            digest.update(f'{name}/{inner.as_posix()} {len(content)}\n'.encode() + content)
    return digest.hexdigest()[:12]
