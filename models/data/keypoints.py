# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the planner is shown of a store: pictures, or keypoints that were found in them once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vw2_ros.files import whole
from vw2_ros.models.data.augment import AugmentConfig, moved
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.cache import DecodedFolder
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.parallel import first_of_machine
from vw2_ros.models.vision import KeypointEncoder, KeypointFinder, Keypoints
from vw2_ros.progress import progress_bar

KEPT = 3  # sets of found keypoints beside each data folder


class Shown:
    """Batches of what the planner sees of a store's frames, changed at random.

    Args:
        vision: of the planner; where its keypoints are frozen, they are found only once.
        source: of the pictures. augment: what is changed (of keypoints only their places).
    """

    def __init__(self, vision: KeypointEncoder, source: FrameSource, augment: AugmentConfig):
        self.source, self.augment, self.side = source, augment, source.store.size[0]
        self.keypoints = find_all(vision.locate, source.store) if vision.config.frozen else None

    def part(self, rng: np.random.Generator, rows: np.ndarray) -> dict:
        """The entries of a batch for these rows, on the CPU."""
        changes = self.augment.draw(rng, len(rows))
        if self.keypoints is None:
            return {**self.source.part(rows), **changes}
        place, local = self.keypoints(rows)
        return {'place': place + moved(changes, self.side), 'local': local}

    def finish(self, batch: dict) -> dict:
        """The batch with its pictures, if it has no keypoints."""
        if 'place' in batch:
            return batch
        return {**batch, 'rgb': self.augment.apply(self.source.images(batch), batch)}

    @staticmethod
    def of(batch: dict) -> Tensor | Keypoints:
        """What `Planner` is called with: uint8 (B, 3, S, S), or keypoints."""
        if 'place' in batch:
            return Keypoints(batch['place'], batch['local'])
        return batch['rgb'].permute(0, 3, 1, 2)


def find_all(locate: KeypointFinder, store: FrameStore) -> Callable[[np.ndarray], Keypoints]:
    """The keypoints of every frame of a store, found once and kept beside the data.

    Returns:
        rows (B,) -> keypoints of these rows, on the CPU.
    """
    weights = hashlib.sha256(
        b''.join(v.detach().cpu().numpy().tobytes() for v in locate.state_dict().values())
    ).hexdigest()[:16]
    parts = [_found_in(locate, decoded, weights) for decoded in store.decoded]

    def keypoints(rows: np.ndarray) -> Keypoints:
        c = locate.config
        both = np.empty((len(rows), c.keypoints, 2 + c.channels), np.float32)
        which = store.folder_of(rows)
        for i in np.unique(which):
            here = which == i
            both[here] = parts[i][rows[here] - store.first_row(i)]
        place, local = torch.from_numpy(both).split([2, c.channels], dim=-1)
        return Keypoints(place, local)

    return keypoints


@torch.inference_mode()
def _found_in(
    locate: KeypointFinder, decoded: DecodedFolder, weights: str, batch: int = 64
) -> np.ndarray:
    """float32 (n, keypoints, 2 + channels), memory-mapped: places, then features found there."""
    path = decoded.cache / f'keypoints_{weights}_{decoded.name}.npy'
    with first_of_machine():
        if not path.is_file():
            n, c = len(decoded.rgb), locate.config
            device = next(locate.parameters()).device
            with whole(path) as beside:
                found = np.lib.format.open_memmap(
                    beside, 'w+', np.float32, (n, c.keypoints, 2 + c.channels)
                )
                with progress_bar() as bar:
                    task = bar.add_task(f'keypoints of {decoded.folder.path}', total=n)
                    for first in range(0, n, batch):
                        rgb = torch.from_numpy(np.array(decoded.rgb[first : first + batch]))
                        seen = locate(rgb.to(device).permute(0, 3, 1, 2))
                        found[first : first + batch] = torch.cat(tuple(seen), dim=-1).cpu().numpy()
                        bar.advance(task, len(rgb))
                found.flush()
            kept = sorted(decoded.cache.glob('keypoints_*.npy'), key=lambda p: p.stat().st_mtime)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)
    return np.load(path, mmap_mode='r', allow_pickle=False)
