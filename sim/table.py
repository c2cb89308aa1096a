# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What an evaluation, a collection or a node needs to know of a simulated table: protocol `Table`.

Control at 30 Hz. World frame, metres, radians. For an arm of n joints (CALVIN's has 7):

| robot_obs | what |
| --- | --- |
| 0-2 | position of the tool centre point (TCP) [m] |
| 3-5 | its Euler angles about the fixed axes x, y, z [rad] |
| 6 | width of the gripper [m], 0 .. 0.08 |
| 7 .. 6+n | the n joints [rad] |
| 7+n | the last gripper action, -1 or +1 |

`scene_obs` (24) is described in `scenes`, `SceneState` in `state`. Whatever simulator is behind it, a
table names what touches what alike. Bodies are "robot", "table", "floor", "block_red",
"block_blue", "block_pink"; the links of the table are "table", "plank", "drawer", "slider",
"switch", "button", "led", "lightbulb"; those of the robot "finger_left", "finger_right" and, all
others, "arm"; a block has the one link "base", the floor "floor".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.contract import Contract
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import LOOKS, RENDERERS, Appearance, check_look
from vw2_ros.sim.cameras import View
from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.mounts import DEFAULT_ARM, mount_of
from vw2_ros.sim.scenes import Scene, get_scene
from vw2_ros.sim.state import SceneState


class Table(Protocol):
    """A simulated table with an arm before it, with CALVIN's interface."""

    renderer: str  # what draws its pictures; goes into every data set, checkpoint and result
    scene: Scene
    arm: Arm
    steps: int  # control steps since the last reset
    disagreements: Sequence[str]  # where two oracles judged otherwise; empty where there is one

    # -------------------------------------------------------------- life

    def close(self) -> None:
        """Free the simulator; the table cannot be used afterwards."""

    def __enter__(self) -> Table: ...

    def __exit__(self, *_) -> None: ...

    # -------------------------------------------------------------- control

    def reset(
        self, robot_obs=None, scene_obs=None, *, rng: np.random.Generator | None = None
    ) -> None:
        """Put the world into a given or random state.

        Args:
            robot_obs: (8 + n,) as `robot_obs` returns, or (n,) joints; None: the arm's rest pose.
                Only the joints, the width and the gripper action count.
            scene_obs: (24,) in the scene's block order; None: drawn from `rng`, or the fixed start.
            rng: source of the random scene.
        Raises:
            InvalidValueError: wrong size or not finite; the world is as it was.
        """

    def step(self, action) -> None:
        """One control step: 1/30 s.

        Args:
            action: (7,) a relative action; or (kind, values) with kind one of
                "rel" (7,): x 0.02 m, x 0.05 rad, gripper;
                "abs" (7,) or (8,): position, Euler angles or quaternion xyzw, gripper;
                "joint_rel" (n + 1,): change of the measured joints [rad], gripper;
                "joint_abs" (n + 1,): joints [rad], gripper;
                or CALVIN's dictionaries {"type": "cartesian_rel" | "cartesian_abs" | "joint_rel" |
                "joint_abs", "action": values}. The gripper is exactly -1 (close) or +1 (open).
        Raises:
            InvalidValueError: not finite, wrong size or kind, another gripper value; nothing moves
                then.
        """

    # -------------------------------------------------------------- what is measured

    @property
    def time(self) -> float:
        """Simulated seconds since the last reset."""

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """The TCP target that relative actions move: position (3,) [m], Euler angles (3,) [rad]."""

    @property
    def command(self) -> tuple[np.ndarray, float]:
        """The joints (n,) [rad] and the gripper (-1 or +1) that the motors hold."""

    def joint_positions(self) -> np.ndarray:
        """(n,) [rad]."""

    def joint_velocities(self) -> np.ndarray:
        """(n,) [rad/s]."""

    def gripper_width(self) -> float:
        """Distance between the fingers' pads [m]."""

    def tcp_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Measured position (3,) [m] and rotation (3, 3) of the TCP, world frame."""

    def robot_obs(self) -> np.ndarray:
        """(8 + n,) float64, see the table above."""

    def scene_obs(self) -> np.ndarray:
        """(24,) float64, see `scenes`; blocks in the scene's order."""

    def state(self) -> SceneState:
        """Blocks with velocities and contacts, joints, lights, and what the robot touches."""

    def judge(self, task: str) -> Callable[[], bool]:
        """Begin to judge a task, from the state as it stands.

        Returns:
            what says whether it is done now; asked once per step.
        Raises:
            InvalidValueError: an unknown task.
        """

    # -------------------------------------------------------------- what is seen

    def render(self, camera: str = 'static', size=None, depth: bool = False):
        """A picture of the world as it stands.

        Args:
            camera: "static" or "gripper".
            size: pixels of a side, or (height, width); None: 200 static, 84 gripper.
            depth: also return the depth.
        Returns:
            rgb uint8 (H, W, 3), or (rgb, depth float32 (H, W) [m]).
        Raises:
            InvalidValueError: an unknown camera or an impossible size.
        """

    def view(self, camera: str = 'static') -> View:
        """Where a camera looks from now, world frame."""

    def fov_deg(self, camera: str = 'static') -> float:
        """Vertical field of view of a camera [deg]."""

    def set_appearance(self, appearance: Appearance | None) -> None:
        """Change the looks from now on; None: the scene's own. Physics is not touched."""


# name -> module and class, imported where it is opened: the simulators are heavy
TABLES = {
    'play_table': ('vw2_ros.sim.play_table', 'PlayTable'),
    'calvin': ('vw2_ros.sim.calvin_table', 'CalvinTable'),
}


def check_table(name: str) -> str:
    """Return the name of a table.

    Raises:
        InvalidValueError: there is no such table.
    """
    if name not in TABLES:
        raise InvalidValueError(
            f'table must be one of {", ".join(TABLES)}. Got {name!r}. Choose one of these'
        )
    return name


def table_class(name: str = 'play_table') -> type[Table]:
    """The class of a table, for what is known before it is opened.

    Raises:
        InvalidValueError: there is no such table.
    """
    module, of = TABLES[check_table(name)]
    return getattr(importlib.import_module(module), of)


def open_table(scene: str | Scene = 'D', *, name: str = 'play_table', **settings) -> Table:
    """Open a simulated table; close it, or use it in a `with` statement.

    Args:
        scene: "A", "B", "C" or "D".
        name: which simulator.
        settings: of that table's class.
    Raises:
        InvalidValueError: an unknown table or scene.
    """
    return table_class(name)(scene, **settings)


@dataclass(frozen=True)
class Simulator:
    """Which table, and what it needs to know of this machine. Plain values: any process can have it.

    Raises:
        InvalidValueError: an unknown table, or settings that do not go with it.
        MissingFileError: no checkout of calvin_env where one is named.
    """

    table: str = 'play_table'  # one of `TABLES`
    calvin_env: str = ''  # folder of a checkout of calvin_env, which the table "calvin" needs
    egl: bool = False  # "calvin": draw with EGL, on a graphics card
    arm: str = DEFAULT_ARM  # "play_table": what stands before it, one of `mounts.MOUNTS`
    look: str = LOOKS[0]  # "play_table": one of `appearance.LOOKS`

    def __post_init__(self):
        check_table(self.table)
        mount_of(self.arm)
        check_look(self.look)
        if self.table != 'calvin':
            if self.egl:
                raise InvalidValueError(
                    f'EGL goes with the table calvin. Got {self.table}. Leave it out'
                )
            return
        if self.arm != DEFAULT_ARM:
            raise InvalidValueError(
                f'the table calvin must have its own arm, {DEFAULT_ARM}. Got {self.arm}. '
                'Take the table play_table'
            )
        if self.look != Simulator.look:
            raise InvalidValueError(
                f"CALVIN's looks cannot be changed. Got the look {self.look}. Leave it out"
            )
        if not self.calvin_env:
            raise InvalidValueError(
                'the table calvin must have a checkout of github.com/mees/calvin_env. Got none. '
                'Name its folder with --calvin-env'
            )
        object.__setattr__(self, 'calvin_env', str(self.checkout.given))

    @property
    def checkout(self):
        """The `Checkout` of calvin_env that is named."""
        from vw2_ros.sim.calvin_checkout import Checkout

        return Checkout.find(self.calvin_env)

    @property
    def renderer(self) -> str:
        """What will draw its pictures."""
        if self.table == 'calvin':
            from vw2_ros.sim import calvin_table

            return calvin_table.RENDERERS[self.egl]
        return RENDERERS[self.look]

    @property
    def facts(self) -> dict[str, str]:
        """What its results depend on beside this package: the checkout's commit and hashes."""
        return self.checkout.facts if self.table == 'calvin' else {}

    @property
    def arguments(self) -> dict[str, str]:
        """Itself as launch arguments."""
        return {
            'table': self.table,
            'calvin_env': self.calvin_env,
            'egl': str(self.egl).lower(),
            'arm': self.arm,
        }

    @property
    def contract(self) -> Contract:
        """Through which its arm is driven; see `arms.table_contract`."""
        from vw2_ros.sim.arms import table_contract  # not where nothing is simulated

        return table_contract(self.arm)

    def open(self, scene: str | Scene = 'D', **settings: Any) -> Table:
        """Open the table; see `open_table`."""
        if self.table == 'calvin':
            settings |= {'calvin_env': self.calvin_env, 'egl': self.egl}
        else:
            if self.arm != DEFAULT_ARM:
                settings['arm'] = self.contract.arm
            if self.look != Simulator.look and settings.get('appearance') is None:
                settings['appearance'] = Appearance.of(get_scene(scene).name, self.look)
        return open_table(scene, name=self.table, **settings)

    def check(self, scenes: str = 'D', facts: Mapping[str, str] | None = None) -> None:
        """Refuse, before any work is done, what could not be opened.

        Args:
            facts: `facts` of another machine, of which this one must have the same checkout.
        Raises:
            InvalidValueError, MissingFileError: see `Checkout.config`; or another checkout.
            MissingPackageError: something is not installed. SimulationError: EGL fails.
        """
        if self.table != 'calvin':
            return
        checkout = self.checkout
        for scene in scenes:
            checkout.config(scene)
        if facts is not None and facts != checkout.facts:
            raise InvalidValueError(
                f'every machine must have the same calvin_env. Got {checkout.facts} in '
                f'{self.calvin_env} on this one, for {dict(facts)}'
            )
        checkout.check_packages()
        problem = checkout.problem(scenes[0], egl=True) if self.egl else ''
        if problem:
            raise SimulationError(f'EGL must draw. Got: {problem}. Leave --egl out')
