# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One arm, one master, one operator: who may command, and when nothing is sent. Over DDS."""

import contextlib
import json
import time

import pytest

pytest.importorskip('rclpy')

from node_peers import Robot, contract_file, diagnosed
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes import arm_link
from vw2_ros.nodes.action import ActionNode
from vw2_ros.nodes.events import folder


@pytest.fixture
def contract(tmp_path):
    return contract_file(tmp_path, disarmed_at_start=True, on_stale='silent')


@pytest.fixture
def robot(bench):
    return Robot(bench)


@pytest.fixture
def action(bench, weights, contract, robot):
    def add(**parameters):
        return bench.add(
            ActionNode,
            weights=weights,
            contract=contract,
            instruction='open the drawer',
            **parameters,
        )

    return add


def rearm(bench, robot, *nodes):
    """Arm, as soon as joints have come; until it moves."""
    answers = []

    def ask():
        robot()
        if not answers or (answers[-1].done() and not answers[-1].result().success):
            answers.append(client.call_async(Trigger.Request()))

    client = bench.peer.create_client(Trigger, names.REARM)
    assert bench.until(lambda: answers and answers[-1].done() and answers[-1].result().success,
                       each=ask)  # fmt: skip
    for node in nodes:
        assert bench.until(lambda n=node: status(n) == 'moving', each=robot)


def status(node):
    return node.loop.command.status if node.loop.command else ''


def publishers(bench):
    return bench.peer.count_publishers(names.JOINT_COMMANDS)


def test_a_robot_begins_disarmed_and_nobody_is_on_its_topic(bench, action, robot):
    newest, node = diagnosed(bench, 'action'), action()
    assert bench.until(lambda: newest()[0] == 1 and 'disarmed' in newest()[1], each=robot)
    assert '/rearm' in newest()[1]
    bench.spin(0.5, each=robot)
    assert not robot.commands and not publishers(bench)
    rearm(bench, robot, node)
    assert bench.until(lambda: robot.commands and publishers(bench) == 1, each=robot)


def test_release_lets_go_until_it_is_armed_again(bench, action, robot):
    node = action()
    rearm(bench, robot, node)
    assert bench.call(Trigger, names.RELEASE).success
    assert bench.until(lambda: not publishers(bench), each=robot)
    count = len(robot.commands)
    bench.spin(0.5, each=robot)
    assert len(robot.commands) == count
    rearm(bench, robot, node)
    assert bench.until(lambda: len(robot.commands) > count + 5, each=robot)
    for _ in range(3):  # quickly, too
        assert bench.call(Trigger, names.RELEASE).success
        robot()
        rearm(bench, robot)
    bench.spin(0.3, each=robot)
    assert node.arming.link.is_open and not node.loop.stop_reason


@pytest.mark.parametrize('how', ['matched', 'polled'])
def test_a_second_publisher_silences_this_node_until_it_is_armed_again(
    bench, action, robot, monkeypatch, how
):
    if how == 'polled':
        monkeypatch.setattr(arm_link, 'MATCHED', False)
    newest, node = diagnosed(bench, 'action'), action()
    rearm(bench, robot, node)
    other = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.newest())
    began = time.monotonic()
    assert bench.until(lambda: not node.arming.link.is_open, each=robot)
    print(f'a second publisher, {how}: silent after {(time.monotonic() - began) * 1e3:.0f} ms')
    bench.spin(0.1, each=robot)
    count = len(robot.commands)
    assert bench.until(
        lambda: newest()[0] == 2 and 'also publishes on /joint_commands' in newest()[1], each=robot
    )
    bench.spin(0.3, each=robot)
    assert len(robot.commands) == count, 'silent'
    refused = bench.call(Trigger, names.REARM)
    assert not refused.success and 'publish on /joint_commands. Got /peer' in refused.message
    bench.peer.destroy_publisher(other)
    bench.spin(0.3, each=robot)
    assert not node.arming.link.is_open and len(robot.commands) == count, 'latched'
    rearm(bench, robot, node)


def test_of_two_action_nodes_the_first_goes_on_and_the_second_is_told(bench, action, robot):
    first = action()
    rearm(bench, robot, first)
    second = action()
    bench.spin(0.5, each=robot)
    assert bench.until(lambda: status(first) == 'moving', each=robot)
    assert first.arming.link.is_open
    with pytest.raises(ValueError, match='Got another node named /action'):
        second.arming.rearm()
    first.arming.release()
    assert bench.until(lambda: not publishers(bench), each=robot)

    def arm_second():
        robot()
        if second.loop.stop_reason:
            with contextlib.suppress(ValueError):
                second.arming.rearm()

    assert bench.until(lambda: not second.loop.stop_reason, each=arm_second)
    assert bench.until(lambda: status(second) == 'moving', each=robot)


def test_a_robot_that_nobody_wants_anything_of_is_well_and_left_alone(bench, action, robot):
    newest, node = diagnosed(bench, 'action'), action()
    rearm(bench, robot, node)
    node.instruct('')
    robot.send_plans = False
    assert bench.until(lambda: newest() == (0, 'idle'), each=robot)
    bench.spin(0.5, each=robot)
    count = len(robot.commands)
    bench.spin(0.5, each=robot)
    assert len(robot.commands) == count


@pytest.mark.parametrize('profile', [qos.latched, qos.reliable])
def test_a_stop_button_without_a_service_call(bench, action, robot, profile):
    node = action()
    button = bench.peer.create_publisher(Bool, names.STOP, profile())
    rearm(bench, robot, node)
    button.publish(Bool(data=True))
    assert bench.until(lambda: 'button on /stop' in node.loop.stop_reason, each=robot)
    with pytest.raises(ValueError, match='stop button on /stop must be up'):
        node.arming.rearm()
    button.publish(Bool(data=False))
    assert bench.until(lambda: not node.arming.operator.pressed, each=robot)
    assert node.loop.stop_reason, 'latched'
    rearm(bench, robot, node)


@pytest.mark.parametrize('kind', ['enable', 'joy'])
def test_a_deadman_that_is_released_or_silent_holds(bench, action, robot, kind):
    newest, node = diagnosed(bench, 'action'), action(deadman=kind, deadman_button=1)
    deadman = bench.peer.create_publisher({'enable': Bool, 'joy': Joy}[kind], kind, qos.newest())
    hand = {'down': True, 'silent': False, 'sent': 0.0}

    def held():
        robot()
        if not hand['silent'] and time.monotonic() - hand['sent'] > 0.1:
            hand['sent'] = time.monotonic()
            down = hand['down']
            deadman.publish(Bool(data=down) if kind == 'enable' else Joy(buttons=[0, int(down)]))

    rearm(bench, held, node)
    for fault, value, word in (('down', False, 'released'), ('silent', True, 'silent')):
        before = hand[fault]
        hand[fault] = value
        assert bench.until(lambda w=word: newest()[0] == 1 and w in newest()[1], each=held)
        assert node.loop.command.status == 'holding'
        hand[fault] = before
        assert bench.until(lambda: status(node) == 'moving', each=held)
    if kind == 'joy':
        deadman.publish(Joy(buttons=[1]))
        assert bench.until(lambda: node.health.counters['joy refused'])


def test_the_log_tells_what_was_done(bench, action, robot):
    path = folder() / 'action.jsonl'
    path.unlink(missing_ok=True)
    node = action()
    rearm(bench, robot, node)
    assert bench.call(Trigger, names.STOP).success
    bench.spin(0.3, each=robot)
    rearm(bench, robot, node)
    assert bench.call(Trigger, names.RELEASE).success
    bench.spin(0.1, each=robot)
    bench.remove(node)
    said = [json.loads(line) for line in path.read_text().splitlines()]
    told = [(s['event'], s['reason']) for s in said]
    assert told[0][0] == 'start' and told[-1][0] == 'end'
    for wanted in ('arm', 'resume', 'release'):
        assert wanted in dict(told)
    assert told.count(('stop', 'asked for')) == 1
    assert {s['limits'] for s in said} == {node.contract.sha256}
    assert all(len(s['weights']) == 64 for s in said)
