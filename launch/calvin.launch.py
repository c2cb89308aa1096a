# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table driven by an instruction.

ros2 launch vw2_ros calvin.launch.py instruction:='open the drawer'
"""

from vw2_ros.bringup import launching, system


def generate_launch_description():
    """Return the description of `vw2_ros.bringup.system.calvin`."""
    return launching.description(system.calvin, system.CALVIN_ARGUMENTS)
