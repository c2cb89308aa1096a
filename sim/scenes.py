# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The geometry of CALVIN's four play tables A, B, C and D, and of tables drawn at random.

World frame, metres, radians. The front of the table is -y. A cabinet stands at the back; its front
leans back by 30 degrees, carries a sliding door before a shelf (the "plank") and a switch; a drawer
hangs under the table top; button, LED plate and light bulb complete it. `Scene` holds what differs
between the tables, `random_scene` draws a table that nobody built, with its parts elsewhere,
`random_scene_obs` draws a start; `furniture` turns a scene into links of convex parts. No physics
engine here.

| scene_obs | what | range |
| --- | --- | --- |
| 0 | slider, moved along -x [m] | 0 .. slider_range |
| 1 | drawer, pulled along -y [m] | 0 .. 0.22 |
| 2 | button, pressed [m] | 0 .. 0.02 |
| 3 | switch, pushed up [m] | 0 .. 0.088 |
| 4 | light bulb, on while the switch is above 0.044 | 0 or 1 |
| 5 | LED, toggled when the button goes past 0.010 | 0 or 1 |
| 6-11, 12-17, 18-23 | position [m] and Euler angles [rad] of the blocks, in `block_order` | |
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.errors import SimulationError

TABLE_TOP = 0.44
PLANK_TOP = 0.441
CABINET_TOP = 0.648
DRAWER_RANGE = 0.22
BUTTON_TRAVEL = 0.02
BUTTON_THRESHOLD = 0.010
SWITCH_TRAVEL = 0.088
SWITCH_THRESHOLD = 0.044
LEAN = math.radians(30.0)  # of the cabinet's front
SLIDER_HANDLE = 0.14  # its x from the slider's frame
BLOCK_SIZES = MappingProxyType(
    {'small': (0.04, 0.04, 0.04), 'middle': (0.056, 0.04, 0.04), 'big': (0.08, 0.04, 0.04)}
)
BLOCK_COLOURS = MappingProxyType(
    {'red': (1.0, 0.0, 0.0, 1.0), 'blue': (0.0, 0.0, 1.0, 1.0), 'pink': (1.0, 0.0, 1.0, 1.0)}
)
COLOURS = tuple(BLOCK_COLOURS)
SURFACES = ('table', 'slider_left', 'slider_right')


@dataclass(frozen=True)
class Region:
    """A rectangle that block centres are drawn from, and their height [m]."""

    x: tuple[float, float]
    y: tuple[float, float]
    z: float


@dataclass(frozen=True)
class Scene:
    """What tells one table from another; lengths in metres."""

    name: str
    button_x: float
    switch_x: float
    slider_x: float
    slider_range: float
    drawer_x: float
    plank_x: float
    block_order: tuple[str, str, str]
    block_kinds: Mapping[str, str]
    spawn: Mapping[str, Region]
    start_x: tuple[float, float]  # of the two places on the table where blocks of chains begin
    default_blocks: Mapping[str, tuple[float, float, float, float]] = field(
        default_factory=dict
    )  # colour -> x, y, z, yaw

    @property
    def bulb_x(self) -> float:
        """The light bulb stands above the switch."""
        return self.switch_x

    @property
    def led_x(self) -> float:
        """The LED lies behind the button."""
        return self.button_x

    @functools.cached_property
    def block_sizes(self) -> dict[str, tuple[float, float, float]]:
        """Colour -> full side lengths (x, y, z) [m]."""
        return {c: BLOCK_SIZES[self.block_kinds[c]] for c in COLOURS}

    @functools.cached_property
    def handles(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """slider, drawer, switch -> where to take the handle at position 0 (3,), its way (3,)."""
        return {
            'slider': (
                np.array([self.slider_x + SLIDER_HANDLE, 0.0, 0.545]),
                np.array([-1.0, 0.0, 0.0]),
            ),
            'drawer': (np.array([self.drawer_x, -0.2475, 0.36]), np.array([0.0, -1.0, 0.0])),
            'switch': (
                np.array([self.switch_x, 0.0134, 0.5225]),
                np.array([0.0, math.sin(LEAN), math.cos(LEAN)]),
            ),
        }

    @property
    def opening(self) -> tuple[float, float]:
        """Left and right end in x of the shelf in the cabinet."""
        return self.plank_x - 0.26, self.plank_x + 0.26

    def default_obs(self) -> np.ndarray:
        """The fixed start (24,): everything closed and off, the blocks at their places."""
        obs = np.zeros(24)
        for i, colour in enumerate(self.block_order):
            x, y, z, yaw = self.default_blocks[colour]
            obs[6 + 6 * i : 12 + 6 * i] = (x, y, z, 0.0, 0.0, yaw)
        return obs


def _spawn(table_x, left_x, right_x) -> Mapping[str, Region]:
    shelf = PLANK_TOP + 0.02
    return MappingProxyType(
        {
            'table': Region(table_x, (-0.15, -0.03), TABLE_TOP + 0.02),
            'slider_left': Region(left_x, (0.05, 0.12), shelf),
            'slider_right': Region(right_x, (0.05, 0.12), shelf),
        }
    )


START_X = (0.0500000896, 0.229995412)
_AD_SHELF = ((-0.32, -0.16), (-0.05, 0.13))
SCENES: Mapping[str, Scene] = MappingProxyType(
    {
        'A': Scene(
            name='A',
            button_x=-0.28,
            switch_x=0.30,
            slider_x=-0.10,
            slider_range=0.28,
            drawer_x=0.10,
            plank_x=-0.10,
            block_order=('pink', 'blue', 'red'),
            block_kinds={'red': 'middle', 'blue': 'big', 'pink': 'small'},
            spawn=_spawn((-0.20, 0.35), *_AD_SHELF),
            start_x=START_X,
            default_blocks={
                'red': (0.08, 0.09, 0.461, 1.9),
                'blue': (-0.185, 0.085, 0.461, 1.1),
                'pink': (-0.185, -0.135, 0.46, 0.65),
            },
        ),
        'B': Scene(
            name='B',
            button_x=0.28,
            switch_x=-0.32,
            slider_x=0.088,
            slider_range=0.304,
            drawer_x=0.18,
            plank_x=0.08,
            block_order=('red', 'blue', 'pink'),
            block_kinds={'red': 'small', 'blue': 'big', 'pink': 'middle'},
            spawn=_spawn((-0.35, 0.15), (-0.12, 0.06), (0.15, 0.33)),
            start_x=(0.015, 0.15),  # closer, as the region on the table ends at 0.15
            default_blocks={
                'red': (-0.31, -0.145, 0.46, 0.65),
                'blue': (0.05, 0.09, 0.461, 0.9),
                'pink': (0.24, 0.09, 0.461, 1.5),
            },
        ),
        'C': Scene(
            name='C',
            button_x=-0.12,
            switch_x=-0.32,
            slider_x=0.06,
            slider_range=0.24,
            drawer_x=0.10,
            plank_x=0.08,
            block_order=('blue', 'red', 'pink'),
            block_kinds={'red': 'big', 'blue': 'small', 'pink': 'middle'},
            spawn=_spawn((0.0, 0.35), (-0.12, 0.06), (0.15, 0.30)),
            start_x=START_X,
            default_blocks={
                'red': (0.045, 0.085, 0.461, 0.85),
                'blue': (0.01, -0.12, 0.46, 0.65),
                'pink': (0.22, 0.09, 0.461, 1.5),
            },
        ),
        'D': Scene(
            name='D',
            button_x=-0.12,
            switch_x=0.30,
            slider_x=-0.10,
            slider_range=0.28,
            drawer_x=0.18,
            plank_x=-0.10,
            block_order=('red', 'blue', 'pink'),
            block_kinds={'red': 'middle', 'blue': 'small', 'pink': 'big'},
            spawn=_spawn((0.0, 0.35), *_AD_SHELF),
            start_x=START_X,
            default_blocks={
                'red': (0.011, -0.13, 0.46, -0.68),
                'blue': (-0.16, 0.09, 0.461, 1.0),
                'pink': (0.07, 0.09, 0.461, 1.5),
            },
        ),
    }
)


RANDOM = 'R'  # with a number: the table that this seed draws
_NUMBERED = re.compile(RANDOM + r'(0|[1-9][0-9]{0,9})')


def scene_seed(name: str) -> int | None:
    """The seed of a table that was drawn at random, of `R7` it is 7; None of every other name."""
    match = _NUMBERED.fullmatch(name) if isinstance(name, str) else None
    return int(match[1]) if match else None


def get_scene(name: str | Scene) -> Scene:
    """The scene of that letter, or with R and a number (`R7`) the table that this seed draws.

    Raises:
        InvalidValueError: there is none; the message names the known ones.
    """
    if isinstance(name, Scene):
        return name
    seed = scene_seed(name)
    if seed is not None:
        return random_scene(seed)
    try:
        return SCENES[name]
    except (KeyError, TypeError):
        raise InvalidValueError(
            f'unknown scene {name!r}. Choose one of {", ".join(SCENES)}, or R with a number, '
            'which draws a table'
        ) from None


@functools.lru_cache(maxsize=64)
def random_scene(seed: int) -> Scene:
    """A table whose parts stand elsewhere than on any of the four (domain randomisation).

    The shelf stands left or right and the switch beside it; drawer, button, the door's way and the
    blocks' sizes are drawn. What is drawn covers where the four tables have these parts.
    """
    rng = np.random.default_rng(seed)
    left = rng.random() < 0.5
    plank_x = rng.uniform(-0.13, -0.07) if left else rng.uniform(0.05, 0.11)
    # blocks lie on the wider side of the button
    button_x = rng.uniform(-0.30, -0.08) if rng.random() < 0.5 else rng.uniform(0.22, 0.30)
    table = (button_x + 0.12, 0.35) if button_x < 0 else (-0.35, button_x - 0.12)
    middle = min(max(0.0, table[0] + 0.14), table[1] - 0.14) + rng.uniform(0.0, 0.02)
    regions = (table, (plank_x - 0.21, plank_x - 0.05), (plank_x + 0.05, plank_x + 0.23))
    spawn = _spawn(*regions)
    order = tuple(str(c) for c in rng.permutation(COLOURS))
    return Scene(
        name=f'{RANDOM}{seed}',
        button_x=button_x,
        switch_x=rng.uniform(0.28, 0.33) if left else rng.uniform(-0.34, -0.28),
        slider_x=plank_x + rng.uniform(-0.02, 0.01),
        slider_range=rng.uniform(0.24, 0.30),
        drawer_x=rng.uniform(0.07, 0.21),
        plank_x=plank_x,
        block_order=order,
        block_kinds=dict(zip(COLOURS, (str(k) for k in rng.permutation(list(BLOCK_SIZES))))),
        spawn=spawn,
        start_x=(middle - 0.085, middle + 0.085),
        default_blocks={
            colour: (sum(region.x) / 2, sum(region.y) / 2, region.z, 1.0)
            for colour, region in zip(order, spawn.values())
        },
    )


def front_y(z: float) -> float:
    """Where the cabinet's leaning front is at a height z [m]: its y. On the table it is at 0.02."""
    return 0.02 + (z - TABLE_TOP) * math.tan(LEAN)


# ---------------------------------------------------------------- starts


def _corners(x: float, y: float, yaw: float, size) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    hx, hy = 0.5 * size[0], 0.5 * size[1]
    offsets = np.array([(hx, hy), (-hx, hy), (-hx, -hy), (hx, -hy)])  # (4, 2)
    return np.array([x, y]) + offsets @ np.array([[c, s], [-s, c]])


def _rectangles_apart(a: np.ndarray, b: np.ndarray, gap: float) -> bool:
    # separating axis over the edges of both
    for poly in (a, b):
        for i in range(2):
            edge = poly[i + 1] - poly[i]
            normal = np.array([-edge[1], edge[0]]) / np.hypot(*edge)
            pa, pb = a @ normal, b @ normal
            if pa.min() > pb.max() + gap or pb.min() > pa.max() + gap:
                return True
    return False


def _clear_of_table(corners: np.ndarray, surface: str, scene: Scene) -> bool:
    if surface == 'table':
        button = np.array([scene.button_x, -0.12])
        steps = np.linspace(0.0, 1.0, 9)[:, None]
        ring = np.concatenate(
            [corners[i] + steps * (corners[(i + 1) % 4] - corners[i]) for i in range(4)]
        )
        return bool(np.hypot(*(ring - button).T).min() > 0.037)
    left, right = scene.opening
    x, y = corners.T
    # the leaning door passes over the front of the shelf, at the height of a block's top here
    front = front_y(PLANK_TOP + 0.04) + 0.004
    return bool(
        x.min() > left + 0.002 and x.max() < right - 0.002 and y.max() < 0.158 and y.min() > front
    )


def random_scene_obs(scene: Scene | str, rng: np.random.Generator) -> np.ndarray:
    """A random start (24,): door, drawer, switch and LED at either end, the blocks anywhere.

    Each block lies on a surface drawn uniformly from `SURFACES` with a random yaw, redrawn until
    no block touches another, the button or a wall.
    """
    scene = get_scene(scene)
    slider, drawer, switch, led = (int(v) for v in rng.integers(0, 2, size=4))
    obs = np.zeros(24)
    obs[0] = slider * scene.slider_range
    obs[1] = drawer * DRAWER_RANGE
    obs[3] = switch * SWITCH_TRAVEL
    obs[4], obs[5] = switch, led
    sizes = scene.block_sizes
    placed: list[np.ndarray] = []
    for i, colour in enumerate(scene.block_order):
        for _ in range(10_000):
            surface = SURFACES[int(rng.integers(len(SURFACES)))]
            region = scene.spawn[surface]
            x, y = rng.uniform(*region.x), rng.uniform(*region.y)
            yaw = rng.uniform(-math.pi, math.pi)
            corners = _corners(x, y, yaw, sizes[colour])
            if _clear_of_table(corners, surface, scene) and all(
                _rectangles_apart(corners, other, 0.004) for other in placed
            ):
                break
        else:  # pragma: no cover - the surfaces have room for twelve
            raise SimulationError(
                f'scene {scene.name} must have room for the {colour} block. Got none'
            )
        placed.append(corners)
        obs[6 + 6 * i : 12 + 6 * i] = (x, y, region.z, 0.0, 0.0, yaw)
    return obs
