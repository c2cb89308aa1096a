# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A leader arm, `vw2 teleop` and the action node, each in a process of its own, over DDS."""

import contextlib
import os
import pathlib
import pty
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('rclpy')

import arm_files
import leader_arm
from leader_arm import HEIGHT_M, PERIOD_S
from node_peers import ARM, Robot, contract_file
from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.client import Client
from vw2_ros.errors import UsageError
from vw2_ros.messages import qos
from vw2_ros.nodes.action import ActionNode
from vw2_ros.teleop.leader_hand import leader_hand
from vw2_ros.teleop.program import Teleop

TOPIC = 'leader/joint_states'


class Program:
    """`vw2 teleop` in a terminal, and what it says."""

    def __init__(self, folder, *words):
        self._said, self._keys = folder / 'said.txt', -1
        self._keys, child = pty.openpty()
        with open(self._said, 'wb') as out:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'vw2_ros.cli', 'teleop', *words],
                stdin=child, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        os.close(child)

    def press(self, key):
        os.write(self._keys, key)

    def said(self):
        return self._said.read_text()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._keys)


@contextlib.contextmanager
def leader():
    """A leader that moves up and down."""
    process = subprocess.Popen([sys.executable, str(pathlib.Path(leader_arm.__file__)), TOPIC])
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def follower(bench, weights, tmp_path):
    contract = contract_file(tmp_path, disarmed_at_start=True)
    node = bench.add(ActionNode, weights=weights, contract=contract, instruction='open the drawer')
    robot, program = Robot(bench), Program(tmp_path, '--leader', TOPIC, '--contract', contract)
    try:
        assert bench.until(lambda: bench.peer.count_publishers(names.TELEOP_TWIST), 60, robot)
        yield node, robot, program
    finally:
        program.close()


def way(robot, since):
    """Where the tool was told to be since that many commands (n, 3) [m]."""
    return np.array([ARM.forward(q)[0] for q in robot.positions()[since:, :7]])


def stands(bench, robot, seconds):
    bench.spin(0.4, robot)  # it brakes
    since = len(robot.commands) - 1
    bench.spin(seconds, robot)
    return np.ptp(way(robot, since), axis=0).max() < 1e-6


def clutched_in(bench, robot, program):
    """Press enter until it leads; the length of what was said until then."""
    for _ in range(8):  # on a busy machine the leader seems silent now and then
        before = len(program.said())
        program.press(b'\n')
        if bench.until(lambda n=before: 'clutched in' in program.said()[n:], 5, robot):
            return before + program.said()[before:].rindex('clutched in')
    raise AssertionError(program.said())


def test_a_leader_arm_leads_when_it_is_clutched_in(bench, follower):
    node, robot, program = follower
    for _ in range(6):
        program.press(b'e')
        if bench.until(lambda: not node.loop.stop_reason, 5, robot):
            break
    assert bench.until(lambda: len(robot.commands) > 60, 20, robot), program.said()
    robot.send_plans = False  # the policy's arm holds
    with leader():
        assert bench.until(lambda: bench.peer.count_publishers(TOPIC), 20, robot)
        assert stands(bench, robot, PERIOD_S / 2) and not node.loop.takeover.active
        for _ in range(5):
            told, since = clutched_in(bench, robot, program), len(robot.commands)
            bench.spin(2 * PERIOD_S, robot)
            if 'clutched out' not in program.said()[told:]:
                break
        ways = np.ptp(way(robot, since), axis=0)
        assert ways[2] == pytest.approx(HEIGHT_M, abs=0.01), (ways, program.said())
        assert max(ways[:2]) < 0.005, ways
        assert node.loop.takeover.active
    gone = 'clutched out: its newest joints are'
    assert bench.until(lambda: gone in program.said()[told:], 10, robot), program.said()
    with leader():
        assert bench.until(lambda: bench.peer.count_publishers(TOPIC) == 1, 20, robot)
        assert stands(bench, robot, PERIOD_S / 2), 'it is there again, and nobody clutched in'
        told = clutched_in(bench, robot, program)
        with leader():
            two = f'one node may publish on {TOPIC}'
            assert bench.until(lambda: two in program.said()[told:], 20, robot), program.said()
            assert stands(bench, robot, PERIOD_S / 2)


def test_the_urdf_of_another_leader_lies_beside_its_joints(bench, monkeypatch):
    path = pathlib.Path(arm_files.example_urdf('xarm7'))
    monkeypatch.setattr('vw2_ros.teleop.leader_hand.DESCRIPTION_S', 0.3)
    with pytest.raises(UsageError, match='must come on leader/robot_description. Got nothing'):
        leader_hand(TOPIC, 'panda', 'xarm7')
    monkeypatch.setattr('vw2_ros.teleop.leader_hand.DESCRIPTION_S', 30.0)
    out = bench.peer.create_publisher(String, 'leader/robot_description', qos.latched())
    out.publish(String(data=path.read_text()))
    for hand in (
        leader_hand(TOPIC, 'panda', 'xarm7'),
        leader_hand(TOPIC, 'panda', 'xarm7', str(path)),
    ):
        assert hand.leader.contract.name == 'xarm7' and hand.frame == 'panda_link0'
        assert hand.pace.speed_m_s == 0.25


def test_an_arm_does_not_lead_itself(bench):
    with (
        Client() as client,
        pytest.raises(UsageError, match='Got /joint_states, which are those of'),
    ):
        Teleop(client, leader_hand('/joint_states', 'panda'), False, print)
