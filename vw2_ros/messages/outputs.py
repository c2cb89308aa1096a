# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The forms in which a contract's commands can leave for a robot; pure.

| `command.form` | message                         | consumer                     |
| -------------- | ------------------------------- | ---------------------------- |
| `trajectory`   | JointTrajectory, one point      | joint_trajectory_controller  |
| `positions`    | Float64MultiArray [rad]         | forward_command_controller   |
| `joint_state`  | JointState                      | topic_based_ros2_control     |
| `twist`        | TwistStamped [m/s, rad/s]       | MoveIt Servo                 |

| `gripper.form`      | message                                                      |
| ------------------- | ------------------------------------------------------------ |
| `none`              | nothing                                                      |
| `joint`             | one more joint of the commands above (not of a twist)        |
| `width`, `fraction` | Float64MultiArray (1) by itself                              |
| `trajectory`        | JointTrajectory of the gripper's joint by itself             |
| `action`            | control_msgs/GripperCommand, see `vw2_ros.nodes.arm_link`    |

The twist is the tool's, in the base frame, from the joints of one command to those of the next, so
that all limits apply.
"""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vw2_ros.arms.contract import Contract
from vw2_ros.arms.geometry import mean_velocity
from vw2_ros.messages import convert

ARM_MESSAGES = {
    'trajectory': JointTrajectory,
    'positions': Float64MultiArray,
    'joint_state': JointState,
    'twist': TwistStamped,
}
GRIPPER_MESSAGES = {
    'width': Float64MultiArray,
    'fraction': Float64MultiArray,
    'trajectory': JointTrajectory,
}
GRIPPER_LENGTH_S = 0.5  # of the gripper's trajectory: it goes from open to closed in that time


@dataclass(frozen=True)
class Output:
    """How a contract's commands are written."""

    contract: Contract

    @property
    def arm_message(self) -> type:
        """Type of the arm's commands."""
        return ARM_MESSAGES[self.contract.command.form]

    @property
    def gripper_message(self) -> type | None:
        """Type of the gripper's own commands, None if it has none."""
        return GRIPPER_MESSAGES.get(self.contract.gripper.form)

    def arm(self, command, stamp_ns: int):
        """A `control.loop.Command` -> message; its joints must not be None.

        Args:
            stamp_ns: now; where the contract's stamp is zero, a trajectory bears none.
        """
        c, gripper = self.contract.command, self.contract.gripper
        if c.form == 'twist':
            return self._twist(command, stamp_ns)
        joints, position = self.contract.joints, command.joints  # (n,)
        if gripper.form == 'joint':
            joints = (*joints, gripper.joint)
            position = np.append(position, gripper.value(command.gripper))  # (n + 1,)
        if c.form == 'positions':
            return convert.floats_to_message(position)
        if c.form == 'joint_state':
            return convert.joints_to_message(
                joints, position, stamp_ns=stamp_ns, frame_id=c.frame_id
            )
        return convert.trajectory_to_message(
            joints,
            position,
            stamp_ns=stamp_ns if c.stamp == 'now' else 0,
            after_s=c.length_s,
            frame_id=c.frame_id,
        )

    def gripper(self, command):
        """The gripper's own command, of the type `gripper_message`."""
        gripper = self.contract.gripper
        value = gripper.value(command.gripper)
        if gripper.form == 'trajectory':
            return convert.trajectory_to_message(
                [gripper.joint], [value], after_s=GRIPPER_LENGTH_S
            )
        return convert.floats_to_message([value])

    def _twist(self, command, stamp_ns: int) -> TwistStamped:
        arm = self.contract.arm
        before = arm.forward(command.joints - command.step)
        after = arm.forward(command.joints)
        twist = mean_velocity(before, after, command.elapsed_s).tolist()
        msg = TwistStamped()
        msg.header.stamp = convert.ns_to_stamp(stamp_ns)
        msg.header.frame_id = self.contract.command.frame_id
        for axis, v, w in zip('xyz', twist[:3], twist[3:]):
            setattr(msg.twist.linear, axis, v)
            setattr(msg.twist.angular, axis, w)
        return msg
