# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the video diffusion model as first frame -> video, on video without labels.

    vw2 train vdm --config cpu --data DIR --out runs/vdm

Two lessons. The video autoencoder learns to rebuild clips; its run is in `vae/` under the output
folder. Then it stays as it is, and the backbone learns by flow matching in its latents, without
codes: VideoWorld 2 starts from a pretrained Cosmos-Predict2 here, which knows video already. The
control branch, and the connector but for its null token, stay as initialised, since what they read
comes from a dLDM. Output, beside what `fit` writes: vdm.safetensors, config.json, provenance.json,
and curves.png, the errors of held-out clips.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.checkpoint import (
    MAX_FILE_BYTES,
    MAX_STATE_BYTES,
    config_to_dict,
    save_json,
    save_tensors,
)
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.parallel import common_count, leads, world
from vw2_ros.models.stages.warmup import override, prepare, strips
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import checkpoints, fit, foretell, provenance
from vw2_ros.models.vdm import VDM
from vw2_ros.models.vdm_config import VDMConfig

MEASURED = 64  # clips that the latents' mean and deviation are taken from
# Frames of the windows that the autoencoder learns from, how often each is drawn, and by how much
# its batch is smaller. One picture teaches what a picture is in a tenth of the time of a clip; a
# whole clip must come, too: without, errors tripled from the ninth frame on.
WINDOWS = ((1, 0.78, 1), (5, 0.13, 2), (None, 0.09, 4))
NOISE_DRAWS = 4  # of noise and time per held-out clip, the same ones at every validation
IMAGINED = 8  # held-out clips that are imagined at a validation
SAMPLE_STEPS = 20  # of Euler's method


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Train autoencoder and diffusion model on the training split of `data`.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, each with training/ (and validation/, where there is one).
        out: run folder.
        resume: go on with the run that is in `out`.
        seed: instead of the config's `train.seed`.
        max_minutes: of both lessons together, shared as in the config.
    Returns:
        provenance, with the last losses; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError: see there. SystemExit(130): interrupted, saved.
    """
    parts = stage_configs(
        config, 'vdm', model=VDMConfig, vae=TrainConfig, train=TrainConfig, clips=ClipConfig
    )
    clips = parts['clips']
    c = dataclasses.replace(parts['model'], fps=clips.rate(parts['model'].clip_frames))
    first, train = (
        override(part, seed, minutes)
        for part, minutes in zip(
            (parts['vae'], parts['train']), share(parts['vae'], parts['train'], max_minutes)
        )
    )
    first = dataclasses.replace(
        first, **{k: getattr(train, k) for k in ('seed', 'device', 'threads', 'preload')}
    )  # one machine, and one store, for both
    device = prepare(train)
    out = Path(out)
    foretell('vdm', lambda: settle(VDM(c)), train)
    source = ClipSource(data, clips, c.clip_frames, c.size, device, train.preload)
    held_out = to_video(torch.from_numpy(held_out_clips(data, clips, c.clip_frames, c.size)))
    watched = held_out[:4] if len(held_out) else to_video(torch.from_numpy(source.spread(4)))
    torch.manual_seed(train.seed)
    model = VDM(c).to(device)
    identity = {
        'data': source.store.content_hash,
        'model': dataclasses.asdict(c),
        'seed': train.seed,
    }

    # Lesson 1. A checkpoint of lesson 2 holds what came of it.
    if not checkpoints(out):
        learn_to_rebuild(
            model,
            first,
            out / 'vae',
            source,
            held_out,
            watched,
            resume=resume,
            identity={**identity, 'batch': first.batch},
        )
        model.measure_latents(to_video(torch.from_numpy(source.spread(MEASURED))).to(device))

    # Lesson 2.
    settle(model)

    def loss(batch: dict, progress: float) -> dict:
        return {'loss': model.loss(batch['video'], generator=batch['noise'])}

    shown: dict[str, torch.Tensor] = {}

    def validate() -> dict:
        scores = {'loss': flow_error(model, held_out, train.batch)}
        true = held_out[:IMAGINED]
        shown['imagined'] = imagine(model, true)
        # A likely clip need not be the one that came: compare with a clip that stands still.
        return {
            **scores,
            'imagined_mse': float((shown['imagined'] - true).square().mean()),
            'still_mse': float((true - true[:, :1]).square().mean()),
        }

    def on_report(reporter, step: int, scalars: dict) -> None:
        imagined = shown.pop('imagined') if shown else imagine(model, watched)
        reporter.image('real_above_imagined', strips(watched, imagined[: len(watched)]), step)

    ended = fit(
        'vdm',
        model,
        train,
        out,
        make_batch=partial(source.make_batch, batch=train.batch, seed=train.seed),
        loss=loss,
        finish=source.finish,
        resume=resume,
        on_report=on_report,
        identity={**identity, 'batch': train.batch, 'vae_batch': first.batch},
        validate=validate if len(held_out) else None,
    )
    if not leads():
        return {}
    scores = {
        **ended.last,
        **(rebuilt_error(model, held_out, first.batch) if len(held_out) else {}),
    }
    record = provenance(
        stage='vdm',
        data=source.store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=scores,
        train=dataclasses.asdict(train),
        vae=dataclasses.asdict(first),
        clips=dataclasses.asdict(clips),
    )
    save_vdm(out, model)
    save_json(out / 'config.json', {'vdm': config_to_dict(c)})
    save_json(out / 'provenance.json', record)
    if len(held_out):
        draw_curves(out)
    return record


def draw_curves(out: Path) -> None:
    """Write curves.png: what the logs of both lessons, where they are, say of held-out clips."""
    from matplotlib.figure import Figure

    panels = [
        ('vae', 'autoencoder', 'MSE of rebuilt clips', {'rebuilt_mse': 'rebuilt'}),
        ('.', 'first frame → video', 'denoising loss', {'loss': 'held-out'}),
        (
            '.',
            'drawn from the first frame',
            f'MSE, {SAMPLE_STEPS} steps of sampling',
            {'imagined_mse': 'drawn', 'still_mse': 'standing still'},
        ),
    ]
    panels = [p for p in panels if (out / p[0] / 'log.jsonl').is_file()]
    figure = Figure(figsize=(3.4 * len(panels), 2.8), layout='constrained', facecolor='white')
    for axes, (part, title, label, lines) in zip(figure.subplots(1, len(panels)), panels):
        reports = validations(out / part / 'log.jsonl')
        for (key, name), colour in zip(lines.items(), ('#3b76c4', '#98a2b3')):
            axes.plot(
                [r['step'] for r in reports],
                [r[key] for r in reports],
                color=colour,
                marker='o',
                ms=3,
                label=name,
            )
        axes.set(title=title, xlabel='step', ylabel=label)
        axes.set_ylim(bottom=0)
        if len(lines) > 1:
            axes.legend(frameon=False)
        axes.spines[['top', 'right']].set_visible(False)
    beside = out / 'curves.png.part'
    figure.savefig(beside, format='png', dpi=90)
    os.replace(beside, out / 'curves.png')


def validations(log: Path) -> list[dict]:
    """The reports of held-out clips in a log.jsonl; of one step the last."""
    reports = map(json.loads, log.read_text().splitlines())
    return list({r['step']: r for r in reports if r['kind'] == 'validation'}.values())


def save_vdm(out: Path, model: VDM) -> None:
    """Write vdm.safetensors, as float16 where float32 would not fit into a shipped file."""
    state = model.state_dict()
    size = sum(4 * v.numel() for v in state.values())
    save_tensors(
        out / 'vdm.safetensors',
        state,
        limit=MAX_STATE_BYTES,
        dtype='float32' if size < MAX_FILE_BYTES else 'float16',
    )


def share(
    vae: TrainConfig, train: TrainConfig, minutes: float | None
) -> tuple[float | None, float | None]:
    """Minutes of both lessons together -> of each, in the ratio of their configs (else halves)."""
    if minutes is None:
        return None, None
    boxed = vae.max_minutes and train.max_minutes
    part = vae.max_minutes / (vae.max_minutes + train.max_minutes) if boxed else 0.5
    return part * minutes, (1 - part) * minutes


# --------------------------------------------------------------------------------------- lesson 1


def learn_to_rebuild(
    model: VDM,
    config: TrainConfig,
    out: Path,
    source: ClipSource,
    held_out: torch.Tensor,
    watched: torch.Tensor,
    *,
    resume: bool,
    identity: dict,
) -> None:
    """Train the model's autoencoder.

    Args:
        held_out, watched: clips float (B, F, 3, H, W) for errors (may be none) and for pictures.
        Others: see `fit`.
    Raises:
        TrainingError, SystemExit: see `fit`.
    """

    def make_batch(step: int) -> dict:
        return window(source.make_batch(step, config.batch, config.seed), config.seed)

    def finish(batch: dict) -> dict:
        return {**source.finish(batch), 'counts': batch['counts']}

    def loss(batch: dict, progress: float) -> dict:
        each = model.autoencoder_loss(batch['video'], generator=batch['noise'])  # (B,)
        counts = batch['counts']
        return {'loss': (each * counts).sum() / common_count(counts.sum())}

    def validate() -> dict:
        return rebuilt_error(model, held_out, config.batch)

    def on_report(reporter, step: int, scalars: dict) -> None:
        picture = strips(watched, rebuild(model, watched, config.batch))
        reporter.image('real_above_rebuilt', picture, step)

    fit(
        'vae',
        model.vae,
        config,
        out,
        make_batch=make_batch,
        loss=loss,
        finish=finish,
        resume=resume,
        identity=identity,
        on_report=on_report,
        validate=validate if len(held_out) else None,
    )


def window(batch: dict, seed: int) -> dict:
    """The part of a batch, rows (B, F), that a step of lesson 1 sees, see `WINDOWS`.

    `counts`, bool: which clips are of it; others only make it a multiple of the processes.
    """
    rng = np.random.default_rng([seed, 1, batch['step']])
    frames, _, fewer = WINDOWS[rng.choice(len(WINDOWS), p=[share for _, share, _ in WINDOWS])]
    B, F = batch['rows'].shape
    frames = min(frames or F, F)
    first = int(rng.integers(F - frames + 1))
    clips = max(B // fewer, 1)
    shared = -(-clips // world()) * world()
    batch = {k: v[:shared] if getattr(v, 'ndim', 0) else v for k, v in batch.items()}
    return {
        **batch,
        'rows': batch['rows'][:, first : first + frames],
        'counts': torch.arange(shared) < clips,
    }


@torch.no_grad()
def rebuild(model: VDM, video: torch.Tensor, batch: int) -> torch.Tensor:
    """Clips (B, F, 3, H, W) through the autoencoder, `batch` at a time; result on the CPU."""
    device = model.statistics.device
    return torch.cat(
        [model.decode(model.encode(part.to(device))).cpu() for part in video.split(batch)]
    )


def rebuilt_error(model: VDM, video: torch.Tensor, batch: int) -> dict[str, float]:
    """Mean squared error of rebuilt clips, pixels in [0, 1]."""
    return {'rebuilt_mse': float((rebuild(model, video, batch) - video).square().mean())}


# --------------------------------------------------------------------------------------- lesson 2


def settle(model: VDM) -> VDM:
    """Leave autoencoder and control branch as they are from now on."""
    for part in filter(None, (model.vae, model.controlnet)):
        part.requires_grad_(False)
    return model


@torch.no_grad()
def flow_error(model: VDM, video: torch.Tensor, batch: int) -> float:
    """Loss of clips, with the same noise at every call so that it is one curve."""
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for part in video.split(batch):
        latents = model.encode(part.to(model.statistics.device))
        for _ in range(NOISE_DRAWS):
            total += float(model.flow_loss(latents, generator=generator)) * len(part)
    return total / (NOISE_DRAWS * len(video))


def imagine(model: VDM, video: torch.Tensor) -> torch.Tensor:
    """Clips (B, F, 3, H, W) -> what is imagined from the first frame of each, on the CPU."""
    first = video[:, 0].to(model.statistics.device)
    return model.sample(
        first, steps=SAMPLE_STEPS, generator=torch.Generator().manual_seed(0)
    ).cpu()
