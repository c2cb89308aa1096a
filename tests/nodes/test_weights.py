# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One policy in planner and action node, over DDS: `load_weights` swaps both, or neither."""

import json
import shutil
import time

import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, Robot, contract_file, diagnosed
from rclpy.parameter import Parameter
from ros_helpers import tiny_weights
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.action import ActionNode
from vw2_ros.nodes.planner import PlannerNode


@pytest.fixture(scope='module')
def others(tmp_path_factory):
    """Weights of another policy of the same size."""
    return tiny_weights(tmp_path_factory.mktemp('others') / 'others', SIZE, seed=1)


@pytest.fixture
def both(bench, weights, tmp_path):
    planner = bench.add(PlannerNode, weights=weights, instruction='open the drawer')
    action = bench.add(ActionNode, weights=weights, contract=contract_file(tmp_path))
    assert bench.until(lambda: planner.leader._out.get_subscription_count() == 1)
    assert bench.until(lambda: action.follower._out.get_subscription_count() == 1)
    return planner, action


def load(bench, planner, folder):
    assert planner.set_parameters([Parameter('weights', value=str(folder))])[0].successful
    return bench.call(Trigger, names.LOAD_WEIGHTS)


def test_both_swap_within_a_second_and_the_arm_holds_meanwhile(bench, both, others):
    planner, action = both
    before, held = planner.model.sha256, []
    robot = Robot(bench)
    robot.send_plans = False
    hold = action.follower._hold
    action.follower._hold = lambda why: (held.append((why, time.monotonic())), hold(why))
    answer = load(bench, planner, others)
    assert answer.success and 'others' in answer.message and '1 action node(s)' in answer.message
    assert bench.until(lambda: action.model.sha256 == planner.model.sha256 != before)
    (why, from_s), (end, to_s) = held
    assert 'is being loaded' in why and end == ''
    print(f'the arm holds for {to_s - from_s:.2f} s while both nodes swap weights')
    assert to_s - from_s < 5.0, 'a second where the machine has nothing else to do'
    for node in both:
        assert node.get_parameter('weights').value == node.config.weights == others
        assert node.health.values['weights'] == f'others {node.model.sha256[:12]}'


@pytest.mark.parametrize(
    'fault', ['none there', 'damaged', 'other images', 'other frame', 'only there', 'two']
)
def test_a_failed_load_keeps_the_old_weights_on_both(bench, both, others, tmp_path, fault):
    planner, action = both
    old, name = planner.model.sha256, planner.config.weights
    folder = tmp_path / 'new'
    if fault == 'damaged':
        shutil.copytree(others, folder)
        (folder / 'head.safetensors').write_bytes(b'x' * 100)
    elif fault == 'other images':
        tiny_weights(folder, 2 * SIZE)
    elif fault == 'other frame':  # the planner does not care; the action node's contract does
        tiny_weights(folder, SIZE, provenance={'action_frame': 'tool'})
    elif fault in ('only there', 'two'):
        folder = others
        real = action.load_policy

        def elsewhere(weights):
            if fault == 'only there':
                raise ValueError('no such folder here')
            policy = real(weights)
            policy.sha256 = '1' * 64
            return policy

        action.follower._load = elsewhere
    answer = load(bench, planner, folder)
    assert not answer.success and 'the weights stay as they are' in answer.message
    said = {
        'only there': 'action: no such',
        'two': 'other files',
        'other frame': 'action: action_frame of new must be base',
    }
    assert said.get(fault, 'planner: ') in answer.message
    assert bench.until(lambda: not action.arming.held and not planner.leader.busy)
    for node in both:
        assert node.model.sha256 == old and node.get_parameter('weights').value == name


def test_without_an_action_node_the_planner_swaps_alone(bench, weights, others):
    planner = bench.add(PlannerNode, weights=weights)
    answer = load(bench, planner, others)
    assert answer.success and 'no action node is there' in answer.message


def test_an_action_node_that_comes_later_follows_the_last_change(bench, weights, others):
    planner = bench.add(PlannerNode, weights=weights)
    assert load(bench, planner, others).success
    action = bench.add(ActionNode, weights=weights)
    assert bench.until(
        lambda: action.model.sha256 == planner.model.sha256 and not action.arming.held
    )


def test_the_planner_leads(bench, both, others):
    _, action = both
    refused = action.set_parameters([Parameter('weights', value=others)])[0]
    assert not refused.successful and 'the planner leads' in refused.reason


def test_an_action_node_waits_for_the_planner_and_not_for_ever(bench, both, others, monkeypatch):
    _, action = both
    word = bench.peer.create_publisher(String, names.WEIGHTS, qos.latched())
    said = {'phase': 'load', 'weights': others, 'sha256': ''}
    word.publish(String(data=json.dumps(said)))
    assert bench.until(lambda: action.arming.held)
    monkeypatch.setattr('vw2_ros.nodes.weights.PATIENCE_S', 0.1)
    assert bench.until(lambda: not action.arming.held)
    assert 'has not said to swap' in action.health.complaint(action.now_s())
    for n, text in enumerate(('{', '[]', '{"phase": 1}', '[' * 10000), 2):
        word.publish(String(data=text))
        assert bench.until(lambda n=n: action.health.counters['weights refused'] == n)


def test_plans_of_other_weights_move_nothing(bench, weights, tmp_path):
    newest = diagnosed(bench, 'action')
    node = bench.add(
        ActionNode,
        weights=weights,
        contract=contract_file(tmp_path),
        instruction='open the drawer',
    )
    robot = Robot(bench)
    robot.weights = '1' * 64
    assert bench.until(lambda: 'Got 111111111111' in newest()[1], each=robot)
    assert 'as the action head' in newest()[1] and node.loop.counts['plans'] == 0
