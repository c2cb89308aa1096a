# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Says within 100 ms that the action node was killed or hangs; in a process of its own, no torch.

    ros2 run vw2_ros watchdog_node

The executor that sends the action node's commands also asserts, every 20 ms, the liveliness of its
topic `heartbeat` (DDS liveliness, manual by topic). The middleware tells this node when 70 ms pass
without, or when the publisher leaves in an orderly way: a node that was deactivated or shut down is
no alarm, nor is one that has nothing to do.
"""

from dataclasses import dataclass

from std_msgs.msg import Empty

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.health import ERROR, OK
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig
from vw2_ros.nodes.process import run


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the watchdog node."""


class WatchdogNode(NodeBase):
    """Watches the heartbeat of the action node of its namespace."""

    Config = Config

    def __init__(self, **options):
        super().__init__('watchdog', **options)
        self.alive, self.lost = 0, ''  # action nodes with a heartbeat; why there is none any more

    @transition
    def on_configure(self):
        self.config = self.read_config()

    @transition
    def on_activate(self):
        self.alive, self.lost = 0, ''
        self.subscribe(
            Empty, names.HEARTBEAT, lambda _: None, qos.heartbeat(), liveliness=self._on_liveliness
        )

    def _on_liveliness(self, event) -> None:
        self.alive = event.alive_count
        if self.alive:
            self.lost = ''
        elif event.not_alive_count_change > 0:
            self.health.count('losses')
            self.lost = f'{self._sender()} is killed or hangs: no heartbeat for '
            self.lost += f'{qos.HEARTBEAT_LEASE_S * 1e3:.0f} ms'
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
        return OK, 'the action node is alive' if self.alive else 'no action node is active'


def main(args=None):
    """Run the watchdog node."""
    run(WatchdogNode, args)


if __name__ == '__main__':
    main()
