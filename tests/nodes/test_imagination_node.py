# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The imagination node, a real one over DDS: what it draws, and what it drops."""

import threading

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, diagnosed, image
from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.imagination import ImaginationNode


def test_imagination_shows_the_plan_of_an_image(bench, weights):
    bench.add(ImaginationNode, weights=weights, period_s=0.0)
    frames = bench.hear(Image, names.IMAGINED, qos.reliable())
    camera = bench.peer.create_publisher(Image, names.IMAGE, qos.reliable(1))
    plans = bench.peer.create_publisher(Image, names.LATENT_PLAN, qos.reliable(1))
    seen = image(bench.peer)
    stamp_ns = convert.stamp_to_ns(seen.header.stamp)
    codes = plan_message.codes_to_message(
        np.arange(16).reshape(4, 4) % 12, stamp_ns, 'lift', '0' * 64
    )

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
                np.full((4, 4), code), convert.stamp_to_ns(seen.header.stamp), 'lift', '0' * 64
            )
        )
        assert bench.until(lambda: drawn == [1])  # the first is being drawn
    assert node.health.report(node.now_s())['plans dropped'] == '3'
    go_on.set()
    assert bench.until(lambda: drawn == [1, 5] and frames)  # then the newest


def test_imagination_by_the_vdm(bench, weights, tmp_path):
    pytest.importorskip('diffusers')
    from vw2_ros.models.config import to_dict
    from vw2_ros.models.storage import save_json, save_tensors
    from vw2_ros.models.vdm import VDM
    from vw2_ros.models.vdm_config import CONFIGS

    net = VDM(CONFIGS['tiny'])
    save_tensors(tmp_path / 'vdm.safetensors', net.state_dict())
    save_json(tmp_path / 'config.json', {'vdm': to_dict(net.config)})
    node = bench.add(ImaginationNode, weights=weights, renderer='vdm', vdm=str(tmp_path), steps=1)
    frames = bench.hear(Image, names.IMAGINED, qos.reliable())
    seen = image(bench.peer)
    node._on_image(seen)
    node._on_codes(
        plan_message.codes_to_message(
            np.zeros((4, 4), int), convert.stamp_to_ns(seen.header.stamp), 'lift', '0' * 64
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
