# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From `system`'s description of what runs to a launch description. Needs launch and launch_ros."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from launch import LaunchDescription
from vw2_ros.bringup import system


def description(processes, arguments) -> LaunchDescription:
    """Build the launch description of one entry of `system`.

    Args:
        processes: `system.calvin` or `system.robot`.
        arguments: the launch arguments that it takes.
    """

    def bring_up(context):
        given = {a.name: context.launch_configurations[a.name] for a in arguments}
        return [_node(p, given['namespace'], given['log_level']) for p in processes(**given)]

    declared = [
        DeclareLaunchArgument(
            a.name,
            default_value=a.default,
            description=a.description,
            choices=list(a.choices) or None,
        )
        for a in arguments
    ]
    variables = [SetEnvironmentVariable(k, v) for k, v in system.environment().items()]
    return LaunchDescription([*declared, *variables, OpaqueFunction(function=bring_up)])


def _node(process: system.Process, namespace: str, log_level: str) -> Node:
    return Node(
        package='vw2_ros',
        executable=process.executable,
        name=process.name,
        namespace=namespace,
        parameters=[process.params_file, process.parameters],
        remappings=list(process.remappings),
        output='screen',
        ros_arguments=['--log-level', log_level],
    )
