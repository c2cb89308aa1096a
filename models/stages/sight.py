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
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.models.checkpoint import (
    CheckpointError,
    config_from_dict,
    config_to_dict,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.data.cache import DecodedFolder
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.parallel import first_of_machine, leads
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.stages.warmup import override, prepare
from vw2_ros.models.training.augment import AugmentConfig, moved
from vw2_ros.models.training.loop import (
    ConfigError,
    FrameSource,
    TrainConfig,
    fit,
    from_dict,
    provenance,
    stage_configs,
)
from vw2_ros.models.vision import KeypointEncoder, KeypointFinder, Keypoints, VisionConfig
from vw2_ros.progress import progress_bar

KEPT = 3  # sets of found keypoints beside each data folder


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


def load_sight(vision: KeypointEncoder, folder: Path) -> None:
    """Give a planner's keypoint encoder the weights of a run.

    Raises:
        CheckpointError: missing, damaged, or of other sizes.
    """
    folder = Path(folder)
    found = load_json(folder / 'config.json')
    width = vision.bias.shape[-1]
    try:
        config = config_from_dict(VisionConfig, found['vision'])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{folder} is no run of vw2 train sight: {error!r}') from error
    wanted = dataclasses.replace(vision.config, frozen=False)
    if (config, found.get('width')) != (wanted, width):
        raise CheckpointError(
            f'{folder} must fit planner.vision and planner.model.width, '
            f'{wanted}, {width}. Got {config}, {found.get("width")}'
        )
    tensors, _ = load_tensors(folder / 'vision.safetensors')
    load_state(vision, tensors, str(folder))


# ------------------------------------------------------------------------------ what is shown


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
        """What a batch holds of these rows."""
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
    path = decoded.cache / f'keypoints_{weights}_{decoded.image_file.stem}.npy'
    with first_of_machine():
        if not path.is_file():
            n, c = len(decoded.rgb), locate.config
            device = next(locate.parameters()).device
            handle, name = tempfile.mkstemp(dir=decoded.cache, prefix='.finding_', suffix='.part')
            os.close(handle)
            try:
                found = np.lib.format.open_memmap(
                    name, 'w+', np.float32, (n, c.keypoints, 2 + c.channels)
                )
                with progress_bar() as bar:
                    task = bar.add_task(f'keypoints of {decoded.folder.path}', total=n)
                    for first in range(0, n, batch):
                        rgb = torch.from_numpy(np.array(decoded.rgb[first : first + batch]))
                        seen = locate(rgb.to(device).permute(0, 3, 1, 2))
                        found[first : first + batch] = torch.cat(tuple(seen), dim=-1).cpu().numpy()
                        bar.advance(task, len(rgb))
                found.flush()
                os.replace(name, path)
            finally:
                Path(name).unlink(missing_ok=True)
            kept = sorted(decoded.cache.glob('keypoints_*.npy'), key=lambda p: p.stat().st_mtime)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)
    return np.load(path, mmap_mode='r', allow_pickle=False)
