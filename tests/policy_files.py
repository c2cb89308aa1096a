# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Untrained models of the smallest size, and the policy folder that they make."""

import torch

from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.checkpoint import save_checkpoint
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.vision import VisionConfig

PHRASES = ('open the drawer', 'push the red block left')


def tiny_words(phrases=PHRASES):
    return Tokenizer.build(list(phrases), buckets=32)


def tiny_planner(words, image_size=32, **changes):
    sizes = dict(width=16, layers=1, heads=2, hidden=16, codebook_size=12)
    vision = VisionConfig(image_size=image_size, stem=4, channels=4, keypoints=4)
    return Planner(
        PlannerConfig(
            vocab_size=words.vocab_size, buckets=32, vision=vision, **{**sizes, **changes}
        )
    )


def tiny_head(**changes):
    return ActionHead(ActionHeadConfig(**{**dict(width=16, hidden=16, layers=1), **changes}))


def tiny_dldm(**changes):
    sizes = dict(image_size=16, channels=(4, 4, 8), decoder_channels=(8, 4, 4))
    query = dict(query_width=8, query_heads=2, levels=(4, 3))
    return DLDM(DLDMConfig(**{**sizes, **query, **changes}))


def tiny_policy(folder, *, words=None, planner=None, head=None, dldm=None, **options):
    """Write a policy folder of these parts, the smallest ones where none is given; return its digest.

    dldm: False leaves it out. options: of `save_checkpoint`.
    """
    torch.manual_seed(0)
    words = words or tiny_words()
    options.setdefault('provenance', {'command': 'test', 'action_frame': 'base'})
    options.setdefault('phrases', dict(zip(('open_drawer', 'push_red_block_left'), PHRASES)))
    return save_checkpoint(
        folder,
        tokenizer=words,
        planner=planner or tiny_planner(words),
        head=head or tiny_head(),
        dldm=None if dldm is False else dldm or tiny_dldm(),
        **options,
    )
