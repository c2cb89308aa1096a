# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What tests/test_scale.py lets several processes do: scale_worker.py FOLDER OUT JOB..."""

import os
import signal
import sys
from pathlib import Path

import torch
from toy_stage import Toy

from vw2_ros.models import parallel
from vw2_ros.models.dldm import CodeNorm
from vw2_ros.models.stages.head import HeadStage
from vw2_ros.models.stages.planner import PlannerStage
from vw2_ros.models.stages.sight import SightStage
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.storage import save_tensors
from vw2_ros.models.training.run import run

STEPS = 12


def small_run(out, stopped_by=None, resume=False):
    """A regression whose last layer is never used; process `stopped_by` gets a SIGTERM."""
    torch.manual_seed(0)
    model = torch.nn.ModuleList([torch.nn.Linear(4, 3), torch.nn.Linear(3, 3)])

    class Small(Toy):
        def batch(self, step):
            if step == 8 and parallel.rank() == stopped_by:
                os.kill(os.getpid(), signal.SIGTERM)
            return {**super().batch(step), 'step': step}

        def loss(self, batch):
            wanted = batch['x'].sum(1, keepdim=True)
            return {'loss': (model[0](batch['x']) - wanted).square().mean()}

    run(Small(model, config={'steps': STEPS}), out, resume)


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
    from vw2_ros.models.stages.disentangle import DisentangleStage  # needs diffusers
    from vw2_ros.models.stages.vdm import VDMStage

    if stage == 'vdm':
        run(VDMStage(config, data), out)
    else:
        run(DisentangleStage(config, data, init=one / 'dldm', vdm=one / 'vdm'), out)


def main(folder, out, *jobs):
    """`folder` has c.yaml, endless.yaml, data/ and one/, the runs of a single process."""
    config, data, one = folder / 'c.yaml', [folder / 'data'], folder / 'one'
    for job in jobs:
        if job == 'dldm':
            run(WarmUpStage(config, data), out / job)
        elif job == 'half':  # a single process left it when it was half done
            run(WarmUpStage(config, data), out / job, resume=True)
        elif job == 'planner':
            run(PlannerStage(config, data, init=one / 'dldm'), out / job)
        elif job == 'sight':
            run(SightStage(config, data), out / job)
        elif job == 'head':
            run(HeadStage(config, data, init=one / 'planner'), out / job)
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
            run(PlannerStage(folder / 'endless.yaml', data, init=one / 'dldm'), out / job)


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
