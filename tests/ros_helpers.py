# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Nodes in the test's own process, one executor, spun until a condition holds."""

import gc
import time

import rclpy
import torch
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from vw2_ros.models import checkpoint
from vw2_ros.models.action_head import ActionHead, ActionHeadConfig
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.text import Tokenizer
from vw2_ros.models.vision import VisionConfig

PHRASES = ('open the drawer', 'push the red block left')


def tiny_weights(folder, image_size=32, dldm=True, seed=0):
    """Write an untrained model folder of the smallest size; return its path as text."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer.build(PHRASES, buckets=32)
    head = ActionHead(ActionHeadConfig(width=16, hidden=16, layers=1))
    head.set_normalization(torch.zeros(6), torch.full((6,), 0.3))
    checkpoint.save_checkpoint(
        folder,
        tokenizer=tokenizer,
        head=head,
        planner=Planner(
            PlannerConfig(
                vocab_size=tokenizer.vocab_size,
                buckets=32,
                codebook_size=12,
                width=16,
                layers=1,
                heads=2,
                hidden=16,
                vision=VisionConfig(image_size=image_size, stem=4, channels=4, keypoints=4),
            )
        ),
        dldm=DLDM(
            DLDMConfig(
                image_size=16,
                channels=(4, 4, 8),
                decoder_channels=(8, 4, 4),
                query_width=8,
                query_heads=2,
                levels=(4, 3),
            )
        )
        if dldm
        else None,
        provenance={'command': 'test'},
    )
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
