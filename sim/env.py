# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table as a Gymnasium environment.

| observation | dtype, shape | what |
| --- | --- | --- |
| robot_obs | float64 (15,) | see `table` |
| scene_obs | float64 (24,) | see `scenes` |
| rgb_static, rgb_gripper | uint8 (H, W, 3) | one per camera asked for |
| depth_static, depth_gripper | float32 (H, W) | metres, with `depth=True` |

One step is 1/30 s. Without a task the reward is 0 and no episode ends by itself but by `max_steps`;
with one, the reward is 1 and the episode ends when the task's condition holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.cameras import get_camera, image_size
from vw2_ros.sim.inputs import ACTION_KINDS
from vw2_ros.sim.scenes import get_scene
from vw2_ros.sim.table import open_table

# lowest and highest value of each action kind, without the gripper; "abs" in metres and radians
_ACTION_BOUNDS = {
    'rel': (-np.ones(6), np.ones(6)),
    'abs': (
        np.array([-1.5, -1.5, 0.0] + [-2 * np.pi] * 3),
        np.array([1.5, 1.5, 2.0] + [2 * np.pi] * 3),
    ),
    'joint_rel': (-np.full(7, 0.1), np.full(7, 0.1)),
    'joint_abs': (-np.full(7, 4.0), np.full(7, 4.0)),
}


class PlayTableEnv(gymnasium.Env, gymnasium.utils.EzPickle):
    """One play table; `reset(seed=...)` draws the start, the same seed gives the same episode.

    A copy, also one that was pickled, is another table that was built with the same arguments: the
    simulator's state does not travel. Reset it before its first step.
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': ACTION_HZ}

    def __init__(
        self,
        scene: str = 'D',
        *,
        image_size: int | tuple[int, int] | None = 96,
        cameras: Sequence[str] = ('static',),
        depth: bool = False,
        action_mode: str = 'rel',
        randomize: bool = False,
        task: str | None = None,
        max_steps: int = 360,
        render_mode: str | None = 'rgb_array',
    ) -> None:
        """Build the table.

        Args:
            scene: "A", "B", "C" or "D".
            image_size: pixels of a side, (height, width), or None for each camera's own.
            cameras: which of "static" and "gripper" are observed; may be empty.
            depth: observe depth as well.
            action_mode: "rel", "abs", "joint_rel" or "joint_abs"; the last value is the gripper,
                whose sign counts here.
            randomize: draw new looks at each reset.
            task: one of the 34 names; None: no reward.
            max_steps: the episode is cut off after so many steps.
        Raises:
            ValueError: an unknown scene, camera, action mode or task; an impossible size.
        """
        gymnasium.utils.EzPickle.__init__(
            self,
            scene,
            image_size=image_size,
            cameras=cameras,
            depth=depth,
            action_mode=action_mode,
            randomize=randomize,
            task=task,
            max_steps=max_steps,
            render_mode=render_mode,
        )
        if action_mode not in ACTION_KINDS:
            raise InvalidValueError(
                f'action_mode must be one of {ACTION_KINDS}. Got {action_mode!r}'
            )
        if max_steps < 1:
            raise InvalidValueError(f'max_steps must be at least 1. Got {max_steps}')
        if render_mode not in (None, 'rgb_array'):
            raise InvalidValueError(
                f'render_mode must be None or "rgb_array". Got {render_mode!r}'
            )
        self.scene = get_scene(scene)
        self.cameras = tuple(cameras)
        self.action_mode = action_mode
        self.randomize = randomize
        self.max_steps = max_steps
        self.render_mode = render_mode
        self._image_size = image_size
        self._depth = depth
        self._oracle = None
        self.task = task
        if task is not None:
            from vw2_ros.sim.tasks import TaskOracle, check_task  # not loaded without a task

            check_task(task)
            self._oracle = TaskOracle()
        spaces = self._image_spaces()
        self.table = open_table(self.scene)
        low, high = _ACTION_BOUNDS[action_mode]
        self.action_space = gymnasium.spaces.Box(
            np.append(low, -1.0).astype(np.float32), np.append(high, 1.0).astype(np.float32)
        )
        unbounded = dict(low=-np.inf, high=np.inf, dtype=np.float64)
        self.observation_space = gymnasium.spaces.Dict(
            {
                'robot_obs': gymnasium.spaces.Box(shape=(15,), **unbounded),
                'scene_obs': gymnasium.spaces.Box(shape=(24,), **unbounded),
                **spaces,
            }
        )

    def _image_spaces(self) -> dict[str, gymnasium.Space]:
        out: dict[str, gymnasium.Space] = {}
        for name in self.cameras:
            width, height = image_size(get_camera(name), self._image_size)
            out[f'rgb_{name}'] = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
            if self._depth:
                out[f'depth_{name}'] = gymnasium.spaces.Box(
                    0.0, get_camera(name).far, (height, width), np.float32
                )
        return out

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of the start (and the looks, with `randomize`).
            options: "robot_obs" and "scene_obs" set the start instead.
        """
        super().reset(seed=seed)
        options = options or {}
        unknown = set(options) - {'robot_obs', 'scene_obs'}
        if unknown:
            raise InvalidValueError(
                f'options must be robot_obs or scene_obs. Got {sorted(unknown)}'
            )
        if self.randomize:
            self.table.set_appearance(Appearance.random(self.np_random))
        self.table.reset(options.get('robot_obs'), options.get('scene_obs'), rng=self.np_random)
        self._start = self.table.state() if self._oracle else None
        return self._observe(), {'time': self.table.time}

    def step(self, action) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control step; ValueError where the action is not finite or of the wrong size."""
        action = np.array(action, dtype=float)
        if action.shape != self.action_space.shape:
            raise InvalidValueError(
                f'an action must have shape {self.action_space.shape}. Got {action.shape}'
            )
        if np.isfinite(action[-1]):
            action[-1] = 1.0 if action[-1] > 0 else -1.0
        self.table.step((self.action_mode, action))
        success = False
        if self._oracle is not None:
            success = bool(self._oracle.succeeded(self.task, self._start, self.table.state()))
        truncated = self.table.steps >= self.max_steps and not success
        info = {'time': self.table.time, 'success': success}
        return self._observe(), float(success), success, truncated, info

    def _observe(self) -> dict[str, np.ndarray]:
        out = {'robot_obs': self.table.robot_obs(), 'scene_obs': self.table.scene_obs()}
        for name in self.cameras:
            rgb, depth = self.table.render(name, self._image_size, depth=True)
            out[f'rgb_{name}'] = rgb
            if self._depth:
                out[f'depth_{name}'] = depth
        return out

    def render(self) -> np.ndarray | None:
        """The static camera's 200 x 200 picture, or None where `render_mode` is None."""
        return None if self.render_mode is None else self.table.render('static')

    def close(self) -> None:
        """Free the table."""
        self.table.close()
