# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The forms in which a command can leave for a robot; pure.

| output        | message                         | topic           | consumer                     |
| ------------- | ------------------------------- | --------------- | ---------------------------- |
| `trajectory`  | JointTrajectory, one point      | joint_commands  | joint_trajectory_controller  |
| `positions`   | Float64MultiArray [rad, m]      | commands        | forward_command_controller   |
| `joint_state` | JointState                      | joint_commands  | topic_based_ros2_control     |
| `twist`       | TwistStamped [m/s, rad/s], base frame | twist_commands | MoveIt Servo            |
"""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from . import convert, topics
from .kinematics import REL_POSITION_SCALE, REL_ROTATION_SCALE

KINDS = {'trajectory': (JointTrajectory, topics.JOINT_COMMANDS),
         'positions': (Float64MultiArray, topics.POSITION_COMMANDS),
         'joint_state': (JointState, topics.JOINT_COMMANDS),
         'twist': (TwistStamped, topics.TWIST_COMMANDS)}


@dataclass(frozen=True)
class Output:
    """Where one kind of command goes and how it is written."""

    kind: str
    joints: tuple[str, ...]  # arm, then the finger joint
    finger_open_m: float
    frame_id: str
    period_s: float

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f'output must be one of {", ".join(KINDS)}. Got {self.kind!r}.')

    def message(self, command, stamp_ns: int):
        """A `control_loop.Command` -> message; its joints must not be None."""
        if self.kind == 'twist':
            return self._twist(command, stamp_ns)
        finger_m = self.finger_open_m if command.gripper > 0 else 0.0
        position = np.append(command.joints, finger_m)  # (8,)
        if self.kind == 'positions':
            return convert.floats_to_message(position)
        if self.kind == 'joint_state':
            return convert.joints_to_message(self.joints, position, stamp_ns=stamp_ns,
                                             frame_id=self.frame_id)
        return convert.trajectory_to_message(self.joints, position, stamp_ns=stamp_ns,
                                             after_s=self.period_s, frame_id=self.frame_id)

    def _twist(self, command, stamp_ns: int) -> TwistStamped:
        # a held arm has no action: velocity zero
        action = np.zeros(6) if command.action is None else np.asarray(command.action[:6], float)
        msg = TwistStamped()
        msg.header.stamp = convert.ns_to_stamp(stamp_ns)
        msg.header.frame_id = self.frame_id
        linear = action[:3] * REL_POSITION_SCALE / self.period_s
        angular = action[3:] * REL_ROTATION_SCALE / self.period_s
        for axis, v, w in zip('xyz', linear.tolist(), angular.tolist()):
            setattr(msg.twist.linear, axis, v)
            setattr(msg.twist.angular, axis, w)
        return msg

