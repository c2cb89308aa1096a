# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The action node, a real one over DDS: what it commands, and when it holds."""

import array
import sys
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import TwistStamped
from node_peers import SIZE, Robot, calls_to, contract_file, diagnosed
from ros_helpers import tiny_weights
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.arms.contract import ACTION_FRAMES
from vw2_ros.control import loop
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.models import checkpoint
from vw2_ros.nodes import gripper_action
from vw2_ros.nodes.action import ActionNode

ARM = open_arm()


@pytest.fixture
def contract(tmp_path):
    return contract_file(tmp_path)


@pytest.fixture
def action(bench, weights, contract):
    node = bench.add(ActionNode, weights=weights, contract=contract, instruction='open the drawer')
    return node, Robot(bench), diagnosed(bench, 'action')


def test_action_moves_within_limits_and_holds_when_the_plan_is_old(bench, action):
    node, robot, newest = action
    assert bench.until(lambda: len(robot.commands) > 40, 20, each=robot)
    q = robot.positions()
    assert q.shape[1] == 8 and np.abs(q[0, :7] - ARM.rest_rad).max() < 0.1
    assert np.abs(q[-1, :7] - q[0, :7]).max() > 1e-4
    speed = np.abs(np.diff(q[:, :7], axis=0)) / node.limits.period_s
    assert (speed <= node.limits.velocity_rad_s + 1e-9).all()
    assert robot.commands[0].joint_names == [*ARM.joints, 'panda_finger_joint1']
    robot.send_plans = False
    assert bench.until(lambda: newest()[0] == 2 and 'plan_hidden is' in newest()[1], each=robot)
    bench.spin(1.0, each=robot)
    held = robot.positions()
    np.testing.assert_array_equal(held[-1, :7], held[-5, :7])  # the last commanded target


def test_four_calls_lead_from_the_timer_to_the_maths(bench, weights, contract, monkeypatch):
    calls = calls_to(loop, 'gate', monkeypatch)
    bench.add(ActionNode, weights=weights, contract=contract)
    assert bench.until(lambda: calls)
    assert calls[0][-4:] == ['ActionNode._tick', 'RealTime.step', 'ControlLoop.step', 'gate']


def test_action_says_what_it_waits_for(bench, action):
    node, robot, newest = action
    robot.send_joints = False
    assert bench.until(
        lambda: 'nothing ever came on' in newest()[1] and 'joint_states' in newest()[1], each=robot
    )
    assert not robot.commands


@pytest.mark.parametrize('fault', ['silent', 'frozen'])
def test_action_holds_when_the_camera_fails(bench, action, fault):
    node, robot, newest = action
    assert bench.until(lambda: len(robot.commands) > 5, 20, each=robot)
    robot.send_images = False
    still = convert.numpy_to_image(np.zeros((8, 8, 3), np.uint8), 'rgb8')

    def broken():
        robot()
        if fault == 'frozen':
            still.header.stamp = bench.peer.get_clock().now().to_msg()
            robot.camera.publish(still)

    wanted = 'frozen' if fault == 'frozen' else 'image_raw is'
    assert bench.until(
        lambda: (
            newest()[0] == 2 and wanted in newest()[1] and node.loop.command.status == 'holding'
        ),
        each=broken,
    )
    bench.spin(0.3, each=broken)
    count = len(robot.commands)
    bench.spin(0.3, each=broken)
    q = robot.positions()[count:]
    assert len(q) and np.ptp(q, axis=0).max() == 0


def test_stop_and_rearm(bench, action):
    node, robot, newest = action
    assert bench.until(lambda: len(robot.commands) > 10, 20, each=robot)
    assert bench.call(Trigger, names.STOP).success
    assert bench.until(lambda: newest()[0] == 2 and 'stopped' in newest()[1], each=robot)
    bench.spin(0.5, each=robot)
    held = robot.positions()
    np.testing.assert_array_equal(held[-1, :7], held[-3, :7])
    assert node.loop.command.status == 'stopped'
    assert bench.call(Trigger, names.REARM).success
    count = len(robot.commands)
    assert bench.until(lambda: len(robot.commands) > count + 20, each=robot)
    q = robot.positions()[count - 3 :, :7]
    assert np.abs(q[-1] - q[0]).max() > 1e-4, 'it moves again'
    assert (
        np.abs(np.diff(q, axis=0)) <= node.limits.velocity_rad_s * node.limits.period_s + 1e-9
    ).all(), 'without a jump'


@pytest.mark.parametrize('how', ['restart', 'activation'])
def test_only_rearm_undoes_a_stop(bench, action, how):
    node, robot, newest = action
    assert bench.until(lambda: len(robot.commands) > 5, 20, each=robot)
    assert bench.call(Trigger, names.STOP).success
    if how == 'restart':
        assert 'still stopped (asked for)' in bench.call(Trigger, names.RESTART).message
    else:
        node.trigger_deactivate()
        node.trigger_activate()
    count = len(robot.commands)
    assert bench.until(lambda: len(robot.commands) > count + 10, 20, each=robot)
    assert node.loop.command.status == 'stopped'
    assert bench.call(Trigger, names.REARM).success
    assert bench.until(lambda: node.loop.command.status == 'moving', each=robot)


def test_old_stamps_are_old_joints(bench, action):
    node, robot, newest = action
    assert bench.until(lambda: len(robot.commands) > 5, 20, each=robot)
    robot.joints_age_s = 0.5
    assert bench.until(lambda: newest()[0] == 2 and 'joint_states is 5' in newest()[1], each=robot)
    assert bench.call(Trigger, names.STOP).success
    refused = bench.call(Trigger, names.REARM)
    assert not refused.success and 'nobody knows where the arm is' in refused.message


def test_an_arm_that_stands_still_is_stopped(bench, weights, tmp_path):
    newest = diagnosed(bench, 'action')
    bench.add(
        ActionNode,
        weights=weights,
        instruction='open the drawer',
        contract=contract_file(tmp_path, limits={'following_rad': 0.01}),
    )
    robot = Robot(bench)
    robot.follows = False
    assert bench.until(
        lambda: newest()[0] == 2 and 'is the arm blocked' in newest()[1], each=robot
    )
    assert 'call /rearm' in newest()[1]
    assert np.abs(robot.positions()[:, :7] - ARM.rest_rad).max() < 0.1


@pytest.mark.parametrize('form', ['width', 'fraction', 'trajectory'])
def test_gripper_goes_out_by_itself(bench, weights, tmp_path, form):
    closed, opened = (1.0, 0.0) if form == 'fraction' else (0.0, 0.04)
    gripper = {'form': form, 'topic': 'gripper', 'open': opened, 'closed': closed}
    contract = contract_file(tmp_path, gripper=gripper)
    bench.add(ActionNode, weights=weights, instruction='open the drawer', contract=contract)
    kind = JointTrajectory if form == 'trajectory' else Float64MultiArray
    heard = bench.hear(kind, 'gripper', qos.reliable())
    robot = Robot(bench)
    assert bench.until(lambda: robot.commands and heard, 20, each=robot)
    assert robot.commands[0].joint_names == list(ARM.joints)
    if form == 'trajectory':
        assert heard[0].joint_names == ['panda_finger_joint1']
        assert heard[0].points[0].positions[0] in (0.0, 0.04)
    else:
        assert heard[0].data[0] in (closed, opened)


def test_a_gripper_action_that_is_not_there(bench, weights, tmp_path, monkeypatch):
    newest = diagnosed(bench, 'action')
    contract = contract_file(tmp_path, gripper={'form': 'action', 'topic': 'hand'})
    node = bench.add(ActionNode, wait=False, weights=weights, contract=contract)
    assert bench.until(lambda: newest()[0] == 2)
    assert (
        'contract my_arm.yaml: gripper.form: action needs the package control_msgs' in newest()[1]
    )
    monkeypatch.setitem(sys.modules, 'control_msgs', types.ModuleType('control_msgs'))
    action = types.ModuleType('control_msgs.action')
    action.GripperCommand = None
    monkeypatch.setitem(sys.modules, 'control_msgs.action', action)
    client = types.SimpleNamespace(server_is_ready=lambda: False, destroy=lambda: None)
    monkeypatch.setattr(gripper_action, 'ActionClient', lambda *_: client)
    monkeypatch.setattr(gripper_action, 'PATIENCE_S', 0.1)
    node.trigger_activate()
    assert 'gripper.topic must be an action server' in node.failure and '/hand' in node.failure


@pytest.mark.parametrize(
    'changes, reason',
    [
        ({'limits': {'velocity_rad_s': -1}}, 'velocity_rad_s'),
        ({'action_frame': 'camera'}, 'action_frame'),
        ({'command': {'rate_hz': 5}}, 'command.rate_hz'),
    ],
)
def test_no_start_with_a_contract_that_makes_no_sense(bench, weights, tmp_path, changes, reason):
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False, weights=weights, contract=contract_file(tmp_path, **changes))
    assert bench.until(lambda: newest()[0] == 2)
    assert 'configure: contract my_arm.yaml: ' in newest()[1] and reason in newest()[1]


def test_weights_and_contracts_name_frames_alike():
    assert checkpoint.ACTION_FRAMES == ACTION_FRAMES


@pytest.mark.parametrize('said', ['tool', ''])
def test_no_start_with_weights_of_another_frame(bench, tmp_path, said):
    provenance = {'action_frame': said} if said else {'command': 'an older version'}
    weights = tiny_weights(tmp_path / 'w', SIZE, provenance=provenance)
    contract = contract_file(tmp_path, disarmed_at_start=True)
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False, weights=weights, contract=contract)
    assert bench.until(lambda: newest()[0] == 2)
    assert (
        f"action_frame of w must be base, as the contract's. Got {said or 'none'}" in newest()[1]
    )
    assert not bench.peer.get_publishers_info_by_topic(f'/{names.JOINT_COMMANDS}')


@pytest.mark.parametrize('old', ['limits', 'output', 'finger_joint', 'frame_id'])
def test_what_the_contract_says_now_is_refused(bench, weights, old):
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False, weights=weights, **{old: 'x'})
    assert bench.until(lambda: newest()[0] == 2)
    assert f'{old}: the contract says it now. Write contract:=FILE' in newest()[1]


def test_action_drops_malformed_and_foreign_plans(bench, action):
    node, robot, _ = action
    assert bench.until(lambda: len(robot.commands) > 5, 20, each=robot)
    robot.send_plans = False
    bench.spin(0.3, each=robot)
    now_ns = bench.peer.get_clock().now().nanoseconds
    sha256 = node.model.sha256
    good = plan_message.hidden_to_message(np.zeros((4, 16), np.float32), now_ns, 'x', sha256)
    broken = plan_message.hidden_to_message(np.zeros((3, 16), np.float32), now_ns, 'x', sha256)
    infinite = plan_message.hidden_to_message(
        np.zeros((4, 16), np.float32), now_ns, 'open the drawer', sha256
    )
    data = np.full((4, 16), np.nan, np.float32)
    infinite.data = array.array('B', data.tobytes())
    accepted = node.loop.counts['plans']
    for msg in (good, broken, infinite, Image()):
        robot.plans.publish(msg)
        bench.spin(0.15, each=robot)
    assert node.loop.counts['plans'] == accepted
    assert node.loop.counts['other_instruction'] == 1
    assert node.health.counters['plan_hidden refused'] == 2
    assert node.health.counters['plan refused'] >= 2


def test_no_contract_no_start(bench, weights, tmp_path):
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False, weights=weights, contract=str(tmp_path / 'none.yaml'))
    assert bench.until(lambda: newest()[0] == 2)
    assert 'none.yaml' in newest()[1]


@pytest.mark.parametrize(
    'output, kind, topic',
    [
        ('positions', Float64MultiArray, 'commands'),
        ('joint_state', JointState, 'joint_commands'),
        ('twist', TwistStamped, 'twist_commands'),
    ],
)
def test_other_outputs(bench, weights, tmp_path, output, kind, topic):
    contract = contract_file(tmp_path, command={'form': output, 'topic': topic})
    bench.add(ActionNode, weights=weights, contract=contract, instruction='open the drawer')
    heard = bench.hear(kind, topic, qos.reliable())
    robot = Robot(bench, commands=False)
    assert bench.until(lambda: len(heard) > 3, 20, each=robot)
    if output == 'twist':
        assert heard[0].header.frame_id == 'panda_link0'
        assert bench.until(lambda: heard[-1].twist.linear.x, each=robot)
        return
    values = heard[0].data if output == 'positions' else heard[0].position
    assert len(values) == 8 and np.abs(np.array(values[:7]) - ARM.rest_rad).max() < 0.2
