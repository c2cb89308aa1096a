# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench loop`: how fast the real nodes are, from an image to the arm.

| key                        | meaning                                                             |
| -------------------------- | ------------------------------------------------------------------- |
| image_to_command_ms_p50/99 | stamp of a camera image (taken when it is rendered) -> first joint  |
|                            | command of the plan made from it leaves the action node [ms]        |
| jitter_ms_p99              | of the command timer: |interval - period| between commands [ms]     |
| deadline_misses            | periods in which no command came                                    |
| plan_hz                    | plans that arrived per second                                       |
"""

import collections
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.bench import camera_driver
from vw2_ros.bench.machine import INSTRUCTION, machine
from vw2_ros.errors import InvalidValueError

# No camera's clock is the computer's: so its images come at every phase of the command timer.
CAMERA_HZ = 29.7


def described(weights: str, camera: str, folder: pathlib.Path) -> tuple:
    """What runs: the play table, or, with a camera, a robot whose arm is the table's.

    Args:
        weights: shipped weights or a folder. camera: as in `run`. folder: for the robot's contract.
    """
    import yaml

    from vw2_ros.bringup.system import calvin, robot
    from vw2_ros.files import config_file

    if not camera:
        return calvin(weights=weights)
    ours, theirs = (
        yaml.safe_load(config_file(f'arms/{name}.yaml').read_text())
        for name in ('play_table', 'panda')
    )
    ours['command']['rate_hz'] = theirs['command']['rate_hz']
    contract = folder / 'play_table_as_a_robot.yaml'
    contract.write_text(yaml.safe_dump(ours))
    bridge = calvin(weights=weights)[0]
    seldom = {'image_every': 300, 'gripper_every': 300}  # a robot draws no pictures
    return (
        dataclasses.replace(bridge, parameters=bridge.parameters | seldom),
        *robot(weights=weights, contract=str(contract), image_topic=camera_driver.TOPIC),
    )


@contextlib.contextmanager
def driven(camera: str, env: dict):
    """Run the driver of the camera, if there is one, in a process of its own."""
    if not camera:
        yield
        return
    command = [sys.executable, '-m', camera_driver.__name__, '--size', camera, '--table']
    command += ['--rate', str(CAMERA_HZ)]
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def run(name: str = 'play_table', *, seconds: float = 30.0, camera: str = '') -> dict:
    """Time the running system: play table, planner and action node, each in a process, over DDS.

    The table runs in real time and is driven by an instruction meanwhile. Intervals are those
    between the stamps of joint commands, which the action node reads off just before it publishes;
    image to command is its own account, on /diagnostics.

    Args:
        name: shipped weights or the folder of a checkpoint.
        seconds: how long to listen, after everything has come up.
        camera: '' for the table's own, or the size, e.g. '640x480', of one whose driver is a process
            of its own: best effort, 30 Hz, with this package's DDS profile. A camera node makes the
            policy's pictures of it. It shows the table at its start, whatever the arm does.
    Raises:
        InvalidValueError: a size that is none.
        BringUpError, ClientError: a node did not come up, or the arm was never moved.
    """
    from vw2_ros.bringup.domain import private_domain
    from vw2_ros.bringup.system import Children, dds_environment
    from vw2_ros.client import Client

    if not seconds > 0:
        raise InvalidValueError(f'seconds must be above 0. Got {seconds}.')
    if camera:
        camera_driver.size_of(camera)
    where = machine()
    weights = str(pathlib.Path(name).resolve()) if os.path.isdir(name) else name
    with (
        private_domain() as env,
        tempfile.TemporaryDirectory(prefix='vw2_bench_') as logs,
        Children(
            described(weights, camera, pathlib.Path(logs)), log_dir=logs, env=env
        ) as children,
        driven(camera, dds_environment() | children.env),
        Client(check=children.check) as client,
    ):
        client.wait_active([p.name for p in children.processes], 120.0)
        return _heard(client, seconds, _period_s(children.processes)) | {
            'camera': camera or 'of the table',
            'policy': name,
            **where,
        }


def _period_s(processes) -> float:
    from vw2_ros.arms.contract import Contract

    action = next(p for p in processes if p.name == 'action')
    return Contract.load(action.parameters.get('contract', 'play_table')).limits.period_s


def _heard(client, seconds: float, period_s: float) -> dict:
    """Instruct the running nodes and account for what they send.

    Raises:
        ClientError: the arm was never moved.
    """
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image
    from trajectory_msgs.msg import JointTrajectory

    from vw2_ros import names
    from vw2_ros.client import ClientError
    from vw2_ros.messages import convert, qos

    commands, plans, seen = [], collections.deque(), {}

    def note(msg):
        for status in msg.status:
            if status.name.endswith('action'):
                seen.update({v.key: v.value for v in status.values}, message=status.message)

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
        **timing(commands, period_s),
        'commands': len(commands),
        'plan_hz': len(plans) / took,
        'seconds': took,
        'holds': int(seen.get('holds', 0)),
        'late_plans': int(seen.get('plans late', 0)),
    }


def timing(stamps_ns, period_s: float = ACTION_PERIOD_S) -> dict:
    """Jitter and misses of a stream of commands, one per period, from its stamps [ns]."""
    intervals_ms, period_ms = np.diff(np.array(stamps_ns, np.int64)) * 1e-6, 1e3 * period_s
    return {
        'jitter_ms_p99': float(np.percentile(np.abs(intervals_ms - period_ms), 99)),
        'deadline_misses': int(np.maximum(np.rint(intervals_ms / period_ms) - 1, 0).sum()),
    }
