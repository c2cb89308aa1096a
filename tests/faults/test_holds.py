# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rows 1, 2 and 4: camera silent or frozen, planner stopped: how long until nothing new is commanded.

The planner is a process, which is stopped with SIGSTOP; the camera is the test. Time counts from the
newest image, by the event log (the arm begins to brake) and by the commands that the arm got.
"""

import json
import os
import signal
import time
from datetime import datetime

import numpy as np
import pytest

pytest.importorskip('rclpy')

from node_peers import SIZE, image
from robot_stack import running

from vw2_ros.bringup.system import Children, Process
from vw2_ros.files import config_file
from vw2_ros.messages import convert
from vw2_ros.nodes.events import folder

FEW, MANY = 2, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
# from the image to the command that begins to brake; a planner's next image is a period later
WITHIN_S = {'silent': 0.1, 'frozen': 0.1, 'planner stopped': 0.1 + 1 / 30}
NOISE_S = 0.01  # of the test's own clock


class Camera:
    """30 images a second, until it is silent or frozen."""

    def __init__(self, stack):
        self.stack, self.out = stack, stack.robot.camera
        self.how, self.seed, self.due_s = 'well', 0, 0.0
        # when the newest image that is not like the one before was made: monotonic clock, and its stamp
        self.changed_s = self.taken_s = 0.0
        stack.robot.send_images = stack.robot.send_plans = False

    def __call__(self):
        now_s = time.monotonic()
        if self.how == 'silent' or now_s < self.due_s:
            return
        self.due_s = max(self.due_s + 1 / 30, now_s - 1 / 30)  # late ones make it no slower
        if self.how == 'well':
            self.seed, self.changed_s = self.seed + 1, now_s
        message = image(self.stack.bench.peer, self.seed, SIZE)
        stamp_ns = self.stack.bench.peer.get_clock().now().nanoseconds
        message.header.stamp = convert.ns_to_stamp(stamp_ns)
        if self.how == 'well':
            self.taken_s = stamp_ns * 1e-9
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


def holds_s():
    """Since when the action node holds, by its log [s of the wall clock]; infinite if it moves."""
    events = map(json.loads, (folder() / 'action.jsonl').read_text().splitlines())
    newest = [e for e in events if e['event'] in ('hold', 'resume')][-1]
    holds = newest['event'] == 'hold'
    return datetime.fromisoformat(newest['time']).timestamp() if holds else np.inf


@runs
@pytest.mark.parametrize('fault', ['silent', 'frozen', 'planner stopped'])
def test_nothing_new_is_commanded_after_100_ms(seeing, fault, count):
    stack, arm, camera, planner = seeing
    late, held = [], []
    for _ in range(count):
        camera.how = 'well'
        stack.moves(arm)
        stack.bench.spin(0.5, camera)
        if fault == 'planner stopped':
            os.kill(planner, signal.SIGSTOP)
        else:
            camera.how = fault
        observed_s, taken_s = camera.changed_s, camera.taken_s
        stack.bench.spin(1.5, camera)
        held.append(max(holds_s() - taken_s, 0.0))  # it may hold already, for an older reason
        os.kill(planner, signal.SIGCONT)
        late.append(last_new_target(arm, observed_s) - observed_s)
        camera.how = 'well'
        stack.bench.spin(0.5, camera)
    stands, brakes = np.array(late) * 1e3, np.array(held) * 1e3
    print(
        f'\n{fault}, {count} times: the arm brakes {np.median(brakes):.0f} ms (median) and at most '
        f'{brakes.max():.0f} ms after the image that its plan came from, and got its last new target '
        f'after {np.median(stands):.0f} and at most {stands.max():.0f} ms'
    )
    assert brakes.max() < (1e3 * (WITHIN_S[fault] + NOISE_S) if count > FEW else 1000)
