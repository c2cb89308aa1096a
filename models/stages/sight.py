# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of sight alone: keypoints that lie where hand, blocks and handles are.

    vw2 train sight --config cpu --data DIR --out runs/sight

VideoWorld 2's transformer is a pretrained vision-language model, whose vision tower comes with it.
Ours starts from nothing, so its sight may be trained beforehand, by a simulator: of the keypoint
encoder (`vision.py`) the first keypoints shall lie where the landmarks are in the picture (the
centre of a spatial softmax as a trained landmark: Nibali et al. 2018), and a linear layer on the
image tokens shall tell the scene's state. That layer is thrown away; the policy sees pictures only.

`vw2 train planner --sight runs/sight` starts from it. The keypoints then stay as they are, and are
found once for each frame and kept: the convolutions are half the cost of a step, so planner and
head see several times as many samples in the same time.

Output, beside what `fit` writes: vision.safetensors, config.json, provenance.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.models.checkpoint import config_to_dict, save_json, save_tensors
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig, moved
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.parallel import leads
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.stages.warmup import override, prepare
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import fit, provenance
from vw2_ros.models.vision import KeypointEncoder, VisionConfig


@dataclasses.dataclass(frozen=True)
class SightLoss:
    """Weights of the two errors: of the landmarks' places, and of the scene's state."""

    points: float = 5.0
    state: float = 0.5

    def __post_init__(self):
        if min(self.points, self.state) < 0 or self.points + self.state == 0:
            raise ConfigError(
                f'points and state must be >= 0, and not both 0. Got {self.points}, {self.state}'
            )


class Probe(nn.Module):
    """A keypoint encoder and what watches it.

    Raises:
        ConfigError: the encoder has too few keypoints.
    """

    def __init__(self, vision: KeypointEncoder, landmarks: int, state_size: int, width: int):
        super().__init__()
        c = vision.config
        if c.keypoints < landmarks:
            raise ConfigError(
                f'vision.keypoints must be at least {landmarks}, one for each '
                f'landmark of the data. Got {c.keypoints}'
            )
        self.vision, self.landmarks = vision, landmarks
        self.read = nn.Linear(c.tokens * width, state_size)

    def errors(self, rgb: Tensor, points: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What is wrong with pictures uint8 (B, 3, S, S).

        Args:
            points: (B, L, 2) in [-1, 1], see `sim/landmarks.py`. state: (B, n) of deviation 1.
        Returns:
            mean distance along an axis between keypoint and landmark, in halves of the picture's
            side; mean squared error of the readout, in standard deviations.
        """
        seen = self.vision.locate(rgb)
        tokens = self.vision(seen)  # (B, tokens, width)
        return (
            F.l1_loss(seen.place[:, : self.landmarks], points),
            F.mse_loss(self.read(tokens.flatten(1)), state),
        )


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Train the keypoint encoder on the landmarks of the training split of `data`.

    Args:
        config: YAML file or a name in config/train/; sizes are those of its section `planner`.
        data: data folders of `vw2 collect`, of any scenes. out: run folder.
        resume: go on with the run that is in `out`. seed, max_minutes: instead of the config's.
    Returns:
        provenance, with the errors; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError: see there. SystemExit(130): interrupted, saved.
    """
    parts = stage_configs(
        config, 'sight', train=TrainConfig, loss=SightLoss, augment=AugmentConfig
    )
    sizes = stage_configs(
        config,
        'planner',
        model=dict,
        vision=VisionConfig,
        train=dict,
        augment=dict,
        tokenizer=dict,
    )
    width = from_dict(PlannerConfig, sizes['model'], 'planner.model').width
    train, weights, augment = (
        override(parts['train'], seed, max_minutes),
        parts['loss'],
        parts['augment'],
    )
    device = prepare(train)
    out = Path(out)
    store = FrameStore(data, 'training', sizes['vision'].image_size)
    _check_taught(store)
    mean, std = store.scene_state.mean(0), np.maximum(store.scene_state.std(0), 1e-3)
    torch.manual_seed(train.seed)
    vision = KeypointEncoder(sizes['vision'], width)
    model = Probe(vision, store.landmarks.shape[1], len(mean), width).to(device)
    source = FrameSource(store, device, train.preload)

    def taught(frames: FrameStore, rows: np.ndarray) -> dict:
        return {
            'points': torch.from_numpy(frames.landmarks[rows]),
            'state': torch.from_numpy((frames.scene_state[rows] - mean) / std),
        }

    def make_batch(step: int) -> dict:
        rng = np.random.default_rng([train.seed, step])
        rows = rng.integers(len(store), size=train.batch)
        batch = {**source.part(rows), **augment.draw(rng, train.batch), **taught(store, rows)}
        return {**batch, 'points': batch['points'] + moved(batch, store.size[0])}

    def finish(batch: dict) -> dict:
        return {**batch, 'rgb': augment.apply(source.images(batch), batch)}

    def loss(batch: dict, progress: float) -> dict:
        points, state = model.errors(
            batch['rgb'].permute(0, 3, 1, 2), batch['points'], batch['state']
        )
        return {
            'loss': weights.points * points + weights.state * state,
            'points': points.detach(),
            'state': state.detach(),
        }

    identity = {
        'data': store.content_hash,
        'vision': dataclasses.asdict(vision.config),
        'loss': dataclasses.asdict(weights),
        'seed': train.seed,
        'batch': train.batch,
    }
    ended = fit(
        'sight',
        model,
        train,
        out,
        make_batch=make_batch,
        loss=loss,
        finish=finish,
        resume=resume,
        identity=identity,
        validate=_validation(model, data, taught),
    )
    if not leads():
        return {}
    record = provenance(
        stage='sight',
        data=store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        frames=len(store),
        train=dataclasses.asdict(train),
        loss=dataclasses.asdict(weights),
        augment=dataclasses.asdict(augment),
    )
    save_tensors(out / 'vision.safetensors', vision.state_dict())
    save_json(out / 'config.json', {'vision': config_to_dict(vision.config), 'width': width})
    save_json(out / 'provenance.json', record)
    return record


def _check_taught(store: FrameStore) -> None:
    for folder, decoded in zip(store.folders, store.decoded):
        if len(folder) and np.isnan(decoded.state['landmarks']).any():
            raise ConfigError(
                f'{folder.path} does not say where things are (landmarks): only data '
                'of `vw2 collect` can teach sight. Collect it again if it is older, '
                'or train the planner without --sight'
            )


def _validation(
    model: Probe, data: Sequence[Path], taught: Callable, count: int = 1024
) -> Callable[[], dict] | None:
    """Errors on the held-out split, if there is one."""
    roots = with_validation(data)
    if not roots:
        return None
    store = FrameStore(roots, 'validation', model.vision.config.image_size)
    rows = np.unique(np.random.default_rng(0).integers(len(store), size=count))

    def validate() -> dict:
        device = next(model.parameters()).device
        total = {'points': 0.0, 'state': 0.0}
        for part in np.array_split(rows, -(-len(rows) // 64)):
            here = taught(store, part)
            rgb = torch.from_numpy(store.rgb(part)).permute(0, 3, 1, 2)
            errors = model.errors(*(x.to(device) for x in (rgb, here['points'], here['state'])))
            for key, error in zip(total, errors):
                total[key] += float(error) * len(part) / len(rows)
        return {**total, 'points_px': total['points'] * store.size[0] / 2}

    return validate


# ------------------------------------------------------------------------------ what is shown
