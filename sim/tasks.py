# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The 34 CALVIN tasks: when each counts as done, and from where each can be started.

A task compares two instants: the state at the start of the subtask and the state now. Positions
are in the world frame [m], angles in degrees. C(b) below is the set of (body, link) pairs that
block b touches.

Source: the CALVIN benchmark's task conditions (Mees et al., 2022), restated over `SceneState`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.scenes import COLOURS, DRAWER_RANGE, Scene, get_scene
from vw2_ros.sim.state import ROBOT, BlockState, SceneState

# links of the body 'table'
TOP, PLANK, DRAWER = 'table', 'plank', 'drawer'

_TURN_DEG = 60.0  # least z-rotation of a rotate task
_TILT_DEG = 30.0  # most x- or y-rotation of a rotate task
_TURN_SHIFT_M = 0.10  # most displacement of a rotate task
_PUSH_M = 0.10
_SLIDER_M = 0.15
_DRAWER_M = 0.12
_LIFT_M = {TOP: 0.05, PLANK: 0.03, DRAWER: 0.05}
_CALM = 1.0  # every velocity component of a stacked block stays below this [m/s, rad/s]

Rule = Callable[[SceneState, SceneState], bool]


# ---------------------------------------------------------------- what is read from a state


def bodies(block: BlockState) -> set[str]:
    """The bodies that a block touches."""
    return {body for body, _ in block.contacts}


def held_block(state: SceneState) -> str | None:
    """Colour of the block that hangs in the gripper: it touches the robot and nothing else."""
    for colour in COLOURS:
        if bodies(state.blocks[colour]) == {ROBOT}:
            return colour
    return None


def rotation_deg(start_xyzw: np.ndarray, now_xyzw: np.ndarray) -> np.ndarray:
    """Rotation from start to now about the fixed x, y, z axes, in that order: (3,) degrees."""
    w = _quaternion_product(now_xyzw, np.asarray(start_xyzw) * (-1.0, -1.0, -1.0, 1.0))
    qx, qy, qz, qw = w / np.linalg.norm(w)
    x = np.arctan2(2 * (qw * qx + qy * qz), 1 - 2 * (qx * qx + qy * qy))
    y = np.arcsin(np.clip(2 * (qw * qy - qz * qx), -1.0, 1.0))
    z = np.arctan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
    return np.degrees([x, y, z])


def _quaternion_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def _calm(block: BlockState) -> bool:
    speeds = np.concatenate([block.linear_velocity, block.angular_velocity])  # (6,)
    return bool(np.all(np.abs(speeds) < _CALM))


def _only_blocks(block: BlockState) -> bool:
    """The block touches at least one block and nothing that is not a block."""
    touched = bodies(block)
    return bool(touched) and all(b.startswith('block_') for b in touched)


def _any_block(block: BlockState) -> bool:
    return any(b.startswith('block_') for b in bodies(block))


# ---------------------------------------------------------------- the rules


def _rotated(colour: str, sign: int, start: SceneState, now: SceneState) -> bool:
    a, b = start.blocks[colour], now.blocks[colour]
    if np.linalg.norm(b.position - a.position) > _TURN_SHIFT_M:
        return False
    if not bodies(b) - {ROBOT}:
        return False  # turned in the air
    x, y, z = rotation_deg(a.orientation, b.orientation)
    return bool(_TURN_DEG < sign * z < 180.0 and abs(x) < _TILT_DEG and abs(y) < _TILT_DEG)


def _pushed(colour: str, sign: int, start: SceneState, now: SceneState) -> bool:
    a, b = start.blocks[colour], now.blocks[colour]
    before = {c for c in a.contacts if c[0] != ROBOT}
    after = {c for c in b.contacts if c[0] != ROBOT}
    if not before or not after or not before <= after:
        return False  # it must still lie on what it lay on
    return bool(sign * (b.position[0] - a.position[0]) > _PUSH_M)


def _slid(sign: int, start: SceneState, now: SceneState) -> bool:
    return sign * (now.slider - start.slider) > _SLIDER_M


def _drawn(sign: int, start: SceneState, now: SceneState) -> bool:
    return sign * (now.drawer - start.drawer) > _DRAWER_M


def _lifted(colour: str, link: str, start: SceneState, now: SceneState) -> bool:
    a, b = start.blocks[colour], now.blocks[colour]
    return bool(
        b.position[2] - a.position[2] > _LIFT_M[link]
        and ('table', link) in a.contacts
        and bodies(b) == {ROBOT}
    )


def _placed(link: str, start: SceneState, now: SceneState) -> bool:
    if len(start.robot_contacts) != 1:
        return False
    (body,) = start.robot_contacts
    colour = body.removeprefix('block_')
    if colour not in start.blocks or body in now.robot_contacts:
        return False
    hung = bodies(start.blocks[colour]) == {ROBOT}
    return hung and ('table', link) in now.blocks[colour].contacts


def _stacked(start: SceneState, now: SceneState) -> bool:
    return any(
        not _any_block(start.blocks[c]) and _only_blocks(now.blocks[c]) and _calm(now.blocks[c])
        for c in COLOURS
    )


def _unstacked(start: SceneState, now: SceneState) -> bool:
    return any(
        _only_blocks(start.blocks[c]) and _calm(start.blocks[c]) and not _any_block(now.blocks[c])
        for c in COLOURS
    )


def _switched(light: str, to: int, start: SceneState, now: SceneState) -> bool:
    return getattr(start, light) == 1 - to and getattr(now, light) == to


def _pushed_into_drawer(start: SceneState, now: SceneState) -> bool:
    for colour in COLOURS:
        a, b = start.blocks[colour], now.blocks[colour]
        touched = bodies(a) | bodies(b)
        if ROBOT in touched:
            continue
        if a.contacts == {('table', TOP)} and ('table', DRAWER) in b.contacts:
            return True
    return False


_RULES: dict[str, Rule] = {
    **{
        f'rotate_{c}_block_{side}': partial(_rotated, c, sign)
        for c in COLOURS
        for side, sign in (('right', -1), ('left', +1))
    },
    **{
        f'push_{c}_block_{side}': partial(_pushed, c, sign)
        for c in COLOURS
        for side, sign in (('right', +1), ('left', -1))
    },
    'move_slider_left': partial(_slid, +1),
    'move_slider_right': partial(_slid, -1),
    'open_drawer': partial(_drawn, +1),
    'close_drawer': partial(_drawn, -1),
    **{
        f'lift_{c}_block_{place}': partial(_lifted, c, link)
        for c in COLOURS
        for place, link in (('table', TOP), ('slider', PLANK), ('drawer', DRAWER))
    },
    'place_in_slider': partial(_placed, PLANK),
    'place_in_drawer': partial(_placed, DRAWER),
    'stack_block': _stacked,
    'unstack_block': _unstacked,
    'turn_on_lightbulb': partial(_switched, 'lightbulb', 1),
    'turn_off_lightbulb': partial(_switched, 'lightbulb', 0),
    'turn_on_led': partial(_switched, 'led', 1),
    'turn_off_led': partial(_switched, 'led', 0),
    'push_into_drawer': _pushed_into_drawer,
}

# the order is the benchmark's: the long-horizon recipe draws tasks by their position in it
TASKS: tuple[str, ...] = tuple(_RULES)


def check_task(task: str) -> str:
    """Return `task` if it is one of the 34.

    Raises:
        ValueError: otherwise, naming the closest tasks.
    """
    if task not in _RULES:
        near = difflib.get_close_matches(str(task), TASKS, n=3, cutoff=0.4)
        hint = f'Did you mean {", ".join(near)}?' if near else f'Choose one of {", ".join(TASKS)}'
        raise InvalidValueError(f'unknown task {task!r}. {hint}')
    return task


# ---------------------------------------------------------------- where a task can be started

_EDGE_X_M = 0.40  # a pushed block's centre stays within this


class TaskOracle:
    """Judges the 34 tasks, and says which could be started now.

    Args:
        scene: 'A', 'B', 'C' or 'D'. It matters to `can_start` only.
    Raises:
        ValueError: unknown scene.
    """

    tasks = TASKS

    def __init__(self, scene: str | Scene = 'D'):
        self.scene = get_scene(scene)

    def succeeded(self, task: str, start: SceneState, now: SceneState) -> bool:
        """Is `task` done now, for a subtask that began at `start`?

        Raises:
            ValueError: unknown task; the message names the closest ones.
        """
        return bool(_RULES[check_task(task)](start, now))

    def solved(self, start: SceneState, now: SceneState) -> set[str]:
        """All tasks that `now` fulfils, seen from `start`."""
        return {task for task, rule in _RULES.items() if rule(start, now)}

    def can_start(self, task: str, state: SceneState) -> bool:
        """Is `task` physically possible from `state`?

        The benchmark's symbolic preconditions read off the physical state: a block to be moved
        rests where the task says and nothing lies on it, joints have the travel that the task
        needs left, a place behind a door or in a drawer counts once they have been moved as far as
        the tasks that open them ask for, and every task but placing and stacking starts with an
        empty gripper.

        Raises:
            ValueError: unknown task.
        """
        check_task(task)
        held = held_block(state)
        if task in ('place_in_slider', 'place_in_drawer', 'stack_block'):
            if held is None or state.robot_contacts != {f'block_{held}'}:
                return False
            if task == 'place_in_drawer':
                return state.drawer > _DRAWER_M
            if task == 'place_in_slider':
                return self._free_shelf_side(state) is not None
            return any(self._free_on_top(state, c) for c in COLOURS if c != held)

        if any(body.startswith('block_') for body in state.robot_contacts):
            return False  # not free of the last block yet
        if task == 'unstack_block':
            return any(_only_blocks(b) and _calm(b) for b in state.blocks.values())
        if task == 'push_into_drawer':
            return state.drawer > _DRAWER_M and any(
                state.blocks[c].contacts == {('table', TOP)}
                and abs(state.blocks[c].position[0] - self.scene.drawer_x) < 0.17
                and state.blocks[c].position[1] < 0.0
                for c in COLOURS
            )
        verb, *rest = task.split('_')
        if verb in ('rotate', 'push'):
            colour, side = rest[0], rest[-1]
            if not self._free_on_top(state, colour):
                return False
            shift = 0.0 if verb == 'rotate' else _PUSH_M if side == 'right' else -_PUSH_M
            return abs(state.blocks[colour].position[0] + shift) < _EDGE_X_M
        if verb == 'lift':
            colour, place = rest[0], rest[-1]
            if self._covered(state, colour):
                return False
            x, y, _ = state.blocks[colour].position
            if place == 'table':
                return self._free_on_top(state, colour)
            if place == 'drawer':
                # clear of the table's edge at y -0.18
                return ('table', DRAWER) in state.blocks[colour].contacts and y < -0.20
            side = 'left' if x < self.scene.plank_x else 'right'
            return ('table', PLANK) in state.blocks[colour].contacts and self._door_open(
                state, side
            )
        if task == 'move_slider_left':
            return state.slider < self.scene.slider_range - _SLIDER_M - 0.02
        if task == 'move_slider_right':
            return state.slider > _SLIDER_M + 0.02
        if task == 'open_drawer':
            return state.drawer < DRAWER_RANGE - _DRAWER_M - 0.02
        if task == 'close_drawer':
            return state.drawer > _DRAWER_M + 0.02
        light, to = ('led' if task.endswith('led') else 'lightbulb'), int('_on_' in task)
        return getattr(state, light) == 1 - to

    def _covered(self, state: SceneState, colour: str) -> bool:
        """Another block lies on this one."""
        z = state.blocks[colour].position[2]
        return any(
            (f'block_{colour}' in bodies(other)) and other.position[2] > z + 0.02
            for c, other in state.blocks.items()
            if c != colour
        )

    def _free_on_top(self, state: SceneState, colour: str) -> bool:
        """The block lies on the table top, with nothing on it."""
        return ('table', TOP) in state.blocks[colour].contacts and not (
            self._covered(state, colour) or ('table', PLANK) in state.blocks[colour].contacts
        )

    def _door_open(self, state: SceneState, side: str) -> bool:
        """The slider was moved far enough from this half of the shelf, 'left' or 'right'."""
        if side == 'left':
            return state.slider < self.scene.slider_range - _SLIDER_M
        return state.slider > _SLIDER_M

    def _free_shelf_side(self, state: SceneState) -> str | None:
        """The half of the shelf that the slider leaves open, if no block lies there."""
        for side, sign in (('left', -1), ('right', +1)):
            taken = any(
                ('table', PLANK) in b.contacts and sign * (b.position[0] - self.scene.plank_x) > 0
                for b in state.blocks.values()
            )
            if self._door_open(state, side) and not taken:
                return side
        return None
