# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Row 13: where SROS2 is enforced, no node talks without keys.

The ROS 2 wheels have a Fast DDS without security, so that nodes with keys can be tried with the
packages of apt only. What is tried here is that a node never falls back to talking in the clear.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.messages import qos

KEYS = (
    'identity_ca.cert.pem',
    'cert.pem',
    'key.pem',
    'permissions_ca.cert.pem',
    'governance.p7s',
    'permissions.p7s',
)


def enforced(folder):
    return {
        **os.environ,
        'ROS_SECURITY_ENABLE': 'true',
        'ROS_SECURITY_STRATEGY': 'Enforce',
        'ROS_SECURITY_KEYSTORE': str(folder),
    }


@pytest.mark.parametrize(
    'node, keys', [('camera', ()), ('camera', KEYS), ('action', ()), ('watchdog', ())]
)
def test_without_keys_no_node_starts(bench, tmp_path, node, keys):
    if keys:
        (tmp_path / 'enclaves').mkdir()
    for name in keys:
        (tmp_path / 'enclaves' / name).write_text('not a key')
    heard = bench.hear(String, names.INSTRUCTION, qos.latched())
    process = subprocess.Popen(
        [sys.executable, '-m', f'vw2_ros.nodes.{node}', '--ros-args', '-r', '__node:=stranger'],
        env=enforced(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    (line,) = [x for x in said.splitlines() if 'does not start' in x]
    assert 'SECURITY' in line.upper() and 'Traceback' not in said
    bench.spin(0.2)
    # one that an earlier test killed is seen for seconds more, by its own name
    assert 'stranger' not in bench.peer.get_node_names() and not heard, 'it was on the network'
