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
    CheckpointError,
    config_from_dict,
    config_to_dict,
    load_checkpoint,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.data.calvin import with_validation
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.parallel import first_of_machine, leads
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.stages.sight import Shown, load_sight
from vw2_ros.models.stages.warmup import (
    CODES_FILE,
    ClipConfig,
    DumpConfig,
    override,
    prepare,
    read_codes,
    write_codes,
)
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.training.augment import AugmentConfig
from vw2_ros.models.training.loop import (
    FrameSource,
    TrainConfig,
    TrainingError,
    fit,
    from_dict,
    provenance,
    stage_configs,
)
from vw2_ros.models.vision import VisionConfig

SPARSE = 12  # frames between clips, where no file of codes says how many


class Phrasebook:
    """Tokens of every wording of every task, ready to be drawn from.

    Args:
        phrases: task -> wordings. Tasks are numbered in the order of the mapping.
    """

    def __init__(self, phrases: dict[str, list[str]], tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.count = np.array([len(p) for p in phrases.values()])
        shape = (len(phrases), self.count.max(), tokenizer.max_length, tokenizer.width)
        self.tokens = np.zeros(shape, np.int64)
        for i, wordings in enumerate(phrases.values()):
            self.tokens[i, : len(wordings)] = tokenizer.encode_batch(wordings)

    def draw(
        self, task: np.ndarray, rng: np.random.Generator, augment: AugmentConfig | None = None
    ) -> np.ndarray:
        """int64 (n, L, width): a random wording of each task; all zero where task is -1."""
        phrase = (rng.random(len(task)) * self.count[task]).astype(np.int64)
        tokens = self.tokens[task, phrase]
        if augment:
            tokens = self.tokenizer.augment(
                tokens,
                rng,
                forget=augment.forget,
                drop_ngrams=augment.drop_ngrams,
                drop_word=augment.drop_word,
            )
            task = np.where(rng.random(len(task)) < augment.null_instruction, -1, task)
        tokens[task < 0] = 0
        return tokens


class CodedFrames:
    """Frames whose next codes are known, with their task where they have one.

    Attributes:
        rows int64 (m,), indices int64 (m, K-1, N), task int64 (m,) (-1: none) and valid
        bool (m, K-1): False for a step that shows frames after the end of its task.
    """

    def __init__(
        self,
        store: FrameStore,
        rows: np.ndarray,
        indices: np.ndarray,
        tasks: Sequence[str],
        frames_per_step: int = 4,
    ):
        task_at = np.full(len(store), -1)
        end_at = np.full(len(store), len(store))
        for i, folder in enumerate(store.folders):
            for window in folder.windows:
                a, b = store.rows_of(i, np.array([window.start, window.end]))
                if window.task in tasks:
                    task_at[a : b + 1] = tasks.index(window.task)
                    end_at[a : b + 1] = b
        self.rows, self.indices = rows, indices
        self.task = task_at[rows]
        step_end = rows[:, None] + frames_per_step * np.arange(1, indices.shape[1] + 1)
        self.valid = step_end <= end_at[rows][:, None] + 1

    def __len__(self) -> int:
        return len(self.rows)


def phrases_of(store: FrameStore) -> dict[str, list[str]]:
    """task -> its distinct wordings in the annotations; both sorted."""
    found: dict[str, set[str]] = {}
    for folder in store.folders:
        for window in folder.windows:
            found.setdefault(window.task, set()).add(window.phrase)
    return {task: sorted(found[task]) for task in sorted(found)}


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
    dldm = load_part(DLDM, DLDMConfig, init, 'dldm')
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


def previous(folder: Path) -> dict:
    """Provenance of the stage before, empty where it left none."""
    try:
        return load_json(Path(folder) / 'provenance.json')
    except CheckpointError:
        return {}


def load_part(cls: type, config_cls: type, folder: Path, name: str) -> torch.nn.Module:
    """One model of a run folder, e.g. load_part(DLDM, DLDMConfig, folder, 'dldm'), on the CPU.

    Raises:
        CheckpointError: missing, damaged, or weights and config do not belong together.
    """
    folder = Path(folder)
    config = load_json(folder / 'config.json')
    if name not in config:
        raise CheckpointError(
            f'{folder}/config.json must have a section {name!r}. Got '
            f'{sorted(config)}. Is this the folder of the stage before?'
        )
    model = cls(config_from_dict(config_cls, config[name]))
    tensors, _ = load_tensors(folder / f'{name}.safetensors', limit=MAX_STATE_BYTES)
    load_state(model, tensors, str(folder))
    return model.eval()


def clips_of(folder: Path) -> ClipConfig:
    """Which clips the dLDM of a run folder reads.

    Raises:
        CheckpointError, ConfigError: no config.json, or what it says of clips makes no sense.
    """
    return from_dict(ClipConfig, load_json(Path(folder) / 'config.json').get('clips'), 'clips')


def codes_for(
    dldm: DLDM, init: Path, store: FrameStore, out: Path, name: str = CODES_FILE
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the store's frames: from `init`; what it lacks is encoded and kept in `out`."""
    with first_of_machine():
        known, stride = None, SPARSE
        for path in (init / name, out / name):
            if not path.is_file():
                continue
            stride = int(load_tensors(path, limit=MAX_STATE_BYTES)[1].get('stride', stride))
            try:
                codes = read_codes(path, store)
            except TrainingError as error:
                if 'other data' not in str(error):
                    raise
                continue
            if len(np.unique(store.folder_of(codes[0]))) == len(store.folders):
                return codes
            known = codes
        out.mkdir(parents=True, exist_ok=True)
        clips = clips_of(init)
        pictures = clips.store([f.path for f in store.folders], 'training', dldm.config.size)
        write_codes(dldm, pictures, out / name, DumpConfig(stride=stride), clips, known)
        return read_codes(out / name, store)


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
