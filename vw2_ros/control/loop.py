# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From plans to joint commands, 30 times a second: plan -> action -> target -> gate -> command.

Pure: no rclpy, no torch, no clock of its own. The same loop runs in the action node (real time, or
lockstep with a simulator) and in the evaluation within one process: both do the same arithmetic.

A plan is a chunk of relative actions (16, 7) made from one image. Its action i belongs to the
period that begins i periods after that image was taken: a plan that arrives late is entered where
it has got to when the arm will follow (`command_delay_s`); one too old, or older than the present
one, is dropped and counted.

Times `now_s` are seconds of one clock that never jumps: the monotonic clock in real time, the
simulated time in lockstep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vw2_ros.arms import open_arm
from vw2_ros.arms.actions import ACTION_PERIOD_S, EndEffectorController
from vw2_ros.control.safety import (
    GateState,
    Limits,
    Request,
    armed_at,
    gate,
    ready,
    rearmed,
    stopped,
)
from vw2_ros.errors import InvalidValueError

PLAN = 'plan_hidden'
JOINTS = 'joint_states'
IMAGE = 'image_raw'


@dataclass(frozen=True)
class ControlConfig:
    """How chunks are executed."""

    chunk: int = 16  # actions in a plan
    execute: int = 8  # lockstep: replan after so many; real time: the planner sets the pace
    blend: int = 0  # periods over which a new chunk replaces the one before
    max_plan_age_s: float | None = None  # of the image behind a plan; None: Limits.max_age_s
    gripper_hysteresis: float = 0.1  # the gripper changes beyond this, in [-1, 1]
    watch_camera: bool = False  # hold as soon as `see_image` falls silent, whatever is planned
    velocity: bool = False  # the robot is sent velocities: each tick begins where the arm is
    command_delay_s: float = 0.0  # from a command until the arm follows it

    def __post_init__(self):
        if not 1 <= self.execute <= self.chunk:
            raise InvalidValueError(
                f'execute must lie in 1..{self.chunk} (chunk), got {self.execute}'
            )
        if not 0 <= self.blend <= self.chunk:
            raise InvalidValueError(f'blend must lie in 0..{self.chunk} (chunk), got {self.blend}')
        if self.max_plan_age_s is not None and not self.max_plan_age_s > 0:
            raise InvalidValueError(f'max_plan_age_s must be above 0, got {self.max_plan_age_s}')
        if not 0 <= self.gripper_hysteresis < 1:
            raise InvalidValueError(
                f'gripper_hysteresis must lie in [0, 1), got {self.gripper_hysteresis}'
            )

    @classmethod
    def lockstep(cls, limits: Limits, execute: int = 8) -> 'ControlConfig':
        """The world waits for us: `execute` actions of each plan, nothing blended."""
        return cls(execute=execute, max_plan_age_s=(execute - 0.5) * limits.period_s)

    @classmethod
    def real_time(cls, max_plan_age_s: float | None = None, **more) -> 'ControlConfig':
        """The world runs on: the newest plan counts, chunks are blended into each other."""
        return cls(blend=3, max_plan_age_s=max_plan_age_s, **more)


@dataclass(frozen=True)
class Command:
    """What goes to the robot in one tick."""

    joints: np.ndarray | None  # [rad] (7,); None: send nothing
    step: np.ndarray | None  # from the tick before to `joints` [rad] (7,)
    gripper: float  # -1.0 close, +1.0 open
    status: str  # 'waiting' | 'moving' | 'holding' | 'stopped'
    reasons: tuple[str, ...]  # why it is not exactly what the plan says
    frame: int | None  # index within the chunk, None if no plan is followed
    action: np.ndarray | None  # relative action (7,) that was followed, in [-1, 1]
    plan_ns: int | None  # stamp of the image behind the plan that was followed


@dataclass(frozen=True)
class Plan:
    """A chunk of actions and the time of the image behind it."""

    stamp_ns: int
    observed_s: float
    actions: np.ndarray  # float64 (chunk, 7)


class ControlLoop:
    """One arm's loop: `accept_plan` when a plan arrives, `step` once per period.

    Raises:
        ValueError: limits of another arm than a 7-joint Panda, or of another rate than the plans'.
    """

    def __init__(self, limits: Limits, config: ControlConfig | None = None):
        if len(limits.joints) != 7:
            raise InvalidValueError(
                f'limits must be of 7 joints, got {len(limits.joints)}: the '
                "kinematics (vw2_ros/arms) are a Franka Panda's, and no "
                'other arm can be driven'
            )
        if abs(limits.period_s / ACTION_PERIOD_S - 1) > 0.01:
            raise InvalidValueError(
                f'limits: period_s must be {ACTION_PERIOD_S:.6f} within 1 %, the '
                f'time of one action of a plan, got {limits.period_s}; for more '
                "commands per second let the robot's controller interpolate"
            )
        self.limits = limits
        self.config = config or ControlConfig.real_time()
        self.controller = EndEffectorController(open_arm())
        self.state: GateState | None = None
        self.camera_frozen = False  # set by whoever sees the images
        self.gripper = 1.0
        self.counts = dict.fromkeys(
            (
                'plans',
                'late',
                'out_of_order',
                'other_instruction',
                'bad',
                'commands',
                'holds',
                'limited',
            ),
            0,
        )
        self._instruction_id: str | None = None
        self._plan: Plan | None = None
        self._before: Plan | None = None
        self._since_switch = 0
        self._newest_ns, self._newest_s = -1, -np.inf
        self._bad_in_a_row = 0
        self._stopped = ''  # why, until `rearm`
        self._image_s: float | None = None
        self._joints_s: float | None = None
        self._joints: np.ndarray | None = None

    # ------------------------------------------------------------------ input

    def reset(self, joints, gripper: float = 1.0) -> None:
        """Begin anew with the arm at rest at `joints` [rad] (7,), without a plan.

        A stop outlasts it: only `rearm` undoes that.

        Raises:
            ValueError: if the joints are not 7 finite numbers within the limits.
        """
        self._arm(joints, gripper)
        self.drop_plan()
        self._newest_ns = -1
        self._bad_in_a_row = 0
        self._joints, self._joints_s = None, None

    def drop_plan(self) -> None:
        """Forget the present plan; the arm holds until another one comes."""
        self._plan = self._before = None

    def set_instruction(self, instruction_id: str | None) -> None:
        """A new instruction: the plan for the old one is void, and late ones of it are refused."""
        if instruction_id != self._instruction_id:
            self._instruction_id = instruction_id
            self.drop_plan()

    def accept_plan(
        self,
        stamp_ns: int,
        actions,
        now_s: float,
        *,
        age_s: float = 0.0,
        instruction_id: str | None = None,
    ) -> str:
        """Take a plan that arrived at `now_s`, made from an image that was `age_s` old then.

        Args:
            stamp_ns: stamp of that image, to tell older plans from newer ones.
            actions: (chunk, 7) relative actions in [-1, 1]; what lies outside is clipped.
            now_s: time of arrival [s].
            age_s: see `safety.age_of_stamp`.
            instruction_id: what the plan was made for, None if that is not known.
        Returns:
            '' if it is followed from now on, else why it was dropped.
        """
        actions = np.array(actions, np.float64)
        if actions.shape != (self.config.chunk, 7) or not np.isfinite(actions).all():
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= self.limits.latch_after:
                self.stop(f'{self._bad_in_a_row} plans in a row were not finite')
            return self._dropped(
                'bad',
                f'plan must be {self.config.chunk} x 7 finite numbers, '
                f'got shape {actions.shape} with '
                f'{int((~np.isfinite(actions)).sum())} that are not',
            )
        self._bad_in_a_row = 0
        if (
            None not in (instruction_id, self._instruction_id)
            and instruction_id != self._instruction_id
        ):
            return self._dropped('other_instruction', 'plan is for another instruction')
        # where the newest has run out, an older stamp is from a clock that was set back
        if stamp_ns <= self._newest_ns and now_s - self._newest_s <= self._max_plan_age_s:
            return self._dropped('out_of_order', 'plan is older than the present one')
        if not 0 <= age_s <= self._max_plan_age_s:
            return self._dropped(
                'late',
                f'plan is from an image {age_s * 1e3:.0f} ms ago, limit '
                f'{self._max_plan_age_s * 1e3:.0f} ms',
            )
        self._newest_ns, self._newest_s = stamp_ns, now_s - age_s
        self._before = self._plan
        self._plan = Plan(stamp_ns, now_s - age_s, np.clip(actions, -1, 1))
        self._since_switch = 0
        self.counts['plans'] += 1
        return ''

    def see_joints(self, joints, now_s: float) -> None:
        """Take the measured joints [rad] (7,), finite; the arm starts where it is.

        Raises:
            ValueError: if the arm cannot start there, or cannot have got there since the last ones.
        """
        self._refuse_jump(joints, now_s)
        if not self.counts['commands']:  # until then it may have been moved by others
            self._arm(joints, self.gripper)
        self._joints, self._joints_s = np.array(joints, np.float64), now_s

    def _refuse_jump(self, joints, now_s: float) -> None:
        if self._joints is None:
            return
        since_s = max(0.0, now_s - self._joints_s)
        way = np.abs(joints - self._joints)
        far = way - self.limits.following_rad - self.limits.velocity_rad_s * since_s
        if far.max() > 0:
            i = int(np.argmax(far))
            raise InvalidValueError(
                f'{self.limits.joints[i]} jumped by {way[i]:.2f} rad within '
                f'{since_s * 1e3:.0f} ms: no arm moves like that'
            )

    def see_image(self, now_s: float, age_s: float = 0.0) -> None:
        """Take note of a camera image that was `age_s` old when it came (for `watch_camera`)."""
        self._image_s = now_s - age_s

    def stop(self, why: str = 'asked for') -> None:
        """Stop from the next tick on, until `rearm`."""
        self.drop_plan()
        self._stopped = self._stopped or why
        if self.state is not None:
            self.state = stopped(self.state, self._stopped)

    @property
    def stop_reason(self) -> str:
        """Why the arm is stopped until `rearm`, '' if it is not."""
        return self._stopped

    def rearm(self, now_s: float) -> str:
        """Undo a stop: the arm holds where it is until the next plan.

        Returns:
            '' if it is armed, else why not.
        """
        if self.state is None or self._joints is None:
            return f'nothing ever came on {JOINTS}'
        age_s = now_s - self._joints_s
        if not age_s <= self.limits.max_age_s:
            return (
                f'{JOINTS} is {age_s * 1e3:.0f} ms old, limit '
                f'{self.limits.max_age_s * 1e3:.0f} ms: nobody knows where the arm is'
            )
        try:
            self.state = rearmed(self.state, self._joints, self.limits)
        except ValueError as error:
            return str(error)
        self.controller.reset(self.state.position, self.gripper)
        self.drop_plan()
        self._bad_in_a_row = 0
        self._stopped = ''
        return ''

    # ------------------------------------------------------------------- tick

    def step(self, now_s: float, joints=None) -> Command:
        """One tick at `now_s`, with the measured joints if they are at hand."""
        if joints is not None:
            self.see_joints(joints, now_s)
        if self.config.velocity and self._joints is not None:
            at = np.clip(self._joints, self.limits.lower_rad, self.limits.upper_rad)
            self.state = replace(self.state, position=at, target=at)
            self.controller.reset(at, self.gripper)
        frame, action = self._next_action(now_s)
        target = self._target(action, now_s)
        verdict = gate(self.state, self._request(target, now_s), self.limits)
        return self._command(verdict, frame, action)

    def _arm(self, joints, gripper: float) -> None:
        state = armed_at(joints, self.limits)
        self.state = stopped(state, self._stopped) if self._stopped else state
        self.gripper = 1.0 if gripper > 0 else -1.0
        self.controller.reset(self.state.position, self.gripper)

    @property
    def has_plan(self) -> bool:
        """Whether there is a plan to follow, fresh or not."""
        return self._plan is not None

    @property
    def _max_plan_age_s(self) -> float:
        return self.config.max_plan_age_s or self.limits.max_age_s

    def _next_action(self, now_s: float) -> tuple[int | None, np.ndarray | None]:
        """Return the plan's action for this period, in [-1, 1], with the gripper at -1 or +1."""
        if self._plan is None:
            return None, None
        frame = self._frame(self._plan, now_s)
        if frame >= self.config.chunk:
            return None, None
        action = self._plan.actions[frame].copy()
        if self._before is not None and self._since_switch < self.config.blend:
            other = self._frame(self._before, now_s)
            if other < self.config.chunk:
                share = (self._since_switch + 1) / (self.config.blend + 1)
                action = share * action + (1 - share) * self._before.actions[other]
        self._since_switch += 1
        if abs(action[6]) > self.config.gripper_hysteresis:
            action[6] = np.sign(action[6])
        else:
            action[6] = self.gripper
        return frame, action

    def _frame(self, plan: Plan, now_s: float) -> int:
        # the small part of a period: 0.4999.. from rounding of a half must not flicker
        elapsed = (now_s + self.config.command_delay_s - plan.observed_s) / self.limits.period_s
        return max(0, int(np.floor(elapsed + 0.5 + 1e-6)))

    def _target(self, action, now_s: float) -> np.ndarray | None:
        """Add the action to the target and solve for the joints; a held arm adds nothing."""
        if (
            action is None
            or ready(self.state, self._request(None, now_s), self.limits)[0] != 'moving'
        ):
            return None
        joints, self.gripper = self.controller.step(action)
        return joints

    def _request(self, target, now_s: float) -> Request:
        ages_s = self._ages_s(now_s)
        fresh = self._joints is not None and ages_s[JOINTS] <= self.limits.max_age_s
        return Request(
            target,
            ages_s,
            self.camera_frozen,
            self._joints if fresh else None,
            {PLAN: self._max_plan_age_s},
        )

    def _ages_s(self, now_s: float) -> Mapping[str, float | None]:
        ages_s = {JOINTS: None if self._joints_s is None else now_s - self._joints_s}
        if self.config.watch_camera:
            ages_s[IMAGE] = None if self._image_s is None else now_s - self._image_s
        if self._plan is not None:
            ages_s[PLAN] = now_s - self._plan.observed_s
        elif self._newest_ns < 0:
            ages_s[PLAN] = None
        return ages_s  # a plan that was dropped has no age: there is no target then

    def _command(self, verdict, frame, action) -> Command:
        self.state = verdict.state
        if verdict.status == 'stopped':  # the gate itself may have latched
            self.stop(self.state.latched)
        followed = verdict.status == 'moving'
        self.counts['commands'] += verdict.command is not None
        self.counts['holds'] += verdict.status == 'holding'
        self.counts['limited'] += followed and bool(verdict.reasons)
        return Command(
            verdict.command,
            None if self.state is None else self.state.step,
            self.gripper,
            verdict.status,
            verdict.reasons,
            frame if followed else None,
            action if followed else None,
            self._plan.stamp_ns if followed and self._plan else None,
        )

    def _dropped(self, count: str, why: str) -> str:
        self.counts[count] += 1
        return why
