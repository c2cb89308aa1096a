# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Who may move the arm: nobody after a stop and a crash, one master, one policy. 0 wrong movements.

The action node and the watchdog are processes, and so is the arm. `VW2_FAULT_RUNS` says how often the
slow tests do it.
"""

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from robot_stack import running
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.messages import convert

FEW, MANY = 1, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
STILL_RAD = 1e-6


@pytest.fixture
def stack(bench, tmp_path):
    with running(bench, tmp_path, on_stale='silent') as made:
        yield made


def stands(arm, for_s=0.3):
    since_s = time.monotonic() - for_s
    return len(arm.lines('state', since_s)) > 5 and arm.moved(since_s) < STILL_RAD / 10


@runs
def test_a_stop_outlasts_a_crash(stack, count):
    stack, arm = stack
    moved, commands = [], 0
    stack.comes_up_disarmed()
    for _ in range(count):
        stack.moves(arm)
        assert stack.call(names.STOP)
        stack.bench.spin(0.5, stack.robot)
        assert stack.until(lambda: stands(arm))  # its servo has settled
        stack.signal(signal.SIGKILL)
        stack.children.running['action'].wait()
        since_s = time.monotonic()
        stack.children.start_one(stack.action)
        stack.comes_up_disarmed()
        moved.append(arm.moved(since_s))
        commands += len(arm.commands(since_s))
    print(f'\n{count} stops, crashes and starts: {max(moved):.6f} rad, {commands} commands')
    assert max(moved) < STILL_RAD and commands == 0


def both(robot, publisher, message):
    """Return a function that plays the robot, and another master that sends one message."""

    def each():
        robot()
        publisher.publish(message)

    return each


@runs
def test_a_second_master_silences_this_one(stack, count):
    stack, arm = stack
    peer, both_s, later = stack.bench.peer, [], 0
    stack.comes_up_disarmed()
    for _ in range(count):
        stack.moves(arm)
        here = arm.where()
        came_s = time.monotonic()
        other = peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, 10)
        message = convert.trajectory_to_message(open_arm().joints, here, stamp_ns=0, after_s=0.1)
        stack.bench.spin(1.0, both(stack.robot, other, message))
        mine = [
            c['t']
            for c in arm.commands(came_s)
            if np.abs(np.array(c['goal'][-1]) - here).max() > 1e-9
        ]
        both_s.append(max(mine, default=came_s) - came_s)
        peer.destroy_publisher(other)
        gone_s = time.monotonic()
        stack.bench.spin(1.0, stack.robot)
        later += len(arm.commands(gone_s))
    ms = 1e3 * np.array(both_s)
    print(
        f'\n{count} second masters: this one was silent after {np.median(ms):.0f} ms (median), at most '
        f'{ms.max():.0f} ms, and sent {later} commands when the other was gone, before a re-arm'
    )
    assert later == 0 and ms.max() < 500


@runs
def test_plans_of_another_policy_move_nothing(stack, count):
    stack, arm = stack
    own, moved, rng = stack.robot.weights, [], np.random.default_rng(0)
    stack.comes_up_disarmed()
    for _ in range(count):
        stack.moves(arm)
        stack.robot.weights = rng.bytes(32).hex()
        stack.bench.spin(1.5, stack.robot)  # the last good plan gets too old, and the arm stands
        since_s = time.monotonic()
        stack.bench.spin(0.5, stack.robot)
        moved.append(arm.moved(since_s))
        stack.robot.weights = own
    print(f'\n{count} times plans of other weights: {max(moved):.6f} rad')
    assert max(moved) < STILL_RAD
    assert stack.until(lambda: arm.moved(since_s) > 0.01, 5), 'it goes on with its own'
