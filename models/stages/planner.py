# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stage 2 of training: the planner learns to continue video as latent codes, without actions.

    vw2 train planner --config cpu --data DIR --init runs/dldm --sight runs/sight --out runs/planner

VideoWorld 2, appendix A, "Latent pre-training on CALVIN": instruction + first image -> codes,
cross-entropy, AdamW as in table A.1. Frames without an instruction, and a share of those with one,
take an empty instruction. With --sight the keypoints come from `train_sight.py` and stay as they
are; without, sight learns here, from the codes alone. With --start a policy's words, keypoints and
backbone are taken on as they are, and only what belongs to the codes is new and learns: for the
codes of another dLDM. `vw2 train head --start` goes on from there.

Output, beside what `fit` writes: planner.safetensors, config.json, tokenizer.json,
provenance.json, and dldm.safetensors from --init.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.checkpoint import (
    MAX_STATE_BYTES,
    config_to_dict,
    load_checkpoint,
    save_json,
    save_tensors,
)
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import AugmentConfig
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.codes import CODES_FILE, CodedFrames, clips_of, codes_for
from vw2_ros.models.data.keypoints import Shown
from vw2_ros.models.data.phrases import Phrasebook, phrases_of
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import TrainingError
from vw2_ros.models.parallel import leads
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.run_folder import load_model, load_sight, previous
from vw2_ros.models.stages.warmup import override, prepare
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import fit, provenance
from vw2_ros.models.vision import VisionConfig


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    init: Path | None = None,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
    sight: Path | None = None,
    start: Path | str | None = None,
) -> dict:
    """Pre-train the planner on the codes of the training split.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, as for the dLDM. out: run folder. resume: go on with the run in it.
        init: run folder of the dLDM. Folders that its codes do not cover are encoded first.
        seed, max_minutes: instead of the config's. sight: run folder of the keypoint encoder.
        start: policy to begin with, whose sizes and sight then hold.
    Returns:
        provenance, with the last losses; {} of all processes but the first.
    Raises:
        CheckpointError, ConfigError, DataError, TrainingError: see there. SystemExit(130):
        interrupted, saved.
    """
    parts = stage_configs(
        config,
        'planner',
        model=dict,
        vision=VisionConfig,
        train=TrainConfig,
        augment=AugmentConfig,
        tokenizer=dict,
    )
    if init is None:
        raise TrainingError(
            'the planner learns the codes of a dLDM: give its run folder as '
            '--init (from `vw2 train dldm`)'
        )
    train, augment = override(parts['train'], seed, max_minutes), parts['augment']
    device = prepare(train)
    out, init = Path(out), Path(init)
    begun = load_checkpoint(start) if start is not None else None
    vision = (
        dataclasses.replace(begun.planner.config.vision, frozen=True)
        if begun
        else dataclasses.replace(parts['vision'], frozen=sight is not None)
    )
    store = FrameStore(data, 'training', vision.image_size)
    phrases = phrases_of(store) or {'none': ['none']}
    tokenizer = (
        begun.tokenizer
        if begun
        else Tokenizer.build((p for many in phrases.values() for p in many), **parts['tokenizer'])
    )
    dldm = load_model(DLDM, DLDMConfig, init, 'dldm')
    clips = clips_of(init)
    frames = clips.frames_per_step(dldm.config)
    coded = CodedFrames(store, *codes_for(dldm, init, store, out), list(phrases), frames)
    model_config = planner_config(
        dataclasses.asdict(begun.planner.config) if begun else parts['model'],
        vision,
        tokenizer,
        dldm.config,
    )
    torch.manual_seed(train.seed)
    model = Planner(model_config)
    if sight is not None:
        load_sight(model.vision, sight)
    if begun:
        take_on(model, begun.planner)
    model.to(device)
    shown = Shown(model.vision, FrameSource(store, device, train.preload), augment)
    book = Phrasebook(phrases, tokenizer)

    def make_batch(step: int) -> dict:
        rng = np.random.default_rng([train.seed, step])
        pick = rng.integers(len(coded), size=train.batch)
        return {
            **shown.part(rng, coded.rows[pick]),
            'tokens': torch.from_numpy(book.draw(coded.task[pick], rng, augment)),
            'codes': torch.from_numpy(coded.indices[pick]),
            'valid': torch.from_numpy(coded.valid[pick]),
        }

    def loss(batch: dict, progress: float) -> dict:
        result = model.loss(shown.of(batch), batch['tokens'], batch['codes'], batch['valid'])
        return {'loss': result['loss'], 'accuracy': result['accuracy']}

    validate = _validation(model, data, vision.image_size, dldm, init, out, phrases, book)
    identity = {
        'data': store.content_hash,
        'model': dataclasses.asdict(model_config),
        'seed': train.seed,
        'batch': train.batch,
        'words': len(tokenizer.words),
    }
    ended = fit(
        'planner',
        model,
        train,
        out,
        make_batch=make_batch,
        loss=loss,
        finish=shown.finish,
        resume=resume,
        identity=identity,
        validate=validate,
        samples=len(coded),
        watch='loss',
    )
    if not leads():
        return {}
    record = provenance(
        stage='planner',
        data=store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        samples=len(coded),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        train=dataclasses.asdict(train),
        augment=dataclasses.asdict(augment),
        dldm=previous(init),
        sight=previous(sight) if sight else {},
        start=begun.provenance if begun else {},
    )
    # a run's, not a policy's: 64,000 codes do not fit into a file that is shipped
    save_tensors(out / 'planner.safetensors', model.state_dict(), limit=MAX_STATE_BYTES)
    save_json(
        out / 'config.json',
        {
            'planner': config_to_dict(model_config),
            'dldm': config_to_dict(dldm.config),
            'clips': config_to_dict(clips),
        },
    )
    save_json(out / 'tokenizer.json', tokenizer.to_dict())
    save_json(out / 'provenance.json', record)
    for path in (init / 'dldm.safetensors', init / CODES_FILE, init / f'validation_{CODES_FILE}'):
        if path.is_file() and not (out / path.name).is_file():
            shutil.copyfile(path, out / path.name)  # the last stage needs nothing but this folder
    return record


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


def _validation(
    model: Planner,
    data: Sequence[Path],
    size: int,
    dldm: DLDM,
    init: Path,
    out: Path,
    phrases: dict,
    book: Phrasebook,
    count: int = 1024,
) -> Callable[[], dict] | None:
    """Cross-entropy and accuracy on the held-out split, if there is one."""
    roots = with_validation(data)
    if not roots:
        return None
    store = FrameStore(roots, 'validation', size)
    clips = clips_of(init)
    if not len(store.clip_starts(clips.within(dldm.config.clip_frames)[-1] + 1)):
        return None
    rows, indices = codes_for(dldm, init, store, out, 'validation_' + CODES_FILE)
    coded = CodedFrames(store, rows, indices, list(phrases), clips.frames_per_step(dldm.config))
    rng = np.random.default_rng(0)
    pick = np.sort(rng.permutation(np.flatnonzero(coded.task >= 0))[:count])
    tokens = book.draw(coded.task[pick], rng)

    def validate() -> dict:
        total: dict[str, float] = {}
        for part in np.array_split(np.arange(len(pick)), -(-len(pick) // 64)):
            device = next(model.parameters()).device
            here = pick[part]
            rgb = torch.from_numpy(store.rgb(coded.rows[here])).permute(0, 3, 1, 2)
            result = model.loss(
                *(
                    x.to(device)
                    for x in (
                        rgb,
                        torch.from_numpy(tokens[part]),
                        torch.from_numpy(coded.indices[here]),
                        torch.from_numpy(coded.valid[here]),
                    )
                )
            )
            for key in ('loss', 'accuracy'):
                total[key] = total.get(key, 0.0) + float(result[key]) * len(part) / len(pick)
        return total

    return validate if len(pick) else None
