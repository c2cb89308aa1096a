# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A scripted expert for the 34 tasks, through relative end-effector actions only.

Its choice depends on what can be seen: where the hand is, how wide the gripper, where blocks and
handles are. A network can therefore learn it from single pictures. What it remembers is the state
at the start of the task, and uses it only to know how far to push or to turn.

A motion towards a goal pose has two parts. Far from it, the hand backs out along its own fingers
until it is clear of everything, then flies. Near it, a funnel leads in: the hand may come as close
to the goal, along the goal's fingers, as it is well aligned across them.

Try it: `python -m vw2_ros.sim.expert.skills --tasks all --rollouts 10`
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from vw2_ros.arms import open_arm
from vw2_ros.arms.actions import POSITION_STEP_M as STEP_M
from vw2_ros.arms.actions import ROTATION_STEP_RAD as STEP_RAD
from vw2_ros.arms.geometry import euler_to_matrix, matrix_to_euler, quaternion_to_matrix
from vw2_ros.sim.scenes import (
    BUTTON_THRESHOLD,
    COLOURS,
    DRAWER_RANGE,
    PLANK_TOP,
    SWITCH_TRAVEL,
    TABLE_TOP,
    Scene,
    random_scene_obs,
)
from vw2_ros.sim.state import FINGER_LINKS
from vw2_ros.sim.table import Table, open_table
from vw2_ros.sim.tasks import TASKS, TaskOracle, check_task

OPEN, CLOSE = 1.0, -1.0
BASE_POSITION = open_arm().base_position
TOP_SPEED = (
    0.6  # of what an action can ask for: the joints keep up, and 8 actions are 10 cm at most
)
LEASH_M = 0.03  # how far the target runs ahead of the hand before it slows down; twice: stops
JAM_STEPS = 14  # that long behind its target, the hand is stuck
GAIN = 0.5  # share of the remaining way that one step covers near a goal
FLY_Z = 0.555  # the hand is clear of everything from this height on [m] ...
FLY_Y = -0.05  # ... in front of the cabinet
REACH_M = 0.745  # from the base, at the flying height, with the fingers straight down
WRIST_M = 0.247  # from the wrist's axes to the TCP
NEUTRAL_YAW = math.pi / 2  # the fingers open along x
SHELF_TILT = (0.5, 0.85)  # the fingers point forward by this at the cabinet's front and back
SWITCH_TILT = 0.6
TABLE_TILT = 0.55
SLOPE = np.array([0.0, 0.5, math.sqrt(0.75)])  # up along the cabinet's front
OPEN_HALF = 0.068  # of the open fingers, with room
NEIGHBOUR_M = 0.16  # blocks farther from each other are not in the open hand's way
HALF_FINGER = 0.012  # of the closed pair, across; the tips lie as far below the TCP


def hand_rotation(yaw: float, tilt: float = 0.0) -> np.ndarray:
    """Rotation (3, 3) of a hand whose fingers point down, then forward (+y) by `tilt` [rad].

    At yaw pi/2 the fingers open along x.
    """
    c, s = math.cos(tilt), math.sin(tilt)
    lean = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return lean @ euler_to_matrix((math.pi, 0.0, yaw))


def tilt_to_reach(position) -> float:
    """How far the fingers must point forward so that the arm reaches a place on the table [rad]."""
    dx = min(abs(position[0] - BASE_POSITION[0]), REACH_M - 0.005)
    dy = position[1] - BASE_POSITION[1]
    short = dy - math.sqrt(REACH_M**2 - dx**2)
    return math.asin(min(max(short / WRIST_M, 0.0), 0.5))


def shelf_tilt(y: float) -> float:
    """How far the fingers point forward in the cabinet, for the hand to stay in front of it."""
    return float(np.interp(y, (0.085, 0.115), SHELF_TILT))


def _wrap(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _norm(vector: np.ndarray) -> float:
    # what np.linalg.norm computes, to the bit, at a fifth of its price
    return math.sqrt(vector.dot(vector))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)


@dataclasses.dataclass(frozen=True)
class Look:
    """What the expert sees at one instant."""

    tcp: np.ndarray  # (3,) measured
    rotation: np.ndarray  # (3, 3) measured
    target: np.ndarray  # (3,) where the arm is being sent
    target_euler: np.ndarray  # (3,)
    width: float
    held: str | None  # colour of the block between the fingers
    state: object
    noted: dict = dataclasses.field(default_factory=dict)  # what the expert has worked out of it

    @property
    def out(self) -> np.ndarray:
        """The way back along the fingers (3,), unit length."""
        return -self.rotation[:, 2]

    def position(self, colour: str) -> np.ndarray:
        """Centre (3,) of a block."""
        return self.state.blocks[colour].position

    def touches(self, colour: str) -> set[str]:
        """What a block touches: links of the table, else bodies."""
        contacts = self.state.blocks[colour].contacts
        return {link if body == 'table' else body for body, link in contacts}


class Expert:
    """Solves one task from the table's present state.

    Args:
        table: the play table; it is only looked at.
        task: one of the 34.
        rng: unused; the expert is deterministic. Kept for callers that pass one to each policy.
    Raises:
        ValueError: unknown task.
    """

    def __init__(self, table: Table, task: str, rng: np.random.Generator | None = None):
        self.table = table
        self.task = check_task(task)
        self.scene: Scene = table.scene
        self._sizes = self.scene.block_sizes
        self._handles = self.scene.handles
        self.start = table.state()
        self._oracle = TaskOracle(self.scene.name)
        self._skill = _skill(task)
        self._held_up = 0  # how long the hand has been kept from its target [steps]
        self._escape = 0  # for how long to back out still
        self._nudge = np.zeros(2)

    @property
    def done(self) -> bool:
        """Whether the task counts as solved now."""
        return self._oracle.succeeded(self.task, self.start, self.table.state())

    def act(self) -> np.ndarray:
        """The next relative action (7,), each value in [-1, 1], the gripper exactly -1 or 1."""
        look = self._look()
        lag = look.target - look.tcp
        self._held_up = self._held_up + 1 if _norm(lag) > 0.7 * LEASH_M else 0
        if self._held_up > JAM_STEPS:
            # something is in the way: out, and next time a little to the side
            self._escape, self._held_up = JAM_STEPS, 0
            self._nudge = -0.01 * lag[:2] / max(_norm(lag[:2]), 0.01)
        if self._escape > 0:
            self._escape -= 1
            return self._back_out(look, CLOSE if look.held or look.width < 0.01 else OPEN)
        action = self._skill(self, look)
        if action[6] == CLOSE and not look.held and self._would_catch(look):
            return self._back_out(look, OPEN)
        return action

    def _would_catch(self, look: Look) -> bool:
        """Whether the open fingers still lie around a block that the task has no use for."""
        if look.width < 0.02 or self.task == 'unstack_block':
            return False
        room = (0.03, 0.05, 0.05)  # [m] in the hand's frame: y from finger to finger, z ahead
        return any(
            (np.abs(look.rotation.T @ (look.position(colour) - look.tcp)) < room).all()
            for colour in COLOURS
            if colour not in self.task.split('_')
        )

    def _look(self) -> Look:
        table = self.table
        tcp, rotation = table.tcp_pose()
        position, euler = table.target
        state = table.state()
        width = table.gripper_width()
        held = None
        for colour in COLOURS:
            fingers = {link for body, link in state.blocks[colour].contacts if body == 'robot'}
            if (
                fingers.issuperset(FINGER_LINKS)
                and width < 0.078
                and _norm(state.blocks[colour].position - tcp) < 0.05
            ):
                held = colour
        return Look(tcp, rotation, position, euler, width, held, state)

    # ------------------------------------------------------------ motion

    def _drive(
        self, look: Look, velocity, rotation, grip: float, *, speed: float = 1.0
    ) -> np.ndarray:
        """Action from a wanted displacement (3,) [m] and a wanted rotation (3, 3) or None."""
        action = np.zeros(7)
        v = np.asarray(velocity) / STEP_M
        n = np.linalg.norm(v)
        top = TOP_SPEED * speed
        v = v * (top / n) if n > top else v
        # the joints are slower than the target can be: wait for the hand to come after
        lag = look.target - look.tcp
        if lag @ v > 0.0:
            v = v * float(np.clip(2.0 - np.linalg.norm(lag) / LEASH_M, 0.0, 1.0))
        action[:3] = v
        if rotation is not None:
            error = _wrap(matrix_to_euler(rotation) - look.target_euler)
            action[3:6] = np.clip(GAIN * error / STEP_RAD, -1.0, 1.0)
        action[6] = grip
        return action

    def _straight(
        self, look: Look, point, rotation, grip: float, *, speed: float = 1.0
    ) -> np.ndarray:
        """Straight towards a pose."""
        return self._drive(
            look, GAIN * (np.asarray(point) - look.target), rotation, grip, speed=speed
        )

    def _approach(
        self,
        look: Look,
        point,
        rotation,
        grip: float,
        *,
        reach: float = 0.15,
        tolerance: float = 0.006,
        speed: float = 1.0,
    ) -> np.ndarray:
        """Back out, fly, and come in along the fingers of the goal pose."""
        point = np.asarray(point)
        up = -rotation[:, 2]
        away = look.target - point
        along = float(away @ up)
        across = away - along * up
        distance = _norm(across)
        inside = point[1] > FLY_Y and abs(away[0]) < 0.05 and look.target[2] > FLY_Z - 0.015
        if distance > 0.06 and not inside and not self._is_clear(look.target):
            return self._back_out(look, grip)
        if point[1] < FLY_Y:
            reach = min(reach, (FLY_Z + 0.005 - point[2]) / up[2])  # far places are out of reach
        else:
            # pass along the cabinet's front before going in
            off = max(abs(away[0]), abs(look.tcp[0] - point[0]))
            ahead = max(point[1] + reach * up[1], FLY_Y) - FLY_Y
            across = across + np.array([0.0, ahead * _clip((off - 0.015) / 0.03, 0.0, 1.0), 0.0])
        turn = float(np.max(np.abs(_wrap(matrix_to_euler(rotation) - look.target_euler))))
        slack = max(0.0, distance - tolerance) + 0.08 * max(0.0, turn - 0.1)
        height = min(reach, 3.0 * slack)
        lag = height - along
        share = _clip(1.5 - lag / 0.04, 0.0, 1.0)
        velocity = GAIN * (lag * up - share * across)
        if distance > 0.06:
            # while flying, stay clear
            low = FLY_Z - look.target[2]
            velocity[2] = max(velocity[2], GAIN * low)
        return self._drive(look, velocity, rotation, grip, speed=speed)

    @staticmethod
    def _is_clear(position) -> bool:
        return position[2] > FLY_Z - 0.015 and position[1] < FLY_Y + 0.015

    def _back_out(self, look: Look, grip: float) -> np.ndarray:
        """Along the fingers up to the flying height, then out of the cabinet."""
        velocity = look.out * max(0.0, FLY_Z + 0.01 - look.target[2]) / max(look.out[2], 0.5)
        if look.target[1] > FLY_Y and look.target[2] > 0.5:
            velocity = velocity + np.array([0.0, FLY_Y - 0.01 - look.target[1], 0.0])
        return self._drive(look, velocity, self._leaning(look), grip)

    def _leaning(self, look: Look) -> np.ndarray | None:
        """The present rotation, tilted as far as the place on the table needs it."""
        needed = tilt_to_reach(look.target)
        if look.target[1] > 0.0 or needed == 0.0:
            return None
        rotation = euler_to_matrix(look.target_euler)
        tilt = math.atan2(rotation[1, 2], -rotation[2, 2])
        return hand_rotation(0.0, needed - tilt) @ hand_rotation(0.0).T @ rotation

    def _down(self, point, yaw: float = NEUTRAL_YAW) -> np.ndarray:
        """Rotation of a hand that points at a place on the table.

        Near the cabinet it leans back, away from the handles.
        """
        lean = _clip((point[1] + 0.10) / 0.10, 0.0, 1.0) * TABLE_TILT
        return hand_rotation(yaw, max(tilt_to_reach(point), lean))

    # ------------------------------------------------------------ blocks

    def _axes(self, look: Look, colour: str) -> list[tuple[float, np.ndarray, float]]:
        """Horizontal axes of a block: (full length, direction (2,), |z| of the axis)."""
        if ('axes', colour) not in look.noted:
            m = quaternion_to_matrix(look.state.blocks[colour].orientation)
            size = self._sizes[colour]
            look.noted['axes', colour] = [
                (size[k], m[:2, k], abs(m[2, k])) for k in range(3) if abs(m[2, k]) < 0.6
            ]
        return look.noted['axes', colour]

    def _half_extent(self, look: Look, colour: str, direction) -> float:
        """How far a block reaches from its centre along a horizontal direction (2,)."""
        direction = np.asarray(direction)
        return sum(
            0.5 * size * abs(float(axis @ direction)) for size, axis, _ in self._axes(look, colour)
        )

    def _grasp_yaw(self, look: Look, colour: str, around: float = NEUTRAL_YAW) -> float:
        """Yaw of the hand with the fingers across a short side, near `around`."""
        now = float(look.target_euler[2])
        best, best_cost = around, math.inf
        for size, (ax, ay), _ in self._axes(look, colour):
            if size > 0.06:
                continue
            yaw = math.atan2(ax, -ay)
            turns = round((around - yaw) / math.pi)
            for k in (turns - 1, turns, turns + 1):
                candidate = yaw + k * math.pi
                cost = (
                    abs(candidate - around)
                    + 10.0 * max(0.0, size - 0.04)
                    + 0.2 * abs(_wrap(candidate - now))
                )
                if cost < best_cost:  # else crowding, never negative, need not be worked out
                    cost += 60.0 * self._crowding(look, colour, candidate)
                if cost < best_cost:
                    best, best_cost = candidate, cost
        return best

    def _aside(self, look: Look, colour: str, yaw: float) -> np.ndarray:
        """By how much to take hold off a block's middle (2,) for neighbours' sake."""
        best, best_cost = np.zeros(2), 10.0 * self._crowding(look, colour, yaw)
        if best_cost == 0.0:
            return best
        across = np.array([math.sin(yaw), -math.cos(yaw)])
        along = np.array([math.cos(yaw), math.sin(yaw)])
        length = self._half_extent(look, colour, along) - 0.02
        for u in (0.0, 0.006, -0.006, 0.012, -0.012):
            for v in (0.0, 0.5, -0.5):
                shift = u * across + v * length * along
                cost = _norm(shift)
                if cost < best_cost:
                    cost += 10.0 * self._crowding(look, colour, yaw, shift)
                if cost < best_cost:
                    best, best_cost = shift, cost
        return best

    def _crowding(self, look: Look, colour: str, yaw: float, shift=(0.0, 0.0)) -> float:
        """How far other blocks reach into where the open fingers would go down [m]."""
        x, y, z = look.position(colour).tolist()
        near, in_drawer = self._neighbours(look, colour), z < 0.40
        if not near and not in_drawer:
            return 0.0
        x, y = x + float(shift[0]), y + float(shift[1])
        fingers = [(side * math.sin(yaw), -side * math.cos(yaw)) for side in (-0.052, 0.052)]
        worst = 0.0
        for other in near:
            ox, oy, _ = look.position(other).tolist()
            for fx, fy in fingers:
                off = np.array([ox - x - fx, oy - y - fy])
                gap = _norm(off)
                half = self._half_extent(look, other, off / max(gap, 1e-6))
                worst = max(worst, half + HALF_FINGER + 0.004 - gap)
        if in_drawer:  # the drawer's walls, and the table above it
            for fx, fy in fingers:
                worst = max(
                    worst,
                    abs(x + fx - self.scene.drawer_x) - 0.192,
                    y + fy + 0.192,
                    -(y + fy) - 0.148 - look.state.drawer,
                )
        return worst

    @staticmethod
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

    def _grasp(self, look: Look, colour: str, *, around: float = NEUTRAL_YAW) -> np.ndarray:
        """Take hold of a block where it lies."""
        block = look.position(colour)
        in_cabinet = block[1] > 0.02
        tilt = shelf_tilt(block[1]) if in_cabinet else tilt_to_reach(block)
        yaw = self._grasp_yaw(look, colour, around)
        if in_cabinet:  # the fingers turn the block a little
            yaw = _clip(yaw, NEUTRAL_YAW - 0.2, NEUTRAL_YAW + 0.2)
        rotation = hand_rotation(yaw, tilt)
        # a tilted hand holds one finger lower than the other
        point = block + np.array([0.0, 0.0, 0.002 + 0.045 * abs(rotation[2, 1])])
        if in_cabinet:
            point[0] += self._room(look, block[0])
        point[:2] += self._aside(look, colour, yaw) + self._nudge
        away = rotation.T @ (look.tcp - point)  # in the hand's frame: x wide, y across, z down
        turn = np.max(np.abs(_wrap(matrix_to_euler(rotation) - look.target_euler)))
        inside = abs(away[0]) < 0.014 and abs(away[1]) < 0.02 and abs(away[2]) < 0.012
        centred = abs(away[1]) < 0.008 or look.width < 0.075 or _norm(look.target - point) < 0.005
        ready = inside and turn < 0.15 and centred
        if ready:
            return self._straight(look, point, rotation, CLOSE, speed=0.3)
        return self._approach(look, point, rotation, OPEN)

    def _room(self, look: Look, x: float) -> float:
        """By how much the open hand must be off a block's middle to fit between door and wall."""
        left, right = self.scene.opening
        if x < self.scene.plank_x:
            right = self.scene.plank_x
        else:
            left = self.scene.plank_x
        return _clip(_clip(x, left + OPEN_HALF, right - OPEN_HALF) - x, -0.015, 0.015)

    def _let_go(self, look: Look) -> np.ndarray:
        """Put down the held block where there is room, and open."""
        block = look.position(look.held)
        others = look.touches(look.held) - {'robot'}
        on_block = any(
            _norm(look.position(c)[:2] - block[:2]) < 0.06
            and look.position(c)[2] < block[2] - 0.02
            for c in COLOURS
            if c != look.held
        )
        if others and not on_block:
            return self._straight(look, look.target, None, OPEN)
        spot = (
            self._free_spot(look, look.held)
            if on_block or not self._over_table(block)
            else look.tcp[:2]
        )
        return self._lower(look, look.held, np.array([*spot, TABLE_TOP + 0.02]), self._down(spot))

    def _over_table(self, position) -> bool:
        x, y, _ = position
        return abs(x) < 0.40 and -0.16 < y < 0.01

    def _free_spot(self, look: Look, held: str) -> np.ndarray:
        """A place on the table (2,) away from the other blocks and the button."""
        region = self.scene.spawn['table']
        spots = [np.array([x, -0.09]) for x in np.linspace(*region.x, 8)]
        things = [look.position(c)[:2] for c in COLOURS if c != held]
        things.append(np.array([self.scene.button_x, -0.12]))

        def cost(spot):
            near = min(_norm(spot - t) for t in things)
            return _norm(spot - look.tcp[:2]) + 10.0 * max(0.0, 0.13 - near)

        return min(spots, key=cost)

    def _lower(self, look: Look, colour: str, goal, rotation) -> np.ndarray:
        """Carry the held block to where its centre shall be, and open there."""
        goal = np.asarray(goal)
        block = look.position(colour)
        point = goal + (look.tcp - block)
        error = goal - block
        supported = look.touches(colour) - {'robot'}
        blocked = _norm(look.target - look.tcp) > 0.012
        down = error[2] > (-0.025 if blocked else -0.012) or supported
        if _norm(error[:2]) < 0.012 and down:
            return self._straight(look, look.target, None, OPEN)
        return self._approach(look, point, rotation, CLOSE, tolerance=0.008)

    def _retreat(self, look: Look, grip: float) -> np.ndarray:
        if self._is_clear(look.target):
            return self._drive(look, np.zeros(3), None, grip)
        return self._back_out(look, grip)

    # ------------------------------------------------------------ the tasks

    def _lift(self, look: Look, colour: str, place: str) -> np.ndarray:
        if look.held == colour:
            if place == 'slider' and look.target[2] > PLANK_TOP + 0.06:
                return self._retreat(look, CLOSE)
            return self._raise(look)
        if look.held:
            return self._let_go(look)
        if place == 'slider':
            clear = self._clear_door(look, look.position(colour)[0])
            if clear is not None:
                return clear
        return self._grasp(look, colour)

    def _raise(self, look: Look) -> np.ndarray:
        """Lift what is held; from under the cabinet's handles, first away from them."""
        rise = max(0.0, FLY_Z - look.target[2])
        aside = 0.0
        if FLY_Z - 0.02 > look.target[2] and -0.11 < look.target[1] < 0.02:
            aside = -0.11 - look.target[1]
            rise *= _clip(1.5 + aside / 0.03, 0.0, 1.0)
        return self._straight(
            look, look.target + [0.0, aside, rise], self._leaning(look), CLOSE, speed=0.8
        )

    def _rotate(self, look: Look, colour: str, side: str) -> np.ndarray:
        sign = -1.0 if side == 'right' else 1.0
        if look.held not in (None, colour):
            return self._let_go(look)
        turned = self._turned(look, colour)
        if look.held == colour:
            if sign * turned > math.radians(78):
                return self._straight(look, look.target, None, OPEN)
            action = np.zeros(7)
            action[5] = sign * 0.9
            action[6] = CLOSE
            return action
        if sign * turned > math.radians(62):
            return self._retreat(look, OPEN)
        return self._grasp(look, colour, around=NEUTRAL_YAW - sign * 0.7)

    def _turned(self, look: Look, colour: str) -> float:
        a = quaternion_to_matrix(self.start.blocks[colour].orientation)
        b = quaternion_to_matrix(look.state.blocks[colour].orientation)
        w = b @ a.T
        return math.atan2(w[1, 0], w[0, 0])

    def _push(self, look: Look, colour: str, side: str) -> np.ndarray:
        sign = 1.0 if side == 'right' else -1.0
        block = look.position(colour)
        moved = sign * (block[0] - self.start.blocks[colour].position[0])
        if look.held == colour and block[2] < TABLE_TOP + 0.03 and moved < 0.125:
            # it could not be pushed from behind: pull it along
            pull = np.array([sign * 0.6 * STEP_M, 0.0, -0.001 if look.tcp[2] > 0.455 else 0.0])
            return self._drive(look, pull, None, CLOSE)
        if look.held:
            return self._let_go(look)
        if moved > 0.125:
            return self._retreat(look, CLOSE)
        way = np.array([sign, 0.0])
        if self._can_sweep(look, colour, way):
            return self._broom(look, colour, way)
        return self._grasp(look, colour)

    def _broom_start(self, look: Look, colour: str, way) -> np.ndarray:
        """Where the closed fingers (2,) go down behind a block."""
        half = self._half_extent(look, colour, way)
        return look.position(colour)[:2] - way * (half + HALF_FINGER + 0.022)

    def _can_sweep(self, look: Look, colour: str, way) -> bool:
        """Whether the arm reaches behind the block, and no other block lies there."""
        start = self._broom_start(look, colour, way)
        gap = min(_norm(look.position(c)[:2] - start) for c in COLOURS if c != colour)
        return tilt_to_reach(start) < 0.45 and gap > 0.045

    def _broom(self, look: Look, colour: str, way) -> np.ndarray:
        """Push a block along a horizontal direction (2,) with the closed fingers."""
        block = look.position(colour)
        half = self._half_extent(look, colour, way)
        side = np.array([-way[1], way[0]])
        z = TABLE_TOP + 0.018
        start = self._broom_start(look, colour, way)
        rotation = self._down(start)
        away = look.tcp[:2] - block[:2]
        behind = -float(away @ way)
        off = float(away @ side)
        low = look.tcp[2] < z + 0.02
        if low and behind > half - 0.004 and abs(off) < 0.014 and behind < half + 0.07:
            # sideways, towards the line through the block's centre
            step = 0.6 * STEP_M * way - 0.4 * off * side
            velocity = np.array([*step, GAIN * (z - look.target[2])])
            return self._drive(look, velocity, rotation, CLOSE)
        return self._approach(look, np.array([*start, z]), rotation, CLOSE, tolerance=0.008)

    def _push_into_drawer(self, look: Look) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        loose = [
            c
            for c in COLOURS
            if 'table' in look.touches(c)
            and abs(look.position(c)[0] - self.scene.drawer_x) < 0.19
            and look.position(c)[1] < 0.03
        ]
        if not loose:
            return self._retreat(look, CLOSE)
        colour = min(loose, key=lambda c: look.position(c)[1])
        return self._broom(look, colour, np.array([0.0, -1.0]))

    def _place_in_slider(self, look: Look) -> np.ndarray:
        if not look.held:
            return self._after_release(look)
        spot = self._shelf_spot(look)
        goal = np.array([spot, 0.085, PLANK_TOP + 0.02])
        return self._lower(look, look.held, goal, hand_rotation(NEUTRAL_YAW, shelf_tilt(goal[1])))

    def _shelf_spot(self, look: Look) -> float:
        """Where on the open half of the shelf the held block goes (x)."""
        half = self._open_half(look)
        region = self.scene.spawn[half]
        blocks = [
            look.position(c)[0] for c in COLOURS if c != look.held and look.position(c)[1] > 0.02
        ]
        spots = np.linspace(region.x[0] + 0.02, region.x[1] - 0.02, 5)
        middle = 0.5 * (region.x[0] + region.x[1])

        def cost(x):
            near = min((abs(x - b) for b in blocks), default=1.0)
            return abs(x - middle) + 10.0 * max(0.0, 0.085 - near)

        return float(min(spots, key=cost))

    def _open_half(self, look: Look) -> str:
        return (
            'slider_right' if look.state.slider > 0.5 * self.scene.slider_range else 'slider_left'
        )

    def _place_in_drawer(self, look: Look) -> np.ndarray:
        if not look.held:
            return self._after_release(look)
        y = -0.185 - 0.5 * look.state.drawer
        blocks = [
            look.position(c)[:2] for c in COLOURS if c != look.held and look.position(c)[2] < 0.43
        ]
        spots = [self.scene.drawer_x + d for d in (0.0, -0.09, 0.09, -0.16, 0.16)]

        def cost(x):
            near = min((np.hypot(x - b[0], y - b[1]) for b in blocks), default=1.0)
            return 0.2 * abs(x - self.scene.drawer_x) + max(0.0, 0.085 - near)

        x = min(spots, key=cost)
        return self._lower(
            look, look.held, np.array([x, y, 0.342 + 0.024]), hand_rotation(NEUTRAL_YAW)
        )

    def _stack(self, look: Look) -> np.ndarray:
        if not look.held:
            return self._after_release(look)
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
        base = min(bases, key=lambda c: _norm(look.position(c)[:2] - look.tcp[:2]))
        goal = look.position(base) + np.array([0.0, 0.0, 0.042])
        return self._lower(look, look.held, goal, self._down(goal))

    def _after_release(self, look: Look) -> np.ndarray:
        """Nothing is held: back out; where the block was lost on the way, take it up again."""
        return self._retreat(look, OPEN)

    def _unstack(self, look: Look) -> np.ndarray:
        tops = [
            c
            for c in COLOURS
            if any(
                f'block_{o}' in look.touches(c)
                and look.position(c)[2] > look.position(o)[2] + 0.02
                for o in COLOURS
                if o != c
            )
        ]
        if look.held and look.held not in tops:
            return self._raise(look)
        if not tops:
            return self._retreat(look, CLOSE if look.held else OPEN)
        if look.held:
            return self._raise(look)
        return self._grasp(look, tops[0])

    # ------------------------------------------------------------ furniture

    def _press_button(self, look: Look, want: int) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        rotation = hand_rotation(NEUTRAL_YAW)
        point = np.array([self.scene.button_x, -0.12, TABLE_TOP + 0.045 + 0.012 - 0.018])
        if look.state.led == want:
            return self._retreat(look, CLOSE)
        above = _norm(look.tcp[:2] - point[:2]) < 0.03
        if look.state.button > BUTTON_THRESHOLD and above and look.tcp[2] < point[2] + 0.02:
            # held down already: it must come up before it can be pressed again
            return self._drive(look, np.array([0.0, 0.0, STEP_M]), rotation, CLOSE)
        return self._approach(look, point, rotation, CLOSE, tolerance=0.012, speed=0.8)

    def _handle(self, look: Look, name: str) -> np.ndarray:
        """Where (3,) the handle of slider, drawer or switch is now."""
        start, way = self._handles[name]
        return start + way * getattr(look.state, name)

    def _flip_switch(self, look: Look, want: int) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        rotation = hand_rotation(NEUTRAL_YAW, SWITCH_TILT)
        bar = self._handle(look, 'switch')
        normal = np.array([0.0, -math.sqrt(0.75), 0.5])  # out of the cabinet's front
        away = look.tcp - bar
        x_off, along, out = away[0], float(away @ SLOPE), float(away @ normal)
        travelled = look.state.switch if want else SWITCH_TRAVEL - look.state.switch
        sign = 1.0 if want else -1.0
        gap = 0.042
        if travelled > 0.8 * SWITCH_TRAVEL:
            return self._retreat(look, CLOSE)
        beside = sign * along < -0.008
        if beside and abs(x_off) < 0.04 and abs(out) < 0.02 and sign * along > -0.06:
            velocity = SLOPE * sign * 0.5 * STEP_M - normal * GAIN * out
            return self._drive(look, velocity, rotation, CLOSE)
        start = bar - sign * SLOPE * gap
        return self._approach(look, start, rotation, CLOSE, tolerance=0.015)

    def _move_slider(self, look: Look, side: str) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        sign = -1.0 if side == 'left' else 1.0
        left = self.scene.slider_range - look.state.slider if side == 'left' else look.state.slider
        if left < 0.012:
            return self._retreat(look, CLOSE)
        rotation = hand_rotation(NEUTRAL_YAW)
        handle = self._handle(look, 'slider')
        away = look.tcp - handle
        behind = -sign * away[0]
        if 0.006 < behind < 0.08 and abs(away[1]) < 0.02 and abs(away[2]) < 0.025:
            # not before it is down beside the handle, or it slides over it
            level = float(np.clip(2.0 - abs(away[2]) / 0.01, 0.0, 1.0))
            velocity = np.array(
                [
                    level * sign * 0.7 * STEP_M,
                    GAIN * (handle[1] - look.target[1]),
                    GAIN * (handle[2] - look.target[2]),
                ]
            )
            return self._drive(look, velocity, rotation, CLOSE)
        start = handle - [sign * 0.05, 0.0, 0.0]
        return self._approach(look, start, rotation, CLOSE, reach=0.06, tolerance=0.012)

    def _clear_door(self, look: Look, x: float) -> np.ndarray | None:
        """Push the door aside if it still covers the shelf at x."""
        left = x < self.scene.plank_x
        room = look.state.slider if left else self.scene.slider_range - look.state.slider
        if room < 0.05:
            return None
        return self._move_slider(look, 'right' if left else 'left')

    def _open_drawer(self, look: Look) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        if look.state.drawer > DRAWER_RANGE - 0.015:
            return self._retreat(look, CLOSE)
        rotation = hand_rotation(NEUTRAL_YAW)
        bar = self._handle(look, 'drawer')
        away = look.tcp - bar
        z = 0.362
        if abs(away[0]) < 0.08 and 0.0 < away[1] < 0.06 and look.tcp[2] < z + 0.02:
            velocity = np.array([0.0, -0.6 * STEP_M, GAIN * (z - look.target[2])])
            return self._drive(look, velocity, rotation, CLOSE)
        start = np.array([bar[0], bar[1] + 0.035, z])
        return self._approach(look, start, rotation, CLOSE, tolerance=0.012)

    def _close_drawer(self, look: Look) -> np.ndarray:
        if look.held:
            return self._let_go(look)
        if look.state.drawer < 0.01:
            return self._retreat(look, CLOSE)
        rotation = hand_rotation(NEUTRAL_YAW)
        bar = self._handle(look, 'drawer')
        away = look.tcp - bar
        z = 0.365
        if abs(away[0]) < 0.08 and -0.09 < away[1] < -0.012 and look.tcp[2] < z + 0.025:
            velocity = np.array([0.0, 0.6 * STEP_M, GAIN * (z - look.target[2])])
            return self._drive(look, velocity, rotation, CLOSE)
        start = np.array([bar[0], bar[1] - 0.045, z])
        return self._approach(look, start, rotation, CLOSE, tolerance=0.012)


Skill = Callable[[Expert, Look], np.ndarray]


def _skill(task: str) -> Skill:
    """The method that solves a task, with the task's words filled in."""
    words = task.split('_')
    if words[0] == 'rotate':
        return lambda e, look: e._rotate(look, words[1], words[3])
    if words[0] == 'push' and words[1] in COLOURS:
        return lambda e, look: e._push(look, words[1], words[3])
    if words[0] == 'lift':
        return lambda e, look: e._lift(look, words[1], words[3])
    return {
        'move_slider_left': lambda e, look: e._move_slider(look, 'left'),
        'move_slider_right': lambda e, look: e._move_slider(look, 'right'),
        'open_drawer': Expert._open_drawer,
        'close_drawer': Expert._close_drawer,
        'place_in_slider': Expert._place_in_slider,
        'place_in_drawer': Expert._place_in_drawer,
        'stack_block': Expert._stack,
        'unstack_block': Expert._unstack,
        'turn_on_lightbulb': lambda e, look: e._flip_switch(look, 1),
        'turn_off_lightbulb': lambda e, look: e._flip_switch(look, 0),
        'turn_on_led': lambda e, look: e._press_button(look, 1),
        'turn_off_led': lambda e, look: e._press_button(look, 0),
        'push_into_drawer': Expert._push_into_drawer,
    }[task]


# ---------------------------------------------------------------- starts


def prepare(table: Table, task: str, rng: np.random.Generator) -> None:
    """Reset the table at random to a state in which `task` can be started.

    Door, drawer and lights are drawn as the task needs them, blocks lie where it needs them. Blocks
    on the shelf get the yaw that the long-horizon protocol gives them (90 +- 22.5 degrees); those
    on the table any. A block that must be in the hand, on another or in the drawer is brought
    there by the expert.

    Raises:
        ValueError: unknown task.
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
                retreat(table)
        if helper_done(table, task, oracle):
            return
    raise RuntimeError(f'no start for {task} found in scene {scene.name}')


def helper_done(table: Table, task: str, oracle: TaskOracle) -> bool:
    """Whether the task can be started now."""
    state = table.state()
    return oracle.can_start(task, state) and can_be_pushed(task, state)


def can_be_pushed(task: str, state) -> bool:
    """False for pushing a block that leans on a handle: it counts only while it keeps leaning."""
    words = task.split('_')
    if words[0] != 'push' or words[1] not in COLOURS:
        return True
    contacts = {c for c in state.blocks[words[1]].contacts if c[0] != 'robot'}
    return contacts == {('table', 'table')}


def settle(table: Table, steps: int = 4) -> None:
    """Let the blocks come to rest, the arm holding still."""
    for _ in range(steps):
        table.step(np.array([0, 0, 0, 0, 0, 0, OPEN if table.command[1] > 0 else CLOSE]))


def retreat(table: Table, steps: int = 12) -> None:
    """Open and back out."""
    expert = Expert(table, 'place_in_slider')
    for _ in range(steps):
        table.step(expert._retreat(expert._look(), OPEN))


def run(table: Table, task: str, limit: int) -> tuple[bool, int]:
    """Let the expert try a task from the present state: (solved, steps)."""
    expert = Expert(table, task)
    for i in range(limit):
        table.step(expert.act())
        if expert.done:
            return True, i + 1
    return False, limit


def _surface(scene: Scene, x: float, y: float) -> str:
    if y < 0.0:
        return 'table'
    return 'slider_left' if x < scene.plank_x else 'slider_right'


def _fitting_scene_obs(scene: Scene, task: str, rng: np.random.Generator) -> np.ndarray:
    """A random start (24,) with door, drawer, lights and blocks as the task needs them."""
    words = task.split('_')
    while True:
        obs = random_scene_obs(scene, rng)
        where = {
            c: _surface(scene, *obs[6 + 6 * i : 8 + 6 * i])
            for i, c in enumerate(scene.block_order)
        }
        on_table = [c for c in COLOURS if where[c] == 'table']
        for i, colour in enumerate(scene.block_order):
            if colour not in on_table:
                obs[11 + 6 * i] = rng.uniform(0.375, 0.625) * math.pi
        if words[0] == 'rotate' or (words[0] == 'push' and words[1] in COLOURS):
            if words[1] not in on_table:
                continue
        if words[0] == 'lift' and words[3] == 'table' and words[1] not in on_table:
            continue
        if words[0] == 'lift' and words[3] == 'slider':
            if words[1] in on_table:
                continue
            obs[0] = 0.0 if where[words[1]] == 'slider_left' else scene.slider_range
        if words[0] == 'lift' and words[3] == 'drawer':
            if words[1] not in on_table:
                continue
            obs[1] = DRAWER_RANGE
        if (
            task
            in (
                'place_in_slider',
                'place_in_drawer',
                'stack_block',
                'unstack_block',
                'push_into_drawer',
            )
            and not on_table
        ):
            continue
        if task in ('stack_block', 'unstack_block') and len(on_table) < 2:
            continue
        if task in ('place_in_drawer', 'push_into_drawer'):
            obs[1] = DRAWER_RANGE
        if task == 'place_in_slider':
            sides = {where[c] for c in COLOURS} - {'table'}
            obs[0] = (
                scene.slider_range
                if 'slider_left' in sides
                else 0.0
                if 'slider_right' in sides
                else obs[0]
            )
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
        return obs


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


def main(argv: list[str] | None = None) -> int:
    """Success of the expert task by task."""
    import argparse
    import time

    parser = argparse.ArgumentParser(description='Success of the scripted expert, task by task.')
    parser.add_argument('--tasks', default='all', help='all, or a comma-separated list')
    parser.add_argument('--rollouts', type=int, default=10)
    parser.add_argument('--scene', default='D')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    tasks = TASKS if args.tasks == 'all' else tuple(check_task(t) for t in args.tasks.split(','))
    total = []
    with open_table(args.scene) as table:
        for task in tasks:
            wins, steps, failed, began = 0, [], [], time.perf_counter()
            for k in range(args.rollouts):
                prepare(table, task, np.random.default_rng([args.seed, TASKS.index(task), k]))
                ok, n = run(table, task, 240)
                wins += ok
                if ok:
                    steps.append(n)
                else:
                    failed.append(k)
            total.append(wins / args.rollouts)
            print(
                f'{task:28s} {wins:3d}/{args.rollouts}  steps {np.mean(steps or [0]):5.1f} '
                f'max {max(steps or [0]):3d}  failed {failed}  '
                f'{time.perf_counter() - began:.1f} s',
                flush=True,
            )
    print(f'mean {np.mean(total):.3f}  worst {min(total):.2f}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
