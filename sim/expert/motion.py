# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How the expert's hand moves: relative actions that bring it to a pose, or out of the way.

A motion towards a goal pose has two parts. Far from it, the hand backs out along its own fingers
until it is clear of everything, then flies. Near it, a funnel leads in: the hand may come as close
to the goal, along the goal's fingers, as it is well aligned across them.

Positions are in the world frame [m]. An action is (7,): three steps x 0.02 m, three x 0.05 rad, each
in [-1, 1], and the gripper, -1 or +1.
"""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.actions import POSITION_STEP_M, ROTATION_STEP_RAD
from vw2_ros.arms.geometry import euler_to_matrix, matrix_to_euler
from vw2_ros.sim.expert.look import Look, clip, norm, wrap
from vw2_ros.sim.mounts import mount_of

TOP_SPEED = 0.6  # of what an action can ask for: the joints keep up; 8 actions are 10 cm at most
LEASH_M = 0.03  # how far the target runs ahead of the hand before it slows down; twice: stops
GAIN = 0.5  # share of the remaining way that one step covers near a goal
TURN_RAD = 0.15  # the hand comes in with its rotation so far off [rad]
FLY_Z = 0.555  # the hand is clear of everything from this height on [m] ...
FLY_Y = -0.05  # ... in front of the cabinet
NEUTRAL_YAW = math.pi / 2  # the fingers open along x
SHELF_TILT = (0.5, 0.85)  # the fingers point forward by this at the cabinet's front and back
SWITCH_TILT = 0.6
TABLE_TILT = 0.55
SLOPE = np.array([0.0, 0.5, math.sqrt(0.75)])  # up along the cabinet's front


def hand_rotation(yaw: float, tilt: float = 0.0) -> np.ndarray:
    """Rotation (3, 3) of a hand whose fingers point down, then forward (+y) by `tilt` [rad].

    At yaw pi/2 the fingers open along x.
    """
    c, s = math.cos(tilt), math.sin(tilt)
    lean = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return lean @ euler_to_matrix((math.pi, 0.0, yaw))


def tilt_to_reach(arm: Arm, position) -> float:
    """How far the fingers must point forward for the arm to reach a place on the table [rad].

    Args:
        position: (2,) or (3,) [m], world frame.
    """
    mount = mount_of(arm.name)
    dx = min(abs(position[0] - arm.base_position[0]), mount.reach_m - 0.005)
    dy = position[1] - arm.base_position[1]
    short = dy - math.sqrt(mount.reach_m**2 - dx**2)
    return math.asin(min(max(short / mount.wrist_m, 0.0), 0.5))


def shelf_tilt(y: float) -> float:
    """How far the fingers point forward [rad] at a depth y [m] in the cabinet, the hand outside."""
    return float(np.interp(y, (0.085, 0.115), SHELF_TILT))


def drive(look: Look, velocity, rotation, grip: float, *, speed: float = 1.0) -> np.ndarray:
    """Action towards a wanted displacement (3,) [m] and a wanted rotation (3, 3).

    Args:
        rotation: None: keep the present one.
        speed: share of the top speed.
    """
    action = np.zeros(7)
    v = np.asarray(velocity) / POSITION_STEP_M
    n = np.linalg.norm(v)
    top = TOP_SPEED * speed
    v = v * (top / n) if n > top else v
    # the joints are slower than the target can be: wait for the hand to come after
    lag = look.target - look.tcp
    if lag @ v > 0.0:
        v = v * float(np.clip(2.0 - np.linalg.norm(lag) / LEASH_M, 0.0, 1.0))
    action[:3] = v
    if rotation is not None:
        error = wrap(matrix_to_euler(rotation) - look.target_euler)
        action[3:6] = np.clip(GAIN * error / ROTATION_STEP_RAD, -1.0, 1.0)
    action[6] = grip
    return action


def straight(look: Look, point, rotation, grip: float, *, speed: float = 1.0) -> np.ndarray:
    """Action straight towards a pose: position (3,) [m], rotation (3, 3)."""
    return drive(look, GAIN * (np.asarray(point) - look.target), rotation, grip, speed=speed)


def approach(
    look: Look,
    point,
    rotation,
    grip: float,
    *,
    reach: float = 0.15,
    tolerance: float = 0.006,
    speed: float = 1.0,
) -> np.ndarray:
    """Back out, fly, and come in along the fingers of the goal pose.

    Args:
        point: (3,) [m]. rotation: (3, 3).
        reach: how far from the goal, along its fingers, the way in begins at most [m].
        tolerance: of the alignment across the fingers, at the goal [m].
        speed: share of the top speed.
    """
    point = np.asarray(point)
    up = -rotation[:, 2]
    away = look.target - point
    along = float(away @ up)
    across = away - along * up
    distance = norm(across)
    inside = point[1] > FLY_Y and abs(away[0]) < 0.05 and look.target[2] > FLY_Z - 0.015
    if distance > 0.06 and not inside and not is_clear(look.target):
        return back_out(look, grip)
    if point[1] < FLY_Y:
        reach = min(reach, (FLY_Z + 0.005 - point[2]) / up[2])  # far places are out of reach
    else:
        # pass along the cabinet's front before going in
        off = max(abs(away[0]), abs(look.tcp[0] - point[0]))
        ahead = max(point[1] + reach * up[1], FLY_Y) - FLY_Y
        across = across + np.array([0.0, ahead * clip((off - 0.015) / 0.03, 0.0, 1.0), 0.0])
    turn = float(np.max(np.abs(wrap(matrix_to_euler(rotation) - look.target_euler))))
    slack = max(0.0, distance - tolerance) + 0.08 * max(0.0, turn - TURN_RAD)
    height = min(reach, 3.0 * slack)
    lag = height - along
    share = clip(1.5 - lag / 0.04, 0.0, 1.0)
    velocity = GAIN * (lag * up - share * across)
    if distance > 0.06:
        # while flying, stay clear
        low = FLY_Z - look.target[2]
        velocity[2] = max(velocity[2], GAIN * low)
    return drive(look, velocity, rotation, grip, speed=speed)


def is_clear(position) -> bool:
    """Whether a hand at this position (3,) [m] is clear of table and cabinet."""
    return position[2] > FLY_Z - 0.015 and position[1] < FLY_Y + 0.015


def back_out(look: Look, grip: float) -> np.ndarray:
    """Along the fingers up to the flying height, then out of the cabinet."""
    velocity = look.out * max(0.0, FLY_Z + 0.01 - look.target[2]) / max(look.out[2], 0.5)
    if look.target[1] > FLY_Y and look.target[2] > 0.5:
        velocity = velocity + np.array([0.0, FLY_Y - 0.01 - look.target[1], 0.0])
    return drive(look, velocity, leaning(look), grip)


def leaning(look: Look) -> np.ndarray | None:
    """The present rotation, tilted as far as the place on the table needs it."""
    needed = tilt_to_reach(look.arm, look.target)
    if look.target[1] > 0.0 or needed == 0.0:
        return None
    rotation = euler_to_matrix(look.target_euler)
    tilt = math.atan2(rotation[1, 2], -rotation[2, 2])
    return hand_rotation(0.0, needed - tilt) @ hand_rotation(0.0).T @ rotation


def hand_down(look: Look, point, yaw: float = NEUTRAL_YAW) -> np.ndarray:
    """Rotation of a hand that points at a place on the table.

    Near the cabinet it leans back, away from the handles.
    """
    lean = clip((point[1] + 0.10) / 0.10, 0.0, 1.0) * TABLE_TILT
    return hand_rotation(yaw, max(tilt_to_reach(look.arm, point), lean))


def retreat(look: Look, grip: float) -> np.ndarray:
    """Back out until clear, then stay there."""
    if is_clear(look.target):
        return drive(look, np.zeros(3), None, grip)
    return back_out(look, grip)
