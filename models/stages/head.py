# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stage 3 of training: planner and action head together, on frames with actions.

    vw2 train head --config cpu --data DIR --init runs/planner --out runs/head

VideoWorld 2, appendix A, "Latent pre-training on CALVIN": fine-tuning with ground-truth actions
through an MLP on the hidden states that predict the codes. The cross-entropy of the codes stays
on, weighted, where a frame's codes are known. Keypoints that the planner's run froze stay so. Words
of the data that it does not know are added to those it does.

Differs: the planner sees its own greedy codes while it is fine-tuned, as it does when it plans;
with the data's codes it would meet other hidden states when it acts. `own_codes` is the switch.

Output, beside what `fit` writes: `policy/`, a model folder for `Policy.load`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.checkpoint import CheckpointError, load_checkpoint, load_json, save_checkpoint
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig
from vw2_ros.models.data.batches import ClipConfig, FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.codes import CodedFrames, clips_of, codes_for
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.keypoints import Shown
from vw2_ros.models.data.phrases import Phrasebook, phrases_of
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.parallel import common_count, leads
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.run_folder import load_model, load_sight, previous
from vw2_ros.models.stages.planner import planner_config
from vw2_ros.models.stages.warmup import override, prepare
from vw2_ros.models.text import UNK, Tokenizer
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import fit, provenance
from vw2_ros.models.vision import VisionConfig

FLOAT32_LIMIT = 4_000_000  # parameters that fit into a file of 16 MiB


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is minimised: the head's loss + codes * cross-entropy of the codes.

    own_codes: share of the steps at which the planner reads its own greedy codes instead of the
    data's. std_floor: smallest standard deviation by which an action's error is divided.
    """

    codes: float = 0.05
    own_codes: float = 1.0
    std_floor: float = 0.1

    def __post_init__(self):
        if self.codes < 0 or not self.std_floor > 0:
            raise ConfigError(
                f'codes must be >= 0, std_floor > 0. Got {self.codes}, {self.std_floor}'
            )
        if not 0 <= self.own_codes <= 1:
            raise ConfigError(f'own_codes must be in [0, 1]. Got {self.own_codes}')


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
                int64 (B, K-1, N) with codes_valid bool (B, K-1), False where there is none.
            own_codes: whether the planner reads its own greedy codes.
        Returns:
            loss and the head's scalars; cross_entropy and accuracy of the codes.
        """
        out = self.planner(Shown.of(batch), batch['tokens'], None if own_codes else batch['codes'])
        result = self.head.loss(out.hidden, batch['actions'], batch['valid'])
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


class LabelledFrames:
    """Batches of labelled frames: picture, words, next actions, and codes where known."""

    def __init__(
        self,
        store: FrameStore,
        demos: Demonstrations,
        coded: CodedFrames | None,
        steps: int,
        queries: int,
    ):
        self.store, self.demos = store, demos
        self.code_at = np.full(len(store), -1)
        self.codes = np.zeros((1, steps, queries), np.int64)
        self.codes_valid = np.zeros((1, steps), bool)
        if coded is not None:
            self.code_at[coded.rows] = np.arange(len(coded))
            # The last entry stands for "none".
            self.codes = np.concatenate([coded.indices, self.codes])
            self.codes_valid = np.concatenate([coded.valid, self.codes_valid])

    def part(self, samples: np.ndarray) -> dict:
        """All but the picture and the words of these samples."""
        actions, valid = self.demos.chunk(samples)
        code = self.code_at[self.demos.sample_row[samples]]
        return {
            'actions': torch.from_numpy(actions),
            'valid': torch.from_numpy(valid),
            'codes': torch.from_numpy(self.codes[code]),
            'codes_valid': torch.from_numpy(self.codes_valid[code]),
        }


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    init: Path | None = None,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
    labels: float = 1.0,
    sight: Path | None = None,
    start: Path | str | None = None,
    learn_sight: bool = False,
) -> dict:
    """Fine-tune with actions and export the policy.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders with language annotations. out: run folder; `out/policy` is the result.
        init: run folder of the planner; None trains from scratch without latents (the paper's
            plain transformer).
        resume: go on with the run that is in `out`. seed, max_minutes: instead of the config's.
        labels: fraction of the labelled windows to use, in (0, 1].
        sight: run folder of the keypoint encoder, where there is no planner's run.
        start: policy whose head to begin with, with its statistics of the actions.
        learn_sight: the keypoints learn too, where the planner's run had them fixed: for another
            camera than the one that they know.
    Returns:
        provenance, with the scores; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError, CheckpointError: see there. SystemExit(130):
        interrupted, saved.
    """
    parts = stage_configs(
        config, 'head', model=dict, train=TrainConfig, loss=LossConfig, augment=AugmentConfig
    )
    train, augment = override(parts['train'], seed, max_minutes), parts['augment']
    device = prepare(train)
    out = Path(out)
    planner, tokenizer, dldm, frames = (
        _from_planner_run(Path(init)) if init else _from_scratch(config, data, train.seed, sight)
    )
    store = FrameStore(data, 'training', planner.config.vision.image_size)
    words = len(tokenizer.words)
    tokenizer = tokenizer.extended(p for many in phrases_of(store).values() for p in many)
    planner = _prepared(planner, tokenizer.vocab_size, learn_sight)
    c = planner.config
    demos = Demonstrations(store, c.steps * frames, labels, train.seed)
    coded = None
    if dldm is not None and parts['loss'].codes:
        coded = CodedFrames(store, *codes_for(dldm, Path(init), store, out), demos.tasks, frames)
    labelled = LabelledFrames(store, demos, coded, c.steps, c.queries)
    torch.manual_seed(train.seed)
    head = ActionHead(_head_config(parts['model'], c, frames))
    arm = store.rel_actions[demos.sample_row, :6]
    head.set_normalization(
        torch.from_numpy(arm.mean(0)),
        torch.from_numpy(np.maximum(arm.std(0), parts['loss'].std_floor)),
    )
    if start is not None:
        begun = load_checkpoint(start).head
        if begun.config != head.config:
            raise ConfigError(f'the head of {start} must fit, {head.config}. Got {begun.config}')
        head.load_state_dict(begun.state_dict())
    model = Pilot(planner, head).to(device)
    shown = Shown(planner.vision, FrameSource(store, device, train.preload), augment)
    book = Phrasebook(demos.phrases, tokenizer)

    def make_batch(step: int) -> dict:
        rng = np.random.default_rng([train.seed, step])
        samples = demos.draw(rng, train.batch)
        return {
            **labelled.part(samples),
            **shown.part(rng, demos.sample_row[samples]),
            'own': coded is None or rng.random() < parts['loss'].own_codes,
            'tokens': torch.from_numpy(book.draw(demos.task(samples), rng, augment)),
        }

    def loss(batch: dict, progress: float) -> dict:
        return model.loss(batch, parts['loss'], batch['own'])

    identity = {
        'data': store.content_hash,
        'planner': dataclasses.asdict(c),
        'head': dataclasses.asdict(head.config),
        'labels': labels,
        'seed': train.seed,
        'batch': train.batch,
    }
    ended = fit(
        'head',
        model,
        train,
        out,
        make_batch=make_batch,
        loss=loss,
        finish=shown.finish,
        resume=resume,
        identity=identity,
        validate=_validation(model, data, demos.tasks, book),
        samples=len(demos),
        watch='xyz_l1',
    )
    if not leads():
        return {}
    record = provenance(
        stage='head',
        data=store.content_hash,
        labels=labels,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        renderer=renderer_of(store),
        frames=len(store),
        labelled_frames=len(demos),
        tasks=demos.tasks,
        new_words=list(tokenizer.words[words:]),
        train=dataclasses.asdict(train),
        loss=dataclasses.asdict(parts['loss']),
        augment=dataclasses.asdict(augment),
        planner=previous(Path(init)) if init else {},
        sight=previous(sight) if sight else {},
        start=str(start or ''),
    )
    size = sum(p.numel() for p in planner.parameters())
    record['parameters'] = size + sum(p.numel() for p in head.parameters())
    record['policy_sha256'] = save_checkpoint(
        out / 'policy',
        planner=model.planner.cpu(),
        head=model.head.cpu(),
        tokenizer=tokenizer,
        dldm=dldm,
        provenance=record,
        dtype='float32' if size < FLOAT32_LIMIT else 'float16',
    )
    return record


def _from_planner_run(folder: Path) -> tuple[Planner, Tokenizer, DLDM, int]:
    """Planner, words and dLDM of a run folder, and the actions that a latent step stands for."""
    planner = load_model(Planner, PlannerConfig, folder, 'planner')
    dldm = load_model(DLDM, DLDMConfig, folder, 'dldm')
    try:
        tokenizer = Tokenizer.from_dict(load_json(folder / 'tokenizer.json'))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{folder / "tokenizer.json"} is not a vocabulary: {error}'
        ) from error
    return planner, tokenizer, dldm, clips_of(folder).frames_per_step(dldm.config)


def _prepared(planner: Planner, vocab_size: int, learn_sight: bool) -> Planner:
    """The same planner for more words, new ones as unknown ones are; `learn_sight`: see `main`."""
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


def _from_scratch(
    config: Path | str, data: Sequence[Path], seed: int, sight: Path | None
) -> tuple[Planner, Tokenizer, None, int]:
    """As `_from_planner_run`, of the sizes that the config's sections give; only sight is trained."""
    parts = stage_configs(
        config,
        'planner',
        model=dict,
        vision=VisionConfig,
        train=TrainConfig,
        augment=AugmentConfig,
        tokenizer=dict,
    )
    shape = stage_configs(
        config, 'dldm', model=DLDMConfig, train=dict, clips=ClipConfig, dump=dict
    )
    store = FrameStore(data, 'training', parts['vision'].image_size)
    phrases = (p for many in phrases_of(store).values() for p in many)
    tokenizer = Tokenizer.build(phrases, **parts['tokenizer'])
    torch.manual_seed(seed)
    vision = dataclasses.replace(parts['vision'], frozen=sight is not None)
    planner = Planner(planner_config(parts['model'], vision, tokenizer, shape['model']))
    if sight is not None:
        load_sight(planner.vision, sight)
    return planner, tokenizer, None, shape['clips'].frames_per_step(shape['model'])


def _head_config(values: dict, planner: PlannerConfig, frames: int) -> ActionHeadConfig:
    fixed = {'width': planner.width, 'steps': planner.steps, 'frames': frames}
    return from_dict(ActionHeadConfig, {**values, **fixed}, 'head.model')


def renderer_of(store: FrameStore) -> str:
    """What drew the images, as the data folders say in `.hydra/merged_config.yaml`."""
    found = set()
    for folder in store.folders:
        path = folder.path / '.hydra' / 'merged_config.yaml'
        try:
            content = yaml.safe_load(path.read_text()) or {}
            found.add(str(content.get('renderer', content.get('env', {}).get('renderer'))))
        except (OSError, yaml.YAMLError, AttributeError):
            found.add('unknown')
    return ', '.join(sorted(found)).replace('None', 'unknown')


def _validation(
    model: Pilot, data: Sequence[Path], tasks: list[str], book: Phrasebook, count: int = 1024
) -> Callable[[], dict] | None:
    """Action errors on the held-out split, per task, if there is one."""
    roots = with_validation(data)
    if not roots:
        return None
    c = model.planner.config
    store = FrameStore(roots, 'validation', c.vision.image_size)
    if not phrases_of(store):
        return None
    horizon = c.steps * model.head.config.frames
    demos = Demonstrations(store, horizon)
    rng = np.random.default_rng(0)
    samples = np.unique(demos.draw(rng, count))
    names = [demos.tasks[i] for i in demos.task(samples)]
    number = np.array([tasks.index(n) if n in tasks else -1 for n in names])
    samples, number = samples[number >= 0], number[number >= 0]
    tokens = book.draw(number, rng)
    actions, valid = demos.chunk(samples)

    def validate() -> dict:
        device = next(model.parameters()).device
        predicted = []
        for part in np.array_split(np.arange(len(samples)), -(-len(samples) // 64)):
            rgb = torch.from_numpy(store.rgb(demos.sample_row[samples[part]]))
            out = model.planner(
                rgb.permute(0, 3, 1, 2).to(device), torch.from_numpy(tokens[part]).to(device)
            )
            predicted.append(model.head(out.hidden).float().cpu().numpy())
        error = np.abs(np.concatenate(predicted) - actions)  # (m, A, 7)
        wrong = error[..., 6] > 1.0  # the sign is another
        xyz, rpy = error[..., :3].mean(-1), error[..., 3:6].mean(-1)
        first = valid & (
            np.arange(horizon) < horizon // 2
        )  # what is executed before the next plan

        def mean(values: np.ndarray, where: np.ndarray) -> float:
            return float(values[where].mean()) if where.any() else 0.0

        here = [first & (number == i)[:, None] for i in range(len(tasks))]
        return {
            'xyz_l1': mean(xyz, first),
            'rpy_l1': mean(rpy, first),
            'gripper_wrong': mean(wrong, first),
            'xyz_l1_chunk': mean(xyz, valid),
            'task_xyz_l1': {t: round(mean(xyz, h), 5) for t, h in zip(tasks, here) if h.any()},
            'task_rpy_l1': {t: round(mean(rpy, h), 5) for t, h in zip(tasks, here) if h.any()},
            'task_gripper_wrong': {
                t: round(mean(wrong, h), 5) for t, h in zip(tasks, here) if h.any()
            },
        }

    return validate if len(samples) else None
