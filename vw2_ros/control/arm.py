# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One arm's control loop as the action node runs it: in real time or in lockstep. No ROS, no torch.

Real time: `tick` once per period of the monotonic clock. Lockstep: `answer` gives one command per
joint_states, once the plan that is due has come; times are the stamps.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from vw2_ros.control.loop import Command, ControlConfig, ControlLoop
from vw2_ros.control.safety import FrozenCamera, Limits, TickClock
from vw2_ros.messages.plan import instruction_id
from vw2_ros.nodes.health import ERROR, OK, WARN

_LEVELS = {'waiting': WARN, 'moving': OK, 'holding': ERROR, 'stopped': ERROR}


@dataclass(frozen=True)
class ArmConfig:
    """How plans are followed."""

    lockstep: bool = False
    execute: int = 8  # lockstep: actions of a plan until the next one
    blend: int = 3
    max_plan_age_s: float = 0.25
    watch_camera: bool = True
    velocity: bool = False  # see ControlConfig
    command_delay_s: float = 0.0

    def control(self, limits: Limits) -> ControlConfig:
        """The control loop's part of it."""
        if self.lockstep:
            return ControlConfig.lockstep(limits, self.execute)
        return ControlConfig(
            execute=self.execute,
            blend=self.blend,
            max_plan_age_s=self.max_plan_age_s,
            watch_camera=self.watch_camera,
            velocity=self.velocity,
            command_delay_s=self.command_delay_s,
        )


class Arm:
    """The loop, the clock that it runs by, and the account of both."""

    def __init__(self, limits: Limits, config: ArmConfig):
        self.limits, self.config = limits, config
        self.clock = TickClock(limits.period_s)
        self.latency_ms = deque(maxlen=1000)  # stamp of an image -> first command of its plan
        self.instruction: str | None = None  # None: nobody said, plans for any are followed
        self.loop: ControlLoop | None = None
        self.restart()

    def restart(self) -> None:
        """Forget plan and target; begin at the joints that come next. A stop outlasts it."""
        before, self.loop = self.loop, ControlLoop(self.limits, self.config.control(self.limits))
        if before is not None and before.stop_reason:
            self.loop.stop(before.stop_reason)
        self.frozen = FrozenCamera(self.limits.frozen_frames)
        self.command: Command | None = None
        self._joints = self._planned_ns = self._answered_ns = self._followed_ns = None
        if self.instruction is not None:
            self.instruct(self.instruction)

    def instruct(self, text: str, *, again: bool = False) -> None:
        """Plans for another instruction are void from now on; `again`: also those for this one."""
        self.instruction = text
        self.loop.set_instruction(instruction_id(text))
        if again:
            self.loop.drop_plan()

    def rearm(self, now_s: float) -> str:
        """Undo a stop; '' or why not. In lockstep the newest joints are the present ones."""
        if self.config.lockstep and self._joints is not None:
            now_s = self._joints.stamp_ns * 1e-9
        return self.loop.rearm(now_s)

    def see_image(self, data, age_s: float, now_s: float) -> None:
        """Take note of a camera image: bytes or array, and how old it is."""
        self.loop.see_image(now_s, age_s)
        self.loop.camera_frozen = self.frozen.see(data)

    def accept(self, part, actions, observed_s: float, now_s: float) -> str:
        """Take the actions (16, 7) of a plan; '' if they are followed, else why not.

        Args:
            part: `plan_message.PlanPart` that they were made from.
            observed_s: monotonic time of the image behind it; not used in lockstep.
        """
        if self.config.lockstep:
            now_s = observed_s = part.stamp_ns * 1e-9
        dropped = self.loop.accept_plan(
            part.stamp_ns,
            actions,
            now_s,
            age_s=now_s - observed_s,
            instruction_id=part.instruction_id,
        )
        if not dropped:
            self._planned_ns = part.stamp_ns
        return dropped

    def tick(self, now_s: float, now_ns: int) -> Command:
        """Real time: the command of this period; `now_ns` is the clock of the stamps."""
        self.clock.tick(now_s)
        self.command = self.loop.step(now_s)
        if self.command.plan_ns not in (None, self._followed_ns):
            self._followed_ns = self.command.plan_ns
            self.latency_ms.append((now_ns - self.command.plan_ns) * 1e-6)
        return self.command

    def answer(self, joints=None) -> tuple[Command, int] | None:
        """Lockstep: the command for the newest joints and their stamp, None while a plan is due.

        Args:
            joints: `convert.Joints` that have just come; None: something else has.
        """
        self._joints = joints = joints or self._joints
        if joints is None:
            return None
        if joints.stamp_ns != self._answered_ns:
            if self._plan_is_due(joints.stamp_ns) and self._planned_ns != joints.stamp_ns:
                return None
            self.command = self.loop.step(joints.stamp_ns * 1e-9, joints.position)
            self._answered_ns = joints.stamp_ns
        return self.command, joints.stamp_ns

    def _plan_is_due(self, stamp_ns: int) -> bool:
        if not self.loop.has_plan or self._planned_ns is None:
            return True
        return (
            stamp_ns - self._planned_ns >= (self.config.execute - 0.5) * self.limits.period_s * 1e9
        )

    def report(self) -> dict:
        """Counters and times for /diagnostics."""
        out = {
            f'plans {k}' if k in ('late', 'out_of_order', 'bad') else k: v
            for k, v in self.loop.counts.items()
        }
        out |= {
            'command jitter p99 [ms]': self.clock.jitter_ms(99),
            'deadline misses': self.clock.missed,
        }
        if self.latency_ms:
            out |= {
                f'image to command p{p} [ms]': float(np.percentile(self.latency_ms, p))
                for p in (50, 99)
            }
            out['image to command plans'] = len(self.latency_ms)
        return out

    def verdict(self) -> tuple[int, str]:
        """Level and text for /diagnostics."""
        if self.command is None:
            return WARN, 'no command yet'
        level = _LEVELS[self.command.status]
        if self.config.lockstep and self.command.status != 'stopped':
            level = OK
        reasons = '; '.join(self.command.reasons)
        return level, f'{self.command.status}: {reasons}' if level != OK else self.command.status
