# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the scripted expert sees at one instant: all that its skills depend on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.geometry import quaternion_to_matrix
from vw2_ros.sim.scenes import COLOURS, Scene
from vw2_ros.sim.state import FINGER_LINKS, SceneState
from vw2_ros.sim.table import Table

OPEN, CLOSE = 1.0, -1.0


def wrap(angle):
    """Angles [rad], brought to [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def norm(vector: np.ndarray) -> float:
    """What np.linalg.norm computes for a vector, to the bit, at a fifth of its price."""
    return math.sqrt(vector.dot(vector))


def clip(value: float, low: float, high: float) -> float:
    """A number within its bounds."""
    return min(max(float(value), low), high)


@dataclasses.dataclass(frozen=True)
class Look:
    """What the expert sees at one instant, and what it remembers. World frame, metres."""

    scene: Scene
    arm: Arm
    start: SceneState  # at the start of the task
    nudge: np.ndarray  # (2,), how far beside a block to take hold of it, after a jam
    tcp: np.ndarray  # (3,) measured
    rotation: np.ndarray  # (3, 3) measured
    target: np.ndarray  # (3,) where the arm is being sent
    target_euler: np.ndarray  # (3,) [rad]
    width: float  # of the gripper
    held: str | None  # colour of the block between the fingers
    state: SceneState
    noted: dict = dataclasses.field(default_factory=dict)  # what has been worked out from it

    @property
    def out(self) -> np.ndarray:
        """The way back along the fingers (3,), unit length."""
        return -self.rotation[:, 2]

    def position(self, colour: str) -> np.ndarray:
        """Centre (3,) of a block."""
        return self.state.blocks[colour].position

    def touches(self, colour: str) -> set[str]:
        """What a block touches: links of the table, else bodies."""
        contacts = self.state.blocks[colour].contacts
        return {link if body == 'table' else body for body, link in contacts}

    def axes(self, colour: str) -> list[tuple[float, np.ndarray, float]]:
        """Horizontal axes of a block: (full length, direction (2,), |z| of the axis)."""
        if ('axes', colour) not in self.noted:
            m = quaternion_to_matrix(self.state.blocks[colour].orientation)
            size = self.scene.block_sizes[colour]
            self.noted['axes', colour] = [
                (size[k], m[:2, k], abs(m[2, k])) for k in range(3) if abs(m[2, k]) < 0.6
            ]
        return self.noted['axes', colour]

    def half_extent(self, colour: str, direction) -> float:
        """How far a block reaches from its centre along a horizontal direction (2,)."""
        direction = np.asarray(direction)
        return sum(
            0.5 * size * abs(float(axis @ direction)) for size, axis, _ in self.axes(colour)
        )


def look_at(table: Table, start: SceneState, nudge: np.ndarray) -> Look:
    """What there is to see on a table now.

    Args:
        start: state at the start of the task.
        nudge: (2,) [m], how far beside a block to take hold of it.
    """
    tcp, rotation = table.tcp_pose()
    position, euler = table.target
    state = table.state()
    width = table.gripper_width()
    held = None
    for colour in COLOURS:
        fingers = {link for body, link in state.blocks[colour].contacts if body == 'robot'}
        if (
            fingers.issuperset(FINGER_LINKS)
            and width < 0.078
            and norm(state.blocks[colour].position - tcp) < 0.05
        ):
            held = colour
    return Look(
        table.scene, table.arm, start, nudge, tcp, rotation, position, euler, width, held, state
    )
