# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Hand-made clips and codes whose answers are known, for the tests of models/inspection."""

import json

import numpy as np

from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.inspection.clips import Clips

STEPS = 2
TINY = DLDMConfig(
    image_size=32,
    clip_frames=9,
    channels=(4, 8, 8),
    decoder_channels=(8, 8, 4),
    query_width=16,
    query_heads=2,
)


def hand_made(scenes='ABCD', episodes=8, each=12, seed=0):
    """Clips whose motion is drawn at random; nothing but the hand and the drawer moves."""
    rng = np.random.default_rng(seed)
    m = len(scenes) * episodes * each
    still = np.zeros((m, STEPS, 1))
    motion = {
        'hand': rng.normal(scale=0.05, size=(m, STEPS, 3)),
        'gripper': still,
        'blocks': np.zeros((m, STEPS, 3)),
        'slider': still,
        'drawer': rng.normal(scale=0.02, size=(m, STEPS, 1)),
    }
    return Clips(
        np.arange(m) * 20,
        1 + 4 * STEPS,
        np.repeat(list(scenes), episodes * each),
        np.repeat(np.arange(len(scenes) * episodes), each),
        motion,
    )


CLIPS = hand_made()
HAND = CLIPS.motion['hand'] / 0.05  # codes that are the motion
TOLD = np.concatenate([HAND, CLIPS.motion['drawer'] / 0.02], axis=2)
NOISE = np.random.default_rng(1).normal(size=TOLD.shape)  # says nothing


def contains(found, value):
    f = found.figures()
    return f['low'] <= value <= f['high']


def sessions(split, scenes, looks=None):
    """Say like `vw2 collect` which scene each range is of; two ranges make a session."""
    ranges = np.load(split / 'ep_start_end_ids.npy')
    (split / 'sessions').mkdir()
    for k in range(0, len(ranges), 2):
        marker = {'session': k // 2, 'scene': scenes[k // 2], 'ranges': ranges[k : k + 2].tolist()}
        if looks:
            marker['appearance'] = looks[k // 2]
        (split / 'sessions' / f'session_{k // 2:05d}.json').write_text(json.dumps(marker))
