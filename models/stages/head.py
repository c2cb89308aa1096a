# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the action head: planner and head together, on frames with actions.

    vw2 train head --config cpu --data DIR --init runs/planner --out runs/head

VideoWorld 2, appendix A, "Latent pre-training on CALVIN": fine-tuning with ground-truth actions
through an MLP on the hidden states that predict the codes. The cross-entropy of the codes stays
on, weighted, where a frame's codes are known. Keypoints that the planner's run froze stay so. Words
of the data that it does not know are added to those it does.

Differs: the planner sees its own greedy codes while it is fine-tuned, as it does when it plans;
with the data's codes it would meet other hidden states when it acts. `own_codes` is the switch.

Output, beside what `Training` writes: `policy/`, a model folder for `Policy.load`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.checkpoint import load_checkpoint, save_checkpoint
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig, moved
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.codes import CodedFrames, LabelledFrames, clips_of, codes_for
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.keypoints import Shown
from vw2_ros.models.data.origin import (
    action_frame_of,
    calvin_env_of,
    check_origin,
    check_pictures,
    renderer_of,
    scene_of,
    united,
)
from vw2_ros.models.data.phrases import Phrasebook, phrases_of, unseen_tasks
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import CheckpointError, ConfigError
from vw2_ros.models.parallel import common_count
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.run_folder import load_model, load_sight, previous, with_keypoints
from vw2_ros.models.stages.planner import PlannerSettings, planner_config
from vw2_ros.models.stages.sight import Teacher, check_keypoints, teach_landmarks
from vw2_ros.models.stages.warmup import WarmUpSettings
from vw2_ros.models.storage import load_json
from vw2_ros.models.text import UNK, Tokenizer
from vw2_ros.models.training.config import TrainConfig, read_settings
from vw2_ros.models.training.stage import Stage

HELD_OUT = 1024  # frames that scores come from


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is minimised: the head's loss + codes * cross-entropy of the codes."""

    codes: float = 0.05  # weight of the cross-entropy; 0: actions alone
    own_codes: float = 1.0  # share of the steps at which the planner reads its own greedy codes
    std_floor: float = 0.1  # smallest deviation by which an action's error is divided
    points: float = 0.0  # weight of the landmarks' places, where sight learns; see `sight`
    # how much more often a frame is learned from in which a person corrected a policy, than another
    # of its task; 1: as often
    corrections: float = 3.0

    def __post_init__(self):
        if min(self.codes, self.points) < 0 or not self.std_floor > 0:
            raise ConfigError(
                'codes and points must be >= 0, std_floor > 0. '
                f'Got {self.codes}, {self.points}, {self.std_floor}'
            )
        if not 0 < self.corrections < math.inf:
            raise ConfigError(f'corrections must be above 0. Got {self.corrections}')
        if not 0 <= self.own_codes <= 1:
            raise ConfigError(f'own_codes must be in [0, 1]. Got {self.own_codes}')


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """The config's section `head`."""

    section: ClassVar[str] = 'head'
    model: dict  # fields of ActionHeadConfig that the planner does not decide
    train: TrainConfig
    loss: LossConfig
    augment: AugmentConfig


class Pilot(nn.Module):
    """Planner and action head as one model, so that one optimiser and one checkpoint hold both."""

    def __init__(self, planner: Planner, head: ActionHead):
        super().__init__()
        self.planner, self.head = planner, head

    def loss(self, batch: dict, config: LossConfig, own_codes: bool = True) -> dict:
        """Loss of one batch.

        Args:
            batch: rgb uint8 (B, S, S, 3), or place and local of the keypoints found in it; tokens
                int64 (B, L, 1 + ngrams), actions float (B, A, 7) with valid bool (B, A), codes
                int64 (B, K-1, N) with codes_valid bool (B, K-1), False where there is none; with
                config.points and pictures, points float (B, L, 2), where the landmarks are in them.
            own_codes: whether the planner reads its own greedy codes.
        Returns:
            loss and the head's scalars; cross_entropy and accuracy of the codes; points, the mean
            distance of keypoints from landmarks along an axis, in half sides of the picture.
        """
        seen = Shown.of(batch)
        if 'points' in batch:
            seen = self.planner.vision.locate(seen)
        out = self.planner(seen, batch['tokens'], None if own_codes else batch['codes'])
        result = self.head.loss(out.hidden, batch['actions'], batch['valid'])
        if 'points' in batch:
            points = F.l1_loss(seen.place[:, : batch['points'].shape[1]], batch['points'])
            result['loss'] = result['loss'] + config.points * points
            result['points'] = points.detach()
        if config.codes:
            # (B, K-1, N): -1 where a step has no code. No branch on the data: it would make a GPU
            # wait.
            known = batch['codes_valid'][..., None].expand_as(batch['codes'])
            target = batch['codes'].masked_fill(~known, -1)
            count = common_count(known.sum()) if self.training else known.sum().clamp(min=1)
            entropy = (
                F.cross_entropy(
                    out.logits.flatten(0, 2).float(),
                    target.flatten(),
                    ignore_index=-1,
                    reduction='sum',
                )
                / count
            )
            result['loss'] = result['loss'] + config.codes * entropy
            result['cross_entropy'] = entropy.detach()
            result['code_accuracy'] = (out.logits.argmax(-1) == target).sum() / count
        return result


@dataclasses.dataclass(frozen=True)
class HeldOutActions:
    """Labelled frames of the validation split, of tasks that were learned."""

    rows: np.ndarray  # int64 (m,): of `store`
    task: np.ndarray  # int64 (m,)
    tokens: np.ndarray  # int64 (m, L, width): their instructions
    actions: np.ndarray  # float32 (m, A, 7), and which of them there are
    valid: np.ndarray  # bool (m, A)
    store: FrameStore


class HeadStage(Stage):
    """Planner and head learn the actions of labelled frames; `out/policy` is the result.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders with language annotations.
        init: run folder of the planner; None trains from scratch without latents (the paper's
            plain transformer).
        labels: fraction of the labelled windows to use, in (0, 1].
        sight: run folder of the keypoint encoder, whose keypoints take the place of the planner's.
        start: policy whose head to begin with, with its statistics of the actions.
        learn_sight: the keypoints learn too, where the planner's run had them fixed: for another
            camera than the one that they know.
        seed, max_minutes: instead of the config's.
        teacher: see `SightStage`; for loss.points.
    """

    name, watch = 'head', 'xyz_l1'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        init: Path | None = None,
        labels: float = 1.0,
        sight: Path | None = None,
        start: Path | str | None = None,
        learn_sight: bool = False,
        seed: int | None = None,
        max_minutes: float | None = None,
        teacher: Teacher | None = None,
    ):
        self.settings = read_settings(HeadSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.config, self.data = config, data
        self.init, self.sight, self.start = Path(init) if init else None, sight, start
        self.labels, self.learn_sight, self.teacher = labels, learn_sight, teacher

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        check_origin(self.data)
        self.device = device
        planner, tokenizer, self.dldm, self.frames = (
            _from_planner_run(self.init)
            if self.init
            else _from_scratch(self.config, self.data, self.train.seed, self.sight)
        )
        check_pictures(self.data, planner.config.vision.image_size)
        self.store = FrameStore(self.data, 'training', planner.config.vision.image_size)
        self.action_frame = action_frame_of(self.store)
        known = len(tokenizer.words)
        words = (p for many in phrases_of(self.store).values() for p in many)
        self.tokenizer = tokenizer.extended(words)
        self.new_words = list(self.tokenizer.words[known:])
        if self.init and self.sight:
            planner = with_keypoints(planner, self.sight)
        self.had_fixed_sight = planner.config.vision.frozen
        self.planner = _prepared(planner, self.tokenizer.vocab_size, self.learn_sight)
        c = self.planner.config
        self.demos = Demonstrations(
            self.store,
            c.steps * self.frames,
            self.labels,
            self.train.seed,
            self.settings.loss.corrections,
        )
        self.samples = len(self.demos)
        self.coded = None
        if self.dldm is not None and self.settings.loss.codes:
            codes = codes_for(self.dldm, self.init, self.store, out)
            self.coded = CodedFrames(self.store, *codes, self.demos.tasks, self.frames)
        self.labelled = LabelledFrames(self.store, self.demos, self.coded, c.steps, c.queries)
        self.book = Phrasebook(self.demos.phrases, self.tokenizer)
        self.held_out = self._held_out()

    def _held_out(self) -> HeldOutActions | None:
        roots = with_validation(self.data)
        if not roots:
            return None
        c, tasks = self.planner.config, self.demos.tasks
        store = FrameStore(roots, 'validation', c.vision.image_size)
        if not phrases_of(store):
            return None
        demos = Demonstrations(store, c.steps * self.frames)
        rng = np.random.default_rng(0)
        samples = np.unique(demos.draw(rng, HELD_OUT))
        names = [demos.tasks[i] for i in demos.task(samples)]
        number = np.array([tasks.index(n) if n in tasks else -1 for n in names])
        samples, number = samples[number >= 0], number[number >= 0]
        if not len(samples):
            self.unjudged = unseen_tasks(roots, sorted(set(names)))
            return None
        tokens = self.book.draw(number, rng)
        return HeldOutActions(
            demos.sample_row[samples], number, tokens, *demos.chunk(samples), store
        )

    def build(self) -> nn.Module:
        c = self.planner.config
        fixed = {'width': c.width, 'steps': c.steps, 'frames': self.frames}
        head = ActionHead(
            from_dict(ActionHeadConfig, {**self.settings.model, **fixed}, 'head.model')
        )
        arm = self.store.rel_actions[self.demos.sample_row, :6]
        head.set_normalization(
            torch.from_numpy(arm.mean(0)),
            torch.from_numpy(np.maximum(arm.std(0), self.settings.loss.std_floor)),
        )
        if self.start is not None:
            policy = load_checkpoint(self.start)
            begun, frame = policy.head, policy.provenance.get('action_frame', self.action_frame)
            if frame != self.action_frame:
                raise ConfigError(
                    f'the actions of {self.start} must be in the frame of the data, '
                    f'{self.action_frame}. Got {frame}. Start from another policy, or without one.'
                )
            if begun.config != head.config:
                raise ConfigError(
                    f'the head of {self.start} must fit, {head.config}. Got {begun.config}'
                )
            head.load_state_dict(begun.state_dict())
        self.model = Pilot(self.planner, head).to(self.device)
        source = FrameSource(self.store, self.device, self.train.preload)
        self.shown = Shown(self.planner.vision, source, self.settings.augment)
        self.taught = bool(self.settings.loss.points) and not self.planner.config.vision.frozen
        if self.taught:
            teach_landmarks(self.store, self.teacher)
            check_keypoints(self.planner.config.vision, self.store.landmarks.shape[1])
        return self.model

    def identity(self) -> dict:
        return {
            'data': self.store.content_hash,
            'planner': dataclasses.asdict(self.planner.config),
            'head': dataclasses.asdict(self.model.head.config),
            'labels': self.labels,
        }

    def batch(self, step: int) -> dict:
        rng = np.random.default_rng([self.train.seed, step])
        demos, own_codes = self.demos, self.settings.loss.own_codes
        samples = demos.draw(rng, self.train.batch)
        rows = demos.sample_row[samples]
        shown = self.shown.part(rng, rows)
        if self.taught:
            points = torch.from_numpy(self.store.landmarks[rows])  # (B, L, 2)
            shown['points'] = points + moved(shown, self.store.size[0])
        return {
            **self.labelled.part(samples),
            **shown,
            'own': self.coded is None or rng.random() < own_codes,
            'tokens': torch.from_numpy(
                self.book.draw(demos.task(samples), rng, self.settings.augment)
            ),
        }

    def finish(self, batch: dict) -> dict:
        return self.shown.finish(batch)

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        return self.model.loss(batch, self.settings.loss, batch['own'])

    def validate(self) -> dict:
        if self.held_out is None:
            return {}
        h, predicted = self.held_out, []
        for part in np.array_split(np.arange(len(h.rows)), -(-len(h.rows) // 64)):
            rgb = torch.from_numpy(h.store.rgb(h.rows[part])).permute(0, 3, 1, 2)  # (b, 3, S, S)
            out = self.model.planner(
                rgb.to(self.device), torch.from_numpy(h.tokens[part]).to(self.device)
            )
            predicted.append(self.model.head(out.hidden).float().cpu().numpy())
        return action_errors(np.concatenate(predicted), h, self.demos.tasks)

    def facts(self) -> dict:
        return {
            'labels': self.labels,
            'renderer': united(renderer_of(self.store), self._known_to_sight('renderer')),
            'scene': united(scene_of(self.store), self._known_to_sight('scene')),
            **({'calvin_env': found} if (found := calvin_env_of(self.store)) else {}),
            'action_frame': self.action_frame,
            'frames': len(self.store),
            'labelled_frames': len(self.demos),
            'corrected_frames': int(self.demos.corrected[self.demos.sample_window].sum()),
            'tasks': self.demos.tasks,
            'new_words': self.new_words,
            'loss': dataclasses.asdict(self.settings.loss),
            'augment': dataclasses.asdict(self.settings.augment),
            'planner': previous(self.init) if self.init else {},
            'sight': previous(self.sight) if self.sight else {},
            'start': str(self.start or ''),
            'parameters': sum(p.numel() for p in self.model.parameters()),
        }

    def _known_to_sight(self, key: str) -> str:
        """A fact of the pictures that keypoints which stay learned from; '': they learn, or unknown."""
        brought = self.sight or self.init
        if brought is None or not self.planner.config.vision.frozen:
            return ''
        told = previous(brought)  # a planner's run tells it of the sight that it was given
        return told.get(key) or told.get('sight', {}).get(key, '')

    def save(self, out: Path, record: dict) -> None:
        planner = self.model.planner.cpu()
        if self.had_fixed_sight:  # the next lesson leaves it as it is, unless it is told
            vision = dataclasses.replace(planner.config.vision, frozen=True)
            planner.config = dataclasses.replace(planner.config, vision=vision)
        record['policy_sha256'] = save_checkpoint(
            out / 'policy',
            planner=planner,
            head=self.model.head.cpu(),
            tokenizer=self.tokenizer,
            dldm=self.dldm,
            provenance=record,
            phrases={task: phrases[0] for task, phrases in self.demos.phrases.items()},
        )


def action_errors(predicted: np.ndarray, h: HeldOutActions, tasks: Sequence[str]) -> dict:
    """Errors of predicted actions float (m, A, 7), over all frames and for each task.

    Returns:
        xyz_l1, rpy_l1 in units of the data, gripper_wrong (share of wrong signs), of the actions
        that are executed before the next plan; xyz_l1_chunk of all; task_...: {task: error}.
    """
    error = np.abs(predicted - h.actions)  # (m, A, 7)
    wrong = error[..., 6] > 1.0  # the sign is another
    xyz, rpy = error[..., :3].mean(-1), error[..., 3:6].mean(-1)
    horizon = predicted.shape[1]
    # What is executed before the next plan.
    first = h.valid & (np.arange(horizon) < horizon // 2)

    def mean(values: np.ndarray, where: np.ndarray) -> float:
        return float(values[where].mean()) if where.any() else 0.0

    here = [first & (h.task == i)[:, None] for i in range(len(tasks))]

    def by_task(values: np.ndarray) -> dict[str, float]:
        return {t: round(mean(values, w), 5) for t, w in zip(tasks, here) if w.any()}

    return {
        'xyz_l1': mean(xyz, first),
        'rpy_l1': mean(rpy, first),
        'gripper_wrong': mean(wrong, first),
        'xyz_l1_chunk': mean(xyz, h.valid),
        'task_xyz_l1': by_task(xyz),
        'task_rpy_l1': by_task(rpy),
        'task_gripper_wrong': by_task(wrong),
    }


def _from_planner_run(folder: Path) -> tuple[Planner, Tokenizer, DLDM | None, int]:
    """Planner, words and dLDM of a run folder, and the actions that a latent step stands for.

    There is no dLDM where the planner learned from codes alone (`vw2 train planner --codes`).
    """
    planner = load_model(Planner, PlannerConfig, folder, 'planner')
    codes = load_json(folder / 'config.json').get('codes')
    dldm = load_model(DLDM, DLDMConfig, folder, 'dldm') if codes is None else None
    config = dldm.config if dldm else from_dict(DLDMConfig, codes, 'codes')
    try:
        tokenizer = Tokenizer.from_dict(load_json(folder / 'tokenizer.json'))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{folder / "tokenizer.json"} is not a vocabulary: {error}'
        ) from error
    return planner, tokenizer, dldm, clips_of(folder).frames_per_step(config)


def _from_scratch(
    config: Path | str, data: Sequence[Path], seed: int, sight: Path | None
) -> tuple[Planner, Tokenizer, None, int]:
    """Make what `_from_planner_run` reads anew, in the config's sizes; only sight may be trained."""
    sizes = read_settings(PlannerSettings, config)
    dldm = read_settings(WarmUpSettings, config)
    store = FrameStore(data, 'training', sizes.vision.image_size)
    phrases = (p for many in phrases_of(store).values() for p in many)
    tokenizer = Tokenizer.build(phrases, **sizes.tokenizer)
    torch.manual_seed(seed)
    vision = dataclasses.replace(sizes.vision, frozen=sight is not None)
    planner = Planner(planner_config(sizes.model, vision, tokenizer, dldm.model))
    if sight is not None:
        load_sight(planner.vision, sight)
    return planner, tokenizer, None, dldm.clips.frames_per_step(dldm.model)


def _prepared(planner: Planner, vocab_size: int, learn_sight: bool) -> Planner:
    """The same planner for more words, new ones as unknown ones are; `learn_sight`: see `HeadStage`."""
    old = planner.config
    vision = dataclasses.replace(old.vision, frozen=old.vision.frozen and not learn_sight)
    config = dataclasses.replace(old, vocab_size=vocab_size, vision=vision)
    if config == old:
        return planner
    state = planner.state_dict()
    words = state['text.word.weight']
    state['text.word.weight'] = torch.cat([words, words[UNK].expand(vocab_size - len(words), -1)])
    anew = Planner(config)
    anew.load_state_dict(state)
    return anew
