# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table as a node, over DDS: real time, lockstep, resets."""

import json

import fake_calvin_env
import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, diagnosed
from rclpy.parameter import Parameter
from ros_helpers import state
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.arms.contract import Contract
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode

ARM = open_arm()


def test_table_in_real_time(bench):
    node = bench.add(CalvinBridgeNode, discovery_s=0.1, image_size=SIZE)
    joints = bench.hear(JointState, names.JOINT_STATES, qos.reliable())
    images = bench.hear(Image, 'static/image_raw', qos.newest())
    infos = bench.hear(CameraInfo, 'static/camera_info', qos.newest())
    assert bench.until(lambda: len(joints) > 10 and images and infos)
    assert joints[0].name == [*ARM.joints, *ARM.finger_joints]
    np.testing.assert_allclose(joints[0].position[:7], ARM.rest_rad, atol=1e-3)
    assert convert.image_to_rgb(images[0]).std() > 10
    assert infos[0].k[0] == pytest.approx(SIZE / 2 / np.tan(np.radians(5)))
    # a joint command moves it there
    commands = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable(1))
    joint_names = (*ARM.joints, ARM.finger_joints[0])
    target = np.append(ARM.rest_rad, 0.0)
    target[0] += 0.2
    assert bench.until(
        lambda: (
            abs(node.table.joint_positions()[0] - target[0]) < 0.01
            and node.table.gripper_width() < 0.01
        ),
        each=lambda: commands.publish(convert.trajectory_to_message(joint_names, target)),
    )
    # so does a relative action
    actions = bench.peer.create_publisher(Float64MultiArray, names.REL_ACTIONS, qos.reliable())
    z = node.table.robot_obs()[2]
    assert bench.until(
        lambda: node.table.robot_obs()[2] > z + 0.02,
        each=lambda: actions.publish(convert.floats_to_message([0, 0, 0.3, 0, 0, 0, 1.0])),
    )
    before = node.table.steps
    actions.publish(convert.floats_to_message([0, 0, np.nan, 0, 0, 0, 1.0]))
    actions.publish(convert.floats_to_message([0, 0, 0.1, 0, 0, 0, 0.5]))
    commands.publish(convert.trajectory_to_message(joint_names[:5], target[:5]))
    assert bench.until(
        lambda: (
            node.health.counters['rel_actions refused'] == 2
            and node.health.counters['joint_commands refused'] == 1
        )
    )
    assert bench.until(lambda: node.table.steps > before + 5)


def test_another_arm_is_a_robot_like_any_other(bench):
    pytest.importorskip('pinocchio')
    described = bench.hear(String, names.ROBOT_DESCRIPTION, qos.latched())
    node = bench.add(CalvinBridgeNode, discovery_s=0.1, arm='ur5e')
    joints = bench.hear(JointState, names.JOINT_STATES, qos.reliable())
    assert bench.until(lambda: described and len(joints) > 3)
    contract = Contract.load('play_table_ur5e', urdf=described[0].data)
    assert joints[0].name[:6] == list(contract.joints)
    np.testing.assert_allclose(joints[0].position[:6], contract.home_rad, atol=1e-3)
    commands = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable(1))
    target = np.append(contract.home_rad, contract.gripper.closed)
    target[0] += 0.2
    message = convert.trajectory_to_message((*contract.joints, contract.gripper.joint), target)
    assert bench.until(
        lambda: (
            abs(node.table.joint_positions()[0] - target[0]) < 0.01
            and node.table.gripper_width() < 0.01
        ),
        each=lambda: commands.publish(message),
    )


def test_table_resets_to_a_state(bench):
    node = bench.add(CalvinBridgeNode, discovery_s=0.1)
    bad = node.set_parameters([Parameter('reset_state', value='{"scene_obs": [1, 2]}')])[0]
    assert not bad.successful and 'scene_obs must be 24 finite numbers' in bad.reason
    bad = node.set_parameters([Parameter('reset_state', value='drawer open')])[0]
    assert not bad.successful and 'must be JSON' in bad.reason
    scene_obs = node.table.scene_obs()
    scene_obs[1] = 0.2
    good = node.set_parameters(
        [Parameter('reset_state', value=json.dumps({'scene_obs': scene_obs.tolist()}))]
    )[0]
    assert good.successful
    assert bench.call(Trigger, names.RESET).success
    assert node.table.scene_obs()[1] == pytest.approx(0.2, abs=1e-3)


def test_a_command_for_where_the_arm_was_before_a_reset_moves_nothing(bench):
    node = bench.add(CalvinBridgeNode, discovery_s=0.1)
    commands = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable(1))
    joint_names = (*ARM.joints, ARM.finger_joints[0])

    def send(turned):
        joints = np.append(ARM.rest_rad, 0.0)
        joints[0] += turned
        return lambda: commands.publish(convert.trajectory_to_message(joint_names, joints))

    def turned():
        return node.table.joint_positions()[0] - ARM.rest_rad[0]

    assert bench.until(
        lambda: turned() > 0.19 and node.table.gripper_width() < 0.01, each=send(0.2)
    )
    assert bench.call(Trigger, names.RESET).success
    refused = node.health.counters['joint_commands refused']
    assert bench.until(
        lambda: node.health.counters['joint_commands refused'] > refused + 3, each=send(0.2)
    )
    assert abs(turned()) < 0.01 and node.table.gripper_width() > 0.07
    assert 'Call `restart` of the action node' in node.health.complaint(node.now_s())
    assert bench.until(lambda: turned() > 0.04, each=send(0.05)), 'from where it is'
    assert bench.until(lambda: turned() > 0.19, each=send(0.2)), 'then anywhere'


def test_a_second_simulator_is_refused(bench):
    first = bench.add(CalvinBridgeNode, discovery_s=0.1)
    newest = diagnosed(bench, 'calvin_bridge')
    second = bench.add(CalvinBridgeNode, wait=False, discovery_s=2.0)
    assert bench.until(lambda: second.failure)
    assert 'must have no other publisher' in second.failure and state(second) == 'unconfigured'
    assert state(first) == 'active' and newest() is not None
    # one that comes later all the same: the table stands still
    other = bench.peer.create_publisher(JointState, names.JOINT_STATES, qos.reliable(1))
    assert bench.until(lambda: first.other)
    steps = first.table.steps
    bench.spin(0.3)
    assert first.table.steps == steps
    bench.peer.destroy_publisher(other)
    assert bench.until(lambda: first.table.steps > steps)


def test_lockstep_waits_for_the_command_with_its_stamp(bench):
    node = bench.add(
        CalvinBridgeNode,
        discovery_s=0.1,
        lockstep=True,
        image_size=SIZE,
        image_every=2,
        retry_s=0.5,
    )
    joints = bench.hear(JointState, names.JOINT_STATES, qos.reliable())
    images = bench.hear(Image, 'static/image_raw', qos.reliable())
    reports = bench.hear(String, names.TASK_STATE, qos.latched())
    commands = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable())
    joint_names = (*ARM.joints, ARM.finger_joints[0])
    target = np.append(ARM.rest_rad, 0.04)
    bench.spin(0.3)
    assert not joints, 'nothing before a task has begun'
    assert node.set_parameters(
        [Parameter('task', value='open_drawer'), Parameter('max_steps', value=4)]
    )[0].successful
    assert bench.call(Trigger, names.START_TASK).message == '1'
    assert bench.until(lambda: joints)
    bench.spin(0.2)
    assert node.table.steps == 0
    commands.publish(convert.trajectory_to_message(joint_names, target, stamp_ns=5))
    bench.spin(0.2)
    assert node.table.steps == 0, 'another stamp'
    assert bench.until(lambda: len(joints) > 1, 5), 'said again after a while'
    answered = set()

    def answer():
        stamp_ns = convert.stamp_to_ns(joints[-1].header.stamp)
        if stamp_ns not in answered:
            answered.add(stamp_ns)
            commands.publish(convert.trajectory_to_message(joint_names, target, stamp_ns=stamp_ns))

    assert bench.until(lambda: json.loads(reports[-1].data)['status'] == 'failed', each=answer)
    assert node.table.steps == 4 and json.loads(reports[-1].data)['steps'] == 4
    # an image at the first step and at every second one, with the stamp of the joints
    stamps = sorted({convert.stamp_to_ns(m.header.stamp) for m in joints})
    assert sorted({convert.stamp_to_ns(m.header.stamp) for m in images}) == stamps[::2]
    bad = node.set_parameters([Parameter('task', value='open_drawr')])[0]
    assert not bad.successful and 'open_drawer' in bad.reason


def test_the_node_takes_the_real_calvin_too(bench, tmp_path):
    folder = fake_calvin_env.write_checkout(tmp_path)
    node = bench.add(CalvinBridgeNode, discovery_s=0.1, table='calvin', calvin_env=str(folder))
    joints = bench.hear(JointState, names.JOINT_STATES, qos.reliable())
    assert bench.until(lambda: len(joints) > 3)
    assert node.table.renderer == 'calvin_env_tiny'
    fake_calvin_env.forget()
