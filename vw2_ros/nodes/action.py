# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Hidden states of a plan -> actions -> joint commands at 30 Hz, through the safety gate.

The command timer never waits for the model: the action head runs in a worker thread.

    ros2 run vw2_ros action_node --ros-args -p output:=positions

The way of a plan and of a command, call by call:

    ActionNode._on_plan     executor's thread: message -> hidden states and their age
    -> ActionNode.work      worker thread
    -> Policy.actions       models/policy.py: hidden states -> chunk of actions
    -> ActionHead.forward   models/action_head.py: the maths

    ActionNode._tick        timer: stamp, step, publish
    -> RealTime.step        control/clock.py: in time?
    -> ControlLoop.step     control/loop.py: observe, plan, act, gate
    -> gate                 control/safety.py: the maths

In lockstep `_answer` and `Lockstep.step` stand for `_tick` and `RealTime.step`.
"""

import os
from collections import deque
from dataclasses import dataclass, replace

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.arms.limits import Limits
from vw2_ros.control.clock import Lockstep, RealTime
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
from vw2_ros.control.safety import age_of_stamp
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import config_file
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.messages.outputs import KINDS, Output
from vw2_ros.nodes.health import verdict
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.model import ModelConfig, ModelNode
from vw2_ros.nodes.parameters import parameter
from vw2_ros.nodes.process import run
from vw2_ros.nodes.weights import Follower, label

_ARM = open_arm()  # its names are the defaults


@dataclass(frozen=True)
class Config(ModelConfig):
    """Parameters of the action node; those of the loop have `ControlConfig`'s defaults."""

    weights: str = parameter(
        ModelConfig.weights,
        "shipped weights by name, or a model folder; the planner's `load_weights` changes them",
        dynamic=True,
    )
    limits: str = parameter(
        'limits.yaml',
        "limits of the robot: a file, or the name of one of this package's config/; there is no "
        'start without',
    )
    lockstep: bool = parameter(
        ControlConfig.lockstep, 'one command for each joint_states, plans awaited'
    )
    execute: int = parameter(
        ControlConfig.execute, 'lockstep: actions of a plan until the next one', low=1
    )
    max_plan_age_s: float = parameter(
        ControlConfig.max_plan_age_s, 'an older image moves nothing [s]', low=0.01, high=10.0
    )
    blend: int = parameter(
        ControlConfig.blend, 'periods over which a new plan replaces the old one', low=0
    )
    command_delay_s: float = parameter(
        ControlConfig.command_delay_s,
        'real time: until the arm follows a command [s]; plans are entered where they will be then',
        low=-0.1,
        high=0.5,
    )
    watch_camera: bool = parameter(
        ControlConfig.watch_camera, 'real time: hold as soon as the camera is silent or frozen'
    )
    output: str = parameter(
        'trajectory', f'form of the commands: {", ".join(KINDS)}; twist moves the arm only'
    )
    finger_joint: str = parameter(
        _ARM.finger_joints[0],
        "gripper joint in the commands; '': the arm only, and the gripper [m] on gripper_command",
    )
    finger_open_m: float = parameter(
        _ARM.finger_open_m, 'position of the gripper joint when open [m]', low=0.0, high=1.0
    )
    frame_id: str = parameter(_ARM.base_frame, 'frame of the commands')
    instruction: str = parameter(
        '', 'plans for another one are dropped; also a topic', dynamic=True
    )

    def control(self, chunk: int | None = None) -> ControlConfig:
        """Return the control loop's part of it, for a policy whose plans have `chunk` actions."""
        return ControlConfig(
            lockstep=self.lockstep,
            execute=self.execute,
            blend=self.blend,
            max_plan_age_s=self.max_plan_age_s,
            watch_camera=self.watch_camera,
            command_delay_s=self.command_delay_s,
            velocity=self.output == 'twist',
            chunk=chunk,
        )


class ActionNode(ModelNode):
    """Hands newest joints, image and plan to the control loop; a timer steps it."""

    Config = Config

    def __init__(self, **options):
        super().__init__('action', **options)
        self.loop = self.clock = self.guard = self.follower = None
        self.held = ''  # why no plan is followed
        self.instruction: str | None = None  # None: nobody said, plans for any are followed

    def parameters_set(self, values):
        """Take `instruction`; a plan for the one before is void even if it is the same."""
        if 'weights' in values and self.model is not None:
            if values['weights'] != self.config.weights:
                raise InvalidValueError(
                    f'weights: the planner leads; set them there and call {names.LOAD_WEIGHTS}'
                )
        if 'instruction' in values and self.loop is not None:
            self.instruct(values['instruction'], again=True)

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        own = '/' in c.limits or os.path.isfile(c.limits)
        file = c.limits if own else config_file(c.limits)
        self.limits = Limits.from_yaml(file)
        self.get_logger().info(f'limits from {os.path.abspath(file)}')
        before, self.loop = self.loop, ControlLoop(self.limits, c.control())
        self.clock = self._new_clock()
        if before is not None and before.stop_reason:
            self.loop.stop(before.stop_reason)
        if self.instruction is None:
            self.instruction = self.get_parameter('instruction').value or None
        if self.instruction is not None:
            self.instruct(self.instruction)
        joints, period_s = self.limits.joints, self.limits.period_s
        self.output = Output(
            c.output, joints, c.finger_joint, c.finger_open_m, c.frame_id, period_s
        )
        self.commands = self.advertise(*KINDS[c.output], qos.reliable(1))
        self.gripper, by_itself = None, (Float64MultiArray, names.GRIPPER_COMMAND)
        if not c.finger_joint:
            self.gripper = self.advertise(*by_itself, qos.reliable(1))
        self.serve(Trigger, names.STOP, self.stop)
        self.serve(Trigger, names.REARM, self.rearm)
        self.serve(Trigger, names.RESTART, self.restart)
        self.begin_loading()

    @transition
    def on_activate(self):
        c, policy = self.config, self.wait_for_model()
        self.chunks = deque()  # from the worker's thread to the executor's
        self.guard = self.create_guard_condition(self._take_chunks)
        self.held = ''
        self.follower = Follower(self, self.load_policy, self.take_policy, self.hold)
        self.health.set('weights', label(policy))
        self.loop.restart(c.control(policy.chunk))
        self.clock = self._new_clock()
        self._look_for_others()
        self.every(0.5, self._look_for_others)
        self.subscribe(String, names.INSTRUCTION, lambda m: self.instruct(m.data), qos.latched())
        self.subscribe(Image, names.PLAN_HIDDEN, self._on_plan, qos.reliable(1))
        profile = qos.reliable() if c.lockstep else qos.newest()
        self.subscribe(JointState, names.JOINT_STATES, self._on_joints, profile)
        if not c.lockstep:
            if c.watch_camera:
                self.subscribe(Image, names.IMAGE, self._on_image, qos.newest())
            self.every(self.limits.period_s, self._tick)
            self.beat()

    def halt(self):
        """End the worker and what wakes the executor."""
        super().halt()
        if self.guard is not None:
            self.destroy_guard_condition(self.guard)
            self.follower.close()
        self.guard = self.follower = None

    def load(self):
        return self.load_policy(self.config.weights)

    def load_policy(self, weights: str):
        """Load and warm up a policy; in the worker thread."""
        from vw2_ros.models.policy import Policy  # seconds of import: only where it is used

        c = self.config
        policy = Policy.load(weights, threads=c.threads, device=c.device)
        policy.warm_up()
        c.control(policy.chunk)  # refuses a chunk that is shorter than `execute`
        return policy

    def take_policy(self, policy, weights: str) -> None:
        """Follow plans of another policy only."""
        self.take_model(policy)
        self.config = replace(self.config, weights=weights)
        self.loop.config = replace(self.loop.config, chunk=policy.chunk)
        self.set_parameters([Parameter('weights', value=weights)])
        self.health.set('weights', label(policy))
        self.get_logger().info(f'weights: {label(policy)}')

    def hold(self, why: str) -> None:
        """Drop the plan and follow none until the reason is ''."""
        self.loop.drop_plan()
        self.held = why

    def instruct(self, text: str, *, again: bool = False) -> None:
        """Follow plans for this instruction only; `again`: also those for it are void."""
        self.instruction = text
        self.loop.instruct(plan_message.instruction_id(text), again=again)

    def _new_clock(self) -> Lockstep | RealTime:
        return Lockstep(self.loop) if self.config.lockstep else RealTime(self.loop)

    def _look_for_others(self) -> None:
        topic, self.others = self.commands.topic_name, ''
        others = self.count_publishers(topic) - 1
        if others > 0:
            self.loop.drop_plan()
            self.others = (
                f'{others} other publisher(s) on {topic}: the arm holds until they are gone'
            )

    # -- services

    def stop(self) -> str:
        """Stop from the next tick on, until re-armed."""
        self.loop.stop()
        return 'stopped; call rearm to go on'

    def rearm(self) -> str:
        """Undo a stop."""
        reason = self.loop.rearm(self.clock.now_s(self.now_s()))
        if reason:
            raise InvalidValueError(reason)
        return 'armed; the arm holds until the next plan'

    def restart(self) -> str:
        """Forget plan and target; begin at the joints that come next. A stop outlasts it."""
        self.clock.restart()
        reason = self.loop.stop_reason
        if reason:
            return f'still stopped ({reason}); call rearm to go on'
        return f'waiting for {names.JOINT_STATES}'

    # -- input

    def _on_joints(self, msg) -> None:
        joints = convert.joints_from_message(msg, self.limits.joints)
        if self.config.lockstep:
            return self._answer(joints)
        age_s = age_of_stamp(joints.stamp_ns, self.now_ns(), self.limits)
        self.loop.see_joints(joints.position, self.now_s() - age_s)

    def _on_image(self, msg) -> None:
        # a silent or frozen camera stops the arm, however long the plan would go on
        age_s = age_of_stamp(convert.stamp_to_ns(msg.header.stamp), self.now_ns(), self.limits)
        self.loop.see_image(msg.data, self.now_s(), age_s)

    def _on_plan(self, msg) -> None:
        part = plan_message.hidden_from_message(msg)
        if self.config.lockstep:
            observed_s = part.stamp_ns * 1e-9
        else:
            age_s = age_of_stamp(part.stamp_ns, self.now_ns(), self.limits)
            observed_s = self.now_s() - age_s
        self.worker.submit((part, observed_s))

    def work(self, policy, item):
        part, observed_s = item
        if part.weights != policy.sha256:  # another policy's hidden states mean something else
            raise InvalidValueError(
                f'plan must be of the weights {label(policy)}, as the action head. Got '
                f'{part.weights[:12]}. Call {names.LOAD_WEIGHTS}, which brings both the same ones.'
            )
        actions = policy.actions(part.values)
        self.chunks.append(Chunk(part.stamp_ns, actions, observed_s, part.instruction_id))
        self.guard.trigger()

    def _take_chunks(self) -> None:
        while self.chunks:
            chunk = self.chunks.popleft()
            # in a world that waits nothing gets older
            now_s = chunk.observed_s if self.config.lockstep else self.now_s()
            dropped = self.others or self.held or self.loop.accept(chunk, now_s)
            if dropped:
                self.refuse('plan', dropped)
        if self.config.lockstep:
            self._answer()

    # -- output

    def _tick(self) -> None:
        stamp_ns = self.now_ns()
        self._publish(self.clock.step(self.now_s()), stamp_ns)

    def _answer(self, joints=None) -> None:
        answer = self.clock.step(joints)
        if answer is not None:
            self._publish(*answer)

    def _publish(self, command, stamp_ns: int) -> None:
        if command.joints is not None:
            self.commands.publish(self.output.message(command, stamp_ns))
            if self.gripper is not None:
                self.gripper.publish(self.output.gripper(command))
            self.health.tick('command', self.now_s())

    def assess(self, now_s):
        """Show the loop's and the clock's account; judge the last command."""
        for name, value in (self.loop.report() | self.clock.report()).items():
            self.health.set(name, value)
        self.health.set('skipped plans', self.worker.inbox.skipped)
        level, text = verdict(self.loop.command, self.config.lockstep)
        if self.loop.stop_reason:
            text += f'; call {self.resolve_service_name(names.REARM)} when it may move again'
        return level, text


def main(args=None):
    """Run the action node."""
    run(ActionNode, args)


if __name__ == '__main__':
    main()
