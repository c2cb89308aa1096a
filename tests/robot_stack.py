# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Action node and watchdog as processes in front of a foreign arm; the test is camera and planner."""

import contextlib
import os
import time

from diagnostic_msgs.msg import DiagnosticArray
from foreign_arm import ForeignArm
from node_peers import SIZE, Robot, contract_file
from ros_helpers import tiny_weights
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.bringup.system import NO_SHARED_MEMORY, Children, Process
from vw2_ros.files import config_file
from vw2_ros.models.policy import Policy
from vw2_ros.nodes.health import ERROR


class Stack:
    """Action node and watchdog in processes of their own; camera and planner here."""

    def __init__(self, bench, weights, contract, log_dir):
        self.bench = bench
        self.said: dict[str, tuple[float, int, str]] = {}  # node -> when, level, message
        bench.peer.create_subscription(DiagnosticArray, names.DIAGNOSTICS, self._on_said, 10)
        self.robot = Robot(bench, commands=False)
        self.robot.send_joints = False
        self.robot.weights = Policy.load(weights).sha256
        file = str(config_file('robot.yaml'))
        given = {'contract': contract, 'use_sim_time': False}
        action = {'weights': weights, 'instruction': self.robot.instruction}
        self.action, watchdog = (
            Process(f'{name}_node', name, file, parameters, dds_profile=NO_SHARED_MEMORY)
            for name, parameters in (('action', given | action), ('watchdog', given))
        )
        self.children = Children([self.action, watchdog], log_dir=log_dir)

    def _on_said(self, message):
        for status in message.status:
            self.said[status.name] = time.monotonic(), status.level[0], status.message

    def until(self, condition, timeout_s=60.0):
        return self.bench.until(condition, timeout_s, self.robot)

    def fresh(self, name, text, since_s):
        when, _, message = self.said.get(name, (0.0, 0, ''))
        return when > since_s and text in message

    def call(self, name):
        client = self.bench.peer.create_client(Trigger, name)
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done, 5)
        self.bench.peer.destroy_client(client)
        self.answer = future.result().message if future.done() else f'{name} did not answer'
        return future.done() and future.result().success

    def signal(self, number):
        """Send it to the action node; when."""
        os.kill(self.children.running['action'].pid, number)
        return time.monotonic()

    def told(self, since_s, text):
        """Seconds until the watchdog said ERROR and named the action node."""
        assert self.until(
            lambda: self.fresh('watchdog', text, since_s) and self.said['watchdog'][1] == ERROR, 5
        ), self.said
        assert '/action ' in self.said['watchdog'][2]
        return self.said['watchdog'][0] - since_s

    def comes_up_disarmed(self):
        """Wait until the node is active, and then for a second in which plans come."""
        since_s = time.monotonic()
        assert self.until(lambda: self.fresh('action', 'disarmed', since_s)), self.said
        self.bench.spin(1.0, self.robot)

    def moves(self, arm):
        """Re-arm, and wait until the arm moves."""
        assert self.until(lambda: self.call(names.REARM)), (self.answer, self.said)
        armed_s = time.monotonic()
        assert self.until(lambda: arm.moved(armed_s) > 0.02), self.said


@contextlib.contextmanager
def running(bench, folder, *options, **contract):
    """The stack in front of a foreign arm without a gripper."""
    weights = tiny_weights(folder / 'tiny', SIZE, dldm=False)
    file = contract_file(folder, disarmed_at_start=True, gripper={'form': 'none'}, **contract)
    stack = Stack(bench, weights, file, folder)
    with ForeignArm(folder, *options) as arm, stack.children:
        yield stack, arm
