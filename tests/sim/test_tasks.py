# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Each rule of the 34 tasks: a case that just passes and cases that just fail."""

import dataclasses

import numpy as np
import pytest

from vw2_ros.sim.scenes import COLOURS
from vw2_ros.sim.state import BlockState, SceneState
from vw2_ros.sim.tasks import TASKS, TaskOracle, held_block, rotation_deg

TOP, PLANK, DRAWER = ('table', 'table'), ('table', 'plank'), ('table', 'drawer')
FINGERS = (('robot', 'finger_left'), ('robot', 'finger_right'))
AT = {'red': (0.05, -0.10, 0.46), 'blue': (0.20, -0.10, 0.46), 'pink': (0.15, -0.05, 0.46)}
EPS = 1e-4


def about(axis, degrees):
    """Quaternion xyzw of a rotation about x, y or z."""
    q = np.zeros(4)
    q['xyz'.index(axis)], q[3] = np.sin(np.radians(degrees) / 2), np.cos(np.radians(degrees) / 2)
    return q


def block(
    position, contacts=(TOP,), orientation=(0, 0, 0, 1), linear=(0, 0, 0), angular=(0, 0, 0)
):
    return BlockState(
        np.asarray(position, float),
        np.asarray(orientation, float),
        np.asarray(linear, float),
        np.asarray(angular, float),
        frozenset(contacts),
    )


def scene(robot=(), **over):
    """All three blocks on the table; `red=...` replaces a block, `slider=...` a joint."""
    blocks = {c: over.pop(c, block(AT[c])) for c in COLOURS}
    rest = dict.fromkeys(('slider', 'drawer', 'button', 'switch'), 0.0)
    rest |= {'lightbulb': 0, 'led': 0} | over
    return SceneState(blocks=blocks, robot_contacts=frozenset(robot), **rest)


def moved(colour, dx=0.0, dy=0.0, dz=0.0, **kwargs):
    return block(np.add(AT[colour], (dx, dy, dz)), **kwargs)


def done(task, start, now):
    oracle = TaskOracle()
    assert oracle.succeeded(task, start, now) == (task in oracle.solved(start, now))
    return oracle.succeeded(task, start, now)


def test_there_are_34_tasks_in_the_order_of_the_benchmark():
    assert len(TASKS) == 34
    assert TASKS[0] == 'rotate_red_block_right' and TASKS[33] == 'push_into_drawer'
    assert TASKS[25:29] == ('place_in_slider', 'place_in_drawer', 'stack_block', 'unstack_block')


def test_nothing_is_done_when_nothing_moved():
    for on in (0, 1):
        state = scene(led=on, lightbulb=on, slider=0.1, drawer=0.1)
        assert TaskOracle().solved(state, state) == set()


@pytest.mark.parametrize('axis', 'xyz')
def test_rotation_is_about_fixed_axes(axis):
    start = about('z', 50.0)
    turn = about(axis, 40.0)
    # now = turn * start, by the definition of a world-frame rotation
    x, y, z, w = turn
    _, _, c, d = start
    now = np.array([x * d + y * c, y * d - x * c, z * d + w * c, w * d - z * c])
    expected = np.zeros(3)
    expected['xyz'.index(axis)] = 40.0
    np.testing.assert_allclose(rotation_deg(start, now), expected, atol=1e-9)


@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize('side, sign', [('right', -1), ('left', +1)])
def test_rotate(colour, side, sign):
    task = f'rotate_{colour}_block_{side}'
    start = scene()

    def turned(degrees, axis='z', **kwargs):
        return scene(**{colour: moved(colour, orientation=about(axis, degrees), **kwargs)})

    assert done(task, start, turned(sign * 60.1))
    assert done(task, start, turned(sign * 179.9))
    assert done(task, start, turned(sign * 70, dx=0.0999))
    assert done(task, start, turned(sign * 70, contacts=(TOP, *FINGERS)))
    assert not done(task, start, turned(sign * 59.9))
    assert not done(task, start, turned(-sign * 60.1))  # the other way round
    assert not done(task, start, turned(sign * 70, dx=0.1001))  # moved too far
    assert not done(task, start, turned(sign * 70, contacts=FINGERS))  # in the air
    assert not done(task, start, turned(sign * 70, contacts=()))
    for axis in 'xy':  # tipped over while turning
        tip, turn = about(axis, 31.0), about('z', sign * 70)
        x, y, z, w = tip
        c, d = turn[2:]
        both = np.array([x * d - y * c, y * d + x * c, z * d + w * c, w * d - z * c])
        assert not done(task, start, scene(**{colour: moved(colour, orientation=both)}))
    other = COLOURS[(COLOURS.index(colour) + 1) % 3]
    assert not done(task, start, scene(**{other: moved(other, orientation=about('z', sign * 70))}))


@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize('side, sign', [('right', +1), ('left', -1)])
def test_push(colour, side, sign):
    task = f'push_{colour}_block_{side}'
    start = scene()

    def at(dx, contacts=(TOP,)):
        return scene(**{colour: moved(colour, dx=dx, contacts=contacts)})

    assert done(task, start, at(sign * (0.10 + EPS)))
    assert done(task, start, at(sign * 0.12, contacts=(TOP, PLANK, *FINGERS)))
    assert not done(task, start, at(sign * (0.10 - EPS)))
    assert not done(task, start, at(-sign * 0.12))
    assert not done(task, start, at(sign * 0.12, contacts=FINGERS))  # carried
    assert not done(task, start, at(sign * 0.12, contacts=(PLANK,)))  # lies on another surface
    assert not done(task, at(0.0, contacts=FINGERS), at(sign * 0.12))  # hung at the start
    assert done(task, at(0.0, contacts=(TOP, *FINGERS)), at(sign * 0.12))  # robot never counts


@pytest.mark.parametrize(
    'task, joint, start, passes, fails',
    [
        ('move_slider_left', 'slider', 0.0, 0.15 + EPS, 0.15 - EPS),
        ('move_slider_right', 'slider', 0.28, 0.13 - EPS, 0.13 + EPS),
        ('open_drawer', 'drawer', 0.0, 0.12 + EPS, 0.12 - EPS),
        ('close_drawer', 'drawer', 0.22, 0.10 - EPS, 0.10 + EPS),
    ],
)
def test_joints(task, joint, start, passes, fails):
    assert done(task, scene(**{joint: start}), scene(**{joint: passes}))
    assert not done(task, scene(**{joint: start}), scene(**{joint: fails}))
    assert not done(task, scene(**{joint: passes}), scene(**{joint: start}))  # the way back


@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize(
    'place, link, height',
    [('table', TOP, 0.05), ('slider', PLANK, 0.03), ('drawer', DRAWER, 0.05)],
)
def test_lift(colour, place, link, height):
    task = f'lift_{colour}_block_{place}'

    def at(dz, contacts):
        return scene(**{colour: moved(colour, dz=dz, contacts=contacts)})

    start = at(0.0, (link,))
    assert done(task, start, at(height + EPS, FINGERS))
    assert done(task, start, at(height + EPS, FINGERS[:1]))
    assert not done(task, start, at(height - EPS, FINGERS))
    assert not done(task, start, at(height + EPS, ()))  # thrown
    assert not done(task, start, at(height + EPS, (*FINGERS, TOP)))  # still touching
    assert not done(task, start, at(height + EPS, (*FINGERS, ('block_x', 'base'))))
    elsewhere = {TOP: PLANK, PLANK: DRAWER, DRAWER: TOP}[link]
    assert not done(task, at(0.0, (elsewhere,)), at(height + EPS, FINGERS))
    assert done(task, at(0.0, (link, elsewhere, *FINGERS)), at(height + EPS, FINGERS))


@pytest.mark.parametrize('colour', COLOURS)
@pytest.mark.parametrize('place, link', [('slider', PLANK), ('drawer', DRAWER)])
def test_place(colour, place, link):
    task = f'place_in_{place}'
    body = f'block_{colour}'

    def at(robot, contacts):
        return scene(robot=robot, **{colour: moved(colour, contacts=contacts)})

    start = at((body,), FINGERS)
    assert held_block(start) == colour
    assert done(task, start, at((), (link,)))
    assert done(task, start, at(('table',), (link, TOP)))  # the robot may touch the table
    assert not done(task, start, at((body,), (link, *FINGERS)))  # not let go
    assert not done(task, start, at((), (TOP,)))
    assert not done(task, start, at((), ()))  # still falling
    assert not done(task, at((), FINGERS), at((), (link,)))
    assert not done(task, at(('table',), FINGERS), at((), (link,)))
    assert not done(task, at((body, 'table'), FINGERS), at((), (link,)))  # touched two bodies
    assert not done(task, at((body,), (*FINGERS, TOP)), at((), (link,)))  # block was not free


def test_stack():
    on_blue = ('block_blue', 'base')
    start = scene(robot=('block_red',), red=moved('red', dz=0.1, contacts=FINGERS))

    def end(contacts=(on_blue,), **kwargs):
        return scene(red=moved('red', dz=0.04, contacts=contacts, **kwargs))

    assert done('stack_block', start, end())
    assert done('stack_block', start, end(linear=(0.99, -0.99, 0.99), angular=(0, -0.99, 0.99)))
    assert not done('stack_block', start, end(linear=(0, -1.01, 0)))
    assert not done('stack_block', start, end(angular=(0, 0, 1.01)))
    assert not done('stack_block', start, end(contacts=(on_blue, *FINGERS)))  # not let go
    assert not done('stack_block', start, end(contacts=(on_blue, TOP)))  # leans on it
    assert not done('stack_block', start, end(contacts=()))
    assert not done('stack_block', end(), end())  # was stacked before


def test_unstack():
    on_blue = ('block_blue', 'base')

    def start(contacts=(on_blue,), **kwargs):
        return scene(red=moved('red', dz=0.04, contacts=contacts, **kwargs))

    assert done('unstack_block', start(), scene())
    assert done('unstack_block', start(angular=(0.99, 0, 0)), scene())
    assert done('unstack_block', start(), scene(red=moved('red', dz=0.2, contacts=FINGERS)))
    assert done('unstack_block', start(), scene(red=moved('red', dz=0.2, contacts=())))
    assert not done('unstack_block', start(linear=(1.01, 0, 0)), scene())
    assert not done('unstack_block', start(contacts=(on_blue, *FINGERS)), scene())
    assert not done('unstack_block', start(contacts=(on_blue, TOP)), scene())
    assert not done('unstack_block', start(), scene(red=moved('red', contacts=(TOP, on_blue))))


@pytest.mark.parametrize('light', ['lightbulb', 'led'])
def test_lights(light):
    off, on = scene(**{light: 0}), scene(**{light: 1})
    assert done(f'turn_on_{light}', off, on) and done(f'turn_off_{light}', on, off)
    for start, now in ((on, on), (off, off)):
        assert not done(f'turn_on_{light}', start, now)
        assert not done(f'turn_off_{light}', start, now)
    assert not done(f'turn_on_{light}', on, off) and not done(f'turn_off_{light}', off, on)


@pytest.mark.parametrize('colour', COLOURS)
def test_push_into_drawer(colour):
    def at(*contacts):
        return scene(drawer=0.22, **{colour: moved(colour, contacts=contacts)})

    assert done('push_into_drawer', at(TOP), at(DRAWER))
    assert done('push_into_drawer', at(TOP), at(DRAWER, TOP))
    assert not done('push_into_drawer', at(TOP), at(DRAWER, *FINGERS))
    assert not done('push_into_drawer', at(TOP, *FINGERS), at(DRAWER))
    assert not done('push_into_drawer', at(TOP, PLANK), at(DRAWER))  # exactly the table
    assert not done('push_into_drawer', at(PLANK), at(DRAWER))
    assert not done('push_into_drawer', at(TOP), at(TOP))
    assert not done('push_into_drawer', at(TOP), at())


def test_unknown_names_give_the_nearest_ones():
    oracle = TaskOracle()
    with pytest.raises(ValueError, match='open_drawer'):
        oracle.succeeded('open_the_drawer', scene(), scene())
    with pytest.raises(ValueError, match='unknown task'):
        oracle.can_start('juggle', scene())
    with pytest.raises(ValueError, match='A, B, C, D'):
        TaskOracle('E')


# ---------------------------------------------------------------- where a task can be started


def test_can_start_reads_the_joints_and_the_lights():
    can = TaskOracle('D').can_start
    assert can('move_slider_left', scene(slider=0.0)) and not can(
        'move_slider_left', scene(slider=0.2)
    )
    assert can('move_slider_right', scene(slider=0.28))
    assert not can('move_slider_right', scene(slider=0.14))
    assert can('open_drawer', scene()) and not can('open_drawer', scene(drawer=0.22))
    assert can('close_drawer', scene(drawer=0.22)) and not can('close_drawer', scene())
    for light in ('led', 'lightbulb'):
        assert can(f'turn_on_{light}', scene()) and not can(f'turn_off_{light}', scene())
        assert can(f'turn_off_{light}', scene(**{light: 1}))


def test_can_start_wants_an_empty_gripper_or_a_held_block():
    can = TaskOracle('D').can_start
    held = scene(
        robot=('block_red',), red=moved('red', dz=0.1, contacts=FINGERS), drawer=0.22, slider=0.0
    )
    needs_block = {'place_in_slider', 'place_in_drawer', 'stack_block'}
    assert {t for t in TASKS if can(t, held)} == needs_block
    assert not {t for t in TASKS if can(t, scene(drawer=0.22))} & needs_block
    assert not can('place_in_drawer', dataclasses.replace(held, drawer=0.0))
    shelf = {
        'blue': block((-0.24, 0.09, 0.46), (PLANK,)),
        'pink': block((0.07, 0.09, 0.46), (PLANK,)),
    }
    full = dataclasses.replace(held, blocks=held.blocks | shelf)
    assert not can('place_in_slider', full) and not can('stack_block', full)


def test_can_start_looks_behind_the_door_and_the_drawer_front():
    can = TaskOracle('D').can_start
    left, right = block((-0.24, 0.09, 0.46), (PLANK,)), block((0.07, 0.09, 0.46), (PLANK,))
    for slider, red_free, blue_free in (
        (0.0, True, False),
        (0.28, False, True),
        (0.14, False, False),
        # as far as the tasks move it: where chains of tasks leave the door
        (0.28 - 0.15 - EPS, True, False),
        (0.15 + EPS, False, True),
    ):
        state = scene(red=left, blue=right, slider=slider)
        assert can('lift_red_block_slider', state) == red_free
        assert can('lift_blue_block_slider', state) == blue_free
        assert not can('lift_red_block_table', state)
    inside = block((0.18, -0.28, 0.36), (DRAWER,))
    assert can('lift_red_block_drawer', scene(red=inside, drawer=0.22))
    pushed = block((0.18, -0.10, 0.46), (TOP,))
    assert can('push_into_drawer', scene(red=pushed, drawer=0.12 + EPS))
    assert not can('push_into_drawer', scene(red=pushed, drawer=0.12 - EPS))
    shut = block((0.18, -0.06, 0.36), (DRAWER,))
    assert not can('lift_red_block_drawer', scene(red=shut, drawer=0.0))


def test_can_start_wants_a_free_block_with_room_to_move():
    can = TaskOracle('D').can_start
    on_blue = block(np.add(AT['blue'], (0, 0, 0.04)), (('block_blue', 'base'),))
    stacked = scene(red=on_blue)
    assert can('unstack_block', stacked) and not can('unstack_block', scene())
    for task in ('lift_blue_block_table', 'rotate_blue_block_left', 'push_blue_block_left'):
        assert can(task, scene()) and not can(task, stacked)
    edge = scene(red=block((0.35, -0.1, 0.46)))
    assert not can('push_red_block_right', edge) and can('push_red_block_left', edge)
    assert can('push_into_drawer', scene(drawer=0.22))
    assert not can('push_into_drawer', scene(drawer=0.0))
    away = {c: block((-0.1 - 0.1 * i, -0.1, 0.46)) for i, c in enumerate(COLOURS)}
    assert not can('push_into_drawer', scene(drawer=0.22, **away))
