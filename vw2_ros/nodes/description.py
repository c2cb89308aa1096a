# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A node's contract, with the robot's description where the contract asks for it."""

import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

from vw2_ros.arms.contract import ROBOT_DESCRIPTION, Contract, needs_description
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import qos

PATIENCE_S = 10.0


def load_contract(node, source: str) -> Contract:
    """Load a contract; the text on `robot_description` is waited for where it is its URDF.

    Args:
        node: in whose namespace that topic is looked for.
        source: a file, or the name of one of config/arms/.
    Raises:
        ContractError: a key is missing, unknown or makes no sense.
        InvalidValueError: nobody publishes the description.
    """
    if not needs_description(source):
        return Contract.load(source)
    return Contract.load(source, urdf=_description(node, source))


def _description(node, source: str) -> str:
    heard: list[str] = []
    # a node of its own: the executor of the one that asks is busy with asking
    asker = rclpy.create_node(
        f'{node.get_name()}_description',
        namespace=node.get_namespace(),
        context=node.context,
        start_parameter_services=False,
    )
    executor = SingleThreadedExecutor(context=node.context)
    try:
        topic = node.resolve_topic_name(ROBOT_DESCRIPTION)
        asker.create_subscription(String, topic, lambda m: heard.append(m.data), qos.latched())
        executor.add_node(asker)
        end = time.monotonic() + PATIENCE_S
        while not heard:
            if time.monotonic() > end:
                raise InvalidValueError(
                    f'contract {source}: urdf must come on {topic}. Got nothing within '
                    f'{PATIENCE_S:.0f} s. Start robot_state_publisher, or name a URDF file.'
                )
            executor.spin_once(timeout_sec=0.1)
        return heard[0]
    finally:
        executor.shutdown()
        asker.destroy_node()
