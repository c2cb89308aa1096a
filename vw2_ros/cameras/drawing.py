# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Pictures for people: panels side by side, lines of text. All uint8 (H, W, 3), red first."""

from collections.abc import Sequence

import cv2
import numpy as np

from vw2_ros import files

GROUND = 28  # grey of what is not drawn on
INK = (235, 235, 235)
LINE_PX = 22
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def enlarged(rgb: np.ndarray, height: int) -> np.ndarray:
    """A picture of that height [px]; pixels stay visible where it grows."""
    H, W = rgb.shape[:2]
    how = cv2.INTER_NEAREST if height > H else cv2.INTER_AREA
    return cv2.resize(rgb, (max(1, round(W * height / H)), height), interpolation=how)


def write_line(canvas: np.ndarray, text: str, x: int, y: int, colour=INK, scale=0.45) -> None:
    """Write a line with its foot at y, in place; it shrinks until it fits in."""
    text = text.encode('ascii', 'replace').decode()  # what this font has
    width = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale *= min(1.0, max(1, canvas.shape[1] - x - 4) / max(1, width))
    cv2.putText(canvas, text, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)


def captioned(rgb: np.ndarray, lines: Sequence[str], colour=INK) -> np.ndarray:
    """The picture below lines of text."""
    H, W = rgb.shape[:2]
    top = LINE_PX * len(lines) + 6
    canvas = np.full((top + H, W, 3), GROUND, np.uint8)
    canvas[top:] = rgb
    for i, line in enumerate(lines):
        write_line(canvas, line, 6, LINE_PX * (i + 1) - 4, colour)
    return canvas


def beside(panels: Sequence[np.ndarray], gap_px: int = 6) -> np.ndarray:
    """Panels from left to right, their tops in line."""
    height = max(p.shape[0] for p in panels)
    width = sum(p.shape[1] for p in panels) + gap_px * (len(panels) - 1)
    canvas, x = np.full((height, width, 3), GROUND, np.uint8), 0
    for panel in panels:
        canvas[: panel.shape[0], x : x + panel.shape[1]] = panel
        x += panel.shape[1] + gap_px
    return canvas


def write_png(path, rgb: np.ndarray) -> None:
    """Write a picture as PNG, whole or not at all."""
    png = cv2.imencode('.png', np.ascontiguousarray(rgb[:, :, ::-1]))[1]
    files.write_whole(path, png.tobytes())
