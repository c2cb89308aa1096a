# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What every node does with its parameters, its config and its QoS."""

import dataclasses

import pytest

pytest.importorskip('rclpy')

from node_peers import diagnosed
from rclpy.parameter import Parameter
from ros_helpers import state
from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.action import ActionNode
from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode
from vw2_ros.nodes.camera import CameraNode
from vw2_ros.nodes.imagination import ImaginationNode
from vw2_ros.nodes.parameters import parameter_name
from vw2_ros.nodes.planner import PlannerNode
from vw2_ros.nodes.watchdog import WatchdogNode

ALL = (ActionNode, CalvinBridgeNode, CameraNode, ImaginationNode, PlannerNode, WatchdogNode)


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
