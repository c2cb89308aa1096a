# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A robot whose policy is on another machine, which is killed, comes back, stops, has other weights.

Planner, action node, watchdog, arm and `vw2 serve` are processes; the test is the camera.
"""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vla_eval', reason='the extra [serve] is not installed')

from node_peers import SIZE
from robot_stack import PATIENCE_S, holds_s, last_new_target, running
from ros_helpers import tiny_weights
from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.messages import plan as plan_message
from vw2_ros.messages import qos

RUNS = int(os.environ.get('VW2_FAULT_RUNS', '1'))
STILL_RAD = 1e-6


class Server:
    """`vw2 serve`, on the same port each time."""

    def __init__(self):
        self.process, self.port = None, 0

    def start(self, weights):
        """Serve them; return where."""
        command = [sys.executable, '-m', 'vw2_ros.cli', 'serve', '--policy', weights]
        self.process = subprocess.Popen(
            [*command, '--port', str(self.port)], stdout=subprocess.PIPE, text=True
        )
        address = re.search(r'ws://\S+', self.process.stdout.readline())
        assert address, 'it ended'
        self.port = int(address[0].rpartition(':')[2])
        return address[0]

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.signal(signal.SIGKILL)


@pytest.fixture
def remote(bench, tmp_path, server):
    """An arm that moves by a policy server alone, and the camera that it sees by."""
    made = running(bench, tmp_path, serve=server.start, on_stale='silent')
    with made as (stack, arm), stack.seeing() as (camera, _):
        yield stack, arm, camera


def test_it_holds_without_a_server_and_goes_on_by_new_plans_only(remote, server, tmp_path):
    stack, arm, camera = remote
    plans = stack.bench.hear(Image, names.PLAN_HIDDEN, qos.reliable())

    def goes_on(since_s):
        return stack.until(lambda: arm.moved(since_s) > 0.02)

    def stands(fault):
        """The arm has braked, and gets nothing new."""
        observed_s, taken_s = camera.changed_s, camera.taken_s
        stack.bench.spin(1.5, camera)
        braked_s = max(holds_s() - taken_s, 0.0)  # it may hold already, for an older reason
        last_s = last_new_target(arm, observed_s) - observed_s
        print(
            f'{fault}: it brakes {1e3 * braked_s:.0f} ms after the last image, and got its last new '
            f'target {1e3 * last_s:.0f} ms after it'
        )
        since_s = time.monotonic()
        stack.bench.spin(0.5, camera)
        assert arm.moved(since_s) < STILL_RAD and braked_s < 1.0

    stack.moves(arm)
    for _ in range(RUNS):
        server.signal(signal.SIGKILL)
        stands('server killed')
        server.start(str(tmp_path / 'tiny'))
        assert goes_on(time.monotonic()), stack.said

        server.signal(signal.SIGSTOP)
        stands('server stopped')
        plans.clear()
        now_s = stack.bench.peer.get_clock().now().nanoseconds * 1e-9
        server.signal(signal.SIGCONT)
        assert goes_on(time.monotonic()), stack.said
        stamps_s = [plan_message.hidden_from_message(m).stamp_ns * 1e-9 for m in plans]
        # of an image of before only if it was asked for within the deadline
        assert min(stamps_s) > now_s - PATIENCE_S

    # another policy at the same address: for neither node, until both are told to take it
    server.signal(signal.SIGKILL)
    server.start(tiny_weights(tmp_path / 'other', SIZE, seed=1, dldm=False))
    stands('other weights')
    stack.listen()
    assert 'must have the weights' in stack.said['planner'][2]
    assert stack.call(names.LOAD_WEIGHTS), stack.answer
    assert goes_on(time.monotonic()), stack.said
