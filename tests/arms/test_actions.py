# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's actions move a target, and the arm's joints follow it."""

import numpy as np
import pytest

from vw2_ros.arms import geometry, open_arm
from vw2_ros.arms.actions import EndEffectorController

PANDA = open_arm()


def test_relative_actions_move_the_target_not_the_pose():
    controller = EndEffectorController(PANDA)
    controller.reset(PANDA.rest_rad)
    start, euler = controller.target
    for _ in range(4):
        q, gripper = controller.step([1, -0.5, 0, 0, 0, 1, -1])
    position, turned = controller.target
    assert position - start == pytest.approx([0.08, -0.04, 0.0])
    assert turned - euler == pytest.approx([0, 0, 0.2])
    assert gripper == -1.0
    at, rotation = PANDA.forward(q)
    assert at + PANDA.base_position == pytest.approx(position, abs=1e-4)
    assert rotation == pytest.approx(geometry.euler_to_matrix(turned), abs=1e-3)


def test_many_steps_stay_on_the_target():
    rng = np.random.default_rng(4)
    controller = EndEffectorController(PANDA)
    for _ in range(300):
        position, euler = controller.target
        action = np.append(rng.uniform(-1, 1, 6), 1.0)
        action[:3] += 4 * (np.array([0.0, -0.1, 0.55]) - position)
        action[3:6] += np.array([3.1, 0.0, 1.5]) - euler
        q, _ = controller.step(np.clip(action, -1, 1))
        assert PANDA.forward(q)[0] + PANDA.base_position == pytest.approx(
            controller.position, abs=2e-4
        )


@pytest.mark.parametrize(
    'action, message',
    [
        (np.zeros(6), 'shape'),
        ([0, 0, np.nan, 0, 0, 0, 1], 'finite'),
        ([0, 0, 0, 0, 0, 0, 0.5], 'gripper'),
        ([0, 0, 0, 0, 0, 0, np.inf], 'finite'),
    ],
)
def test_bad_actions_leave_the_target(action, message):
    controller = EndEffectorController(PANDA)
    before = controller.target
    with pytest.raises(ValueError, match=message):
        controller.step(action)
    assert controller.target[0] == pytest.approx(before[0])
    with pytest.raises(ValueError):
        controller.reset(np.full(7, np.nan))
