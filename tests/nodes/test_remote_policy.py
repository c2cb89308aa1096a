# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Planner and action node whose policy is on another machine, which may be silent or gone."""

import threading

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vla_eval', reason='the extra [serve] is not installed')

from node_peers import diagnosed, image
from sensor_msgs.msg import Image
from vla_eval import api

from vw2_ros import names
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.models.policy import Policy
from vw2_ros.nodes.planner import PlannerNode
from vw2_ros.serving.answers import Answers
from vw2_ros.serving.server import PolicyServer

WORDS = 'open the drawer'


class Muted:
    """A policy that can be silent."""

    def __init__(self, policy):
        self.policy, self.loud = policy, threading.Event()
        self.loud.set()

    def __getattr__(self, name):
        return getattr(self.policy, name)

    def plan(self, rgb, instruction, followed_s=0.0):
        self.loud.wait(30.0)
        return self.policy.plan(rgb, instruction)


def test_plans_come_over_the_network_and_silence_makes_none(bench, weights):
    policy = Muted(Policy.load(weights))
    with api.serve_background(PolicyServer(Answers(policy))) as server:
        # a patient planner: the test's machine may be slow
        node = bench.add(
            PlannerNode, weights=server.url, instruction=WORDS, deadline_s=2.0, max_image_age_s=5.0
        )
        newest = diagnosed(bench, 'planner')
        hidden = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
        camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
        sent, seeds = {}, iter(range(10**6))

        def send():
            msg = image(bench.peer, next(seeds))
            sent[convert.stamp_to_ns(msg.header.stamp)] = msg
            camera.publish(msg)

        assert bench.until(lambda: len(hidden) > 1, each=send)
        part = plan_message.hidden_from_message(hidden[0])
        rgb = convert.image_to_numpy(sent[part.stamp_ns])
        np.testing.assert_array_equal(part.values, policy.policy.plan(rgb, WORDS).hidden)
        assert part.weights == policy.sha256

        policy.loud.clear()
        bench.spin(0.5, each=send)  # what was under way has arrived
        count = len(hidden)
        assert bench.until(lambda: 'must answer within 2000 ms' in newest()[1], each=send)
        assert len(hidden) == count
        policy.loud.set()
        assert bench.until(lambda: len(hidden) > count + 1, each=send)
        assert node.health.values['plan_answer_ms p50'] > 0
    count = len(hidden)
    assert bench.until(lambda: 'must be a policy server' in newest()[1], each=send)
    assert len(hidden) <= count + 1


def test_without_a_server_the_node_says_so(bench):
    node = bench.add(PlannerNode, wait=False, weights='ws://127.0.0.1:9')
    assert bench.until(lambda: node.failure, 60)
    assert 'must be a policy server' in node.failure
