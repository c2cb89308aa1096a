# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The watchdog tells a sender that was lost from one that is not there; kills: tests/faults."""

import subprocess
import sys
from array import array

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from geometry_msgs.msg import TwistStamped
from node_peers import diagnosed
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, Float64MultiArray

from vw2_ros import names
from vw2_ros.arms.contract import Contract
from vw2_ros.files import config_file
from vw2_ros.messages import qos
from vw2_ros.nodes.claim import Claim, heartbeat_claim
from vw2_ros.nodes.watchdog import FORMS, WatchdogNode


@pytest.fixture
def watched(bench):
    newest = diagnosed(bench, 'watchdog')
    bench.add(WatchdogNode)
    assert bench.until(lambda: newest() == (0, 'no action node is active'))
    sender = bench.peer.create_publisher(Empty, names.HEARTBEAT, qos.heartbeat())
    assert bench.until(lambda: 'is alive' in newest()[1], 5, each=sender.assert_liveliness)
    return sender, newest


def test_silence_is_an_error_until_the_sender_is_back(bench, watched):
    sender, newest = watched
    assert bench.until(lambda: newest()[0] == 2, 2)
    assert '/peer was killed: no heartbeat for 5' in newest()[1]
    assert bench.until(lambda: newest()[0] == 0, each=sender.assert_liveliness)


def test_a_process_that_is_there_gets_longer(bench, watched):
    sender, newest = watched
    claim = Claim(heartbeat_claim(sender.topic_name))
    assert bench.until(lambda: newest()[0] == 2, 2)
    assert '/peer was killed or hangs: no heartbeat for' in newest()[1]
    assert bench.until(lambda: '/peer hangs: no heartbeat for 17' in newest()[1], 3)
    claim.close()


def test_leaving_in_an_orderly_way_is_no_error(bench, watched):
    sender, newest = watched
    bench.peer.destroy_publisher(sender)
    assert bench.until(lambda: newest() == (0, 'no action node is active'))


class Arm:
    """Commands from the peer, and an arm that is where they put it."""

    def __init__(self, bench, contract, sender):
        self.contract, self.sender, self.bench = contract, sender, bench
        kind = FORMS[contract.command.form]
        self.commands = bench.peer.create_publisher(kind, contract.command.topic, qos.reliable(1))
        self.joints = bench.peer.create_publisher(JointState, names.JOINT_STATES, qos.reliable(1))
        self.heard = bench.hear(kind, contract.command.topic, qos.reliable(100))
        self.alive, self.offset, self.sent = True, 0.0, 0
        self.claim = Claim(heartbeat_claim(sender.topic_name))  # late is not lost

    def die(self):
        """As a process that is killed."""
        self.alive = False
        self.claim.close()

    def __call__(self):
        if self.alive:
            self.sender.assert_liveliness()
            q = self.contract.home_rad + 0.01 * self.sent
            self.commands.publish(
                Float64MultiArray(data=array('d', [*q, 0.04]))
                if self.contract.command.form == 'positions'
                else TwistStamped()
            )
            self.sent += 1
            self.bench.spin(1 / 30)
        if self.heard and self.contract.command.form == 'positions':
            self.joints.publish(
                JointState(
                    name=list(self.contract.joints),
                    position=array('d', np.array(self.heard[-1].data[:7]) + self.offset),
                )
            )


def written(tmp_path, **command):
    text = yaml.safe_load(config_file('arms/panda.yaml').read_text())
    text['command'] |= {'rate_hz': 30} | command  # as often as `Arm` commands
    text['on_stale'] = 'hold'
    (tmp_path / 'my.yaml').write_text(yaml.safe_dump(text))
    return str(tmp_path / 'my.yaml')


def held(bench, tmp_path, form):
    contract = written(tmp_path, form=form, topic='commands')
    newest = diagnosed(bench, 'watchdog')
    bench.add(WatchdogNode, contract=contract)
    sender = bench.peer.create_publisher(Empty, names.HEARTBEAT, qos.heartbeat())
    arm = Arm(bench, Contract.load(contract), sender)
    assert bench.until(lambda: len(arm.heard) > 5 and 'is alive' in newest()[1], 5, arm)
    assert bench.peer.count_publishers('commands') == 1
    arm.die()
    assert bench.until(lambda: newest()[0] == 2 and 'this node holds' in newest()[1], 2, arm)
    return arm, newest


def test_positions_are_braked_and_held_until_the_sender_is_back(bench, tmp_path):
    arm, newest = held(bench, tmp_path, 'positions')
    bench.spin(0.5, arm)
    q = np.array([m.data for m in arm.heard])
    assert len(q) > arm.sent + 5 and (q[:, 7] == 0.04).all()
    step = np.diff(q[:, :7], axis=0)
    accel = arm.contract.limits.acceleration_rad_s2 * arm.contract.limits.period_s**2
    assert (np.abs(np.diff(step, axis=0))[arm.sent - 3 :] <= accel + 1e-9).all()
    assert (step[-3:] == 0).all()
    arm.claim = Claim(heartbeat_claim(arm.sender.topic_name))
    arm.alive, arm.sent = True, round(float((q[-1, 0] - q[0, 0]) / 0.01))
    assert bench.until(lambda: bench.peer.count_publishers('commands') == 1, 5, arm)
    assert bench.until(lambda: newest()[0] == 0, 2, arm)


def test_a_twist_is_held_at_zero(bench, tmp_path):
    arm, _ = held(bench, tmp_path, 'twist')
    arm.heard.clear()
    assert bench.until(lambda: len(arm.heard) > 5, 2)
    last = arm.heard[-1]
    assert last.header.frame_id == 'panda_link0' and last.twist.linear.x == 0.0


@pytest.mark.parametrize('why', ['moved', 'silent', 'another'])
def test_an_arm_is_let_go_when_the_hold_makes_no_sense(bench, tmp_path, why):
    arm, newest = held(bench, tmp_path, 'positions')
    bench.spin(0.2, arm)
    if why == 'moved':
        arm.offset = 1.0
    elif why == 'another':
        other = bench.peer.create_publisher(Float64MultiArray, 'commands', qos.reliable(1))
    told = {'moved': 'not where', 'silent': 'no joint_states', 'another': 'another node'}[why]
    each = None if why == 'silent' else arm
    assert bench.until(lambda: 'nobody holds the arm' in newest()[1], 3, each)
    assert told in newest()[1] and newest()[0] == 2
    if why == 'another':
        bench.peer.destroy_publisher(other)
    assert bench.until(lambda: bench.peer.count_publishers('commands') == 1, 2)


def test_an_arm_whose_commands_ended_long_ago_is_not_commanded(bench, tmp_path):
    contract = written(tmp_path, form='positions', topic='commands')
    newest = diagnosed(bench, 'watchdog')
    bench.add(WatchdogNode, contract=contract)
    sender = bench.peer.create_publisher(Empty, names.HEARTBEAT, qos.heartbeat())
    heard = bench.hear(Float64MultiArray, 'commands', qos.reliable(100))
    assert bench.until(lambda: 'is alive' in newest()[1], 5, sender.assert_liveliness)
    assert bench.until(lambda: newest()[0] == 2, 2)
    bench.spin(0.3)
    assert not heard and not bench.peer.count_publishers('commands')


def test_the_watchdog_has_no_torch():
    code = 'import sys, vw2_ros.nodes.watchdog; sys.exit("torch" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)
