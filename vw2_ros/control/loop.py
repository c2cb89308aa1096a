# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""From plans to joint commands, 20 to 1000 times a second: observe, plan, act, gate.

Pure: no rclpy, no torch, no clock of its own. The same loop runs in the action node and in the
evaluation within one process. Who clocks it makes no difference: a timer, or a world that waits for
each command (`control.clock`).

The action head makes a *chunk* of relative actions (n, 7) from each plan. Action i of it belongs to
the 1/30 s that begins i times as long after the plan's image was taken. A step moves the arm by what
the actions say for the time since the step before, be it a part of one action or of several. A chunk
that arrives late is entered where it has got to when the arm will follow (`command_delay_s`), and
what it wanted until then is caught up with (`catch_up`). One that is too old, or older than the
present one, is dropped and counted.

An operator's motion is a chunk, too, of one action over and over (`take_over`). From then on plans
are dropped, until he hands the arm back.
A robot begins disarmed: only `rearm` lets it move, and then slowly at first (`FirstMotion`).

Joints are in rad, in the order of `Limits.joints`. Actions are relative movements of the tool in
the arm's base frame, in [-1, 1] (units: `vw2_ros.arms`), then the gripper: -1 closed, +1 open.
Times `now_s` are seconds of one clock that never jumps: the monotonic clock in real time, the
stamps of joint_states in lockstep.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vw2_ros import names
from vw2_ros.arms.actions import ACTION_PERIOD_S, EndEffectorController
from vw2_ros.arms.contract import Contract
from vw2_ros.control.camera import CameraWatch
from vw2_ros.control.catch_up import Followed
from vw2_ros.control.chunk import Chunk, ControlConfig
from vw2_ros.control.command import COUNTS, Command, Event
from vw2_ros.control.first_motion import FirstMotion
from vw2_ros.control.safety import (
    DISARMED,
    GateState,
    Request,
    Verdict,
    armed_at,
    at_rest,
    gate,
    ready,
    rearmed,
    refuse_jump,
    stopped,
)
from vw2_ros.control.takeover import SILENCE_S, Motion, Takeover
from vw2_ros.errors import InvalidValueError

__all__ = ['Chunk', 'Command', 'ControlConfig', 'ControlLoop', 'Event']

SHORTEST_TICK_S = 1e-4  # a tick so soon after another sends nothing
OPERATED = 30  # actions that an operator's motion fills: its age ends it sooner


class ControlLoop:
    """The one loop of one arm: `accept` a chunk when a plan arrives, `step` once per period.

    Args:
        contract: the arm, its limits, and what it is owed.
        config: how chunks are followed; None: `ControlConfig()`.

    Raises:
        InvalidValueError: limits of another number of joints than the arm's, or in lockstep of
            another rate than the actions'.
    """

    def __init__(self, contract: Contract, config: ControlConfig | None = None):
        self.contract, arm, limits = contract, contract.arm, contract.limits
        self.arm = arm
        if len(limits.joints) != len(arm.joints):
            raise InvalidValueError(
                f'limits must be of the {len(arm.joints)} joints of the arm {arm.name}. '
                f'Got {len(limits.joints)}. Give the limits of this arm.'
            )
        config = config or ControlConfig()
        if config.lockstep and abs(limits.period_s / ACTION_PERIOD_S - 1) > 0.01:
            raise InvalidValueError(
                f'limits: period_s must be {ACTION_PERIOD_S:.6f} within 1 % in lockstep, the time '
                f'of one action of a plan. Got {limits.period_s}. Set the rate of the commands to '
                '30 Hz.'
            )
        self.limits = limits
        self.events: deque[Event] = deque(maxlen=1000)  # who reads them takes them out
        self._stopped = ''  # why, until `rearm`
        self._instruction_id: str | None = None
        self.restart(config)

    def restart(self, config: ControlConfig | None = None) -> None:
        """Forget all but the instruction and a stop; begin at the joints that come next.

        A robot is disarmed.

        Args:
            config: how chunks are followed from now on; None: as before.
        """
        self.config = config.followed(self.limits) if config else self.config
        robot = self.contract.disarmed_at_start
        self.controller = EndEffectorController(
            self.arm, self.limits if robot else None, self.contract.action_frame
        )
        self.state: GateState | None = None
        self.command: Command | None = None  # of the last step
        self.gripper = 1.0
        self.newest_ns = -1  # stamp of the newest plan that was accepted, -1: none was
        self.counts = dict.fromkeys(COUNTS, 0)
        self._newest_s = -np.inf
        self._intervals_s: deque[float] = deque(maxlen=20)  # between the observations of plans
        self._bad_in_a_row = 0
        self._joints: np.ndarray | None = None
        self._joints_s: float | None = None
        self._image_s: float | None = None
        self._stepped_s: float | None = None  # time of the last step
        self._first: FirstMotion | None = None  # of a robot that was armed
        self._told = ('', False)  # status and whether limits changed the command, last step
        if self.contract.disarmed_at_start:
            self._stopped = self._stopped or DISARMED
        self._followed = Followed()
        self._camera = CameraWatch(self.limits.max_age_s, self.limits.frozen_frames)
        self.takeover = Takeover()
        self.drop_plan()

    # ------------------------------------------------------------------ input

    def instruct(self, instruction_id: str | None, *, again: bool = False) -> None:
        """Follow plans for this instruction only; the plan for another one is void.

        Args:
            instruction_id: as chunks bear it; None: plans for any are followed; '': nobody wants
                anything, the arm is idle.
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
        if malformed := self.config.malformed(actions):
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= self.limits.latch_after:
                self.stop(f'{self._bad_in_a_row} plans in a row were not finite')
            return self._dropped('bad', malformed)
        self._bad_in_a_row = 0
        if self.takeover.active:
            return self._dropped(
                'overruled', f'an operator took over; {names.HAND_BACK} ends that'
            )
        if self._instruction_id == '':
            return self._dropped('other_instruction', 'there is no instruction')
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
        if 0 < chunk.observed_s - self._newest_s < 1:  # longer: a break
            self._intervals_s.append(chunk.observed_s - self._newest_s)
        self.newest_ns, self._newest_s = chunk.stamp_ns, chunk.observed_s
        self._before, self._since_switch = self._chunk, 0
        self._chunk = self._followed.catch_up(replace(chunk, actions=np.clip(actions, -1, 1)))
        self.counts['plans'] += 1
        return ''

    def take_over(self, motion: Motion | None, now_s: float) -> str:
        """Let an operator move the arm; plans are dropped until `hand_back`.

        Args:
            motion: None: what came of him makes no sense, or may not be followed: the arm holds.
        Returns:
            '' if it is followed from now on, else why not.
        """
        if not self.takeover.active:
            self.takeover.begin(self.has_plan and self._instruction_id != '')
            self._settle()
            self.events.append(Event(now_s, 'takeover', self.takeover.leader(now_s)))
        why = self.takeover.hear(motion, now_s)
        self.drop_plan()
        if not why:
            action = np.append(self.controller.action_of(motion.twist), motion.gripper)
            actions = np.tile(action, (OPERATED, 1))
            self._chunk = Chunk(motion.stamp_ns, actions, motion.observed_s)
        return why

    def hand_back(self, now_s: float) -> str:
        """Let the policy go on with the next plan; '' if it does, else why not."""
        if not self.takeover.active:
            return 'the policy has the arm already'
        if not self.takeover.silent(now_s):
            return f'{names.TELEOP_TWIST} must be silent. Got a message just now. Let go first.'
        self.takeover = Takeover()
        self._settle()
        if self._first:
            self._first.begin(now_s)
        self.events.append(Event(now_s, 'handback', 'asked for'))
        return ''

    def _settle(self) -> None:
        # who comes next goes on from where the arm is, and not to where the last one wanted to be
        self._followed = Followed()
        self.drop_plan()
        if self.state is not None:
            self.controller.reset(self.state.position, self.gripper)

    def see_joints(self, joints, now_s: float) -> None:
        """Take the joints [rad] (n,), finite, as measured at `now_s`; the arm starts where it is.

        Raises:
            InvalidValueError: the arm cannot start there, or cannot have got there since the last
                ones.
        """
        if self._joints is not None:
            refuse_jump(self._joints, joints, now_s - self._joints_s, self.limits)
        if not (self.counts['commands'] or self._first):  # until then others may have moved it
            state = armed_at(joints, self.limits)
            self.state = stopped(state, self._stopped) if self._stopped else state
            self.controller.reset(self.state.position, self.gripper)
        self._joints, self._joints_s = np.array(joints, np.float64), now_s

    def see_image(self, frame, now_s: float, age_s: float = 0.0) -> None:
        """Take note of a camera image (bytes or array) that was `age_s` old when it came.

        The same image again is none: a camera that is frozen is as good as silent.
        """
        taken_s = now_s - age_s
        self._camera.see(taken_s, frame)
        if self._camera.identical == 1:
            self._image_s = taken_s

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
            return f'{names.JOINT_STATES} must come first. Got none. Start the driver of the arm.'
        if self.takeover.moving(now_s):
            return f'{names.TELEOP_TWIST} must be at rest. Got a motion just now. Let go first.'
        age_s = now_s - self._joints_s
        if not age_s <= self.limits.max_age_s:
            return (
                f'{names.JOINT_STATES} must be at most {self.limits.max_age_s * 1e3:.0f} ms old. Got '
                f'{age_s * 1e3:.0f} ms old ones: nobody knows where the arm is. Look at its driver.'
            )
        try:
            self.state = rearmed(self.state, self._joints, self.limits)
        except InvalidValueError as error:
            return str(error)
        self._bad_in_a_row = 0
        self._stopped = ''
        self._settle()
        if self.contract.disarmed_at_start:
            self._first = FirstMotion(self.state.position, self._joints, now_s)
        self.events.append(Event(now_s, 'arm', 'rearm'))
        return ''

    # ----------------------------------------------------------------- output

    def step(self, now_s: float, joints=None) -> Command:
        """One period that begins at `now_s`, with the measured joints if they are at hand."""
        inputs = self._observe(now_s, joints)
        if inputs.elapsed_s is not None and inputs.elapsed_s < SHORTEST_TICK_S:
            return replace(self.command, joints=None)
        self._stepped_s = now_s
        frame, action, periods = self._plan(now_s, inputs.elapsed_s)
        target = self._act(action, periods, inputs, now_s)
        verdict = gate(self.state, replace(inputs, target=target), self.limits)
        if target is not None and self.controller.slowed:
            verdict = replace(verdict, reasons=(*verdict.reasons, self.controller.slowed))
        return self._commanded(verdict, inputs, frame, action, now_s)

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
    def max_plan_age_s(self) -> float:
        """Age of the image behind a plan beyond which the arm holds [s].

        In real time a plan is overdue, and the arm holds, once the image that the next plan should
        come from is `Limits.max_age_s` (0.1 s) old: that image was taken as long after the last
        plan's as plans are apart (the median of the newest). With a plan for every image of 30 Hz
        this is 133 ms after the last plan's own image. A robot has one period of its commands less,
        in which it brakes. It is never more than the config says.
        """
        if self.config.lockstep:
            return self.config.max_plan_age_s
        overdue_s = self._plan_interval_s() + self.limits.max_age_s - self._brake_s
        return min(self.config.max_plan_age_s, overdue_s)

    @property
    def _brake_s(self) -> float:
        # a robot begins to brake so much earlier that it got its last new target by the limit
        return self.limits.period_s if self.contract.disarmed_at_start else 0.0

    def _plan_interval_s(self) -> float:
        # how far plans are apart; infinite until that is known
        if len(self._intervals_s) < 5:
            return np.inf
        return sorted(self._intervals_s)[len(self._intervals_s) // 2]

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
        unfollowed, speed = '', 1.0
        if self._first:
            unfollowed = self._first.unfollowed(self.state.position, self._joints, now_s)
            speed = self._first.speed(now_s)
        return Request(
            target=None,
            ages_s=ages_s,
            camera_frozen=self._camera.frozen and not self.takeover.active,
            measured=self._joints if fresh else None,
            allowed_s={
                names.PLAN_HIDDEN: self.max_plan_age_s,
                names.IMAGE: self._camera.max_age_s - self._brake_s,
                names.TELEOP_TWIST: SILENCE_S - self._brake_s,
            },
            elapsed_s=None if self.config.lockstep else self._elapsed_s(now_s),
            forward=self.controller.forward,
            speed=speed,
            idle=self._instruction_id == '' and not self.takeover.active,
            unfollowed=unfollowed,
            silent_on_stale=self.contract.on_stale == 'silent',
            movable=self.contract.disarmed_at_start,
        )

    def _elapsed_s(self, now_s: float) -> float:
        """Return the time since the last command; after a long one the arm begins anew, at rest."""
        sent = self.command is not None and self.command.joints is not None
        if sent and now_s - self._stepped_s <= self.limits.max_age_s:
            return max(0.0, now_s - self._stepped_s)
        if self.state is not None:
            self.state = at_rest(self.state)
        return self.limits.period_s

    def _ages_s(self, now_s: float) -> Mapping[str, float | None]:
        ages_s = {names.JOINT_STATES: None if self._joints_s is None else now_s - self._joints_s}
        if self.takeover.active:  # he has eyes of his own
            if self._chunk is not None:
                ages_s[names.TELEOP_TWIST] = now_s - self._chunk.observed_s
            return ages_s
        if self._instruction_id == '':  # nobody wants anything: neither picture nor plan is due
            return ages_s
        if self.config.watch_camera:
            ages_s[names.IMAGE] = None if self._image_s is None else now_s - self._image_s
        if self._chunk is not None:
            ages_s[names.PLAN_HIDDEN] = now_s - self._chunk.observed_s
        elif self.newest_ns < 0:
            ages_s[names.PLAN_HIDDEN] = None
        return ages_s  # a plan that was dropped has no age: there is no target then

    def _plan(self, now_s: float, elapsed_s: float | None):
        """Choose the action of this step (7,), blended, with the gripper at -1 or +1.

        The step ends one period from now, and begins `elapsed_s` before it ends.

        Returns:
            index within the chunk, action, and for how many actions' time it is.
        """
        periods = 1.0 if elapsed_s is None else elapsed_s / ACTION_PERIOD_S
        span = None if self._chunk is None else self._span(self._chunk, now_s, periods)
        action = None if span is None else self._chunk.mean(*span)
        if action is None:
            return None, None, periods
        blend = min(self.config.blend, self._plan_interval_s() / ACTION_PERIOD_S)
        if self._before is not None and self._since_switch < blend:
            other = self._before.mean(*self._span(self._before, now_s, periods))
            if other is not None:
                share = (self._since_switch + periods) / (blend + 1)
                action = share * action + (1 - share) * other
        self._since_switch += periods
        if abs(action[6]) > self.config.gripper_hysteresis:
            action[6] = np.sign(action[6])
        else:
            action[6] = self.gripper
        return max(0, int(sum(span) / 2 + 1e-6)), action, periods

    def _span(self, chunk: Chunk, now_s: float, periods: float) -> tuple[float, float]:
        """Return where in a chunk a step begins and ends, in actions."""
        at_s = now_s + self.config.command_delay_s
        if self.config.lockstep:
            at = chunk.index(at_s, ACTION_PERIOD_S)
            return at, at + 1
        end = (at_s + self.limits.period_s - chunk.observed_s) / ACTION_PERIOD_S
        return end - periods, end

    def _act(self, action, periods: float, inputs: Request, now_s: float) -> np.ndarray | None:
        """Move the target by the action and solve for the joints [rad] (n,).

        A held arm adds nothing to the target, so that it does not catch up with a jump.
        """
        held = action is None or ready(self.state, inputs, self.limits)[0] != 'moving'
        # of one that begins slowly, the whole: what it was kept from is not made up for
        end_s = now_s + self.config.command_delay_s + self.limits.period_s
        begin_s = end_s - periods * ACTION_PERIOD_S
        self._followed.add(np.zeros(7) if held else action, begin_s, end_s)
        if held:
            return None
        joints, self.gripper = self.controller.step(action, periods * inputs.speed)
        return joints

    def _commanded(self, verdict: Verdict, inputs: Request, frame, action, now_s) -> Command:
        """Account for what left the gate."""
        self.state = verdict.state
        if verdict.status == 'stopped':  # the gate itself may have latched
            self.stop(self.state.latched)
        followed = verdict.status == 'moving'
        self.counts['commands'] += verdict.command is not None
        self.counts['holds'] += verdict.status == 'holding'
        self.counts['limited'] += followed and bool(verdict.reasons)
        self._tell(verdict, now_s)
        if followed and verdict.reasons and self.contract.disarmed_at_start:
            # what a robot could not do is not made up for later
            self.controller.reset(verdict.command, self.gripper)
        chunk = self._chunk if followed and not self.takeover.active else None
        self.command = Command(
            joints=verdict.command,
            step=None if self.state is None else self.state.step,
            elapsed_s=self.limits.period_s if inputs.elapsed_s is None else inputs.elapsed_s,
            gripper=self.gripper,
            status=verdict.status,
            reasons=verdict.reasons,
            frame=frame if followed else None,
            action=action if followed else None,
            plan_ns=chunk.stamp_ns if chunk else None,
            age_s=now_s - chunk.observed_s if chunk else None,
        )
        return self.command

    def _tell(self, verdict: Verdict, now_s: float) -> None:
        """Note what changed since the last step."""
        (before, _), kinds = self._told, {'stopped': 'stop', 'disarmed': 'disarm', 'idle': 'idle'}
        limited = verdict.status == 'moving' and bool(verdict.reasons)
        if verdict.status != before and verdict.status != 'waiting':
            kinds |= {'holding': 'hold', 'moving': 'resume'}
            self.events.append(Event(now_s, kinds[verdict.status], '; '.join(verdict.reasons)))
        elif limited and not self._told[1]:
            self.events.append(Event(now_s, 'limit', '; '.join(verdict.reasons)))
        self._told = verdict.status, limited

    # ---------------------------------------------------------------- refusals

    def _dropped(self, count: str, why: str) -> str:
        self.counts[count] += 1
        return why
