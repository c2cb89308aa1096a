# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Disentangling: codes that carry dynamics, as a video model carries looks.

    vw2 train disentangle --config cpu --data DIR --init runs/warmup --vdm runs/vdm --out runs/dldm

VideoWorld 2, Algorithm 1 with both losses: MSE(decoder(sg(z), f_0), video) trains the decoder, and
the denoising loss of the video diffusion model, which reads the codes through causal
cross-attention and the decoder's detached video through its control branch, trains the codes. It
starts from a warm-up run (`vw2 train dldm`) and from a VDM that continues a first frame: a run of
`vw2 train vdm`, or a diffusers folder of Cosmos-Predict2. With `learn_codes: false` the dLDM stays
as it is, that of a policy for example, and the VDM learns to draw its codes. Output, beside what
`Training` writes: dldm.safetensors, vdm.safetensors, config.json, provenance.json, and
codes.safetensors as there.

The public research code trains this stage with other losses: `loss: {mse: 0, l1: 2, perceptual:
0.1, denoising: 10, edm: true}`. It adds the L1 of frames in [-1, 1] (twice that of ours, in [0, 1]),
0.1 x the L1 between features of a VGG-16, and 10 x its EDM loss, at every step: the schedules that
it has are asked for step 0 only. What stays different: here features are compared as LPIPS does,
normalised and with its learned weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.action_readout import ActionReadout
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.data.codes import CODES_FILE, DumpConfig, write_codes
from vw2_ros.models.data.labels import LabelConfig
from vw2_ros.models.data.pictures import label
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.run_folder import load_model, previous, save_run
from vw2_ros.models.stages.vdm import NOISE_DRAWS, SAMPLE_STEPS, save_vdm
from vw2_ros.models.stages.warmup import WarmUpSettings, labels_identity, labels_loss
from vw2_ros.models.training.config import TrainConfig, part_of, read_settings
from vw2_ros.models.training.footprint import foretell
from vw2_ros.models.training.reporter import Reporter, report_codes, strips
from vw2_ros.models.training.stage import Stage
from vw2_ros.models.vdm import VDM
from vw2_ros.models.vdm_config import VDMConfig
from vw2_ros.models.vdm_noise import Generators, NoiseDraws
from vw2_ros.models.video_quality import lpips_network

BACKBONES = ('full', 'lora', 'frozen', 'random')
LEAST_GAIN = 0.03  # of a clip's own codes; with less there is a warning
BY_TIME_CLIPS = 256  # held-out clips by which it is told where in the noise codes help
LORA_TARGETS = ['to_q', 'to_k', 'to_v', 'to_out.0', 'ff.net.0.proj', 'ff.net.2']


@dataclasses.dataclass(frozen=True)
class DisentangleConfig:
    """What learns, and from what."""

    # Of the VDM: trained in `full` (the paper's), through `lora` adapters, kept `frozen`, or begun
    # at `random` (the prior's VAE stays).
    backbone: str = 'full'
    stop_gradient: bool = True  # the reconstruction leaves the codes alone
    mse: float = 1.0  # weights of the reconstruction's parts, over frames in [0, 1]: MSE,
    l1: float = 0.0  # L1,
    perceptual: float = 0.0  # and LPIPS on VGG-16, frame by frame
    denoising: float = 1.0  # weight of the denoising loss beside them
    edm: bool = False  # its noise levels weigh as in the public code, see `VDM.flow_loss`
    noise_draws: int = 1  # noises and times for each encoded clip
    code_times: tuple[float, float] = (0.0, 1.0)  # range of the times t: 0 is clean, 1 is noise
    # Share of the draws in which the control branch is off. Where it is on, the decoder's video
    # already tells the VDM where things go, and the codes get little gradient.
    control_dropout: float = 0.0
    learn_codes: bool = True  # False: the dLDM stays, and the VDM learns to draw its codes
    lora_rank: int = 8  # of the adapters

    def __post_init__(self):
        object.__setattr__(self, 'code_times', tuple(self.code_times))
        try:
            _ = self.draws
        except InvalidValueError as error:
            raise ConfigError(str(error)) from error
        if self.backbone not in BACKBONES:
            raise ConfigError(f'backbone must be one of {BACKBONES}. Got {self.backbone!r}')
        if not self.learn_codes and self.backbone == 'frozen':
            raise ConfigError('learn_codes false and backbone frozen: then nothing learns')
        if not self.denoising > 0 or self.lora_rank < 1:
            raise ConfigError(
                f'denoising must be > 0 and lora_rank >= 1. Got {self.denoising}, {self.lora_rank}'
            )
        parts = (self.mse, self.l1, self.perceptual)
        if min(parts) < 0 or not sum(parts) > 0:
            raise ConfigError(
                'mse, l1 and perceptual must be >= 0, and one of them > 0. Got '
                f'{", ".join(map(str, parts))}'
            )

    @property
    def draws(self) -> NoiseDraws:
        """How the denoising loss draws."""
        return NoiseDraws(self.noise_draws, self.code_times, self.control_dropout, self.edm)

    def identity(self) -> dict:
        """What runs are told apart by: younger fields only where they are not the default."""
        younger = {
            'noise_draws': 1,
            'code_times': (0.0, 1.0),
            'control_dropout': 0.0,
            'learn_codes': True,
        }
        return {k: v for k, v in dataclasses.asdict(self).items() if younger.get(k, ...) != v}


@dataclasses.dataclass(frozen=True)
class DisentangleSettings:
    """The config's section `disentangle`; which clips and codes its section `dldm` says."""

    section: ClassVar[str] = 'disentangle'
    train: TrainConfig
    loss: DisentangleConfig
    vdm: dict  # fields of VDMConfig that differ from the prior's
    labels: LabelConfig
    clips: ClipConfig = part_of(WarmUpSettings, 'clips')
    dump: DumpConfig = part_of(WarmUpSettings, 'dump')


class Disentangled(nn.Module):
    """dLDM and VDM as one model, so that one optimiser and one checkpoint hold both.

    Raises:
        ConfigError: an adapter or a perceptual loss is asked for, and what it needs is not here.
    """

    def __init__(
        self, dldm: DLDM, vdm: VDM, config: DisentangleConfig, readout: ActionReadout | None = None
    ) -> None:
        super().__init__()
        self.dldm, self.vdm, self.config, self.readout = dldm, vdm, config, readout
        self.perceptual = perceptual_distance() if config.perceptual else None
        vdm.vae.requires_grad_(False)
        dldm.requires_grad_(config.learn_codes)
        vdm.transformer.requires_grad_(config.backbone in ('full', 'random'))
        if config.backbone == 'lora':
            peft = _peft()
            # get_peft_model freezes what it wraps
            vdm.transformer = peft.get_peft_model(
                vdm.transformer,
                peft.LoraConfig(
                    r=config.lora_rank, lora_alpha=config.lora_rank, target_modules=LORA_TARGETS
                ),
            )

    def train(self, mode: bool = True) -> Disentangled:
        """As of every module; a dLDM that stays keeps its running statistics, too."""
        super().train(mode)
        if not self.config.learn_codes:
            self.dldm.eval()
        return self

    def loss(
        self,
        video: torch.Tensor,
        generator: Generators = None,
        labels: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Algorithm 1 with both losses, see `DLDM.loss`; video float (B, F, 3, H, W)."""
        return self.dldm.loss(
            video,
            partial(self._denoising, generator=generator),
            self.config.stop_gradient,
            self._reconstruction,
            labels,
        )

    def _reconstruction(self, decoded: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
        c = self.config
        loss = self.dldm.reconstruction_loss(decoded, video, c.mse, c.l1)
        return loss + c.perceptual * self.perceptual(decoded, video) if c.perceptual else loss

    def _denoising(
        self,
        video: torch.Tensor,
        codes: torch.Tensor,
        control: torch.Tensor,
        generator: Generators = None,
    ) -> torch.Tensor:
        control = control if self.vdm.config.control else None
        return self.config.denoising * self.vdm.loss(
            video, codes, control, generator, self.config.draws
        )

    def merged(self) -> VDM:
        """The VDM with what adapters learned in its own weights."""
        if self.config.backbone == 'lora':
            self.vdm.transformer = self.vdm.transformer.merge_and_unload()
        return self.vdm


def _peft():
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            "backbone lora needs peft, which is not here: pip install 'peft>=0.17', "
            'or take backbone full or frozen'
        ) from error
    return peft


def perceptual_distance() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Mean LPIPS of two clips float (B, F, 3, H, W) in [0, 1], with gradient; no part of a model.

    Raises:
        ConfigError: it is not on this disk.
    """
    network = lpips_network('vgg')
    if network is None:
        raise ConfigError(
            'perceptual needs LPIPS on VGG-16, which is not here: pip install '
            "'vw2_ros[lpips]', then let it fetch torchvision's weights once: "
            'python -c "import lpips; lpips.LPIPS(net=\'vgg\')"'
        )

    def distance(decoded: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
        # (B, F, 3, H, W) -> (B * F, 3, H, W)
        return network.to(video.device)(
            decoded.flatten(0, 1), video.flatten(0, 1), normalize=True
        ).mean()

    return distance


class DisentangleStage(Stage):
    """The dLDM learns its codes through a video diffusion model.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders of any kind, see `ClipConfig.store`; each may have a validation split.
        init: run folder of the warm-up.
        vdm: run folder of `vw2 train vdm`, or a diffusers pipeline folder.
        seed, max_minutes: instead of the config's.
    """

    name = 'disentangle'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        init: Path,
        vdm: Path,
        seed: int | None = None,
        max_minutes: float | None = None,
    ):
        self.settings = read_settings(DisentangleSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.data, self.init, self.vdm = data, init, Path(vdm)

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        self.device = device

    def build(self) -> nn.Module:
        s = self.settings
        dldm = load_model(DLDM, DLDMConfig, self.init, 'dldm')
        c = dldm.config
        vdm = vdm_for(c, self.vdm, s.vdm, s.loss.backbone, s.clips.rate(c.clip_frames))
        foretell(self.name, lambda: Disentangled(DLDM(c), VDM(vdm.config), s.loss), self.train)
        readout = ActionReadout(c) if s.labels.share else None
        self.model = Disentangled(dldm, vdm, s.loss, readout).to(self.device)
        t = self.train
        self.source = ClipSource(
            self.data, s.clips, c.clip_frames, c.size, self.device, t.preload, s.labels, t.seed
        )
        held_out = held_out_clips(self.data, s.clips, c.clip_frames, c.size)
        self.held_out = to_video(torch.from_numpy(held_out))
        watched = held_out[:4] if len(held_out) else self.source.spread(4)
        self.watched = to_video(torch.from_numpy(watched))
        self.usage = CodeUsage(c.codebook_size, c.queries)
        self.gain = np.inf  # of the codes, in the last validation
        return self.model

    def identity(self) -> dict:
        return {
            'data': self.source.store.content_hash,
            'model': dataclasses.asdict(self.model.dldm.config),
            'vdm': self.model.vdm.config.identity(),
            'loss': self.settings.loss.identity(),
            **labels_identity(self.settings.labels),
        }

    def batch(self, step: int) -> dict:
        return self.source.make_batch(step, self.train.batch, self.train.seed)

    def finish(self, batch: dict) -> dict:
        return self.source.finish(batch)

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        told = labels_loss(self.model.readout, batch, self.settings.labels.weight)
        result = self.model.loss(batch['video'], batch['noise'], told)
        if self.device.type == 'cpu' or batch['step'] % 10 == 0:  # a look makes a GPU wait
            self.usage.update(result['indices'])
        return {k: v for k, v in result.items() if v.ndim == 0}

    def validate(self) -> dict:
        if not len(self.held_out):
            return {}
        scores = held_out_scores(self.model, self.held_out, self.train.batch)
        dropped = self.settings.loss.control_dropout
        alone = scores.get('code_gain_alone', scores['code_gain'])
        self.gain = (1 - dropped) * scores['code_gain'] + dropped * alone
        return scores

    def report(self, reporter: Reporter, step: int) -> None:
        report_codes(reporter, step, self.usage)
        if self.gain < LEAST_GAIN and self.settings.loss.learn_codes:
            reporter.warn(
                f'step {step}: knowing its codes lowers the denoising loss of a clip by '
                f'{100 * self.gain:.1f} % only, so they learn little; raise '
                'disentangle.loss.control_dropout, or narrow code_times'
            )
        self.model.eval()
        low, imagined = imagine(self.model, self.watched.to(self.device))
        self.model.train()
        reporter.image('real_above_rebuilt', strips(self.watched, low), step)
        reporter.image('real_above_imagined', strips(self.watched, imagined), step)

    def facts(self) -> dict:
        by_time, few = {}, self.held_out[:BY_TIME_CLIPS]
        if len(few):
            by_time = {'code_gain_by_time': gain_by_time(self.model, few, self.train.batch)}
        return {
            **by_time,
            'loss': dataclasses.asdict(self.settings.loss),
            'clips': dataclasses.asdict(self.settings.clips),
            **labels_identity(self.settings.labels),
            'warmup': previous(self.init),
            'vdm': previous(self.vdm),
        }

    def save(self, out: Path, record: dict) -> None:
        s, dldm = self.settings, self.model.dldm
        save_vdm(out, self.model.merged())
        config = {'dldm': dldm.config, 'clips': s.clips, 'vdm': self.model.vdm.config}
        save_run(out, record, config, dldm=dldm)
        write_codes(dldm, self.source.store, out / CODES_FILE, s.dump, s.clips)


def vdm_for(dldm: DLDMConfig, prior: Path, switches: dict, backbone: str, fps: float) -> VDM:
    """The VDM that a dLDM learns through: a prior's backbone, with room for the codes.

    Args:
        prior: run folder of `vw2 train vdm`, or a diffusers pipeline folder.
        switches: fields of VDMConfig that differ from the prior's. backbone: see
            `DisentangleConfig`. fps: frames per second of the clips.
    Raises:
        ConfigError: unknown switches, or ones that do not fit. CheckpointError: see `load_model`,
        `VDM.load_pipeline`.
    """
    fitting = {
        'clip_frames': dldm.clip_frames,
        'queries': dldm.queries,
        'code_size': len(dldm.levels),
        'fps': fps,
    }
    unknown = set(switches) - {f.name for f in dataclasses.fields(VDMConfig)} | (
        set(switches) & {*fitting, 'height', 'width'}
    )
    if unknown:
        raise ConfigError(
            f'disentangle.vdm: {sorted(unknown)[0]!r} cannot be set here: it is '
            'unknown, or given by the dLDM and its clips'
        )
    try:
        if (prior / 'transformer').is_dir():
            size = dict(zip(('height', 'width'), dldm.size))
            model = VDM.load_pipeline(prior, VDMConfig(**fitting, **size, **switches))
        else:
            model = VDM.on(VDM.load(prior), **fitting, **switches)
    except ValueError as error:
        raise ConfigError(f'disentangle.vdm: {error}') from error
    if model.config.size != dldm.size:
        raise ConfigError(
            f'{prior} makes frames of {label(model.config.size)} px, the dLDM reads '
            f'{label(dldm.size)} px: train both at one size'
        )
    if backbone == 'random':
        fresh = VDM(model.config, vae=model.vae, scheduler=model.scheduler)
        fresh.statistics.copy_(model.statistics)
        model = fresh
    return model


class _Encoded(NamedTuple):
    """Clips whose codes and latents are known, so that they can be made noisy again and again."""

    latents: torch.Tensor  # (b, C, K, h, w)
    codes: torch.Tensor  # (b, K-1, N, E)
    control: torch.Tensor | None  # (b, C, K, h, w)


@torch.no_grad()
def held_out_scores(model: Disentangled, video: torch.Tensor, batch: int) -> dict:
    """Losses of clips float (m, F, 3, H, W), with the same noise at every call.

    Returns:
        mse of the decoder; denoising_loss with the clip's codes, denoising_other with those of
        another clip, and code_gain, the share by which knowing the codes lowers it;
        code_gain_alone, the same while the control branch is off, where there is one; code_usage
        and perplexity.
    """
    dldm, vdm = model.dldm, model.vdm
    seen = CodeUsage(dldm.config.codebook_size, dldm.config.queries)
    total, encoded = {'mse': 0.0, 'still_mse': 0.0}, []
    for part in video.split(batch):
        part = part.to(vdm.statistics.device)
        f = dldm.encode(part)
        codes, indices = dldm.quantize(dldm.query(f))
        seen.update(indices)
        low = dldm.decode(codes, f[:, 0], part[:, 0])
        share = len(part) / len(video)
        total['mse'] += share * float((low - part).square().mean())
        total['still_mse'] += share * float((part - part[:, :1]).square().mean())
        hint = vdm.encode_control(low) if vdm.config.control else None
        encoded.append(_Encoded(vdm.encode(part), codes, hint))
    own, other = _losses(vdm, encoded, NoiseDraws(NOISE_DRAWS))
    gains = {'code_gain': 1 - own / other}
    if vdm.config.control:
        alone = _losses(vdm, encoded, NoiseDraws(NOISE_DRAWS, control_dropout=1))
        gains['code_gain_alone'] = 1 - alone[0] / alone[1]
    scores = {'denoising_loss': own, 'denoising_other': other, **gains}
    return {**total, **scores, **seen.scores()}


def _losses(vdm: VDM, encoded: Sequence[_Encoded], draws: NoiseDraws) -> tuple[float, float]:
    """Denoising loss with the clips' own codes, and with another clip's, under the same noise."""
    total, clips = [0.0, 0.0], sum(len(part.latents) for part in encoded)
    for part in encoded:
        for i, codes in enumerate((part.codes, part.codes.roll(1, 0))):
            generator = torch.Generator().manual_seed(0)
            loss = vdm.flow_loss(part.latents, codes, part.control, generator, draws)
            total[i] += len(part.latents) / clips * float(loss)
    return total[0], total[1]


@torch.no_grad()
def gain_by_time(model: Disentangled, video: torch.Tensor, batch: int) -> list[float]:
    """Where in the noise a clip's own codes help, the control branch off: `code_times` are for that.

    At low t the noisy clip shows what the codes say; at high t nothing is left that it shows.

    Args:
        video: float (m, F, 3, H, W).
    Returns:
        code_gain_alone (see `held_out_scores`) of each tenth of t, from clean (t < .1) to noise.
    """
    encoded = []
    for part in video.split(batch):
        part = part.to(model.vdm.statistics.device)
        codes, _ = model.dldm.quantize(model.dldm.query(model.dldm.encode(part)))
        encoded.append(_Encoded(model.vdm.encode(part), codes, None))
    tenths = [NoiseDraws(times=(i / 10, (i + 1) / 10)) for i in range(10)]
    losses = [_losses(model.vdm, encoded, draws) for draws in tenths]
    return [round(1 - own / other, 5) for own, other in losses]


@torch.no_grad()
def imagine(model: Disentangled, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips (B, F, 3, H, W) -> what decoder and VDM make of their first frames and codes."""
    dldm, vdm = model.dldm, model.vdm
    f = dldm.encode(video)
    codes, _ = dldm.quantize(dldm.query(f))
    low = dldm.decode(codes, f[:, 0], video[:, 0])
    imagined = vdm.sample(
        video[:, 0],
        codes,
        low if vdm.config.control else None,
        SAMPLE_STEPS,
        torch.Generator().manual_seed(0),
    )
    return low.cpu(), imagined.cpu()
