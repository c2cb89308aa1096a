# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which bags a folder holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vw2_ros.bags.bag import FILES, PACKED, BagError, is_storage
from vw2_ros.files import LeftOut, walk


def bags_among(folder: Path, names: Iterable[str]) -> dict[Path, list[Path]]:
    """Bag -> its storage files, of the files in one folder: the folder itself, or lone files."""
    files = sorted(folder / name for name in names if is_storage(name))
    # what a killed recorder leaves has no metadata.yaml, but is one recording all the same
    whole = (folder / 'metadata.yaml').is_file() or any(
        f.name.startswith(folder.resolve().name) for f in files
    )
    return ({folder: files} if whole else {f: [f] for f in files}) if files else {}


def find_bags(roots: Sequence[Path | str], left_out: LeftOut | None = None) -> list[Path]:
    """Every bag in these folders, sub-folders included, each once: folders or lone files.

    Args:
        left_out: takes path -> reason, of what is not read.
    Raises:
        BagError: a path does not exist or holds no bag.
    """
    left_out = {} if left_out is None else left_out
    found: dict[Path, None] = {}
    for root in map(Path, roots):
        if root.is_file() and is_storage(root.name):
            found[root] = None
            continue
        if not root.is_dir():
            raise BagError(
                f'{root} must be a folder or a file of a bag ({", ".join(FILES)}, perhaps with '
                f'{" or ".join(PACKED)}). Got neither'
            )
        here: dict[Path, list[Path]] = {}
        for folder, _, names in walk(root, left_out):
            here |= bags_among(folder, names)
            for name in names:
                if name.endswith('.bag'):
                    left_out[folder / name] = 'a bag of ROS 1; rosbags-convert makes one of ROS 2'
        if not here:
            why = '; '.join(f'{path}: {reason}' for path, reason in left_out.items())
            raise BagError(
                f'{root} holds no bag: wanted a folder that `vw2 record` or '
                f'`ros2 bag record` wrote, with .mcap or .db3 files inside. {why}'.rstrip('. ')
            )
        found |= dict.fromkeys(sorted(here))
    return list(found)
