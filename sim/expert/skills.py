# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One skill per task: a function that gives the next action for what the expert sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from vw2_ros.arms.actions import POSITION_STEP_M
from vw2_ros.arms.geometry import quaternion_to_matrix
from vw2_ros.sim.expert.grasp import HALF_FINGER_M, grasp, let_go, lower, raise_held
from vw2_ros.sim.expert.look import CLOSE, OPEN, Look, norm
from vw2_ros.sim.expert.motion import (
    GAIN,
    NEUTRAL_YAW,
    SLOPE,
    SWITCH_TILT,
    approach,
    drive,
    hand_down,
    hand_rotation,
    retreat,
    shelf_tilt,
    straight,
    tilt_to_reach,
)
from vw2_ros.sim.scenes import (
    BUTTON_THRESHOLD,
    COLOURS,
    DRAWER_RANGE,
    PLANK_TOP,
    SWITCH_TRAVEL,
    TABLE_TOP,
)
from vw2_ros.sim.tasks import DRAWER, PLANK, TOP, held_block

ROOM_M = 0.03  # a block may stand so far beside its place on the shelf or in the drawer
DOOR_HALF_M = 0.195  # of the sliding door, with room for a hand that holds a block
FRONT_Y = 0.02  # from here on the cabinet's handles are in the way of a hand on the table [m]

Skill = Callable[[Look], np.ndarray]  # -> the next relative action (7,)


def skill_for(task: str) -> Skill:
    """The skill that solves a task, with the task's words filled in."""
    words = task.split('_')
    if words[0] == 'rotate':
        return partial(rotate, colour=words[1], side=words[3])
    if words[0] == 'push' and words[1] in COLOURS:
        return partial(push, colour=words[1], side=words[3])
    if words[0] == 'lift':
        return partial(lift, colour=words[1], place=words[3])
    return {
        'move_slider_left': partial(move_slider, side='left'),
        'move_slider_right': partial(move_slider, side='right'),
        'open_drawer': open_drawer,
        'close_drawer': close_drawer,
        'place_in_slider': place_in_slider,
        'place_in_drawer': place_in_drawer,
        'stack_block': stack,
        'unstack_block': unstack,
        'turn_on_lightbulb': partial(flip_switch, want=1),
        'turn_off_lightbulb': partial(flip_switch, want=0),
        'turn_on_led': partial(press_button, want=1),
        'turn_off_led': partial(press_button, want=0),
        'push_into_drawer': push_into_drawer,
    }[task]


# ---------------------------------------------------------------- blocks


def lift(look: Look, colour: str, place: str) -> np.ndarray:
    """Take hold of a block on "table", in "slider" (the cabinet) or in "drawer", and lift it."""
    if look.held == colour:
        if place == 'slider' and look.target[2] > PLANK_TOP + 0.06:
            return retreat(look, CLOSE)
        return raise_held(look)
    if look.held:
        return let_go(look)
    if place == 'slider':
        clear = _clear_door(look, look.position(colour)[0])
        if clear is not None:
            return clear
    return grasp(look, colour)


def rotate(look: Look, colour: str, side: str) -> np.ndarray:
    """Take hold of a block, turn it by more than 60 degrees, let go."""
    sign = -1.0 if side == 'right' else 1.0
    if look.held not in (None, colour):
        return let_go(look)
    turned = _turned(look, colour)
    if look.held == colour:
        if sign * turned > math.radians(78):
            return straight(look, look.target, None, OPEN)
        action = np.zeros(7)
        action[5] = sign * 0.9
        action[6] = CLOSE
        return action
    if sign * turned > math.radians(62):
        return retreat(look, OPEN)
    return grasp(look, colour, around=NEUTRAL_YAW - sign * 0.7)


def _turned(look: Look, colour: str) -> float:
    a = quaternion_to_matrix(look.start.blocks[colour].orientation)
    b = quaternion_to_matrix(look.state.blocks[colour].orientation)
    w = b @ a.T
    return math.atan2(w[1, 0], w[0, 0])


def push(look: Look, colour: str, side: str) -> np.ndarray:
    """Push a block sideways, or pull it where the hand does not fit behind it."""
    sign = 1.0 if side == 'right' else -1.0
    block = look.position(colour)
    moved = sign * (block[0] - look.start.blocks[colour].position[0])
    if look.held == colour and block[2] < TABLE_TOP + 0.03 and moved < 0.125:
        # it could not be pushed from behind: pull it along
        pull = np.array(
            [sign * 0.6 * POSITION_STEP_M, 0.0, -0.001 if look.tcp[2] > 0.455 else 0.0]
        )
        return drive(look, pull, None, CLOSE)
    if look.held:
        return let_go(look)
    if moved > 0.125:
        return retreat(look, CLOSE)
    way = np.array([sign, 0.0])
    if _can_sweep(look, colour, way):
        return _broom(look, colour, way)
    return grasp(look, colour)


def _broom_start(look: Look, colour: str, way) -> np.ndarray:
    """Where the closed fingers (2,) go down behind a block."""
    half = look.half_extent(colour, way)
    return look.position(colour)[:2] - way * (half + HALF_FINGER_M + 0.022)


def _can_sweep(look: Look, colour: str, way) -> bool:
    """Whether the arm reaches behind the block, and no other block lies there."""
    start = _broom_start(look, colour, way)
    gap = min(norm(look.position(c)[:2] - start) for c in COLOURS if c != colour)
    return tilt_to_reach(look.arm, start) < 0.45 and gap > 0.045


def _broom(look: Look, colour: str, way) -> np.ndarray:
    """Push a block along a horizontal direction (2,) with the closed fingers."""
    block = look.position(colour)
    half = look.half_extent(colour, way)
    side = np.array([-way[1], way[0]])
    z = TABLE_TOP + 0.018
    start = _broom_start(look, colour, way)
    rotation = hand_down(look, start)
    away = look.tcp[:2] - block[:2]
    behind = -float(away @ way)
    off = float(away @ side)
    low = look.tcp[2] < z + 0.02
    if low and behind > half - 0.004 and abs(off) < 0.014 and behind < half + 0.07:
        # sideways, towards the line through the block's centre
        step = 0.6 * POSITION_STEP_M * way - 0.4 * off * side
        velocity = np.array([*step, GAIN * (z - look.target[2])])
        return drive(look, velocity, rotation, CLOSE)
    return approach(look, np.array([*start, z]), rotation, CLOSE, tolerance=0.008)


def push_into_drawer(look: Look) -> np.ndarray:
    """Push a block over the edge into the open drawer, or carry it if it cannot be pushed."""
    way = np.array([0.0, -1.0])
    lay = {
        c for c in COLOURS if look.start.blocks[c].contacts == {('table', TOP)}
    }  # others don't count
    if look.held:
        return place_in_drawer(look) if look.held in lay else let_go(look)
    loose = [c for c in COLOURS if c in lay and 'table' in look.touches(c)]
    if not loose:
        return retreat(look, CLOSE)
    jammed = look.nudge.any()
    pushed = {c: not jammed and _slides_into_drawer(look, c, way) for c in loose}

    def cost(colour):
        # a hand on its way to a block stays on it
        away = norm(_broom_start(look, colour, way) - look.tcp[:2])
        return look.position(colour)[1] + 0.5 * away + (not pushed[colour])

    colour = min(loose, key=cost)
    return _broom(look, colour, way) if pushed[colour] else grasp(look, colour)


def _slides_into_drawer(look: Look, colour: str, way) -> bool:
    """Whether the hand fits behind a block, and the drawer lies before it."""
    before = abs(look.position(colour)[0] - look.scene.drawer_x) < 0.19
    return (
        before and _can_sweep(look, colour, way) and _broom_start(look, colour, way)[1] < FRONT_Y
    )


def place_in_slider(look: Look) -> np.ndarray:
    """Put the held block onto the shelf, where the door leaves it open."""
    if not look.held:
        return _fetch(look, PLANK)
    spot = _shelf_spot(look)
    goal = np.array([spot, 0.085, PLANK_TOP + 0.02])
    rotation = hand_rotation(NEUTRAL_YAW, shelf_tilt(goal[1]))
    return lower(look, look.held, goal, rotation, room=ROOM_M)


def _fetch(look: Look, *places: str) -> np.ndarray:
    """Take hold again of the block that slipped out of the hand, unless it lies in its place."""
    lost = held_block(look.start)
    if lost is None or look.touches(lost) & set(places):
        return retreat(look, OPEN)
    return grasp(look, lost)


def _shelf_spot(look: Look) -> float:
    """Where on the part of the shelf that the door leaves open the held block goes (x)."""
    blocks = [
        look.position(c)[0] for c in COLOURS if c != look.held and look.position(c)[1] > 0.02
    ]
    halves = [look.scene.spawn[half].x for half in ('slider_left', 'slider_right')]
    spots = [(x, (a + b) / 2) for a, b in halves for x in np.linspace(a + 0.02, b - 0.02, 5)]
    door = _handle(look, 'slider')[0]

    def cost(spot):
        x, middle = spot
        near = min((abs(x - b) for b in blocks), default=1.0)
        tight = max(0.0, 0.085 - near) + max(0.0, DOOR_HALF_M - abs(x - door))
        # of two equally good ones the nearer, so that a hand on its way stays on it
        return abs(x - middle) + 0.5 * abs(x - look.tcp[0]) + 10.0 * tight

    return float(min(spots, key=cost)[0])


def place_in_drawer(look: Look) -> np.ndarray:
    """Put the held block into the open drawer."""
    if not look.held:
        return _fetch(look, DRAWER)
    y = -0.185 - 0.5 * look.state.drawer
    blocks = [
        look.position(c)[:2] for c in COLOURS if c != look.held and look.position(c)[2] < 0.43
    ]
    spots = [look.scene.drawer_x + d for d in (0.0, -0.09, 0.09, -0.16, 0.16)]

    def cost(x):
        near = min((np.hypot(x - b[0], y - b[1]) for b in blocks), default=1.0)
        away = 0.2 * abs(x - look.scene.drawer_x) + 0.1 * abs(x - look.tcp[0])
        return away + max(0.0, 0.085 - near)

    x = min(spots, key=cost)
    goal = np.array([x, y, 0.342 + 0.024])
    return lower(look, look.held, goal, hand_rotation(NEUTRAL_YAW), room=ROOM_M)


def stack(look: Look) -> np.ndarray:
    """Put the held block onto another one."""
    if not look.held:
        return _fetch(look, *(f'block_{c}' for c in COLOURS))
    bases = [
        c
        for c in COLOURS
        if c != look.held
        and 'table' in look.touches(c)
        and not any(
            o != look.held
            and f'block_{o}' in look.touches(c)
            and look.position(o)[2] > look.position(c)[2] + 0.02
            for o in COLOURS
            if o != c
        )
    ]
    if not bases:
        bases = [c for c in COLOURS if c != look.held]
    base = min(bases, key=lambda c: norm(look.position(c)[:2] - look.tcp[:2]))
    goal = look.position(base) + np.array([0.0, 0.0, 0.042])
    return lower(look, look.held, goal, _upright(look, look.held, hand_down(look, goal)))


def _upright(look: Look, colour: str, rotation: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) of the hand, tilted so that the block which it holds stands on a face.

    A block that was taken with the hand tilted, as from the shelf, would lie askew under an upright
    one, and slide off.
    """
    block = quaternion_to_matrix(look.state.blocks[colour].orientation)
    faces = rotation @ look.rotation.T @ block  # of the block, once the hand is turned so
    up = faces[:, np.argmax(np.abs(faces[2]))]
    up = up * np.sign(up[2])
    axis = np.cross(up, (0.0, 0.0, 1.0))
    # Rodrigues' formula: the shortest turn that brings `up` upright
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return (np.eye(3) + k + k @ k / (1 + up[2])) @ rotation


def unstack(look: Look) -> np.ndarray:
    """Lift a block off another one."""
    tops = [
        c
        for c in COLOURS
        if any(
            f'block_{o}' in look.touches(c) and look.position(c)[2] > look.position(o)[2] + 0.02
            for o in COLOURS
            if o != c
        )
    ]
    if look.held and look.held not in tops:
        return raise_held(look)
    if not tops:
        return retreat(look, CLOSE if look.held else OPEN)
    if look.held:
        return raise_held(look)
    return grasp(look, tops[0])


# ---------------------------------------------------------------- furniture


def press_button(look: Look, want: int) -> np.ndarray:
    """Press the button until the LED is as wanted (0 or 1)."""
    if look.held:
        return let_go(look)
    rotation = hand_rotation(NEUTRAL_YAW)
    point = np.array([look.scene.button_x, -0.12, TABLE_TOP + 0.045 + 0.012 - 0.018])
    if look.state.led == want:
        return retreat(look, CLOSE)
    above = norm(look.tcp[:2] - point[:2]) < 0.03
    if look.state.button > BUTTON_THRESHOLD and above and look.tcp[2] < point[2] + 0.02:
        # held down already: it must come up before it can be pressed again
        return drive(look, np.array([0.0, 0.0, POSITION_STEP_M]), rotation, CLOSE)
    return approach(look, point, rotation, CLOSE, tolerance=0.012, speed=0.8)


def _handle(look: Look, name: str) -> np.ndarray:
    """Where (3,) the handle of slider, drawer or switch is now."""
    start, way = look.scene.handles[name]
    return start + way * getattr(look.state, name)


def flip_switch(look: Look, want: int) -> np.ndarray:
    """Push the switch up (1) or down (0)."""
    if look.held:
        return let_go(look)
    rotation = hand_rotation(NEUTRAL_YAW, SWITCH_TILT)
    bar = _handle(look, 'switch')
    normal = np.array([0.0, -math.sqrt(0.75), 0.5])  # out of the cabinet's front
    away = look.tcp - bar
    x_off, along, out = away[0], float(away @ SLOPE), float(away @ normal)
    travelled = look.state.switch if want else SWITCH_TRAVEL - look.state.switch
    sign = 1.0 if want else -1.0
    gap = 0.042
    if travelled > 0.8 * SWITCH_TRAVEL:
        return retreat(look, CLOSE)
    beside = sign * along < -0.008
    if beside and abs(x_off) < 0.04 and abs(out) < 0.02 and sign * along > -0.06:
        velocity = SLOPE * sign * 0.5 * POSITION_STEP_M - normal * GAIN * out
        return drive(look, velocity, rotation, CLOSE)
    start = bar - sign * SLOPE * gap
    return approach(look, start, rotation, CLOSE, tolerance=0.015)


def move_slider(look: Look, side: str) -> np.ndarray:
    """Push the sliding door to the "left" or the "right"."""
    if look.held:
        return let_go(look)
    sign = -1.0 if side == 'left' else 1.0
    left = look.scene.slider_range - look.state.slider if side == 'left' else look.state.slider
    if left < 0.012:
        return retreat(look, CLOSE)
    rotation = hand_rotation(NEUTRAL_YAW)
    handle = _handle(look, 'slider')
    away = look.tcp - handle
    behind = -sign * away[0]
    if 0.006 < behind < 0.08 and abs(away[1]) < 0.02 and abs(away[2]) < 0.025:
        # not before it is down beside the handle, or it slides over it
        level = float(np.clip(2.0 - abs(away[2]) / 0.01, 0.0, 1.0))
        velocity = np.array(
            [
                level * sign * 0.7 * POSITION_STEP_M,
                GAIN * (handle[1] - look.target[1]),
                GAIN * (handle[2] - look.target[2]),
            ]
        )
        return drive(look, velocity, rotation, CLOSE)
    start = handle - [sign * 0.05, 0.0, 0.0]
    return approach(look, start, rotation, CLOSE, reach=0.06, tolerance=0.012)


def _clear_door(look: Look, x: float) -> np.ndarray | None:
    """Push the door aside if it still covers the shelf at x."""
    left = x < look.scene.plank_x
    room = look.state.slider if left else look.scene.slider_range - look.state.slider
    if room < 0.05:
        return None
    return move_slider(look, 'right' if left else 'left')


def open_drawer(look: Look) -> np.ndarray:
    """Pull the drawer open by its handle, from behind the bar."""
    if look.held:
        return let_go(look)
    if look.state.drawer > DRAWER_RANGE - 0.015:
        return retreat(look, CLOSE)
    rotation = hand_rotation(NEUTRAL_YAW)
    bar = _handle(look, 'drawer')
    away = look.tcp - bar
    z = 0.362
    if abs(away[0]) < 0.08 and 0.0 < away[1] < 0.06 and look.tcp[2] < z + 0.02:
        velocity = np.array([0.0, -0.6 * POSITION_STEP_M, GAIN * (z - look.target[2])])
        return drive(look, velocity, rotation, CLOSE)
    start = np.array([bar[0], bar[1] + 0.035, z])
    return approach(look, start, rotation, CLOSE, tolerance=0.012)


def close_drawer(look: Look) -> np.ndarray:
    """Push the drawer shut, from in front of the bar."""
    if look.held:
        return let_go(look)
    if look.state.drawer < 0.01:
        return retreat(look, CLOSE)
    rotation = hand_rotation(NEUTRAL_YAW)
    bar = _handle(look, 'drawer')
    away = look.tcp - bar
    z = 0.365
    if abs(away[0]) < 0.08 and -0.09 < away[1] < -0.012 and look.tcp[2] < z + 0.025:
        velocity = np.array([0.0, 0.6 * POSITION_STEP_M, GAIN * (z - look.target[2])])
        return drive(look, velocity, rotation, CLOSE)
    start = np.array([bar[0], bar[1] - 0.045, z])
    return approach(look, start, rotation, CLOSE, tolerance=0.012)
