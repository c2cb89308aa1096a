# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The forms in which a command can leave for a robot; pure.

| output        | message                         | topic           | consumer                     |
| ------------- | ------------------------------- | --------------- | ---------------------------- |
| `trajectory`  | JointTrajectory, one point      | joint_commands  | joint_trajectory_controller  |
| `positions`   | Float64MultiArray [rad, m]      | commands        | forward_command_controller   |
| `joint_state` | JointState                      | joint_commands  | topic_based_ros2_control     |
| `twist`       | TwistStamped [m/s, rad/s]       | twist_commands  | MoveIt Servo                 |

The first three are the arm's joints and, unless it is '', the finger joint. The twist is the TCP's
(0.14 m from the hand along its z axis), in the base frame, from the joints of one command to those
of the next, so that all limits apply; it has no gripper. Where the finger joint is '', the gripper
goes out by itself: Float64MultiArray [m] on gripper_command.
"""

from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms import Arm, open_arm
from vw2_ros.arms.geometry import mean_velocity
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert

KINDS = {
    'trajectory': (JointTrajectory, names.JOINT_COMMANDS),
    'positions': (Float64MultiArray, names.POSITION_COMMANDS),
    'joint_state': (JointState, names.JOINT_COMMANDS),
    'twist': (TwistStamped, names.TWIST_COMMANDS),
}


@dataclass(frozen=True)
class Output:
    """Where one kind of command goes and how it is written."""

    kind: str
    joints: tuple[str, ...]  # of the arm
    finger_joint: str  # '': not in the commands
    finger_open_m: float
    frame_id: str
    period_s: float
    arm: Arm = field(default_factory=open_arm)  # gives the twist of a command

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InvalidValueError(
                f'output must be one of {", ".join(KINDS)}. Got {self.kind!r}.'
            )

    def message(self, command, stamp_ns: int):
        """A `control.loop.Command` -> message; its joints must not be None."""
        if self.kind == 'twist':
            return self._twist(command, stamp_ns)
        joints, position = self.joints, command.joints  # (7,)
        if self.finger_joint:
            joints = (*joints, self.finger_joint)
            position = np.append(position, self._finger_m(command))  # (8,)
        if self.kind == 'positions':
            return convert.floats_to_message(position)
        if self.kind == 'joint_state':
            return convert.joints_to_message(
                joints, position, stamp_ns=stamp_ns, frame_id=self.frame_id
            )
        return convert.trajectory_to_message(
            joints, position, stamp_ns=stamp_ns, after_s=self.period_s, frame_id=self.frame_id
        )

    def gripper(self, command) -> Float64MultiArray:
        """The finger's position [m] (1,), for a controller of its own."""
        return convert.floats_to_message([self._finger_m(command)])

    def _finger_m(self, command) -> float:
        return self.finger_open_m if command.gripper > 0 else 0.0

    def _twist(self, command, stamp_ns: int) -> TwistStamped:
        before = self.arm.forward(command.joints - command.step)
        after = self.arm.forward(command.joints)
        twist = mean_velocity(before, after, self.period_s).tolist()
        msg = TwistStamped()
        msg.header.stamp = convert.ns_to_stamp(stamp_ns)
        msg.header.frame_id = self.frame_id
        for axis, v, w in zip('xyz', twist[:3], twist[3:]):
            setattr(msg.twist.linear, axis, v)
            setattr(msg.twist.angular, axis, w)
        return msg
