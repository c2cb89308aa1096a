# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From `system`'s description of what runs to a launch description. Needs launch and launch_ros."""

import os
import sys
import time

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchDescription
from vw2_ros.bringup import system

RESPAWN_DELAY_S = 1.0


def description(processes, arguments, says=None) -> LaunchDescription:
    """Build the launch description of one entry of `system`.

    A node that is killed or crashes is started again, unless `respawn` is false. One that does not
    get ready ends the launch with status 1, and so does a wrong argument; the log says why.

    Args:
        processes: `system.calvin` or `system.robot`.
        arguments: the launch arguments that it takes.
        says: from their values to what the log says at the beginning.
    """

    def bring_up(context):
        given = {a.name: context.launch_configurations[a.name] for a in arguments}
        nodes = [_node(p, given) for p in processes(**given, **_others(context, given))]
        return ([LogInfo(msg=says(given))] if says else []) + nodes

    declared = [
        DeclareLaunchArgument(
            a.name,
            default_value=a.default,
            description=a.description,
            choices=list(a.choices) or None,
        )
        for a in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=bring_up)])


def _others(context, known) -> dict[str, str]:
    """Arguments of the command line that ros2 launch would pass over in silence.

    Where another launch file includes this one they are that file's.
    """
    own = os.path.basename(getattr(context.locals, 'current_launch_file_path', ''))
    if own not in map(os.path.basename, sys.argv):
        return {}
    pairs = (a.partition(':=') for a in context.argv)
    return {name: value for name, sign, value in pairs if sign and name not in known}


def _node(process: system.Process, given: dict[str, str]) -> Node:
    respawn, deaths = given['respawn'] == 'true', system.Deaths()

    def ended(event, context):
        if event.returncode and not context.is_shutdown:
            deaths.count(process.name, event.returncode, respawn, time.monotonic())

    return Node(
        package='vw2_ros',
        executable=process.executable,
        name=process.name,
        namespace=given['namespace'],
        parameters=[process.params_file, process.parameters | {'exit_on_failure': True}],
        remappings=list(process.remappings),
        output='screen',
        additional_env=system.dds_environment(process.dds_profile),
        ros_arguments=['--log-level', given['log_level']],
        respawn=respawn,
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=ended,
    )
