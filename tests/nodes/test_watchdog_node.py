# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The watchdog tells a sender that was lost from one that is not there; kills: tests/faults."""

import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from node_peers import diagnosed
from std_msgs.msg import Empty

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.claim import Claim, heartbeat_claim
from vw2_ros.nodes.watchdog import WatchdogNode


@pytest.fixture
def watched(bench):
    newest = diagnosed(bench, 'watchdog')
    bench.add(WatchdogNode)
    assert bench.until(lambda: newest() == (0, 'no action node is active'))
    sender = bench.peer.create_publisher(Empty, names.HEARTBEAT, qos.heartbeat())
    assert bench.until(lambda: 'is alive' in newest()[1], 5, each=sender.assert_liveliness)
    return sender, newest


def test_silence_is_an_error_until_the_sender_is_back(bench, watched):
    sender, newest = watched
    assert bench.until(lambda: newest()[0] == 2, 2)
    assert '/peer was killed: no heartbeat for 7' in newest()[1]
    assert bench.until(lambda: newest()[0] == 0, each=sender.assert_liveliness)


def test_a_process_that_is_there_gets_longer(bench, watched):
    sender, newest = watched
    claim = Claim(heartbeat_claim(sender.topic_name))
    levels = []
    bench.until(lambda: levels.append(newest()[0]) or newest()[0] == 2, 2)
    assert 1 in levels and '/peer hangs: no heartbeat for 17' in newest()[1]
    claim.close()


def test_leaving_in_an_orderly_way_is_no_error(bench, watched):
    sender, newest = watched
    bench.peer.destroy_publisher(sender)
    assert bench.until(lambda: newest() == (0, 'no action node is active'))


def test_the_watchdog_has_no_torch():
    code = 'import sys, vw2_ros.nodes.watchdog; sys.exit("torch" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)
