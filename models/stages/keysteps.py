# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the key-step classifier (`key_steps.py`) on annotated windows.

    vw2 train keysteps --data DIR --out runs/keysteps

The last frame of a window shows that its task's goal is reached; frames well before it do not. Pairs
of one task are, with less weight, also examples of the other tasks' goals not being reached: else a
moving arm would do for any of them. Output, beside what `Training` writes: keysteps.safetensors,
config.json, provenance.json with the accuracy on held-out windows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vw2_ros.models.data.attempts import Attempts
from vw2_ros.models.data.augment import jitter_colour, shift_images
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.phrases import phrases_of, unseen_tasks
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.key_steps import KeyStepConfig, KeySteps, load_dinov2, to_float
from vw2_ros.models.training.config import TrainConfig, read_settings
from vw2_ros.models.training.stage import Stage

HELD_OUT = 512  # attempts that scores come from


@dataclasses.dataclass(frozen=True)
class PairConfig:
    """Which pairs of frames the classifier sees."""

    margin: int = 12  # frames before the end of a window that are no example of "not yet"
    others: float = 0.1  # weight of the other tasks' goals against the own one
    shift: int = 2  # largest move of both pictures of a pair [px]
    jitter: float = 0.1  # largest change of their contrast and brightness
    blur: float = 0.5  # share of pairs whose second picture is blurred, as imagined ones are

    def __post_init__(self):
        if min(self.margin, self.shift) < 0:
            raise ConfigError(f'margin and shift must be >= 0. Got {self.margin}, {self.shift}')
        if not (0 <= self.others and 0 <= self.jitter < 1 and 0 <= self.blur <= 1):
            raise ConfigError(
                'others must be >= 0, jitter in [0, 1), blur in [0, 1]. '
                f'Got {self.others}, {self.jitter}, {self.blur}'
            )


@dataclasses.dataclass(frozen=True)
class KeyStepsSettings:
    """The config's section `keysteps`."""

    section: ClassVar[str] = 'keysteps'
    model: KeyStepConfig
    train: TrainConfig
    pairs: PairConfig


class KeyStepsStage(Stage):
    """The classifier learns whether a frame shows a task's goal reached.

    Provenance's `scores` hold those of `scores`, of the held-out windows.

    Args:
        config: YAML file or a name in config/train/.
        data: annotated data folders, each with training/ (and validation/, where there is one).
        backbone: folder of a DINOv2; None: the small CNN.
        seed, max_minutes: instead of the config's.
    """

    name = 'keysteps'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        backbone: Path | None = None,
        seed: int | None = None,
        max_minutes: float | None = None,
    ):
        self.settings = read_settings(KeyStepsSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.data, self.backbone = data, backbone

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        size = self.settings.model.image_size
        self.device = device
        self.eye = load_dinov2(self.backbone) if self.backbone else None
        self.store = FrameStore(self.data, 'training', size)
        self.attempts = Attempts.of(self.store)
        tasks = self.attempts.tasks
        if len(tasks) < 2:
            raise TrainingError(f'there must be windows of two tasks at least. Got {tasks}')
        self.of_task = [np.flatnonzero(self.attempts.task == i) for i in range(len(tasks))]
        self.source = FrameSource(self.store, device, self.train.preload)
        self.held_out = None
        if roots := with_validation(self.data):
            store = FrameStore(roots, 'validation', size)
            self.held_out = (store, Attempts.of(store, tasks))
            if not len(self.held_out[1]):
                self.unjudged = unseen_tasks(roots, sorted(phrases_of(store)))

    def build(self) -> nn.Module:
        tasks = self.attempts.tasks
        self.model = KeySteps(self.settings.model, tasks, self.eye).to(self.device)
        return self.model

    def identity(self) -> dict:
        return {
            'data': self.store.content_hash,
            'model': dataclasses.asdict(self.settings.model),
            'pairs': dataclasses.asdict(self.settings.pairs),
            'backbone': str(self.backbone or ''),
        }

    def batch(self, step: int) -> dict:
        pairs, attempts, B = self.settings.pairs, self.attempts, self.train.batch
        rng = np.random.default_rng([self.train.seed, step])
        task = rng.integers(len(self.of_task), size=B)
        which = np.array([rng.choice(self.of_task[t]) for t in task])
        reached = rng.random(B) < 0.5
        earlier = attempts.before(pairs.margin, rng.random(len(attempts)))[which]
        now = np.where(reached, attempts.end[which], earlier)
        gain = rng.uniform(-pairs.jitter, pairs.jitter, (B, 2)) + [1.0, 0.0]
        return {
            **self.source.part(np.stack([attempts.start[which], now], axis=1)),
            'task': torch.from_numpy(task),
            'reached': torch.from_numpy(reached),
            'shift': torch.from_numpy(rng.integers(-pairs.shift, pairs.shift + 1, (B, 2))),
            'gain': torch.from_numpy(gain.astype(np.float32)),
            'blur': torch.from_numpy(rng.random(B) < pairs.blur),
        }

    def finish(self, batch: dict) -> dict:
        rgb = self.source.images(batch)  # (B, 2, S, S, 3)
        start, now = (
            jitter_colour(shift_images(rgb[:, i], batch['shift']), batch['gain']) for i in range(2)
        )
        return {**batch, 'start': to_float(start), 'now': blurred(to_float(now), batch['blur'])}

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        logits = self.model(batch['start'], batch['now'])  # (B, tasks)
        own = F.one_hot(batch['task'], len(self.attempts.tasks)).bool()
        wanted = (own & batch['reached'][:, None]).to(logits)
        each = F.binary_cross_entropy_with_logits(logits.float(), wanted.float(), reduction='none')
        error, others = each[own].mean(), each[~own].mean()
        return {
            'loss': error + self.settings.pairs.others * others,
            'own': error.detach(),
            'others': others.detach(),
        }

    def validate(self) -> dict:
        if self.held_out is None or not len(self.held_out[1]):
            return {}
        return scores(self.model, *self.held_out, self.settings.pairs.margin)

    def facts(self) -> dict:
        return {
            'attempts': len(self.attempts),
            'backbone': str(self.backbone) if self.backbone else None,
            'pairs': dataclasses.asdict(self.settings.pairs),
        }

    def save(self, out: Path, record: dict) -> None:
        self.model.cpu().save(out, record)


def blurred(rgb: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Blur those of `which` (B,) in float (B, 3, S, S): halve their size and double it again."""
    low = F.interpolate(rgb, scale_factor=0.5, mode='bilinear', antialias=True)
    low = F.interpolate(low, rgb.shape[-2:], mode='bilinear')
    return torch.where(which.view(-1, 1, 1, 1), low, rgb)


@torch.no_grad()
def scores(
    model: KeySteps, store: FrameStore, attempts: Attempts, margin: int, batch: int = 64
) -> dict[str, float]:
    """How well the classifier judges held-out attempts.

    Earlier frames are taken at the start, half-way and `margin` before the end.

    Returns:
        hit, the share of last frames said to be reached; reject, of earlier frames said not to be;
        accuracy, the mean of both; other, the share of the other tasks said to be reached at the
        last frames.
    """
    device = next(model.parameters()).device
    chosen = np.linspace(0, len(attempts) - 1, min(HELD_OUT, len(attempts))).astype(int)
    hits, rejects, others = [], [], []
    nows = [attempts.end, *(attempts.before(margin, share) for share in (0.0, 0.5, 1.0))]
    for part in np.array_split(chosen, -(-len(chosen) // batch)):
        task = torch.from_numpy(attempts.task[part]).to(device)
        start = to_float(torch.from_numpy(store.rgb(attempts.start[part])).to(device))
        for i, rows in enumerate(nows):
            now = to_float(torch.from_numpy(store.rgb(rows[part])).to(device))
            said = model(start, now) > 0  # (B, tasks)
            own = said.gather(1, task[:, None])[:, 0]
            if i:
                rejects.append(~own)
            else:
                hits.append(own)
                others.append((said.sum(1) - own.long()) / max(1, len(model.tasks) - 1))
    hit, reject, other = (float(torch.cat(x).float().mean()) for x in (hits, rejects, others))
    return {'hit': hit, 'reject': reject, 'accuracy': (hit + reject) / 2, 'other': other}
