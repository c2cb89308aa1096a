# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The parts that CALVIN's play tables are made of: links of convex boxes, prisms and cylinders.

World frame where a link has no frame of its own; metres, radians. No physics engine here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vw2_ros.sim.scenes import (
    BUTTON_TRAVEL,
    CABINET_TOP,
    DRAWER_RANGE,
    LEAN,
    SLIDER_HANDLE,
    SWITCH_TRAVEL,
    TABLE_TOP,
    Scene,
    front_y,
)


@dataclass(frozen=True)
class Box:
    """A box in its link's frame: centre, full side lengths, roll about x [rad]."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    material: str = 'wood'
    roll: float = 0.0
    solid: bool = True


@dataclass(frozen=True)
class Prism:
    """A convex polygon drawn out along an axis.

    Along "x" it is (y, z), along "z" it is (x, y); counter-clockwise seen from the axis' far end.
    """

    polygon: tuple[tuple[float, float], ...]
    x: tuple[float, float]  # from where to where on that axis
    material: str = 'wood'
    solid: bool = True
    along: str = 'x'  # or "z"


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder in its link's frame."""

    centre: tuple[float, float, float]
    radius: float
    height: float
    material: str = 'wood'
    solid: bool = True


@dataclass(frozen=True)
class Sphere:
    """A ball in its link's frame."""

    centre: tuple[float, float, float]
    radius: float
    material: str = 'wood'
    solid: bool = True


Part = Box | Prism | Cylinder | Sphere


@dataclass(frozen=True)
class Link:
    """One link of the table."""

    name: str
    parts: tuple[Part, ...]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of its frame in the world [m]
    roll: float = 0.0  # of its frame about x [rad]
    axis: tuple[float, float, float] | None = None  # it slides along this; None: it is fixed
    travel: float = 0.0  # how far it slides [m]
    mass: float = 0.1  # [kg]


def table_links(scene: Scene) -> tuple[Link, ...]:
    """The table as links; the first one, "table", is the base and stands still."""
    plank = Box((scene.plank_x, 0.09, 0.4215), (0.52, 0.14, 0.039))
    button = Cylinder((0.0, 0.0, 0.0245), 0.035, 0.045, 'button')
    led = Box((scene.led_x, 0.16, 0.656), (0.166, 0.046, 0.016), 'light')
    bulb = Sphere((scene.bulb_x, 0.16, 0.67), 0.031, 'light')
    return (
        Link('table', (*_top(scene), *_aprons(scene), *_details(scene), *_legs()), mass=0.0),
        Link('plank', (plank,)),
        _drawer(scene),
        _slider(scene),
        _switch(scene),
        Link(
            'button',
            (button,),
            origin=(scene.button_x, -0.12, TABLE_TOP),
            axis=(0.0, 0.0, -1.0),
            travel=BUTTON_TRAVEL,
        ),
        Link('led', (led,)),
        Link('lightbulb', (bulb,)),
    )


def _cabinet_block(x: tuple[float, float]) -> Prism:
    return Prism(
        (
            (0.02, TABLE_TOP),
            (0.18, TABLE_TOP),
            (0.18, CABINET_TOP),
            (front_y(CABINET_TOP), CABINET_TOP),
        ),
        x,
    )


def _top(scene: Scene) -> list[Part]:
    """Table top, cabinet and back wall."""
    left, right = scene.opening
    return [
        Box((0.0, -0.08, 0.421), (0.88, 0.20, 0.038)),  # table top before the cabinet
        _cabinet_block((-0.44, left)),
        _cabinet_block((right, 0.44)),
        Box((0.0, 0.17, 0.535), (0.88, 0.02, 0.22)),  # back wall
        Prism(  # top of the cabinet
            (
                (front_y(0.626), 0.626),
                (0.18, 0.626),
                (0.18, CABINET_TOP),
                (front_y(CABINET_TOP), CABINET_TOP),
            ),
            (left, right),
        ),
        Box((0.5 * (left - 0.44), 0.10, 0.421), (left + 0.44, 0.16, 0.038)),
        Box((0.5 * (right + 0.44), 0.10, 0.421), (0.44 - right, 0.16, 0.038)),
    ]


def _aprons(scene: Scene) -> list[Part]:
    """The boards under the table top, open where the drawer runs."""
    left, right = scene.drawer_x - 0.221, scene.drawer_x + 0.221
    front = [
        Box((0.5 * (x0 + x1), -0.17, 0.367), (x1 - x0, 0.02, 0.07))
        for x0, x1 in ((-0.44, left), (right, 0.44))
        if x1 - x0 > 1e-3
    ]
    return front + [Box((x, 0.0, 0.367), (0.02, 0.36, 0.07)) for x in (-0.43, 0.43)]


def _details(scene: Scene) -> list[Part]:
    """What is only seen: a lip over the gap of the drawer, the button's rim, the switch's slots."""
    lip = Box((scene.drawer_x, -0.1785, 0.419), (0.444, 0.004, 0.042), solid=False)
    rim = Cylinder((scene.button_x, -0.12, TABLE_TOP + 0.009), 0.039, 0.018, solid=False)
    y = front_y(0.545) - 0.0005
    slots = [
        Box((x, y, 0.545), (0.004, 0.002, 0.11), 'slot', -LEAN, solid=False)
        for x in (scene.switch_x - 0.05, scene.switch_x + 0.05)
    ]
    return [lip, rim, *slots]


def _legs() -> list[Part]:
    return [Box((x, y, 0.19), (0.04, 0.04, 0.38)) for x in (-0.41, 0.41) for y in (-0.15, 0.15)]


def _drawer(scene: Scene) -> Link:
    parts = (
        Box((0.0, -0.06, 0.321), (0.44, 0.24, 0.042), 'door'),
        Box((0.0, -0.17125, 0.35), (0.44, 0.0165, 0.098), 'door'),
        Box((0.0, 0.054, 0.365), (0.44, 0.012, 0.07), 'door'),
        Box((-0.214, -0.06, 0.365), (0.012, 0.24, 0.07), 'door'),
        Box((0.214, -0.06, 0.365), (0.012, 0.24, 0.07), 'door'),
        # a bar that stands out, on two arms
        Box((0.0, -0.2475, 0.36), (0.24, 0.025, 0.04), 'handle'),
        Box((-0.108, -0.205, 0.36), (0.024, 0.062, 0.036), 'handle'),
        Box((0.108, -0.205, 0.36), (0.024, 0.062, 0.036), 'handle'),
    )
    return Link(
        'drawer',
        parts,
        origin=(scene.drawer_x, 0.0, 0.0),
        axis=(0.0, -1.0, 0.0),
        travel=DRAWER_RANGE,
        mass=0.5,
    )


def _slider(scene: Scene) -> Link:
    centre = SLIDER_HANDLE
    parts = (
        Box((centre - 0.006, 0.006, 0.007), (0.282, 0.228, 0.012), 'door'),
        Box((centre, 0.0, 0.070), (0.028, 0.17, 0.022), 'handle'),
        Box((centre, 0.074, 0.038), (0.026, 0.022, 0.052), 'handle'),
        Box((centre, -0.074, 0.038), (0.026, 0.022, 0.052), 'handle'),
    )
    return Link(
        'slider',
        parts,
        origin=(scene.slider_x, 0.075, 0.535),
        roll=math.radians(60.0),
        axis=(-1.0, 0.0, 0.0),
        travel=scene.slider_range,
        mass=0.3,
    )


def _switch(scene: Scene) -> Link:
    parts = (
        Box((0.0, 0.055, 0.0), (0.12, 0.02, 0.03), 'handle'),
        Box((-0.05, 0.022, 0.0), (0.02, 0.05, 0.02), 'handle'),
        Box((0.05, 0.022, 0.0), (0.02, 0.05, 0.02), 'handle'),
    )
    return Link(
        'switch',
        parts,
        origin=(scene.switch_x, 0.061, 0.495),
        roll=math.radians(150.0),
        axis=(0.0, 0.0, -1.0),
        travel=SWITCH_TRAVEL,
    )
