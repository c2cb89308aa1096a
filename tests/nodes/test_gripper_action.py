# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A gripper behind a real action server of control_msgs/GripperCommand, in a process of its own."""

import subprocess
import sys

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('control_msgs', reason='control_msgs is not installed: it comes with apt only')

from node_peers import Robot, contract_file
from ros_helpers import state

from vw2_ros import names
from vw2_ros.nodes.action import ActionNode

TOPIC = 'hand/gripper_cmd'
PATIENT = {'max_age_s': 5.0, 'following_rad': 6.0}  # a busy machine is no fault here
SERVER = f"""
import rclpy
from control_msgs.action import GripperCommand
from rclpy.action import ActionServer

def reach(goal):
    print(goal.request.command.position, flush=True)
    goal.succeed()
    return GripperCommand.Result(reached_goal=True)

rclpy.init()
node = rclpy.create_node('gripper')
server = ActionServer(node, GripperCommand, '{TOPIC}', reach)
rclpy.spin(node)
"""


@pytest.fixture
def start(bench, weights, tmp_path):
    gripper = {'form': 'action', 'topic': TOPIC, 'joint': 'finger', 'open': 0.04, 'closed': 0.0}
    given = {
        'weights': weights,
        'contract': contract_file(tmp_path, PATIENT, gripper=gripper),
        'instruction': 'open the drawer',
        'max_plan_age_s': 10.0,
    }
    return lambda **options: bench.add(ActionNode, **given, **options)


def test_without_a_server_nothing_moves(bench, start):
    node = start(wait=False)
    assert bench.until(lambda: node.failure)
    assert 'gripper.topic must be an action server' in node.failure
    assert f'Got none named /{TOPIC}. Start the gripper first.' in node.failure
    assert state(node) == 'inactive'
    assert not bench.peer.get_publishers_info_by_topic(f'/{names.JOINT_COMMANDS}')


def test_each_change_is_a_goal_and_a_server_that_ended_is_told(bench, start, tmp_path):
    told = tmp_path / 'goals'
    with open(told, 'w') as out:
        server = subprocess.Popen([sys.executable, '-c', SERVER], stdout=out)
    try:
        node, robot = start(), Robot(bench)

        def goals():
            return told.read_text().split()

        assert bench.until(lambda: len(goals()) > 3, each=robot)
        assert set(goals()) == {'0.04', '0.0'}
        assert all(a != b for a, b in zip(goals(), goals()[1:])), 'each change once'
    finally:
        server.kill()
        server.wait()
    refused = node.health.counters
    assert bench.until(lambda: refused['gripper refused'], each=robot)
    assert 'its action server is gone' in node.health.complaint(node.now_s())
