# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The benches give the promised keys; no test looks at how fast this machine is."""

import os

import numpy as np
import pytest

pytest.importorskip('rclpy')
from ros_helpers import tiny_weights  # noqa: E402

from vw2_ros.arms.contract import Contract  # noqa: E402
from vw2_ros.bench import loop, policy  # noqa: E402
from vw2_ros.bringup import domain


def test_bench_of_the_policy(tmp_path):
    result = policy.run(tiny_weights(tmp_path / 'weights'), calls=5)
    assert 0 < result['plan_ms_p50'] <= result['plan_ms_p99']
    assert result['head_ms_p50'] > 0 and result['preview_ms_p50'] > 0 and result['params'] > 100
    assert len(result['checkpoint_sha256']) == 64
    blind = tiny_weights(tmp_path / 'blind', dldm=False)
    assert policy.run(blind, calls=2)['preview_ms_p50'] is None
    with pytest.raises(ValueError, match='at least 2'):
        policy.run('play_table', calls=1)


def test_private_domain_is_given_back(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '77')
    with domain.private_domain() as env:
        assert os.environ['ROS_DOMAIN_ID'] == env['ROS_DOMAIN_ID'] != '77'
    assert os.environ['ROS_DOMAIN_ID'] == '77'


@pytest.mark.slow
def test_bench_of_the_running_system(tmp_path):
    result = loop.run(tiny_weights(tmp_path / 'weights', image_size=96), seconds=3)
    assert 0 < result['image_to_command_ms_p50'] <= result['image_to_command_ms_p99']
    assert result['commands'] > 10 and result['plan_hz'] > 0
    assert result.keys() >= {'jitter_ms_p99', 'deadline_misses'}


def test_jitter_and_misses_of_commands():
    period_ns = 10**9 / 30
    even = np.arange(11) * period_ns
    assert loop.timing(even) == {'jitter_ms_p99': pytest.approx(0, abs=1e-5), 'deadline_misses': 0}
    late = even + np.where(np.arange(11) == 5, 4e6, 0)  # one, by 4 ms: two uneven intervals
    assert loop.timing(late) == {'jitter_ms_p99': pytest.approx(4, abs=1e-5), 'deadline_misses': 0}
    assert loop.timing(np.delete(even, [3, 4, 7]))['deadline_misses'] == 3


def test_bench_of_the_loop_wants_some_seconds():
    with pytest.raises(ValueError, match='above 0'):
        loop.run('play_table', seconds=0)


def test_a_foreign_camera_is_that_of_a_robot(tmp_path):
    bridge, *robot = loop.described('play_table', '640x480', tmp_path)
    assert [p.name for p in robot] == ['camera', 'planner', 'action', 'watchdog']
    assert bridge.parameters['image_every'] == 300  # the table draws no pictures
    contract = Contract.load(robot[2].parameters['contract'])
    assert contract.command.rate_hz == Contract.load('panda').command.rate_hz
    assert contract.command.topic == Contract.load('play_table').command.topic


@pytest.mark.slow
def test_bench_with_a_foreign_camera_loses_no_image(tmp_path):
    weights = tiny_weights(tmp_path / 'weights', image_size=96)
    result = loop.run(weights, seconds=5, camera='640x480')
    assert result['plan_hz'] > 20 and result['holds'] < result['commands'] / 10


@pytest.mark.parametrize('text', ['640', 'x480', '640x-1', '640x99999', 'axb', '640x480x3'])
def test_size_of_a_camera(text):
    from vw2_ros.bench.camera_driver import size_of

    with pytest.raises(ValueError, match='must be e.g. 640x480'):
        size_of(text)
