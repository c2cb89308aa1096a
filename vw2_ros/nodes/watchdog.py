# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Says within 100 ms that the action node was killed; in a process of its own, without torch.

    ros2 run vw2_ros watchdog_node

The executor that sends the action node's commands also asserts, every 20 ms, the liveliness of its
topic `heartbeat` (DDS liveliness, manual by topic). The middleware tells this node when 70 ms pass
without it, or when the publisher leaves in an orderly way: a node that was deactivated or shut down
is no alarm, nor is one that has nothing to do. A process of this machine that is silent but there
gets 100 ms more before it counts as hanging.
"""

from dataclasses import dataclass

from std_msgs.msg import Empty

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.claim import Claim, heartbeat_claim
from vw2_ros.nodes.health import ERROR, OK, WARN
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig
from vw2_ros.nodes.process import run

HANG_S = 0.1  # beyond HEARTBEAT_LEASE_S
LOOK_S = 0.005  # how often a silent process is looked for


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the watchdog node."""


class WatchdogNode(NodeBase):
    """Watches the heartbeat of the action node of its namespace."""

    Config = Config

    def __init__(self, **options):
        super().__init__('watchdog', **options)
        self.alive = 0  # action nodes with a heartbeat
        self.silent_s: float | None = None  # since when there is none any more, though none left
        self.lost = ''  # what became of it

    @transition
    def on_configure(self):
        self.config = self.read_config()

    @transition
    def on_activate(self):
        self._back(0)
        self.subscribe(
            Empty, names.HEARTBEAT, lambda _: None, qos.heartbeat(), liveliness=self._on_liveliness
        )

    def halt(self):
        """End what silence began."""
        self.undo('silence')

    def _on_liveliness(self, event) -> None:
        if event.alive_count or (self.silent_s is None and event.not_alive_count_change <= 0):
            self._back(event.alive_count)
        elif self.silent_s is None:
            self.alive, self.silent_s, self.stage = 0, self.now_s(), 'silence'
            self.every(LOOK_S, self._judge)
            self._judge()
        self.diagnose()

    def _back(self, alive: int) -> None:
        self.alive, self.silent_s, self.lost = alive, None, ''
        self.undo('silence')

    def _judge(self) -> None:
        """Decide whether what is silent was killed, hangs, or is only late."""
        claim = Claim(heartbeat_claim(self.resolve_topic_name(names.HEARTBEAT)))
        killed, silent_s = claim.held, self.now_s() - self.silent_s
        claim.close()
        if not killed and silent_s < HANG_S:
            return
        self.undo('silence')
        self.health.count('losses')
        after_ms = 1e3 * (qos.HEARTBEAT_LEASE_S + silent_s)
        what = 'was killed' if killed else 'hangs'
        self.lost = f'{self._sender()} {what}: no heartbeat for {after_ms:.0f} ms'
        self.diagnose()

    def _sender(self) -> str:
        """Full name of the node that sent the heartbeat; the graph knows a dead one for a while."""
        topic = self.resolve_topic_name(names.HEARTBEAT)
        senders = self.get_publishers_info_by_topic(topic)
        full = {f'{s.node_namespace.rstrip("/")}/{s.node_name}' for s in senders}
        return ', '.join(sorted(full)) or 'the action node'

    def assess(self, now_s):
        """Say whether an action node is there; ERROR once it is lost."""
        if self.lost:
            return ERROR, self.lost
        if self.silent_s is not None:
            return (
                WARN,
                f'no heartbeat of {self._sender()} for {qos.HEARTBEAT_LEASE_S * 1e3:.0f} ms',
            )
        return OK, 'the action node is alive' if self.alive else 'no action node is active'


def main(args=None):
    """Run the watchdog node."""
    run(WatchdogNode, args)


if __name__ == '__main__':
    main()
