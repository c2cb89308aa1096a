# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Row 5: of 10^5 vectors with NaN, infinity or a wrong size none leaves the action node as a command.

The node is real and armed. It is given joints as messages, and actions as its worker hands them over;
what it publishes is looked at just before it goes out.
"""

import contextlib
import math

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import Robot, contract_file
from ros_helpers import tiny_weights
from std_msgs.msg import Float64MultiArray

from vw2_ros.control.loop import Chunk
from vw2_ros.messages import convert
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.action import ActionNode

WORDS = 'open the drawer'
BAD = (math.nan, math.inf, -math.inf, 1e308, -1e308, 1e6)


@pytest.fixture
def action(bench, tmp_path):
    node = bench.add(
        ActionNode,
        weights=tiny_weights(tmp_path / 'tiny'),
        instruction=WORDS,
        contract=contract_file(tmp_path),
    )
    robot = Robot(bench)
    assert bench.until(lambda: len(robot.commands) > 5, 30, each=arming(node, robot))
    return node


def arming(node, robot):
    """Return a function that plays the robot and arms the node."""

    def each():
        robot()
        if node.loop.stop_reason or not robot.commands:
            with contextlib.suppress(ValueError):
                node.arming.rearm()

    return each


def spoilt(rng, values, share):
    """Some numbers of an array made wrong, or the array cut short."""
    values = np.array(values, np.float64)
    where = rng.random(values.shape) < share
    values[where] = rng.choice(BAD, int(where.sum()))
    return values[: rng.integers(1, len(values) + 1)] if rng.random() < 0.05 else values


def numbers(message):
    """All numbers of a command."""
    if isinstance(message, Float64MultiArray):
        return list(message.data)
    return [
        x
        for point in message.points
        for row in (point.positions, point.velocities, point.accelerations)
        for x in row
    ]


def fuzz(node, monkeypatch, count):
    """Give the node `count` spoilt vectors; return the commands it would have sent."""
    rng, sent = np.random.default_rng(5), []
    monkeypatch.setattr(node.arming.link, 'publish', sent.append)
    joints, home = node.limits.joints, node.loop.state.position
    for i in range(count):
        stamp_ns, now_s = node.now_ns(), node.now_s()
        if i % 2:
            position = spoilt(rng, home, 0.02)
            names = joints[: len(position)]
            message = convert.joints_to_message(names, np.zeros(len(names)), stamp_ns=stamp_ns)
            message.position = position
            with contextlib.suppress(ValueError):  # refused, as the subscription would do it
                node.arming.link.on_state(message)
        else:
            actions = spoilt(rng, rng.uniform(-1, 1, (16, 7)), rng.choice([0.0, 0.0, 0.02]))
            words = plan_message.instruction_id(WORDS)
            node.chunks.append(Chunk(stamp_ns, actions, now_s, words))
            node._take_chunks()
        node._tick()
        if node.loop.stop_reason:
            with contextlib.suppress(ValueError):
                node.arming.rearm()
    return sent


@pytest.mark.parametrize('count', [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_no_infinite_number_leaves(action, monkeypatch, count):
    sent = fuzz(action, monkeypatch, count)
    lower, upper = action.limits.lower_rad, action.limits.upper_rad
    infinite = outside = 0
    for message in sent:
        values = numbers(message)
        infinite += not np.isfinite(values).all()
        q = np.array(values[: len(lower)])
        outside += bool((q < np.array(lower) - 1e-9).any() or (q > np.array(upper) + 1e-9).any())
    print(f'{count} spoilt vectors: {len(sent)} commands, {infinite} infinite, {outside} outside')
    assert len(sent) > 0.9 * count and infinite == outside == 0
