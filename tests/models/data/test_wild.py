# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video made wild: what it looks like is what its signals say, and it is the same each time."""

import dataclasses

import calvin_files
import numpy as np
import pytest
import torch

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.batches import ClipConfig, ClipSource
from vw2_ros.models.data.wild import Nuisances, draw_nuisances, make_wild, wild_clip
from vw2_ros.models.errors import ConfigError

FRAMES = 24
GREY = np.full((FRAMES, 32, 48, 3), 110, np.uint8)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('wild') / 'data'
    return calvin_files.write_data(root, shards=True, episodes=4, frames=30)


def only(**fields):
    """Nuisances that change nothing but these."""
    calm = Nuisances(*(np.zeros((FRAMES, d), np.float32) for d in (1, 2, 2, 4, 6, 1)))
    drawn = draw_nuisances(FRAMES, np.random.default_rng(4))
    calm = dataclasses.replace(calm, quality=np.ones((FRAMES, 1), np.float32))
    return dataclasses.replace(calm, **{k: getattr(drawn, k) for k in fields})


def test_light_is_what_the_signals_say():
    n = only(exposure=True)
    seen = make_wild(GREY, n).astype(float).mean((1, 2, 3)) / 110
    assert np.allclose(np.log(seen), n.signals()['exposure'][:, 0], atol=0.01)
    n = only(colour=True)
    red, green, blue = make_wild(GREY, n).astype(float).mean((1, 2)).T
    found = np.stack([np.log(red / green), np.log(blue / green)], axis=1)
    assert np.allclose(found, n.signals()['colour'], atol=0.04)
    n = only(shadow=True)
    n.shadow[:, 0] = np.linspace(-1, 0.5, FRAMES)  # it comes in from the left
    n.shadow[:, 1] = 0.5
    seen = make_wild(GREY, n).astype(float).mean((1, 2, 3)) / 110
    assert seen[0] > 0.99 and seen[-1] < 0.95
    assert np.allclose(1 - seen, n.signals()['shadow'][:, 0], atol=0.02)


def test_what_moves_is_where_the_signals_say():
    picture = np.full((FRAMES, 64, 64, 3), 60, np.uint8)
    picture[:, 28:36, 28:36] = 250
    n = only(shake=True)
    y, x = np.mgrid[:64, :64]
    weight = make_wild(picture, n)[..., 1].astype(float) - 60
    total = weight.sum((1, 2))
    place = np.stack([(weight * x).sum((1, 2)) / total, (weight * y).sum((1, 2)) / total], axis=1)
    assert np.allclose((place - 31.5) / 64, n.signals()['shake'], atol=0.01)
    assert np.abs(n.signals()['shake']).max() > 0.02
    n = only(mover=True)
    n.mover[:, 3:] = 1  # white
    weight = make_wild(np.zeros_like(picture), n)[..., 1].astype(float)
    total = weight.sum((1, 2))
    place = np.stack([(weight * x).sum((1, 2)) / total, (weight * y).sum((1, 2)) / total], axis=1)
    inside = (np.abs(n.mover[:, :2] - 0.5) < 0.35).all(1) | (total == total.max())
    assert np.allclose(((place + 0.5) / 64)[inside], n.signals()['mover'][inside], atol=0.03)


def test_a_clip_and_a_seed_give_one_wild_clip():
    rgb = np.random.default_rng(0).integers(60, 190, (FRAMES, 32, 48, 3)).astype(np.uint8)
    wild, nuisances = wild_clip(rgb, seed=3)
    assert wild.shape == rgb.shape and wild.dtype == np.uint8 and not np.array_equal(wild, rgb)
    assert np.array_equal(wild, wild_clip(rgb, seed=3)[0])
    assert not np.array_equal(wild, wild_clip(rgb, seed=4)[0])
    for name, signal in nuisances.signals().items():
        assert len(signal) == FRAMES and signal.dtype == np.float32, name
        if name != 'shadow':  # it may be outside the picture
            assert signal.std(0).min() > 0, name
    with pytest.raises(InvalidValueError, match='for 5 frames. Got those of 24'):
        make_wild(rgb[:5], nuisances)


def test_a_store_is_wild_by_one_key_of_the_config(data):
    calm, wild = (ClipConfig(stored_size=32, wild=w).store([data], 'training', 32) for w in (0, 1))
    assert wild.content_hash != calm.content_hash
    rows = calm.clip_starts(17)[[3, 0, 8], None] + np.arange(17)
    rgb = wild.rgb(rows)
    assert rgb.shape == (3, 17, 32, 32, 3) and not np.array_equal(rgb, calm.rgb(rows))
    for i in range(3):  # a frame looks the same in whichever batch it comes
        assert np.array_equal(wild.rgb(rows[i]), rgb[i])
    again = ClipConfig(stored_size=32, wild=1).store([data], 'training', 32)
    assert np.array_equal(again.rgb(rows), rgb) and again.content_hash == wild.content_hash
    assert calm.nuisances is None and len(wild.nuisances) == len(wild)
    with pytest.raises(ConfigError, match='wild must lie'):
        ClipConfig(wild=3.0)


def test_batches_are_wild_preloaded_or_not(data):
    config = ClipConfig(stored_size=32, wild=1.0)
    sources = [
        ClipSource([data], config, 17, 32, torch.device('cpu'), load) for load in (False, True)
    ]
    a, b = (s.finish(s.make_batch(2, batch=3, seed=0))['video'] for s in sources)
    assert torch.equal(a, b)
