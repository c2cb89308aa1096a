# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Rows 1, 2 and 4: camera silent or frozen, planner stopped: how long until nothing new is commanded.

The planner is a process, which is stopped with SIGSTOP; the camera is the test. Time counts from the
newest image, by the event log (the arm begins to brake) and by the commands that the arm got.
"""

import os
import signal

import numpy as np
import pytest

pytest.importorskip('rclpy')

from robot_stack import holds_s, last_new_target, running

FEW, MANY = 2, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
# from the image to the command that begins to brake; a planner's next image is a period later
WITHIN_S = {'silent': 0.1, 'frozen': 0.1, 'planner stopped': 0.1 + 1 / 30}
NOISE_S = 0.01  # of the test's own clock


@pytest.fixture
def seeing(bench, tmp_path):
    """An arm that moves by the plans of a planner process, and the camera that it sees by."""
    with running(bench, tmp_path, on_stale='silent') as (stack, arm), stack.seeing() as (c, pid):
        yield stack, arm, c, pid


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
