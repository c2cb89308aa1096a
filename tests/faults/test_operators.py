# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An operator before a foreign arm: he falls silent in mid-motion, and another one comes beside him.

The action node and the arm are processes; a policy's plans come all the time. Until `hand_back` nothing
but the operator moves the arm. `VW2_FAULT_RUNS` says how often the slow tests do it.
"""

import os
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import TwistStamped
from robot_stack import last_new_target, running

from vw2_ros import names
from vw2_ros.control.takeover import SILENCE_S
from vw2_ros.messages import qos

FEW, MANY = 1, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
STILL_RAD = 1e-6
SETTLING_S = 1.0  # the arm nears its last target with a time constant of 0.1 s
BRAKING_S = 0.1  # the target still moves while the arm brakes


class Operator:
    """Moves the tool up and down, beside the robot's camera and planner."""

    def __init__(self, stack):
        self.peer, self.robot = stack.bench.peer, stack.robot
        self.out = self.peer.create_publisher(TwistStamped, names.TELEOP_TWIST, qos.reliable(1))
        self.up, self.spoke_s = 0.1, 0.0

    def __call__(self):
        self.robot()
        if time.monotonic() - self.spoke_s > 1 / 30:
            msg = TwistStamped()
            msg.header.stamp = self.peer.get_clock().now().to_msg()
            msg.twist.linear.z = self.up
            self.out.publish(msg)
            self.spoke_s = time.monotonic()


@runs
@pytest.mark.parametrize('fault', ['silent', 'another'])
def test_the_arm_holds_until_it_is_handed_back(bench, tmp_path, fault, count):
    with running(bench, tmp_path, on_stale='silent') as (stack, arm):
        stack.comes_up_disarmed()
        operator, late, moved = Operator(stack), [], []
        for _ in range(count):
            stack.moves(arm)
            began_s = time.monotonic()
            moves = lambda: arm.moved(began_s) > 0.05  # noqa: E731, B023
            assert stack.bench.until(moves, 30, operator)
            if fault == 'another':
                other = operator.peer.create_publisher(TwistStamped, names.TELEOP_TWIST, 1)
            fault_s = time.monotonic()
            stack.bench.spin(1.0 + SETTLING_S, stack.robot if fault == 'silent' else operator)
            since_s = operator.spoke_s if fault == 'silent' else fault_s
            late.append(last_new_target(arm, since_s) - since_s)
            still_s = time.monotonic()
            stack.bench.spin(0.5, stack.robot)
            moved.append(arm.moved(still_s))
            if fault == 'another':
                operator.peer.destroy_publisher(other)
            operator.up = -operator.up
            # an answer that came too late was one, too
            back = lambda: stack.call(names.HAND_BACK) or 'already' in stack.answer  # noqa: E731
            assert stack.until(back), stack.answer
        ms = 1e3 * np.array(late)
        print(
            f'\n{fault}, {count} times: the last new target after {np.median(ms):.0f} ms (median) and '
            f'at most {ms.max():.0f} ms, then {max(moved):.6f} rad beside plans that came on'
        )
        assert max(moved) < STILL_RAD
        assert ms.max() < (1e3 * (SILENCE_S + BRAKING_S) if count > FEW else 1000)
