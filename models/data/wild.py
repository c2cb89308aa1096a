# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video whose looks change while it is filmed, made of calm video: what a hand-held camera brings.

    rgb, nuisances = wild_clip(rgb, seed=3)     # uint8 (T, H, W, 3)
    nuisances.signals()['exposure']             # float32 (T, 1): what a probe may look for

Nothing of it depends on what the robot does. In the order in which light meets them:

| nuisance    | signal of a frame       | what it is                                              |
| ----------- | ----------------------- | ------------------------------------------------------- |
| mover       | (2,): x, y [sides]      | a blob of one colour that wanders near the edge         |
| shadow      | (1,): share of light    | a soft, round shadow that passes, and comes again       |
| shake       | (2,): x, y [sides]      | the picture's shift: a few pixels of 64, the edge repeated |
| exposure    | (1,): log of the gain   | drifts and flickers                                     |
| colour      | (2,): log of the gains  | of red and of blue, the white balance: likewise         |
| compression | (1,): quality in [0, 1] | JPEG, of a quality that drifts; no signal for a probe   |
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError

SIGNALS = ('exposure', 'colour', 'shake', 'shadow', 'mover')
WAVES = 6  # cosines of random rate and phase that a drift is the sum of
DRIFT_HZ = (0.05, 1.2)  # of exposure and colour
SHAKE_HZ = (0.5, 6.0)
WANDER_HZ = (0.05, 0.4)  # of what moves behind
LARGEST_SHAKE = 4 / 64  # of a side
PART = 64  # frames that are drawn upon at a time, for the memory


@dataclasses.dataclass(frozen=True)
class Nuisances:
    """What changes the looks of n frames, float32 each; lengths and places in sides of the picture."""

    exposure: np.ndarray  # (n, 1) log of the gain
    colour: np.ndarray  # (n, 2) log of the gains of red and of blue
    shake: np.ndarray  # (n, 2) shift in x and y
    shadow: np.ndarray  # (n, 4) x, y, radius, share of the light that it takes at its centre
    mover: np.ndarray  # (n, 6) x, y, radius (0: none), red, green, blue in [0, 1]
    quality: np.ndarray  # (n, 1) of JPEG, in (0, 1]

    def __getitem__(self, rows: np.ndarray) -> Nuisances:
        return Nuisances(*(value[rows] for value in self._values()))

    def __len__(self) -> int:
        return len(self.exposure)

    def _values(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @classmethod
    def joined(cls, parts: list[Nuisances]) -> Nuisances:
        """Those of several ranges of frames, one after another."""
        return cls(*(np.concatenate(values) for values in zip(*(p._values() for p in parts))))

    def signals(self) -> dict[str, np.ndarray]:
        """Name of a nuisance -> its signal, float32 (n, d); see the head of this file."""
        shade = np.concatenate(
            [
                1 - _light(self.shadow[i : i + PART], 8, 8).mean((1, 2))
                for i in range(0, len(self), PART)
            ]
        )
        return {
            'exposure': self.exposure,
            'colour': self.colour,
            'shake': self.shake,
            'shadow': shade[:, None],
            'mover': self.mover[:, :2],
        }


def draw_nuisances(
    frames: int, rng: np.random.Generator, strength: float = 1.0, fps: float = 30.0
) -> Nuisances:
    """Nuisances of `frames` frames in a row.

    Args:
        strength: 1 as described at the head of this file, 0.5 half of it. fps: of the video.
    """
    t = np.arange(frames) / fps

    def drift(dims: int, hz: tuple[float, float], deviation: float) -> np.ndarray:
        """(frames, dims): smooth, of this deviation over long times."""
        rate = np.exp(rng.uniform(*np.log(hz), (WAVES, dims)))
        phase = rng.uniform(0, 2 * np.pi, (WAVES, dims))
        waves = np.cos(2 * np.pi * rate * t[:, None, None] + phase)  # (frames, WAVES, dims)
        return deviation * (2 / WAVES) ** 0.5 * waves.sum(1)

    def flicker(dims: int, deviation: float) -> np.ndarray:
        return rng.normal(0, deviation, (frames, dims))

    gain = drift(1, DRIFT_HZ, 0.25) + flicker(1, 0.03)
    colour = drift(2, DRIFT_HZ, 0.12) + flicker(2, 0.01)
    shake = drift(2, SHAKE_HZ, 0.02).clip(-LARGEST_SHAKE, LARGEST_SHAKE)
    made = Nuisances(
        strength * gain,
        strength * colour,
        strength * shake,
        _passing_shadow(t, rng, strength),
        _mover(0.5 + drift(2, WANDER_HZ, 0.3), rng, strength),
        (1 - strength * (0.55 + drift(1, DRIFT_HZ, 0.1))).clip(0.1, 1),
    )
    return Nuisances(*(value.astype(np.float32) for value in made._values()))


def _passing_shadow(t: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """(frames, 4): it crosses the picture, and comes again after a pause of as long or longer."""
    way, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.45)
    aside, speed = rng.uniform(-0.3, 0.3), rng.uniform(0.4, 1.2)  # sides, sides/s
    round_trip = rng.uniform(4, 6)
    along = (speed * t + rng.uniform(0, round_trip)) % round_trip - 1.5  # 0: at the middle
    x = 0.5 + along * np.cos(way) - aside * np.sin(way)
    y = 0.5 + along * np.sin(way) + aside * np.cos(way)
    depth = min(0.9, strength * rng.uniform(0.35, 0.6))
    return np.stack([x, y, np.full_like(t, radius), np.full_like(t, depth)], axis=1)


def _mover(path: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """(frames, 6): a blob that follows `path` (frames, 2) along one edge of the picture."""
    across = 0.05 + 0.1 * path[:, :1].clip(0, 1)
    along = path[:, 1:].clip(0, 1)
    place = np.concatenate([along, across], axis=1)
    if rng.random() < 2 / 3:  # left or right, not behind the table
        place = place[:, ::-1]
        place[:, 0] = place[:, 0] if rng.random() < 0.5 else 1 - place[:, 0]
    radius = rng.uniform(0.04, 0.08) * min(strength, 1.5)
    look = np.array([radius, *rng.uniform(0.1, 0.9, 3)])
    return np.concatenate([place, np.tile(look, (len(path), 1))], axis=1)


def _distance(place: np.ndarray, radius: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, H, W): squared, how many radii a pixel is from its frame's place (n, 2)."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    square = (x - place[:, :1])[:, None, :] ** 2 + (y - place[:, 1:2])[:, :, None] ** 2
    return square / np.maximum(radius, 1e-6)[:, None, None] ** 2


def _light(shadow: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, H, W) in [0, 1]: what the shadow leaves of the light."""
    far = _distance(shadow[:, :2], shadow[:, 2], height, width)
    return 1 - shadow[:, 3, None, None] * np.exp(-(far**2))


def make_wild(rgb: np.ndarray, nuisances: Nuisances) -> np.ndarray:
    """Frames uint8 (n, H, W, 3) as they look with their nuisances, the same shape.

    Raises:
        InvalidValueError: there are not as many nuisances as frames.
    """
    if len(rgb) != len(nuisances):
        raise InvalidValueError(
            f'there must be nuisances for {len(rgb)} frames. Got those of {len(nuisances)}.'
        )
    out = np.empty_like(rgb)
    for first in range(0, len(rgb), PART):
        here = slice(first, first + PART)
        out[here] = _changed(rgb[here], nuisances[here])
    return out


def _changed(rgb: np.ndarray, n: Nuisances) -> np.ndarray:
    _, H, W, _ = rgb.shape
    far = _distance(n.mover[:, :2], n.mover[:, 2], H, W)
    blob = 1 / (1 + np.exp(np.minimum(4 * (far - 1), 50)))
    light = _light(n.shadow, H, W)  # (n, H, W)
    log_gain = n.exposure + np.stack(
        [n.colour[:, 0], np.zeros(len(rgb), np.float32), n.colour[:, 1]], axis=1
    )
    gain = np.exp(log_gain)  # (n, 3)
    left, added = (1 - blob) * light, 255 * blob * light
    picture = np.empty_like(rgb)
    for c in range(3):  # a channel at a time: numpy is slow where the last axis is short
        seen = left * rgb[..., c] + added * n.mover[:, 3 + c, None, None]
        seen *= gain[:, c, None, None]
        picture[..., c] = np.clip(seen + 0.5, 0, 255)
    out = np.empty_like(rgb)
    for i, (x, y) in enumerate(n.shake * (W, H)):
        move = np.array([[1, 0, x], [0, 1, y]], np.float32)
        frame = cv2.warpAffine(picture[i], move, (W, H), borderMode=cv2.BORDER_REPLICATE)
        quality = [cv2.IMWRITE_JPEG_QUALITY, round(100 * float(n.quality[i, 0]))]
        out[i] = cv2.imdecode(cv2.imencode('.jpg', frame[..., ::-1], quality)[1], 1)[..., ::-1]
    return out


def wild_clip(
    rgb: np.ndarray, seed: int, strength: float = 1.0, fps: float = 30.0
) -> tuple[np.ndarray, Nuisances]:
    """A clip uint8 (T, H, W, 3) made wild, and its nuisances; the same for the same seed."""
    nuisances = draw_nuisances(len(rgb), np.random.default_rng(seed), strength, fps)
    return make_wild(rgb, nuisances), nuisances
