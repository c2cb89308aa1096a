# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training of the video diffusion model as first frame -> video, on video without labels.

    vw2 train vdm --config cpu --data DIR --out runs/vdm

Two lessons. The video autoencoder learns to rebuild clips; its run is in `vae/` under the output
folder. (A `patch` code, see `VDMConfig.vae`, is taken from clips and needs no lesson.) Then it
stays as it is, and the backbone learns by flow matching in its latents, without codes: VideoWorld 2
starts from a pretrained Cosmos-Predict2 here, which knows video already. The control branch, and
the connector but for its null token, stay as initialised, since what they read comes from a dLDM.
Output, beside what `Training` writes: vdm.safetensors, config.json, provenance.json, and
curves.png, the errors of held-out clips.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from vw2_ros.files import whole
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.parallel import common_count, world
from vw2_ros.models.run_folder import save_run
from vw2_ros.models.storage import MAX_FILE_BYTES, MAX_STATE_BYTES, save_tensors
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.config import TrainConfig, read_settings
from vw2_ros.models.training.footprint import foretell
from vw2_ros.models.training.reporter import Reporter, strips
from vw2_ros.models.training.run import run
from vw2_ros.models.training.stage import Stage
from vw2_ros.models.vdm import VDM
from vw2_ros.models.vdm_config import VDMConfig

MEASURED = 64  # clips that the latents' mean and deviation are taken from
FITTED = 256  # clips that a `patch` code takes its directions from
# Frames of the windows that the autoencoder learns from, how often each is drawn, and by how much
# its batch is smaller. One picture teaches what a picture is in a tenth of the time of a clip; a
# whole clip must come, too: without, errors tripled from the ninth frame on.
WINDOWS = ((1, 0.78, 1), (5, 0.13, 2), (None, 0.09, 4))
NOISE_DRAWS = 4  # of noise and time per held-out clip, the same ones at every validation
IMAGINED = 8  # held-out clips that are imagined at a validation
SAMPLE_STEPS = 20  # of Euler's method


@dataclasses.dataclass(frozen=True)
class VDMSettings:
    """The config's section `vdm`."""

    section: ClassVar[str] = 'vdm'
    model: VDMConfig
    vae: TrainConfig  # of the autoencoder, the first lesson
    train: TrainConfig
    clips: ClipConfig


def share(
    vae: TrainConfig, train: TrainConfig, minutes: float | None
) -> tuple[float | None, float | None]:
    """Divide the minutes of both lessons in the ratio of their configs, else in halves."""
    if minutes is None:
        return None, None
    boxed = vae.max_minutes and train.max_minutes
    part = vae.max_minutes / (vae.max_minutes + train.max_minutes) if boxed else 0.5
    return part * minutes, (1 - part) * minutes


# --------------------------------------------------------------------------------------- lesson 1


class AutoencoderStage(Stage):
    """The first lesson of `VDMStage`: the model's autoencoder learns to rebuild clips.

    Args:
        model: whose autoencoder learns. train: how. source: of the clips.
        held_out, watched: clips float (B, F, 3, H, W) for errors (may be none) and for pictures.
        identity: of the VDM's run.
    """

    name = 'vae'

    def __init__(
        self,
        model: VDM,
        train: TrainConfig,
        source: ClipSource,
        held_out: torch.Tensor,
        watched: torch.Tensor,
        identity: dict,
    ):
        self.model, self.train, self.source = model, train, source
        self.held_out, self.watched, self._identity = held_out, watched, identity

    def build(self) -> nn.Module:
        return self.model.vae

    def identity(self) -> dict:
        return self._identity

    def batch(self, step: int) -> dict:
        batch = self.source.make_batch(step, self.train.batch, self.train.seed)
        return window(batch, self.train.seed)

    def finish(self, batch: dict) -> dict:
        return {**self.source.finish(batch), 'counts': batch['counts']}

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        each = self.model.autoencoder_loss(batch['video'], generator=batch['noise'])  # (B,)
        counts = batch['counts']
        return {'loss': (each * counts).sum() / common_count(counts.sum())}

    def validate(self) -> dict:
        if not len(self.held_out):
            return {}
        return rebuilt_error(self.model, self.held_out, self.train.batch)

    def report(self, reporter: Reporter, step: int) -> None:
        picture = strips(self.watched, rebuild(self.model, self.watched, self.train.batch))
        reporter.image('real_above_rebuilt', picture, step)


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
        [
            model.decode(model.encode(part), part[:, 0]).cpu()
            for part in (clips.to(device) for clips in video.split(batch))
        ]
    )


def rebuilt_error(model: VDM, video: torch.Tensor, batch: int) -> dict[str, float]:
    """Mean squared error of rebuilt clips, pixels in [0, 1]."""
    return {'rebuilt_mse': float((rebuild(model, video, batch) - video).square().mean())}


# --------------------------------------------------------------------------------------- lesson 2


class VDMStage(Stage):
    """Autoencoder and diffusion model learn to continue a first frame.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders of any kind, see `ClipConfig.store`; each may have a validation split.
        seed: instead of the config's `train.seed`.
        max_minutes: of both lessons together, shared as in the config.
    """

    name = 'vdm'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        seed: int | None = None,
        max_minutes: float | None = None,
    ):
        s = self.settings = read_settings(VDMSettings, config)
        self.config = dataclasses.replace(s.model, fps=s.clips.rate(s.model.clip_frames))
        vae, train = (
            (None, max_minutes) if s.model.vae == 'patch' else share(s.vae, s.train, max_minutes)
        )
        self.train = s.train.replaced(seed, train)
        self.vae_train = dataclasses.replace(
            s.vae.replaced(seed, vae),
            **{k: getattr(self.train, k) for k in ('seed', 'device', 'threads', 'preload')},
        )  # one machine, and one store, for both
        self.data = data

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        c, clips = self.config, self.settings.clips
        self.out, self.device, self.resume = out, device, resume
        foretell(self.name, lambda: settle(VDM(c)), self.train)
        self.source = ClipSource(
            self.data, clips, c.clip_frames, c.size, device, self.train.preload
        )
        held_out = held_out_clips(self.data, clips, c.clip_frames, c.size)
        self.held_out = to_video(torch.from_numpy(held_out))
        self.watched = (
            self.held_out[:4]
            if len(held_out)
            else to_video(torch.from_numpy(self.source.spread(4)))
        )
        self._imagined: torch.Tensor | None = None

    def build(self) -> nn.Module:
        self.model = VDM(self.config).to(self.device)
        # A checkpoint of lesson 2 holds what came of lesson 1.
        if not checkpoints(self.out) and self.config.vae == 'patch':  # nothing to learn
            fitted = to_video(torch.from_numpy(self.source.spread(FITTED)))
            self.model.measure_latents(fitted.to(self.device))
        elif not checkpoints(self.out):
            lesson = AutoencoderStage(
                self.model,
                self.vae_train,
                self.source,
                self.held_out,
                self.watched,
                self._shared_identity(),
            )
            run(lesson, self.out / 'vae', self.resume)
            measured = to_video(torch.from_numpy(self.source.spread(MEASURED)))
            self.model.measure_latents(measured.to(self.device))
        return settle(self.model)

    def _shared_identity(self) -> dict:
        return {'data': self.source.store.content_hash, 'model': self.config.identity()}

    def identity(self) -> dict:
        return {**self._shared_identity(), 'vae_batch': self.vae_train.batch}

    def batch(self, step: int) -> dict:
        return self.source.make_batch(step, self.train.batch, self.train.seed)

    def finish(self, batch: dict) -> dict:
        return self.source.finish(batch)

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        return {'loss': self.model.loss(batch['video'], generator=batch['noise'])}

    def validate(self) -> dict:
        if not len(self.held_out):
            return {}
        true = self.held_out[:IMAGINED]
        flow = flow_error(self.model, self.held_out, self.train.batch)
        self._imagined = imagine(self.model, true)
        # A likely clip need not be the one that came: compare with a clip that stands still.
        return {
            'loss': flow,
            'imagined_mse': float((self._imagined - true).square().mean()),
            'still_mse': float((true - true[:, :1]).square().mean()),
        }

    def report(self, reporter: Reporter, step: int) -> None:
        shown, self._imagined = self._imagined, None
        imagined = imagine(self.model, self.watched) if shown is None else shown
        picture = strips(self.watched, imagined[: len(self.watched)])
        reporter.image('real_above_imagined', picture, step)

    def facts(self) -> dict:
        rebuilt = {}
        if len(self.held_out):
            rebuilt = rebuilt_error(self.model, self.held_out, self.vae_train.batch)
        return {
            'vae': {} if self.config.vae == 'patch' else dataclasses.asdict(self.vae_train),
            'clips': dataclasses.asdict(self.settings.clips),
            'scores': rebuilt,
        }

    def save(self, out: Path, record: dict) -> None:
        save_vdm(out, self.model)
        save_run(out, record, {'vdm': self.config})
        if len(self.held_out):
            draw_curves(out)


def settle(model: VDM) -> VDM:
    """Freeze autoencoder and control branch."""
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


# ------------------------------------------------------------------------------- what it leaves


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
    with whole(out / 'curves.png') as beside:
        figure.savefig(beside, format='png', dpi=90)


def validations(log: Path) -> list[dict]:
    """Read the reports of held-out clips from a log.jsonl; of several for one step, the last."""
    reports = map(json.loads, log.read_text().splitlines())
    return list({r['step']: r for r in reports if r['kind'] == 'validation'}.values())
