# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a simulator can teach sight: where things are in the picture, and in the world.

Written beside every frame of a collection, so that it holds for any scene and for cameras that
were moved. It is a teacher's knowledge: no policy is ever given it.
"""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.arms.geometry import euler_to_matrix
from vw2_ros.sim.cameras import View
from vw2_ros.sim.scenes import COLOURS, Scene

HANDLES = {'slider': 0, 'drawer': 1, 'switch': 3}  # column in scene_obs: how far it was moved [m]
LANDMARKS = ('tcp', 'hand', 'finger_left', 'finger_right', *COLOURS, *HANDLES)
HAND_M = 0.10  # of the hand's point above the TCP, along the fingers


def project(points: np.ndarray, view: View, fov_deg: float) -> np.ndarray:
    """World points (..., 3) [m] -> (..., 2): x to the right, y down, [-1, 1] within the picture."""
    eye, frame = view.optical_frame()
    local = (points - eye) @ frame
    return local[..., :2] / (local[..., 2:] * math.tan(math.radians(fov_deg) / 2))


def landmarks(
    scene: Scene, view: View, fov_deg: float, robot_obs: np.ndarray, scene_obs: np.ndarray
) -> np.ndarray:
    """Where `LANDMARKS` are in the static camera's picture.

    Args:
        view, fov_deg: of the camera. robot_obs (15,), scene_obs (24,): see `table`.
    Returns:
        float32 (10, 2) in [-1, 1], at the picture's edge where one is outside.
    """
    tcp, turn = robot_obs[:3], euler_to_matrix(robot_obs[3:6])
    half = 0.5 * robot_obs[6] * turn[:, 1]
    blocks = _blocks(scene, scene_obs)
    handles = [
        at + scene_obs[HANDLES[name]] * along for name, (at, along) in scene.handles.items()
    ]
    points = np.stack(
        [tcp, tcp - HAND_M * turn[:, 2], tcp + half, tcp - half, *blocks[:, :3], *handles]
    )  # (10, 3)
    return project(points, view, fov_deg).clip(-1, 1).astype(np.float32)


def scene_state(scene: Scene, robot_obs: np.ndarray, scene_obs: np.ndarray) -> np.ndarray:
    """The state in an order that is the same for every scene, float32 (25,).

    TCP position [m], gripper width [m], slider, drawer, button, switch [m], bulb, LED; position
    [m] of the red, the blue and the pink block; sine, then cosine, of twice their yaws (a block
    looks the same after half a turn).
    """
    blocks = _blocks(scene, scene_obs)
    twice = 2 * blocks[:, 5]
    return np.concatenate(
        [
            robot_obs[:3],
            robot_obs[6:7],
            scene_obs[:6],
            blocks[:, :3].ravel(),
            np.sin(twice),
            np.cos(twice),
        ]
    ).astype(np.float32)


def _blocks(scene: Scene, scene_obs: np.ndarray) -> np.ndarray:
    """Position and Euler angles (3, 6) of the red, blue and pink block."""
    return scene_obs[6:].reshape(3, 6)[[scene.block_order.index(c) for c in COLOURS]]
