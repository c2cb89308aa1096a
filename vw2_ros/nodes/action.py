# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Hidden states of a plan -> actions -> joint commands at the arm's rate, through the safety gate.

The command timer never waits for the model: the action head runs in a worker thread.

    ros2 run vw2_ros action_node --ros-args -p contract:=my_arm.yaml

The way of a plan and of a command, call by call:

    ActionNode._on_plan     executor's thread: message -> hidden states and their age
    -> ActionNode.work      worker thread
    -> Policy.actions       models/policy.py: hidden states -> chunk of actions
    -> ActionHead.forward   models/action_head.py: the maths

    ActionNode._tick        timer: stamp, step, publish
    -> RealTime.step        control/clock.py: in time?
    -> ControlLoop.step     control/loop.py: observe, plan, act, gate
    -> gate                 control/safety.py: the maths

An operator's motion comes by `nodes/teleop.py`, and is a chunk from `ControlLoop.take_over` on.

In lockstep `_answer` and `Lockstep.step` stand for `_tick` and `RealTime.step`.
"""

from collections import deque
from dataclasses import replace

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.control.clock import Lockstep, RealTime
from vw2_ros.control.loop import Chunk, ControlLoop
from vw2_ros.control.safety import age_of_stamp
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.action_config import ActionConfig, refuse_gone
from vw2_ros.nodes.arming import Arming
from vw2_ros.nodes.description import load_contract
from vw2_ros.nodes.dry_run import DryRun
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.model import ModelNode
from vw2_ros.nodes.process import run
from vw2_ros.nodes.teleop import Teleop
from vw2_ros.nodes.weights import Follower, label
from vw2_ros.serving.remote import open_policy


class ActionNode(ModelNode):
    """Hands newest joints, image and plan to the control loop; a timer steps it."""

    Config = ActionConfig

    def __init__(self, **options):
        super().__init__('action', **options)
        self.loop = self.clock = self.guard = self.follower = self.arming = self.dry = None
        self.teleop: Teleop | None = None  # in a world that does not wait
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
        refuse_gone(self._parameter_overrides)
        self.config = c = self.read_config()
        self.contract = load_contract(self, c.contract)
        self.limits = self.contract.limits
        self.get_logger().info(f'contract {self.contract.file}')
        self.health.set('contract', f'{self.contract.name} {self.contract.sha256[:12]}')
        before, self.loop = self.loop, ControlLoop(self.contract, c.control(self.contract))
        self.clock = self._new_clock()
        if before is not None and before.stop_reason:
            self.loop.stop(before.stop_reason)
        if self.instruction is None:
            self.instruction = self.get_parameter('instruction').value or None
        if self.instruction is None and self.contract.disarmed_at_start:
            self.instruction = ''  # a robot does nothing that nobody asked for
        if self.instruction is not None:
            self.instruct(self.instruction)
        self.arming = Arming(self)
        self.serve(Trigger, names.RESTART, self.restart)
        self.begin_loading()

    @transition
    def on_activate(self):
        c, contract, policy = self.config, self.contract, self.wait_for_model()
        self.chunks = deque()  # from the worker's thread to the executor's
        self.guard = self.create_guard_condition(self._take_chunks)
        self.follower = Follower(self, self.load_policy, self.take_policy, self.arming.hold)
        self.health.set('weights', label(policy))
        self.loop.restart(c.control(contract, policy.chunk))
        self.clock = self._new_clock()
        self.subscribe(String, names.INSTRUCTION, lambda m: self.instruct(m.data), qos.latched())
        self.subscribe(Image, names.PLAN_HIDDEN, self._on_plan, qos.reliable(1))
        self.arming.begin(self._on_joints)
        self.dry = DryRun(self) if c.dry_run else None
        if not c.lockstep:
            if c.watch_camera:
                self.subscribe(Image, names.IMAGE, self._on_image, qos.newest())
            self.teleop = Teleop(self)
            self.every(self.limits.period_s, self._tick)
            self.beat()

    def halt(self):
        """End the worker, the link to the arm and what wakes the executor."""
        super().halt()
        if self.guard is not None:
            self.destroy_guard_condition(self.guard)
            self.guard = None
        for made in (self.follower, self.arming, self.dry):
            if made is not None:
                made.end()
        self.follower = self.dry = self.teleop = None

    def load(self):
        return self.load_policy(self.config.weights)

    def load_policy(self, weights: str):
        """Load and warm up a policy; in the worker thread."""
        c = self.config
        policy = open_policy(weights, deadline_s=c.deadline_s, threads=c.threads, device=c.device)
        robot = self.contract.disarmed_at_start
        policy.check_action_frame(self.contract.action_frame, must_say=robot)
        policy.warm_up()
        c.control(self.contract, policy.chunk)  # refuses a chunk that is shorter than `execute`
        return policy

    def take_policy(self, policy, weights: str) -> None:
        """Follow plans of another policy only."""
        self.take_model(policy)
        self.config = replace(self.config, weights=weights)
        self.loop.config = replace(self.loop.config, chunk=policy.chunk)
        self.set_parameters([Parameter('weights', value=weights)])
        self.health.set('weights', label(policy))
        self.get_logger().info(f'weights: {label(policy)}')
        self.arming.note('swap', label(policy), weights=policy.sha256)

    def instruct(self, text: str, *, again: bool = False) -> None:
        """Follow plans for this instruction only; `again`: also those for it are void."""
        self.instruction = text
        # '' is idle; in lockstep the world asks for every command
        wanted = text.strip() or self.config.lockstep
        self.loop.instruct(plan_message.instruction_id(text) if wanted else '', again=again)

    def _new_clock(self) -> Lockstep | RealTime:
        return Lockstep(self.loop) if self.config.lockstep else RealTime(self.loop)

    def restart(self) -> str:
        """Forget plan and target; begin at the joints that come next. A stop outlasts it."""
        self.clock.restart()
        self.arming.restarted()
        reason = self.loop.stop_reason
        if reason:
            return f'still stopped ({reason}); call rearm to go on'
        return f'waiting for {names.JOINT_STATES}'

    # -- input

    def _on_joints(self, joints) -> None:
        if self.config.lockstep:
            return self._answer(joints)
        if self.dry is not None:
            self.dry.joints = joints.position
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
            if self.dry is not None:
                self.dry.see(chunk)
            # in a world that waits nothing gets older
            now_s = chunk.observed_s if self.config.lockstep else self.now_s()
            dropped = self.arming.held or self.loop.accept(chunk, now_s)
            if dropped and not self.loop.takeover.active:  # then all are, and it is counted
                self.refuse('plan', dropped)
        if self.config.lockstep:
            self._answer()

    # -- output

    def _tick(self) -> None:
        stamp_ns, now_s = self.now_ns(), self.now_s()
        self.arming.look(now_s)
        self._publish(self.clock.step(now_s), stamp_ns)
        self.teleop.tell(now_s)

    def _answer(self, joints=None) -> None:
        answer = self.clock.step(joints)
        if answer is not None:
            self._publish(*answer)

    def _publish(self, command, stamp_ns: int) -> None:
        if self.arming.send(command, stamp_ns):
            self.health.tick('command', self.now_s())

    def assess(self, now_s):
        """Show the loop's and the clock's account; judge the last command."""
        for name, value in (self.loop.report() | self.clock.report()).items():
            self.health.set(name, value)
        self.health.set('skipped plans', self.worker.inbox.skipped)
        level, text = self.arming.assess(now_s)
        return level, f'dry run, nothing is commanded; {text}' if self.config.dry_run else text


def main(args=None):
    """Run the action node."""
    run(ActionNode, args)


if __name__ == '__main__':
    main()
