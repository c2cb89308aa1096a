# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench loop`: how fast the real nodes are, from an image to the arm.

| key                        | meaning                                                             |
| -------------------------- | ------------------------------------------------------------------- |
| image_to_command_ms_p50/99 | stamp of a camera image (taken when it is rendered) -> first joint  |
|                            | command of the plan made from it leaves the action node [ms]        |
| jitter_ms_p99              | of the command timer: |interval - 1/30 s| between commands [ms]     |
| deadline_misses            | periods in which no command came                                    |
| plan_hz                    | plans that arrived per second                                       |
"""

import collections
import os
import pathlib
import tempfile
import time

import numpy as np

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.bench.machine import INSTRUCTION, machine
from vw2_ros.errors import InvalidValueError


def run(name: str = 'play_table', *, seconds: float = 30.0) -> dict:
    """Time the running system: play table, planner and action node, each in a process, over DDS.

    The table runs in real time and is driven by an instruction meanwhile. Intervals are those
    between the stamps of joint commands, which the action node reads off just before it publishes;
    image to command is its own account, on /diagnostics.

    Args:
        name: shipped weights or the folder of a checkpoint.
        seconds: how long to listen, after everything has come up.
    Raises:
        BringUpError, ClientError: a node did not come up, or the arm was never moved.
    """
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image
    from trajectory_msgs.msg import JointTrajectory

    from vw2_ros import names
    from vw2_ros.bringup.domain import private_domain
    from vw2_ros.bringup.system import Children, calvin
    from vw2_ros.client import Client, ClientError
    from vw2_ros.messages import convert, qos

    if not seconds > 0:
        raise InvalidValueError(f'seconds must be above 0. Got {seconds}.')
    where = machine()
    commands, plans, seen = [], collections.deque(), {}
    weights = str(pathlib.Path(name).resolve()) if os.path.isdir(name) else name

    def note(msg):
        for status in msg.status:
            if status.name.endswith('action'):
                seen.update({v.key: v.value for v in status.values}, message=status.message)

    with (
        private_domain() as env,
        tempfile.TemporaryDirectory(prefix='vw2_bench_') as logs,
        Children(calvin(weights=weights), log_dir=logs, env=env) as children,
        Client(check=children.check) as client,
    ):
        client.wait_active(['calvin_bridge', 'planner', 'action'], 120.0)
        client.subscribe(
            JointTrajectory,
            names.JOINT_COMMANDS,
            lambda m: commands.append(convert.stamp_to_ns(m.header.stamp)),
            qos.reliable(),
        )
        client.subscribe(
            Image, names.PLAN_HIDDEN, lambda m: plans.append(m.header.stamp), qos.reliable()
        )
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, note, qos.reliable())
        client.say(INSTRUCTION)
        if not client.wait(lambda: plans and commands, 20.0):
            raise ClientError(
                f'no joint command within 20 s; action says: {seen.get("message", "nothing")}'
            )
        client.spin(2.0)
        commands.clear(), plans.clear()
        began = time.monotonic()
        client.spin(seconds)
        took = time.monotonic() - began
        client.wait(lambda: False, 1.1)  # the next report of the action node covers it all
    if len(commands) < 3 or 'image to command p50 [ms]' not in seen:
        raise ClientError(f'the arm was not moved; action says: {seen.get("message", "nothing")}')
    return {
        'image_to_command_ms_p50': float(seen['image to command p50 [ms]']),
        'image_to_command_ms_p99': float(seen['image to command p99 [ms]']),
        **timing(commands),
        'commands': len(commands),
        'plan_hz': len(plans) / took,
        'seconds': took,
        'holds': int(seen.get('holds', 0)),
        'late_plans': int(seen.get('plans late', 0)),
        'policy': name,
        **where,
    }


def timing(stamps_ns) -> dict:
    """Jitter and misses of a stream of commands at the plans' rate, from its stamps [ns]."""
    intervals_ms, period_ms = np.diff(np.array(stamps_ns, np.int64)) * 1e-6, 1e3 * ACTION_PERIOD_S
    return {
        'jitter_ms_p99': float(np.percentile(np.abs(intervals_ms - period_ms), 99)),
        'deadline_misses': int(np.maximum(np.rint(intervals_ms / period_ms) - 1, 0).sum()),
    }
