# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The two cameras of CALVIN: one fixed in the room, one on the hand.

A camera's frame here: x right, y down, z forward (the optical frame of ROS).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.geometry import euler_to_matrix
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.engine import Engine, projection_matrix, view_matrix


@dataclass(frozen=True)
class Camera:
    """Intrinsics: name, side in pixels, vertical field of view [deg], near and far plane [m]."""

    name: str
    size: int
    fov_deg: float
    near: float
    far: float

    def intrinsics(self, width: int | None = None, height: int | None = None) -> np.ndarray:
        """The matrix K (3, 3) in pixels for a picture of that size (default: the native one)."""
        w = self.size if width is None else width
        h = self.size if height is None else height
        f = 0.5 * h / math.tan(math.radians(self.fov_deg) / 2)
        return np.array([[f, 0.0, w / 2], [0.0, f, h / 2], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class View:
    """Where a camera looks from: eye, target (3,) [m] and the up direction, world frame."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    up: tuple[float, float, float]

    def config(self, fov_deg: float) -> dict:
        """As CALVIN's config writes it."""
        return {
            'fov': fov_deg,
            'look_from': list(self.eye),
            'look_at': list(self.target),
            'up_vector': list(self.up),
        }

    def optical_frame(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and rotation (3, 3) of the optical frame in the world."""
        eye, target, up = (np.array(v, dtype=float) for v in (self.eye, self.target, self.up))
        forward = target - eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        return eye, np.stack([right, np.cross(forward, right), forward], axis=1)


STATIC = Camera('static', size=200, fov_deg=10.0, near=0.01, far=10.0)
GRIPPER = Camera('gripper', size=84, fov_deg=75.0, near=0.01, far=2.0)
CAMERAS = {camera.name: camera for camera in (STATIC, GRIPPER)}

STATIC_VIEW = View(
    eye=(2.871459, -2.166602, 2.555160),
    target=(-0.026242, -0.030233, 0.392000),
    up=(0.404140, 0.226298, 0.886262),
)
# the gripper camera in the frame of the hand
GRIPPER_POSITION = np.array([-0.1, 0.0, 0.0])
GRIPPER_EULER = np.array([1.3, 0.0, -1.57])


@dataclass(frozen=True)
class Jitter:
    """Small displacements of the cameras: eye and target [m], field of view as a factor."""

    eye: tuple[float, float, float] = (0.0, 0.0, 0.0)
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fov_scale: float = 1.0
    gripper: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))


def get_camera(name: str) -> Camera:
    """The camera of that name.

    Raises:
        InvalidValueError: there is none; the message names the known ones.
    """
    try:
        return CAMERAS[name]
    except (KeyError, TypeError):
        raise InvalidValueError(
            f'unknown camera {name!r}. Choose one of {", ".join(CAMERAS)}'
        ) from None


def gripper_view(arm: Arm, joints, offset=(0.0, 0.0, 0.0)) -> View:
    """The hand camera's view for the arm's joints (n,) [rad]; it looks along its own y axis.

    Args:
        offset: (3,) [m], by which the camera is displaced in the frame of the hand.
    """
    position, rotation = arm.hand_pose(joints)
    eye = arm.base_position + position + rotation @ (GRIPPER_POSITION + np.asarray(offset))
    frame = rotation @ euler_to_matrix(GRIPPER_EULER)
    return View(tuple(eye), tuple(eye + frame[:, 1]), tuple(-frame[:, 2]))


def depth_to_metres(buffer: np.ndarray, near: float, far: float) -> np.ndarray:
    """OpenGL depth buffer in [0, 1] to the distance along the optical axis, float32 [m]."""
    return (far * near / (far - (far - near) * buffer)).astype(np.float32)


def image_size(camera: Camera, size) -> tuple[int, int]:
    """(width, height) of a wanted size: None, one number, or (height, width)."""
    if size is None:
        return camera.size, camera.size
    try:
        height, width = (size, size) if np.ndim(size) == 0 else size
        height, width = int(height), int(width)
    except (TypeError, ValueError):
        raise InvalidValueError(
            f'an image size must be a number of pixels or (height, width). Got {size!r}'
        ) from None
    if not (8 <= height <= 4096 and 8 <= width <= 4096):
        raise InvalidValueError(f'an image side must lie in 8..4096 pixels. Got {size!r}')
    return width, height


def render(
    engine: Engine,
    camera: Camera,
    view: View,
    size=None,
    *,
    fov_deg: float,
    light: dict | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One picture: rgba uint8 (H, W, 4) and depth float32 (H, W) [m].

    Args:
        size: see `image_size`.
        fov_deg: vertical field of view, in place of the camera's own [deg].
        light: see `Engine.render`.
    """
    width, height = image_size(camera, size)
    rgba, buffer = engine.render(
        width,
        height,
        view_matrix(view.eye, view.target, view.up),
        projection_matrix(fov_deg, width / height, camera.near, camera.far),
        light,
    )
    return rgba, depth_to_metres(buffer, camera.near, camera.far)
