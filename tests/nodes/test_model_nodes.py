# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the nodes with a model share: loading, and what was said last."""

import threading

import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.srv import GetState
from node_peers import contract_file, diagnosed
from rclpy.parameter import Parameter
from ros_helpers import state
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.action import ActionNode
from vw2_ros.nodes.planner import PlannerNode


@pytest.mark.parametrize('node_class', [PlannerNode, ActionNode])
def test_what_was_said_last_outlasts_a_deactivation(bench, weights, node_class):
    node = bench.add(node_class, weights=weights, instruction='open the drawer')

    assert node.instruction == 'open the drawer'
    say = bench.peer.create_publisher(String, names.INSTRUCTION, qos.latched())
    say.publish(String(data=''))
    assert bench.until(lambda: node.instruction == '')
    bench.peer.destroy_publisher(say)  # as `ros2 topic pub --once` does
    node.trigger_deactivate()
    node.trigger_activate()
    assert state(node) == 'active' and node.instruction == ''
    assert node.set_parameters([Parameter('instruction', value='open the drawer')])[0].successful
    assert node.instruction == 'open the drawer'


def test_missing_weights_are_told(bench):
    newest = diagnosed(bench, 'planner')
    node = bench.add(PlannerNode, wait=False, weights='no_such_weights')
    assert bench.until(lambda: newest()[0] == 2, 30)
    assert 'no_such_weights' in newest()[1] and state(node) == 'inactive'


@pytest.mark.parametrize('node_class', [PlannerNode, ActionNode])
def test_services_answer_while_weights_load(bench, weights, node_class, monkeypatch, tmp_path):
    go_on, load = threading.Event(), node_class.load

    def slowly(self):
        go_on.wait(60)
        return load(self)

    monkeypatch.setattr(node_class, 'load', slowly)
    newest = diagnosed(bench, node_class.__name__[:-4].lower())
    arm = {'contract': contract_file(tmp_path)} if node_class is ActionNode else {}
    node = bench.add(node_class, wait=False, weights=weights, **arm)
    assert bench.until(lambda: newest() == (0, 'inactive'))
    answer = bench.call(GetState, f'{node.get_name()}/get_state')
    assert answer.current_state.label == 'inactive'
    if node_class is ActionNode:
        assert bench.call(Trigger, names.STOP).success
    go_on.set()
    assert bench.until(lambda: state(node) == 'active')
    if node_class is ActionNode:
        assert node.loop.stop_reason == 'asked for', 'told while it loaded'


def test_a_node_that_is_cleaned_up_while_its_weights_load_stays_so(bench, weights, monkeypatch):
    go_on, load = threading.Event(), ActionNode.load
    monkeypatch.setattr(ActionNode, 'load', lambda self: go_on.wait(60) and load(self))
    node = bench.add(ActionNode, wait=False, weights=weights)
    assert bench.until(lambda: state(node) == 'inactive')
    node.trigger_cleanup()
    go_on.set()
    bench.spin(0.5)
    assert state(node) == 'unconfigured' and node.worker is None
    node.trigger_configure()
    node.trigger_activate()
    assert state(node) == 'active'


def test_more_actions_than_the_policy_plans_are_refused(bench, weights):
    newest = diagnosed(bench, 'action')
    node = bench.add(
        ActionNode, wait=False, weights=weights, contract='play_table', lockstep=True, execute=17
    )
    assert bench.until(lambda: newest()[0] == 2)
    assert 'execute must be in 1..16 (a chunk). Got 17' in newest()[1]
    assert state(node) == 'inactive'
