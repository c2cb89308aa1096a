# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The action node's connection to one arm: its joints in, its commands out, and nobody beside us.

The connection is *open* while this node has a publisher on the command topic. It is closed before
`rearm` and after `release`; then nothing of this node is on that topic. It does not open while
another node publishes there. When one comes later, it closes at once and says who came: two
masters would pull at one arm. The middleware tells of a new publisher by the matched event of a
subscription that this node has on its own command topic; where there is none (ROS 2 Humble), and for
publishers of another type, the list of publishers is looked through five times a second.

A node that was killed stays on that list until the middleware forgets it, 20 s by default. A dead
predecessor of the same name on this machine does not count: a name that only one process can hold
tells that it is dead.
"""

import inspect
import os

from sensor_msgs.msg import JointState

from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import qos
from vw2_ros.messages.joints import JointReader
from vw2_ros.messages.outputs import Output
from vw2_ros.nodes.base import SubscriptionEventCallbacks
from vw2_ros.nodes.claim import Claim
from vw2_ros.nodes.gripper_action import GripperAction

LOOK_PERIOD_S = 0.2
GRIPPER_PERIOD_S = 1 / 30  # between two commands of the gripper's own
MATCHED = 'matched' in inspect.signature(SubscriptionEventCallbacks.__init__).parameters


class ArmLink:
    """One arm, as its contract says.

    Args:
        node: the action node; what is made here is destroyed by `close` or with the node's
            present transition.
        lockstep: joints are taken reliably, one by one.
        on_joints: called with `messages.convert.Joints`.
        on_other: called with who else commands the arm, once the link is closed for it.
    Raises:
        InvalidValueError: the gripper's action is not installed or not there.
    """

    def __init__(self, node, contract, lockstep: bool, on_joints, on_other):
        self._node, self.contract = node, contract
        self._on_joints, self._on_other = on_joints, on_other
        self.output = Output(contract)
        self.reader = JointReader(contract.joints, contract.gripper.joint)
        self.topic = node.resolve_topic_name(contract.command.topic)
        self._commands = self._gripper = None
        self._dead = 0  # publishers of dead predecessors that the middleware still knows
        self._sent: tuple[float, float] = (-1e9, 0.0)  # gripper: when, what
        self._heard_s = -1e9  # when somebody commanded while the link was closed
        domain, name = os.environ.get('ROS_DOMAIN_ID', 0), node.get_fully_qualified_name()
        self._claim = Claim(f'{domain} {name} {self.topic}')
        self._action = None
        if contract.gripper.form == 'action':
            self._action = GripperAction(node, contract)
        for topic in contract.joint_states:
            profile = qos.reliable() if lockstep else qos.newest(10)
            node.subscribe(JointState, topic, self.on_state, profile)
        self._watch()
        node.every(LOOK_PERIOD_S, self._look)

    @property
    def is_open(self) -> bool:
        """Whether commands can leave."""
        return self._commands is not None

    def open(self) -> None:
        """Take the command topic; in a dry run, never.

        Raises:
            InvalidValueError: somebody else commands the arm; the message says who.
        """
        if self.is_open or self._node.config.dry_run:
            return
        others = self.others()
        if not others and self._node.now_s() - self._heard_s < 2 * LOOK_PERIOD_S:
            raise InvalidValueError(
                f'nobody else must command on {self.topic}. Got commands just now. Try again.'
            )
        if others:
            raise InvalidValueError(
                f'nobody else must publish on {self.topic}. Got {others}. End it, or let it release '
                'the topic. A node that crashed is forgotten after 20 s.'
            )
        node, c = self._node, self.contract
        self._dead = len(node.get_publishers_info_by_topic(self.topic))
        before, node.stage = node.stage, 'arm link'
        self._commands = node.advertise(self.output.arm_message, self.topic, qos.reliable(1))
        if self.output.gripper_message is not None:
            kind = self.output.gripper_message
            self._gripper = node.advertise(kind, c.gripper.topic, qos.reliable(1))
        node.stage = before

    def release(self) -> None:
        """Let go of the command topic: nothing leaves from now on."""
        self._commands = self._gripper = None
        self._node.undo('arm link')

    def close(self) -> None:
        """End the connection for good."""
        self.release()
        self._claim.close()
        if self._action is not None:
            self._action.close()
            self._action = None

    def send(self, command, stamp_ns: int) -> bool:
        """Send a `control.loop.Command` where there is one and the link is open."""
        if command.joints is None or not self.is_open:
            return False
        self.publish(self.output.arm(command, stamp_ns))
        if command.status == 'moving':  # else nobody knows what the gripper should do
            self._send_gripper(command)
        return True

    def publish(self, message) -> None:
        """Publish a command of the arm."""
        self._commands.publish(message)

    def others(self) -> str:
        """Who else publishes on the command topic, by name; '' if nobody does."""
        own, found, same = self._node.get_fully_qualified_name(), set(), 0
        for info in self._node.get_publishers_info_by_topic(self.topic):
            name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
            if name == own:
                same += 1
            else:
                found.add(name)
        if same > self.is_open and not self._claim.held:
            found.add(f'another node named {own}')
        return ', '.join(sorted(found))

    # -- input

    def on_state(self, msg) -> None:
        """Take a sensor_msgs/JointState."""
        joints = self.reader.take(msg)
        if joints is not None:
            self._on_joints(joints)

    # -- one master

    def _watch(self) -> None:
        node = self._node
        events = {'matched': self._on_matched} if MATCHED else {}
        self._listener = node.create_subscription(
            self.output.arm_message,
            self.topic,
            self._on_command,
            qos.newest(),
            raw=True,  # nobody reads what is in it
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False, **events),
        )
        node.remember(self._listener, node.destroy_subscription)
        if not MATCHED:
            node.get_logger().info(
                f'this ROS 2 has no matched events: who else publishes on {self.topic} is looked '
                f'for every {LOOK_PERIOD_S} s'
            )

    def _on_command(self, _) -> None:
        if not self.is_open:
            self._heard_s = self._node.now_s()

    def _on_matched(self, status) -> None:
        beside = status.current_count - 1  # beside our own publisher
        if not self.is_open:
            return
        self._dead = min(self._dead, max(0, beside))
        if beside > self._dead:
            self._leave(self.others() or 'a node whose name is not known yet')

    def _look(self) -> None:
        others = self.others() if self.is_open else ''
        if others:
            self._leave(others)

    def _leave(self, who: str) -> None:
        self.release()
        self._on_other(f'{who} also publishes on {self.topic}')

    # -- output

    def _send_gripper(self, command) -> None:
        now_s, value = self._node.now_s(), self.contract.gripper.value(command.gripper)
        sent_s, before = self._sent
        changed = value != before or sent_s < 0
        if self._action is not None:
            if changed:
                self._sent = now_s, value
                self._action.send(value)
        elif self._gripper is not None:
            # a trajectory that is sent again begins again
            again = self.contract.gripper.form != 'trajectory'
            if changed or (again and now_s - sent_s >= GRIPPER_PERIOD_S - 1e-3):
                self._sent = now_s, value
                self._gripper.publish(self.output.gripper(command))
