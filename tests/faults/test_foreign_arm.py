# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The arm that the fault tests stand on: it takes and refuses what ros2_control does."""

import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from foreign_arm import PANDA, REST_RAD, Controller, ForeignArm
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vw2_ros.messages import convert, qos

JOINTS = ('a', 'b')


def arm(**options):
    return Controller(JOINTS, (0.0, 1.0), **options)


def test_it_interpolates_from_where_it_is_and_holds():
    a = arm(speed_rad_s=100.0)
    assert not a.trajectory(JOINTS, 0.0, [1.0], [[1.0, 0.0]], now_s=10.0)
    for now_s, wanted in ((10.0, (0, 1)), (10.25, (0.25, 0.75)), (11.0, (1, 0)), (99.0, (1, 0))):
        a.update(now_s, 1.0)
        np.testing.assert_allclose(a.q, wanted)


def test_its_servos_have_a_speed():
    a = arm(speed_rad_s=2.0)
    assert not a.positions([3.0, 1.0])
    a.update(0.0, 0.5)
    np.testing.assert_allclose(a.q, (1.0, 1.0))


def test_names_in_any_order_and_a_part_of_them():
    a = arm(speed_rad_s=100.0, allow_partial=True)
    assert not a.trajectory(('b', 'a'), 0.0, [0.1], [[5.0, 4.0]], 0.0)
    a.update(1.0, 1.0)
    np.testing.assert_allclose(a.q, (4.0, 5.0))
    assert not a.trajectory(('b',), 0.0, [0.1], [[0.0]], 1.0)
    a.update(2.0, 1.0)
    np.testing.assert_allclose(a.q, (4.0, 0.0))


@pytest.mark.parametrize(
    'names, stamp_s, times_s, points, why',
    [
        (JOINTS, 9.9, [0.05], [[0, 0]], 'past'),
        (JOINTS, 0.0, [], [], 'no points'),
        (JOINTS, 0.0, [0.2, 0.1], [[0, 0], [1, 1]], 'do not increase'),
        (JOINTS, 0.0, [0.1], [[0]], 'one position per joint'),
        (('a',), 0.0, [0.1], [[0]], 'missing'),
        (('a', 'b', 'c'), 0.0, [0.1], [[0, 0, 0]], 'unknown joints c'),
        (('a', 'a'), 0.0, [0.1], [[0, 0]], 'twice'),
    ],
)
def test_what_it_refuses(names, stamp_s, times_s, points, why):
    a = arm()
    assert why in a.trajectory(names, stamp_s, times_s, points, now_s=10.0)
    a.update(11.0, 1.0)
    np.testing.assert_array_equal(a.q, (0.0, 1.0))


def test_a_stamp_that_ends_later_than_now_is_followed():
    assert not arm().trajectory(JOINTS, 9.99, [0.05], [[0, 0]], now_s=10.0)
    assert not arm().trajectory(JOINTS, 10.2, [0.05], [[0, 0]], now_s=10.0)


def test_by_hand_its_controller_is_off_and_then_holds_there():
    a = arm(speed_rad_s=1.0)
    a.hand((0.5, 1.0))
    assert a.positions([9.0, 9.0]) == 'inactive'
    for _ in range(3):
        a.update(0.0, 0.25)
    np.testing.assert_array_equal(a.q, (0.5, 1.0))
    assert a.active


def test_its_help_teaches():
    done = subprocess.run(
        [sys.executable, sys.modules['foreign_arm'].__file__, '--help'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '--clock-offset' in done.stdout and 'joint_trajectory_controller' in done.stdout


@pytest.mark.parametrize('reliability', ['reliable', 'best_effort'])
def test_over_dds(bench, tmp_path, reliability):
    heard = bench.hear(JointState, 'joint_states', qos.newest(10))
    commands = bench.peer.create_publisher(JointTrajectory, 'joint_commands', qos.reliable(1))
    with ForeignArm(
        tmp_path, '--reliability', reliability, '--order', 'shuffled', '--gripper', 'in_turn',
        '--velocity', 'nan',
    ) as foreign:  # fmt: skip
        assert bench.until(lambda: len(heard) > 50 and commands.get_subscription_count())
        assert {len(m.name) for m in heard} == {7, 1} and np.isnan(heard[-1].velocity[0])
        goal = np.array(REST_RAD) + 0.1
        commands.publish(convert.trajectory_to_message(PANDA, goal, after_s=0.1))
        assert bench.until(lambda: np.allclose(foreign.where(), goal))
        assert [c['refused'] for c in foreign.commands()] == ['']
        foreign.kill()
        since_s = time.monotonic()
        foreign.start('--at=0,0,0,-1,0,1,0')
        assert bench.until(lambda: foreign.lines('state', since_s))
        np.testing.assert_array_equal(foreign.where(), (0, 0, 0, -1, 0, 1, 0))
