# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a recorded arm did, as the actions that a policy learns: pure numpy.

A frame belongs to a *tick*, 30 of them a second. Its action is what has to be added to the target
to bring it from where it was at the tick to where it was at the next, as in the play table's data:
x 0.02 m, x 0.05 rad, fixed axes of the arm's base frame (or, if the contract says so, those of the
tool), clipped to [-1, 1]. The actions after a
clipped one make up for what the clip cut off, so that the actions added up stay with the arm.

The target is the commanded one where commands were recorded, as the play table's `rel_actions` are
commanded, too. Measured joints come after their commands, and stand still where the arm pushes at
something: they are second best.

| what      | dtype, shape    | meaning                                                             |
| --------- | --------------- | ------------------------------------------------------------------- |
| times_ns  | int64 (n,)      | ascending, of one clock                                             |
| joints    | float64 (n, 7)  | [rad]                                                               |
| fingers   | float64 (n,)    | position of one finger [m], 0 closed                                |
| poses     | float64 (n, 6)  | TCP in the base frame: xyz [m], fixed-axes Euler angles [rad]       |
| actions   | float64 (n, 7)  | relative, in [-1, 1]; gripper -1 close, +1 open                     |
"""

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.actions import ACTION_PERIOD_S, POSITION_STEP_M, ROTATION_STEP_RAD
from vw2_ros.arms.geometry import euler_to_matrix, matrix_to_euler

PERIOD_NS = ACTION_PERIOD_S * 1e9
FINGER_MIDDLE_M = 0.02  # a commanded finger beyond is to open, as for the play table
FINGER_OPEN_M = 0.036  # fingers that begin closer together hold something
FINGER_NOISE_M = 0.0003
# Fingers that go so far the other way in a fifth of a second have turned round; what they hold may
# push them apart more slowly.
FINGER_TURN_M, FINGER_TURN_FRAMES = 0.003, 6
TOO_FAST = 1.25  # times the largest action: more than stamps that jitter
SCALE = np.repeat([POSITION_STEP_M, ROTATION_STEP_RAD], 3)  # (6,)


def tick_times(image_ns: np.ndarray, start_ns: int, end_ns: int) -> np.ndarray:
    """Ticks from start to end, both included, in step with a camera of 30 Hz: float64 (n,) [ns].

    Args:
        image_ns: int64 (m,), stamps of the images; at least one.
    """
    phase_ns = _phase(image_ns - image_ns[0]) * PERIOD_NS
    first = np.ceil((start_ns - image_ns[0] - phase_ns) / PERIOD_NS - 0.1)  # stamps jitter
    last = np.floor((end_ns - image_ns[0] - phase_ns) / PERIOD_NS + 0.1)
    return image_ns[0] + phase_ns + np.arange(first, last + 1) * PERIOD_NS


def _phase(times_ns: np.ndarray) -> float:
    """Where in a period these times lie on average, in (-0.5, 0.5]."""
    turn = np.exp(2j * np.pi * (np.asarray(times_ns, float) / PERIOD_NS)).mean()
    return float(np.angle(turn)) / (2 * np.pi)


def nearest(times_ns: np.ndarray, at_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) of the time nearest to each of `at_ns` (n,), and how far off it is (n,) [ns]."""
    after = np.searchsorted(times_ns, at_ns).clip(1, max(1, len(times_ns) - 1))
    before = after - 1
    after = np.minimum(after, len(times_ns) - 1)
    index = np.where(
        np.abs(times_ns[after] - at_ns) < np.abs(times_ns[before] - at_ns), after, before
    )
    return index, np.abs(times_ns[index] - at_ns)


def covered(times_ns: np.ndarray, at_ns: np.ndarray, gap_ns: float) -> np.ndarray:
    """bool (n,): whether each of `at_ns` lies at a time, or between two at most `gap_ns` apart."""
    at_one = nearest(times_ns, at_ns)[1] <= 0.1 * PERIOD_NS
    if len(times_ns) < 2:
        return at_one
    after = np.searchsorted(times_ns, at_ns)
    inside = (after > 0) & (after < len(times_ns))
    after = after.clip(1, len(times_ns) - 1)
    return at_one | (inside & (times_ns[after] - times_ns[after - 1] <= gap_ns))


def between(times_ns: np.ndarray, values: np.ndarray, at_ns: np.ndarray) -> np.ndarray:
    """Values (m, k) at times (m,), interpolated linearly at `at_ns` (n,): (n, k)."""
    return np.stack([np.interp(at_ns, times_ns, column) for column in values.T], axis=1)


def commanded(
    times_ns: np.ndarray, joints: np.ndarray, ticks_ns: np.ndarray, gap_ns: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (n, 7) that the arm was told to hold at each tick, and where they are known (n,).

    A command holds until the next one. Commands of 30 Hz are as many as ticks, and each counts from
    the tick after it on, so that it is the action of the frame before it, or at the same time; at
    other rates what lies between two is interpolated.
    """
    period_ns = np.median(np.diff(times_ns)) if len(times_ns) > 1 else PERIOD_NS
    shift_ns = 0.0
    if abs(period_ns / PERIOD_NS - 1) < 0.1:
        phase = _phase(times_ns - ticks_ns[0])
        shift_ns = ((phase + 0.1) % 1.0 - 1.1) * PERIOD_NS  # stamps jitter about the frame's, too
    at_ns = ticks_ns + shift_ns
    return between(times_ns, joints, at_ns), covered(times_ns, at_ns, gap_ns)


def tcp_poses(joints: np.ndarray, arm: Arm) -> np.ndarray:
    """Poses (n, 6) of joints (n, k), Euler angles without jumps."""
    poses = [np.append(at, matrix_to_euler(turn)) for at, turn in map(arm.forward, joints)]
    poses = np.array(poses)
    poses = poses.reshape(-1, 6)
    poses[:, 3:] = np.unwrap(poses[:, 3:], axis=0)
    return poses


def relative_actions(
    poses: np.ndarray, gripper: np.ndarray, frame: str = 'base'
) -> tuple[np.ndarray, float]:
    """Actions (n, 7) that lead along poses (n + 1, 6), and the share of frames that are too fast.

    Args:
        gripper: (n,), -1 or +1.
        frame: whose axes an action has, 'base' or 'tool'.
    """
    actions = np.empty((len(poses) - 1, 7))
    actions[:, 6] = gripper
    target, clipped = poses[0].copy(), 0
    for i, pose in enumerate(poses[1:]):
        wanted = (_in_tool(pose, target) if frame == 'tool' else pose - target) / SCALE
        actions[i, :6] = wanted.clip(-1, 1)
        step = actions[i, :6] * SCALE
        target += _in_base(step, target) if frame == 'tool' else step
        clipped += bool((np.abs(wanted) > TOO_FAST).any())
    return actions, clipped / max(1, len(actions))


def _in_tool(pose: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The way (6,) from a target to a pose, in the axes of the target."""
    tool = euler_to_matrix(target[3:])
    turn = tool.T @ euler_to_matrix(pose[3:])
    return np.append(tool.T @ (pose[:3] - target[:3]), matrix_to_euler(turn))


def _in_base(step: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What a step (6,) in the axes of a target adds to it."""
    tool = euler_to_matrix(target[3:])
    after = matrix_to_euler(tool @ euler_to_matrix(step[3:]))
    turned = (after - target[3:] + np.pi) % (2 * np.pi) - np.pi
    return np.append(tool @ step[:3], turned)


def gripper_of_commands(fingers: np.ndarray) -> np.ndarray:
    """Commanded finger positions (n,) -> -1 close or +1 open (n,)."""
    return np.where(fingers > FINGER_MIDDLE_M, 1.0, -1.0)


def gripper_of_motion(fingers: np.ndarray) -> np.ndarray:
    """Measured finger positions (n,) -> -1 or +1 (n,): the way that they move, or last moved.

    Fingers around something stand anywhere: where they are says little, where they went all.
    """
    gripper = np.empty(len(fingers))
    way = 1.0 if fingers[0] > FINGER_OPEN_M else -1.0
    turned = 0
    for i in range(len(fingers)):
        begin = max(turned, i - FINGER_TURN_FRAMES)
        went = way * fingers[begin : i + 1]
        if went.max() - went[-1] > FINGER_TURN_M:
            way = -way
            turned = begin + int(np.flatnonzero(went > went.max() - FINGER_NOISE_M)[-1])
            gripper[turned:i] = way
        gripper[i] = way
    return gripper


def moving(
    poses: np.ndarray, gripper: np.ndarray, *, position_m: float = 5e-4, rotation_rad: float = 2e-3
) -> np.ndarray:
    """bool (n,): frames after which the arm moves, or the gripper changes its mind.

    Args:
        poses: (n + 1, 6). gripper: (n,).
        position_m, rotation_rad: smaller steps of a frame are noise.
    """
    steps = np.abs(np.diff(poses, axis=0))  # (n, 6)
    moved = (steps[:, :3].max(1) > position_m) | (steps[:, 3:].max(1) > rotation_rad)
    moved[:-1] |= gripper[1:] != gripper[:-1]
    return moved
