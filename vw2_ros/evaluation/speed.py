# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How fast it is: `vw2 bench policy` times the model alone, `vw2 bench loop` the real nodes.

| key                       | meaning                                                            |
| ------------------------- | ------------------------------------------------------------------ |
| plan_ms_p50, plan_ms_p99  | one image and instruction -> codes and hidden states [ms]          |
| head_ms_p50               | hidden states -> chunk of actions [ms]                             |
| preview_ms_p50            | codes -> imagined video, by the decoder [ms]; None without a dLDM  |
| params                    | parameters of planner and head, vision included                    |
| image_to_command_ms_p50/99 | stamp of a camera image (taken when it is rendered) -> first joint |
|                           | command of the plan made from it leaves the action node [ms]       |
| jitter_ms_p99             | of the command timer: |interval - 1/30 s| between commands [ms]    |
| deadline_misses           | periods in which no command came                                   |
| plan_hz                   | plans that arrived per second                                      |
"""

import collections
import os
import pathlib
import platform
import tempfile
import time

import numpy as np

from vw2_ros.errors import InvalidValueError

INSTRUCTION = 'push the red block to the left'


def machine() -> dict:
    """Where the figures come from."""
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            name = next(
                line.split(':', 1)[1].strip() for line in file if line.startswith('model name')
            )
    except (OSError, StopIteration):
        pass
    return {
        'cpu': name,
        'cores': len(os.sched_getaffinity(0)),
        'load_before': round(os.getloadavg()[0], 2),
        'python': platform.python_version(),
    }


def policy(name: str = 'play_table', *, calls: int = 200, threads: int = 1) -> dict:
    """Time one plan and the action head, alone in this process on `threads` CPU threads.

    Args:
        name: shipped weights or the folder of a checkpoint.
        calls: plans that are timed, each from another image.
    Raises:
        CheckpointError: as `Policy.load`.
    """
    from vw2_ros.models.policy import Policy

    if calls < 2:
        raise InvalidValueError(f'calls must be at least 2, got {calls}')
    where = machine()
    loaded = Policy.load(name, threads=threads)
    loaded.warm_up()
    rng = np.random.default_rng(0)
    size = loaded.image_size
    plan_ms, head_ms, chunk_ms = [], [], []
    for _ in range(calls):
        rgb = rng.integers(0, 256, (size, size, 3), np.uint8)
        began = time.perf_counter()
        plan = loaded.plan(rgb, INSTRUCTION)
        planned = time.perf_counter()
        loaded.actions(plan.hidden)
        done = time.perf_counter()
        plan_ms.append(1e3 * (planned - began))
        head_ms.append(1e3 * (done - planned))
        chunk_ms.append(1e3 * (done - began))
    preview_ms = []
    for _ in range(min(calls, 50) if loaded.can_imagine else 0):
        began = time.perf_counter()
        loaded.imagine(rgb, plan.codes)
        preview_ms.append(1e3 * (time.perf_counter() - began))
    return {
        'plan_ms_p50': float(np.percentile(plan_ms, 50)),
        'plan_ms_p99': float(np.percentile(plan_ms, 99)),
        'head_ms_p50': float(np.percentile(head_ms, 50)),
        'chunk_ms_p50': float(np.percentile(chunk_ms, 50)),
        'preview_ms_p50': float(np.percentile(preview_ms, 50)) if preview_ms else None,
        'params': loaded.parameters,
        'image_px': size,
        'calls': calls,
        'threads': threads,
        'policy': name,
        'checkpoint_sha256': loaded.sha256,
        **where,
    }


def loop(name: str = 'play_table', *, seconds: float = 30.0) -> dict:
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
    from vw2_ros.bringup.system import Children, calvin, private_domain
    from vw2_ros.client import Client, ClientError
    from vw2_ros.messages import convert, qos

    if not seconds > 0:
        raise InvalidValueError(f'seconds must be above 0, got {seconds}')
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
    """Jitter and misses of a 30 Hz stream, from its stamps [ns] in order."""
    intervals_ms, period_ms = np.diff(np.array(stamps_ns, np.int64)) * 1e-6, 1e3 / 30
    return {
        'jitter_ms_p99': float(np.percentile(np.abs(intervals_ms - period_ms), 99)),
        'deadline_misses': int(np.maximum(np.rint(intervals_ms / period_ms) - 1, 0).sum()),
    }
