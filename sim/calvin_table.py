# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The real CALVIN behind the protocol `Table`: the user's own checkout of calvin_env.

Its physics, its pictures and its task oracle are the checkout's. What its methods take and return is
told in `table`. Where calvin_env behaves in another way, this file brings the two together:

| what | calvin_env | here |
| --- | --- | --- |
| gripper | exactly -1 or +1, or an assertion fails | checked before anything moves |
| absolute and joint actions | leave the target of relative ones where it was | take it along |
| last gripper action after a reset | that of before | the one asked for |
| LED after a reset with the button down | toggles at the first step | stays |
| bulb after a reset with the switch up | goes on at the first step | is on at once |
| a step | draws all cameras | draws nothing: pictures are made on demand |
| a small picture | | drawn at the camera's own size, then shrunk by area |

The same actions after a reset differ by 1e-6 from run to run in one process, and this grows to
8e-4 rad in 120 steps; a fresh process gives the same bits.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from vw2_ros.arms import Arm, open_arm
from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.arms.geometry import euler_to_matrix, matrix_to_euler, quaternion_to_euler
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim import cameras
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.calvin_checkout import Checkout, close
from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.inputs import parse_action, robot_start, scene_start
from vw2_ros.sim.scenes import COLOURS, Scene, get_scene
from vw2_ros.sim.state import BlockState, SceneState
from vw2_ros.sim.tasks import TaskOracle, check_task

RENDERERS = {False: 'calvin_env_tiny', True: 'calvin_env_egl'}  # with EGL or without
ARM = 'panda'
# the checkout's names of links -> those of `table`
TABLE_LINKS = {
    'base_link': 'table',
    'plank_link': 'plank',
    'drawer_link': 'drawer',
    'slide_link': 'slider',
    'switch_link': 'switch',
    'button_link': 'button',
    'led_link': 'led',
    'light_link': 'lightbulb',
}
ROBOT_LINKS = {
    'panda_leftfinger': 'finger_left',
    'finger_left_tip': 'finger_left',
    'panda_rightfinger': 'finger_right',
    'finger_right_tip': 'finger_right',
}
DOORS = {'slider': 'base__slide', 'drawer': 'base__drawer'}
BUTTON, SWITCH = 'base__button', 'base__switch'


class CalvinTable:
    """One environment of a checkout of calvin_env; a process can have one at a time."""

    renderer = RENDERERS[False]

    def __init__(
        self,
        scene: str | Scene = 'D',
        *,
        calvin_env: str,
        egl: bool = False,
        arm: Arm | None = None,
        appearance: Appearance | None = None,
    ) -> None:
        """Open the environment.

        Args:
            scene: "A", "B", "C" or "D".
            calvin_env: folder of the checkout.
            egl: draw with EGL, on a graphics card; else with TinyRenderer.
            arm, appearance: must be None, or the Panda: CALVIN has its own.
        Raises:
            InvalidValueError: a scene that the checkout has not, another arm or appearance.
            MissingFileError, MissingPackageError, SimulationError: see `Checkout.open`.
        """
        self.scene = get_scene(scene)
        self.arm = arm or open_arm()
        if self.arm.name != ARM:
            raise InvalidValueError(f'CALVIN has one arm, the Panda. Got {self.arm.name!r}')
        self.set_appearance(appearance)
        self.renderer = RENDERERS[egl]
        self.disagreements: list[str] = []
        self._env, self._tasks = Checkout.find(calvin_env).open(self.scene.name, egl)
        self._finalizer = weakref.finalize(self, close, self._env)
        self._cameras = {c.name: c for c in self._env.cameras}
        self._env.cameras = []  # they draw when they are asked to
        self._name_things()
        self._catch_commands()
        self.steps = 0
        self.reset()

    def _name_things(self) -> None:
        env = self._env
        fixed, movable = env.scene.fixed_objects, env.scene.movable_objects
        self._robot_uid = env.robot.robot_uid
        (self._table_uid,) = (body.uid for body in fixed)
        self._bodies = {self._robot_uid: 'robot', self._table_uid: 'table'}
        self._bodies |= {body.uid: body.name for body in movable}
        links = fixed[0].get_info()['links']
        self._links = {
            (self._table_uid, index): TABLE_LINKS.get(name, name) for name, index in links.items()
        }
        for index in range(-1, env.p.getNumJoints(self._robot_uid, physicsClientId=env.cid)):
            name = ''
            if index >= 0:
                joint = env.p.getJointInfo(self._robot_uid, index, physicsClientId=env.cid)
                name = joint[12].decode()
            self._links[self._robot_uid, index] = ROBOT_LINKS.get(name, 'arm')
        missing = set(TABLE_LINKS) - set(links)
        missing |= {n for n in (f'block_{c}' for c in COLOURS) if n not in self._bodies.values()}
        missing |= set(ROBOT_LINKS.values()) - set(self._links.values())
        if missing:
            self.close()
            raise SimulationError(
                f'calvin_env must have its links and blocks. Got none for '
                f'{", ".join(sorted(missing))}. Is the checkout of another version?'
            )

    def _catch_commands(self) -> None:
        # what the motors hold is nowhere to be read afterwards
        robot = self._env.robot
        drive = robot.control_motors

        def control_motors(joints) -> None:
            self._joints = np.array(joints[: len(self.arm.joints)], dtype=float)
            drive(joints)

        robot.control_motors = control_motors

    def close(self) -> None:
        """End the simulator; the table cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> CalvinTable:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # -------------------------------------------------------------- control

    def reset(
        self, robot_obs=None, scene_obs=None, *, rng: np.random.Generator | None = None
    ) -> None:
        """Put the world into a given or random state; see `Table.reset`."""
        q, width, gripper = robot_start(self.arm, robot_obs)
        scene_obs = scene_start(self.scene, scene_obs, rng)
        self._check_open()
        env = self._env
        # the environment reads the joints, the width and the last of these
        start = np.concatenate([np.zeros(6), (width,), q, (gripper,)])
        env.robot.gripper_action = int(gripper)
        env.reset(start, scene_obs)
        for button in env.scene.buttons:
            button.prev_is_pressed = button._is_pressed
        for switch in env.scene.switches:
            switch.step()  # the light follows the switch from here on
            if switch.light is not None and not switch.is_pressed:
                switch.light.turn_off()
        self._joints = q.copy()
        self._renew(env.get_info())
        self.steps = 0

    def step(self, action) -> None:
        """One control step: 1/30 s. See `Table.step` for the kinds of action."""
        self._check_open()
        kind, values = parse_action(action, len(self.arm.joints))
        if kind == 'rel':
            self._do(values)
        elif kind == 'abs':
            self._do({'type': 'cartesian_abs', 'action': values})
            euler = values[3:6] if len(values) == 7 else quaternion_to_euler(values[3:7])
            self._aim(values[:3], euler)
        else:
            q = values[:-1] + (self.joint_positions() if kind == 'joint_rel' else 0.0)
            q = np.clip(q, self.arm.lower_rad, self.arm.upper_rad)
            self._do({'type': 'joint_abs', 'action': np.append(q, values[-1])})
            at, turn = self.arm.forward(q)
            self._aim(at + self.arm.base_position, matrix_to_euler(turn))
        self.steps += 1

    def _do(self, action) -> None:
        self._renew(self._env.step(action)[3])

    def _aim(self, position, euler) -> None:
        # or the next relative action would start from where the last one had ended
        self._env.robot.target_pos = np.array(position, dtype=float)
        self._env.robot.target_orn = np.array(euler, dtype=float)

    def _renew(self, info: dict[str, Any]) -> None:
        self._info = info
        self._state: SceneState | None = None

    # -------------------------------------------------------------- what is measured

    @property
    def time(self) -> float:
        """Simulated seconds since the last reset."""
        return self.steps / ACTION_HZ

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """The TCP target that relative actions move: position (3,) [m], Euler angles (3,) [rad]."""
        robot = self._env.robot
        return np.array(robot.target_pos, dtype=float), np.array(robot.target_orn, dtype=float)

    @property
    def command(self) -> tuple[np.ndarray, float]:
        """The joints (n,) [rad] and the gripper (-1 or +1) that the motors hold."""
        return self._joints.copy(), float(self._env.robot.gripper_action)

    def joint_positions(self) -> np.ndarray:
        """(n,) [rad]."""
        return self._joint_states(0)

    def joint_velocities(self) -> np.ndarray:
        """(n,) [rad/s]."""
        return self._joint_states(1)

    def _joint_states(self, which: int) -> np.ndarray:
        env = self._env
        states = env.p.getJointStates(
            self._robot_uid, list(env.robot.arm_joint_ids), physicsClientId=env.cid
        )
        return np.array([state[which] for state in states])

    def gripper_width(self) -> float:
        """Distance between the fingers' pads [m]."""
        return float(self._info['robot_info']['gripper_opening_width'])

    def tcp_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Measured position (3,) [m] and rotation (3, 3) of the TCP, world frame."""
        robot = self._info['robot_info']
        return np.array(robot['tcp_pos']), euler_to_matrix(robot['tcp_orn'])

    def robot_obs(self) -> np.ndarray:
        """(8 + n,) float64, see `table`."""
        robot = self._info['robot_info']
        return np.array(
            [
                *robot['tcp_pos'],
                *robot['tcp_orn'],
                robot['gripper_opening_width'],
                *robot['arm_joint_states'],
                robot['gripper_action'],
            ],
            dtype=float,
        )

    def scene_obs(self) -> np.ndarray:
        """(24,) float64, see `scenes`; blocks in the scene's order."""
        return np.array(self._env.scene.get_obs(), dtype=float)

    def state(self) -> SceneState:
        """Blocks with velocities and contacts, joints, lights, and what the robot touches."""
        if self._state is None:
            scene = self._info['scene_info']
            self._state = SceneState(
                blocks={c: self._block(scene['movable_objects'][f'block_{c}']) for c in COLOURS},
                slider=scene['doors'][DOORS['slider']]['current_state'],
                drawer=scene['doors'][DOORS['drawer']]['current_state'],
                button=scene['buttons'][BUTTON]['joint_state'],
                switch=scene['switches'][SWITCH]['joint_state'],
                lightbulb=int(scene['lights']['lightbulb']['logical_state']),
                led=int(scene['lights']['led']['logical_state']),
                robot_contacts=frozenset(
                    body
                    for body, _ in self._touched(self._info['robot_info']['contacts'])
                    if body != 'robot'
                ),
            )
        return self._state

    def _block(self, info: dict[str, Any]) -> BlockState:
        return BlockState(
            position=np.array(info['current_pos']),
            orientation=np.array(info['current_orn']),
            linear_velocity=np.array(info['current_lin_vel']),
            angular_velocity=np.array(info['current_ang_vel']),
            contacts=self._touched(info['contacts']),
        )

    def _touched(self, points) -> frozenset[tuple[str, str]]:
        """(body, link) of the other side of contact points as PyBullet gives them."""
        found = set()
        for point in points or ():
            body, link = point[2], point[4]
            name = self._bodies.get(body, 'floor')
            base = 'floor' if name == 'floor' else 'base'
            found.add((name, self._links.get((body, link), base)))
        return frozenset(found)

    def judge(self, task: str) -> Callable[[], bool]:
        """Begin to judge a task by CALVIN's own oracle; see `Table.judge`.

        This package's oracle runs beside it. A step at which the two differ goes to
        `disagreements`.
        """
        check_task(task)
        if task not in self._tasks.tasks:
            raise InvalidValueError(f"CALVIN's oracle must know {task}. Got none in the checkout")
        oracle, start, began = TaskOracle(self.scene), self.state(), self._info

        def done() -> bool:
            theirs = bool(self._tasks.get_task_info_for_set(began, self._info, {task}))
            ours = oracle.succeeded(task, start, self.state())
            if ours != theirs:
                self.disagreements.append(
                    f'{task}, step {self.steps}: CALVIN {theirs}, this package {ours}'
                )
            return theirs

        return done

    # -------------------------------------------------------------- what is seen

    def render(self, camera: str = 'static', size=None, depth: bool = False):
        """A picture of the world as it stands: rgb, or (rgb, depth); see `Table.render`.

        A picture that is smaller than the camera's own is drawn at that size and shrunk, as who
        uses CALVIN's data would do it.
        """
        width, height = cameras.image_size(cameras.get_camera(camera), size)
        self._check_open()
        theirs = self._cameras[camera]
        own = theirs.width, theirs.height
        if width * own[1] != height * own[0]:
            raise InvalidValueError(
                f"CALVIN's {camera} camera must keep its shape, {own[0]} x {own[1]}. "
                f'Got {width} x {height}'
            )
        theirs.width, theirs.height = max(width, own[0]), max(height, own[1])
        try:
            rgb, metres = theirs.render()
        finally:
            theirs.width, theirs.height = own
        rgb = np.ascontiguousarray(rgb, dtype=np.uint8)
        metres = np.asarray(metres, dtype=np.float32)
        if rgb.shape[:2] != (height, width):
            import cv2  # calvin_env needs it, too

            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
            metres = cv2.resize(metres, (width, height), interpolation=cv2.INTER_NEAREST)
        return (rgb, metres) if depth else rgb

    def view(self, camera: str = 'static') -> cameras.View:
        """Where a camera looks from now."""
        if cameras.get_camera(camera) is cameras.GRIPPER:
            return cameras.gripper_view(self.arm, self.joint_positions())
        theirs = self._cameras[camera]
        return cameras.View(
            tuple(theirs.look_from), tuple(theirs.look_at), tuple(theirs.up_vector)
        )

    def fov_deg(self, camera: str = 'static') -> float:
        """Vertical field of view of a camera [deg]."""
        return float(self._cameras[cameras.get_camera(camera).name].fov)

    def set_appearance(self, appearance: Appearance | None) -> None:
        """CALVIN has the looks that it has: only None is taken."""
        if appearance is not None:
            raise InvalidValueError("CALVIN's looks cannot be changed. Got an appearance")

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise SimulationError(
                'the table must be open. Got one that was closed. Make a new one'
            )
