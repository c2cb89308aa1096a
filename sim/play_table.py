# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table: an arm before one of CALVIN's four tables, simulated by PyBullet.

What its methods take and return, and the names of bodies and links, is told in `table`. Control at
30 Hz over physics at 240 Hz. World frame, metres, radians.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from vw2_ros.arms import Arm, open_arm
from vw2_ros.arms.actions import ACTION_HZ, EndEffectorController
from vw2_ros.arms.geometry import euler_to_quaternion, matrix_to_euler, quaternion_to_euler
from vw2_ros.files import ScratchFolder
from vw2_ros.sim import cameras
from vw2_ros.sim.appearance import LOOKS, RENDERERS, Appearance
from vw2_ros.sim.arm_body import ArmBody
from vw2_ros.sim.arms import write_arm
from vw2_ros.sim.engine import Engine
from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.furniture import Link, table_links
from vw2_ros.sim.inputs import parse_action, robot_start, scene_start
from vw2_ros.sim.meshes import write_table
from vw2_ros.sim.renderer import Posture, TableRenderer
from vw2_ros.sim.scenes import (
    BUTTON_THRESHOLD,
    BUTTON_TRAVEL,
    COLOURS,
    DRAWER_RANGE,
    SWITCH_THRESHOLD,
    SWITCH_TRAVEL,
    Scene,
    get_scene,
)
from vw2_ros.sim.state import BlockState, SceneState
from vw2_ros.sim.tasks import TaskOracle

PHYSICS_HZ = 240
SUBSTEPS = PHYSICS_HZ // ACTION_HZ
GRAVITY = -9.8
SOLVER_ITERATIONS = 50
FRICTION_MOTOR_FORCE = 4.0  # N, holds slider, switch and drawer where they are
BUTTON_SPRING_FORCE = 3.0  # N
BLOCK_MASS = 1.0  # kg
BLOCK_FRICTION = 0.7
BLOCK_SPINNING_FRICTION = 0.001
MECHANISMS = ('slider', 'drawer', 'button', 'switch')  # in the order of scene_obs


def _once_per_step(measure: Callable[[PlayTable], Any]) -> Callable[[PlayTable], Any]:
    # Between two steps nothing moves: what was measured is kept. Its arrays are not to be written.
    name = measure.__name__

    @functools.wraps(measure)
    def look(table: PlayTable) -> Any:
        seen = table._seen
        if name not in seen:
            seen[name] = measure(table)
        return seen[name]

    return look


class PlayTable:
    """One simulated table and arm in a PyBullet world of its own."""

    renderer = RENDERERS[LOOKS[0]]
    disagreements: tuple[str, ...] = ()  # it has one oracle only

    def __init__(
        self,
        scene: str | Scene = 'D',
        *,
        arm: Arm | None = None,
        appearance: Appearance | None = None,
    ) -> None:
        """Build the table.

        Args:
            scene: "A", "B", "C" or "D".
            arm: what stands before it; None: the one that `open_arm` gives.
            appearance: how it looks; None: the scene's own look.
        Raises:
            InvalidValueError: an unknown scene.
        """
        self.scene = get_scene(scene)
        self.arm = arm or open_arm()
        self.appearance = appearance or Appearance.of(self.scene.name)
        self.renderer = self.appearance.renderer
        self._folder = ScratchFolder()
        folder = self._folder.path
        links = table_links(self.scene)
        # contacts with a body without joints are solved much faster, so what stands still is apart
        self._still_urdfs = {x.name: folder / f'{x.name}.urdf' for x in links if x.axis is None}
        for link in links:
            if link.axis is None:
                write_table([link], self._still_urdfs[link.name], solid=True)
        self._table_urdf = folder / 'mechanisms.urdf'
        write_table(
            [Link('frame', ()), *(x for x in links if x.axis is not None)],
            self._table_urdf,
            solid=True,
        )
        self._arm_urdf = folder / 'arm.urdf'
        write_arm(self.arm, self._arm_urdf, solid=True)
        self._engine = Engine()
        self._drawing: list[TableRenderer] = []  # made at the first picture
        self._finalizer = weakref.finalize(
            self, _release, self._engine, self._drawing, self._folder
        )
        self._controller = EndEffectorController(self.arm)
        self.steps = 0
        self._seen: dict[str, Any] = {}
        self.reset()

    def close(self) -> None:
        """Free the world and its files; the table cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> PlayTable:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # -------------------------------------------------------------- reset

    def reset(
        self, robot_obs=None, scene_obs=None, *, rng: np.random.Generator | None = None
    ) -> None:
        """Rebuild the world in a given or random state; see `Table.reset`.

        The same arguments followed by the same actions give the same bits, in a fresh process or
        a used one.
        """
        q, width, gripper = robot_start(self.arm, robot_obs)
        scene_obs = scene_start(self.scene, scene_obs, rng)
        self._check_open()
        self._build(scene_obs)
        self._robot.reset(q, width)
        joints, _, _ = self._robot.joint_states()
        self._controller.reset(joints, gripper)
        self._command = joints, gripper
        self._robot.command(joints, gripper)
        self._engine.step(2)  # two physics steps: what lies on something touches it from here on
        self._seen.clear()
        self.steps = 0

    def _build(self, scene_obs: np.ndarray) -> None:
        engine = self._engine
        engine.clear()
        engine.set_physics(
            gravity=GRAVITY, time_step=1.0 / PHYSICS_HZ, solver_iterations=SOLVER_ITERATIONS
        )
        self._floor = engine.add_plane()
        self._robot = ArmBody(engine, self.arm, self._arm_urdf)
        self._table = engine.load_urdf(str(self._table_urdf), fixed=True)
        self._joint = {j.link: j.index for j in engine.joints(self._table)}
        self._link_names = {(self._table, index): name for name, index in self._joint.items()}
        still = {
            engine.load_urdf(str(path), fixed=True): name
            for name, path in self._still_urdfs.items()
        }
        self._link_names |= {(body, -1): name for body, name in still.items()}
        for body in still:  # parts of one table: they run within each other
            for index in (-1, *self._joint.values()):
                engine.ignore_collision(self._table, index, body, -1)
        for name in ('drawer', 'slider', 'switch'):
            engine.brake(self._table, self._joint[name], FRICTION_MOTOR_FORCE)
        engine.position_motors(
            self._table,
            [self._joint['button']],
            [0.0],
            force=BUTTON_SPRING_FORCE,
            max_velocity=1.0,
        )
        self._blocks: dict[str, int] = {}
        for i, colour in enumerate(self.scene.block_order):
            pose = scene_obs[6 + 6 * i : 12 + 6 * i]
            body = engine.add_box(
                self.scene.block_sizes[colour],
                pose[:3].tolist(),
                euler_to_quaternion(pose[3:]).tolist(),
                mass=BLOCK_MASS,
            )
            engine.set_contact(
                body,
                -1,
                lateral_friction=BLOCK_FRICTION,
                spinning_friction=BLOCK_SPINNING_FRICTION,
            )
            engine.never_sleep(body)
            self._blocks[colour] = body
        self._link_names |= {(self._floor, -1): 'floor'}
        self._link_names |= {(self._robot.body, i): name for i, name in self._robot.links.items()}
        self._body_names = (
            {self._floor: 'floor', self._table: 'table', self._robot.body: 'robot'}
            | dict.fromkeys(still, 'table')
            | {body: f'block_{colour}' for colour, body in self._blocks.items()}
        )

        limits = (self.scene.slider_range, DRAWER_RANGE, BUTTON_TRAVEL, SWITCH_TRAVEL)
        for name, value, top in zip(MECHANISMS, scene_obs, limits):
            engine.set_joint(self._table, self._joint[name], float(min(max(value, 0.0), top)))
        self._seen.clear()
        self._led = int(scene_obs[5] > 0.5)
        self._pressed = float(scene_obs[2]) > BUTTON_THRESHOLD
        self._bulb = int(self._mechanisms()['switch'] > SWITCH_THRESHOLD)

    # -------------------------------------------------------------- step

    def step(self, action) -> None:
        """One control step: 1/30 s. See `Table.step` for the kinds of action."""
        self._check_open()
        kind, values = parse_action(action, len(self.arm.joints))
        self._command = self._resolve(kind, values)
        self._robot.command(*self._command)
        self._engine.step(SUBSTEPS)
        self._seen.clear()
        self.steps += 1
        self._update_lights()

    def _resolve(self, kind: str, values: np.ndarray) -> tuple[np.ndarray, float]:
        controller = self._controller
        if kind == 'rel':
            return controller.step(values)
        if kind == 'abs':
            euler = values[3:6] if len(values) == 7 else quaternion_to_euler(values[3:7])
            return controller.move_to(values[:3], euler, values[-1])
        q = values[:-1]
        if kind == 'joint_rel':
            q = q + self.joint_positions()
        q = np.clip(q, self.arm.lower_rad, self.arm.upper_rad)
        controller.reset(q, values[-1])
        return q, float(values[-1])

    def _update_lights(self) -> None:
        mechanisms = self._mechanisms()
        pressed = mechanisms['button'] > BUTTON_THRESHOLD
        if pressed and not self._pressed:
            self._led = 1 - self._led
        self._pressed = pressed
        self._bulb = int(mechanisms['switch'] > SWITCH_THRESHOLD)

    # -------------------------------------------------------------- what is measured

    @property
    def time(self) -> float:
        """Simulated seconds since the last reset."""
        return self.steps / ACTION_HZ

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """The TCP target that relative actions move: position (3,) [m], Euler angles (3,) [rad]."""
        return self._controller.target

    @property
    def command(self) -> tuple[np.ndarray, float]:
        """The joints (n,) [rad] and the gripper (-1 or +1) that the motors hold."""
        joints, gripper = self._command
        return joints.copy(), gripper

    def joint_positions(self) -> np.ndarray:
        """(n,) [rad]."""
        return self._joint_states()[0].copy()

    def joint_velocities(self) -> np.ndarray:
        """(n,) [rad/s]."""
        return self._joint_states()[1].copy()

    def gripper_width(self) -> float:
        """Distance between the fingers' pads [m]."""
        return self._joint_states()[2]

    def tcp_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Measured position (3,) [m] and rotation (3, 3) of the TCP, world frame."""
        position, rotation = self._hand()
        return position.copy(), rotation.copy()

    def robot_obs(self) -> np.ndarray:
        """(8 + n,) float64, see `table`."""
        q, _, width = self._joint_states()
        position, rotation = self._hand()
        return np.concatenate(
            [position, matrix_to_euler(rotation), (width,), q, (self._command[1],)]
        )

    def scene_obs(self) -> np.ndarray:
        """(24,) float64, see `scenes`; blocks in the scene's order."""
        out = [*self._mechanisms().values(), self._bulb, self._led]
        poses = self._block_poses()
        for colour in self.scene.block_order:
            position, quaternion = poses[colour]
            out += position.tolist()
            out += quaternion_to_euler(quaternion).tolist()
        return np.array(out, dtype=float)

    @_once_per_step
    def state(self) -> SceneState:
        """Blocks with velocities and contacts, joints, lights, and what the robot touches."""
        engine = self._engine
        poses = self._block_poses()
        blocks = {}
        touched_by_robot = {self._body_names[b] for b, _ in engine.contacts(self._robot.body)}
        for colour in COLOURS:
            body = self._blocks[colour]
            linear, angular = engine.velocity(body)
            contacts = frozenset(
                (self._body_names[other], self._link_names.get((other, link), 'base'))
                for other, link in engine.contacts(body)
            )
            blocks[colour] = BlockState(*poses[colour], linear, angular, contacts)
        return SceneState(
            blocks=blocks,
            **self._mechanisms(),
            lightbulb=self._bulb,
            led=self._led,
            robot_contacts=frozenset(touched_by_robot - {'robot'}),
        )

    def judge(self, task: str) -> Callable[[], bool]:
        """Begin to judge a task, from the state as it stands; see `Table.judge`."""
        oracle, start = TaskOracle(self.scene), self.state()
        return lambda: oracle.succeeded(task, start, self.state())

    @_once_per_step
    def _joint_states(self) -> tuple[np.ndarray, np.ndarray, float]:
        return self._robot.joint_states()

    @_once_per_step
    def _hand(self) -> tuple[np.ndarray, np.ndarray]:
        position, rotation = self.arm.forward(self._joint_states()[0])
        return position + self.arm.base_position, rotation

    @_once_per_step
    def _mechanisms(self) -> dict[str, float]:
        joints = [self._joint[name] for name in MECHANISMS]
        return dict(zip(MECHANISMS, self._engine.joint_states(self._table, joints)[0].tolist()))

    @_once_per_step
    def _block_poses(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {colour: self._engine.pose(body) for colour, body in self._blocks.items()}

    # -------------------------------------------------------------- what is seen

    def render(self, camera: str = 'static', size=None, depth: bool = False):
        """A picture of the world as it stands: rgb, or (rgb, depth); see `Table.render`."""
        cam = cameras.get_camera(camera)
        self._check_open()
        rgb, metres = self._drawn().render(
            cam, self.view(camera), size, self._posture(), fov_deg=self.fov_deg(camera)
        )
        return (rgb, metres) if depth else rgb

    def view(self, camera: str = 'static') -> cameras.View:
        """Where a camera looks from now."""
        jitter = self.appearance.jitter
        if cameras.get_camera(camera) is cameras.GRIPPER:
            return cameras.gripper_view(self.arm, self.joint_positions(), jitter.gripper)
        base = cameras.STATIC_VIEW
        return cameras.View(
            tuple(np.add(base.eye, jitter.eye)), tuple(np.add(base.target, jitter.target)), base.up
        )

    def fov_deg(self, camera: str = 'static') -> float:
        """Vertical field of view of a camera [deg]."""
        cam = cameras.get_camera(camera)
        return cam.fov_deg * (self.appearance.jitter.fov_scale if cam is cameras.STATIC else 1.0)

    def set_appearance(self, appearance: Appearance | None) -> None:
        """Change the looks from now on; None: the scene's own. Physics is not touched."""
        self._check_open()
        self.appearance = appearance or Appearance.of(self.scene.name)
        self.renderer = self.appearance.renderer
        if self._drawing:
            self._drawing[0].set_appearance(self.appearance)

    def _drawn(self) -> TableRenderer:
        if not self._drawing:
            self._drawing.append(
                TableRenderer(self.scene, self.appearance, self._folder.path, self.arm)
            )
        return self._drawing[0]

    def _posture(self) -> Posture:
        return Posture(
            robot=self._robot.all_positions(),
            table=self._mechanisms(),
            blocks=self._block_poses(),
            led=self._led,
            lightbulb=self._bulb,
        )

    def _check_open(self) -> None:
        if not self._engine.is_open:
            raise SimulationError(
                'the play table must be open. Got one that was closed. Make a new one'
            )


def _release(engine: Engine, drawing: list[TableRenderer], folder: ScratchFolder) -> None:
    engine.close()
    for renderer in drawing:
        renderer.close()
    folder.close()
