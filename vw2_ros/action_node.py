# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Hidden states of a plan -> actions -> joint commands at 30 Hz, through the safety gate.

The command timer never waits for the model: the action head runs in a worker thread.

    ros2 run vw2_ros action_node --ros-args -p output:=positions
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from . import convert, plan_message, topics
from .control_loop import ControlConfig, ControlLoop
from .health import ERROR, WARN
from .node_base import BaseConfig, NodeBase, parameter, run, transition
from .outputs import KINDS, Output
from .paths import config_file
from .safety import FrozenCamera, Limits, TickClock, age_of_stamp
from .worker import Worker


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the action node."""

    weights: str = parameter('play_table', 'shipped weights by name, or a model folder')
    threads: int = parameter(1, 'CPU threads of the model', low=1, high=64)
    limits: str = parameter('limits.yaml', 'limits of the robot: a file, or the name of one in '
                            'config/; there is no start without')
    lockstep: bool = parameter(False, 'one command for each joint_states, plans awaited')
    execute: int = parameter(8, 'lockstep: actions of a plan until the next one', low=1, high=16)
    max_plan_age_s: float = parameter(0.25, 'an older image behind the plan moves nothing [s]',
                                      low=0.01, high=10.0)
    blend: int = parameter(3, 'periods over which a new plan replaces the old one', low=0, high=16)
    watch_camera: bool = parameter(True, 'real time: hold as soon as the camera is silent or '
                                   'frozen, whatever is planned')
    output: str = parameter('trajectory', f'form of the commands: {", ".join(KINDS)}')
    finger_joint: str = parameter('panda_finger_joint1', 'gripper joint in the commands')
    finger_open_m: float = parameter(0.04, 'its position when open', low=0.0, high=1.0)
    frame_id: str = parameter('panda_link0', 'frame of the commands')
    instruction: str = parameter('', 'plans for another one are dropped; also a topic',
                                 dynamic=True)


class ActionNode(NodeBase):
    """Stores the newest joints and plan; a timer steps the control loop."""

    Config = Config

    def __init__(self, **options):
        super().__init__('action', **options)
        self.loop = self.worker = self.joints = None

    def parameters_set(self, values):
        if 'instruction' in values:
            self.set_instruction(values['instruction'])
            if self.loop is not None:
                self.loop.drop_plan()  # also if it is the same once more

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        path = c.limits if '/' in c.limits else config_file(c.limits)
        self.limits = Limits.from_yaml(path)
        self.output = Output(c.output, (*self.limits.joints, c.finger_joint), c.finger_open_m,
                             c.frame_id, self.limits.period_s)
        kind, topic = KINDS[c.output]
        self.commands = self.advertise(kind, topic, topics.reliable(1))
        self.serve(Trigger, topics.STOP, self.stop)
        self.serve(Trigger, topics.REARM, self.rearm)
        self.serve(Trigger, topics.RESTART, self.restart)

    @transition
    def on_activate(self):
        c = self.config
        self.plans = deque()  # from the worker's thread to the executor's
        self.planned_ns = self.answered = self.followed_ns = None
        self.latency_ms = deque(maxlen=1000)  # image stamp to the first command of its plan
        self.clock = TickClock(self.limits.period_s)
        self.guard = self.create_guard_condition(self._take_plans)
        self.worker = Worker(self._load, self._act, lambda e: self.refuse('plan', e), 'head')
        self.restart()
        self.set_instruction(self.get_parameter('instruction').value)
        self.subscribe(String, topics.INSTRUCTION, lambda m: self.set_instruction(m.data),
                       topics.latched())
        self.subscribe(Image, topics.PLAN_HIDDEN, self._on_plan, topics.reliable(1))
        self.subscribe(JointState, topics.JOINT_STATES, self._on_joints,
                       topics.reliable() if c.lockstep else topics.newest())
        if not c.lockstep and c.watch_camera:
            self.subscribe(Image, topics.IMAGE, self._on_image, topics.newest())
        if not c.lockstep:
            self.every(self.limits.period_s, self._tick)

    def halt(self):
        if self.worker is not None:
            self.worker.close()
            self.destroy_guard_condition(self.guard)
        self.worker = self.loop = None

    def _load(self):
        from vw2_ros.models.policy import Policy  # seconds of import: only where it is used

        policy = Policy.load(self.config.weights, threads=self.config.threads)
        policy.warm_up()
        return policy

    # -- services

    def set_instruction(self, text: str) -> None:
        """The plan for another instruction is void from now on."""
        if self.loop is not None:
            self.loop.set_instruction(plan_message.instruction_id(text) if text.strip() else None)

    def stop(self) -> str:
        """Stop from the next tick on, until re-armed."""
        self._running().stop()
        return 'stopped; call rearm to go on'

    def rearm(self) -> str:
        """Undo a stop."""
        reason = self._running().rearm()
        if reason:
            raise ValueError(reason)
        return 'armed; the arm holds until the next plan'

    def restart(self) -> str:
        """Forget plan, target and latch; begin at the joints that come next."""
        if self.worker is None:
            raise ValueError('the node is not active')
        c = self.config
        self.loop = ControlLoop(self.limits, ControlConfig.lockstep(self.limits, c.execute)
                                if c.lockstep else
                                ControlConfig(execute=c.execute, blend=c.blend,
                                              max_plan_age_s=c.max_plan_age_s,
                                              watch_camera=c.watch_camera))
        self.frozen = FrozenCamera(self.limits.frozen_frames)
        self.set_instruction(self.get_parameter('instruction').value)
        self.joints = self.planned_ns = self.command = None
        return 'waiting for joint_states'

    def _running(self) -> ControlLoop:
        if self.loop is None:
            raise ValueError('the node is not active')
        return self.loop

    # -- input

    def _on_joints(self, msg) -> None:
        joints = convert.joints_from_message(msg, self.limits.joints)
        if self.config.lockstep:
            self.joints = joints
            return self._answer()
        age_of_stamp(joints.stamp_ns, self.now_ns(), self.limits)  # refuses a future one
        self.loop.see_joints(joints.position, self.now_s())

    def _on_image(self, msg) -> None:
        # a silent or frozen camera stops the arm, however long the plan would go on
        age_s = age_of_stamp(convert.stamp_to_ns(msg.header.stamp), self.now_ns(), self.limits)
        self.loop.see_image(self.now_s(), age_s)
        self.loop.camera_frozen = self.frozen.see(msg.data)

    def _on_plan(self, msg) -> None:
        part = plan_message.hidden_from_message(msg)
        now_s, age_s = self.now_s(), 0.0
        if not self.config.lockstep:
            age_s = age_of_stamp(part.stamp_ns, self.now_ns(), self.limits)
        self.worker.submit((part, now_s - age_s))

    def _act(self, policy, item) -> None:
        part, observed_s = item
        self.plans.append((part, policy.actions(part.values), observed_s))
        self.guard.trigger()

    def _take_plans(self) -> None:
        while self.plans:
            part, actions, observed_s = self.plans.popleft()
            now_s = self.now_s()
            if self.config.lockstep:
                now_s = observed_s = part.stamp_ns * 1e-9
            dropped = self.loop.accept_plan(part.stamp_ns, actions, now_s,
                                            age_s=now_s - observed_s,
                                            instruction_id=part.instruction_id)
            if dropped:
                self.refuse('plan', dropped)
                continue
            self.planned_ns = part.stamp_ns
            self.health.set('image to actions [ms]', (now_s - observed_s) * 1e3)
        if self.config.lockstep:
            self._answer()

    # -- output

    def _tick(self) -> None:
        now_s = self.now_s()
        self.clock.tick(now_s)
        self.command = self.loop.step(now_s)
        now_ns = self.now_ns()
        self._publish(now_ns)
        plan_ns = self.command.plan_ns
        if plan_ns not in (None, self.followed_ns):
            self.followed_ns = plan_ns
            self.latency_ms.append((now_ns - plan_ns) * 1e-6)

    def _answer(self) -> None:
        """Lockstep: one command per joint_states, once the plan that is due has come."""
        joints = self.joints
        if joints is None:
            return
        if joints.stamp_ns != self.answered:
            due = not self.loop.has_plan or self.planned_ns is None or \
                joints.stamp_ns - self.planned_ns >= (self.config.execute - 0.5) \
                * self.limits.period_s * 1e9
            if due and self.planned_ns != joints.stamp_ns:
                return
            self.command = self.loop.step(joints.stamp_ns * 1e-9, joints.position)
            self.answered = joints.stamp_ns
        self._publish(joints.stamp_ns)

    def _publish(self, stamp_ns: int) -> None:
        if self.command is not None and self.command.joints is not None:
            self.commands.publish(self.output.message(self.command, stamp_ns))
            self.health.tick('command', self.now_s())

    def assess(self, now_s):
        for name, number in self.loop.counts.items():
            self.health.set(f'plans {name}' if name in ('late', 'out_of_order', 'bad') else name,
                            number)
        self.health.set('command jitter p99 [ms]', self.clock.jitter_ms(99))
        self.health.set('deadline misses', self.clock.missed)
        if self.latency_ms:
            self.health.set('image to command p50 [ms]', float(np.percentile(self.latency_ms, 50)))
            self.health.set('image to command p99 [ms]', float(np.percentile(self.latency_ms, 99)))
            self.health.set('image to command plans', len(self.latency_ms))
        self.health.set('skipped plans', self.worker.inbox.skipped)
        command = self.command
        if self.config.lockstep or command is None:
            return super().assess(now_s)
        if command.status in ('holding', 'stopped'):
            return ERROR, f'{command.status}: {"; ".join(command.reasons)}'
        if command.status == 'waiting':
            return WARN, '; '.join(command.reasons)
        return super().assess(now_s)


def main(args=None):
    """Run the action node."""
    run(ActionNode, args)


if __name__ == '__main__':
    main()
