# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The actions of one plan, and how plans are followed. Pure."""

from dataclasses import dataclass, replace

import numpy as np

from vw2_ros.arms.limits import Limits
from vw2_ros.errors import InvalidValueError


@dataclass(frozen=True)
class ControlConfig:
    """How chunks are followed; the action node's parameters have these defaults.

    In lockstep the world waits: nothing is blended, delayed or watched, and a chunk ends where the
    next one is due.

    Raises:
        InvalidValueError: a value makes no sense.
    """

    # True: one command for each joint_states, and plans are awaited. False: a timer
    lockstep: bool = False
    # lockstep: actions of a chunk until the next plan is due; in real time the planner sets the pace
    execute: int = 8
    # periods over which a new chunk replaces the one before, where the next does not come sooner
    blend: int = 3
    # age of the image behind a plan [s] beyond which the plan moves nothing, however slow the
    # planner is; see ControlLoop.max_plan_age_s for the limit at its usual pace
    max_plan_age_s: float = 0.25
    # hold as soon as the camera is silent or frozen, however long the chunk would go on
    watch_camera: bool = True
    # from a command until the arm follows it [s]: 0 for an arm that follows at once
    command_delay_s: float = 0.0
    # the robot is sent velocities: each step begins at the measured joints
    velocity: bool = False
    # the gripper changes only where an action lies further than this from the middle, in [-1, 1]
    gripper_hysteresis: float = 0.1
    # actions in a chunk, as the policy makes them; None: as many as come
    chunk: int | None = None

    def __post_init__(self):
        for name, low in (('execute', 1), ('blend', 0)):
            value, high = getattr(self, name), self.chunk
            if value < low or (high is not None and value > high):
                wanted = f'at least {low}' if high is None else f'in {low}..{high} (a chunk)'
                raise InvalidValueError(f'{name} must be {wanted}. Got {value}.')
        if not self.max_plan_age_s > 0:
            raise InvalidValueError(f'max_plan_age_s must be above 0. Got {self.max_plan_age_s}.')
        if not 0 <= self.gripper_hysteresis < 1:
            raise InvalidValueError(
                f'gripper_hysteresis must lie in [0, 1). Got {self.gripper_hysteresis}.'
            )

    def malformed(self, actions: np.ndarray) -> str:
        """Say what is wrong with the actions of a chunk, '' if nothing is."""
        n = self.chunk or max(1, len(actions) if actions.ndim else 0)
        if actions.shape == (n, 7) and np.isfinite(actions).all():
            return ''
        return (
            f'plan must be {self.chunk or "n"} x 7 finite numbers. Got shape {actions.shape} with '
            f'{int((~np.isfinite(actions)).sum())} that are not.'
        )

    def followed(self, limits: Limits) -> 'ControlConfig':
        """Return what is done with it at the rate of `limits`: in lockstep, what the class says."""
        if not self.lockstep:
            return self
        return replace(
            self,
            blend=0,
            max_plan_age_s=(self.execute - 0.5) * limits.period_s,
            watch_camera=False,
            command_delay_s=0.0,
            velocity=False,
        )


@dataclass(frozen=True)
class Chunk:
    """The actions of one plan, and what they were made from."""

    stamp_ns: int  # of the image behind the plan: tells older plans from newer ones
    actions: np.ndarray  # relative actions (n, 7) in [-1, 1]
    observed_s: float  # when that image was taken, on the loop's clock
    instruction_id: str | None = None  # what the plan was made for; None: not known

    def index(self, at_s: float, period_s: float) -> int:
        """Return which action belongs to the period that begins at `at_s`."""
        # the small part of a period: 0.4999.. from rounding of a half must not flicker
        return max(0, int(np.floor((at_s - self.observed_s) / period_s + 0.5 + 1e-6)))

    def mean(self, begin: float, end: float) -> np.ndarray | None:
        """Return the mean action (7,) between two times in actions; beyond the chunk there is none.

        Args:
            begin, end: 0 is where the first action begins, 1 where it ends.
        """
        begin, end = max(0.0, begin), min(float(len(self.actions)), end)
        first, last = int(begin), int(np.ceil(end)) - 1
        if first >= len(self.actions):
            return None
        if last <= first:
            return self.actions[first].copy()
        shares = np.ones(last + 1 - first)
        shares[0], shares[-1] = first + 1 - begin, end - last
        return shares @ self.actions[first : last + 1] / shares.sum()
