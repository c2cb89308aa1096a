# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A gripper behind the action control_msgs/GripperCommand, where control_msgs is installed."""

import time

from rclpy.action import ActionClient

from vw2_ros.errors import InvalidValueError

PATIENCE_S = 5.0


class GripperAction:
    """Sends one goal for each change of what the gripper should do.

    Raises:
        InvalidValueError: control_msgs is not installed, or nobody offers the action.
    """

    def __init__(self, node, contract):
        topic, key = contract.gripper.topic, f'contract {contract.file.name}: gripper'
        try:
            from control_msgs.action import GripperCommand
        except ImportError as error:
            raise InvalidValueError(
                f'{key}.form: action needs the package control_msgs. Got none. Install '
                'ros-$ROS_DISTRO-control-msgs, or write another form.'
            ) from error
        self._node, self._type, self._key = node, GripperCommand, key
        self._client = ActionClient(node, GripperCommand, topic)
        end = time.monotonic() + PATIENCE_S
        while not self._client.server_is_ready():
            if time.monotonic() > end:
                self.close()
                raise InvalidValueError(
                    f'{key}.topic must be an action server of control_msgs/GripperCommand. Got none '
                    f'named {node.resolve_topic_name(topic)}. Start the gripper first.'
                )
            time.sleep(0.05)

    def send(self, value: float) -> None:
        """Ask for a position; an older goal is replaced."""
        if not self._client.server_is_ready():
            self._node.refuse('gripper', f'{self._key}.topic: its action server is gone')
            return
        goal = self._type.Goal()
        goal.command.position = float(value)
        self._client.send_goal_async(goal).add_done_callback(self._on_answer)

    def close(self) -> None:
        """Leave the action."""
        self._client.destroy()

    def _on_answer(self, future) -> None:
        if not future.result().accepted:
            self._node.refuse('gripper', f'{self._key}.topic: its action server refused the goal')
