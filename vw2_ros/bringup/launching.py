# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From `system`'s description of what runs to a launch description. Needs launch and launch_ros."""

import os
import sys
import time

from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    TimerAction,
)
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
        nodes = [
            _Respawned(p, given).node() for p in processes(**given, **_others(context, given))
        ]
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
    variables = [SetEnvironmentVariable(k, v) for k, v in system.environment().items()]
    return LaunchDescription([*declared, *variables, OpaqueFunction(function=bring_up)])


def _others(context, known) -> dict[str, str]:
    """Arguments of the command line that ros2 launch would pass over in silence.

    Where another launch file includes this one they are that file's.
    """
    own = os.path.basename(getattr(context.locals, 'current_launch_file_path', ''))
    if own not in map(os.path.basename, sys.argv):
        return {}
    pairs = (a.partition(':=') for a in context.argv)
    return {name: value for name, sign, value in pairs if sign and name not in known}


class _Respawned:
    """A node, and what becomes of it when its process ends."""

    def __init__(self, process: system.Process, given: dict[str, str]):
        self.process, self.given = process, given
        self.deaths = system.Deaths()

    def node(self) -> Node:
        """A new action that starts it."""
        process = self.process
        return Node(
            package='vw2_ros',
            executable=process.executable,
            name=process.name,
            namespace=self.given['namespace'],
            parameters=[process.params_file, process.parameters | {'exit_on_failure': True}],
            remappings=list(process.remappings),
            output='screen',
            ros_arguments=['--log-level', self.given['log_level']],
            on_exit=self._ended,
        )

    def _ended(self, event, context):
        if event.returncode == 0 or context.is_shutdown:
            return None
        reason = self.deaths.reason(
            self.process.name, event.returncode, self.given['respawn'] == 'true', time.monotonic()
        )
        if reason:
            raise system.BringUpError(reason)
        again = LogInfo(msg=f'{self.process.name} died; it is started again')
        return [again, TimerAction(period=RESPAWN_DELAY_S, actions=[self.node()])]
