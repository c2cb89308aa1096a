# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How a camera's picture, as a policy sees it, compares to what the policy was trained on. No ROS."""

from dataclasses import dataclass

import cv2
import numpy as np

from vw2_ros.cameras import drawing
from vw2_ros.cameras.frames import Fit

BRIGHTNESS = 40  # of 255, by which means may differ
CONTRAST = 1.7  # by which factor standard deviations may differ
COLOUR = 25  # of 255, by which a channel may be off beside the brightness
LIKENESS = 0.5  # correlation of the grey pictures, in [-1, 1]
KEPT = 0.5  # share of the camera's picture
HEIGHT_PX = 480  # of what is drawn


@dataclass(frozen=True)
class Look:
    """Numbers of one picture uint8 (H, W, 3)."""

    brightness: float  # mean, 0..255
    contrast: float  # standard deviation of the grey picture
    colour: tuple[float, float, float]  # mean of red, green, blue, less the brightness

    @classmethod
    def of(cls, rgb: np.ndarray) -> 'Look':
        """Measure a picture."""
        means = rgb.reshape(-1, 3).mean(axis=0)  # (H, W, 3) -> (H * W, 3) -> (3,)
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        away = (means - means.mean()).tolist()
        return cls(float(means.mean()), float(grey.std()), (away[0], away[1], away[2]))

    def __str__(self):
        red, green, blue = (round(value) for value in self.colour)
        return (
            f'brightness {self.brightness:.0f}, contrast {self.contrast:.0f}, '
            f'red {red:+d} green {green:+d} blue {blue:+d}'
        )


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures, grey and coarse (24 x 24), in [-1, 1]; 0 where one is even."""
    coarse = [
        cv2.resize(
            cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (24, 24), interpolation=cv2.INTER_AREA
        ).astype(np.float64)
        for p in (a, b)
    ]
    a, b = (p - p.mean() for p in coarse)
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def warnings(seen: np.ndarray, trained: np.ndarray) -> list[str]:
    """What differs a lot between what a policy sees and what it was trained on, both (S, S, 3)."""
    a, b, out = Look.of(seen), Look.of(trained), []
    if abs(a.brightness - b.brightness) > BRIGHTNESS:
        word = 'brighter' if a.brightness > b.brightness else 'darker'
        out.append(
            f'it is {word} ({a.brightness:.0f}, trained on {b.brightness:.0f}): change the exposure'
        )
    if not 1 / CONTRAST <= (a.contrast + 1) / (b.contrast + 1) <= CONTRAST:
        out.append(f'its contrast is {a.contrast:.0f}, trained on {b.contrast:.0f}')
    off = np.abs(np.subtract(a.colour, b.colour))
    if off.max() > COLOUR:
        swapped = np.abs(np.subtract(a.colour[::-1], b.colour)).max() < off.max() / 2
        why = 'are red and blue swapped?' if swapped else 'set the white balance'
        name = ('red', 'green', 'blue')[int(off.argmax())]
        out.append(f'its {name} differs by {off.max():.0f} of 255: {why}')
    like = likeness(seen, trained)
    if like < LIKENESS:
        out.append(
            f'it shows another view (likeness {like:.2f} of 1): put the camera where it was, or '
            'fine-tune with vw2 train head --learn-sight'
        )
    return out


def crop_warnings(fit: Fit, width: int, height: int) -> list[str]:
    """What is lost between a camera's picture of that size [px] and the policy's.

    Raises:
        ValueError: as `Fit.window`.
    """
    _, _, w, h = fit.window(width, height)
    kept, out = w * h / (width * height), []
    if kept < KEPT:
        out.append(f'{kept:.0%} of the picture are kept: set crop, or turn the camera')
    if any(fit.size) and w < fit.size[0]:
        out.append(f'{w} px are enlarged to {fit.size[0]}: take a larger picture')
    return out


def sheet(rgb: np.ndarray, fit: Fit, trained: np.ndarray | None, title: str) -> np.ndarray:
    """The camera's picture with the part that is kept; as the policy sees it; what it was trained on.

    Args:
        rgb: the camera's, uint8 (H, W, 3). trained: (S, S, 3), None: not at hand.
    """
    H, W = rgb.shape[:2]
    x, y, w, h = fit.window(W, H)
    whole = drawing.enlarged(rgb, HEIGHT_PX)
    scale = HEIGHT_PX / H
    corners = (
        (round(x * scale), round(y * scale)),
        (round((x + w) * scale) - 1, round((y + h) * scale) - 1),
    )
    cv2.rectangle(whole, *corners, (255, 200, 0), 2)
    seen = fit(rgb)
    panels = [
        drawing.captioned(whole, (title, f'{W} x {H} px; the frame is what is kept')),
        drawing.captioned(
            drawing.enlarged(seen, HEIGHT_PX),
            (f'as the policy sees it, {seen.shape[1]} x {seen.shape[0]} px', str(Look.of(seen))),
        ),
    ]
    if trained is not None:
        text = f'what it was trained on; likeness {likeness(seen, trained):.2f} of 1'
        panels.append(
            drawing.captioned(drawing.enlarged(trained, HEIGHT_PX), (text, str(Look.of(trained))))
        )
    return drawing.beside(panels)
