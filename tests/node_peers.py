# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Peers of a node under test: a camera image, a robot with a planner, /diagnostics."""

import sys

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.files import config_file
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message

ARM = open_arm()


SIZE = 32  # side of the images that the weights of the tests want [px]


def image(node, seed=0, size=SIZE):
    rgb = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return convert.numpy_to_image(
        rgb, 'rgb8', frame_id='lens', stamp_ns=node.get_clock().now().nanoseconds
    )


def diagnosed(bench, name):
    """Return a function that gives the newest (level, message) of a node."""
    heard = bench.hear(DiagnosticArray, names.DIAGNOSTICS, 10)

    def newest():
        own = [s for m in heard for s in m.status if s.name == name]
        return (own[-1].level[0], own[-1].message) if own else (-1, '')

    return newest


def calls_to(owner, name, monkeypatch):
    """Return a list that grows with the chain of calls that led to each call of a function."""
    chains, function = [], getattr(owner, name)

    def called(*args, **kwargs):
        chain, frame = [], sys._getframe(1)
        while frame is not None:
            who = frame.f_locals.get('self')
            own = f'{type(who).__name__}.' if who is not None else ''
            chain.insert(0, own + frame.f_code.co_name)
            frame = frame.f_back
        chains.append([*chain, f'{owner.__name__}.{name}' if isinstance(owner, type) else name])
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, called)
    return chains


def contract_file(folder, limits=(), **changes):
    """Write a contract of a Panda in front of these peers; its path as text.

    It is armed at once and has no box, so that what is tested is seen; `changes` replace keys.
    """
    text = config_file('arms/panda.yaml').read_text()
    values = yaml.safe_load(text)
    values['limits'] |= {
        'box_lower_m': [-9, -9, -9],
        'box_upper_m': [9, 9, 9],
        'tool_speed_m_s': 9.0,
    } | dict(limits)
    values['command']['topic'] = names.JOINT_COMMANDS
    values['gripper'] |= {'form': 'joint'}
    del values['gripper']['topic']
    values |= {'on_stale': 'hold', 'disarmed_at_start': False}
    for key, value in changes.items():
        values[key] = values[key] | value if isinstance(value, dict) else value
    path = folder / 'my_arm.yaml'
    path.write_text(yaml.safe_dump(values))
    return str(path)


class Robot:
    """Publishes joints, images and plans as a robot and a planner would; `namespace/` before all."""

    def __init__(self, bench, commands=True, namespace=''):
        self.bench = bench
        self.joints_out = bench.peer.create_publisher(
            JointState, namespace + names.JOINT_STATES, qos.reliable(1)
        )
        self.camera = bench.peer.create_publisher(Image, namespace + names.IMAGE, qos.reliable(1))
        self.plans = bench.peer.create_publisher(
            Image, namespace + names.PLAN_HIDDEN, qos.reliable()
        )
        self.commands = (
            bench.hear(JointTrajectory, names.JOINT_COMMANDS, qos.reliable()) if commands else []
        )
        self.rng = np.random.default_rng(0)
        self.send_plans = self.send_joints = self.send_images = self.follows = True
        self.instruction = 'open the drawer'
        self.joints_age_s = 0.0
        self.weights = ''  # SHA-256 that its plans bear; '': that of the node under test

    def __call__(self):
        now_ns = self.bench.peer.get_clock().now().nanoseconds
        if self.send_joints:
            q = (
                self.commands[-1].points[0].positions[:7]
                if self.commands and self.follows
                else ARM.rest_rad
            )
            self.joints_out.publish(
                convert.joints_to_message(
                    ARM.joints[::-1],
                    q[::-1],  # by name
                    stamp_ns=now_ns - round(self.joints_age_s * 1e9),
                )
            )
        if self.send_images:
            self.camera.publish(
                convert.numpy_to_image(
                    self.rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), 'rgb8', stamp_ns=now_ns
                )
            )
        if self.send_plans:
            self.plans.publish(
                plan_message.hidden_to_message(
                    self.rng.normal(size=(4, 16)).astype(np.float32),
                    now_ns,
                    self.instruction,
                    self.weights or self.bench.nodes[-1].model.sha256,
                )
            )

    def positions(self):
        return np.array([m.points[0].positions for m in self.commands])
