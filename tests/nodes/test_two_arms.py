# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Two arms on one machine, in namespaces, with prefixes and grippers on topics of their own."""

import contextlib
import functools
import time

import pytest

pytest.importorskip('rclpy')

from foreign_arm import FINGER, PANDA, REST_RAD, ForeignArm
from node_peers import Robot, contract_file
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.messages import convert
from vw2_ros.nodes.action import ActionNode

SIDES = ('left', 'right')
PATIENT = {'max_age_s': 5.0}  # what is tried here is not how fast this machine is


def contract(folder, side):
    """Of an arm whose gripper says where it is on a topic of its own."""
    folder.mkdir()
    return contract_file(
        folder,
        PATIENT,
        disarmed_at_start=True,
        on_stale='silent',
        joints=[f'{side}_{name}' for name in PANDA],
        joint_states=[names.JOINT_STATES, 'gripper/joint_states'],
        gripper={'form': 'width', 'joint': f'{side}_{FINGER}', 'topic': 'gripper_command'},
    )


def test_two_arms_in_namespaces_are_strangers_to_each_other(bench, weights, tmp_path):
    nodes, robots, arms, answers = {}, {}, {}, []

    def both():
        for robot in robots.values():
            robot()

    def until(condition, *arguments):
        return bench.until(lambda: condition(*arguments), 120, both)

    def call(side, name):
        client = bench.peer.create_client(Trigger, f'{side}/{name}')
        assert until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        assert until(future.done)
        bench.peer.destroy_client(client)
        answers.append(future.result().message)
        return future.result().success

    def moves(side, since_s):
        return arms[side].moved(since_s) > 0.02

    with contextlib.ExitStack() as stack:
        for side in SIDES:
            file = contract(tmp_path / side, side)
            options = ('--prefix', f'{side}_', '--namespace', side, '--gripper', 'own')
            arms[side] = stack.enter_context(ForeignArm(tmp_path / side, *options, '--extra', '2'))
            kind = functools.partial(ActionNode, namespace=side)
            nodes[side] = bench.add(
                kind,
                weights=weights,
                contract=file,
                instruction='open the drawer',
                max_plan_age_s=10.0,
            )
            robots[side] = Robot(bench, commands=False, namespace=f'{side}/')
            robots[side].send_joints = False
            robots[side].weights = nodes[side].model.sha256
        for node in nodes.values():
            assert until(lambda node=node: node.loop.has_plan)
            assert until(lambda node=node: node.arming.link.reader.finger_position is not None)
        assert not any(arm.commands() for arm in arms.values()), 'they begin disarmed'

        assert until(call, 'left', names.REARM), answers[-1]
        armed_s = time.monotonic()
        assert until(moves, 'left', armed_s)
        assert not arms['right'].commands() and arms['right'].moved(0) < 1e-3
        assert until(call, 'right', names.REARM), answers[-1]
        assert until(moves, 'right', time.monotonic())

        assert call('left', names.STOP)
        bench.spin(0.5, both)
        stopped_s = time.monotonic()
        assert until(moves, 'right', stopped_s)
        assert arms['left'].moved(stopped_s) < 1e-3
        for side in SIDES:
            for command in arms[side].commands():
                assert command['refused'] == ''
                assert all(name.startswith(f'{side}_') for name in command['names'])


@pytest.mark.parametrize('other', ['finger', 'wrist'])
def test_two_topics_of_joint_states_are_merged_by_name(bench, weights, tmp_path, other):
    """The wrist, or the finger, is of another driver; while one of them is silent nothing moves."""
    elsewhere = [FINGER] if other == 'finger' else list(PANDA[5:])
    here = [name for name in PANDA if name not in elsewhere]
    topics = [names.JOINT_STATES, 'other/joint_states']
    gripper = {'form': 'width', 'joint': FINGER, 'topic': 'gripper_command'}
    file = contract_file(
        tmp_path,
        PATIENT,
        disarmed_at_start=True,
        on_stale='silent',
        joint_states=topics,
        gripper=gripper,
    )
    said = {'instruction': 'open the drawer', 'max_plan_age_s': 10.0}
    node = bench.add(ActionNode, weights=weights, contract=file, **said)
    robot = Robot(bench)
    robot.send_joints = False
    out = [bench.peer.create_publisher(JointState, topic, 10) for topic in topics]
    at, send = dict(zip((*PANDA, FINGER), (*REST_RAD, 0.02))), [True, False]

    def drivers():
        robot()
        if robot.commands:
            at.update(zip(robot.commands[-1].joint_names, robot.commands[-1].points[0].positions))
        now_ns = bench.peer.get_clock().now().nanoseconds
        for publisher, mine, on in zip(out, (here, elsewhere), send):
            if on:
                values = [at[name] for name in mine]
                publisher.publish(convert.joints_to_message(mine, values, stamp_ns=now_ns))

    def rearm():
        client = bench.peer.create_client(Trigger, names.REARM)
        assert bench.until(client.service_is_ready, each=drivers)
        future = client.call_async(Trigger.Request())
        assert bench.until(future.done, each=drivers)
        bench.peer.destroy_client(client)
        return future.result().success

    bench.spin(0.5, drivers)
    if other == 'wrist':
        assert not rearm(), 'nobody knows where the wrist is'
    send[1] = True
    assert bench.until(rearm, each=drivers)
    assert bench.until(lambda: len(robot.commands) > 10, each=drivers)
    if other == 'wrist':
        send[1] = False
        bench.spin(6.0, drivers)
        before = len(robot.commands)
        bench.spin(0.5, drivers)
        assert len(robot.commands) == before, 'half of an arm is none'
    else:
        assert bench.until(lambda: node.arming.link.reader.finger_position == 0.02, each=drivers)
