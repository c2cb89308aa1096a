# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How the denoising loss draws: times in a range, several per clip, the control branch off."""

import pytest
import torch
from vdm_helpers import codes, latents, model, seeded

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.vdm_noise import NoiseDraws

CPU = torch.device('cpu')


def test_times_lie_in_their_range_and_are_those_of_the_whole_one_there():
    every = NoiseDraws().time(200_000, seeded(1), CPU)
    part = NoiseDraws(times=(0.6, 0.8)).time(100_000, seeded(2), CPU)
    assert 0.6 <= part.min() and part.max() <= 0.8
    within = every[(every > 0.6) & (every < 0.8)]
    levels = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(part.quantile(levels), within.quantile(levels), atol=2e-3, rtol=0)


@pytest.mark.parametrize('times', [(0.0, 0.1), (0.9, 1.0)])
def test_the_ends_give_finite_times(times):
    t = NoiseDraws(times=times).time(10_000, seeded(0), CPU)
    assert ((t > 0) & (t < 1)).all() and times[0] - 1e-6 <= t.min() and t.max() <= times[1] + 1e-6


@pytest.mark.parametrize(
    ('wrong', 'key'),
    [
        ({'per_clip': 0}, 'noise_draws'),
        ({'times': (0.5, 0.5)}, 'code_times'),
        ({'times': (0.5,)}, 'code_times'),
        ({'times': (-0.1, 1)}, 'code_times'),
        ({'control_dropout': 1.1}, 'control_dropout'),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(wrong, key):
    with pytest.raises(InvalidValueError, match=key):
        NoiseDraws(**wrong)


@torch.no_grad()
def test_draws_of_a_clip_are_as_many_clips():
    net, hint = model(), latents(seed=4)
    several = net.flow_loss(
        latents(), codes(), hint, [seeded(1), seeded(2)], NoiseDraws(per_clip=3)
    )
    assert several.item() != pytest.approx(
        net.flow_loss(latents(), codes(), hint, [seeded(1), seeded(2)]).item(), rel=1e-6
    )
    # a generator that is named three times goes on, so the noise is drawn in the same order
    generators = [seeded(1), seeded(2)]
    again = net.flow_loss(
        latents().repeat(3, 1, 1, 1, 1),
        codes().repeat(3, 1, 1, 1),
        hint.repeat(3, 1, 1, 1, 1),
        generators * 3,
    )
    torch.testing.assert_close(several, again)


@torch.no_grad()
def test_without_its_branch_the_control_says_nothing():
    net, t, hint = model(), torch.tensor([0.3, 0.9]), latents(seed=4)
    shown = torch.tensor([True, False])
    mixed = net.velocity(latents(), t, codes(), hint, shown)
    with_it, without = (
        net.velocity(latents(), t, codes(), hint),
        net.velocity(latents(), t, codes()),
    )
    torch.testing.assert_close(mixed[0], with_it[0])
    torch.testing.assert_close(mixed[1], without[1])
    assert not torch.allclose(with_it[1], without[1])
    never = net.flow_loss(latents(), codes(), hint, seeded(3), NoiseDraws(control_dropout=1.0))
    torch.testing.assert_close(never, net.flow_loss(latents(), codes(), None, seeded(3)))


def test_the_share_without_control_is_the_one_that_was_asked_for():
    shown = NoiseDraws(control_dropout=0.9).shown(50_000, seeded(5), CPU)
    assert float(shown.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert NoiseDraws().shown(2, seeded(5), CPU) is None


def test_codes_get_their_gradient_through_every_draw():
    net, z = model(), codes().requires_grad_()
    draws = NoiseDraws(per_clip=2, times=(0.5, 0.9), control_dropout=0.5)
    net.flow_loss(latents(), z, latents(seed=4), seeded(1), draws).backward()
    assert z.grad.flatten(1).any(1).all()
