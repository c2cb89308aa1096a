# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What is seen of table and robot in a detailed look, and is not there for what collides.

The handles have the shape of CALVIN's, and the Panda has its visual meshes: those of
`pybullet_data` (Franka's franka_description, Apache-2.0), decimated from 101,735 triangles to 6,788 by
`.ci/panda_meshes`. They are part of this package, because a picture shall not depend on the version
of a decimator.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from vw2_ros.sim.furniture import Box, Cylinder, Link, Part, Prism, table_links
from vw2_ros.sim.meshes import write_shaded_obj
from vw2_ros.sim.scenes import LEAN, TABLE_TOP, Scene, front_y

MESHES = Path(__file__).with_name('data') / 'panda.npz'


# ---------------------------------------------------------------- table


def detailed_links(scene: Scene) -> tuple[Link, ...]:
    """`table_links` as they are seen in detail."""
    own = {'drawer': _drawer(), 'slider': _slider(), 'switch': _switch(), 'button': _button()}
    links = table_links(scene)
    wood = tuple(part for part in links[0].parts if part.solid)
    lip = Box((scene.drawer_x, -0.1785, 0.419), (0.444, 0.004, 0.042), solid=False)
    rim = Cylinder((scene.button_x, -0.12, TABLE_TOP + 0.009), 0.039, 0.018, solid=False)
    table = replace(links[0], parts=(*wood, lip, rim, *_grooves(scene)))
    return (table, *(replace(x, parts=own.get(x.name, x.parts)) for x in links[1:]))


def _bracket(
    half: float, foot: float, reach: float, radius: float, depth: tuple[float, float], along: str
) -> list[Part]:
    """A handle: a bar 2 cm thick on two legs, rounded outside.

    Args:
        half: half its length [m]. foot, reach: from where to where it stands out [m].
        radius: of its corners [m]. depth: where it lies on the third axis [m].
        along: that axis, see `Prism`.
    """
    turn = np.linspace(0.0, math.pi / 2, 4)
    u, v = half - radius, reach - radius
    corners = [(u + radius * math.cos(t), v + radius * math.sin(t)) for t in turn]
    bar = [(-half, reach - 0.02), (half, reach - 0.02), *corners]
    bar += [(-a, b) for a, b in reversed(corners)]
    legs = [
        [(x, foot), (x + 0.02, foot), (x + 0.02, reach - 0.02), (x, reach - 0.02)]
        for x in (-half, half - 0.02)
    ]
    return [Prism(tuple(p), depth, 'handle', along=along) for p in (bar, *legs)]


def _drawer() -> tuple[Part, ...]:
    bracket = _bracket(0.12, 0.18, 0.26, 0.008, (0.34, 0.38), 'z')
    return (
        Box((0.0, -0.05, 0.331), (0.40, 0.22, 0.022), 'door'),
        Box((0.0, -0.17, 0.35), (0.44, 0.02, 0.1), 'door'),
        Box((0.0, 0.05, 0.36), (0.40, 0.02, 0.08), 'door'),
        Box((-0.19, -0.05, 0.36), (0.02, 0.22, 0.08), 'door'),
        Box((0.19, -0.05, 0.36), (0.02, 0.22, 0.08), 'door'),
        # towards -y: turned by half a turn about z
        *(replace(p, polygon=tuple((-x, -y) for x, y in p.polygon)) for p in bracket),
    )


def _slider() -> tuple[Part, ...]:
    bracket = _bracket(0.08, 0.02, 0.08, 0.008, (0.12, 0.16), 'x')
    return (Box((0.14, 0.0, 0.01), (0.28, 0.22, 0.02), 'door'), *bracket)


def _switch() -> tuple[Part, ...]:
    return tuple(_bracket(0.06, 0.0, 0.064, 0.012, (-0.024, 0.008), 'z'))


def _button() -> tuple[Part, ...]:
    return (Cylinder((0.0, 0.0, 0.0245), 0.032, 0.045, 'button'),)


def _grooves(scene: Scene) -> list[Part]:
    """The two grooves that the switch runs in."""
    z = 0.541
    y = front_y(z) - 0.0005
    return [
        Box((scene.switch_x + x, y, z), (wide, 0.002, 0.112), kind, -LEAN, solid=False)
        for x in (-0.05, 0.05)
        for x, wide, kind in ((x - 0.002, 0.005, 'shade'), (x + 0.003, 0.005, 'wood'))
    ]


# ---------------------------------------------------------------- robot

# the finger as CALVIN's: see `hand._FINGER_SECTIONS`
FINGER_SECTIONS = (
    (0.000, 0.0027, 0.0285, 0.0105),
    (0.010, 0.0125, 0.0267, 0.0104),
    (0.020, 0.0170, 0.0261, 0.0104),
    (0.030, 0.0119, 0.0199, 0.0095),
    (0.040, 0.0035, 0.0152, 0.0100),
    (0.070, 0.0030, 0.0090, 0.0093),
    (0.072, 0.0009, 0.0089, 0.0093),
    (0.088, 0.0012, 0.0061, 0.0088),
    (0.096, 0.0030, 0.0045, 0.0080),
)
CAMERA_VISUAL = (  # the body of the wrist camera
    '<visual><origin xyz="-0.1 0 0" rpy="1.3 0 -1.57"/><geometry><box size="0.08 0.025 0.01"/>'
    '</geometry><material name="camera"><color rgba="1 1 1 1"/></material></visual>'
)


@functools.cache
def panda_pieces() -> dict[str, list[dict[str, np.ndarray]]]:
    """Link -> its pieces: corners (n, 3) [m], normals (n, 3), triangles (m, 3), colour (3,)."""
    pieces: dict[str, list[dict[str, np.ndarray]]] = {}
    with np.load(MESHES, allow_pickle=False) as data:
        for key in data.files:
            link, number, name = key.split('/')
            here = pieces.setdefault(link, [])
            if int(number) == len(here):
                here.append({})
            here[int(number)][name] = data[key]
    return pieces


def with_panda_meshes(text: str, folder: Path, prefix: str = 'panda') -> str:
    """A description (URDF) that shows the Panda's visual meshes, which are written into `folder`.

    Args:
        prefix: with which the names of its links begin.
    """
    for link, pieces in panda_pieces().items():
        link, shown = link.replace('panda', prefix), []
        for number, piece in enumerate(pieces):
            path = folder / f'{link}_{number}.obj'
            write_shaded_obj(path, piece['corners'], piece['normals'], piece['triangles'])
            r, g, b = piece['colour'].tolist()
            shown.append(
                f'<visual><geometry><mesh filename="{path.name}"/></geometry>'
                f'<material name="{path.stem}"><color rgba="{r} {g} {b} 1"/></material></visual>'
            )
        text = _with_visuals(text, link, ''.join(shown))
    return _with_visuals(text, 'wrist_camera', CAMERA_VISUAL)


def _with_visuals(text: str, link: str, visuals: str) -> str:
    """The same description with other visuals of one link, where it has that link."""

    def other(found: re.Match) -> str:
        bare = re.sub(r'<visual>.*?</visual>', '', found.group(0), flags=re.S)
        return bare.replace('</link>', f'{visuals}</link>')

    return re.sub(rf'<link name="{link}">.*?</link>', other, text, count=1, flags=re.S)
