# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From recorded joints to relative actions: exact where it can be, bounded where it cannot."""

import numpy as np
import pytest

from vw2_ros.arms import open_arm
from vw2_ros.arms.actions import EndEffectorController
from vw2_ros.recording import labels

PERIOD = labels.PERIOD_NS


def walk(seed=0, n=60):
    """Smooth random actions (n, 7), and the joints (n + 1, 7) that they command."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    actions = 0.5 * np.sin(t * rng.uniform(0.05, 0.3, 6) + rng.uniform(0, 6, 6))
    actions = np.column_stack([actions, np.where(t % 40 < 20, 1.0, -1.0)])
    controller = EndEffectorController(open_arm())
    controller.reset(open_arm().rest_rad)
    joints = [open_arm().rest_rad, *(controller.step(a)[0] for a in actions)]
    return actions, np.array(joints)


def test_actions_are_those_that_the_controller_was_given():
    actions, joints = walk()
    found, too_fast = labels.relative_actions(labels.tcp_poses(joints, open_arm()), actions[:, 6])
    assert np.abs(found - actions).max() < 5e-3 and too_fast == 0


@pytest.mark.parametrize('phase', [0.0, 0.3, 0.6, 0.97])
def test_commands_of_30_hz_count_once_each_whenever_they_come(phase):
    actions, joints = walk()
    rng = np.random.default_rng(1)
    ticks = np.arange(len(joints)) * PERIOD
    # action t is commanded within the period after tick t
    times = np.sort(ticks + (phase - 1 + 0.02 * rng.standard_normal(len(ticks))) * PERIOD)
    target, known = labels.commanded(times, joints, ticks, 2e8)
    assert known[1:].all()
    found, _ = labels.relative_actions(labels.tcp_poses(target, open_arm()), actions[:, 6])
    if phase > 0.9:  # just before a frame: nobody can tell from just after
        found, actions = found[1:], actions[:-1]
    assert np.abs(found[1:, :6] - actions[1:, :6]).mean() < 0.01


def test_commands_of_another_rate_are_interpolated():
    times = np.arange(0, 40) * 1e9 / 100
    joints = open_arm().rest_rad + np.arange(40)[:, None] * 0.001
    ticks = np.arange(10) * PERIOD
    target, known = labels.commanded(times, joints, ticks, 2e8)
    assert known.all() and np.allclose(np.diff(target, axis=0), 0.1 * PERIOD * 1e-9, atol=1e-9)


def test_what_a_clip_cuts_off_is_made_up_for():
    poses = np.zeros((7, 6))
    poses[1:3, 0], poses[3:, 0] = 0.01, 0.07  # half an action, none, three at once
    actions, too_fast = labels.relative_actions(poses, np.ones(6))
    assert actions[:, 0] == pytest.approx([0.5, 0, 1, 1, 1, 0])
    assert too_fast == pytest.approx(2 / 6)


def test_angles_that_turn_over_make_no_jump():
    joints = np.repeat(open_arm().rest_rad[None], 40, 0)
    joints[:, 6] += np.linspace(0, 2.0, 40)
    joints[:, 5] += np.linspace(-0.3, 0.3, 40)
    poses = labels.tcp_poses(joints, open_arm())
    assert np.abs(np.diff(poses, axis=0)).max() < 0.2


def test_the_gripper_follows_the_way_the_fingers_go():
    closes = [0.04, 0.04 - 1e-6, 0.04, 0.03, 0.02, 0.0199, 0.02, 0.0201, 0.02]  # around a block
    opens = [0.02, 0.021, 0.024, 0.03, 0.04, 0.04]
    gripper = labels.gripper_of_motion(np.array(closes + opens))
    assert gripper.tolist() == [1, 1] + [-1] * 7 + [1] * 6
    pushed_apart = np.array([0.04, 0.04, 0.03, 0.027, *np.linspace(0.027, 0.032, 40)])
    assert labels.gripper_of_motion(pushed_apart).tolist() == [1] + [-1] * 43
    assert labels.gripper_of_motion(np.full(3, 0.02)).tolist() == [-1, -1, -1]  # holds something
    assert labels.gripper_of_motion(np.zeros(3)).tolist() == [-1, -1, -1]
    assert labels.gripper_of_commands(np.array([0.0, 0.019, 0.04])).tolist() == [-1, -1, 1]


def test_ticks_are_in_step_with_the_camera():
    rng = np.random.default_rng(0)
    images = (10**18 + np.arange(90) * PERIOD + rng.normal(0, 2e6, 90)).astype(np.int64)
    ticks = labels.tick_times(images, int(images[0]), int(images[-1]))
    index, off = labels.nearest(images, ticks)
    assert len(ticks) in (89, 90, 91) and np.allclose(np.diff(ticks), PERIOD, atol=200)
    assert (np.diff(index) == 1).mean() > 0.97 and np.median(off) < 3e6
    assert labels.nearest(images[:1], ticks)[0].tolist() == [0] * len(ticks)


def test_nothing_is_known_across_a_gap():
    times = np.array([0, 1, 2, 10, 11]) * PERIOD
    at = np.array([-1, 0, 0.5, 2, 2.5, 9.5, 10, 10.5, 12]) * PERIOD
    assert labels.covered(times, at, 1.5 * PERIOD).tolist() == [
        False,
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert labels.covered(times[:1], at, 1.5 * PERIOD).tolist() == [False, True] + [False] * 7
