# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An operator's motions reach the control loop, and everybody hears who leads.

| topic            | type                       | meaning                                          |
| ---------------- | -------------------------- | ------------------------------------------------ |
| `teleop/twist`   | geometry_msgs/TwistStamped | how the tool shall move, at 10 Hz or more        |
| `teleop/gripper` | std_msgs/Bool              | true: close; it counts while he has the arm      |
| `leader`         | std_msgs/String, latched   | who moves the arm, see `control/takeover.py`     |

The first message of an operator takes the arm from the policy, and the service `hand_back` gives it
back. A twist is along the axes of the contract's `action_frame`; its header names that frame, or none.
Two publishers are none: the arm holds.
"""

import numpy as np
from geometry_msgs.msg import TwistStamped
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.control.safety import age_of_stamp
from vw2_ros.control.takeover import Motion
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos


class Teleop:
    """Hands an operator's messages to the control loop.

    Args:
        node: the action node, while it is being activated. It has `loop`, `arming` and `contract`.
    """

    def __init__(self, node):
        self._node, contract = node, node.contract
        base = contract.action_frame == 'base'
        self._frame = contract.base_frame if base else contract.tool_frame
        self._gripper = 0.0
        self._told = ''
        node.subscribe(TwistStamped, names.TELEOP_TWIST, self._on_twist, qos.newest())
        node.subscribe(Bool, names.TELEOP_GRIPPER, self._on_gripper, qos.newest())
        self._leader = node.advertise(String, names.LEADER, qos.latched())
        node.serve(Trigger, names.HAND_BACK, self.hand_back)

    def hand_back(self) -> str:
        """Let the policy go on.

        Raises:
            InvalidValueError: an operator still moves the arm, or none ever did.
        """
        reason = self._node.loop.hand_back(self._node.now_s())
        if reason:
            raise InvalidValueError(reason)
        return 'the policy goes on with its next plan'

    def tell(self, now_s: float) -> None:
        """Say who leads, where that has changed."""
        leader = self._node.loop.takeover.leader(now_s)
        if leader != self._told:
            self._told = leader
            self._leader.publish(String(data=leader))

    def _on_gripper(self, msg) -> None:
        self._refuse_others(names.TELEOP_GRIPPER)
        if self._node.loop.takeover.active:
            self._gripper = -1.0 if msg.data else 1.0

    def _on_twist(self, msg) -> None:
        node = self._node
        if not node.loop.takeover.active:
            self._gripper = 0.0  # as it is, until he says so
        try:
            motion = self._motion(msg)
        except InvalidValueError:
            node.loop.take_over(None, node.now_s())
            raise
        held = node.arming.held
        refused = node.loop.take_over(None if held else motion, node.now_s())
        if refused:
            raise InvalidValueError(held or refused)

    def _motion(self, msg) -> Motion:
        node = self._node
        self._refuse_others(names.TELEOP_TWIST)
        if msg.header.frame_id not in ('', self._frame):
            raise InvalidValueError(
                f"frame_id must be {self._frame}, the contract's action_frame, or ''. "
                f'Got {msg.header.frame_id!r:.80}.'
            )
        stamp_ns, now_s = convert.stamp_to_ns(msg.header.stamp), node.now_s()
        age_s = age_of_stamp(stamp_ns, node.now_ns(), node.limits)
        parts = msg.twist.linear, msg.twist.angular
        twist = np.array([getattr(part, axis) for part in parts for axis in 'xyz'])
        return Motion(stamp_ns, now_s - age_s, twist, self._gripper)

    def _refuse_others(self, topic: str) -> None:
        # nobody knows whose motion it is
        found = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        if len(found) > 1:
            who = sorted(f'{i.node_namespace.rstrip("/")}/{i.node_name}' for i in found)
            raise InvalidValueError(
                f'one operator may publish on {topic}. Got {", ".join(who)}. End all but one. A node '
                'that crashed is forgotten after 20 s.'
            )
