# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A few clips with actions, for a dLDM that learns from video: not in the paper.

A share of the video is labelled: whole stretches of some seconds, so that its clips do not overlap
with the rest. What a labelled clip tells of each latent step is what the decoder must know there: the
actions summed since the clip's first frame, and the gripper's last command.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vw2_ros.models.data.store import ClipStore
from vw2_ros.models.errors import ConfigError, TrainingError

STRETCH = 4  # lengths of a clip that are labelled in a row
EVERY = 4  # each so many clips of a batch, one is labelled


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """How much of the video comes with actions while the codes are learned."""

    share: float = 0.0  # of the frames; 0: none, as in the paper
    weight: float = 0.02  # of the loss of reading the actions from the codes

    def __post_init__(self):
        if not 0 <= self.share <= 1 or not self.weight > 0:
            raise ConfigError(
                f'share must lie in [0, 1] and weight be > 0. Got {self.share}, {self.weight}'
            )


class LabelledClips:
    """The clips that come with actions, and what they tell.

    Args:
        store: of frames with actions. within: int64 (F,), see `ClipConfig.within`.
        share: of the frames that are labelled. seed: which.
    Attributes:
        starts: int64 (m,), rows where labelled clips begin.
    Raises:
        TrainingError: the data have no actions, or the share holds no whole clip.
    """

    def __init__(self, store: ClipStore, within: np.ndarray, share: float, seed: int):
        actions = getattr(store, 'rel_actions', None)
        if actions is None:
            raise TrainingError(
                "labels.share needs data with actions, in CALVIN's format. Got video without. Leave "
                'it 0, or name such data alone'
            )
        span = int(within[-1]) + 1
        starts = store.clip_starts(span)
        first = store.range_start(starts)
        stretch = first + (starts - first) // (STRETCH * span) * (STRETCH * span)
        whole = starts + span <= stretch + STRETCH * span
        known = np.unique(stretch[whole])
        count = max(1, round(share * len(known)))
        chosen = np.random.default_rng([seed, 7]).permutation(known)[:count]
        self.starts = starts[whole & np.isin(stretch, chosen)]
        if not len(self.starts):
            raise TrainingError(
                f'labels.share must hold a clip of {span} frames. Got none of {len(starts)}. Give '
                'more data, or a larger share'
            )
        self._ends = within[4::4]  # of each latent step
        self._actions = actions
        self._sums = np.concatenate([np.zeros((1, 6)), actions[:, :6].cumsum(0, np.float64)])
        told = self._told(self.starts)  # (m, K-1, 7)
        self._mean = told.mean(0)
        self._scale = np.maximum(told.std(0), 1e-3)

    def _told(self, rows: np.ndarray) -> np.ndarray:
        ends = rows[:, None] + self._ends  # (n, K-1)
        moved = self._sums[ends] - self._sums[rows][:, None]
        gripper = self._actions[np.maximum(ends - 1, rows[:, None]), 6:]
        return np.concatenate([moved, gripper], axis=2)

    def actions(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, K-1, 7) of clips that begin at rows: mean 0 and deviation 1 over all labelled."""
        return ((self._told(rows) - self._mean) / self._scale).astype(np.float32)
