# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a simulator can teach sight: where things are in the picture, and in the world.

Written beside every frame of a collection, so that it holds for any scene and for cameras that
were moved. `teach` makes it for CALVIN's own data, which lack it. It is a teacher's knowledge: no
policy is ever given it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vw2_ros.arms.geometry import euler_to_matrices
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW, View
from vw2_ros.sim.scenes import COLOURS, Scene, get_scene

HANDLES = {'slider': 0, 'drawer': 1, 'switch': 3}  # column in scene_obs: how far it was moved [m]
LANDMARKS = ('tcp', 'hand', 'finger_left', 'finger_right', *COLOURS, *HANDLES)
STATE_SIZE = 25
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
        view, fov_deg: of the camera. robot_obs (..., 15), scene_obs (..., 24): see `table`.
    Returns:
        float32 (..., 10, 2) in [-1, 1], at the picture's edge where one is outside.
    """
    tcp, turn = robot_obs[..., :3], euler_to_matrices(robot_obs[..., 3:6])
    half = 0.5 * robot_obs[..., 6:7] * turn[..., 1]
    blocks = _blocks(scene, scene_obs)
    handles = [
        at + scene_obs[..., [HANDLES[name]]] * along for name, (at, along) in scene.handles.items()
    ]
    hand = [tcp, tcp - HAND_M * turn[..., 2], tcp + half, tcp - half]
    points = np.concatenate(  # (..., 10, 3)
        [np.stack(hand, axis=-2), blocks[..., :3], np.stack(handles, axis=-2)], axis=-2
    )
    return project(points, view, fov_deg).clip(-1, 1).astype(np.float32)


def scene_state(scene: Scene, robot_obs: np.ndarray, scene_obs: np.ndarray) -> np.ndarray:
    """The state in an order that is the same for every scene, float32 (..., 25).

    TCP position [m], gripper width [m], slider, drawer, button, switch [m], bulb, LED; position
    [m] of the red, the blue and the pink block; sine, then cosine, of twice their yaws (a block
    looks the same after half a turn).
    """
    blocks = _blocks(scene, scene_obs)
    twice = 2 * blocks[..., 5]
    parts = [
        robot_obs[..., :3],
        robot_obs[..., 6:7],
        scene_obs[..., :6],
        blocks[..., :3].reshape(*twice.shape[:-1], 9),
        np.sin(twice),
        np.cos(twice),
    ]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _blocks(scene: Scene, scene_obs: np.ndarray) -> np.ndarray:
    """Position and Euler angles (..., 3, 6) of the red, blue and pink block."""
    order = [scene.block_order.index(c) for c in COLOURS]
    return scene_obs[..., 6:].reshape(*scene_obs.shape[:-1], 3, 6)[..., order, :]


def teach(
    scenes: np.ndarray, camera: Mapping[str, Any], robot_obs: np.ndarray, scene_obs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`landmarks` and `scene_state` of frames of CALVIN's data, which do not hold them.

    Args:
        scenes: (n,) letters A to D. camera: `fov`, `look_from`, `look_at` and `up_vector` of the
            static camera, as CALVIN's configs have them; what it lacks is CALVIN's default.
        robot_obs, scene_obs: (n, 15), (n, 24).
    Returns:
        float32 (n, 10, 2) and (n, 25).
    Raises:
        InvalidValueError: a scene that is not known, or a camera that makes no sense.
    """
    view, fov_deg = _static_view(camera)
    points = np.zeros((len(scenes), len(LANDMARKS), 2), np.float32)
    state = np.zeros((len(scenes), STATE_SIZE), np.float32)
    for letter in np.unique(scenes):
        here, scene = scenes == letter, get_scene(str(letter))
        points[here] = landmarks(scene, view, fov_deg, robot_obs[here], scene_obs[here])
        state[here] = scene_state(scene, robot_obs[here], scene_obs[here])
    return points, state


def _static_view(camera: Mapping[str, Any]) -> tuple[View, float]:
    names = {
        'look_from': STATIC_VIEW.eye,
        'look_at': STATIC_VIEW.target,
        'up_vector': STATIC_VIEW.up,
    }
    try:
        ways = [np.array(camera.get(key, own), dtype=float) for key, own in names.items()]
        fov_deg = float(camera.get('fov', STATIC.fov_deg))
        good = all(way.shape == (3,) and np.isfinite(way).all() for way in ways)
        good &= 0 < fov_deg < 180 and np.linalg.norm(np.cross(ways[1] - ways[0], ways[2])) > 1e-6
    except (AttributeError, TypeError, ValueError):
        good = False
    if not good:
        raise InvalidValueError(
            'the static camera must have fov in degrees, and look_from, look_at and up_vector of '
            f'three numbers each, which span a picture. Got {camera}'
        )
    return View(*(tuple(way) for way in ways)), fov_deg
