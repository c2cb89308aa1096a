# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Pictures from a V4L2 device or a video file, cropped and resized to what a policy sees. No ROS."""

import os
import time
from dataclasses import dataclass

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.pictures import kept, resize_area


@dataclass(frozen=True)
class Fit:
    """Crop, then resize.

    Attributes:
        crop: x, y, width, height [px] of the part that is kept; all 0: the largest centred part
            with the shape of the output.
        size: width, height [px] of the output; 0, 0: as it comes.
    """

    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    size: tuple[int, int] = (0, 0)

    def __post_init__(self):
        if len(self.crop) != 4 or min(self.crop) < 0 or (any(self.crop) and 0 in self.crop[2:]):
            raise InvalidValueError(
                f'crop must be x, y, width, height of at least 1 px, or all 0. Got {self.crop}.'
            )
        if len(self.size) != 2 or min(self.size) < 0 or (any(self.size) and 0 in self.size):
            raise InvalidValueError(
                f'size must be width, height of at least 1 px, or all 0. Got {self.size}.'
            )

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """x, y, width, height of what is kept of a picture.

        Raises:
            ValueError: the crop does not lie within the picture.
        """
        x, y, w, h = self.crop
        if any(self.crop):
            if x + w > width or y + h > height:
                raise InvalidValueError(
                    f'crop {self.crop} must lie within the picture of {width} x {height} px'
                )
            return x, y, w, h
        if not any(self.size):
            return 0, 0, width, height
        w, h = self.size
        scale = min(width / w, height / h)
        w, h = max(1, round(w * scale)), max(1, round(h * scale))
        return (width - w) // 2, (height - h) // 2, w, h

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> uint8 (h, w, 3); averages where it shrinks.

        A square that becomes a smaller one goes the way of the frames that are learned from.
        """
        H, W = rgb.shape[:2]
        x, y, w, h = self.window(W, H)
        part = rgb[y : y + h, x : x + w]
        if not any(self.size) or (w, h) == tuple(self.size):
            return np.ascontiguousarray(part)
        if w == h and self.size[0] == self.size[1] < w:
            return resize_area(kept(part), self.size[0])
        return cv2.resize(
            part,
            tuple(self.size),
            interpolation=cv2.INTER_AREA if self.size[0] < w else cv2.INTER_LINEAR,
        )

    def intrinsics(self, K, width: int, height: int) -> np.ndarray:
        """Camera matrix (3, 3) of the output, from that of the whole picture."""
        x, y, w, h = self.window(width, height)
        out_w, out_h = self.size if any(self.size) else (w, h)
        K = np.array(K, np.float64).reshape(3, 3)  # (9,) -> (3, 3)
        K[0, 2] -= x
        K[1, 2] -= y
        K[0] *= out_w / w
        K[1] *= out_h / h
        return K


class Source:
    """Frames of a device (newest, as they come) or of a file (paced by its own frame rate).

    Args:
        path: '/dev/video0' or a video file.
        loop: begin a file again at its end.

    Raises:
        ValueError: nothing there, or nothing that can be read as video.
    """

    def __init__(self, path: str, *, loop: bool = False):
        self.path, self.loop = path, loop
        self.live = path.startswith('/dev/')
        if not os.path.exists(path):
            raise InvalidValueError(
                f'{path} must be a V4L2 device or a video file. Got nothing there.'
            )
        self._open()
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate if 0 < rate <= 1000 else 30.0
        self._began_s: float | None = None
        self._frames = 0

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(self.path, cv2.CAP_V4L2 if self.live else cv2.CAP_FFMPEG)
        if self.live:
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old frames are worth nothing
        if not self._capture.isOpened():
            raise InvalidValueError(f'{self.path} cannot be read as video')

    def read(self) -> np.ndarray | None:
        """Wait for the next frame, uint8 (H, W, 3); None at the end of a file.

        Raises:
            ValueError: a device gave no frame.
        """
        good, bgr = self._capture.read()
        if not good and self.live:
            raise InvalidValueError(f'{self.path} gave no frame: is it unplugged or in use?')
        if not good and self.loop and self._frames:
            self._capture.release()
            self._open()
            good, bgr = self._capture.read()
        if not good:
            return None
        self._frames += 1
        if not self.live:
            now_s = time.monotonic()
            if self._began_s is None:
                self._began_s = now_s - 1 / self.rate_hz
            time.sleep(max(0.0, self._began_s + self._frames / self.rate_hz - now_s))
        return np.ascontiguousarray(bgr[:, :, ::-1])

    def close(self) -> None:
        """Free the device or file."""
        self._capture.release()
