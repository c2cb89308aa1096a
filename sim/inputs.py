# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What every table is given, checked: actions and start states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vw2_ros.arms import Arm
from vw2_ros.arms.actions import check_action
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.scenes import Scene, random_scene_obs

ACTION_KINDS = ('rel', 'abs', 'joint_rel', 'joint_abs')
_DICT_KINDS = {
    'cartesian_rel': 'rel',
    'cartesian_abs': 'abs',
    'joint_rel': 'joint_rel',
    'joint_abs': 'joint_abs',
}


def parse_action(action, joints: int) -> tuple[str, np.ndarray]:
    """The kind of an action, one of `ACTION_KINDS`, and its numbers; the gripper is exactly -1 or +1.

    Args:
        action: in any of the forms of `Table.step`.
        joints: how many the arm has.
    Raises:
        InvalidValueError: not finite, wrong size or kind, another gripper value.
    """
    if isinstance(action, Mapping):
        try:
            kind, values = _DICT_KINDS[action['type']], action['action']
        except KeyError:
            raise InvalidValueError(
                f'an action dictionary must have "type" (one of {sorted(_DICT_KINDS)}) and "action". '
                f'Got {dict(action)!r}'
            ) from None
    elif isinstance(action, tuple) and len(action) == 2 and isinstance(action[0], str):
        kind, values = action
        if kind not in ACTION_KINDS:
            raise InvalidValueError(
                f'unknown kind of action {kind!r}. Choose one of {ACTION_KINDS}'
            )
    elif isinstance(action, tuple) and len(action) == 3:
        # CALVIN's (position, orientation, gripper) is absolute
        kind, values = 'abs', np.concatenate([np.ravel(part) for part in action])
    else:
        kind, values = 'rel', action
    if kind == 'abs' and isinstance(values, tuple) and len(values) == 3:
        values = np.concatenate([np.ravel(part) for part in values])
    values = np.asarray(values, dtype=float)
    size = {
        'rel': 7,
        'abs': 8 if values.shape == (8,) else 7,
        'joint_rel': joints + 1,
        'joint_abs': joints + 1,
    }
    return kind, check_action(values, size[kind])


def robot_start(arm: Arm, robot_obs) -> tuple[np.ndarray, float, float]:
    """Joints (n,) [rad], gripper width [m] and last gripper action of a start.

    Args:
        robot_obs: (8 + n,) or (n,) joints; None: the arm's rest pose.
    Raises:
        InvalidValueError: wrong size or not finite.
    """
    n, width = len(arm.joints), 2 * arm.finger_open_m
    if robot_obs is None:
        return arm.rest_rad.copy(), width, 1.0
    values = np.array(robot_obs, dtype=float)
    if values.shape not in ((8 + n,), (n,)) or not np.isfinite(values).all():
        raise InvalidValueError(
            f'robot_obs must be {8 + n} (or {n} joints) finite numbers. Got {values!r}'
        )
    if values.shape == (n,):
        return values, width, 1.0
    return values[7:-1], float(values[6]), 1.0 if values[-1] >= 0 else -1.0


def scene_start(scene: Scene, scene_obs, rng: np.random.Generator | None) -> np.ndarray:
    """`scene_obs` (24,) of a start.

    Args:
        scene_obs: (24,); None: drawn from `rng`, or the fixed start.
    Raises:
        InvalidValueError: wrong size or not finite.
    """
    if scene_obs is None:
        scene_obs = scene.default_obs() if rng is None else random_scene_obs(scene, rng)
    scene_obs = np.array(scene_obs, dtype=float)
    if scene_obs.shape != (24,) or not np.isfinite(scene_obs).all():
        raise InvalidValueError(f'scene_obs must be 24 finite numbers. Got {scene_obs!r}')
    return scene_obs
