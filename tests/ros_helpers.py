# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Nodes in the test's own process, one executor, spun until a condition holds."""

import gc
import time

import rclpy
import torch
from policy_files import tiny_head, tiny_planner, tiny_policy, tiny_words
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter


def tiny_weights(folder, image_size=32, dldm=True, seed=0, **options):
    """Write an untrained policy whose actions are small; return its path as text.

    options: of `save_checkpoint`.
    """
    torch.manual_seed(seed)
    words, head = tiny_words(), tiny_head()
    head.set_normalization(torch.zeros(6), torch.full((6,), 0.3))
    planner = tiny_planner(words, image_size)
    parts = dict(words=words, planner=planner, head=head, dldm=None if dldm else False)
    tiny_policy(folder, **parts, **options)
    return str(folder)


class Bench:
    """A context, an executor, the nodes under test and one node that plays everybody else."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.peer = rclpy.create_node('peer', context=self.context)
        self.executor.add_node(self.peer)
        self.nodes = []

    def add(self, node_class, *, wait=True, **parameters):
        """Make a node with parameters ('__' for '.'), start it and wait until it is active."""
        node = node_class(
            context=self.context,
            parameter_overrides=[
                Parameter(k.replace('__', '.'), value=v) for k, v in parameters.items()
            ],
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        if wait:
            assert self.until(lambda: state(node) == 'active' or node.failure, 60)
            assert not node.failure, node.failure
        return node

    def remove(self, node):
        """Close one node."""
        self.executor.remove_node(node)
        self.nodes.remove(node)
        node.close()
        node.destroy_node()

    def hear(self, message_type, topic, qos):
        """Subscribe; return the list that grows with what comes."""
        heard = []
        self.peer.create_subscription(message_type, topic, heard.append, qos)
        return heard

    def until(self, condition, timeout_s=40.0, each=None):
        """Spin until the condition holds; `each` is called every 10 ms meanwhile."""
        end, called = time.monotonic() + timeout_s, 0.0
        while not condition():
            now = time.monotonic()
            if now > end:
                return False
            if each is not None and now - called > 0.01:
                called = now
                each()
            self.executor.spin_once(timeout_sec=0.01)
        return True

    def spin(self, seconds, each=None):
        """Spin for so long."""
        self.until(lambda: False, seconds, each)

    def call(self, service_type, name, request=None):
        """Call a service of a node under test."""
        client = self.peer.create_client(service_type, name)
        assert self.until(client.service_is_ready), f'no service {name}'
        future = client.call_async(request or service_type.Request())
        assert self.until(future.done), f'{name} did not answer'
        self.peer.destroy_client(client)
        return future.result()

    def close(self):
        """Close all nodes and the context."""
        while self.nodes:
            self.remove(self.nodes[-1])
        self.executor.shutdown()
        self.executor = None  # it remembers the last node that it served
        self.peer.destroy_node()
        rclpy.try_shutdown(context=self.context)
        # Nodes lie in cycles, which their start has hidden from the collector; until they are
        # cleared they keep their DDS participants, of which a domain finds 32 only.
        gc.unfreeze()
        gc.collect()


def state(node):
    """Life cycle state of a node."""
    return node._state_machine.current_state[1]
