# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The hand of every arm on the table: the Franka Panda's from `pybullet_data`, with longer fingers.

The fingers end 0.152 m below the hand, so that the tool centre point at 0.14 m lies between flat
pads. They open along y of the hand, and point along its z.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vw2_ros.sim.engine import DATA_DIR
from vw2_ros.sim.meshes import box_faces, write_obj

TOOL_OFFSET_M = 0.14  # from the hand to the tool centre point, along z
FINGER_JOINTS = ('panda_finger_joint1', 'panda_finger_joint2')
FINGER_LINKS = ('panda_leftfinger', 'panda_rightfinger')
FINGER_OPEN_M = 0.04
FINGER_MESH, CAMERA_MESH = 'finger.obj', 'wrist_camera.obj'  # written by `write_meshes`

_PANDA = Path(DATA_DIR) / 'franka_panda'
_PAD_FRICTION = 1.2

Sections = tuple[tuple[float, float, float, float], ...]

# the finger in its own frame (z towards the tip, y away from the other finger): section by section
# the depth in y and the half width in x [m]
_FINGER_SECTIONS = (
    (0.000, 0.000, 0.026, 0.0105),
    (0.022, 0.000, 0.026, 0.0105),
    (0.046, 0.000, 0.017, 0.0105),
    (0.0936, 0.000, 0.007, 0.0085),
)
_PAD = ((0.0, 0.006, 0.0568), (0.020, 0.012, 0.0736))  # centre and size of what grips
_KNUCKLE = ((0.0, 0.013, 0.012), (0.021, 0.026, 0.024))


def panda_text() -> str:
    """The whole description (URDF) of the Panda and its hand, meshes by their full path.

    Its visual meshes (about 100,000 triangles) give way to the collision meshes (about 3,500).
    """
    text = (_PANDA / 'panda.urdf').read_text()
    text = text.replace('meshes/visual/', 'meshes/collision/')
    text = text.replace('package://', f'{_PANDA}/')
    for side in ('left', 'right'):
        text = re.sub(
            rf'<link name="panda_{side}finger">.*?</link>', _finger_xml(side), text, flags=re.S
        )
    # the body of the wrist camera, which the fixed camera sees too
    return text.replace(
        '</robot>',
        '<link name="wrist_camera"><inertial><mass value="0.0"/>'
        '<inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
        f'<visual><geometry><mesh filename="{CAMERA_MESH}"/></geometry>'
        '<material name="panda_white"/></visual></link>'
        '<joint name="wrist_camera_joint" type="fixed"><parent link="panda_hand"/>'
        '<child link="wrist_camera"/></joint></robot>',
    )


def hand_text() -> str:
    """The links and joints of the hand alone, from the link `panda_hand` on."""
    text = panda_text()
    names = ('panda_hand', *FINGER_LINKS, 'wrist_camera')
    parts = [
        re.search(rf'<link name="{name}">.*?</link>', text, flags=re.S).group(0) for name in names
    ]
    for name in (*FINGER_JOINTS, 'wrist_camera_joint'):
        parts.append(re.search(rf'<joint name="{name}" .*?</joint>', text, flags=re.S).group(0))
    return ''.join(parts)


def write_meshes(folder: Path, sections: Sections = _FINGER_SECTIONS) -> None:
    """Write the meshes that are not in `pybullet_data`; `sections` are those of a finger."""
    write_obj(folder / FINGER_MESH, _finger_faces(sections))
    write_obj(folder / CAMERA_MESH, box_faces((-0.122, 0, 0.0), (0.02, 0.08, 0.02)))


def _finger_faces(sections: Sections) -> list[np.ndarray]:
    rings = [
        np.array([[h, y0, z], [h, y1, z], [-h, y1, z], [-h, y0, z]]) for z, y0, y1, h in sections
    ]
    faces = [rings[-1], rings[0][::-1]]
    for low, high in zip(rings, rings[1:]):
        for i in range(4):
            j = (i + 1) % 4
            faces.append(np.array([low[i], low[j], high[j], high[i]]))
    return faces


def _finger_xml(side: str) -> str:
    sign = 1 if side == 'left' else -1
    yaw = '0' if side == 'left' else '3.14159265359'
    shapes = ''.join(
        f'<collision><origin xyz="0 {sign * c[1]} {c[2]}"/>'
        f'<geometry><box size="{s[0]} {s[1]} {s[2]}"/></geometry></collision>'
        for c, s in (_PAD, _KNUCKLE)
    )
    return (
        f'<link name="panda_{side}finger"><contact>'
        f'<lateral_friction value="{_PAD_FRICTION}"/><spinning_friction value="0.1"/></contact>'
        f'<inertial><origin xyz="0 {sign * 0.01} 0.04"/><mass value="0.1"/>'
        '<inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/></inertial>'
        f'<visual><origin rpy="0 0 {yaw}" xyz="0 0 0"/>'
        f'<geometry><mesh filename="{FINGER_MESH}"/></geometry>'
        '<material name="panda_white"><color rgba="1 1 1 1"/></material></visual>'
        f'{shapes}</link>'
    )
