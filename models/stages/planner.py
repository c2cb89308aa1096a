# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the planner: it learns to continue video as latent codes, without actions.

    vw2 train planner --config cpu --data DIR --init runs/dldm --sight runs/sight --out runs/planner

VideoWorld 2, appendix A, "Latent pre-training on CALVIN": instruction + first image -> codes,
cross-entropy, AdamW as in table A.1. Frames without an instruction, and a share of those with one,
take an empty instruction. With --sight the keypoints come from `vw2 train sight` and stay as they
are; without, sight learns here, from the codes alone. With --start a policy's words, keypoints and
backbone are taken on as they are, and only what belongs to the codes is new and learns: for the
codes of another dLDM. `vw2 train head --start` goes on from there. With --codes, a published file of
codes (`data/published.py`) takes the place of --init, and the data are the videos that it names.

Output, beside what `Training` writes: planner.safetensors, config.json, tokenizer.json,
provenance.json, and dldm.safetensors from --init, if there is one.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from vw2_ros.files import file_sha256
from vw2_ros.models.checkpoint import load_checkpoint
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig
from vw2_ros.models.data.batches import ClipConfig, FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.clips import clip_store
from vw2_ros.models.data.codes import CODES_FILE, CodedFrames, OtherDataError, clips_of, codes_for
from vw2_ros.models.data.keypoints import Shown
from vw2_ros.models.data.phrases import Phrasebook, phrases_of, unseen_tasks
from vw2_ros.models.data.published import clips_of_videos, config_of, read_published
from vw2_ros.models.data.store import ClipStore, FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.run_folder import load_model, load_sight, previous, save_run, with_keypoints
from vw2_ros.models.storage import save_json
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.training.config import TrainConfig, read_settings
from vw2_ros.models.training.stage import Stage
from vw2_ros.models.vision import VisionConfig

HELD_OUT = 1024  # frames that scores come from


@dataclasses.dataclass(frozen=True)
class PlannerSettings:
    """The config's section `planner`."""

    section: ClassVar[str] = 'planner'
    model: dict  # fields of PlannerConfig that words, sight and codes do not decide
    vision: VisionConfig
    train: TrainConfig
    augment: AugmentConfig
    tokenizer: dict  # of Tokenizer.build


@dataclasses.dataclass(frozen=True)
class HeldOutCodes:
    """Frames of the validation split whose codes and task are known."""

    store: ClipStore
    coded: CodedFrames
    pick: np.ndarray  # int64 (m,): which of `coded`
    tokens: np.ndarray  # int64 (m, L, width): their instructions


class PlannerStage(Stage):
    """The planner learns the codes of the training split.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, as for the dLDM.
        init: run folder of the dLDM. Folders that its codes do not cover are encoded first.
        sight: run folder of the keypoint encoder.
        start: policy to begin with, whose sizes then hold, and whose sight without `sight`.
        codes: published file of codes, instead of `init`; the data may then be videos, and sight
            learns here.
        seed, max_minutes: instead of the config's.
    """

    name, watch = 'planner', 'loss'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        init: Path | None = None,
        sight: Path | None = None,
        start: Path | str | None = None,
        seed: int | None = None,
        max_minutes: float | None = None,
        codes: Path | None = None,
    ):
        if (init is None) == (codes is None) or (codes is not None and (sight or start)):
            raise ConfigError(
                'a planner must have either init or codes, and with codes neither sight nor start. '
                f'Got init {init}, codes {codes}, sight {sight}, start {start}'
            )
        self.settings = read_settings(PlannerSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.data, self.sight, self.start, self.codes = data, sight, start, codes
        self.init = Path(init) if init is not None else None

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        self.device = device
        self.begun = load_checkpoint(self.start) if self.start is not None else None
        if self.begun:
            vision = dataclasses.replace(self.begun.planner.config.vision, frozen=True)
        else:
            vision = dataclasses.replace(self.settings.vision, frozen=self.sight is not None)
        self.store = self._store('training', vision.image_size)
        self.phrases = phrases_of(self.store) or {'none': ['none']}
        self.tokenizer = (
            self.begun.tokenizer
            if self.begun
            else Tokenizer.build(
                (p for many in self.phrases.values() for p in many), **self.settings.tokenizer
            )
        )
        self.book = Phrasebook(self.phrases, self.tokenizer)
        self._read_codes()
        self.coded = self._coded(self.store, out)
        self.samples = len(self.coded)
        self.config = planner_config(
            dataclasses.asdict(self.begun.planner.config) if self.begun else self.settings.model,
            vision,
            self.tokenizer,
            self.dldm_config,
        )
        self.held_out = self._held_out(out)

    def _store(self, split: str, size: int) -> ClipStore | None:
        if self.codes:
            return clip_store(self.data, split, size)
        roots = self.data if split == 'training' else with_validation(self.data)
        return FrameStore(roots, split, size) if roots else None

    def _read_codes(self) -> None:
        """The dLDM that makes the codes; of published ones only their number is known."""
        if self.init is not None:
            self.dldm = load_model(DLDM, DLDMConfig, self.init, 'dldm')
            self.dldm_config, self.clips = self.dldm.config, clips_of(self.init)
            return
        self.published, weights = read_published(self.codes)
        if weights is not None:
            raise TrainingError(
                f'{self.codes} must hold codes, as VideoCraft-dLDM-codes.pt does. Got the '
                f'{len(weights)} weights of a dLDM, which has other layers than ours: '
                f'vw2 inspect --codes {self.codes} names them'
            )
        self.dldm_config, self.clips = config_of(self.published), ClipConfig()

    def _coded(self, store: ClipStore, out: Path, name: str = CODES_FILE) -> CodedFrames:
        if self.codes:
            # A clip is one whole file, so no step of it shows frames of something else.
            codes = clips_of_videos(self.published, store, self.codes)
            return CodedFrames(store, *codes, list(self.phrases), frames_per_step=0)
        codes = codes_for(self.dldm, self.init, store, out, name)
        frames = self.clips.frames_per_step(self.dldm.config)
        return CodedFrames(store, *codes, list(self.phrases), frames)

    def _held_out(self, out: Path) -> HeldOutCodes | None:
        store = self._store('validation', self.config.vision.image_size)
        if store is None:
            return None
        span = self.clips.within(self.dldm_config.clip_frames)[-1] + 1
        if self.init is not None and not len(store.clip_starts(span)):
            return None
        try:
            coded = self._coded(store, out, f'validation_{CODES_FILE}')
        except OtherDataError:  # published codes, of other videos than those held out
            return None
        rng = np.random.default_rng(0)
        judged = coded.task >= 0 if self.init is not None else np.ones(len(coded), bool)
        pick = np.sort(rng.permutation(np.flatnonzero(judged))[:HELD_OUT])
        if not len(pick):
            if held_out := sorted(phrases_of(store)):
                self.unjudged = unseen_tasks(with_validation(self.data), held_out)
            return None
        return HeldOutCodes(store, coded, pick, self.book.draw(coded.task[pick], rng))

    def build(self) -> nn.Module:
        self.model = Planner(self.config)
        if self.begun:
            begun = self.begun.planner
            take_on(self.model, with_keypoints(begun, self.sight) if self.sight else begun)
        elif self.sight is not None:
            load_sight(self.model.vision, self.sight)
        self.model.to(self.device)
        source = FrameSource(self.store, self.device, self.train.preload)
        self.shown = Shown(self.model.vision, source, self.settings.augment)
        return self.model

    def identity(self) -> dict:
        return {
            'data': self.store.content_hash,
            'model': dataclasses.asdict(self.config),
            'words': len(self.tokenizer.words),
        }

    def batch(self, step: int) -> dict:
        coded, augment = self.coded, self.settings.augment
        rng = np.random.default_rng([self.train.seed, step])
        pick = rng.integers(len(coded), size=self.train.batch)
        return {
            **self.shown.part(rng, coded.rows[pick]),
            'tokens': torch.from_numpy(self.book.draw(coded.task[pick], rng, augment)),
            'codes': torch.from_numpy(coded.indices[pick]),
            'valid': torch.from_numpy(coded.valid[pick]),
        }

    def finish(self, batch: dict) -> dict:
        return self.shown.finish(batch)

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        result = self.model.loss(Shown.of(batch), batch['tokens'], batch['codes'], batch['valid'])
        return {'loss': result['loss'], 'accuracy': result['accuracy']}

    def validate(self) -> dict:
        if self.held_out is None:
            return {}
        h, total = self.held_out, {'loss': 0.0, 'accuracy': 0.0}
        for part in np.array_split(np.arange(len(h.pick)), -(-len(h.pick) // 64)):
            here = h.pick[part]
            rgb = h.store.rgb(h.coded.rows[here])  # (b, S, S, 3)
            rgb = torch.from_numpy(rgb).permute(0, 3, 1, 2)  # (b, 3, S, S)
            given = (h.tokens[part], h.coded.indices[here], h.coded.valid[here])
            result = self.model.loss(
                rgb.to(self.device), *(torch.from_numpy(x).to(self.device) for x in given)
            )
            for key in total:
                total[key] += float(result[key]) * len(part) / len(h.pick)
        return total

    def facts(self) -> dict:
        return {
            'samples': len(self.coded),
            'augment': dataclasses.asdict(self.settings.augment),
            'dldm': previous(self.init) if self.init else {},
            **({'codes': [self.codes.name, file_sha256(self.codes)]} if self.codes else {}),
            'sight': previous(self.sight) if self.sight else {},
            'start': self.begun.provenance if self.begun else {},
        }

    def save(self, out: Path, record: dict) -> None:
        # `codes`: what is known of the dLDM, where there is none.
        dldm = {'dldm' if self.init else 'codes': self.dldm_config}
        config = {'planner': self.config, **dldm, 'clips': self.clips}
        save_run(out, record, config, planner=self.model)
        save_json(out / 'tokenizer.json', self.tokenizer.to_dict())
        for name in ('dldm.safetensors', CODES_FILE, f'validation_{CODES_FILE}'):
            if not self.init:
                break
            if (self.init / name).is_file() and not (out / name).is_file():
                shutil.copyfile(self.init / name, out / name)  # the head needs this folder only


def planner_config(
    model: dict, vision: VisionConfig, tokenizer: Tokenizer, dldm: DLDMConfig
) -> PlannerConfig:
    """The planner's config: sizes from the YAML file, the rest from what it must fit to."""
    plain = from_dict(PlannerConfig, model, 'planner.model')
    return dataclasses.replace(
        plain,
        vision=vision,
        vocab_size=tokenizer.vocab_size,
        buckets=tokenizer.buckets,
        max_words=tokenizer.max_length,
        steps=dldm.steps,
        queries=dldm.queries,
        codebook_size=dldm.codebook_size,
    )


def take_on(model: Planner, begun: Planner) -> None:
    """Take all weights of a planner but those that name its codes; only the latter then learn."""
    own, theirs = dict(model.named_parameters()), begun.state_dict()
    table = 'backbone.embed_tokens.weight'
    with torch.no_grad():
        for name, parameter in own.items():
            if name == table:
                parameter[0] = theirs[name][0]  # the start of a plan
            elif not name.startswith('heads.'):
                parameter.copy_(theirs[name])
                parameter.requires_grad_(False)
