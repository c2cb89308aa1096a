# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rows 1, 2 and 4: camera silent or frozen, planner stopped: how long until nothing new is commanded.

The planner is a process, which is stopped with SIGSTOP; the camera is the test. Time counts from the
newest image that a plan came from, by the stamp of the commands' arrival at the arm.
"""

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, image
from robot_stack import running

from vw2_ros.bringup.system import Children, Process
from vw2_ros.files import config_file
from vw2_ros.messages import convert

FEW, MANY = 2, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
WITHIN_S = 0.1 + 2 / 30  # the age limit, the tick that sees it, and one in which the arm brakes


class Camera:
    """30 images a second, until it is silent or frozen."""

    def __init__(self, stack):
        self.stack, self.out = stack, stack.robot.camera
        self.how, self.seed, self.sent_s, self.changed_s = 'well', 0, 0.0, 0.0
        stack.robot.send_images = stack.robot.send_plans = False

    def __call__(self):
        now_s = time.monotonic()
        if self.how == 'silent' or now_s - self.sent_s < 1 / 30:
            return
        self.sent_s = now_s
        if self.how == 'well':
            self.seed, self.changed_s = self.seed + 1, now_s
        message = image(self.stack.bench.peer, self.seed, SIZE)
        message.header.stamp = convert.ns_to_stamp(
            self.stack.bench.peer.get_clock().now().nanoseconds
        )
        self.out.publish(message)


@pytest.fixture
def seeing(bench, tmp_path):
    """An arm that moves by the plans of a planner process, and the camera that it sees by."""
    with running(bench, tmp_path, on_stale='silent') as (stack, arm):
        given = {'weights': str(tmp_path / 'tiny'), 'instruction': stack.robot.instruction}
        file = str(config_file('robot.yaml'))
        planner = Process('planner_node', 'planner', file, given | {'min_known_words': 0.0})
        camera = Camera(stack)
        with Children([planner], log_dir=tmp_path / 'planner') as children:
            stack.robot = camera
            stack.comes_up_disarmed()
            yield stack, arm, camera, children.running['planner'].pid


def last_new_target(arm, since_s):
    """When the arm last got a target that was not where it was told to be before [s]."""
    got = arm.commands(since_s - 1.0)
    goals = np.array([c['goal'][-1] for c in got])
    changed = np.abs(np.diff(goals, axis=0)).max(axis=1) > 1e-9
    return max((c['t'] for c, new in zip(got[1:], changed) if new), default=since_s)


@runs
@pytest.mark.parametrize('fault', ['silent', 'frozen', 'planner stopped'])
def test_nothing_new_is_commanded_after_100_ms(seeing, fault, count):
    stack, arm, camera, planner = seeing
    late = []
    for _ in range(count):
        camera.how = 'well'
        stack.moves(arm)
        stack.bench.spin(0.5, camera)
        if fault == 'planner stopped':
            os.kill(planner, signal.SIGSTOP)
            observed_s = camera.changed_s
        else:
            camera.how, observed_s = fault, camera.changed_s
        stack.bench.spin(1.5, camera)
        os.kill(planner, signal.SIGCONT)
        late.append(last_new_target(arm, observed_s) - observed_s)
        camera.how = 'well'
        stack.bench.spin(0.5, camera)
    ms = np.array(late) * 1e3
    print(
        f'\n{fault}, {count} times: the last new target {np.median(ms):.0f} ms (median) and at most '
        f'{ms.max():.0f} ms after the image that it came from'
    )
    assert ms.max() < (1e3 * WITHIN_S if count > FEW else 1000)
