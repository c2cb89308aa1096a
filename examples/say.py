# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Say an instruction to running nodes, and print what they report and how far the arm moves.

ros2 launch vw2_ros calvin.launch.py          # in another terminal; or robot.launch.py
python examples/say.py 'pull the handle of the drawer'
"""

import argparse

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from vw2_ros import names
from vw2_ros.client import Client, ClientError
from vw2_ros.messages import qos

parser = argparse.ArgumentParser(description='Say an instruction to running nodes.')
parser.add_argument('instruction')
parser.add_argument('--seconds', type=float, default=10.0, help='how long the arm may move')
parser.add_argument('--namespace', default='', help='namespace of the nodes')
args = parser.parse_args()

reported, positions = {}, []  # newest report of each node; joints [rad]


def on_diagnostics(msg) -> None:
    """Print what a node says of itself, when it changes."""
    for status in msg.status:
        if reported.get(status.name) != status.message:
            reported[status.name] = status.message
            print(f'{status.name}: {status.message}', flush=True)


try:
    with Client(args.namespace) as client:
        client.wait_active(['planner', 'action'], timeout_s=60)
        print(f'The nodes are ready. Saying: {args.instruction}', flush=True)
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, on_diagnostics, qos.reliable())
        client.subscribe(
            JointState, names.JOINT_STATES, lambda m: positions.append(m.position), qos.newest()
        )
        client.say(args.instruction)
        client.spin(args.seconds)
        client.say('')  # without an instruction the arm holds
        client.spin(0.5)
except ClientError as error:
    raise SystemExit(f'say.py: {error}') from None

moved = [max(p) - min(p) for p in zip(*positions)]
print('Each joint moved by [rad]:', *(f'{m:.2f}' for m in moved))
