# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The planner node, a real one over DDS: what it plans and what it refuses."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, calls_to, diagnosed, image
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.models.planner import Planner
from vw2_ros.nodes.planner import PlannerNode


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


def test_an_instruction_is_tried_anew_and_begins_anew_where_it_is_said_again(bench, weights):
    node = bench.add(
        PlannerNode,
        weights=weights,
        instruction='open the drawer',
        recover_after_s=2.0,
        lockstep=True,
    )
    hidden = bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    picture = image(bench.peer)

    def planned_at(stamp_ns):
        """The plan of the one picture, with that stamp."""
        picture.header.stamp = convert.ns_to_stamp(stamp_ns)
        count = len(hidden)
        camera.publish(picture)
        assert bench.until(lambda: len(hidden) > count)
        return plan_message.hidden_from_message(hidden[-1], (4, 16))

    assert bench.until(lambda: camera.get_subscription_count())
    first, early, late, after = (planned_at(10**9 + int(s * 1e9)) for s in (0, 1.9, 2.1, 2.6))
    np.testing.assert_array_equal(early.values, first.values)
    np.testing.assert_array_equal(after.values, first.values)
    assert not np.array_equal(late.values, first.values)
    assert late.instruction_id == first.instruction_id  # the action node follows it
    assert node.health.values['planned for'] == 'open the drawer'
    node.set_instruction('open the drawer')
    np.testing.assert_array_equal(planned_at(13_200_000_000).values, first.values)
    np.testing.assert_array_equal(planned_at(15_300_000_000).values, late.values)


def test_four_calls_lead_from_an_image_to_the_maths(bench, weights, monkeypatch):
    calls = calls_to(Planner, 'plan', monkeypatch)
    bench.add(PlannerNode, weights=weights, instruction='open the drawer')
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    calls.clear()  # of the warm-up
    assert bench.until(lambda: calls, each=lambda: camera.publish(image(bench.peer)))
    # `_on_image` hands over to the worker thread, which begins with `work`
    assert calls[0][-3:] == ['PlannerNode.work', 'Policy.plan', 'Planner.plan']


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
