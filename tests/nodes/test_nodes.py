# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The nodes, real ones over DDS, in this process: what they do and what they refuse."""

import array
import dataclasses
import json
import threading

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import TwistStamped  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_helpers import state, tiny_weights  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from vw2_ros import names
from vw2_ros.arms import open_arm  # noqa: E402
from vw2_ros.files import config_file  # noqa: E402
from vw2_ros.messages import (
    convert,  # noqa: E402
    qos,
)
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.action import ActionNode  # noqa: E402
from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode  # noqa: E402
from vw2_ros.nodes.camera import CameraNode  # noqa: E402
from vw2_ros.nodes.imagination import ImaginationNode  # noqa: E402
from vw2_ros.nodes.parameters import parameter_name  # noqa: E402
from vw2_ros.nodes.planner import PlannerNode  # noqa: E402

ARM = open_arm()
ALL = (ActionNode, CalvinBridgeNode, CameraNode, ImaginationNode, PlannerNode)
SIZE = 32


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp('weights') / 'tiny', SIZE)


def image(node, seed=0, size=SIZE):
    rgb = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return convert.numpy_to_image(
        rgb, 'rgb8', frame_id='lens', stamp_ns=node.get_clock().now().nanoseconds
    )


def diagnosed(bench, name):
    """Return a function that gives the newest (level, message) of a node."""
    heard = bench.hear(DiagnosticArray, names.DIAGNOSTICS, 10)

    def newest():
        own = [s for m in heard for s in m.status if s.name == name]
        return (own[-1].level[0], own[-1].message) if own else (-1, '')

    return newest


# ------------------------------------------------------------------ all nodes


@pytest.mark.parametrize('node_class', ALL)
def test_parameters_are_described_and_typed(node_class, bench):
    node = bench.add(node_class, wait=False, autostart=False)
    for field in dataclasses.fields(node_class.Config):
        descriptor = node.describe_parameter(parameter_name(field))
        assert len(descriptor.description) > 5, field.name
        number = isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
        assert bool(descriptor.floating_point_range or descriptor.integer_range) == number, field
    bench.spin(0.2)
    assert state(node) == 'unconfigured'  # autostart is off


def test_a_fixed_parameter_is_refused_once_configured(bench):
    node = bench.add(CameraNode, source='topic')
    refused = node.set_parameters([Parameter('width', value=64)])[0]
    assert not refused.successful and 'clean it up first' in refused.reason
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.set_parameters([Parameter('width', value=64)])[0].successful
    node.trigger_configure()
    assert node.config.width == 64


def test_a_refused_config_is_told_and_the_node_stays(bench):
    newest = diagnosed(bench, 'camera')
    node = bench.add(CameraNode, wait=False, source='telepathy')
    assert bench.until(lambda: newest()[0] == 2)
    assert "source must be one of topic, compressed, device, file. Got 'telepathy'" in newest()[1]
    assert state(node) == 'unconfigured'


def test_incompatible_qos_reaches_the_diagnostics(bench):
    node = bench.add(CameraNode, source='topic')
    bench.hear(Image, names.IMAGE, qos.latched())  # ours is volatile
    assert bench.until(lambda: 'incompatible QoS' in node.health.complaint(node.now_s()))


# --------------------------------------------------------------------- camera


def test_camera_resizes_and_keeps_the_stamp(bench):
    bench.add(CameraNode, source='topic', width=SIZE, height=SIZE, compressed_out=True)
    images = bench.hear(Image, names.IMAGE, qos.newest())
    jpegs = bench.hear(CompressedImage, names.compressed(names.IMAGE), qos.newest())
    infos = bench.hear(CameraInfo, names.CAMERA_INFO, qos.newest())
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    info = bench.peer.create_publisher(CameraInfo, names.INPUT_INFO, qos.reliable(1))
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, 32:] = 200
    sent = convert.numpy_to_image(rgb, 'rgb8', stamp_ns=7_000_000_123, frame_id='lens')
    calibration = CameraInfo(
        width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
    )

    def send():
        info.publish(calibration)
        source.publish(sent)

    assert bench.until(lambda: images and jpegs and infos, each=send)
    got = convert.image_to_rgb(images[0])
    assert got.shape == (SIZE, SIZE, 3) and got[16, 8].max() == 0 and got[16, 24].min() == 200
    assert convert.stamp_to_ns(images[0].header.stamp) == 7_000_000_123
    assert images[0].header.frame_id == 'lens'
    assert np.abs(convert.compressed_to_rgb(jpegs[0]).astype(int) - got).max() < 20
    assert infos[0].width == SIZE and infos[0].k[0] == pytest.approx(50 * SIZE / 48)
    assert infos[0].k[2] == pytest.approx(SIZE / 2)


def test_camera_refuses_what_is_no_picture(bench):
    newest = diagnosed(bench, 'camera')
    node = bench.add(CameraNode, source='topic')
    source = bench.peer.create_publisher(Image, names.INPUT, qos.reliable(1))
    bad = Image(width=4, height=4, encoding='rgb8', step=12, data=array.array('B', bytes(5)))
    assert bench.until(
        lambda: node.health.counters['input refused'], each=lambda: source.publish(bad)
    )
    assert bench.until(lambda: newest()[0] in (1, 2))
    assert state(node) == 'active'


def test_camera_plays_a_file_and_says_when_it_ends(bench, tmp_path):
    path = str(tmp_path / 'clip.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 30, (64, 48))
    for _ in range(20):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    newest = diagnosed(bench, 'camera')
    images = bench.hear(Image, names.IMAGE, qos.newest())
    bench.add(CameraNode, source='file', file=path, width=SIZE, height=SIZE)
    assert bench.until(lambda: newest() == (2, f'{path} has ended'))
    assert images and convert.image_to_rgb(images[-1]).shape == (SIZE, SIZE, 3)


def test_camera_without_a_device_is_told(bench):
    newest = diagnosed(bench, 'camera')
    bench.add(CameraNode, wait=False, source='device', device='/dev/video99')
    assert bench.until(lambda: newest()[0] == 2)
    assert '/dev/video99 must be a V4L2 device or a video file' in newest()[1]


# -------------------------------------------------------------------- planner


def test_plans_bear_the_stamp_of_their_image(bench, weights):
    node = bench.add(PlannerNode, weights=weights, instruction='open the drawer')
    codes = bench.hear(Image, names.LATENT_PLAN, qos.reliable())
    hidden = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    stamps, seeds = set(), iter(range(10**6))

    def send():
        msg = image(bench.peer, next(seeds))
        stamps.add(convert.stamp_to_ns(msg.header.stamp))
        camera.publish(msg)

    assert bench.until(lambda: len(codes) > 2 and len(hidden) > 2, each=send)
    first = plan_message.codes_from_message(codes[0], (4, 4), 12)
    assert first.stamp_ns in stamps
    assert first.instruction_id == plan_message.instruction_id('open the drawer')
    assert plan_message.hidden_from_message(hidden[0], (4, 16)).stamp_ns == first.stamp_ns
    node.diagnose()
    assert node.health.values['codes used'] >= 1


def test_planner_reports_silence_freeze_and_bad_images(bench, weights):
    newest = diagnosed(bench, 'planner')
    # a patient planner: the test's machine may be slow
    node = bench.add(
        PlannerNode, weights=weights, instruction='open the drawer', max_image_age_s=2.0
    )
    hidden = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
    assert bench.until(lambda: 'nothing ever came on' in newest()[1])
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    frozen = image(bench.peer)

    def restamped():
        frozen.header.stamp = bench.peer.get_clock().now().to_msg()
        camera.publish(frozen)

    assert bench.until(lambda: 'camera frozen' in newest()[1], each=restamped)
    count = len(hidden)
    bench.spin(0.3, each=restamped)
    assert len(hidden) <= count + 1
    assert bench.until(lambda: newest()[0] == 2 and 'camera silent' in newest()[1])
    large = image(bench.peer, size=2 * SIZE)
    assert bench.until(
        lambda: node.health.counters['plan refused'],
        each=lambda: camera.publish(
            convert.numpy_to_image(
                convert.image_to_rgb(large),
                'rgb8',
                stamp_ns=bench.peer.get_clock().now().nanoseconds,
            )
        ),
    )
    assert f'({SIZE}, {SIZE}, 3)' in node.health.complaint(node.now_s())


def test_planner_refuses_empty_and_unknown_instructions(bench, weights):
    newest = diagnosed(bench, 'planner')
    node = bench.add(PlannerNode, weights=weights)
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    say = bench.peer.create_publisher(String, names.INSTRUCTION, qos.latched())
    hidden = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
    seeds = iter(range(10**6))

    def send():
        camera.publish(image(bench.peer, next(seeds)))

    assert bench.until(lambda: newest()[1] == 'no instruction', each=send)
    say.publish(String(data='xylophone zebra quartz'))
    assert bench.until(
        lambda: (
            'unknown instruction' in newest()[1]
            or 'unknown instruction' in node.health.complaint(node.now_s())
        ),
        each=send,
    )
    assert not hidden
    refused = node.set_parameters([Parameter('instruction', value='xylophone')])[0]
    assert not refused.successful and 'say it in other words' in refused.reason
    say.publish(String(data='push the red block left'))
    assert bench.until(lambda: hidden, each=send)


@pytest.mark.parametrize('node_class', [PlannerNode, ActionNode])
def test_what_was_said_last_outlasts_a_deactivation(bench, weights, node_class):
    node = bench.add(node_class, weights=weights, instruction='open the drawer')

    def told():
        return node.instruction

    assert told() == 'open the drawer'
    say = bench.peer.create_publisher(String, names.INSTRUCTION, qos.latched())
    say.publish(String(data=''))
    assert bench.until(lambda: told() == '')
    bench.peer.destroy_publisher(say)  # as `ros2 topic pub --once` does
    node.trigger_deactivate()
    node.trigger_activate()
    assert state(node) == 'active' and told() == ''
    assert node.set_parameters([Parameter('instruction', value='open the drawer')])[0].successful
    assert told() == 'open the drawer'


def test_missing_weights_are_told(bench):
    newest = diagnosed(bench, 'planner')
    node = bench.add(PlannerNode, wait=False, weights='no_such_weights')
    assert bench.until(lambda: newest()[0] == 2, 30)
    assert 'no_such_weights' in newest()[1] and state(node) == 'inactive'


# --------------------------------------------------------------------- action


class Robot:
    """Publishes joints, images and plans as a robot and a planner would."""

    def __init__(self, bench, commands=True):
        self.bench = bench
        self.joints_out = bench.peer.create_publisher(
            JointState, names.JOINT_STATES, qos.reliable(1)
        )
        self.camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
        self.plans = bench.peer.create_publisher(Image, names.PLAN_HIDDEN, qos.reliable())
        self.commands = (
            bench.hear(JointTrajectory, names.JOINT_COMMANDS, qos.reliable()) if commands else []
        )
        self.rng = np.random.default_rng(0)
        self.send_plans = self.send_joints = self.send_images = self.follows = True
        self.instruction = 'open the drawer'
        self.joints_age_s = 0.0

    def __call__(self):
        now_ns = self.bench.peer.get_clock().now().nanoseconds
        if self.send_joints:
            q = (
                self.commands[-1].points[0].positions[:7]
                if self.commands and self.follows
                else ARM.rest_rad
            )
            self.joints_out.publish(
                convert.joints_to_message(
                    ARM.joints[::-1],
                    q[::-1],  # by name
                    stamp_ns=now_ns - round(self.joints_age_s * 1e9),
                )
            )
        if self.send_images:
            self.camera.publish(
                convert.numpy_to_image(
                    self.rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), 'rgb8', stamp_ns=now_ns
                )
            )
        if self.send_plans:
            self.plans.publish(
                plan_message.hidden_to_message(
                    self.rng.normal(size=(4, 16)).astype(np.float32), now_ns, self.instruction
                )
            )

    def positions(self):
        return np.array([m.points[0].positions for m in self.commands])


@pytest.fixture
def action(bench, weights):
    node = bench.add(ActionNode, weights=weights, instruction='open the drawer')
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
    limits = yaml.safe_load(config_file('limits.yaml').read_text())
    limits['following_rad'] = [0.01] * 7
    (tmp_path / 'my.yaml').write_text(yaml.safe_dump(limits))
    newest = diagnosed(bench, 'action')
    bench.add(
        ActionNode,
        weights=weights,
        instruction='open the drawer',
        limits=str(tmp_path / 'my.yaml'),
    )
    robot = Robot(bench)
    robot.follows = False
    assert bench.until(
        lambda: newest()[0] == 2 and 'is the arm blocked' in newest()[1], each=robot
    )
    assert 'call /rearm' in newest()[1]
    assert np.abs(robot.positions()[:, :7] - ARM.rest_rad).max() < 0.1


def test_gripper_goes_out_by_itself(bench, weights):
    bench.add(ActionNode, weights=weights, instruction='open the drawer', finger_joint='')
    heard = bench.hear(Float64MultiArray, names.GRIPPER_COMMAND, qos.reliable())
    robot = Robot(bench)
    assert bench.until(lambda: robot.commands and heard, 20, each=robot)
    assert robot.commands[0].joint_names == list(ARM.joints)
    assert list(heard[0].data) in ([0.0], [0.04])


def test_an_arm_that_another_node_commands_too_is_held(bench, action):
    node, robot, newest = action
    assert bench.until(
        lambda: node.loop.command and node.loop.command.status == 'moving', each=robot
    )
    other = bench.peer.create_publisher(JointTrajectory, names.JOINT_COMMANDS, qos.reliable(1))
    assert bench.until(
        lambda: newest()[0] == 2 and '1 other publisher(s) on /joint_commands' in newest()[1],
        each=robot,
    )
    assert node.loop.command.status == 'holding' and not node.loop.has_plan
    bench.peer.destroy_publisher(other)
    assert bench.until(lambda: node.loop.command.status == 'moving', each=robot)


def test_a_file_here_comes_before_the_one_of_the_package(bench, tmp_path, monkeypatch):
    limits = yaml.safe_load(config_file('limits.yaml').read_text())
    limits['period_s'] = 0.01
    (tmp_path / 'limits.yaml').write_text(yaml.safe_dump(limits))
    monkeypatch.chdir(tmp_path)
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False)
    assert bench.until(lambda: newest()[0] == 2)
    assert 'configure: limits: period_s must be 0.033333 within 1 %' in newest()[1]


def test_action_drops_malformed_and_foreign_plans(bench, action):
    node, robot, _ = action
    assert bench.until(lambda: len(robot.commands) > 5, 20, each=robot)
    robot.send_plans = False
    bench.spin(0.3, each=robot)
    now_ns = bench.peer.get_clock().now().nanoseconds
    good = plan_message.hidden_to_message(np.zeros((4, 16), np.float32), now_ns, 'x')
    broken = plan_message.hidden_to_message(np.zeros((3, 16), np.float32), now_ns, 'x')
    infinite = plan_message.hidden_to_message(
        np.zeros((4, 16), np.float32), now_ns, 'open the drawer'
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


def test_no_limits_no_start(bench, weights, tmp_path):
    newest = diagnosed(bench, 'action')
    bench.add(ActionNode, wait=False, weights=weights, limits=str(tmp_path / 'none.yaml'))
    assert bench.until(lambda: newest()[0] == 2)
    assert 'limits are mandatory' in newest()[1]


@pytest.mark.parametrize(
    'output, kind, topic',
    [
        ('positions', Float64MultiArray, names.POSITION_COMMANDS),
        ('joint_state', JointState, names.JOINT_COMMANDS),
        ('twist', TwistStamped, names.TWIST_COMMANDS),
    ],
)
def test_other_outputs(bench, weights, output, kind, topic):
    bench.add(ActionNode, weights=weights, output=output, instruction='open the drawer')
    heard = bench.hear(kind, topic, qos.reliable())
    robot = Robot(bench, commands=False)
    assert bench.until(lambda: len(heard) > 3, 20, each=robot)
    if output == 'twist':
        assert heard[0].header.frame_id == 'panda_link0'
        assert bench.until(lambda: heard[-1].twist.linear.x, each=robot)
        return
    values = heard[0].data if output == 'positions' else heard[0].position
    assert len(values) == 8 and np.abs(np.array(values[:7]) - ARM.rest_rad).max() < 0.2


# ---------------------------------------------------------------- imagination


def test_imagination_shows_the_plan_of_an_image(bench, weights):
    bench.add(ImaginationNode, weights=weights, period_s=0.0)
    frames = bench.hear(Image, names.IMAGINED, qos.reliable())
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    plans = bench.peer.create_publisher(Image, names.LATENT_PLAN, qos.reliable(1))
    seen = image(bench.peer)
    stamp_ns = convert.stamp_to_ns(seen.header.stamp)
    codes = plan_message.codes_to_message(np.arange(16).reshape(4, 4) % 12, stamp_ns, 'lift')

    def send():
        if not frames:
            camera.publish(seen)
            plans.publish(codes)

    assert bench.until(lambda: len(frames) >= 3, 20, each=send)
    assert convert.image_to_rgb(frames[0]).shape == (SIZE, SIZE, 3)
    assert convert.stamp_to_ns(frames[0].header.stamp) > stamp_ns


def test_imagination_drops_plans_rather_than_fall_behind(bench, weights, monkeypatch):
    from vw2_ros.models.imagination import Imagination

    drawn, go_on, render = [], threading.Event(), Imagination.render

    def slowly(self, rgb, codes):
        drawn.append(codes[0, 0])
        go_on.wait(60)
        return render(self, rgb, codes)

    monkeypatch.setattr(Imagination, 'render', slowly)
    node = bench.add(ImaginationNode, weights=weights, period_s=0.0)
    frames = bench.hear(Image, names.IMAGINED, qos.reliable())
    seen = image(bench.peer)
    node._on_image(seen)
    for code in range(1, 6):
        node._on_codes(
            plan_message.codes_to_message(
                np.full((4, 4), code), convert.stamp_to_ns(seen.header.stamp), 'lift'
            )
        )
        assert bench.until(lambda: drawn == [1])  # the first is being drawn
    assert node.health.report(node.now_s())['plans dropped'] == '3'
    go_on.set()
    assert bench.until(lambda: drawn == [1, 5] and frames)  # then the newest


def test_imagination_by_the_vdm(bench, weights, tmp_path):
    pytest.importorskip('diffusers')
    from vw2_ros.models.checkpoint import config_to_dict, save_json, save_tensors
    from vw2_ros.models.vdm import VDM
    from vw2_ros.models.vdm_config import CONFIGS

    net = VDM(CONFIGS['tiny'])
    save_tensors(tmp_path / 'vdm.safetensors', net.state_dict())
    save_json(tmp_path / 'config.json', {'vdm': config_to_dict(net.config)})
    node = bench.add(ImaginationNode, weights=weights, renderer='vdm', vdm=str(tmp_path), steps=1)
    frames = bench.hear(Image, names.IMAGINED, qos.reliable())
    seen = image(bench.peer)
    node._on_image(seen)
    node._on_codes(
        plan_message.codes_to_message(
            np.zeros((4, 4), int), convert.stamp_to_ns(seen.header.stamp), 'lift'
        )
    )
    assert bench.until(lambda: len(frames) >= 3)
    assert convert.image_to_rgb(frames[0]).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    'parameters, reason',
    [
        ({'renderer': 'gan'}, "renderer must be decoder or vdm. Got 'gan'"),
        ({'renderer': 'vdm'}, 'vdm must be the run folder of a video diffusion model'),
    ],
)
def test_imagination_says_what_it_cannot_draw_with(bench, weights, parameters, reason):
    newest = diagnosed(bench, 'imagination')
    bench.add(ImaginationNode, wait=False, weights=weights, **parameters)
    assert bench.until(lambda: newest()[0] == 2)
    assert reason in newest()[1]


# ----------------------------------------------------------------- play table


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
    assert 'call `restart` of the action node' in node.health.complaint(node.now_s())
    assert bench.until(lambda: turned() > 0.04, each=send(0.05)), 'from where it is'
    assert bench.until(lambda: turned() > 0.19, each=send(0.2)), 'then anywhere'


def test_a_second_simulator_is_refused(bench):
    first = bench.add(CalvinBridgeNode, discovery_s=0.1)
    newest = diagnosed(bench, 'calvin_bridge')
    second = bench.add(CalvinBridgeNode, wait=False, discovery_s=2.0)
    assert bench.until(lambda: second.failure)
    assert 'already has a publisher' in second.failure and state(second) == 'unconfigured'
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
