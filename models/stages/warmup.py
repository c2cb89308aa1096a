# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Warm-up of the dLDM on video without labels, then the codes of that video.

    vw2 train dldm --config cpu --data DIR --out runs/dldm

VideoWorld 2, Algorithm 1 with the reconstruction loss alone (its warm-up stage), AdamW as in table
A.1. `vw2 train disentangle` goes on from here. Output, beside what `Training` writes:
dldm.safetensors, config.json, provenance.json, and codes.safetensors (see `data/codes.py`).

Not in the paper: with `labels: {share: 0.025}` so much of the video comes with actions, and a linear
map from the codes to them learns too (`data/labels.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from vw2_ros.models.action_readout import ActionReadout
from vw2_ros.models.data.batches import ClipConfig, ClipSource, held_out_clips, to_video
from vw2_ros.models.data.codes import CODES_FILE, DumpConfig, write_codes
from vw2_ros.models.data.labels import LabelConfig
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.run_folder import save_run
from vw2_ros.models.training.config import TrainConfig, read_settings
from vw2_ros.models.training.footprint import foretell
from vw2_ros.models.training.reporter import Reporter, report_codes, strips
from vw2_ros.models.training.stage import Stage


@dataclasses.dataclass(frozen=True)
class WarmUpSettings:
    """The config's section `dldm`."""

    section: ClassVar[str] = 'dldm'
    model: DLDMConfig
    train: TrainConfig
    clips: ClipConfig
    dump: DumpConfig
    labels: LabelConfig


class WarmUpStage(Stage):
    """The dLDM learns to rebuild clips from their codes.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders of any kind, see `ClipConfig.store`; each may have a validation split.
        seed, max_minutes: instead of the config's.
    """

    name = 'dldm'

    def __init__(
        self,
        config: Path | str,
        data: Sequence[Path],
        seed: int | None = None,
        max_minutes: float | None = None,
    ):
        self.settings = read_settings(WarmUpSettings, config)
        self.train = self.settings.train.replaced(seed, max_minutes)
        self.data = data

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        c, clips = self.settings.model, self.settings.clips
        self.device = device
        foretell(self.name, partial(DLDM, c), self.train)
        self.source = ClipSource(
            self.data,
            clips,
            c.clip_frames,
            c.size,
            device,
            self.train.preload,
            self.settings.labels,
            self.train.seed,
        )
        self.held_out = held_out_clips(self.data, clips, c.clip_frames, c.size)
        self.watched = self.held_out[:4] if len(self.held_out) else self.source.spread(4)
        self.usage = CodeUsage(c.codebook_size, c.queries)

    def build(self) -> nn.Module:
        self.model = DLDM(self.settings.model).to(self.device)
        self.readout = None
        if not self.settings.labels.share:
            return self.model
        self.readout = ActionReadout(self.settings.model).to(self.device)
        return nn.ModuleDict({'dldm': self.model, 'readout': self.readout})

    def identity(self) -> dict:
        return {
            'data': self.source.store.content_hash,
            'model': dataclasses.asdict(self.settings.model),
            **labels_identity(self.settings.labels),
        }

    def batch(self, step: int) -> dict:
        return self.source.make_batch(step, self.train.batch, self.train.seed)

    def finish(self, batch: dict) -> dict:
        return self.source.finish(batch)

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        told = labels_loss(self.readout, batch, self.settings.labels.weight)
        result = self.model.loss(batch['video'], labels=told)
        if self.device.type == 'cpu' or batch['step'] % 10 == 0:  # a look makes a GPU wait
            self.usage.update(result['indices'])
        return {k: v for k, v in result.items() if v.ndim == 0}

    def validate(self) -> dict:
        if not len(self.held_out):
            return {}
        c = self.settings.model
        video = to_video(torch.from_numpy(self.held_out)).to(self.device)
        seen = CodeUsage(c.codebook_size, c.queries)
        total: dict[str, float] = {}
        for part in video.split(self.train.batch):
            result = self.model.loss(part)
            seen.update(result['indices'])
            result['still_mse'] = (part - part[:, :1]).square().mean()
            for key, value in result.items():
                if value.ndim == 0:
                    total[key] = total.get(key, 0.0) + float(value) * len(part) / len(video)
        return {**total, **seen.scores()}

    def report(self, reporter: Reporter, step: int) -> None:
        report_codes(reporter, step, self.usage)
        video = to_video(torch.from_numpy(self.watched)).to(self.device)
        self.model.eval()
        with torch.no_grad():
            rebuilt = self.model.loss(video)['reconstruction']
        self.model.train()
        reporter.image('real_above_rebuilt', strips(video, rebuilt), step)

    def facts(self) -> dict:
        s = self.settings
        return {'clips': dataclasses.asdict(s.clips), **labels_identity(s.labels)}

    def save(self, out: Path, record: dict) -> None:
        s = self.settings
        save_run(out, record, {'dldm': s.model, 'clips': s.clips}, dldm=self.model)
        write_codes(self.model, self.source.store, out / CODES_FILE, s.dump, s.clips)


def labels_identity(labels: LabelConfig) -> dict:
    """What a run with labels is told apart by; nothing of one without."""
    return {'labels': dataclasses.asdict(labels)} if labels.share else {}


def labels_loss(
    readout: ActionReadout | None, batch: dict, weight: float
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Codes -> the loss of reading a batch's actions from them; None without labels."""
    if readout is None:
        return None
    return lambda codes: weight * readout.loss(codes, batch['actions'], batch['labelled'])
