# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A dry run: the action node does all but command."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import Robot, contract_file, diagnosed
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.cameras.dry_run import HEIGHT_PX
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.action import ActionNode


def test_a_dry_run_draws_and_has_no_publisher(bench, weights, tmp_path):
    newest = diagnosed(bench, 'action')
    drawn = bench.hear(Image, names.DRY_RUN, qos.reliable(1))
    contract = contract_file(tmp_path)
    node = bench.add(
        ActionNode, weights=weights, contract=contract, instruction='open the drawer', dry_run=True
    )
    robot = Robot(bench)
    assert bench.until(lambda: len(drawn) > 3 and node.loop.counts['commands'] > 30, each=robot)
    assert bench.call(Trigger, names.REARM).success
    assert bench.until(lambda: 'moving' in newest()[1], each=robot)
    assert newest()[1].startswith('dry run, nothing is commanded; ')
    topic = node.contract.command.topic
    assert bench.peer.count_publishers(topic) == 0 and not robot.commands
    rgb = convert.image_to_rgb(drawn[-1])
    assert rgb.shape[0] > HEIGHT_PX and rgb.std() > 10


def test_lockstep_has_no_dry_run(bench, weights, tmp_path):
    node = bench.add(
        ActionNode,
        wait=False,
        weights=weights,
        contract=contract_file(tmp_path),
        dry_run=True,
        lockstep=True,
    )
    assert bench.until(lambda: node.failure)
    assert 'dry_run must be false in lockstep' in node.failure


def test_the_arm_that_does_not_follow_stops_nothing(bench, weights, tmp_path):
    """The commands of a dry run begin at the measured joints, tick after tick."""
    node = bench.add(ActionNode, weights=weights, contract=contract_file(tmp_path), dry_run=True)
    robot = Robot(bench)
    assert bench.until(lambda: node.loop.counts['commands'] > 60, each=robot)
    assert not node.loop.stop_reason
    joints = node.loop.command.joints
    away = np.abs(joints - node.contract.home_rad)
    assert away.max() < 0.2
