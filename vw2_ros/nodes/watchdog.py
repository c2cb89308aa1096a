# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Says within 100 ms that the action node was killed; in a process of its own, without torch.

    ros2 run vw2_ros watchdog_node

The executor that sends the action node's commands also asserts, every 20 ms, the liveliness of its
topic `heartbeat` (DDS liveliness, manual by topic). The middleware tells this node when 50 ms pass
without it, or when the publisher leaves in an orderly way: a node that was deactivated or shut down
is no alarm, nor is one that has nothing to do. After 85 ms, silence is an ERROR. What became of the
sender is told by a name that only its process can hold: where that is free, the process is gone; where
it is still held after 170 ms, it hangs.

Where the robot wants commands (`nodes/hold.py`), this node then sends those that bring the arm to
rest, until the action node is back, another node commands, or the arm is not where it was told to
be. Only as long has it a publisher on the command topic.
"""

from dataclasses import dataclass

from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, Float64MultiArray

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.claim import Claim, heartbeat_claim
from vw2_ros.nodes.description import load_contract
from vw2_ros.nodes.events import EventLog
from vw2_ros.nodes.health import ERROR, OK
from vw2_ros.nodes.hold import Hold, wants_commands
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig, parameter
from vw2_ros.nodes.process import run

ERROR_S = 0.085  # of silence
HANG_S = 0.17
LOOK_S = 0.005  # how often a silent process is looked for
OTHERS_S = 0.05  # how often, while holding, another node that commands is looked for
DISCOVERY_S = 0.5  # until joint_states must have been heard
FORMS = {'positions': Float64MultiArray, 'joint_state': JointState, 'twist': TwistStamped}


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the watchdog node."""

    contract: str = parameter('panda', "the robot's contract: a file, or a name of config/arms/")


class WatchdogNode(NodeBase):
    """Watches the heartbeat of the action node of its namespace."""

    Config = Config

    def __init__(self, **options):
        super().__init__('watchdog', **options)
        self.alive = 0  # action nodes with a heartbeat
        self.silent_s: float | None = None  # since when there is none any more, though none left
        self.lost = ''  # what became of it
        self.hold: Hold | None = None  # None: the robot's controller holds by itself
        self.log: EventLog | None = None  # None: there is no robot
        self.holding = ''  # what is done about it

    @transition
    def on_configure(self):
        self.config = self.read_config()
        contract = load_contract(self, self.config.contract)
        self.hold = Hold(contract) if wants_commands(contract) else None
        self.log = None
        if contract.disarmed_at_start:
            self.log = EventLog(self.get_fully_qualified_name(), limits=contract.sha256)
            self.remember(self.log, EventLog.close)

    @transition
    def on_activate(self):
        self._back(0)
        self.subscribe(
            Empty, names.HEARTBEAT, lambda _: None, qos.heartbeat(), liveliness=self._on_liveliness
        )
        if self.hold is not None:
            command = self.hold.contract.command
            self.subscribe(
                FORMS[command.form],
                command.topic,
                lambda message: self.hold.hear(message, self.now_s()),
                qos.reliable(2),
            )

    def halt(self):
        """End what silence began."""
        self.undo('silence')
        self.undo('hold')

    def _on_liveliness(self, event) -> None:
        if event.alive_count or (self.silent_s is None and event.not_alive_count_change <= 0):
            self._back(event.alive_count)
        elif self.silent_s is None:
            self.alive, self.stage = 0, 'silence'
            self.silent_s = self.now_s() - qos.HEARTBEAT_LEASE_S
            self.health.count('late heartbeats')
            self.every(LOOK_S, self._judge)
            self._judge()
        self.diagnose()

    def _back(self, alive: int) -> None:
        self.alive, self.silent_s, self.lost, self.holding = alive, None, '', ''
        self.halt()

    def _judge(self) -> None:
        """Decide whether what is silent was killed, hangs, or is only late."""
        claim = Claim(heartbeat_claim(self.resolve_topic_name(names.HEARTBEAT)))
        killed, silent_s = claim.held, self.now_s() - self.silent_s
        claim.close()
        if killed or silent_s >= HANG_S:
            what = 'was killed' if killed else 'hangs'
        elif silent_s >= ERROR_S:
            what = 'was killed or hangs'
        else:
            return
        first = not self.lost
        self.lost = f'{self._sender()} {what}: no heartbeat for {1e3 * silent_s:.0f} ms'
        if first:
            self.health.count('losses')
            self.diagnose()  # before all else
        if not killed and silent_s < HANG_S:
            return
        self.undo('silence')
        self._note('lost', self.lost)
        if self.hold is not None and self.hold.begin(self.now_s()):
            self._begin_hold()

    # -- holding the arm

    def _begin_hold(self) -> None:
        contract, self.stage = self.hold.contract, 'hold'
        topic = contract.command.topic
        self.known = self._commanders()  # the lost one stays in the graph for a while
        self.commands = self.advertise(FORMS[contract.command.form], topic, qos.reliable(1))
        self.measured, self.measured_s = {}, self.now_s() + DISCOVERY_S
        for source in contract.joint_states:
            self.subscribe(JointState, source, self._on_joints, qos.newest(10))
        self.holding = 'this node holds the arm'
        self._note('hold', self.holding)
        self.every(contract.limits.period_s, self._hold)
        self.every(OTHERS_S, self._look_for_others)
        self._hold()

    def _hold(self) -> None:
        age_s = self.now_s() - self.measured_s
        if self.hold.position is not None and age_s > self.hold.contract.limits.max_age_s:
            return self._end_hold(f'no {names.JOINT_STATES} come')
        self.commands.publish(self.hold.next(self.get_clock().now().to_msg()))

    def _end_hold(self, why: str) -> None:
        self.undo('hold')
        self.holding = f'nobody holds the arm: {why}'
        self._note('release', self.holding)

    def _commanders(self) -> set[bytes]:
        """Publishers on the command topic that are not this node's."""
        topic = self.resolve_topic_name(self.hold.contract.command.topic)
        own = (self.get_name(), self.get_namespace())
        return {
            bytes(p.endpoint_gid)
            for p in self.get_publishers_info_by_topic(topic)
            if (p.node_name, p.node_namespace) != own
        }

    def _look_for_others(self) -> None:
        if self._commanders() - self.known:
            self._end_hold('another node commands')

    def _on_joints(self, message) -> None:
        """Let go of an arm that is not where it is told to be: it was moved, or its driver was."""
        self.measured |= zip(message.name, message.position)
        self.measured_s = max(self.measured_s, self.now_s())
        limits, told = self.hold.contract.limits, self.hold.position
        if told is None or not set(limits.joints) <= set(self.measured):
            return
        for joint, at, far in zip(limits.joints, told, limits.following_rad):
            if not abs(self.measured[joint] - at) <= far:
                return self._end_hold(f'{joint} is not where it was told to be')

    def _note(self, event: str, reason: str) -> None:
        if self.log is not None:
            self.log.write(event, reason)

    def _sender(self) -> str:
        """Full name of the node that sent the heartbeat; the graph knows a dead one for a while."""
        topic = self.resolve_topic_name(names.HEARTBEAT)
        senders = self.get_publishers_info_by_topic(topic)
        full = {
            f'{s.node_namespace.rstrip("/")}/{s.node_name}'
            for s in senders
            if 'UNKNOWN' not in s.node_name  # one that was just found
        }
        return ', '.join(sorted(full)) or 'the action node'

    def assess(self, now_s):
        """Say whether an action node is there; ERROR once it is lost."""
        if self.lost:
            return ERROR, f'{self.lost}; {self.holding}' if self.holding else self.lost
        there = self.alive or self.silent_s is not None
        return OK, 'the action node is alive' if there else 'no action node is active'


def main(args=None):
    """Run the watchdog node."""
    run(WatchdogNode, args)


if __name__ == '__main__':
    main()
