# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the key-step classifier (`key_steps.py`) on annotated windows.

    vw2 train keysteps --data DIR --out runs/keysteps

The last frame of a window shows that its task's goal is reached; frames well before it do not. Pairs
of one task are, with less weight, also examples of the other tasks' goals not being reached: else a
moving arm would do for any of them. Output, beside what `fit` writes: keysteps.safetensors,
config.json, provenance.json with the accuracy on held-out windows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vw2_ros.models.data.attempts import Attempts
from vw2_ros.models.data.augment import jitter_colour, shift_images
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.key_steps import KeyStepConfig, KeySteps, load_dinov2, to_float
from vw2_ros.models.parallel import leads
from vw2_ros.models.stages.warmup import override, prepare
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import fit, provenance

HELD_OUT = 512  # attempts that scores come from


@dataclasses.dataclass(frozen=True)
class PairConfig:
    """Which pairs of frames the classifier sees.

    margin: frames before the end of a window that are no example of "not yet". others: weight of
    the other tasks' goals against the own one. shift [px], jitter: largest change of both pictures
    of a pair. blur: share of pairs whose second picture is blurred, as imagined ones are.
    """

    margin: int = 12
    others: float = 0.1
    shift: int = 2
    jitter: float = 0.1
    blur: float = 0.5

    def __post_init__(self):
        if min(self.margin, self.shift) < 0:
            raise ConfigError(f'margin and shift must be >= 0. Got {self.margin}, {self.shift}')
        if not (0 <= self.others and 0 <= self.jitter < 1 and 0 <= self.blur <= 1):
            raise ConfigError(
                'others must be >= 0, jitter in [0, 1), blur in [0, 1]. '
                f'Got {self.others}, {self.jitter}, {self.blur}'
            )


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
    backbone: Path | None = None,
) -> dict:
    """Train the classifier on the training split of `data`.

    Args:
        config: YAML file or a name in config/train/, with a section `keysteps`.
        data: annotated data folders, each with training/ (and validation/, where there is one).
        out: run folder. resume: go on with the run that is in `out`.
        seed, max_minutes: instead of the config's.
        backbone: folder of a DINOv2; None: the small CNN.
    Returns:
        provenance ({} of all processes but the first); its `scores` hold `accuracy` of the held-out
        windows: the mean of `hit`, the share of last frames said to be reached, and `reject`, of
        earlier frames said not to be. `other`: share of the other tasks said to be reached at the
        last frames.
    Raises:
        CheckpointError, ConfigError, DataError, TrainingError: see there. SystemExit(130):
        interrupted, saved.
    """
    parts = stage_configs(
        config, 'keysteps', model=KeyStepConfig, train=TrainConfig, pairs=PairConfig
    )
    c, pairs = parts['model'], parts['pairs']
    train = override(parts['train'], seed, max_minutes)
    device = prepare(train)
    out = Path(out)
    eye = load_dinov2(backbone) if backbone else None
    store = FrameStore(data, 'training', c.image_size)
    attempts = Attempts.of(store)
    if len(attempts.tasks) < 2:
        raise TrainingError(f'there must be windows of two tasks at least. Got {attempts.tasks}')
    source = FrameSource(store, device, train.preload)
    of_task = [np.flatnonzero(attempts.task == i) for i in range(len(attempts.tasks))]
    torch.manual_seed(train.seed)
    model = KeySteps(c, attempts.tasks, eye).to(device)

    def make_batch(step: int) -> dict:
        rng = np.random.default_rng([train.seed, step])
        B = train.batch
        task = rng.integers(len(of_task), size=B)
        which = np.array([rng.choice(of_task[t]) for t in task])
        reached = rng.random(B) < 0.5
        earlier = attempts.before(pairs.margin, rng.random(len(attempts)))[which]
        now = np.where(reached, attempts.end[which], earlier)
        gain = rng.uniform(-pairs.jitter, pairs.jitter, (B, 2)) + [1.0, 0.0]
        return {
            **source.part(np.stack([attempts.start[which], now], axis=1)),
            'task': torch.from_numpy(task),
            'reached': torch.from_numpy(reached),
            'shift': torch.from_numpy(rng.integers(-pairs.shift, pairs.shift + 1, (B, 2))),
            'gain': torch.from_numpy(gain.astype(np.float32)),
            'blur': torch.from_numpy(rng.random(B) < pairs.blur),
        }

    def finish(batch: dict) -> dict:
        rgb = source.images(batch)  # (B, 2, S, S, 3)
        start, now = (
            jitter_colour(shift_images(rgb[:, i], batch['shift']), batch['gain']) for i in range(2)
        )
        return {**batch, 'start': to_float(start), 'now': blurred(to_float(now), batch['blur'])}

    def loss(batch: dict, progress: float) -> dict:
        logits = model(batch['start'], batch['now'])  # (B, tasks)
        own = F.one_hot(batch['task'], len(attempts.tasks)).bool()
        wanted = (own & batch['reached'][:, None]).to(logits)
        each = F.binary_cross_entropy_with_logits(logits.float(), wanted.float(), reduction='none')
        error, others = each[own].mean(), each[~own].mean()
        return {
            'loss': error + pairs.others * others,
            'own': error.detach(),
            'others': others.detach(),
        }

    held_out = None
    if with_validation(data):
        other_store = FrameStore(with_validation(data), 'validation', c.image_size)
        found = Attempts.of(other_store, attempts.tasks)
        held_out = partial(scores, model, other_store, found, pairs.margin) if len(found) else None
    identity = {
        'data': store.content_hash,
        'model': dataclasses.asdict(c),
        'seed': train.seed,
        'batch': train.batch,
        'pairs': dataclasses.asdict(pairs),
        'backbone': str(backbone or ''),
    }
    ended = fit(
        'keysteps',
        model,
        train,
        out,
        make_batch=make_batch,
        loss=loss,
        finish=finish,
        resume=resume,
        identity=identity,
        validate=held_out,
    )
    if not leads():
        return {}
    record = provenance(
        stage='keysteps',
        data=store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        scores=ended.last,
        attempts=len(attempts),
        backbone=str(backbone) if backbone else None,
        train=dataclasses.asdict(train),
        pairs=dataclasses.asdict(pairs),
    )
    model.cpu().save(out, record)
    return record


def blurred(rgb: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Float (B, 3, S, S), those of `which` (B,) reduced to half their size and back."""
    low = F.interpolate(rgb, scale_factor=0.5, mode='bilinear', antialias=True)
    low = F.interpolate(low, rgb.shape[-2:], mode='bilinear')
    return torch.where(which.view(-1, 1, 1, 1), low, rgb)


@torch.no_grad()
def scores(
    model: KeySteps, store: FrameStore, attempts: Attempts, margin: int, batch: int = 64
) -> dict[str, float]:
    """`hit`, `reject`, `accuracy` and `other` of held-out attempts (see `main`).

    Earlier frames are taken at the start, half-way and `margin` before the end.
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
