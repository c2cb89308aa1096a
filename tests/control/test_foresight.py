# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a chunk would do is what the loop and its gate would do with it."""

import numpy as np
import pytest
from contracts import panda_at

from vw2_ros.arms.contract import Contract
from vw2_ros.control.chunk import Chunk, ControlConfig
from vw2_ros.control.foresight import foresee


def chunk(*action, n=16):
    return Chunk(7, np.tile(np.array(action, float), (n, 1)), 123.0, 'abcdef01')


def test_nominal_actions_pass_unchanged():
    contract = Contract.load('play_table')
    seen = foresee(contract, ControlConfig(), chunk(0.5, 0, 0, 0, 0, 0, -1), contract.home_rad)
    moved = seen.positions - seen.positions[0]
    np.testing.assert_allclose(moved[:, 0], 0.01 * np.arange(17), atol=2e-3)
    assert np.abs(moved[:, 1:]).max() < 2e-3
    assert seen.gripper.tolist() == [1.0] + [-1.0] * 16


@pytest.mark.parametrize('direction', [(0, 0, -1), (0, 0, 1), (1, 0, 0), (0, -1, 0)])
def test_a_robot_stays_within_box_and_tool_speed(direction):
    contract = panda_at()
    limits, at = contract.limits, contract.home_rad
    for _ in range(4):
        seen = foresee(contract, ControlConfig(), chunk(*direction, 0, 0, 0, 1), at)
        steps = np.linalg.norm(np.diff(seen.positions, axis=0), axis=1)
        assert steps.max() <= limits.tool_speed_m_s / 30 * 1.02
        assert (seen.positions >= limits.box_lower_m - 2e-3).all()
        assert (seen.positions <= limits.box_upper_m + 2e-3).all()
    assert steps.max() > 1e-3 and seen.reasons  # it moves, and says that limits changed it


def test_a_bad_chunk_is_told():
    contract = Contract.load('play_table')
    seen = foresee(contract, ControlConfig(), chunk(*[np.nan] * 7), contract.home_rad)
    assert len(seen.positions) == 1 and 'finite numbers' in seen.reasons[0]
