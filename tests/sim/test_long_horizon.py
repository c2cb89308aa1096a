# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The 1000 chains: the recipe, the frozen list and the benchmark's own list are the same."""

import collections
import itertools
import json
import pathlib

import numpy as np
import pytest

from vw2_ros.sim import long_horizon as lh
from vw2_ros.sim.scenes import SCENES
from vw2_ros.sim.tasks import TASKS

REFERENCE = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'calvin_chains.json'


def test_initial_states():
    states = lh.initial_states()
    assert len(states) == 192 and len({str(s) for s in states}) == 192
    placements = {tuple(s[f'{c}_block'] for c in ('red', 'blue', 'pink')) for s in states}
    assert len(placements) == 12


def test_eleven_categories():
    assert len(set(lh.CATEGORY.values())) == 11


def test_every_frozen_chain_is_possible_step_by_step():
    chains = lh.chains()
    assert len(chains) == 1000
    for chain in chains:
        state = chain.initial_state
        for task in chain.tasks:
            state = lh.after(state, task)
            assert state is not None, chain
        assert len({lh.CATEGORY[t] for t in chain.tasks}) == 5
    assert {t for c in chains for t in c.tasks} == set(TASKS)


def test_chains_can_be_drawn_that_are_possible_and_others_than_the_protocols():
    rng = np.random.default_rng(3)
    drawn = [lh.draw_chain(rng) for _ in range(8)]
    known = {(str(c.initial_state), c.tasks) for c in lh.chains()}
    for state, tasks in drawn:
        assert (str(state), tasks) not in known
        assert len({lh.CATEGORY[t] for t in tasks}) == 5
        for task in tasks:
            state = lh.after(state, task)
            assert state is not None
    assert len({tasks for _, tasks in drawn}) == 8


def frozen_by_state():
    """State number -> its chains in the order of the draw, undoing the shuffle."""
    states = lh.initial_states()
    shares = [len(a) for a in np.array_split(np.arange(1000), 192)]
    slots = [(s, k) for s, n in enumerate(shares) for k in range(n)]
    np.random.RandomState(0).shuffle(slots)
    out = collections.defaultdict(dict)
    for (s, k), chain in zip(slots, lh.chains()):
        assert chain.initial_state == states[s]
        out[s][k] = chain.tasks
    return {s: [tasks for _, tasks in sorted(ks.items())] for s, ks in out.items()}


def test_the_recipe_gives_the_frozen_chains():
    """State by state, for those that take few draws; the slow test does all."""
    states, frozen = lh.initial_states(), frozen_by_state()
    for s in (0, 1, 40, 96, 150):
        drawn = list(itertools.islice(lh._draw(states[s], s), len(frozen[s])))
        assert drawn == frozen[s]


@pytest.mark.slow
def test_the_recipe_gives_all_frozen_chains():
    generated = lh.generate_chains()
    assert generated == [(c.initial_state, c.tasks) for c in lh.chains()]


@pytest.mark.skipif(
    not REFERENCE.is_file(), reason='the benchmark list is not beside the checkout'
)
def test_equal_to_the_benchmark():
    reference = json.loads(REFERENCE.read_text())
    assert len(reference) == len(lh.chains())
    for theirs, ours in zip(reference, lh.chains()):
        assert theirs['initial_state'] == ours.initial_state
        assert tuple(theirs['sequence']) == ours.tasks
        np.testing.assert_array_equal(theirs['robot_obs'], ours.robot_obs)
        np.testing.assert_array_equal(theirs['scene_obs'], ours.scene_obs)


@pytest.mark.parametrize('scene', 'ABCD')
def test_scene_obs_puts_every_block_where_the_state_says(scene):
    table = SCENES[scene]
    for chain in lh.chains(scene)[:100]:
        obs, state = chain.scene_obs, chain.initial_state
        assert obs.shape == (24,)
        assert obs[0] == (table.slider_range if state['slider'] == 'left' else 0)
        assert (obs[1] > 0.2) == (state['drawer'] == 'open')
        assert (obs[3] > 0.044) == bool(state['lightbulb']) == bool(obs[4])
        assert obs[5] == state['led']
        where = {c: obs[6 + 6 * i : 9 + 6 * i] for i, c in enumerate(table.block_order)}
        for colour, position in where.items():
            assert (position[1] > 0) == (state[f'{colour}_block'] != 'table')
        for a, b in itertools.combinations(where.values(), 2):
            assert np.linalg.norm(a - b) > 0.13  # nothing touches
        left = [p[0] for c, p in where.items() if state[f'{c}_block'] == 'slider_left']
        right = [p[0] for c, p in where.items() if state[f'{c}_block'] == 'slider_right']
        assert not left or not right or left[0] < right[0]


def test_unknown_scene():
    with pytest.raises(ValueError, match='A, B, C, D'):
        lh.scene_obs_for('Z', lh.initial_states()[0])
