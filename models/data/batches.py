# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Batches of pictures and clips: which frames a step of training sees, and how they come to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.data.augment import jitter_colour
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.clips import clip_store
from vw2_ros.models.data.labels import EVERY, LabelConfig, LabelledClips
from vw2_ros.models.data.pictures import Size, of_shape, sides
from vw2_ros.models.data.store import ClipStore
from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.errors import ConfigError, TrainingError


def to_device(batch: dict, device: torch.device) -> dict:
    """Move the tensors of a batch; from pinned memory and without waiting on a GPU."""
    if device.type == 'cpu':
        return batch
    return {
        k: v.pin_memory().to(device, non_blocking=True) if torch.is_tensor(v) else v
        for k, v in batch.items()
    }


def sample_noise(batch: dict, device: torch.device) -> list[torch.Generator]:
    """A generator of noise for each sample of a batch, from its seeds `noise`, int64 (B,).

    `make_batch` draws the seeds for the whole batch, so a sample has its noise wherever it goes.
    """
    return [torch.Generator(device).manual_seed(int(seed)) for seed in batch['noise']]


class FrameSource:
    """Images of a store for batches, from the memory map or preloaded into the device's memory.

    Args:
        store: has `rgb(rows)`, see data.FrameStore.
        device: where batches go.
        preload: copy all images to the device now.
    """

    def __init__(self, store, device: torch.device, preload: bool = False):
        self.store, self.device = store, device
        self._all = None
        if preload:
            self._all = torch.empty((len(store), *store.size, 3), dtype=torch.uint8, device=device)
            for rows in np.array_split(np.arange(len(store)), -(-len(store) // 4096)):
                self._all[rows[0] : rows[-1] + 1] = torch.from_numpy(store.rgb(rows)).to(device)

    def part(self, rows: np.ndarray) -> dict:
        """What a batch must carry so that `images` finds the pictures of `rows`."""
        if self._all is None:
            return {'rows': rows}  # read by `images`: of a batch that is shared, only the own ones
        return {'rows': torch.from_numpy(rows)}

    def images(self, batch: dict) -> torch.Tensor:
        """uint8 (*rows.shape, h, w, 3) on the device."""
        if self._all is not None:
            return self._all[batch['rows']]
        return to_device({'rgb': torch.from_numpy(self.store.rgb(batch['rows']))}, self.device)[
            'rgb'
        ]


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Which clips a model of video sees."""

    jitter: float = 0.0  # largest random change of contrast and brightness of a clip
    stored_size: int = 96  # shorter side of the decoded frames that clips are made from [px]
    fps: float = CALVIN_FPS  # video of any rate is brought to this one; CALVIN's data have 30
    cameras: tuple = ()  # LeRobot keys, ROS topics: the first that a source has; (): its first
    # The frames of a clip, counted from its first; (): consecutive ones. With [0, 16, 16, 16, 16]
    # the one latent step of a clip is the change over 16 frames (LAPA's latents).
    offsets: tuple[int, ...] = ()
    # How much the looks change within each clip: light, white balance, shake, shadows, things that
    # move behind, compression. 0: as filmed; 1: see data/wild.py
    wild: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, 'offsets', tuple(self.offsets))
        if self.offsets and (self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any()):
            raise ConfigError(f'offsets must begin with 0 and never fall. Got {self.offsets}')
        if not 0 <= self.jitter < 1:
            raise ConfigError(f'jitter must be in [0, 1). Got {self.jitter}')
        if self.stored_size < 16:
            raise ConfigError(f'stored_size must be >= 16. Got {self.stored_size}')
        if not 0 < self.fps <= 240:
            raise ConfigError(f'fps must be in (0, 240]. Got {self.fps}')
        if not 0 <= self.wild <= 2:
            raise ConfigError(f'wild must lie in [0, 2]. Got {self.wild}')
        if not isinstance(self.cameras, tuple):
            raise ConfigError(f'cameras must be a list of names. Got {self.cameras!r}')

    def store(self, data: Sequence[Path], split: str, size: Size) -> ClipStore | None:
        """The frames of data folders of any kind (`clip_store`), resized once they are decoded.

        Args:
            size: of the frames: side of a square, or (height, width) [px]. What is decoded has its
                shape, and `stored_size`.
        Raises:
            DataError: see there; or `size` is larger than what is decoded.
        """
        store = clip_store(data, split, of_shape(size, self.stored_size), self.fps, self.cameras)
        store = store and store.resized(size)
        return store.wild(self.wild, self.fps) if store and self.wild else store

    def within(self, frames: int) -> np.ndarray:
        """int64 (frames,): the frames of a clip, counted from its first.

        Raises:
            ConfigError: there are offsets, and of another number.
        """
        if self.offsets and len(self.offsets) != frames:
            raise ConfigError(
                f'offsets must name the {frames} frames of a clip (model.clip_frames)'
                f'. Got {self.offsets}'
            )
        return np.array(self.offsets) if self.offsets else np.arange(frames)

    def rate(self, frames: int) -> float:
        """Frames per second of a clip, the mean where offsets are uneven.

        Raises:
            ConfigError: see `within`; or all offsets are 0.
        """
        span = int(self.within(frames)[-1])
        if span == 0:
            raise ConfigError(f'the last of offsets must be above 0. Got {self.offsets}')
        return self.fps * (frames - 1) / span

    def frames_per_step(self, model: DLDMConfig) -> int:
        """Frames from one latent step to the next. A step therefore stands for as many actions.

        Raises:
            ConfigError: the clip is no whole number of them.
        """
        span = int(self.within(model.clip_frames)[-1])
        if span == 0 or span % model.steps:
            raise ConfigError(
                f'the last of offsets must be a multiple of {model.steps}, the latent '
                f'steps of a clip. Got {span}'
            )
        return span // model.steps


def to_video(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 (B, F, H, W, 3) -> float (B, F, 3, H, W) in [0, 1], memory order kept."""
    return rgb.permute(0, 1, 4, 2, 3).float() / 255.0


class ClipSource:
    """Batches of clips that begin at any frame of the training split.

    Args:
        data: data folders of any kind, see `ClipConfig.store`. config: which clips. frames: length
            of a clip. size: of the frames, see `ClipConfig.store`. device, preload: see
            `FrameSource`. labels: how many clips come with actions. seed: which of them.
    Raises:
        DataError: see `clip_store`. TrainingError: no clip in the data, or no actions for labels.
    """

    def __init__(
        self,
        data: Sequence[Path],
        config: ClipConfig,
        frames: int,
        size: Size,
        device: torch.device,
        preload: bool = False,
        labels: LabelConfig = LabelConfig(),
        seed: int = 0,
    ):
        self.jitter = config.jitter
        self.store = config.store(data, 'training', size)
        self.within = config.within(frames)
        self.starts = self.store.clip_starts(self.within[-1] + 1)
        if not len(self.starts):
            raise TrainingError(
                f'the data must hold {self.within[-1] + 1} frames in a row, as many as a clip '
                'spans. Got none so long. Give longer recordings, or shorter clips'
            )
        self.frames = FrameSource(self.store, device, preload)
        self.labels = (
            LabelledClips(self.store, self.within, labels.share, seed) if labels.share else None
        )

    def make_batch(self, step: int, batch: int, seed: int) -> dict:
        """The `batch` clips that a step sees, and the seeds of their noise, from (seed, step)."""
        rng = np.random.default_rng([seed, step])
        rows = self.starts[rng.integers(len(self.starts), size=batch)]
        told = {}
        if self.labels:
            known = self.labels.starts
            rows[::EVERY] = known[rng.integers(len(known), size=len(rows[::EVERY]))]
            labelled = (np.arange(batch) % EVERY == 0).astype(np.float32)
            told = {
                'actions': torch.from_numpy(self.labels.actions(rows)),
                'labelled': torch.from_numpy(labelled),
            }
        clips = {**self.frames.part(rows[:, None] + self.within), 'step': step, **told}
        if self.jitter:
            gain = rng.uniform(-self.jitter, self.jitter, (batch, 2)) + [1.0, 0.0]
            clips['gain'] = torch.from_numpy(gain.astype(np.float32))
        return {**clips, 'noise': rng.integers(2**63, size=batch)}

    def finish(self, batch: dict) -> dict:
        """On the device: video float (B, F, 3, H, W) in [0, 1], a generator of noise for each clip.

        Where there are labels, also actions (B, K-1, 7), and `labelled` (B,), 1 where they are told.
        """
        rgb = self.frames.images(batch)
        rgb = jitter_colour(rgb, batch['gain']) if 'gain' in batch else rgb
        return {
            'video': to_video(rgb),
            'step': batch['step'],
            'noise': sample_noise(batch, rgb.device),
            **{k: batch[k] for k in ('actions', 'labelled') if k in batch},
        }

    def spread(self, count: int) -> np.ndarray:
        """uint8 (<= count, F, H, W, 3): clips spread over the data."""
        return _spread(self.store, self.starts, self.within, count)


def _spread(store: ClipStore, starts: np.ndarray, within: np.ndarray, count: int) -> np.ndarray:
    chosen = starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(int)]
    return np.ascontiguousarray(store.rgb(chosen[:, None] + within))


def held_out_clips(
    data: Sequence[Path], config: ClipConfig, frames: int, size: Size, count: int = 64
) -> np.ndarray:
    """uint8 (<= count, F, H, W, 3): clips spread over the validation split, if there is one."""
    store = config.store(data, 'validation', size)
    if store:
        within = config.within(frames)
        starts = store.clip_starts(within[-1] + 1)
        if len(starts):
            return _spread(store, starts, within, count)
    return np.zeros((0, frames, *sides(size), 3), np.uint8)
