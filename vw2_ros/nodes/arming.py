# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Whether an arm may move, who says so, and what is written down about it.

A robot begins disarmed: its link is closed, and nothing of this node is on its command topic. `rearm`
alone opens the link and lets the arm move. `stop` and the stop button hold it, `release` lets go of it,
and a second node that commands it silences this one; all three last until `rearm`. A deadman and
weights that are being loaded keep it from moving for as long as they do.
"""

from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.control.safety import DISARMED
from vw2_ros.errors import InvalidValueError
from vw2_ros.nodes.arm_link import ArmLink
from vw2_ros.nodes.events import EventLog
from vw2_ros.nodes.health import ERROR, WARN, verdict
from vw2_ros.nodes.operator import Operator


class Arming:
    """The action node's hand on the brake.

    Args:
        node: the action node, while it is being configured. It has `loop`, `clock`, `contract`,
            `config` and `model`.
    """

    def __init__(self, node):
        self._node = node
        self.link: ArmLink | None = None  # while the node is active
        self.operator: Operator | None = None
        self.log: EventLog | None = None
        self._holds: dict[str, str] = {}  # who -> why no plan is followed
        self._noted = ''  # reason of the last stop that is in the log
        node.serve(Trigger, names.STOP, self.stop)
        node.serve(Trigger, names.REARM, self.rearm)
        node.serve(Trigger, names.RELEASE, self.release)

    def begin(self, on_joints) -> None:
        """Connect to the arm; `on_joints` gets what it measures. A robot stays disarmed."""
        node, contract, config = self._node, self._node.contract, self._node.config
        self._holds.clear()
        if contract.disarmed_at_start:
            self.log = EventLog(
                node.get_fully_qualified_name(), limits=contract.sha256, weights=node.model.sha256
            )
        self.operator = Operator(node, config.deadman, config.deadman_button, self._stop)
        self.link = ArmLink(node, contract, config.lockstep, on_joints, self._on_other)
        self.note('start', contract.name)
        if contract.disarmed_at_start:
            rearm = node.resolve_service_name(names.REARM)
            node.get_logger().warning(f'disarmed: nothing moves before {rearm} is called')
            return
        try:
            self.link.open()
        except InvalidValueError as error:
            self._on_other(str(error))

    def end(self) -> None:
        """Let go of the arm for good."""
        if self.link is not None:
            self.link.close()
        if self.log is not None:
            self.note('end')
            self.log.close()
        self.link = self.log = self.operator = None

    # -- services

    def stop(self) -> str:
        """Stop from the next tick on, until re-armed."""
        self._stop('asked for')
        return 'stopped; call rearm to go on'

    def rearm(self) -> str:
        """Let the arm move: undo a stop, a release or the beginning.

        Raises:
            InvalidValueError: it may not; the message says why.
        """
        node, link = self._node, self._active_link()
        if self.operator.pressed:
            raise InvalidValueError(
                f'the stop button on {node.resolve_topic_name(names.STOP)} must be up. Got it down. '
                'Let it up first.'
            )
        was_open = link.is_open
        link.open()
        self._see_finger()
        reason = node.loop.rearm(node.clock.now_s(node.now_s()))
        if reason:
            if not was_open:
                link.release()
            raise InvalidValueError(reason)
        if node.loop.takeover.active:
            return f'armed; an operator has the arm, until {names.HAND_BACK}'
        return 'armed; the arm holds until the next plan'

    def release(self) -> str:
        """Let go of the arm: nothing is published until re-armed, and others may command it."""
        link = self._active_link()
        self._node.loop.stop(DISARMED)
        link.release()
        self.note('release', 'asked for')
        return f'released {link.topic}; call rearm to take it again'

    # -- what the node tells and asks

    def restarted(self) -> None:
        """The loop begins anew: a robot is disarmed by that."""
        if self._node.contract.disarmed_at_start and self.link is not None:
            self.link.release()

    def hold(self, why: str, who: str = 'weights') -> None:
        """Drop the plan and follow none until the reason is '' for every `who`."""
        if why != self._holds.get(who, ''):
            self._node.loop.drop_plan()
        self._holds[who] = why

    @property
    def held(self) -> str:
        """Why no plan is followed, '' if one would be."""
        return next(filter(None, self._holds.values()), '')

    def look(self, now_s: float) -> None:
        """Look at the deadman."""
        self.hold(self.operator.released(now_s), 'deadman')

    def send(self, command, stamp_ns: int) -> bool:
        """Send a `control.loop.Command` where it may go; write down what led to it."""
        events = self._node.loop.events
        while events:
            event = events.popleft()
            if event.reason != f'stopped: {self._noted}':  # noted when it was asked for
                self.note(event.kind, event.reason)
        return self.link.send(command, stamp_ns)

    def note(self, event: str, reason: str = '', **facts: str) -> None:
        """Write to the log of events, where the robot is real; `facts` hold from now on."""
        if self.log is not None:
            self.log.facts |= facts
            self.log.write(event, reason)

    def assess(self, now_s: float) -> tuple[int, str]:
        """Judge the loop's last command by what may be: (level, message) for /diagnostics."""
        node, loop = self._node, self._node.loop
        if self.log is not None:
            node.health.set('events lost', self.log.lost)
            if self.log.problem:
                node.health.complain(f'log of events: {self.log.problem}', now_s)
        level, text = verdict(loop.command, node.config.lockstep)
        if level == ERROR and self.held and loop.command.status == 'holding':
            level, text = WARN, f'holding: {self.held}'
        if loop.takeover.leader(now_s) == names.NOBODY and loop.command.status == 'holding':
            back = node.resolve_service_name(names.HAND_BACK)
            level, text = WARN, f'holding: an operator let go; {back} lets the policy go on'
        if loop.stop_reason == DISARMED:
            level, text = WARN, 'disarmed'
        if loop.stop_reason:
            text += f'; call {node.resolve_service_name(names.REARM)} when it may move again'
        others = self.link.reader.others
        if others and loop.state is None:
            text += f'; {names.JOINT_STATES} has {list(others)!r:.100}, none of the arm'
        return level, text

    # -- what happens

    def _stop(self, why: str) -> None:
        self._node.loop.stop(why)
        self._noted = why
        self.note('stop', why)

    def _on_other(self, who: str) -> None:
        self._node.loop.stop(who)
        self._noted = who
        self.note('master', who)
        self._node.get_logger().error(f'{who}: this node is silent until it is re-armed')

    def _see_finger(self) -> None:
        # a gripper that holds something stays closed
        gripper, at = self._node.contract.gripper, self.link.reader.finger_position
        if at is not None and gripper.joint and self._node.contract.disarmed_at_start:
            self._node.loop.gripper = 1.0 if gripper.opening(at) > 0.5 else -1.0

    def _active_link(self) -> ArmLink:
        if self.link is None:
            raise InvalidValueError(
                'the node must be active. Got another state. Activate it: ros2 lifecycle set'
            )
        return self.link
