# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Hidden states of a plan -> actions -> joint commands at 30 Hz, through the safety gate.

The command timer never waits for the model: the action head runs in a worker thread.

    ros2 run vw2_ros action_node --ros-args -p output:=positions
"""

import os
from collections import deque
from dataclasses import dataclass

from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.control.arm import Arm, ArmConfig
from vw2_ros.control.safety import Limits, age_of_stamp
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import config_file
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.messages.outputs import KINDS, Output
from vw2_ros.nodes.base import BaseConfig, NodeBase, parameter, run, transition
from vw2_ros.nodes.worker import Worker

_ARM = open_arm()  # its names are the defaults


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the action node."""

    weights: str = parameter('play_table', 'shipped weights by name, or a model folder')
    threads: int = parameter(1, 'CPU threads of the model', low=1, high=64)
    limits: str = parameter(
        'limits.yaml',
        'limits of the robot: a file, or the name of one of '
        "this package's config/; there is no start without",
    )
    lockstep: bool = parameter(False, 'one command for each joint_states, plans awaited')
    execute: int = parameter(8, 'lockstep: actions of a plan until the next one', low=1, high=16)
    max_plan_age_s: float = parameter(
        0.25, 'an older image behind the plan moves nothing [s]', low=0.01, high=10.0
    )
    blend: int = parameter(3, 'periods over which a new plan replaces the old one', low=0, high=16)
    command_delay_s: float = parameter(
        0.0,
        'real time: from a command until the arm follows it '
        '[s]; the plan is entered where it will be then',
        low=-0.1,
        high=0.5,
    )
    watch_camera: bool = parameter(
        True, 'real time: hold as soon as the camera is silent or frozen, whatever is planned'
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


class ActionNode(NodeBase):
    """Stores the newest joints and plan; a timer steps the arm's control loop."""

    Config = Config

    def __init__(self, **options):
        super().__init__('action', **options)
        self.arm = self.worker = None

    def parameters_set(self, values):
        if 'instruction' in values and self.arm is not None:
            self.arm.instruct(values['instruction'], again=True)

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        own = '/' in c.limits or os.path.isfile(c.limits)
        file = c.limits if own else config_file(c.limits)
        self.limits = Limits.from_yaml(file)
        self.get_logger().info(f'limits from {os.path.abspath(file)}')
        self.arm = self._new_arm()
        self.output = Output(
            c.output,
            self.limits.joints,
            c.finger_joint,
            c.finger_open_m,
            c.frame_id,
            self.limits.period_s,
        )
        kind, topic = KINDS[c.output]
        self.commands = self.advertise(kind, topic, qos.reliable(1))
        self.gripper = (
            None
            if c.finger_joint
            else self.advertise(Float64MultiArray, names.GRIPPER_COMMAND, qos.reliable(1))
        )
        self.serve(Trigger, names.STOP, self.stop)
        self.serve(Trigger, names.REARM, self.rearm)
        self.serve(Trigger, names.RESTART, self.restart)

    @transition
    def on_activate(self):
        c = self.config
        self.plans = deque()  # from the worker's thread to the executor's
        self.guard = self.create_guard_condition(self._take_plans)
        self.worker = Worker(self._load, self._act, lambda e: self.refuse('plan', e), 'head')
        self.arm = self._new_arm()
        self.others = ''
        self._look_for_others()
        self.every(0.5, self._look_for_others)
        self.subscribe(
            String, names.INSTRUCTION, lambda m: self.arm.instruct(m.data), qos.latched()
        )
        self.subscribe(Image, names.PLAN_HIDDEN, self._on_plan, qos.reliable(1))
        self.subscribe(
            JointState,
            names.JOINT_STATES,
            self._on_joints,
            qos.reliable() if c.lockstep else qos.newest(),
        )
        if not c.lockstep:
            if c.watch_camera:
                self.subscribe(Image, names.IMAGE, self._on_image, qos.newest())
            self.every(self.limits.period_s, self._tick)

    def halt(self):
        if self.worker is not None:
            self.worker.close()
            self.destroy_guard_condition(self.guard)
        self.worker = None

    def _new_arm(self) -> Arm:
        """An arm that has seen nothing yet; stopped if the one before was, and told the same."""
        c = self.config
        arm = Arm(
            self.limits,
            ArmConfig(
                c.lockstep,
                c.execute,
                c.blend,
                c.max_plan_age_s,
                c.watch_camera,
                c.output == 'twist',
                c.command_delay_s,
            ),
        )
        told = self.get_parameter('instruction').value or None
        if self.arm is not None:
            told = self.arm.instruction
            if self.arm.loop.stop_reason:
                arm.loop.stop(self.arm.loop.stop_reason)
        if told is not None:
            arm.instruct(told)
        return arm

    def _load(self):
        from vw2_ros.models.policy import Policy  # seconds of import: only where it is used

        policy = Policy.load(self.config.weights, threads=self.config.threads)
        policy.warm_up()
        return policy

    def _look_for_others(self) -> None:
        topic = self.commands.topic_name
        others = self.count_publishers(topic) - 1
        self.others = (
            f'{others} other publisher(s) on {topic}: the arm holds until they are gone'
            if others > 0
            else ''
        )
        if self.others:
            self.arm.loop.drop_plan()

    # -- services

    def stop(self) -> str:
        """Stop from the next tick on, until re-armed."""
        self.arm.loop.stop()
        return 'stopped; call rearm to go on'

    def rearm(self) -> str:
        """Undo a stop."""
        reason = self.arm.rearm(self.now_s())
        if reason:
            raise InvalidValueError(reason)
        return 'armed; the arm holds until the next plan'

    def restart(self) -> str:
        """Forget plan and target; begin at the joints that come next. A stop outlasts it."""
        self.arm.restart()
        reason = self.arm.loop.stop_reason
        return (
            f'still stopped ({reason}); call rearm to go on'
            if reason
            else 'waiting for joint_states'
        )

    # -- input

    def _on_joints(self, msg) -> None:
        joints = convert.joints_from_message(msg, self.limits.joints)
        if self.config.lockstep:
            return self._answer(joints)
        age_s = age_of_stamp(joints.stamp_ns, self.now_ns(), self.limits)
        self.arm.loop.see_joints(joints.position, self.now_s() - age_s)

    def _on_image(self, msg) -> None:
        # a silent or frozen camera stops the arm, however long the plan would go on
        age_s = age_of_stamp(convert.stamp_to_ns(msg.header.stamp), self.now_ns(), self.limits)
        self.arm.see_image(msg.data, age_s, self.now_s())

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
            plan = self.plans.popleft()
            dropped = self.others or self.arm.accept(*plan, self.now_s())
            if dropped:
                self.refuse('plan', dropped)
        if self.config.lockstep:
            self._answer()

    # -- output

    def _tick(self) -> None:
        stamp_ns = self.now_ns()
        self._publish(self.arm.tick(self.now_s(), stamp_ns), stamp_ns)

    def _answer(self, joints=None) -> None:
        answer = self.arm.answer(joints)
        if answer is not None:
            self._publish(*answer)

    def _publish(self, command, stamp_ns: int) -> None:
        if command.joints is not None:
            self.commands.publish(self.output.message(command, stamp_ns))
            if self.gripper is not None:
                self.gripper.publish(self.output.gripper(command))
            self.health.tick('command', self.now_s())

    def assess(self, now_s):
        for name, value in self.arm.report().items():
            self.health.set(name, value)
        self.health.set('skipped plans', self.worker.inbox.skipped)
        level, text = self.arm.verdict()
        if self.arm.loop.stop_reason:
            text += f'; call {self.resolve_service_name(names.REARM)} when it may move again'
        return level, text


def main(args=None):
    """Run the action node."""
    run(ActionNode, args)


if __name__ == '__main__':
    main()
