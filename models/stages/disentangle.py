# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stage 2 of the dLDM's training: codes that carry dynamics, as a video model carries looks.

    vw2 train dldm --stage disentangle --config cpu --data DIR --init runs/warmup --vdm runs/vdm \
        --out runs/dldm

VideoWorld 2, Algorithm 1 with both losses: MSE(decoder(sg(z), f_0), video) trains the decoder, and
the denoising loss of the video diffusion model, which reads the codes through causal
cross-attention and the decoder's detached video through its control branch, trains the codes. It
starts from a warm-up run (`train_dldm.py`) and from a VDM that continues a first frame: a run of
`vw2 train vdm`, or a diffusers folder of Cosmos-Predict2. Output, beside what `fit` writes:
dldm.safetensors, vdm.safetensors, config.json, provenance.json, codes.safetensors as there.

The public research code trains this stage with other losses: `loss: {mse: 0, l1: 2, perceptual:
0.1, denoising: 10, edm: true}`. It adds the L1 of frames in [-1, 1] (twice that of ours, in [0, 1]),
0.1 x the L1 between features of a VGG-16, and 10 x its EDM loss, at every step: the schedules that
it has are asked for step 0 only. What stays different: here features are compared as LPIPS does,
normalised and with its learned weights.

The config's section `disentangle`: `train`, `loss` (`DisentangleConfig`), and `vdm`, the switches
of the VDM (`VDMConfig`) that differ from the prior's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vw2_ros.models.checkpoint import MAX_STATE_BYTES, config_to_dict, save_json, save_tensors
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.data.codes import CODES_FILE, DumpConfig, write_codes
from vw2_ros.models.data.pictures import label
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.parallel import leads
from vw2_ros.models.run_folder import load_model, previous
from vw2_ros.models.stages.vdm import NOISE_DRAWS, SAMPLE_STEPS, save_vdm
from vw2_ros.models.stages.warmup import override, prepare, report_codes, strips
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import fit, foretell, provenance
from vw2_ros.models.vdm import VDM, Generators
from vw2_ros.models.vdm_config import VDMConfig
from vw2_ros.models.video_quality import lpips_network

BACKBONES = ('full', 'lora', 'frozen', 'random')
LORA_TARGETS = ['to_q', 'to_k', 'to_v', 'to_out.0', 'ff.net.0.proj', 'ff.net.2']


@dataclasses.dataclass(frozen=True)
class DisentangleConfig:
    """What learns, and from what.

    backbone: the VDM's is trained in `full` (the paper's), through `lora` adapters, stays `frozen`,
    or starts `random` (the prior's VAE stays). stop_gradient: the reconstruction leaves the codes
    alone. mse, l1, perceptual: weights of the reconstruction's parts, over frames in [0, 1];
    perceptual is LPIPS on VGG-16, frame by frame. denoising: weight of the denoising loss beside
    them. edm: its noise levels weigh as in the public code, see `VDM.flow_loss`. lora_rank: of the
    adapters.
    """

    backbone: str = 'full'
    stop_gradient: bool = True
    mse: float = 1.0
    l1: float = 0.0
    perceptual: float = 0.0
    denoising: float = 1.0
    edm: bool = False
    lora_rank: int = 8

    def __post_init__(self):
        if self.backbone not in BACKBONES:
            raise ConfigError(f'backbone must be one of {BACKBONES}. Got {self.backbone!r}')
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


class Disentangled(nn.Module):
    """dLDM and VDM as one model, so that one optimiser and one checkpoint hold both.

    Raises:
        ConfigError: an adapter or a perceptual loss is asked for, and what it needs is not here.
    """

    def __init__(self, dldm: DLDM, vdm: VDM, config: DisentangleConfig) -> None:
        super().__init__()
        self.dldm, self.vdm, self.config = dldm, vdm, config
        self.perceptual = perceptual_distance() if config.perceptual else None
        vdm.vae.requires_grad_(False)
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

    def loss(self, video: torch.Tensor, generator: Generators = None) -> dict[str, torch.Tensor]:
        """Algorithm 1 with both losses, see `DLDM.loss`; video float (B, F, 3, H, W)."""
        return self.dldm.loss(
            video,
            partial(self._denoising, generator=generator),
            self.config.stop_gradient,
            self._reconstruction,
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
            video, codes, control, generator, self.config.edm
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


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    init: Path,
    vdm: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Train dLDM and VDM together on the training split of `data`, then write the codes.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, each with training/ (and validation/, where there is one).
        out: run folder.
        init: run folder of the warm-up.
        vdm: run folder of `vw2 train vdm`, or a diffusers pipeline folder.
        resume: go on with the run that is in `out`.
        seed, max_minutes: instead of the config's.
    Returns:
        provenance, with the last losses; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError, CheckpointError: see there. SystemExit(130):
        interrupted, saved.
    """
    parts = stage_configs(
        config, 'disentangle', train=TrainConfig, loss=DisentangleConfig, vdm=dict
    )
    clips = stage_configs(
        config, 'dldm', model=dict, train=dict, clips=ClipConfig, dump=DumpConfig
    )
    clips, dump = clips['clips'], clips['dump']
    train = override(parts['train'], seed, max_minutes)
    device = prepare(train)
    out = Path(out)
    torch.manual_seed(train.seed)
    dldm = load_model(DLDM, DLDMConfig, init, 'dldm')
    c = dldm.config
    through = vdm_for(
        c, Path(vdm), parts['vdm'], parts['loss'].backbone, clips.rate(c.clip_frames)
    )
    foretell(
        'disentangle', lambda: Disentangled(DLDM(c), VDM(through.config), parts['loss']), train
    )
    model = Disentangled(dldm, through, parts['loss']).to(device)
    source = ClipSource(data, clips, c.clip_frames, c.size, device, train.preload)
    held_out = to_video(torch.from_numpy(held_out_clips(data, clips, c.clip_frames, c.size)))
    watched = held_out[:4] if len(held_out) else to_video(torch.from_numpy(source.spread(4)))
    usage = CodeUsage(c.codebook_size, c.queries)

    def loss(batch: dict, progress: float) -> dict:
        result = model.loss(batch['video'], batch['noise'])
        if device.type == 'cpu' or batch['step'] % 10 == 0:  # a look makes a GPU wait
            usage.update(result['indices'])
        return {k: v for k, v in result.items() if v.ndim == 0}

    def on_report(reporter, step: int, scalars: dict) -> None:
        report_codes(reporter, step, usage)
        model.eval()
        low, imagined = imagine(model, watched.to(device))
        model.train()
        reporter.image('real_above_rebuilt', strips(watched, low), step)
        reporter.image('real_above_imagined', strips(watched, imagined), step)

    identity = {
        'data': source.store.content_hash,
        'model': dataclasses.asdict(c),
        'vdm': dataclasses.asdict(model.vdm.config),
        'loss': dataclasses.asdict(parts['loss']),
        'seed': train.seed,
        'batch': train.batch,
    }
    ended = fit(
        'disentangle',
        model,
        train,
        out,
        make_batch=partial(source.make_batch, batch=train.batch, seed=train.seed),
        loss=loss,
        finish=source.finish,
        resume=resume,
        identity=identity,
        on_report=on_report,
        validate=partial(held_out_scores, model, held_out, train.batch) if len(held_out) else None,
    )
    if not leads():
        return {}
    record = provenance(
        stage='disentangle',
        data=source.store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        train=dataclasses.asdict(train),
        loss=dataclasses.asdict(parts['loss']),
        clips=dataclasses.asdict(clips),
        warmup=previous(init),
        vdm=previous(vdm),
    )
    save_tensors(out / 'dldm.safetensors', dldm.state_dict(), limit=MAX_STATE_BYTES)
    save_vdm(out, model.merged())
    save_json(
        out / 'config.json',
        {
            'dldm': config_to_dict(c),
            'clips': config_to_dict(clips),
            'vdm': config_to_dict(model.vdm.config),
        },
    )
    save_json(out / 'provenance.json', record)
    write_codes(dldm, source.store, out / CODES_FILE, dump, clips)
    return record


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


@torch.no_grad()
def held_out_scores(model: Disentangled, video: torch.Tensor, batch: int) -> dict:
    """Losses of clips float (m, F, 3, H, W), with the same noise at every call.

    Returns:
        mse of the decoder; denoising_loss with the clip's codes, denoising_other with those of
        another clip, and code_gain, the share by which knowing the codes lowers it; code_usage and
        perplexity.
    """
    dldm, vdm = model.dldm, model.vdm
    device = vdm.statistics.device
    seen = CodeUsage(dldm.config.codebook_size, dldm.config.queries)
    total = {'mse': 0.0, 'still_mse': 0.0, 'denoising_loss': 0.0, 'denoising_other': 0.0}
    for part in video.split(batch):
        part = part.to(device)
        f = dldm.encode(part)
        codes, indices = dldm.quantize(dldm.query(f))
        seen.update(indices)
        low = dldm.decode(codes, f[:, 0], part[:, 0])
        latents = vdm.encode(part)
        hint = vdm.encode_control(low) if vdm.config.control else None
        share = len(part) / len(video)
        total['mse'] += share * float((low - part).square().mean())
        total['still_mse'] += share * float((part - part[:, :1]).square().mean())
        for key, given in (('denoising_loss', codes), ('denoising_other', codes.roll(1, 0))):
            generator = torch.Generator().manual_seed(0)
            for _ in range(NOISE_DRAWS):
                total[key] += (
                    share / NOISE_DRAWS * float(vdm.flow_loss(latents, given, hint, generator))
                )
    return {
        **total,
        'code_gain': 1 - total['denoising_loss'] / total['denoising_other'],
        'code_usage': seen.usage(),
        'perplexity': {f'query_{n}': p for n, p in enumerate(seen.perplexity())},
    }


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
