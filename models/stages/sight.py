# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of sight alone: keypoints that lie where hand, blocks and handles are.

    vw2 train sight --config cpu --data DIR --out runs/sight

VideoWorld 2's transformer is a pretrained vision-language model, whose vision tower comes with it.
Ours starts from nothing, so its sight may be trained beforehand, by a simulator: of the keypoint
encoder (`vision.py`) the first keypoints shall lie where the landmarks are in the picture (the
centre of a spatial softmax as a trained landmark: Nibali et al. 2018), and a linear layer on the
image tokens shall tell the scene's state. That layer is thrown away; the policy sees pictures only.

Data of `vw2 collect` say where the landmarks are. For CALVIN's own data, which say how the robot and
the scene stand, a teacher computes it. With --start, a policy's keypoints learn on.

With --pair, data hold the same frames in other looks (`vw2 redraw`) than those that the policy
knows. Then all keypoints, places and features, shall be what the policy finds in the pictures that
it knows: whatever was learned from them stays true.

`vw2 train planner --sight runs/sight` starts from it. The keypoints then stay as they are, and are
found once for each frame and kept (`data/keypoints.py`): the convolutions are half the cost of a
step, so planner and head see several times as many samples in the same time.

Output, beside what `Training` writes: vision.safetensors, config.json, provenance.json; with --start
also `policy/`, the policy with these keypoints in place of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.models.checkpoint import load_checkpoint, save_checkpoint
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig, moved
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.keypoints import find_all
from vw2_ros.models.data.origin import (
    calvin_env_of,
    check_origin,
    check_pictures,
    renderer_of,
    scene_of,
    scene_of_frames,
    static_camera,
)
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.run_folder import save_run, with_keypoints
from vw2_ros.models.stages.planner import PlannerSettings
from vw2_ros.models.training.config import TrainConfig, part_of, read_settings
from vw2_ros.models.training.stage import Stage
from vw2_ros.models.vision import KeypointEncoder, Keypoints, VisionConfig

HELD_OUT = 1024  # frames that scores come from
KEPT_FACTS = ('action_frame', 'tasks', 'labels')  # of the provenance of a policy that sees anew


@dataclasses.dataclass(frozen=True)
class SightLoss:
    """Weights of the two errors."""

    points: float = 5.0  # of the landmarks' places; with pairs: of all keypoints' places
    state: float = 0.5  # of the scene's state; with pairs: of the features at the keypoints

    def __post_init__(self):
        if min(self.points, self.state) < 0 or self.points + self.state == 0:
            raise ConfigError(
                f'points and state must be >= 0, and not both 0. Got {self.points}, {self.state}'
            )


@dataclasses.dataclass(frozen=True)
class SightSettings:
    """The config's section `sight`; sizes are those of its section `planner`."""

    section: ClassVar[str] = 'sight'
    train: TrainConfig
    loss: SightLoss
    augment: AugmentConfig
    vision: VisionConfig = part_of(PlannerSettings, 'vision')
    planner: dict = part_of(PlannerSettings, 'model')


class Teacher(Protocol):
    """Computes where things are in pictures whose state is known: `sim.landmarks.teach`."""

    def __call__(
        self,
        scenes: np.ndarray,
        camera: Mapping[str, Any],
        robot_obs: np.ndarray,
        scene_obs: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Letters (n,), the camera's config and states -> landmarks (n, 10, 2), state (n, 25)."""
        ...


class Probe(nn.Module):
    """A keypoint encoder and what watches it.

    Raises:
        ConfigError: the encoder has too few keypoints.
    """

    def __init__(self, vision: KeypointEncoder, landmarks: int, state_size: int, width: int):
        super().__init__()
        check_keypoints(vision.config, landmarks)
        self.vision, self.landmarks = vision, landmarks
        self.read = nn.Linear(vision.config.tokens * width, state_size)

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

    def departures(self, rgb: Tensor, known: Keypoints, spread: Tensor) -> tuple[Tensor, Tensor]:
        """How far the keypoints in pictures uint8 (B, 3, S, S) are from known ones.

        Args:
            spread: (channels,) standard deviations of the features.
        Returns:
            mean distance along an axis, in halves of the picture's side; mean squared distance of
            the features, in standard deviations.
        """
        seen = self.vision.locate(rgb)
        return (
            F.l1_loss(seen.place, known.place),
            F.mse_loss(seen.local / spread, known.local / spread),
        )


class SightStage(Stage):
    """The keypoint encoder learns the landmarks of simulated frames.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders of a simulator, of any scenes.
        teacher: computes what data of `vw2 collect` hold and CALVIN's own do not; None: they are
            refused.
        start: policy whose keypoints, and their sizes, to begin with.
        pair: for each folder of `data` one with the same frames in looks that `start` knows; its
            keypoints there are what is learned. Empty: landmarks and state are.
        seed, max_minutes: instead of the config's.
    """

    name = 'sight'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        teacher: Teacher | None = None,
        start: Path | str | None = None,
        pair: Sequence[Path] = (),
        seed: int | None = None,
        max_minutes: float | None = None,
    ):
        self.settings = read_settings(SightSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.data, self.teacher, self.start, self.pair = data, teacher, start, pair
        if pair and (start is None or len(pair) != len(data)):
            raise ConfigError(
                'pairs must be one folder for each one of data, and go with a policy to start from. '
                f'Got {len(pair)} for {len(data)}, and {start or "no policy"}'
            )

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        check_origin(self.data)
        self.begun = load_checkpoint(self.start) if self.start is not None else None
        if self.begun:
            sizes = self.begun.planner.config
            self.vision = dataclasses.replace(sizes.vision, frozen=False)
        else:
            sizes = from_dict(PlannerConfig, self.settings.planner, 'planner.model')
            self.vision = self.settings.vision
        self.width, size = sizes.width, self.vision.image_size
        self.device = device
        check_pictures(self.data, size)
        self.store = FrameStore(self.data, 'training', size)
        teach_landmarks(self.store, self.teacher)
        self._mean = self.store.scene_state.mean(0)
        self._std = np.maximum(self.store.scene_state.std(0), 1e-3)
        self.source = FrameSource(self.store, device, self.train.preload)
        roots = with_validation(self.data)
        self.held_out = FrameStore(roots, 'validation', size) if roots else None
        if self.held_out is not None:
            teach_landmarks(self.held_out, self.teacher)
        if self.pair:
            self._look_at_pairs()

    def _look_at_pairs(self) -> None:
        locate = self.begun.planner.vision.locate
        known = _same_frames(self.store, self.pair, 'training')
        self.known = find_all(locate, known)
        rows = np.unique(np.random.default_rng(0).integers(len(known), size=HELD_OUT))
        local = self.known(rows).local.flatten(0, 1)  # (n * keypoints, channels)
        self.spread = local.std(0).clamp(min=1e-3).to(self.device)
        if self.held_out is not None:
            roots = [p for p, d in zip(self.pair, self.data) if with_validation([d])]
            self.known_held_out = find_all(
                locate, _same_frames(self.held_out, roots, 'validation')
            )

    def build(self) -> nn.Module:
        vision = KeypointEncoder(self.vision, self.width)
        if self.begun:
            vision.load_state_dict(self.begun.planner.vision.state_dict())
        landmarks = self.store.landmarks.shape[1]
        self.model = Probe(vision, landmarks, len(self._mean), self.width).to(self.device)
        return self.model

    def identity(self) -> dict:
        return {
            'data': self.store.content_hash,
            'vision': dataclasses.asdict(self.vision),
            'loss': dataclasses.asdict(self.settings.loss),
            'pair': bool(self.pair),
        }

    def _taught(self, frames: FrameStore, rows: np.ndarray) -> dict:
        return {
            'points': torch.from_numpy(frames.landmarks[rows]),
            'state': torch.from_numpy((frames.scene_state[rows] - self._mean) / self._std),
        }

    def batch(self, step: int) -> dict:
        rng = np.random.default_rng([self.train.seed, step])
        rows = rng.integers(len(self.store), size=self.train.batch)
        changes = self.settings.augment.draw(rng, self.train.batch)
        batch = {**self.source.part(rows), **changes, **self._taught(self.store, rows)}
        shift = moved(batch, self.store.size[0])
        if self.pair:
            place, local = self.known(rows)
            return {**batch, 'place': place + shift, 'local': local}
        return {**batch, 'points': batch['points'] + shift}

    def finish(self, batch: dict) -> dict:
        rgb = self.settings.augment.apply(self.source.images(batch), batch)
        return {**batch, 'rgb': rgb}

    def loss(self, batch: dict) -> dict[str, Tensor]:
        weights, rgb = self.settings.loss, batch['rgb'].permute(0, 3, 1, 2)
        if self.pair:
            known = Keypoints(batch['place'], batch['local'])
            points, state = self.model.departures(rgb, known, self.spread)
        else:
            points, state = self.model.errors(rgb, batch['points'], batch['state'])
        return {
            'loss': weights.points * points + weights.state * state,
            'points': points.detach(),
            'state': state.detach(),
        }

    def validate(self) -> dict:
        if self.held_out is None:
            return {}
        store, total = self.held_out, {'points': 0.0, 'state': 0.0}
        rows = np.unique(np.random.default_rng(0).integers(len(store), size=HELD_OUT))
        for part in np.array_split(rows, -(-len(rows) // 64)):
            rgb = torch.from_numpy(store.rgb(part)).permute(0, 3, 1, 2).to(self.device)
            if self.pair:
                known = Keypoints(*(x.to(self.device) for x in self.known_held_out(part)))
                errors = self.model.departures(rgb, known, self.spread)
            else:
                here = self._taught(store, part)
                errors = self.model.errors(
                    rgb, here['points'].to(self.device), here['state'].to(self.device)
                )
            for key, error in zip(total, errors):
                total[key] += float(error) * len(part) / len(rows)
        return {**total, 'points_px': total['points'] * store.size[0] / 2}

    def facts(self) -> dict:
        return {
            'frames': len(self.store),
            'renderer': renderer_of(self.store),
            'scene': scene_of(self.store),
            **({'calvin_env': found} if (found := calvin_env_of(self.store)) else {}),
            'loss': dataclasses.asdict(self.settings.loss),
            'augment': dataclasses.asdict(self.settings.augment),
            'start': self.begun.provenance if self.begun else {},
            'pair': [str(p) for p in self.pair],
        }

    def save(self, out: Path, record: dict) -> None:
        config = {'vision': self.vision, 'width': self.width}
        save_run(out, record, config, vision=self.model.vision)
        if not self.begun:
            return
        # what it was taught stays its own: words, tasks, the frame of its actions
        taught = {k: v for k, v in self.begun.provenance.items() if k in KEPT_FACTS}
        save_checkpoint(
            out / 'policy',
            planner=with_keypoints(self.begun.planner, out),
            head=self.begun.head,
            tokenizer=self.begun.tokenizer,
            dldm=self.begun.dldm,
            provenance={**record, **taught},
            phrases=self.begun.phrases,
        )


def _same_frames(store: FrameStore, roots: Sequence[Path], split: str) -> FrameStore:
    """The frames of the paired folders, which must be those of `store`, one by one."""
    other = FrameStore(roots, split, store.size[0])
    same = len(other) == len(store) and all(
        np.array_equal(getattr(other, key), getattr(store, key), equal_nan=True)
        for key in ('robot_obs', 'scene_obs')
    )
    if not same:
        raise ConfigError(
            f'pairs must hold the same frames as data, in the same order. Got {len(store)} frames '
            f'and {len(other)} of other states. Make one with vw2 redraw from the other'
        )
    return other


def check_keypoints(vision: VisionConfig, landmarks: int) -> None:
    """Refuse an encoder with fewer keypoints than there are landmarks.

    Raises:
        ConfigError: it has.
    """
    if vision.keypoints < landmarks:
        raise ConfigError(
            f'vision.keypoints must be at least {landmarks}, one for each '
            f'landmark of the data. Got {vision.keypoints}'
        )


def teach_landmarks(store: FrameStore, teacher: Teacher | None) -> None:
    """Fill in the landmarks and the state of the folders that have none.

    Raises:
        ConfigError: nobody knows them.
    """
    for i, (folder, decoded) in enumerate(zip(store.folders, store.decoded)):
        if not (len(folder) and np.isnan(decoded.state['landmarks']).any()):
            continue
        if teacher is None or np.isnan(decoded.state['scene_obs']).any():
            raise ConfigError(
                f'{folder.path} must say where things are: landmarks, as vw2 collect writes them, '
                "or scene_obs, as CALVIN's data have it. Got neither: nobody knows it of a real "
                'robot. Train without: no --sight, head.loss.points 0'
            )
        rows = slice(store.first_row(i), store.first_row(i + 1))
        store.landmarks[rows], store.scene_state[rows] = teacher(
            scene_of_frames(folder),
            static_camera(folder),
            decoded.state['robot_obs'],
            decoded.state['scene_obs'],
        )
