# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Joints of one arm from whatever joint_states a robot sends."""

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')

from vw2_ros.messages import convert
from vw2_ros.messages.convert import ConvertError
from vw2_ros.messages.joints import JointReader


def message(stamp_ns=1, velocity=None, **positions):
    values = list(positions.values())
    return convert.joints_to_message(list(positions), values, velocity, stamp_ns=stamp_ns)


def test_by_name_among_others_whatever_their_velocity():
    reader = JointReader(('a', 'b'), 'finger')
    nan = [float('nan')] * 4
    joints = reader.take(message(7, nan, wheel=9, b=2, finger=0.04, a=1))
    np.testing.assert_array_equal(joints.position, (1, 2))
    assert joints.stamp_ns == 7 and reader.finger_position == 0.04


def test_a_message_without_a_joint_of_the_arm_is_skipped():
    reader = JointReader(('a', 'b'), 'finger')
    assert reader.take(message(finger=0.01)) is None
    assert reader.take(message(wheel=1)) is None
    assert reader.others == ('wheel',) and reader.finger_position == 0.01


def test_joints_in_parts_are_as_old_as_the_oldest():
    reader = JointReader(('a', 'b', 'c'))
    with pytest.raises(ConvertError, match='joints must hold a, b, c. Got all but c'):
        reader.take(message(10, a=1, b=2))
    joints = reader.take(message(20, c=3))
    np.testing.assert_array_equal(joints.position, (1, 2, 3))
    assert joints.stamp_ns == 10, 'a part that falls silent makes the whole arm stale'
    assert reader.take(message(30, b=5, a=4)).stamp_ns == 20


def test_a_position_that_is_not_finite_is_refused():
    with pytest.raises(ConvertError, match='finite'):
        JointReader(('a',)).take(message(a=float('nan')))
