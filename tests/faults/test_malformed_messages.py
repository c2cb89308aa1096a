# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rows 5 and 12: whatever comes on whatever topic, no node ends and nothing unsafe leaves it.

The nodes are real; what they are sent is made by `malformed`. Most of it is given to the callbacks of
their subscriptions, which is quick; some hundreds go over DDS.
"""

import contextlib
import os
import pathlib
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from malformed import malformed
from node_peers import Robot, contract_file, image
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_helpers import state, tiny_weights
from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.action import ActionNode
from vw2_ros.nodes.camera import CameraNode
from vw2_ros.nodes.imagination import ImaginationNode
from vw2_ros.nodes.planner import PlannerNode

WORDS = 'open the drawer'
# messages on each input; the slow run sends ten thousand
FEW, MANY = 800, 10_000
NODES = {
    'camera': (CameraNode, {}),
    'camera-compressed': (CameraNode, {'source': 'compressed'}),
    'planner': (PlannerNode, {'instruction': WORDS}),
    'planner-compressed': (PlannerNode, {'instruction': WORDS, 'compressed': True}),
    'action': (ActionNode, {'instruction': WORDS}),
    'imagination': (ImaginationNode, {'period_s': 0.0}),
}
each_node = pytest.mark.parametrize('name', NODES)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp('weights') / 'tiny', 32)


def started(bench, name, weights):
    kind, options = NODES[name]
    if kind is not CameraNode:
        options = {**options, 'weights': weights}
    if kind is ActionNode:
        options['contract'] = contract_file(pathlib.Path(weights).parent)
    return bench.add(kind, **options)


class Watch:
    """What a node refused, what it said of that, and what it commanded while it is watched."""

    def __init__(self, bench, node, monkeypatch):
        self.node, self.reasons, self.told, self.sent = node, [], [], []
        self.logs = bench.hear(
            Log, '/rosout', QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self.began_s = time.monotonic()
        refuse, complain = node.refuse, node.health.complain

        def refused(what, reason):
            self.reasons.append(reason)
            refuse(what, reason)

        def told(text, now_s):
            complain(text, now_s)
            self.told.append(node.health.complaint(now_s))

        monkeypatch.setattr(node, 'refuse', refused)
        monkeypatch.setattr(node.health, 'complain', told)
        for publisher in node.publishers:
            if isinstance(node, ActionNode) and 'command' in publisher.topic_name:
                self._record(publisher, monkeypatch)

    def _record(self, publisher, monkeypatch):
        publish = publisher.publish

        def recorded(message):
            self.sent.append(message)
            publish(message)

        monkeypatch.setattr(publisher, 'publish', recorded)

    def is_well(self, sent):
        """Check the node after `sent` messages."""
        node = self.node
        assert state(node) == 'active' and not node.failure
        assert node.worker is None or node.worker._thread.is_alive()
        wrong = [r for r in self.reasons if not isinstance(r, (str, ValueError))]
        assert not wrong, f'an error of the program: {wrong[0]!r}'
        assert all(text.isprintable() and 10 < len(text) <= 500 for text in self.told)
        seconds = time.monotonic() - self.began_s
        lines = [log.msg for log in self.logs if log.name.endswith(node.get_name())]
        assert all(line.isprintable() for line in lines), lines
        assert len(lines) <= seconds + 5, f'{len(lines)} lines for {sent} messages'
        for message in self.sent:
            positions = [p for point in message.points for p in point.positions]
            assert np.isfinite(positions).all()


def inputs(node):
    """Subscriptions of a node that somebody else may send anything to."""
    # nobody reads what is on the node's own command topic
    own = [s for s in node.subscriptions if not s.raw]
    return [s for s in own if not s.topic_name.endswith(('/clock', '_events'))]


def fuzz(bench, name, weights, monkeypatch, count):
    """Give `count` malformed messages to each callback of a node; return the node's watch."""
    node = started(bench, name, weights)
    watch, rng = Watch(bench, node, monkeypatch), np.random.default_rng(12)
    sent = 0
    for subscription in inputs(node):
        topic = subscription.topic_name.rpartition('/')[2]
        for i in range(count):
            message = malformed(rng, subscription.msg_type, topic, node.now_ns())
            subscription.callback(message)
            sent += 1
            if i % 20 == 0:
                bench.executor.spin_once(timeout_sec=0)
    bench.spin(1.5)
    watch.is_well(sent)
    print(
        f'{name}: {sent} malformed messages on {len(inputs(node))} inputs, '
        f'{len(watch.reasons)} refused, {len(set(map(str, watch.reasons)))} reasons, 0 crashes'
    )
    return node


def works(bench, name, node):
    """Check that a node still does its work when what comes is right again."""
    if name.startswith('camera'):
        topic = names.compressed(names.INPUT) if 'compressed' in name else names.INPUT
        out, send = bench.hear(Image, names.IMAGE, qos.reliable()), sender(bench, topic)
    elif name.startswith('planner'):
        topic = names.compressed(names.IMAGE) if 'compressed' in name else names.IMAGE
        node.set_instruction(WORDS)
        out, send = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable()), sender(bench, topic)
    elif name == 'imagination':
        out, send = bench.hear(Image, names.IMAGINED, qos.reliable()), plans_sender(bench)
    else:
        node.instruct(WORDS)
        node.arming.operator.pressed = False  # a Bool cannot be malformed
        node.restart()
        robot = Robot(bench)
        out, send = robot.commands, rearming(robot, node)
    assert bench.until(lambda: len(out) > 3, 30, each=send), f'{name} does nothing any more'


def rearming(robot, node):
    """Return a function that plays the robot and arms the node as soon as that can be."""
    armed = []

    def send():
        robot()
        if not armed:
            with contextlib.suppress(ValueError):  # the joints are still to come
                armed.append(node.arming.rearm())

    return send


def plans_sender(bench):
    """Return a function that publishes a good picture and a plan for it."""
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    plans = bench.peer.create_publisher(Image, names.LATENT_PLAN, qos.reliable(1))
    seen = image(bench.peer)
    codes = np.arange(16).reshape(4, 4) % 12
    stamp_ns = convert.stamp_to_ns(seen.header.stamp)
    plan = plan_message.codes_to_message(codes, stamp_ns, WORDS, '0' * 64)

    def send():
        camera.publish(seen)
        plans.publish(plan)

    return send


def sender(bench, topic):
    """Return a function that publishes a good picture."""
    compressed = topic.endswith('compressed')
    kind = convert.CompressedImage if compressed else Image
    camera, seeds = bench.peer.create_publisher(kind, topic, qos.reliable(1)), iter(range(10**6))

    def send():
        message = image(bench.peer, next(seeds))
        if compressed:
            message = convert.rgb_to_compressed(
                convert.image_to_rgb(message), stamp_ns=convert.stamp_to_ns(message.header.stamp)
            )
        camera.publish(message)

    return send


@each_node
def test_malformed_messages_end_no_node(bench, weights, monkeypatch, name):
    node = fuzz(bench, name, weights, monkeypatch, FEW)
    works(bench, name, node)


@pytest.mark.slow
@each_node
def test_ten_thousand_malformed_messages_on_each_input(bench, weights, monkeypatch, name):
    node = fuzz(bench, name, weights, monkeypatch, MANY)
    works(bench, name, node)


@each_node
def test_malformed_messages_over_dds(bench, weights, monkeypatch, name):
    """The same from another node, through the middleware's own checks."""
    node = started(bench, name, weights)
    watch, rng = Watch(bench, node, monkeypatch), np.random.default_rng(5)
    offer = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # all can hear that
    made = {
        s.topic_name: (s.msg_type, bench.peer.create_publisher(s.msg_type, s.topic_name, offer))
        for s in inputs(node)
    }
    sent, count = 0, int(os.environ.get('VW2_FAULT_RUNS', '20'))
    assert bench.until(lambda: all(p.get_subscription_count() for _, p in made.values()))
    for _ in range(count):
        for topic, (kind, publisher) in made.items():
            last = topic.rpartition('/')[2]
            publisher.publish(malformed(rng, kind, last, node.now_ns()))
            sent += 1
        bench.spin(0.02)
    bench.spin(1.0)
    assert sum(node.health.counters.values()) or watch.reasons, 'nothing arrived'
    watch.is_well(sent)
