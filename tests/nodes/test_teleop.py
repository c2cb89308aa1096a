# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An operator before the action node, over DDS: he moves the arm, and what is wrong moves nothing."""

import os
import pty
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import TwistStamped
from node_peers import Robot, contract_file
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.action import ActionNode

ARM = open_arm()


class Operator:
    """Speaks 30 times a second, while the robot and its planner are there, too."""

    def __init__(self, bench):
        self.peer, self.robot = bench.peer, Robot(bench)
        self.out = self.peer.create_publisher(TwistStamped, names.TELEOP_TWIST, qos.reliable(1))
        self.gripper = self.peer.create_publisher(Bool, names.TELEOP_GRIPPER, qos.reliable(1))
        self.linear, self.closes, self.frame, self.age_s = None, None, '', 0.0
        self.next_s = 0.0

    def __call__(self):
        self.robot()
        if self.linear is None or time.monotonic() < self.next_s:
            return
        self.next_s = time.monotonic() + 1 / 30
        msg = TwistStamped()
        msg.header.frame_id = self.frame
        if self.age_s is not None:  # else it bears no stamp
            stamp_ns = self.peer.get_clock().now().nanoseconds - round(self.age_s * 1e9)
            msg.header.stamp = convert.ns_to_stamp(stamp_ns)
        msg.twist.linear.x, msg.twist.linear.y, msg.twist.linear.z = self.linear
        self.out.publish(msg)
        if self.closes is not None:
            self.gripper.publish(Bool(data=self.closes))


def way(robot, since):
    """How far the tool was told to go since that many commands (3,) [m]."""
    ends = robot.commands[since - 1], robot.commands[-1]
    before, after = (ARM.forward(np.array(m.points[0].positions[:7]))[0] for m in ends)
    return after - before


@pytest.fixture
def action(bench, weights, tmp_path):
    contract = contract_file(tmp_path, disarmed_at_start=True)
    node = bench.add(ActionNode, weights=weights, contract=contract, instruction='open the drawer')
    return node, Operator(bench), bench.hear(String, names.LEADER, qos.latched())


def call(bench, each, service):
    """Call it while everybody goes on speaking."""
    client = bench.peer.create_client(Trigger, service)
    assert bench.until(client.service_is_ready, each=each)
    future = client.call_async(Trigger.Request())
    assert bench.until(future.done, each=each)
    bench.peer.destroy_client(client)
    return future.result()


def armed(bench, operator):
    assert bench.until(lambda: call(bench, operator, names.REARM).success)
    assert bench.until(lambda: len(operator.robot.commands) > 60, 20, each=operator)


def leads(bench, heard, who, each):
    assert bench.until(lambda: heard and heard[-1].data == who, 10, each=each), heard[-1:]


def stands(bench, operator, seconds=0.6):
    bench.spin(0.4, each=operator)  # it brakes
    count = len(operator.robot.commands)
    bench.spin(seconds, each=operator)
    q = operator.robot.positions()[count - 1 :, :7]
    return np.ptp(q, axis=0).max() < 1e-9


def test_an_operator_moves_the_arm_and_only_hand_back_brings_the_policy_back(bench, action):
    node, operator, heard = action
    operator.linear, operator.closes = [0.0, 0.0, 0.0], True
    bench.spin(1.0, each=operator)
    assert not operator.robot.commands, 'disarmed'
    operator.linear = [0.0, 0.0, 0.1]
    bench.spin(0.3, each=operator)
    at_rest = 'teleop/twist must be at rest'
    assert bench.until(lambda: at_rest in call(bench, operator, names.REARM).message)
    operator.linear = None
    leads(bench, heard, 'nobody', operator)
    assert bench.until(lambda: call(bench, operator, names.HAND_BACK).success)
    leads(bench, heard, 'policy', operator)
    armed(bench, operator)
    operator.linear = [0.0, 0.0, 0.1]
    leads(bench, heard, 'correction', operator)
    bench.spin(0.3, each=operator)
    count = len(operator.robot.commands)
    assert bench.until(lambda: way(operator.robot, count)[2] > 0.05, 30, operator)
    x, y, z = way(operator.robot, count)
    assert z > 5 * max(abs(x), abs(y)), (x, y, z)
    assert operator.robot.positions()[-1, 7] == 0.0, 'the gripper closes'
    assert not call(bench, operator, names.HAND_BACK).success
    operator.linear = None
    leads(bench, heard, 'nobody', operator)
    assert stands(bench, operator) and node.loop.command.status == 'holding'
    assert bench.until(lambda: call(bench, operator, names.HAND_BACK).success)
    assert bench.until(lambda: node.loop.command.status == 'moving', 10, each=operator)
    leads(bench, heard, 'policy', operator)
    kinds = [m.data for m in heard]
    assert kinds[-3:] == ['correction', 'nobody', 'policy']


@pytest.mark.parametrize('fault', ['nan', 'old', 'unstamped', 'frame', 'two', 'stopped'])
def test_nothing_moves(bench, action, fault):
    node, operator, heard = action
    armed(bench, operator)
    operator.linear = [0.0, 0.0, 0.1]
    why = {
        'nan': '6 finite numbers',
        'old': 'ms ago, limit 200 ms',
        'unstamped': 'stamp must be set',
        'frame': 'frame_id must be panda_link0',
        'two': 'one operator may publish on teleop/twist',
    }
    if fault == 'nan':
        operator.linear = [0.0, float('nan'), 0.1]
    elif fault == 'frame':
        operator.frame = 'camera'
    elif fault == 'two':
        bench.peer.create_publisher(TwistStamped, names.TELEOP_TWIST, 1)
    elif fault == 'stopped':
        assert call(bench, operator, names.STOP).success
    else:
        operator.age_s = 0.3 if fault == 'old' else None
    said = []
    refuse = node.refuse
    node.refuse = lambda what, reason: (said.append(f'{what}: {reason}'), refuse(what, reason))
    leads(bench, heard, 'correction', operator)
    assert stands(bench, operator)
    told = [line for line in said if line.startswith(names.TELEOP_TWIST)]
    if fault == 'stopped':
        assert not told and node.loop.command.status == 'stopped'
    else:
        assert told and all(why[fault] in line for line in told), told


def test_keys_in_a_terminal(bench, action):
    """`vw2 teleop` as a program: it arms, moves up, and when it is killed the arm holds."""
    node, operator, heard = action
    bench.spin(0.3, each=operator)
    bench.peer.destroy_publisher(operator.out)
    bench.peer.destroy_publisher(operator.gripper)
    main, child = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, '-m', 'vw2_ros.cli', 'teleop'],
        stdin=child, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    os.close(child)
    pressed_s = 0.0

    def press(key):
        def each():
            nonlocal pressed_s
            operator()
            if time.monotonic() > pressed_s + 0.05:
                pressed_s = time.monotonic()
                os.write(main, key)

        return each

    def again(key, done):
        for _ in range(6):  # on a busy machine joints and what he said before come late: refused
            os.write(main, key)
            if bench.until(done, 5, operator):
                return
        raise AssertionError(f'{key} does nothing: {node.loop.stop_reason}')

    try:
        there = lambda: bench.peer.count_publishers(names.TELEOP_TWIST)  # noqa: E731
        assert bench.until(there, 60, each=operator)
        bench.spin(1.0, each=operator)
        again(b'e', lambda: not node.loop.stop_reason)
        leads(bench, heard, 'correction', press(b'r'))
        count = len(operator.robot.commands)
        assert bench.until(lambda: way(operator.robot, count)[2] > 0.02, 30, press(b'r'))
        assert stands(bench, operator)
        leads(bench, heard, 'correction', operator)  # he holds it
        again(b'p', lambda: heard[-1].data == 'policy')
        leads(bench, heard, 'correction', press(b'r'))
        program.kill()
        leads(bench, heard, 'nobody', operator)
        assert stands(bench, operator)
    finally:
        program.kill()
        program.wait()
        os.close(main)
