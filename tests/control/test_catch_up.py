# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A late plan ends where it would have, had it come at once."""

from dataclasses import replace

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.arms.contract import Contract
from vw2_ros.control.catch_up import KEPT_S, OVER, Followed
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop

LENGTH = 16


def chunk(rng, observed_s, size=0.3):
    actions = rng.uniform(-size, size, (LENGTH, 7))
    return Chunk(round(observed_s * 1e9), actions, observed_s)


def follow(followed, plan, begin_s, ticks_s):
    """Note a plan's actions from `begin_s` on, tick by tick; return what was moved (6,), and when."""
    moved, now_s = np.zeros(6), begin_s
    for elapsed_s in ticks_s:
        begin = (now_s - plan.observed_s) / ACTION_PERIOD_S
        action = plan.mean(begin, begin + elapsed_s / ACTION_PERIOD_S)
        followed.add(action, now_s, now_s + elapsed_s)
        moved += action[:6] * elapsed_s / ACTION_PERIOD_S
        now_s += elapsed_s
    return moved, now_s


@pytest.mark.parametrize('seed', range(20))
def test_it_ends_where_it_would_have_ended(seed):
    """Whatever it is late by, a whole number of actions or not, and however the ticks fall."""
    rng = np.random.default_rng(seed)
    followed, first = Followed(), chunk(rng, 0.0)
    _, seen_s = follow(followed, first, 0.0, rng.uniform(0.01, 0.04, rng.integers(1, 5)))
    late = chunk(rng, seen_s)
    meanwhile, now_s = follow(followed, first, seen_s, rng.uniform(0.005, 0.04, 5))
    entered = (now_s - seen_s) / ACTION_PERIOD_S
    end = int(np.ceil(entered)) + OVER
    ticks_s = np.full(9, (end - entered) * ACTION_PERIOD_S / 9)
    rest, _ = follow(Followed(), followed.catch_up(late), now_s, ticks_s)
    np.testing.assert_allclose(meanwhile + rest, late.actions[:end, :6].sum(0), atol=1e-9)


def test_one_that_is_in_time_is_left_alone():
    rng = np.random.default_rng(0)
    followed, first = Followed(), chunk(rng, 0.0)
    assert followed.catch_up(first) is first
    _, now_s = follow(followed, first, 0.0, [0.03] * 5)
    now = chunk(rng, now_s)
    assert followed.catch_up(now) is now


def test_what_is_made_up_stays_within_the_bounds_and_leaves_the_gripper():
    rng = np.random.default_rng(1)
    followed = Followed()
    _, now_s = follow(followed, chunk(rng, 0.0, 1.0), 0.0, [ACTION_PERIOD_S] * 8)
    late = chunk(rng, 0.0, 1.0)
    made = followed.catch_up(late).actions
    assert np.abs(made).max() <= 1
    np.testing.assert_array_equal(made[:, 6], late.actions[:, 6])
    np.testing.assert_array_equal(made[:8], late.actions[:8])
    np.testing.assert_array_equal(made[8 + OVER :], late.actions[8 + OVER :])


def test_an_image_from_before_the_memory_is_none_to_make_up_for():
    rng = np.random.default_rng(2)
    followed, first = Followed(), chunk(rng, 0.0)
    _, now_s = follow(followed, first, 0.0, [0.03] * 5)
    early, late = chunk(rng, -0.01), chunk(rng, 0.05)
    assert followed.catch_up(early) is early
    assert followed.catch_up(late) is not late


def test_the_memory_ends():
    rng = np.random.default_rng(3)
    followed, ticks = Followed(), np.arange(1000)
    for begin_s in ticks * 0.01:
        followed.add(rng.uniform(-1, 1, 7), begin_s, begin_s + 0.01)
    old, kept = (chunk(rng, 10.0 - KEPT_S + off_s) for off_s in (-0.1, 0.1))
    assert followed.catch_up(old) is old
    assert followed.catch_up(kept) is kept, 'a plan that has run out'
    late = chunk(rng, 9.9)
    assert followed.catch_up(late) is not late


def test_a_clock_that_was_set_back_begins_anew():
    rng = np.random.default_rng(4)
    followed = Followed()
    for begin_s in (5.0, 5.1, 1.0, 1.1):
        followed.add(rng.uniform(-1, 1, 7), begin_s, begin_s + 0.1)
    before, late = chunk(rng, 0.9), chunk(rng, 1.05)
    assert followed.catch_up(before) is before
    assert followed.catch_up(late) is not late


# ------------------------------------------------------------------- in the loop


def x_of(loop):
    return loop.controller.forward(loop.command.joints)[0][0]


def moving(value, stamp_ns, observed_s):
    actions = np.zeros((LENGTH, 7))
    actions[:, 0] = value
    return Chunk(stamp_ns, actions, observed_s)


def following(late_s, at_seen=lambda loop: None, at_accepted=lambda loop: None):
    """How far in x [m] an arm is beside where it saw the late plan's image, twelve actions later."""
    limits = panda_at(rate_hz=60.0).limits
    contract = replace(Contract.load('play_table'), limits=limits)
    loop = ControlLoop(contract, ControlConfig(watch_camera=False, blend=0, max_plan_age_s=0.6))
    joints, now_s = contract.arm.rest_rad, 0.0
    loop.see_joints(joints, now_s)
    assert loop.accept(moving(0.1, 1, 0.0), 0.0) == ''
    seen_s, at = 0.15, {}
    while now_s < seen_s + 0.45:
        if abs(now_s - seen_s) < 1e-3:
            at_seen(loop)
        if now_s >= seen_s + late_s and loop.newest_ns == 1:
            at_accepted(loop)
            assert loop.accept(moving(-0.1, 2, seen_s), now_s) == ''
        joints = loop.step(now_s, joints).joints
        at[round(now_s / limits.period_s)] = x_of(loop)
        now_s += limits.period_s
    first = round(seen_s / limits.period_s) - 1
    return at[first + 24] - at[first]


def test_a_late_plan_brings_the_arm_to_the_same_place():
    in_time, late = following(0.0), following(0.1)
    assert in_time < -5e-3
    assert late == pytest.approx(in_time, abs=3e-4)


def test_what_an_arm_stood_still_for_is_made_up():
    """As at the first plan for new words: the one before is void as soon as they come."""
    in_time = following(0.0)
    late = following(0.1, at_seen=ControlLoop.drop_plan)
    assert late == pytest.approx(in_time, abs=3e-4)


def test_nobody_makes_up_for_what_another_master_did():
    assert following(0.1, at_accepted=ControlLoop._settle) > following(0.1) + 4e-3
