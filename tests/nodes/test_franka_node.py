# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Franka node against the simulator franka-sim, which speaks the robot's own protocol.

franka-sim wants NumPy 1.26, so it lives in a venv of its own, and an MJCF (tests/franka_mjcf.py):

    VW2_FRANKA_SIM=/path/of/that/venv/bin/run-franka-sim-server FR3_MJCF=fr3.xml pytest ...
"""

import importlib.util
import os
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vw2_ros.messages import convert, qos
from vw2_ros.nodes.franka import FrankaNode
from vw2_ros.nodes.health import ERROR

SERVER = os.environ.get('VW2_FRANKA_SIM', '')
INSTALLED = importlib.util.find_spec('franka') is not None
against_the_simulator = pytest.mark.skipif(
    not (SERVER and INSTALLED), reason='needs franka-rs, and franka-sim named by VW2_FRANKA_SIM'
)


@pytest.mark.skipif(INSTALLED, reason='franka-rs is installed')
def test_without_franka_rs_it_says_what_to_install(bench):
    node = bench.add(FrankaNode, wait=False)
    assert bench.until(lambda: node.failure, 20)
    assert "franka_node needs franka-rs. Got none. pip install 'vw2_ros[franka]'" in node.failure


@pytest.fixture
def simulator():
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    with subprocess.Popen([SERVER], env=env, stderr=subprocess.DEVNULL) as server:
        time.sleep(5)
        yield server
        server.kill()


@against_the_simulator
def test_it_follows_holds_and_stops(bench, simulator):
    node = bench.add(FrankaNode, address='127.0.0.1', realtime='ignore', contract='play_table_fr3')
    heard = bench.hear(JointState, 'joint_states', qos.reliable())
    joints = (*node.contract.joints, node.contract.gripper.joint)
    sender = bench.peer.create_publisher(JointTrajectory, 'joint_commands', qos.reliable(1))

    def measured():
        return np.array(heard[-1].position[:7])

    def send(q, finger_m=0.04):
        sender.publish(convert.trajectory_to_message(joints, np.append(q, finger_m), after_s=0.03))

    def wait(seconds):
        end = time.monotonic() + seconds
        bench.until(lambda: time.monotonic() > end)

    assert bench.until(lambda: len(heard) > 100)
    start = measured()
    assert np.abs(np.array(heard[0].position[:7]) - start).max() < 1e-3, 'it begins by holding'
    for i in range(60):
        goal = start + [0.15 * np.sin(i / 30), 0, 0, 0, 0, 0, 0]
        send(goal, finger_m=0.0)
        wait(1 / 30)
        assert np.abs(measured() - goal).max() < 0.1
    wait(2.0)
    held = measured()
    assert node.assess(node.now_s())[1] == 'holding'
    assert heard[-1].position[7] < 0.002, 'the hand has closed'
    send(held + [0.5, 0, 0, 0, 0, 0, 0])  # too far
    send(np.append(held[:3], [1.0, *held[4:]]))  # outside the limits
    wait(1.0)
    assert np.abs(measured() - held).max() < 2e-3
    simulator.kill()
    assert bench.until(lambda: node.failed, 10)
    assert node.assess(node.now_s())[0] == ERROR
    count = len(heard)
    wait(0.5)
    assert len(heard) - count < 3, 'nobody knows where the arm is'
