# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How the expert takes hold of a block, carries it, and puts it down."""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.arms.geometry import matrix_to_euler
from vw2_ros.sim.expert.look import CLOSE, OPEN, Look, clip, norm, wrap
from vw2_ros.sim.expert.motion import (
    FLY_Z,
    NEUTRAL_YAW,
    TURN_RAD,
    approach,
    hand_down,
    hand_rotation,
    leaning,
    shelf_tilt,
    straight,
    tilt_to_reach,
)
from vw2_ros.sim.scenes import COLOURS, TABLE_TOP

OPEN_HALF_M = 0.068  # of the open fingers, with room
NEIGHBOUR_M = 0.16  # blocks farther from each other are not in the open hand's way
COMMITMENT = 0.6  # how much nearness to the hand's yaw counts against nearness to the wanted one
SHELF_YAW = 0.2  # the hand turns so far at most in the cabinet [rad]; the fingers turn the block
HALF_FINGER_M = 0.012  # of the closed pair, across; the tips lie as far below the TCP


def grasp(look: Look, colour: str, *, around: float = NEUTRAL_YAW) -> np.ndarray:
    """Take hold of a block where it lies, with the hand's yaw near `around` [rad]."""
    block = look.position(colour)
    in_cabinet = block[1] > 0.02
    tilt = shelf_tilt(block[1]) if in_cabinet else tilt_to_reach(look.arm, block)
    yaw = _shelf_yaw(look, colour) if in_cabinet else _grasp_yaw(look, colour, around)
    rotation = hand_rotation(yaw, tilt)
    # a tilted hand holds one finger lower than the other
    point = block + np.array([0.0, 0.0, 0.002 + 0.045 * abs(rotation[2, 1])])
    if in_cabinet:
        point[0] += _room(look, block[0])
    point[:2] += _aside(look, colour, yaw) + look.nudge
    away = rotation.T @ (look.tcp - point)  # in the hand's frame: x wide, y across, z down
    turn = np.max(np.abs(wrap(matrix_to_euler(rotation) - look.target_euler)))
    inside = abs(away[0]) < 0.014 and abs(away[1]) < 0.02 and abs(away[2]) < 0.012
    centred = abs(away[1]) < 0.008 or look.width < 0.075 or norm(look.target - point) < 0.005
    ready = inside and turn < TURN_RAD + 0.1 and centred
    if ready:
        return straight(look, point, rotation, CLOSE, speed=0.3)
    return approach(look, point, rotation, OPEN)


def _grasp_yaw(look: Look, colour: str, around: float = NEUTRAL_YAW) -> float:
    """Yaw [rad] of the hand with the fingers across a short side, near `around`."""
    now = float(look.target_euler[2])
    best, best_cost = around, math.inf
    for size, (ax, ay), _ in look.axes(colour):
        if size > 0.06:
            continue
        yaw = math.atan2(ax, -ay)
        turns = round((around - yaw) / math.pi)
        for k in (turns - 1, turns, turns + 1):
            candidate = yaw + k * math.pi
            cost = (
                abs(candidate - around)
                + 10.0 * max(0.0, size - 0.04)
                + COMMITMENT * abs(wrap(candidate - now))
            )
            if cost < best_cost:  # else crowding, never negative, need not be worked out
                cost += 60.0 * _crowding(look, colour, candidate)
            if cost < best_cost:
                best, best_cost = candidate, cost
    return best


def _shelf_yaw(look: Look, colour: str) -> float:
    """Yaw [rad] of the hand in the cabinet: towards a block's short side, where it can get there.

    It varies smoothly with the block's yaw, half a turn of which looks the same, and of a square
    one a quarter.
    """
    (short, (ax, ay), _), *rest = sorted(look.axes(colour), key=lambda axis: axis[0])
    alike = 4 if rest and rest[0][0] - short < 0.005 else 2
    return NEUTRAL_YAW + SHELF_YAW * math.sin(alike * (math.atan2(ax, -ay) - NEUTRAL_YAW))


def _aside(look: Look, colour: str, yaw: float) -> np.ndarray:
    """By how much (2,) [m] to take hold off a block's middle, to miss its neighbours."""
    best, best_cost = np.zeros(2), 10.0 * _crowding(look, colour, yaw)
    if best_cost == 0.0:
        return best
    across = np.array([math.sin(yaw), -math.cos(yaw)])
    along = np.array([math.cos(yaw), math.sin(yaw)])
    length = look.half_extent(colour, along) - 0.02
    for u in (0.0, 0.006, -0.006, 0.012, -0.012):
        for v in (0.0, 0.5, -0.5):
            shift = u * across + v * length * along
            cost = norm(shift)
            if cost < best_cost:
                cost += 10.0 * _crowding(look, colour, yaw, shift)
            if cost < best_cost:
                best, best_cost = shift, cost
    return best


def _crowding(look: Look, colour: str, yaw: float, shift=(0.0, 0.0)) -> float:
    """How far other blocks reach into where the open fingers would go down [m]."""
    x, y, z = look.position(colour).tolist()
    near, in_drawer = _neighbours(look, colour), z < 0.40
    if not near and not in_drawer:
        return 0.0
    x, y = x + float(shift[0]), y + float(shift[1])
    fingers = [(side * math.sin(yaw), -side * math.cos(yaw)) for side in (-0.052, 0.052)]
    worst = 0.0
    for other in near:
        ox, oy, _ = look.position(other).tolist()
        for fx, fy in fingers:
            off = np.array([ox - x - fx, oy - y - fy])
            gap = norm(off)
            half = look.half_extent(other, off / max(gap, 1e-6))
            worst = max(worst, half + HALF_FINGER_M + 0.004 - gap)
    if in_drawer:  # the drawer's walls, and the table above it
        for fx, fy in fingers:
            worst = max(
                worst,
                abs(x + fx - look.scene.drawer_x) - 0.192,
                y + fy + 0.192,
                -(y + fy) - 0.148 - look.state.drawer,
            )
    return worst


def _neighbours(look: Look, colour: str) -> list[str]:
    """The blocks that lie so near that they could be in the open fingers' way."""
    if ('near', colour) not in look.noted:
        away = {c: (look.position(c) - look.position(colour)).tolist() for c in COLOURS}
        look.noted['near', colour] = [
            c
            for c, (x, y, z) in away.items()
            if c != colour and abs(z) <= 0.03 and math.hypot(x, y) < NEIGHBOUR_M
        ]
    return look.noted['near', colour]


def _room(look: Look, x: float) -> float:
    """By how much in x [m] the open hand must be off a block's middle to fit the shelf's half."""
    left, right = look.scene.opening
    if x < look.scene.plank_x:
        right = look.scene.plank_x
    else:
        left = look.scene.plank_x
    return clip(clip(x, left + OPEN_HALF_M, right - OPEN_HALF_M) - x, -0.015, 0.015)


def raise_held(look: Look) -> np.ndarray:
    """Lift what is held; from under the cabinet's handles, first away from them."""
    rise = max(0.0, FLY_Z - look.target[2])
    aside = 0.0
    if FLY_Z - 0.02 > look.target[2] and -0.11 < look.target[1] < 0.02:
        aside = -0.11 - look.target[1]
        rise *= clip(1.5 + aside / 0.03, 0.0, 1.0)
    return straight(look, look.target + [0.0, aside, rise], leaning(look), CLOSE, speed=0.8)


def let_go(look: Look) -> np.ndarray:
    """Put down the held block where there is room, and open."""
    block = look.position(look.held)
    others = look.touches(look.held) - {'robot'}
    on_block = any(
        norm(look.position(c)[:2] - block[:2]) < 0.06 and look.position(c)[2] < block[2] - 0.02
        for c in COLOURS
        if c != look.held
    )
    if others and not on_block:
        return straight(look, look.target, None, OPEN)
    spot = _free_spot(look, look.held) if on_block or not _over_table(block) else look.tcp[:2]
    return lower(look, look.held, np.array([*spot, TABLE_TOP + 0.02]), hand_down(look, spot))


def _over_table(position) -> bool:
    x, y, _ = position
    return abs(x) < 0.40 and -0.16 < y < 0.01


def _free_spot(look: Look, held: str) -> np.ndarray:
    """A place on the table (2,) away from the other blocks and the button."""
    region = look.scene.spawn['table']
    spots = [np.array([x, -0.09]) for x in np.linspace(*region.x, 8)]
    things = [look.position(c)[:2] for c in COLOURS if c != held]
    things.append(np.array([look.scene.button_x, -0.12]))

    def cost(spot):
        near = min(norm(spot - t) for t in things)
        return norm(spot - look.tcp[:2]) + 10.0 * max(0.0, 0.13 - near)

    return min(spots, key=cost)


def lower(look: Look, colour: str, goal, rotation, *, room: float = 0.012) -> np.ndarray:
    """Carry the held block to where its centre (3,) [m] shall be, and open there.

    Args:
        rotation: (3, 3) of the hand at the goal.
        room: how far beside the goal it may stand where something keeps the hand from it [m].
    """
    goal = np.asarray(goal)
    block = look.position(colour)
    point = goal + (look.tcp - block)
    error = goal - block
    supported = look.touches(colour) - {'robot'}
    blocked = norm(look.target - look.tcp) > 0.012
    down = error[2] > (-0.025 if blocked else -0.012) or supported
    if norm(error[:2]) < (room if blocked else 0.012) and down:
        return straight(look, look.target, None, OPEN)
    return approach(look, point, rotation, CLOSE, tolerance=0.008)
