# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Camera, planner and action node for a robot with a driver of its own.

ros2 launch vw2_ros robot.launch.py camera:=/dev/video0 contract:=my_arm.yaml
"""

from vw2_ros.bringup import launching, system


def generate_launch_description():
    """Return the description of `vw2_ros.bringup.system.robot`."""
    return launching.description(system.robot, system.ROBOT_ARGUMENTS, system.disarmed)
