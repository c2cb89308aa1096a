# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Latent plans and hidden states on the wire."""

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from vw2_ros.messages import convert  # noqa: E402
from vw2_ros.messages import plan as plan_message
from vw2_ros.messages.convert import ConvertError  # noqa: E402

STAMP_NS = 1_700_000_000_123_456_789
WEIGHTS = '0123456789abcdef' * 4


def test_codes_round_trip():
    codes = np.random.default_rng(0).integers(0, 1000, (4, 4))
    msg = plan_message.codes_to_message(codes, STAMP_NS, 'open the drawer', WEIGHTS)
    assert msg.encoding == '16UC1' and (msg.height, msg.width) == (4, 4)
    part = plan_message.codes_from_message(msg, (4, 4), 1000)
    np.testing.assert_array_equal(part.values, codes)
    assert part.stamp_ns == STAMP_NS
    assert part.instruction_id == plan_message.instruction_id(' open the drawer ')
    assert part.instruction_id != plan_message.instruction_id('close the drawer')
    assert part.weights == WEIGHTS


def test_hidden_round_trip_is_exact():
    hidden = np.random.default_rng(1).normal(size=(4, 192)).astype(np.float32)
    msg = plan_message.hidden_to_message(hidden, STAMP_NS, 'lift', WEIGHTS)
    part = plan_message.hidden_from_message(msg, (4, 192))
    assert part.values.tobytes() == hidden.tobytes()
    assert part.stamp_ns == STAMP_NS


@pytest.mark.parametrize(
    'codes, reason',
    [
        (np.zeros((4, 4), np.float32), 'integers'),
        (np.full((4, 4), -1), 'must lie in'),
        (np.full((4, 4), 70000), 'must lie in'),
        (np.zeros(4, int), 'integers'),
    ],
)
def test_codes_that_are_none(codes, reason):
    with pytest.raises(ConvertError, match=reason):
        plan_message.codes_to_message(codes, STAMP_NS, '', WEIGHTS)


def test_what_a_foreign_plan_gets_wrong():
    codes = plan_message.codes_to_message(np.full((4, 4), 1000), STAMP_NS, 'x', WEIGHTS)
    with pytest.raises(ConvertError, match='below 1000. Got 1000'):
        plan_message.codes_from_message(codes, (4, 4), 1000)
    with pytest.raises(ConvertError, match=r'shape \(4, 8\). Got \(4, 4\)'):
        plan_message.codes_from_message(codes, (4, 8))
    with pytest.raises(ConvertError, match='must be 32FC1'):
        plan_message.hidden_from_message(codes)
    spoilt = np.zeros((4, 8), np.float32)
    spoilt[2, 3] = np.nan
    with pytest.raises(ConvertError, match='finite. Got 1 '):
        plan_message.hidden_from_message(
            convert.numpy_to_image(spoilt, '32FC1', frame_id=f'plan/00000000/{WEIGHTS}')
        )
    with pytest.raises(ConvertError, match='finite'):
        plan_message.hidden_to_message(spoilt, STAMP_NS, 'x', WEIGHTS)
    for frame in ('world', 'plan/00000000', f'plan/00000000/{WEIGHTS[1:]}'):
        codes.header.frame_id = frame
        with pytest.raises(ConvertError, match=f"Got '{frame}'"):
            plan_message.codes_from_message(codes)
