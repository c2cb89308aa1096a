# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Franka Panda from `pybullet_data`, made light to draw and given longer fingers.

Its description is read from the wheel and rewritten: the visual meshes (about 100,000 triangles)
give way to the collision meshes (about 3,500), and the fingers end 0.152 m below the hand, so that
the tool centre point at 0.14 m lies between flat pads.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vw2_ros.arms.panda import BASE_POSITION, JOINT_LOWER, JOINT_UPPER
from vw2_ros.sim.engine import PANDA_DIR, Engine
from vw2_ros.sim.meshes import box_faces, write_obj

ARM_FORCE = 200.0  # N m
ARM_MAX_VELOCITY = 2.0  # rad/s
FINGER_CLOSE_FORCE = 200.0  # N
FINGER_OPEN_FORCE = 2.0  # N
FINGER_MAX_VELOCITY = 1.0  # m/s
FINGER_OPEN = 0.04  # each finger [m]; the gripper's width is twice that
_PAD_FRICTION = 1.2

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


def _finger_faces() -> list[np.ndarray]:
    rings = [
        np.array([[h, y0, z], [h, y1, z], [-h, y1, z], [-h, y0, z]])
        for z, y0, y1, h in _FINGER_SECTIONS
    ]
    faces = [rings[-1], rings[0][::-1]]
    for low, high in zip(rings, rings[1:]):
        for i in range(4):
            j = (i + 1) % 4
            faces.append(np.array([low[i], low[j], high[j], high[i]]))
    return faces


def _finger_xml(side: str, mesh: str) -> str:
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
        f'<geometry><mesh filename="{mesh}"/></geometry>'
        '<material name="panda_white"><color rgba="1 1 1 1"/></material></visual>'
        f'{shapes}</link>'
    )


def write_panda(path: Path, *, seen: bool = False, solid: bool = False) -> None:
    """Write the changed description to `path`, meshes beside it.

    Args:
        seen: with what is drawn.
        solid: with what collides.
    """
    text = (Path(PANDA_DIR) / 'panda.urdf').read_text()
    text = text.replace('meshes/visual/', 'meshes/collision/')
    text = text.replace('package://', PANDA_DIR.rstrip('/') + '/')
    finger = write_obj(path.parent / 'finger.obj', _finger_faces())
    for side in ('left', 'right'):
        text = re.sub(
            rf'<link name="panda_{side}finger">.*?</link>',
            _finger_xml(side, finger.name),
            text,
            flags=re.S,
        )
    # the body of the wrist camera, which the fixed camera sees too
    housing = write_obj(
        path.parent / 'wrist_camera.obj', box_faces((-0.122, 0, 0.0), (0.02, 0.08, 0.02))
    )
    text = text.replace(
        '</robot>',
        '<link name="wrist_camera"><inertial><mass value="0.0"/>'
        '<inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
        f'<visual><geometry><mesh filename="{housing.name}"/></geometry>'
        '<material name="panda_white"/></visual></link>'
        '<joint name="wrist_camera_joint" type="fixed"><parent link="panda_hand"/>'
        '<child link="wrist_camera"/></joint></robot>',
    )
    for element, wanted in (('visual', seen), ('collision', solid)):
        if not wanted:
            text = re.sub(rf'<{element}>.*?</{element}>', '', text, flags=re.S)
    path.write_text(text)


class Panda:
    """The arm within an engine: joints, fingers and their motors."""

    def __init__(self, engine: Engine, urdf: Path) -> None:
        """Load the description at `urdf` into an engine."""
        self.engine = engine
        self.body = engine.load_urdf(str(urdf), tuple(BASE_POSITION), fixed=True)
        joints = engine.joints(self.body)
        self.links = {-1: 'panda_link0'} | {j.index: j.link for j in joints}
        by_name = {j.name: j.index for j in joints}
        self.arm = tuple(by_name[f'panda_joint{i}'] for i in range(1, 8))
        self.fingers = (by_name['panda_finger_joint1'], by_name['panda_finger_joint2'])
        engine.gear(self.body, *self.fingers, max_force=50.0)
        self._opens: bool | None = None  # what the fingers' motors were last told

    def reset(self, q: np.ndarray, width: float) -> None:
        """Put the joints (7,) [rad] and the gripper [m] somewhere, at rest."""
        q = np.clip(q, JOINT_LOWER, JOINT_UPPER)
        finger = min(max(0.5 * width, 0.0), FINGER_OPEN)
        self.place(np.append(q, (finger, finger)))

    def place(self, positions: np.ndarray) -> None:
        """Put the nine joints (arm, then fingers) somewhere, at rest."""
        for joint, value in zip(self.arm + self.fingers, positions):
            self.engine.set_joint(self.body, joint, float(value))

    def all_positions(self) -> np.ndarray:
        """The nine joints (9,): arm [rad], fingers [m]."""
        return self.engine.joint_states(self.body, self.arm + self.fingers)[0]

    def command(self, q: np.ndarray, gripper: float) -> None:
        """Drive the joints (7,) [rad]; gripper +1 opens, -1 closes."""
        self.engine.position_motors(
            self.body,
            self.arm,
            np.asarray(q, dtype=float).tolist(),
            force=ARM_FORCE,
            max_velocity=ARM_MAX_VELOCITY,
        )
        opens = bool(gripper > 0)
        if opens is self._opens:
            return  # a motor keeps its goal
        self._opens = opens
        self.engine.position_motors(
            self.body,
            self.fingers,
            [FINGER_OPEN if opens else 0.0] * 2,
            force=FINGER_OPEN_FORCE if opens else FINGER_CLOSE_FORCE,
            max_velocity=FINGER_MAX_VELOCITY,
        )

    def joint_states(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Positions (7,), velocities (7,) and the gripper's width [m]."""
        states = self.engine.joint_states(self.body, self.arm + self.fingers)  # (2, 9)
        return states[0, :7], states[1, :7], float(states[0, 7] + states[0, 8])
