# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Joints of one arm from any number of joint_states, by name; pure.

A driver may send arm and gripper in turn on one topic, or each on a topic of its own, with any other
joints among them, in any order. What has no joint of this arm is skipped without a word. Only
positions are read: a robot whose velocity or effort is NaN is as good as any.
"""

import numpy as np

from vw2_ros.messages.convert import ConvertError, Joints, joints_from_message


class JointReader:
    """Keeps the newest position of each wanted joint, and when it was measured.

    Args:
        names: the arm's joints, in the order that `take` returns.
        finger: a joint whose position is kept beside them in `finger_position`; '': none.
    """

    def __init__(self, names, finger: str = ''):
        self.names, self.finger = tuple(names), finger
        self.finger_position: float | None = None  # as sent, None before it came
        self.others: tuple[str, ...] = ()  # names in the last message without a joint of the arm
        self._known: dict[str, tuple[float, int]] = {}  # name -> position, stamp [ns]

    def take(self, msg) -> Joints | None:
        """Read a sensor_msgs/JointState.

        Returns:
            all joints, with the stamp of the oldest; None if the message has none of them.
        Raises:
            ConvertError: a wanted joint is named twice or its position is not finite, the lengths
                disagree, or some joints of the arm have never come.
        """
        sent = set(msg.name)
        if self.finger in sent:
            self.finger_position = float(joints_from_message(msg, (self.finger,)).position[0])
        wanted = [name for name in self.names if name in sent]
        if not wanted:
            self.others = tuple(map(str, msg.name))
            return None
        read = joints_from_message(msg, wanted)
        self._known |= {n: (p, read.stamp_ns) for n, p in zip(wanted, read.position)}
        missing = [name for name in self.names if name not in self._known]
        if missing:
            raise ConvertError(
                f'joints must hold {", ".join(self.names)}. Got all but {", ".join(missing)}.'
            )
        position, stamps_ns = zip(*(self._known[name] for name in self.names))
        return Joints(np.array(position), min(stamps_ns))
