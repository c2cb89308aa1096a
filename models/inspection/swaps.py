# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the decoder changes when the codes of one query come from another clip."""

from __future__ import annotations

import numpy as np
import torch

from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.inspection.clips import Clips, lively, video_of


@torch.inference_mode()
def swap(model: DLDM, video: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """What the decoder makes of a clip when codes of another take the place of its own.

    Args:
        video, other: float (B, F, 3, H, W) in [0, 1].
    Returns:
        float (B, N + 2, F, 3, H, W) in [0, 1]: with its own codes, with those of query 0, 1, ..
        N - 1 from the other clip, and with all from the other.
    """
    f = model.encode(video)
    own = model.quantize(model.query(f))[0]
    foreign = model.quantize(model.query(model.encode(other)))[0]
    N = own.shape[2]
    out = []
    for queries in ([], *([n] for n in range(N)), list(range(N))):
        codes = own.clone()
        codes[:, :, queries] = foreign[:, :, queries]
        out.append(model.decode(codes, f[:, 0], video[:, 0]).clamp(0, 1))
    return torch.stack(out, dim=1)


def swap_maps(
    model: DLDM, store: FrameStore, clips: Clips, seed: int = 0, pairs: int = 32
) -> tuple[np.ndarray, tuple[int, int]]:
    """How much, and where, the decoded picture changes with each query's codes.

    Returns:
        float (N + 1, H, W) in grey levels 0..255: mean change over `pairs` pairs of lively clips
        of different scenes, over the frames after the first and the colours, for queries 0 .. N - 1
        and for all together; and the pair in which all together change most.
    """
    rng = np.random.default_rng([seed, 6])
    able = lively(clips)
    first = rng.permutation(able)[:pairs]
    second = np.array([rng.choice(_elsewhere(able, clips, i)) for i in first])
    total, most, best = 0.0, -1.0, (0, 0)
    for i, j in zip(
        np.array_split(first, -(-len(first) // 8)), np.array_split(second, -(-len(first) // 8))
    ):
        made = swap(model, video_of(store, clips, i), video_of(store, clips, j))
        # (B, N + 1, F - 1, 3, H, W) -> (B, N + 1, H, W)
        change = (made[:, 1:] - made[:, :1]).abs()[:, :, 1:].mean(dim=(2, 3))
        total = total + change.sum(0)
        each = change[:, -1].mean(dim=(1, 2))
        if float(each.max()) > most:
            most, n = float(each.max()), int(each.argmax())
            best = int(i[n]), int(j[n])
    return (255.0 * total / len(first)).numpy(), best


def _elsewhere(able: np.ndarray, clips: Clips, i: int) -> np.ndarray:
    """Clips of other scenes than clip i's: those in `able`, or all where none of these is."""
    other = able[clips.scene[able] != clips.scene[i]]
    return other if len(other) else np.flatnonzero(clips.scene != clips.scene[i])
