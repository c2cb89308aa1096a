# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How a table looks: procedural wood and floor, colours, light, and small shifts of the cameras.

Looks never touch physics, nor the colours that carry meaning (blocks, LED, bulb).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.cameras import Jitter
from vw2_ros.sim.scenes import scene_seed

LOOKS = ('plain', 'detailed')  # what is drawn is what collides; or it has the shapes of `details`

# look -> what its pictures say drew them: who learned from one look may fail on the other
RENDERERS = dict(zip(LOOKS, ('pybullet_tiny', 'pybullet_tiny_detailed')))

RGB = tuple[float, float, float]
FLOOR_HALF = 4.0  # the drawn floor reaches so far from the origin [m]
_WOOD_PIXELS = 256  # per metre
_FLOOR_PIXELS = 512


def check_look(name: str) -> str:
    """Return the name of a look.

    Raises:
        InvalidValueError: there is no such look.
    """
    if name not in LOOKS:
        raise InvalidValueError(
            f'a look must be one of {", ".join(LOOKS)}. Got {name!r}. Choose one of these'
        )
    return name


def renderers(look: str, randomize: bool = False) -> str:
    """What drew a data set, for its config: some of the random detailed looks are plain in shape."""
    return ', '.join(RENDERERS.values()) if randomize and look != LOOKS[0] else RENDERERS[look]


@dataclass(frozen=True)
class Wood:
    """A wood: its light and dark colour in [0, 1], lines per metre, how wavy, and a seed.

    CALVIN's woods have short fibres, too: `fine` is how strong, `slant` how steep the lines are [m/m].
    """

    light: RGB
    dark: RGB
    lines_per_m: float = 60.0
    waviness: float = 0.5
    contrast: float = 1.0
    seed: int = 0
    grain_along: str = 'x'  # or "y"
    fine: float = 0.0
    slant: float = 0.0

    def __post_init__(self) -> None:
        if self.grain_along not in ('x', 'y'):
            raise InvalidValueError(f'grain_along must be "x" or "y". Got {self.grain_along!r}')


@dataclass(frozen=True)
class Light:
    """The lamp: the direction towards it, its colour, and TinyRenderer's three coefficients."""

    direction: tuple[float, float, float] | None = None
    colour: RGB | None = None
    ambient: float | None = None
    diffuse: float | None = None
    specular: float | None = None

    def arguments(self) -> dict:
        """What is set, as keyword arguments of the engine's renderer."""
        named = {
            'lightDirection': self.direction,
            'lightColor': self.colour,
            'lightAmbientCoeff': self.ambient,
            'lightDiffuseCoeff': self.diffuse,
            'lightSpecularCoeff': self.specular,
        }
        return {k: v for k, v in named.items() if v is not None}


@dataclass(frozen=True)
class Appearance:
    """All that changes how a table looks, and nothing of how it moves."""

    wood: Wood
    door: Wood
    handle: RGB = (0.37, 0.37, 0.37)
    robot: RGB = (1.0, 1.0, 1.0)  # of its white parts
    detailed: bool = False  # robot and handles in the shapes of `details`, not as they collide
    floor: tuple[RGB, RGB] = ((1.0, 1.0, 1.0), (0.87, 0.87, 0.87))
    floor_tile_m: float = 0.5
    floor_offset_m: tuple[float, float] = (0.0, 0.0)
    light: Light = field(default_factory=Light)
    jitter: Jitter = field(default_factory=Jitter)

    @property
    def renderer(self) -> str:
        """What its pictures say drew them."""
        return RENDERERS[LOOKS[self.detailed]]

    @staticmethod
    def of(scene: str, look: str = 'plain') -> Appearance:
        """The fixed look of scene A, B, C or D; of a table drawn at random, one drawn likewise.

        Raises:
            InvalidValueError: `look` is none of `LOOKS`.
        """
        seed = scene_seed(scene)
        if seed is not None:
            return Appearance.random(np.random.default_rng(seed), look=look)
        plain = _LOOKS[scene]
        if check_look(look) == 'plain':
            return plain
        wood, door = (_with_grain(w) for w in (plain.wood, plain.door))
        return replace(plain, detailed=True, handle=_GREY, wood=wood, door=door)

    @staticmethod
    def random(rng: np.random.Generator, strength: float = 1.0, look: str = 'plain') -> Appearance:
        """A look drawn at random.

        Args:
            strength: in [0, 1], scales how far cameras and light move.
            look: "detailed": in two of three the shapes are detailed.
        """
        if not 0.0 <= strength <= 1.0:
            raise InvalidValueError(f'strength must lie in [0, 1]. Got {strength}')
        wood = _random_wood(rng)
        door = wood if rng.random() < 0.6 else _random_wood(rng)
        grey = rng.uniform(0.05, 0.5)
        tint = rng.uniform(-0.05, 0.05, 3)
        white = rng.uniform(0.75, 1.0) + rng.uniform(-0.06, 0.0, 3)
        base = rng.uniform(0.45, 1.0) + rng.uniform(-0.12, 0.0, 3)
        tile = base * rng.uniform(0.6, 1.0)
        direction = np.array([rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.6, 1.4)])
        drawn = Appearance(
            wood=wood,
            door=door,
            handle=_rgb(grey + tint),
            robot=_rgb(white),
            floor=(_rgb(base), _rgb(tile)),
            floor_tile_m=float(rng.uniform(0.25, 1.0)),
            floor_offset_m=(float(rng.uniform(0, 1)), float(rng.uniform(0, 1))),
            light=Light(
                direction=tuple(float(v) for v in direction),
                colour=_rgb(1.0 + rng.uniform(-0.12, 0.0, 3) * strength),
                ambient=float(0.6 + rng.uniform(-0.15, 0.15) * strength),
                diffuse=float(0.35 + rng.uniform(-0.15, 0.15) * strength),
                specular=0.05,
            ),
            jitter=Jitter(
                eye=_small(rng, 0.04 * strength),
                target=_small(rng, 0.01 * strength),
                fov_scale=float(1.0 + rng.uniform(-0.02, 0.02) * strength),
                gripper=_small(rng, 0.004 * strength),
            ),
        )
        detailed = check_look(look) == 'detailed' and bool(rng.random() < 2 / 3)
        return replace(drawn, detailed=detailed)


def _rgb(values) -> RGB:
    return tuple(float(v) for v in np.clip(values, 0.0, 1.0))


def _small(rng: np.random.Generator, scale: float) -> tuple[float, float, float]:
    return tuple(float(v) for v in rng.uniform(-scale, scale, 3))


def _with_grain(wood: Wood) -> Wood:
    # As CALVIN's table top, measured in its picture (scene D, 43 x 14 cm): brightness varies by 12 %,
    # its power is flat up to 12 lines/m along the grain, a hundredth at 60, and the lines are slanted.
    return replace(wood, contrast=1.5 * wood.contrast, fine=0.3, slant=0.15)


def _random_wood(rng: np.random.Generator) -> Wood:
    # browns from pale to dark; now and then painted
    if rng.random() < 0.8:
        value = rng.uniform(0.3, 0.95)
        light = value * np.array([1.0, rng.uniform(0.6, 0.85), rng.uniform(0.35, 0.65)])
    else:
        light = rng.uniform(0.3, 0.95, 3)
    dark = light * rng.uniform(0.6, 0.95)
    return Wood(
        light=_rgb(light),
        dark=_rgb(dark),
        lines_per_m=float(rng.uniform(25, 120)),
        waviness=float(rng.uniform(0.0, 1.5)),
        contrast=float(rng.uniform(0.3, 1.2)),
        seed=int(rng.integers(2**31)),
        grain_along=str(rng.choice(['x', 'y'])),
    )


_GREY = (0.4, 0.4, 0.4)  # of the handles, in detail
_LOOKS = {
    'A': Appearance(
        wood=Wood((0.54, 0.32, 0.22), (0.40, 0.21, 0.14), 120.0, 0.3, 0.7, 11),
        door=Wood((0.49, 0.29, 0.20), (0.36, 0.19, 0.12), 140.0, 0.5, 0.7, 12),
    ),
    'B': Appearance(
        wood=Wood((1.0, 0.83, 0.60), (0.91, 0.69, 0.46), 90.0, 0.1, 0.7, 21, 'y'),
        door=Wood((1.0, 0.83, 0.60), (0.91, 0.69, 0.46), 90.0, 0.1, 0.7, 21, 'y'),
    ),
    'C': Appearance(
        wood=Wood((0.75, 0.52, 0.31), (0.56, 0.37, 0.21), 90.0, 0.1, 0.8, 31, 'y'),
        door=Wood((0.54, 0.32, 0.21), (0.40, 0.22, 0.14), 120.0, 0.5, 0.8, 32),
    ),
    'D': Appearance(
        wood=Wood((0.78, 0.60, 0.40), (0.53, 0.38, 0.24), 70.0, 0.6, 0.9, 41),
        door=Wood((0.72, 0.54, 0.35), (0.50, 0.36, 0.23), 50.0, 1.5, 0.8, 42),
    ),
}


# ---------------------------------------------------------------- textures


def _noise(rng: np.random.Generator, rows: int, cols: int, size: int) -> np.ndarray:
    # smooth noise: a coarse random grid, interpolated to (size, size)
    grid = rng.standard_normal((rows + 1, cols + 1))
    y, x = np.linspace(0, rows, size, endpoint=False), np.linspace(0, cols, size, endpoint=False)
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None], (x - x0)[None]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    a, b = grid[y0][:, x0], grid[y0][:, x0 + 1]
    c, d = grid[y0 + 1][:, x0], grid[y0 + 1][:, x0 + 1]
    return (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy


@functools.lru_cache(maxsize=16)
def wood_texture(wood: Wood) -> np.ndarray:
    """One square metre of a wood, uint8 (256, 256, 3)."""
    n = _WOOD_PIXELS
    rng = np.random.default_rng(wood.seed)
    bend = _noise(rng, 10, 3, n) * 0.02 * wood.waviness + _noise(rng, 30, 6, n) * 0.004
    along = np.arange(n)[None] / n
    y = np.arange(n)[:, None] / n + bend + wood.slant * along  # [m] across the grain
    lines = int(wood.lines_per_m * 4)
    profile = rng.standard_normal(lines)
    at = (y * lines / 1.4 + lines * 0.14) % (lines - 1)
    low = at.astype(int)
    part = at - low
    rings = profile[low] * (1 - part) + profile[low + 1] * part
    fibre = _noise(rng, n // 2, 24, n)
    patch = _noise(rng, 4, 4, n)
    mix = 0.5 + wood.contrast * (0.28 * rings + 0.12 * fibre + 0.15 * patch)
    if wood.fine:
        short = _noise(rng, n // 3, n // 8, n) + 0.8 * _noise(rng, n // 2, n // 3, n)
        mix = mix + wood.fine * short
    mix = np.clip(mix, 0.0, 1.0)[..., None]  # (n, n, 1)
    if wood.grain_along == 'y':
        mix = mix.swapaxes(0, 1)
    rgb = np.array(wood.dark) * (1 - mix) + np.array(wood.light) * mix
    return (255 * np.clip(rgb, 0, 1)).astype(np.uint8)


@functools.lru_cache(maxsize=16)
def floor_texture(
    colours: tuple[RGB, RGB], tile_m: float, offset_m: tuple[float, float]
) -> np.ndarray:
    """The chequered floor, uint8 (512, 512, 3), covering x and y from -4 to 4 m."""
    n = _FLOOR_PIXELS
    at = (np.arange(n) + 0.5) / n * 2 * FLOOR_HALF - FLOOR_HALF
    ix = np.floor((at - offset_m[0]) / tile_m).astype(int)
    iy = np.floor((at - offset_m[1]) / tile_m).astype(int)
    odd = (ix[None, :] + iy[:, None]) % 2  # (n, n)
    return (255 * np.array(colours)[odd]).astype(np.uint8)
