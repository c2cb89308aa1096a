# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An untrained policy of the smallest size, as a model folder."""

import math

import torch

from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.checkpoint import save_checkpoint
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.vision import VisionConfig


def save(folder, dldm=True, residual=True, steps=4, queries=4, levels=(8, 5, 5, 5)):
    """Write it to `folder`; what else is given are sizes of its dLDM."""
    torch.manual_seed(0)
    words = Tokenizer.build(['open the drawer', 'close the drawer'], buckets=32)
    planner = Planner(
        PlannerConfig(
            vocab_size=words.vocab_size,
            buckets=32,
            width=16,
            layers=1,
            heads=2,
            hidden=16,
            steps=steps,
            queries=queries,
            codebook_size=math.prod(levels),
            vision=VisionConfig(image_size=32, stem=4, channels=4, keypoints=4),
        )
    )
    head = ActionHead(ActionHeadConfig(width=16, hidden=16, layers=1, steps=steps))
    net = (
        DLDM(
            DLDMConfig(
                image_size=16,
                channels=(4, 4, 8),
                decoder_channels=(8, 4, 4),
                query_width=8,
                query_heads=2,
                residual=residual,
                queries=queries,
                levels=levels,
                clip_frames=1 + 4 * steps,
            )
        )
        if dldm
        else None
    )
    save_checkpoint(
        folder,
        planner=planner,
        head=head,
        tokenizer=words,
        dldm=net,
        provenance={'renderer': 'pybullet_tiny', 'image_size': 32},
    )
