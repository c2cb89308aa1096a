# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From plans to joint commands, 30 times a second: observe, plan, act, gate.

Pure: no rclpy, no torch, no clock of its own. The same loop runs in the action node and in the
evaluation within one process. Who clocks it makes no difference: a timer, or a world that waits for
each command (`control.clock`).

The action head makes a *chunk* of relative actions (n, 7) from each plan. Action i of it belongs to
the period that begins i periods after the plan's image was taken. A chunk that arrives late is
entered where it has got to when the arm will follow (`command_delay_s`). One that is too old, or
older than the present one, is dropped and counted.

Joints are in rad, in the order of `Limits.joints`. Actions are relative movements of the tool in
the arm's base frame, in [-1, 1] (units: `vw2_ros.arms`), then the gripper: -1 closed, +1 open.
Times `now_s` are seconds of one clock that never jumps: the monotonic clock in real time, the
stamps of joint_states in lockstep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vw2_ros import names
from vw2_ros.arms import Arm, open_arm
from vw2_ros.arms.actions import ACTION_PERIOD_S, EndEffectorController
from vw2_ros.control.camera import CameraWatch
from vw2_ros.control.safety import (
    GateState,
    Limits,
    Request,
    Verdict,
    armed_at,
    gate,
    ready,
    rearmed,
    stopped,
)
from vw2_ros.errors import InvalidValueError

COUNTS = (
    'plans',
    'late',
    'out_of_order',
    'other_instruction',
    'bad',
    'commands',
    'holds',
    'limited',
)


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
    # periods over which a new chunk replaces the one before: as long as a plan takes at 10 Hz
    blend: int = 3
    # age of the image behind a plan [s] beyond which the plan moves nothing: planning takes 0.1 s
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


@dataclass(frozen=True)
class Command:
    """What goes to the robot in one step."""

    joints: np.ndarray | None  # [rad] (7,); None: send nothing
    step: np.ndarray | None  # from the command before to `joints` [rad] (7,)
    gripper: float  # -1.0 close, +1.0 open
    status: str  # 'waiting' | 'moving' | 'holding' | 'stopped'
    reasons: tuple[str, ...]  # why it is not exactly what the plan says
    frame: int | None  # index within the chunk, None if no plan is followed
    action: np.ndarray | None  # relative action (7,) that was followed, in [-1, 1]
    plan_ns: int | None  # stamp of the image behind the plan that was followed
    age_s: float | None  # age of that image [s]


class ControlLoop:
    """The one loop of one arm: `accept` a chunk when a plan arrives, `step` once per period.

    Args:
        arm: whose kinematics it uses; None: `open_arm()`.

    Raises:
        InvalidValueError: limits of another number of joints than the arm's, or of another rate
            than the actions'.
    """

    def __init__(
        self, limits: Limits, config: ControlConfig | None = None, arm: Arm | None = None
    ):
        self.arm = arm = arm or open_arm()
        if len(limits.joints) != len(arm.joints):
            raise InvalidValueError(
                f'limits must be of the {len(arm.joints)} joints of the arm {arm.name}. '
                f'Got {len(limits.joints)}. Give the limits of this arm.'
            )
        if abs(limits.period_s / ACTION_PERIOD_S - 1) > 0.01:
            raise InvalidValueError(
                f'limits: period_s must be {ACTION_PERIOD_S:.6f} within 1 %, the time of one '
                f"action of a plan. Got {limits.period_s}. Let the robot's controller interpolate "
                'where it wants more commands per second.'
            )
        self.limits = limits
        self._stopped = ''  # why, until `rearm`
        self._instruction_id: str | None = None
        self.restart(config or ControlConfig())

    def restart(self, config: ControlConfig | None = None) -> None:
        """Forget all but the instruction and a stop; begin at the joints that come next.

        Args:
            config: how chunks are followed from now on; None: as before.
        """
        self.config = config.followed(self.limits) if config else self.config
        self.controller = EndEffectorController(self.arm)
        self.state: GateState | None = None
        self.command: Command | None = None  # of the last step
        self.gripper = 1.0
        self.newest_ns = -1  # stamp of the newest plan that was accepted, -1: none was
        self.counts = dict.fromkeys(COUNTS, 0)
        self._newest_s = -np.inf
        self._bad_in_a_row = 0
        self._joints: np.ndarray | None = None
        self._joints_s: float | None = None
        self._image_s: float | None = None
        self._camera = CameraWatch(self.limits.max_age_s, self.limits.frozen_frames)
        self.drop_plan()

    # ------------------------------------------------------------------ input

    def instruct(self, instruction_id: str | None, *, again: bool = False) -> None:
        """Follow plans for this instruction only; the plan for another one is void.

        Args:
            instruction_id: as chunks bear it; None: plans for any are followed.
            again: the plan for the same one is void, too.
        """
        if again or instruction_id != self._instruction_id:
            self.drop_plan()
        self._instruction_id = instruction_id

    def drop_plan(self) -> None:
        """Forget the present plan; the arm holds until another one comes."""
        self._chunk: Chunk | None = None
        self._before: Chunk | None = None  # is blended out
        self._since_switch = 0  # periods since the present chunk replaced that one

    def accept(self, chunk: Chunk, now_s: float) -> str:
        """Take the chunk of a plan that arrives at `now_s`; actions beyond [-1, 1] are clipped.

        Returns:
            '' if it is followed from now on, else why it was dropped.
        """
        actions, age_s = np.array(chunk.actions, np.float64), now_s - chunk.observed_s
        if not self._well_formed(actions):
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= self.limits.latch_after:
                self.stop(f'{self._bad_in_a_row} plans in a row were not finite')
            return self._dropped(
                'bad',
                f'plan must be {self.config.chunk or "n"} x 7 finite numbers. Got shape '
                f'{actions.shape} with {int((~np.isfinite(actions)).sum())} that are not.',
            )
        self._bad_in_a_row = 0
        known = None not in (chunk.instruction_id, self._instruction_id)
        if known and chunk.instruction_id != self._instruction_id:
            return self._dropped('other_instruction', 'plan is for another instruction')
        # where the newest has run out, an older stamp is from a clock that was set back
        running = now_s - self._newest_s <= self.config.max_plan_age_s
        if chunk.stamp_ns <= self.newest_ns and running:
            return self._dropped('out_of_order', 'plan is older than the present one')
        if not 0 <= age_s <= self.config.max_plan_age_s:
            return self._dropped(
                'late',
                f'plan is from an image {age_s * 1e3:.0f} ms ago, limit '
                f'{self.config.max_plan_age_s * 1e3:.0f} ms',
            )
        self.newest_ns, self._newest_s = chunk.stamp_ns, chunk.observed_s
        self._before, self._since_switch = self._chunk, 0
        self._chunk = replace(chunk, actions=np.clip(actions, -1, 1))
        self.counts['plans'] += 1
        return ''

    def see_joints(self, joints, now_s: float) -> None:
        """Take the joints [rad] (7,), finite, as measured at `now_s`; the arm starts where it is.

        Raises:
            InvalidValueError: the arm cannot start there, or cannot have got there since the last
                ones.
        """
        self._refuse_jump(joints, now_s)
        if not self.counts['commands']:  # until then it may have been moved by others
            state = armed_at(joints, self.limits)
            self.state = stopped(state, self._stopped) if self._stopped else state
            self.controller.reset(self.state.position, self.gripper)
        self._joints, self._joints_s = np.array(joints, np.float64), now_s

    def see_image(self, frame, now_s: float, age_s: float = 0.0) -> None:
        """Take note of a camera image (bytes or array) that was `age_s` old when it came."""
        self._image_s = now_s - age_s
        self._camera.see(self._image_s, frame)

    def stop(self, why: str = 'asked for') -> None:
        """Stop from the next step on, until `rearm`; the first reason stays."""
        self.drop_plan()
        self._stopped = self._stopped or why
        if self.state is not None:
            self.state = stopped(self.state, self._stopped)

    def rearm(self, now_s: float) -> str:
        """Undo a stop: the arm holds where it is until the next plan.

        Returns:
            '' if it is armed, else why not.
        """
        if self.state is None or self._joints is None:
            return f'nothing ever came on {names.JOINT_STATES}'
        age_s = now_s - self._joints_s
        if not age_s <= self.limits.max_age_s:
            return (
                f'{names.JOINT_STATES} is {age_s * 1e3:.0f} ms old, limit '
                f'{self.limits.max_age_s * 1e3:.0f} ms: nobody knows where the arm is'
            )
        try:
            self.state = rearmed(self.state, self._joints, self.limits)
        except InvalidValueError as error:
            return str(error)
        self.controller.reset(self.state.position, self.gripper)
        self.drop_plan()
        self._bad_in_a_row = 0
        self._stopped = ''
        return ''

    # ----------------------------------------------------------------- output

    def step(self, now_s: float, joints=None) -> Command:
        """One period that begins at `now_s`, with the measured joints if they are at hand."""
        inputs = self._observe(now_s, joints)
        frame, action = self._plan(now_s)
        target = self._act(action, inputs)
        verdict = gate(self.state, replace(inputs, target=target), self.limits)
        return self._commanded(verdict, frame, action, now_s)

    def report(self) -> dict[str, int]:
        """Return the counters for /diagnostics, since the last restart."""
        return {
            f'plans {name}' if name in ('late', 'out_of_order', 'bad') else name: count
            for name, count in self.counts.items()
        }

    @property
    def has_plan(self) -> bool:
        """Whether there is a plan to follow, fresh or not."""
        return self._chunk is not None

    @property
    def stop_reason(self) -> str:
        """Why the arm is stopped until `rearm`, '' if it is not."""
        return self._stopped

    # ------------------------------------------------------- the parts of `step`

    def _observe(self, now_s: float, joints) -> Request:
        """Gather what is known by now, and how old it is."""
        if joints is not None:
            self.see_joints(joints, now_s)
        if self.config.velocity and self._joints is not None:
            at = np.clip(self._joints, self.limits.lower_rad, self.limits.upper_rad)
            self.state = replace(self.state, position=at, target=at)
            self.controller.reset(at, self.gripper)
        ages_s = self._ages_s(now_s)
        fresh = self._joints is not None and ages_s[names.JOINT_STATES] <= self.limits.max_age_s
        return Request(
            target=None,
            ages_s=ages_s,
            camera_frozen=self._camera.frozen,
            measured=self._joints if fresh else None,
            allowed_s={
                names.PLAN_HIDDEN: self.config.max_plan_age_s,
                names.IMAGE: self._camera.max_age_s,
            },
        )

    def _ages_s(self, now_s: float) -> Mapping[str, float | None]:
        ages_s = {names.JOINT_STATES: None if self._joints_s is None else now_s - self._joints_s}
        if self.config.watch_camera:
            ages_s[names.IMAGE] = None if self._image_s is None else now_s - self._image_s
        if self._chunk is not None:
            ages_s[names.PLAN_HIDDEN] = now_s - self._chunk.observed_s
        elif self.newest_ns < 0:
            ages_s[names.PLAN_HIDDEN] = None
        return ages_s  # a plan that was dropped has no age: there is no target then

    def _plan(self, now_s: float) -> tuple[int | None, np.ndarray | None]:
        """Choose the action of this period (7,), blended, with the gripper at -1 or +1."""
        at_s, period_s = now_s + self.config.command_delay_s, self.limits.period_s
        frame = None if self._chunk is None else self._chunk.index(at_s, period_s)
        if frame is None or frame >= len(self._chunk.actions):
            return None, None
        action = self._chunk.actions[frame].copy()
        if self._before is not None and self._since_switch < self.config.blend:
            other = self._before.index(at_s, period_s)
            if other < len(self._before.actions):
                share = (self._since_switch + 1) / (self.config.blend + 1)
                action = share * action + (1 - share) * self._before.actions[other]
        self._since_switch += 1
        if abs(action[6]) > self.config.gripper_hysteresis:
            action[6] = np.sign(action[6])
        else:
            action[6] = self.gripper
        return frame, action

    def _act(self, action, inputs: Request) -> np.ndarray | None:
        """Move the target by the action and solve for the joints [rad] (7,).

        A held arm adds nothing to the target, so that it does not catch up with a jump.
        """
        if action is None or ready(self.state, inputs, self.limits)[0] != 'moving':
            return None
        joints, self.gripper = self.controller.step(action)
        return joints

    def _commanded(self, verdict: Verdict, frame, action, now_s: float) -> Command:
        """Account for what left the gate."""
        self.state = verdict.state
        if verdict.status == 'stopped':  # the gate itself may have latched
            self.stop(self.state.latched)
        followed = verdict.status == 'moving'
        self.counts['commands'] += verdict.command is not None
        self.counts['holds'] += verdict.status == 'holding'
        self.counts['limited'] += followed and bool(verdict.reasons)
        chunk = self._chunk if followed else None
        self.command = Command(
            joints=verdict.command,
            step=None if self.state is None else self.state.step,
            gripper=self.gripper,
            status=verdict.status,
            reasons=verdict.reasons,
            frame=frame if followed else None,
            action=action if followed else None,
            plan_ns=chunk.stamp_ns if chunk else None,
            age_s=now_s - chunk.observed_s if chunk else None,
        )
        return self.command

    # ---------------------------------------------------------------- refusals

    def _well_formed(self, actions: np.ndarray) -> bool:
        n = self.config.chunk or max(1, len(actions) if actions.ndim else 0)
        return actions.shape == (n, 7) and bool(np.isfinite(actions).all())

    def _dropped(self, count: str, why: str) -> str:
        self.counts[count] += 1
        return why

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
