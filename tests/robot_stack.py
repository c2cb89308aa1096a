# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Action node and watchdog as processes in front of a foreign arm; the test is camera and planner.

What is said on /diagnostics is heard by a process of its own, `python tests/robot_stack.py FILE`: one
that publishes to one that was killed may hang in that for seconds.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from datetime import datetime

import numpy as np
from foreign_arm import ForeignArm
from node_peers import SIZE, Robot, contract_file, image
from ros_helpers import tiny_weights
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.bringup.system import NO_SHARED_MEMORY, Children, Process
from vw2_ros.files import config_file
from vw2_ros.messages import convert
from vw2_ros.models.policy import Policy
from vw2_ros.nodes.events import folder as events_folder
from vw2_ros.nodes.health import ERROR

PATIENCE_S = 1.0  # of the nodes with a policy server


class Stack:
    """Action node and watchdog in processes of their own; camera and planner here."""

    def __init__(self, bench, weights, contract, log_dir, address=''):
        self.bench, self.log_dir = bench, log_dir
        self.said: dict[str, tuple[float, int, str]] = {}  # node -> when, level, message, at last
        self.errors: list[tuple[float, str, str]] = []  # when, node, message
        self.record, self._read = log_dir / 'said.jsonl', 0
        self.robot = Robot(bench, commands=False)
        self.robot.send_joints = False
        self.robot.weights = Policy.load(weights).sha256
        self.told_to = {'weights': address or weights, 'instruction': self.robot.instruction}
        # with a server, one process more than a busy machine may have time for
        self.told_to |= {'deadline_s': PATIENCE_S} if address else {}
        self.planner_told_to = {'max_image_age_s': PATIENCE_S} if address else {}
        action = self.told_to | ({'max_plan_age_s': 2 * PATIENCE_S} if address else {})
        file = str(config_file('robot.yaml'))
        given = {'contract': contract, 'use_sim_time': False}
        self.action, watchdog = (
            Process(f'{name}_node', name, file, parameters, dds_profile=NO_SHARED_MEMORY)
            for name, parameters in (('action', given | action), ('watchdog', given))
        )
        self.children = Children([self.action, watchdog], log_dir=log_dir)

    def __enter__(self):
        command = [sys.executable, os.path.abspath(__file__), str(self.record)]
        self.listener = subprocess.Popen(command)
        self.children.start()
        return self

    def __exit__(self, *_):
        self.children.stop()
        self.listener.kill()
        self.listener.wait()

    def listen(self):
        """Read what was said since the last time."""
        if not self.record.exists():
            return
        with open(self.record, 'rb') as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b'\n') + 1]
        self._read += len(whole)
        for when, name, level, message in map(json.loads, whole.splitlines()):
            self.said[name] = when, level, message
            if level == ERROR:
                self.errors.append((when, name, message))

    def until(self, condition, timeout_s=60.0):
        return self.bench.until(condition, timeout_s, self.robot)

    def fresh(self, name, text, since_s):
        self.listen()
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
        """Seconds until the watchdog said ERROR and named the action node; `text` in the end."""
        assert self.until(lambda: self.fresh('watchdog', text, since_s), 10), self.said
        when, _, message = next(
            e for e in self.errors if e[0] > since_s and e[1].endswith('watchdog')
        )
        assert '/action ' in message
        return when - since_s

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
    def seeing(self):
        """A planner process, and the camera that it sees by; yields the camera and its pid."""
        file = str(config_file('robot.yaml'))
        given = self.told_to | self.planner_told_to | {'min_known_words': 0.0}
        planner = Process('planner_node', 'planner', file, given)
        self.robot = camera = Camera(self)
        with Children([planner], log_dir=self.log_dir / 'planner') as children:
            self.comes_up_disarmed()
            yield camera, children.running['planner'].pid


class Camera:
    """30 images a second, until it is silent or frozen."""

    def __init__(self, stack):
        self.stack, self.out = stack, stack.robot.camera
        self.how, self.seed, self.due_s = 'well', 0, 0.0
        # when the newest image that is not like the one before was made: monotonic clock, and its stamp
        self.changed_s = self.taken_s = 0.0

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


def last_new_target(arm, since_s):
    """When the arm last got a target that was not where it was told to be before [s]."""
    got = arm.commands(since_s - 1.0)
    if len(got) < 2:
        return since_s
    goals = np.array([c['goal'][-1] for c in got])
    changed = np.abs(np.diff(goals, axis=0)).max(axis=1) > 1e-9
    return max((c['t'] for c, new in zip(got[1:], changed) if new), default=since_s)


def holds_s():
    """Since when the action node holds, by its log [s of the wall clock]; infinite if it moves."""
    events = map(json.loads, (events_folder() / 'action.jsonl').read_text().splitlines())
    newest = [e for e in events if e['event'] in ('hold', 'resume')][-1]
    holds = newest['event'] == 'hold'
    return datetime.fromisoformat(newest['time']).timestamp() if holds else np.inf


@contextlib.contextmanager
def running(bench, folder, *options, serve=None, **contract):
    """The stack in front of a foreign arm without a gripper.

    Args:
        serve: serves weights; returns their address, which the action node gets.
    """
    weights = tiny_weights(folder / 'tiny', SIZE, dldm=False)
    file = contract_file(folder, disarmed_at_start=True, gripper={'form': 'none'}, **contract)
    stack = Stack(bench, weights, file, folder, serve(weights) if serve else '')
    with ForeignArm(folder, *options) as arm, stack:
        yield stack, arm


def hear(file):
    """Write [when, node, level, message] of each status on /diagnostics, a line each."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def said(array):
        for s in array.status:
            line = json.dumps([time.monotonic(), s.name, s.level[0], s.message])
            os.write(out, line.encode() + b'\n')

    rclpy.init()
    node = rclpy.create_node('listener')
    node.create_subscription(DiagnosticArray, names.DIAGNOSTICS, said, 100)
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(node)


if __name__ == '__main__':
    hear(sys.argv[1])
