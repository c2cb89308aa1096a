# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What tests/test_scale.py lets several processes do: scale_worker.py FOLDER OUT JOB..."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models import parallel
from vw2_ros.models.checkpoint import save_tensors
from vw2_ros.models.dldm import CodeNorm
from vw2_ros.models.stages import head as train_head
from vw2_ros.models.stages import planner as train_planner
from vw2_ros.models.stages import sight as train_sight
from vw2_ros.models.stages import warmup as train_dldm
from vw2_ros.models.training.config import TrainConfig
from vw2_ros.models.training.loop import fit

STEPS = 12


def small_run(out, stopped_by=None, **options):
    """A regression whose last layer is never used; process `stopped_by` gets a SIGTERM."""
    config = TrainConfig(
        steps=STEPS, batch=8, lr=1e-2, warmup=3, ema=0.9, log_every=1, device='cpu'
    )
    config.torch_device()
    torch.manual_seed(0)
    model = torch.nn.ModuleList([torch.nn.Linear(4, 3), torch.nn.Linear(3, 3)])

    def make_batch(step):
        if step == 8 and parallel.rank() == stopped_by:
            os.kill(os.getpid(), signal.SIGTERM)
        x = np.random.default_rng([7, step]).normal(size=(8, 4)).astype(np.float32)
        return {'x': torch.from_numpy(x), 'step': step}

    def loss(batch, progress):
        return {'loss': (model[0](batch['x']) - batch['x'].sum(1, keepdim=True)).square().mean()}

    fit(
        'small',
        model,
        config,
        out,
        make_batch=make_batch,
        loss=loss,
        identity={},
        **{'resume': False, **options},
    )


def normed(rank, world):
    """What CodeNorm makes of every `world`-th clip from `rank` on, and what reaches its input."""
    norm = CodeNorm(steps=4, queries=2, dim=3)
    generator = torch.Generator().manual_seed(0)
    z, weight = torch.randn(2, 8, 4, 2, 3, generator=generator) * 3 + 1
    z = z[rank::world].contiguous().requires_grad_()
    out = norm(z)
    (out * weight[rank::world]).square().mean().backward()
    seen = torch.tensor([1.0, 1, 1, 0, 0, 1, 0, 0])[rank::world]  # three clips and one, of two
    return {
        'out': out,
        'gradient': z.grad / world,
        'mean': norm.mean,
        'var': norm.var,
        'count': parallel.common_count(seen.sum()) * world,
    }


def video_stage(stage, config, data, out, one):
    """Train the VDM, or it and the dLDM together, from the runs in `one`."""
    from vw2_ros.models.stages import disentangle as train_disentangle  # needs diffusers
    from vw2_ros.models.stages import vdm as train_vdm

    if stage == 'vdm':
        train_vdm.main(config, data, out)
    else:
        train_disentangle.main(config, data, out, init=one / 'dldm', vdm=one / 'vdm')


def main(folder, out, *jobs):
    """`folder` has c.yaml, endless.yaml, data/ and one/, the runs of a single process."""
    config, data, one = folder / 'c.yaml', [folder / 'data'], folder / 'one'
    for job in jobs:
        if job == 'dldm':
            train_dldm.main(config, data, out / job)
        elif job == 'half':  # a single process left it when it was half done
            train_dldm.main(config, data, out / job, resume=True)
        elif job == 'planner':
            train_planner.main(config, data, out / job, init=one / 'dldm')
        elif job == 'sight':
            train_sight.main(config, data, out / job)
        elif job == 'head':
            train_head.main(config, data, out / job, init=one / 'planner')
        elif job in ('vdm', 'disentangle'):
            video_stage(job, config, data, out / job, one)
        elif job == 'norm':
            rank = parallel.rank()
            save_tensors(out / f'norm_{rank}.safetensors', normed(rank, parallel.world()))
        elif job == 'stopped':
            try:
                small_run(out / job, stopped_by=1)
            except SystemExit as ended:
                (out / f'status_{parallel.rank()}').write_text(str(ended.code))
        elif job == 'endless':
            train_planner.main(folder / 'endless.yaml', data, out / job, init=one / 'dldm')


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
