# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A tiny VDM and inputs for it."""

import dataclasses

import pytest
import torch

pytest.importorskip('diffusers')

from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS  # noqa: E402

TINY = CONFIGS['tiny']
LATENT = (2, 8, 4, 4, 4)  # (B, C, K, h, w)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def model(control_is_trained=True, **changes):
    torch.manual_seed(0)
    net = VDM(dataclasses.replace(TINY, **changes))
    if control_is_trained and net.controlnet is not None:
        for block in net.controlnet.control_blocks:
            torch.nn.init.normal_(block.after_proj.weight, std=0.2)
    return net


def clip(batch=2, seed=1):
    return torch.rand(batch, TINY.clip_frames, 3, TINY.height, TINY.width, generator=seeded(seed))


def codes(batch=2, seed=2):
    return (
        torch.rand(batch, TINY.steps, TINY.queries, TINY.code_size, generator=seeded(seed)) * 2 - 1
    )


def latents(seed=3):
    return torch.randn(LATENT, generator=seeded(seed))


def frames_that_differ(a, b, dim):
    """Numbers of the frames of two tensors that are not bit by bit the same."""
    return [k for k in range(a.shape[dim]) if not torch.equal(a.select(dim, k), b.select(dim, k))]


def changed(given, step):
    """The codes with those of one step (1..K-1) changed."""
    other = given.clone()
    other[:, step - 1] = -other[:, step - 1] + 0.1
    return other
