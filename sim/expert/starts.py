# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Starts for single tasks: a table in a state from which the task can be done."""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.expert.expert import Expert, run
from vw2_ros.sim.expert.look import CLOSE, OPEN
from vw2_ros.sim.expert.motion import retreat
from vw2_ros.sim.scenes import COLOURS, DRAWER_RANGE, SWITCH_TRAVEL, Scene, random_scene_obs
from vw2_ros.sim.state import SceneState
from vw2_ros.sim.table import Table
from vw2_ros.sim.tasks import TaskOracle, check_task


def prepare(table: Table, task: str, rng: np.random.Generator) -> None:
    """Reset the table at random to a state in which `task` can be started.

    Door, drawer and lights are drawn as the task needs them, blocks lie where it needs them. Blocks
    on the shelf get the yaw that the long-horizon protocol gives them (90 +- 22.5 degrees); those
    on the table any. The expert brings a block into the hand, onto another one or into the drawer
    where the task needs it there.

    Raises:
        InvalidValueError: unknown task.
        RuntimeError: no start was found in 50 draws (it does not happen on the four tables).
    """
    check_task(task)
    scene = table.scene
    oracle = TaskOracle(scene.name)
    for _ in range(50):
        scene_obs = _fitting_scene_obs(scene, task, rng)
        table.reset(scene_obs=scene_obs)
        settle(table)
        for helper in _helpers(task, table, rng):
            if not run(table, helper, 240)[0]:
                break
            if helper.startswith(('place', 'stack')):
                _let_go(table)
        state = table.state()
        if oracle.can_start(task, state) and can_be_pushed(task, state):
            return
    raise SimulationError(
        f'scene {scene.name} must have a start for {task}. Got none in 50 draws. Take another seed'
    )


def can_be_pushed(task: str, state: SceneState) -> bool:
    """Whether a task is not to push a block that leans on a handle.

    Such a push would count only as long as the block kept leaning.
    """
    words = task.split('_')
    if words[0] != 'push' or words[1] not in COLOURS:
        return True
    contacts = {c for c in state.blocks[words[1]].contacts if c[0] != 'robot'}
    return contacts == {('table', 'table')}


def settle(table: Table, steps: int = 4) -> None:
    """Let the blocks come to rest, the arm holding still."""
    for _ in range(steps):
        table.step(np.array([0, 0, 0, 0, 0, 0, OPEN if table.command[1] > 0 else CLOSE]))


def _let_go(table: Table, steps: int = 12) -> None:
    """Open the gripper and back out."""
    expert = Expert(table, 'place_in_slider')
    for _ in range(steps):
        table.step(retreat(expert.look(), OPEN))


def _surface(scene: Scene, x: float, y: float) -> str:
    if y < 0.0:
        return 'table'
    return 'slider_left' if x < scene.plank_x else 'slider_right'


def _fitting_scene_obs(scene: Scene, task: str, rng: np.random.Generator) -> np.ndarray:
    """A random start (24,) with door, drawer, lights and blocks as the task needs them."""
    while True:
        obs = random_scene_obs(scene, rng)
        where = {
            c: _surface(scene, *obs[6 + 6 * i : 8 + 6 * i])
            for i, c in enumerate(scene.block_order)
        }
        for i, colour in enumerate(scene.block_order):
            if where[colour] != 'table':
                obs[11 + 6 * i] = rng.uniform(0.375, 0.625) * math.pi
        if _blocks_fit(task, where):
            _set_furniture(scene, task, where, obs)
            return obs


def _blocks_fit(task: str, where: dict[str, str]) -> bool:
    """Whether the blocks lie where the task, or the tasks that prepare it, can take them.

    Args:
        where: colour -> one of `SURFACES`.
    """
    words = task.split('_')
    on_table = [c for c in COLOURS if where[c] == 'table']
    if words[0] == 'rotate' or (words[0] == 'push' and words[1] in COLOURS):
        return words[1] in on_table
    if words[0] == 'lift':
        return (words[1] in on_table) == (words[3] != 'slider')
    if task in ('stack_block', 'unstack_block'):
        return len(on_table) >= 2
    if task in ('place_in_slider', 'place_in_drawer', 'push_into_drawer'):
        return len(on_table) >= 1
    return True


def _set_furniture(scene: Scene, task: str, where: dict[str, str], obs: np.ndarray) -> None:
    """Set door, drawer, switch and LED in `obs` (24,) as the task needs them."""
    words = task.split('_')
    if words[0] == 'lift' and words[3] == 'slider':
        obs[0] = 0.0 if where[words[1]] == 'slider_left' else scene.slider_range
    if words[0] == 'lift' and words[3] == 'drawer':
        obs[1] = DRAWER_RANGE
    if task in ('place_in_drawer', 'push_into_drawer'):
        obs[1] = DRAWER_RANGE
    if task == 'place_in_slider':  # the open half of the shelf is the emptier one
        if 'slider_left' in where.values():
            obs[0] = scene.slider_range
        elif 'slider_right' in where.values():
            obs[0] = 0.0
    if task in ('open_drawer', 'close_drawer'):
        obs[1] = 0.0 if words[0] == 'open' else DRAWER_RANGE
    if words[0] == 'move':
        obs[0] = 0.0 if words[2] == 'left' else scene.slider_range
    if words[0] == 'turn':
        value = 0.0 if words[1] == 'on' else 1.0
        if words[2] == 'led':
            obs[5] = value
        else:
            obs[3], obs[4] = value * SWITCH_TRAVEL, value


def _helpers(task: str, table: Table, rng: np.random.Generator) -> list[str]:
    """Tasks that bring about what `task` needs and a reset cannot give."""
    state = table.state()
    words = task.split('_')
    if words[0] == 'lift' and words[3] == 'drawer':
        return [f'lift_{words[1]}_block_table', 'place_in_drawer']
    if task in ('place_in_slider', 'place_in_drawer', 'stack_block', 'unstack_block'):
        on_table = [c for c in COLOURS if ('table', 'table') in state.blocks[c].contacts]
        if not on_table:
            return []
        colour = on_table[int(rng.integers(len(on_table)))]
        first = [f'lift_{colour}_block_table']
        return [*first, 'stack_block'] if task == 'unstack_block' else first
    return []
