# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the tasks are judged on: one instant of the play table, without the simulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROBOT = 'robot'
FINGER_LINKS = ('finger_left', 'finger_right')


@dataclass(frozen=True)
class BlockState:
    """One block: world frame, metres, quaternion xyzw, m/s and rad/s.

    `contacts` holds a (body, link) pair per touching link: ('robot', 'finger_left'),
    ('table', 'plank'), ('block_blue', 'base'), ('floor', 'floor') ... The robot's links are
    'finger_left', 'finger_right' and, for all others, 'arm', whatever arm it is.
    """

    position: np.ndarray  # (3,)
    orientation: np.ndarray  # (4,) xyzw
    linear_velocity: np.ndarray  # (3,)
    angular_velocity: np.ndarray  # (3,)
    contacts: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class SceneState:
    """One instant: the three blocks, the four joints [m], the two lights, what the robot touches.

    `robot_contacts` names bodies: 'table', 'floor', 'block_red', ...
    """

    blocks: dict[str, BlockState]  # 'red', 'blue', 'pink'
    slider: float  # 0 (right) .. travel (left) [m]
    drawer: float  # 0 closed .. 0.22 open [m]
    button: float  # travel [m]
    switch: float  # travel [m]
    lightbulb: int  # 0 | 1
    led: int  # 0 | 1
    robot_contacts: frozenset[str] = frozenset()
