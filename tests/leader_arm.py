# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A leader arm in a process of its own: a Panda whose tool a hand moves up and down.

    python tests/leader_arm.py leader/joint_states

It sends its joints and its fingers 100 times a second.
"""

import math
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import JointState

from vw2_ros.arms import open_arm
from vw2_ros.messages import convert, qos

HEIGHT_M, PERIOD_S = 0.1, 2.0  # from the lowest to the highest; of the motion
JOINTS = 'panda_finger_joint1', *open_arm().joints


def main() -> None:
    """Send until it is told to end."""
    rclpy.init()
    node, arm = rclpy.create_node('leader_arm'), open_arm()
    (at, turn), q, begun_s = arm.forward(arm.rest_rad), arm.rest_rad, time.monotonic()
    out = node.create_publisher(JointState, sys.argv[1], qos.reliable(10))

    def send():
        nonlocal q
        angle = 2 * math.pi * (time.monotonic() - begun_s) / PERIOD_S
        q = arm.inverse(at + [0, 0, HEIGHT_M / 2 * math.sin(angle)], turn, q, max_drift=0.0)
        now_ns = node.get_clock().now().nanoseconds
        out.publish(convert.joints_to_message(JOINTS, [0.04, *q], stamp_ns=now_ns))

    node.create_timer(0.01, send)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
