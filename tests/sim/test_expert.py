# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The scripted expert solves tasks through relative actions, the same way each time."""

from types import SimpleNamespace

import numpy as np
import pytest

from vw2_ros.sim.expert.expert import Expert, run
from vw2_ros.sim.expert.grasp import _shelf_yaw
from vw2_ros.sim.expert.starts import prepare, settle
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.tasks import TASKS, TaskOracle


@pytest.fixture(scope='module')
def table():
    with PlayTable('D') as table:
        yield table


def _start(table, task, seed=0):
    prepare(table, task, np.random.default_rng([seed, TASKS.index(task)]))


@pytest.mark.parametrize(
    'task',
    [
        'open_drawer',
        'move_slider_left',
        'turn_on_lightbulb',
        'turn_off_led',
        'lift_red_block_table',
        'lift_blue_block_slider',
        'rotate_pink_block_right',
        'push_red_block_left',
        'push_into_drawer',
        'place_in_slider',
        'stack_block',
    ],
)
def test_solves_the_task(table, task):
    _start(table, task)
    start = table.state()
    solved, steps = run(table, task, 240)
    assert solved and steps < 150
    assert TaskOracle('D').succeeded(task, start, table.state())


@pytest.mark.parametrize(
    'before, task', [('place_in_slider', 'turn_on_led'), ('rotate_red_block_left', 'close_drawer')]
)
def test_a_block_of_no_use_is_left_where_it_is(table, before, task):
    _start(table, before)
    run(table, before, 240)
    expert = Expert(table, task)
    grips = []
    while not expert.done and len(grips) < 120:
        action = expert.act()
        grips.append(action[6])
        table.step(action)
    assert expert.done and np.diff(grips).any()
    assert (np.diff(grips) <= 0).all()  # it opens, backs out and closes, once


@pytest.mark.parametrize('task', ['place_in_slider', 'stack_block'])
def test_a_block_that_slipped_is_taken_again(table, task):
    _start(table, task, seed=1)
    expert = Expert(table, task)
    held = expert.look().held
    for _ in range(8):
        table.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
    assert expert.look().held is None and not expert.done
    taken = False
    for _ in range(240):
        table.step(expert.act())
        taken |= expert.look().held == held
        if expert.done:
            break
    assert taken and expert.done


@pytest.mark.parametrize('x, y', [(-0.05, -0.13), (0.085, -0.043)])
def test_a_block_that_cannot_be_pushed_is_carried_into_the_drawer(table, x, y):
    """No drawer lies before the first; behind the second the handles leave no room for a hand."""
    obs = table.scene.default_obs()
    i = table.scene.block_order.index('pink')
    obs[1] = 0.22  # the drawer is open
    obs[6 + 6 * i : 12 + 6 * i] = [x, y, 0.46, 0, 0, 0.5 * np.pi]
    for other, (ox, oy) in {'red': (-0.3, 0.09), 'blue': (-0.19, 0.09)}.items():
        k = table.scene.block_order.index(other)
        obs[6 + 6 * k : 12 + 6 * k] = [ox, oy, 0.461, 0, 0, 0.5 * np.pi]
    table.reset(None, obs)
    settle(table)
    solved, _ = run(table, 'push_into_drawer', 240)
    assert solved


def test_a_block_finds_room_beside_a_door_that_is_half_open(table):
    _start(table, 'place_in_slider')
    robot_obs, obs = table.robot_obs(), table.scene_obs()
    obs[0] = 0.5 * table.scene.slider_range + 0.001
    table.reset(robot_obs, obs)
    solved, _ = run(table, 'place_in_slider', 300)
    assert solved


def test_actions_are_valid_and_reproducible(table):
    def play():
        _start(table, 'push_blue_block_right', seed=3)
        expert = Expert(table, 'push_blue_block_right')
        actions = []
        for _ in range(25):
            actions.append(expert.act())
            table.step(actions[-1])
        return np.array(actions)  # (25, 7)

    actions = play()
    assert np.abs(actions).max() <= 1.0 and set(actions[:, 6]) <= {-1.0, 1.0}
    assert np.array_equal(actions, play())


def test_looking_does_not_move_anything(table):
    _start(table, 'open_drawer')
    before = table.robot_obs()
    expert = Expert(table, 'open_drawer')
    expert.act()
    assert not expert.done and np.array_equal(before, table.robot_obs())


@pytest.mark.parametrize('task', ['place_in_drawer', 'unstack_block', 'lift_pink_block_drawer'])
def test_prepare_brings_about_what_a_reset_cannot(table, task):
    _start(table, task)
    assert TaskOracle('D').can_start(task, table.state())


@pytest.mark.parametrize('scene', ['A', 'B', 'C', 'R0', 'R8'])
def test_knows_the_other_tables(scene):
    with PlayTable(scene) as table:
        for task in ('move_slider_right', 'turn_on_led'):
            _start(table, task, seed=1)
            assert run(table, task, 240)[0], task


def test_an_unknown_task_is_named(table):
    with pytest.raises(ValueError, match='unknown task'):
        Expert(table, 'open_the_drawer')


@pytest.mark.parametrize('sides, turn', [((0.04, 0.08), np.pi), ((0.04, 0.04), np.pi / 2)])
def test_the_hand_in_the_cabinet_turns_smoothly_with_the_block(sides, turn):
    def hand(yaw):
        ways = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        axes = [(side, way, 0.0) for side, way in zip(sides, ways)]
        return _shelf_yaw(SimpleNamespace(axes=lambda colour: axes), 'red')

    yaws = np.linspace(0, 2 * np.pi, 400)
    hands = np.array([hand(yaw) for yaw in yaws])
    assert np.abs(np.diff(hands)).max() < 0.02, 'no side is chosen by a hair'
    assert np.ptp(hands) > 0.3
    np.testing.assert_allclose(hands, [hand(yaw + turn) for yaw in yaws], atol=1e-9)
