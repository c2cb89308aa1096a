# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The long-horizon protocol: 1000 chains of five tasks from 192 initial states.

`chains()` reads the frozen list of the package; `generate_chains()` makes the same list again.
To freeze it anew: `python -m vw2_ros.sim.long_horizon`.

Source: the recipe of the CALVIN benchmark (Mees et al., 2022). A *symbolic* state says where each
block is, how slider, drawer and lights stand and whether something is grasped; each task has
branches (condition, effect) over it. Chain i of state s is the next draw of five different tasks
(`RandomState(s).choice`) in which every task has exactly one branch that applies and no two tasks
are of the same category. The last step shuffles all chains with seed 0.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vw2_ros.files import write_whole
from vw2_ros.sim.scenes import COLOURS, DRAWER_RANGE, SCENES, SWITCH_TRAVEL, get_scene
from vw2_ros.sim.tasks import TASKS

Symbolic = dict  # 'led', 'lightbulb', 'slider', 'drawer', '<colour>_block' x 3, 'grasped'

CHAIN_STEPS = 360  # control steps that a policy has per subtask of a chain
SINGLE_STEPS = 240  # ... per single task

_FROZEN = Path(__file__).parent / 'data' / 'chains.json'

# the arm's rest pose, as `robot_obs` (15,)
REST_ROBOT_OBS = (
    *(0.02586889, -0.2313129, 0.5712808, 3.09045411, -0.02908596, 1.50013585, 0.07999963),
    *(-1.21779124, 1.03987629, 2.11978254, -2.34205014, -0.87015899, 1.64119093, 0.55344928),
    1.0,
)


@dataclass(frozen=True)
class Chain:
    """Five tasks in a row and the state that they start from.

    `robot_obs` (15,) and `scene_obs` (24,) float64 are what `Table.reset` takes.
    """

    initial_state: Symbolic
    tasks: tuple[str, ...]
    robot_obs: np.ndarray
    scene_obs: np.ndarray


# ---------------------------------------------------------------- symbolic tasks


@dataclass(frozen=True)
class _Branch:
    condition: dict  # key -> value, or tuple of allowed values
    effect: dict

    def holds(self, state: Symbolic) -> bool:
        return all(
            state[k] in v if isinstance(v, tuple) else state[k] == v
            for k, v in self.condition.items()
        )


def _branches() -> dict[str, tuple[_Branch, ...]]:
    """Task -> its branches, in the order of TASKS."""
    free, full = {'grasped': 0}, {'grasped': 1}
    out: dict[str, list[_Branch]] = {task: [] for task in TASKS}

    def add(task: str, condition: dict, effect: dict) -> None:
        out[task].append(_Branch(condition, effect))

    for c in COLOURS:
        block = f'{c}_block'
        others = [f'{o}_block' for o in COLOURS if o != c]
        grasp = {block: 'grasped', **full}
        for verb, side in itertools.product(('rotate', 'push'), ('right', 'left')):
            add(f'{verb}_{c}_block_{side}', {block: 'table', **free}, {})
        add(f'lift_{c}_block_table', {block: 'table', **free}, grasp)
        # the slider hides the half of the shelf on its own side
        for block_at, slider_at in (('slider_left', 'right'), ('slider_right', 'left')):
            add(f'lift_{c}_block_slider', {block: block_at, 'slider': slider_at, **free}, grasp)
        add(f'lift_{c}_block_drawer', {block: 'drawer', 'drawer': 'open', **free}, grasp)
        # the recipe names the half after the slider's side, though the open half is the other one
        for side in ('right', 'left'):
            add('place_in_slider', {**grasp, 'slider': side}, {block: f'slider_{side}', **free})
        add('place_in_drawer', {**grasp, 'drawer': 'open'}, {block: 'drawer', **free})
        for other in others:
            stack = {block: 'stacked_top', other: 'stacked_bottom'}
            add('stack_block', {**grasp, other: 'table'}, {**stack, **free})
            add('unstack_block', {**stack, **free}, {block: 'table', other: 'table'})
        shelved = dict.fromkeys(others, ('slider_right', 'slider_left'))
        add(
            'push_into_drawer',
            {block: 'table', 'drawer': 'open', **shelved, **free},
            {block: 'drawer'},
        )
    for key, task, before, after in (
        ('slider', 'move_slider_left', 'right', 'left'),
        ('slider', 'move_slider_right', 'left', 'right'),
        ('drawer', 'open_drawer', 'closed', 'open'),
        ('drawer', 'close_drawer', 'open', 'closed'),
        ('lightbulb', 'turn_on_lightbulb', 0, 1),
        ('lightbulb', 'turn_off_lightbulb', 1, 0),
        ('led', 'turn_on_led', 0, 1),
        ('led', 'turn_off_led', 1, 0),
    ):
        add(task, {key: before, **free}, {key: after})
    return {task: tuple(branches) for task, branches in out.items()}


_BRANCHES = _branches()


def _category(task: str) -> str:
    words = task.split('_')
    if task in ('push_into_drawer', 'stack_block', 'unstack_block'):
        return task
    if words[0] in ('rotate', 'push'):
        return 'turn_or_push'
    if words[0] == 'lift':
        return f'lift_from_{words[-1]}'
    if words[0] == 'turn':
        return 'light'
    if words[0] == 'place':
        return 'place'
    return 'slider' if words[0] == 'move' else 'drawer'


# task -> one of 11 categories: a chain has at most one task of each
CATEGORY = {task: _category(task) for task in TASKS}


def after(state: Symbolic, task: str) -> Symbolic | None:
    """The symbolic state after `task`; None unless exactly one of its branches applies."""
    effects = [b.effect for b in _BRANCHES[task] if b.holds(state)]
    return {**state, **effects[0]} if len(effects) == 1 else None


# ---------------------------------------------------------------- initial states and chains


def initial_states() -> list[Symbolic]:
    """The 192 symbolic initial states, in the order of the benchmark."""
    places = ('table', 'slider_right', 'slider_left')
    values = {
        'led': (0, 1),
        'lightbulb': (0, 1),
        'slider': ('right', 'left'),
        'drawer': ('closed', 'open'),
        **{f'{c}_block': places for c in COLOURS},
        'grasped': (0,),
    }
    states = (dict(zip(values, choice)) for choice in itertools.product(*values.values()))
    return [s for s in states if _placeable([s[f'{c}_block'] for c in COLOURS])]


def _placeable(places: list[str]) -> bool:
    """One or two blocks on the table, at most one on each half of the shelf."""
    return places.count('table') in (1, 2) and all(
        places.count(side) < 2 for side in ('slider_right', 'slider_left')
    )


def _draw(state: Symbolic, seed: int) -> Iterator[tuple[str, ...]]:
    """Endless valid chains from `state`.

    Thousands of draws are refused for each that is taken: so the tasks are numbers here, and each
    prefix is judged once.
    """
    rng = np.random.RandomState(seed)
    n = len(TASKS)
    categories = [CATEGORY[task] for task in TASKS]
    reached: dict[tuple[int, ...], Symbolic | None] = {(): state}

    def possible(prefix: tuple[int, ...]) -> bool:
        if prefix not in reached:
            before = reached[prefix[:-1]]
            reached[prefix] = after(before, TASKS[prefix[-1]])
        return reached[prefix] is not None

    while True:
        picks = tuple(rng.permutation(n)[:5].tolist())  # what choice(replace=False) draws
        if not (possible(picks[:1]) and possible(picks[:2])):
            continue
        if len({categories[i] for i in picks}) == 5 and all(
            possible(picks[:k]) for k in (3, 4, 5)
        ):
            yield tuple(TASKS[i] for i in picks)


def generate_chains(count: int = 1000) -> list[tuple[Symbolic, tuple[str, ...]]]:
    """The chains as (initial state, five tasks), made by the recipe; about a minute for 1000."""
    states = initial_states()
    shares = np.array_split(np.arange(count), len(states))  # the first states get one more
    pairs = [
        (state, tasks)
        for seed, (state, share) in enumerate(zip(states, shares))
        for tasks in itertools.islice(_draw(state, seed), len(share))
    ]
    np.random.RandomState(0).shuffle(pairs)
    return pairs


def draw_chain(rng: np.random.Generator) -> tuple[Symbolic, tuple[str, ...]]:
    """A start and five tasks, drawn as the protocol draws its own, by seeds that it does not have."""
    states = initial_states()
    state = states[int(rng.integers(len(states)))]
    return state, next(_draw(state, int(rng.integers(len(states), 2**31))))


@functools.cache
def chains(scene: str = 'D') -> tuple[Chain, ...]:
    """The 1000 frozen chains, with the start that they have in `scene`.

    Scene D's starts are the benchmark's to the last bit. It has none for the other scenes:
    theirs put the blocks at the same places of the shelf and on the table in front of the drawer.
    """
    frozen = json.loads(_FROZEN.read_text())
    states = frozen['initial_states']
    robot_obs = np.array(frozen['robot_obs'])
    robot_obs.setflags(write=False)
    starts = [scene_obs_for(scene, state) for state in states]
    for start in starts:
        start.setflags(write=False)
    return tuple(
        Chain(dict(states[i]), tuple(tasks), robot_obs, starts[i]) for i, tasks in frozen['chains']
    )


# ---------------------------------------------------------------- symbolic -> physical

# the places on the shelf of scene D; the others' shelves stand beside it
_SHELF = {
    'slider_left': (-0.240851662, 0.0924044687, 0.460990009),
    'slider_right': (0.070341633, 0.0924044687, 0.460990009),
}
_TABLE_YZ = ((-0.120000177, 0.459990009), (-0.11999514, 0.45999001))
_YAW_RAD = (np.pi / 2 - np.pi / 8, np.pi / 2 + np.pi / 8)


def _state_seed(state: Symbolic) -> int:
    """32-bit FNV-1 with offset 0 over the UTF-16 text of the state's values.

    It is what the benchmark's hash computes, so that blocks get the yaw that they have there.
    """
    value = 0
    for byte in str(state.values()).encode('utf-16-le'):
        value = (value * 0x01000193) % 2**32 ^ byte
    return value


def scene_obs_for(scene: str, state: Symbolic) -> np.ndarray:
    """`scene_obs` (24,) float64 of a symbolic initial state, blocks in the scene's own order.

    Raises:
        ValueError: unknown scene.
    """
    table = get_scene(scene)
    shelf_dx = table.plank_x - SCENES['D'].plank_x
    rng = np.random.RandomState(_state_seed(state))
    on_table = [(x, *yz) for x, yz in zip(table.start_x, _TABLE_YZ)]
    rng.shuffle(on_table)
    yaw = {c: rng.uniform(*_YAW_RAD) for c in COLOURS}  # drawn for all, in this order

    obs = np.zeros(24)
    obs[0] = table.slider_range if state['slider'] == 'left' else 0.0
    obs[1] = DRAWER_RANGE if state['drawer'] == 'open' else 0.0
    obs[3] = SWITCH_TRAVEL if state['lightbulb'] else 0.0
    obs[4], obs[5] = state['lightbulb'], state['led']
    places = {c: state[f'{c}_block'] for c in COLOURS}
    for i, colour in enumerate(table.block_order):
        if places[colour] == 'table':
            # red takes the first place and pink the second; blue the one that red leaves
            second = colour == 'pink' or (colour == 'blue' and places['red'] == 'table')
            position = on_table[int(second)]
        else:
            x, y, z = _SHELF[places[colour]]
            position = (x + shelf_dx, y, z)
        obs[6 + 6 * i : 9 + 6 * i] = position
        obs[11 + 6 * i] = yaw[colour]
    return obs


def freeze(path: Path = _FROZEN) -> None:
    """Write `generate_chains()` to the package."""
    states = initial_states()
    index = {str(s): i for i, s in enumerate(states)}
    lines = [json.dumps([index[str(s)], tasks]) for s, tasks in generate_chains()]
    text = '{"robot_obs": %s,\n"initial_states": [\n%s\n],\n"chains": [\n%s\n]}\n' % (
        json.dumps(REST_ROBOT_OBS),
        ',\n'.join(json.dumps(s) for s in states),
        ',\n'.join(lines),
    )
    write_whole(path, text)


if __name__ == '__main__':
    freeze()
