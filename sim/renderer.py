# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Draws the play table with PyBullet's TinyRenderer.

What is seen lives in two worlds apart from the physics: one of what stands still (floor, table) and
one of what moves or changes colour (robot, blocks, drawer, door, switch, button, lights). A fixed
camera draws the first once and keeps it; each picture is then the second drawn alone and laid over
it by depth. Nothing casts shadows, so the result is what one world would show, in a third of the
time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.sim import cameras
from vw2_ros.sim.appearance import FLOOR_HALF, Appearance, floor_texture, wood_texture
from vw2_ros.sim.arm_body import ArmBody
from vw2_ros.sim.arms import write_arm
from vw2_ros.sim.cameras import Camera, View
from vw2_ros.sim.details import detailed_links
from vw2_ros.sim.engine import Engine
from vw2_ros.sim.furniture import table_links
from vw2_ros.sim.meshes import (
    box_faces,
    cylinder_faces,
    write_floor,
    write_obj,
    write_table,
    write_tga,
)
from vw2_ros.sim.scenes import BLOCK_COLOURS, Scene

_LED = {0: (1.0, 1.0, 1.0, 1.0), 1: (0.0, 1.0, 0.0, 1.0)}
_BULB = {0: (1.0, 1.0, 1.0, 1.0), 1: (1.0, 1.0, 0.0, 1.0)}
_STILL = ('table', 'plank')
_BACKGROUNDS_KEPT = 8


@dataclass(frozen=True)
class Posture:
    """Everything that a picture depends on besides the looks."""

    robot: np.ndarray  # (n + 2,) arm [rad] and fingers [m]
    table: dict[str, float]  # slider, drawer, button, switch [m]
    blocks: dict[str, tuple[np.ndarray, np.ndarray]]  # colour -> position (3,), quaternion (4,)
    led: int
    lightbulb: int


@dataclass(frozen=True)
class _Shapes:
    """The files (URDF) of what is seen: what stands still of the table, what moves, and the arm."""

    still: Path
    moving: Path
    arm: Path
    materials: dict[Path, dict[str, list[str]]] = field(default_factory=dict)  # see `write_table`


class TableRenderer:
    """The two drawn worlds of one table."""

    def __init__(self, scene: Scene, appearance: Appearance, folder: Path, arm: Arm) -> None:
        """Write the files that are needed into `folder` and build the worlds."""
        self._folder = folder
        self._scene, self._arm = scene, arm
        self._written: dict[bool, _Shapes] = {}
        self._floor_obj = write_floor(folder, FLOOR_HALF)
        height = float(arm.base_position[2])
        self._pedestal_obj = write_obj(
            folder / 'pedestal.obj', cylinder_faces((0.0, 0.0, 0.5 * height), 0.13, height, 32)
        )
        self._block_objs = {
            colour: write_obj(folder / f'block_{colour}.obj', box_faces((0, 0, 0), size))
            for colour, size in scene.block_sizes.items()
        }
        self._still: Engine | None = None
        self._moving: Engine | None = None
        self.set_appearance(appearance)

    def close(self) -> None:
        """Free both worlds."""
        for engine in (self._still, self._moving):
            if engine is not None:
                engine.close()

    # -------------------------------------------------------------- looks

    def _shapes(self, detailed: bool) -> _Shapes:
        """What is seen of robot and table, written the first time that it is wanted."""
        if detailed not in self._written:
            folder = self._folder / ('detailed' if detailed else 'plain')
            folder.mkdir()
            links = detailed_links(self._scene) if detailed else table_links(self._scene)
            still = [link for link in links if link.name in _STILL]
            moving = [replace(links[0], parts=())] + [x for x in links if x.name not in _STILL]
            shapes = _Shapes(folder / 'still.urdf', folder / 'moving.urdf', folder / 'arm.urdf')
            shapes.materials[shapes.still] = write_table(still, shapes.still, seen=True)
            shapes.materials[shapes.moving] = write_table(moving, shapes.moving, seen=True)
            write_arm(self._arm, shapes.arm, seen=True, detailed=detailed)
            self._written[detailed] = shapes
        return self._written[detailed]

    def set_appearance(self, appearance: Appearance) -> None:
        """Build both worlds anew with these looks."""
        self.appearance = appearance
        self._backgrounds: OrderedDict[tuple, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._lights: tuple[int, int] | None = None
        look = appearance
        files = {
            'wood': write_tga(self._folder / 'wood.tga', wood_texture(look.wood)),
            'door': write_tga(self._folder / 'door.tga', wood_texture(look.door)),
            'floor': write_tga(
                self._folder / 'floor.tga',
                floor_texture(look.floor, look.floor_tile_m, look.floor_offset_m),
            ),
        }
        shapes = self._shapes(look.detailed)

        # an engine keeps every image that it has read by its name until it is closed
        self.close()
        engine = self._still = Engine()
        textures = {name: engine.load_texture(str(path)) for name, path in files.items()}
        # what is drawn later is shaded only where it is seen: the floor comes last
        table = engine.load_urdf(str(shapes.still), fixed=True)
        self._paint_table(engine, table, shapes.materials[shapes.still], textures)
        x, y, _ = self._arm.base_position
        engine.add_visual_mesh(str(self._pedestal_obj), (*look.robot, 1.0), (x, y, 0.0))
        floor = engine.add_visual_mesh(str(self._floor_obj))
        engine.paint(floor, -1, texture=textures['floor'])

        engine = self._moving = Engine()
        textures = {name: engine.load_texture(str(files[name])) for name in ('wood', 'door')}
        self._robot = ArmBody(engine, self._arm, shapes.arm)
        for link, shape, rgba in engine.visual_shapes(self._robot.body):
            own = rgba[:3] if look.detailed else (1.0, 1.0, 1.0)
            colour = [a * b for a, b in zip(own, look.robot)]
            engine.paint(self._robot.body, link, rgba=(*colour, 1.0), shape=shape)
        self._blocks = {
            colour: engine.add_visual_mesh(str(obj), BLOCK_COLOURS[colour])
            for colour, obj in self._block_objs.items()
        }
        self._table = engine.load_urdf(str(shapes.moving), fixed=True)
        self._joints = {j.link: j.index for j in engine.joints(self._table)}
        self._paint_table(engine, self._table, shapes.materials[shapes.moving], textures)

    def _paint_table(
        self, engine: Engine, body: int, materials: dict[str, list[str]], textures: dict[str, int]
    ) -> None:
        plain = {
            'handle': (*self.appearance.handle, 1.0),
            'button': (0.0, 0.0, 0.0, 1.0),
            'slot': (*(0.5 * c for c in self.appearance.wood.dark), 1.0),
            'shade': (*(0.8 * c for c in self.appearance.wood.dark), 1.0),
        }
        index = {j.link: j.index for j in engine.joints(body)}
        for link, kinds in materials.items():
            for shape, material in enumerate(kinds):
                where = index.get(link, -1)
                if material in textures:
                    engine.paint(body, where, texture=textures[material], shape=shape)
                elif material in plain:
                    engine.paint(body, where, rgba=plain[material], shape=shape)

    # -------------------------------------------------------------- pictures

    def render(
        self, camera: Camera, view: View, size, posture: Posture, *, fov_deg: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """One picture of a posture: rgb uint8 (H, W, 3) and depth float32 (H, W) [m]."""
        light = self.appearance.light.arguments()
        self._place(posture)

        def draw(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
            return cameras.render(engine, camera, view, size, fov_deg=fov_deg, light=light)

        if camera is cameras.STATIC:
            back_rgba, back_depth = self._background((view, str(size), fov_deg), draw)
        else:
            back_rgba, back_depth = draw(self._still)
        rgba, depth = draw(self._moving)
        behind = back_depth < depth  # (H, W)
        # a pixel as one number, then colour by colour: much quicker than rows of three
        whole = np.where(behind[:, :, None], back_rgba.view(np.uint32), rgba.view(np.uint32))
        whole = whole.view(np.uint8)  # (H, W, 1) -> (H, W, 4)
        rgb = np.empty((*behind.shape, 3), np.uint8)
        for k in range(3):
            rgb[:, :, k] = whole[:, :, k]
        return rgb, np.where(behind, back_depth, depth)

    def _background(self, key: tuple, draw) -> tuple[np.ndarray, np.ndarray]:
        found = self._backgrounds.get(key)
        if found is None:
            found = self._backgrounds[key] = draw(self._still)
            if len(self._backgrounds) > _BACKGROUNDS_KEPT:
                self._backgrounds.popitem(last=False)
        return found

    def _place(self, posture: Posture) -> None:
        engine = self._moving
        self._robot.place(posture.robot)
        for name, value in posture.table.items():
            engine.set_joint(self._table, self._joints[name], value)
        for colour, (position, quaternion) in posture.blocks.items():
            engine.set_pose(self._blocks[colour], position, quaternion)
        if self._lights != (posture.led, posture.lightbulb):
            self._lights = (posture.led, posture.lightbulb)
            engine.paint(self._table, self._joints['led'], rgba=_LED[posture.led])
            engine.paint(self._table, self._joints['lightbulb'], rgba=_BULB[posture.lightbulb])
