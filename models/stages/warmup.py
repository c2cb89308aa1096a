# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stage 1 of training: the dLDM's warm-up on video without labels, then the codes of that video.

    vw2 train dldm --config cpu --data DIR --out runs/dldm

VideoWorld 2, Algorithm 1 with the reconstruction loss alone (its warm-up stage), AdamW as in table
A.1. Output, beside what `fit` writes: dldm.safetensors, config.json, provenance.json, and
codes.safetensors (see `data/codes.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.checkpoint import MAX_STATE_BYTES, config_to_dict, save_json, save_tensors
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.data.codes import CODES_FILE, DumpConfig, write_codes
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.parallel import leads
from vw2_ros.models.training.config import TrainConfig, stage_configs
from vw2_ros.models.training.loop import Reporter, fit, foretell, provenance


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Train the dLDM on the training split of `data`, then write its codes.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, of any kind that video_data.py names.
        out: run folder.
        resume: go on with the run that is in `out`.
        seed, max_minutes: instead of the config's.
    Returns:
        provenance, with the last losses; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError: see there. SystemExit(130): interrupted, saved.
    """
    parts = stage_configs(
        config, 'dldm', model=DLDMConfig, train=TrainConfig, clips=ClipConfig, dump=DumpConfig
    )
    model_config, clips, dump = parts['model'], parts['clips'], parts['dump']
    train = override(parts['train'], seed, max_minutes)
    device = prepare(train)
    out = Path(out)
    foretell('dldm', partial(DLDM, model_config), train)
    source = ClipSource(
        data, clips, model_config.clip_frames, model_config.size, device, train.preload
    )
    store = source.store
    torch.manual_seed(train.seed)
    model = DLDM(model_config).to(device)
    usage = CodeUsage(model_config.codebook_size, model_config.queries)

    def loss(batch: dict, progress: float) -> dict:
        result = model.loss(batch['video'])
        if device.type == 'cpu' or batch['step'] % 10 == 0:  # a look makes a GPU wait
            usage.update(result['indices'])
        return {k: v for k, v in result.items() if v.ndim == 0}

    held_out = held_out_clips(data, clips, model_config.clip_frames, model_config.size)

    def validate() -> dict:
        video = to_video(torch.from_numpy(held_out)).to(device)
        seen = CodeUsage(model_config.codebook_size, model_config.queries)
        total: dict[str, float] = {}
        for part in video.split(train.batch):
            result = model.loss(part)
            seen.update(result['indices'])
            for key, value in result.items():
                if value.ndim == 0:
                    total[key] = total.get(key, 0.0) + float(value) * len(part) / len(video)
            total['still_mse'] = total.get('still_mse', 0.0) + float(
                (part - part[:, :1]).square().mean()
            ) * len(part) / len(video)
        return {
            **total,
            'code_usage': seen.usage(),
            'perplexity': {f'query_{n}': p for n, p in enumerate(seen.perplexity())},
        }

    def on_report(reporter, step: int, scalars: dict) -> None:
        report_codes(reporter, step, usage)
        video = to_video(torch.from_numpy(held_out[:4] if len(held_out) else source.spread(4))).to(
            device
        )
        model.eval()
        with torch.no_grad():
            rebuilt = model.loss(video)['reconstruction']
        model.train()
        reporter.image('real_above_rebuilt', strips(video, rebuilt), step)

    identity = {
        'data': store.content_hash,
        'model': dataclasses.asdict(model_config),
        'seed': train.seed,
        'batch': train.batch,
    }
    ended = fit(
        'dldm',
        model,
        train,
        out,
        make_batch=partial(source.make_batch, batch=train.batch, seed=train.seed),
        loss=loss,
        finish=source.finish,
        resume=resume,
        identity=identity,
        on_report=on_report,
        validate=validate if len(held_out) else None,
    )
    if not leads():
        return {}
    record = provenance(
        stage='dldm',
        data=store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        train=dataclasses.asdict(train),
        clips=dataclasses.asdict(clips),
    )
    save_tensors(out / 'dldm.safetensors', model.state_dict(), limit=MAX_STATE_BYTES)
    save_json(
        out / 'config.json', {'dldm': config_to_dict(model_config), 'clips': config_to_dict(clips)}
    )
    save_json(out / 'provenance.json', record)
    write_codes(model, store, out / CODES_FILE, dump, clips)
    return record


def report_codes(reporter: Reporter, step: int, usage: CodeUsage) -> None:
    """Log the use of the codes since the last report, warn of a collapse, and begin to count anew."""
    if int(usage.counts.sum()):
        reporter.report(
            step,
            {
                'code_usage': usage.usage(),
                'perplexity': {f'query_{n}': p for n, p in enumerate(usage.perplexity())},
            },
            'codes',
        )
        usage.warn_on_collapse()
        usage.counts.zero_()


def override(train: TrainConfig, seed: int | None, max_minutes: float | None) -> TrainConfig:
    """The config with what the command line says instead."""
    changes = {'seed': seed, 'max_minutes': max_minutes}
    return dataclasses.replace(train, **{k: v for k, v in changes.items() if v is not None})


def prepare(train: TrainConfig) -> torch.device:
    """Set torch's threads and how it treats numbers; returns the device."""
    if train.threads:
        torch.set_num_threads(train.threads)
    torch.set_float32_matmul_precision('high')
    torch.set_flush_denormal(True)  # sharp softmaxes are full of them, and a CPU is slow with them
    return train.torch_device()


def strips(video: torch.Tensor, rebuilt: torch.Tensor) -> np.ndarray:
    """Clips (B, F, 3, H, W) and their reconstructions, every fourth frame -> one uint8 picture."""
    rows = torch.stack([video[:, ::4], rebuilt[:, ::4].to(video)], dim=1)  # (B, 2, f, 3, H, W)
    B, two, f, _, H, W = rows.shape
    # (B, 2, f, 3, H, W) -> (B, 2, H, f, W, 3) -> (B * 2 * H, f * W, 3)
    picture = rows.permute(0, 1, 4, 2, 5, 3).reshape(B * two * H, f * W, 3)
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()


# ------------------------------------------------------------------------------------------- codes
