# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The tool's path drawn into a camera's picture, or, of a camera whose place nobody knows, from above
and from the side. No ROS.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vw2_ros.arms.geometry import euler_to_matrix
from vw2_ros.cameras import drawing

HEIGHT_PX = 384
OPEN, CLOSED = (90, 230, 110), (255, 90, 80)  # colours of the gripper along the path
FRAME = (110, 110, 110)
LEAST_M = 0.3  # a view is never closer than so wide


@dataclass(frozen=True)
class CameraModel:
    """A pinhole: matrix (3, 3) [px], and the optical frame in the arm's base frame."""

    K: np.ndarray
    position_m: np.ndarray  # (3,)
    rotation: np.ndarray  # (3, 3), columns: right, down, forward

    @classmethod
    def of(cls, K, pose) -> 'CameraModel':
        """From a camera matrix, 9 numbers, and a contract's pose: x, y, z [m], roll, pitch, yaw."""
        pose = np.asarray(pose, np.float64)
        return cls(np.reshape(K, (3, 3)), pose[:3], euler_to_matrix(pose[3:]))

    def project(self, points) -> np.ndarray:
        """Points (n, 3) [m] of the base frame -> pixels (n, 2); NaN behind the camera."""
        seen = (np.asarray(points) - self.position_m) @ self.rotation  # (n, 3)
        depth = np.where(seen[:, 2:] > 1e-3, seen[:, 2:], np.nan)  # (n, 1)
        return (seen / depth) @ self.K[:2].T  # (n, 2)


def draw_path(canvas: np.ndarray, pixels: np.ndarray, gripper: np.ndarray) -> None:
    """Draw a path (n, 2) in place: it gets thicker towards its end, its colour is the gripper's."""
    n = len(pixels)
    good = np.isfinite(pixels).all(axis=1) & (np.abs(pixels) < 1e4).all(axis=1)
    for i in range(1, n):
        if good[i - 1] and good[i]:
            a, b = (tuple(round(float(v)) for v in pixels[k]) for k in (i - 1, i))
            colour = OPEN if gripper[i] > 0 else CLOSED
            cv2.line(canvas, a, b, (0, 0, 0), 4 + 2 * i // n, cv2.LINE_AA)
            cv2.line(canvas, a, b, colour, 2 + 2 * i // n, cv2.LINE_AA)
    for i, radius in ((0, 4), (n - 1, 7)):
        if good[i]:
            at = tuple(round(float(v)) for v in pixels[i])
            colour = OPEN if gripper[i] > 0 else CLOSED
            cv2.circle(canvas, at, radius, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(canvas, at, radius - 1, colour, 1 if i == 0 else -1, cv2.LINE_AA)


def view(positions, gripper, box, axes: tuple[int, int], title: str, size_px: int) -> np.ndarray:
    """The path seen along an axis, with the workspace box where it is near; to scale.

    Args:
        positions: (n, 3) [m]. box: lower and upper corner (3,) [m].
        axes: of the base frame, to the right (y: to the left, as seen from above) and up.
    """
    canvas = np.full((size_px, size_px, 3), drawing.GROUND, np.uint8)
    flat = np.asarray(positions)[:, list(axes)]  # (n, 2)
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2
    span = max(LEAST_M, 1.6 * float(np.ptp(flat, axis=0).max()))
    scale = size_px / span

    def place(points):
        away = (np.asarray(points) - middle) * scale
        return size_px / 2 + away * (-1 if axes[0] == 1 else 1, -1)

    lower, upper = (np.asarray(corner)[list(axes)] for corner in box)
    a, b = (
        np.clip(place(corner), -1e4, 1e4).round().astype(int).tolist() for corner in (lower, upper)
    )
    cv2.rectangle(canvas, a, b, FRAME, 1)
    draw_path(canvas, place(flat), gripper)
    bar = round(0.1 * scale)
    cv2.line(canvas, (10, size_px - 12), (10 + bar, size_px - 12), drawing.INK, 1)
    drawing.write_line(canvas, '0.1 m', 14, size_px - 18, scale=0.4)
    drawing.write_line(canvas, title, 6, 16, scale=0.4)
    return canvas


def draw(
    rgb: np.ndarray,
    positions: np.ndarray,
    gripper: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    lines: tuple[str, str],
    camera: CameraModel | None = None,
    imagined: np.ndarray | None = None,
) -> np.ndarray:
    """What would be done: the camera's picture with the path, and the imagined frame beside it.

    Args:
        rgb: uint8 (H, W, 3). positions: tool, base frame [m] (n, 3). gripper: -1 or +1 (n,).
        box: of the workspace, lower and upper corner (3,) [m]. lines: what is written above.
        camera: None: the path is drawn from above and from the side instead.
        imagined: uint8 (S, S, 3), None: there is none.
    """
    picture = drawing.enlarged(rgb, HEIGHT_PX)
    panels = [picture]
    if camera is not None:
        # pixel centres lie at halves
        pixels = (camera.project(positions) + 0.5) * HEIGHT_PX / rgb.shape[0] - 0.5
        draw_path(picture, pixels, gripper)
    else:
        panels.append(
            view(positions, gripper, box, (1, 0), 'from above: x up, y to the left', HEIGHT_PX)
        )
        panels.append(
            view(positions, gripper, box, (0, 2), 'from the side: x to the right, z up', HEIGHT_PX)
        )
    if imagined is not None:
        shown = drawing.enlarged(imagined, HEIGHT_PX)
        cv2.rectangle(shown, (0, 0), (80, 24), (drawing.GROUND,) * 3, -1)
        drawing.write_line(shown, 'imagined', 6, 17)
        panels.append(shown)
    return drawing.captioned(drawing.beside(panels), lines)
