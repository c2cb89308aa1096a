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

In lockstep `_answer` and `Lockstep.step` stand for `_tick` and `RealTime.step`.
"""

from collections import deque
from dataclasses import dataclass, replace

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.arms.contract import Contract
from vw2_ros.control.clock import Lockstep, RealTime
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
from vw2_ros.control.safety import DISARMED, age_of_stamp
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.arm_link import ArmLink
from vw2_ros.nodes.description import load_contract
from vw2_ros.nodes.events import EventLog
from vw2_ros.nodes.health import ERROR, WARN, verdict
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.model import ModelConfig, ModelNode
from vw2_ros.nodes.operator import DEADMEN, Operator
from vw2_ros.nodes.parameters import parameter
from vw2_ros.nodes.process import run
from vw2_ros.nodes.weights import Follower, label

# parameters of earlier versions, which the contract has now
GONE = ('limits', 'output', 'finger_joint', 'finger_open_m', 'frame_id')


@dataclass(frozen=True)
class Config(ModelConfig):
    """Parameters of the action node; those of the loop have `ControlConfig`'s defaults."""

    weights: str = parameter(
        ModelConfig.weights,
        "shipped weights by name, or a model folder; the planner's `load_weights` changes them",
        dynamic=True,
    )
    contract: str = parameter(
        'panda',
        "the robot, its limits and its topics: a file, or a name of this package's config/arms/",
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
    deadman: str = parameter(
        '', "'': none; enable: a Bool on that topic must be true; joy: a button must be down"
    )
    deadman_button: int = parameter(0, 'which of the joystick', low=0, high=255)
    instruction: str = parameter(
        '', 'plans for another one are dropped; also a topic', dynamic=True
    )

    def __post_init__(self):
        if self.deadman not in DEADMEN:
            raise InvalidValueError(
                f'deadman must be one of {", ".join(map(repr, DEADMEN))}. Got {self.deadman!r}.'
            )

    def control(self, contract: Contract, chunk: int | None = None) -> ControlConfig:
        """Return the control loop's part of it, for a policy whose plans have `chunk` actions."""
        return ControlConfig(
            lockstep=self.lockstep,
            execute=self.execute,
            blend=self.blend,
            max_plan_age_s=self.max_plan_age_s,
            watch_camera=self.watch_camera,
            command_delay_s=self.command_delay_s,
            velocity=contract.command.form == 'twist',
            chunk=chunk,
        )


class ActionNode(ModelNode):
    """Hands newest joints, image and plan to the control loop; a timer steps it."""

    Config = Config

    def __init__(self, **options):
        super().__init__('action', **options)
        self.loop = self.clock = self.guard = self.follower = self.link = self.log = None
        self.holds: dict[str, str] = {}  # who -> why no plan is followed
        self.noted = ''  # reason of the last stop that is in the log of events
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
        gone = [name for name in GONE if name in self._parameter_overrides]
        if gone:
            raise InvalidValueError(
                f'{", ".join(gone)}: the contract says it now. Write contract:=FILE instead, a copy '
                'of one in config/arms/; docs/contract.md has its keys.'
            )
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
        self.serve(Trigger, names.STOP, self.stop)
        self.serve(Trigger, names.REARM, self.rearm)
        self.serve(Trigger, names.RELEASE, self.release)
        self.serve(Trigger, names.RESTART, self.restart)
        self.begin_loading()

    @transition
    def on_activate(self):
        c, contract, policy = self.config, self.contract, self.wait_for_model()
        self.chunks = deque()  # from the worker's thread to the executor's
        self.guard = self.create_guard_condition(self._take_chunks)
        self.holds.clear()
        self.log = (
            EventLog(
                self.get_fully_qualified_name(), limits=contract.sha256, weights=policy.sha256
            )
            if contract.disarmed_at_start
            else None
        )
        self.follower = Follower(self, self.load_policy, self.take_policy, self.hold)
        self.health.set('weights', label(policy))
        self.loop.restart(c.control(contract, policy.chunk))
        self.clock = self._new_clock()
        self.subscribe(String, names.INSTRUCTION, lambda m: self.instruct(m.data), qos.latched())
        self.subscribe(Image, names.PLAN_HIDDEN, self._on_plan, qos.reliable(1))
        self.operator = Operator(self, c.deadman, c.deadman_button, self._stop)
        self.link = ArmLink(self, contract, c.lockstep, self._on_joints, self._on_other)
        self.note('start', contract.name)
        if contract.disarmed_at_start:
            rearm = self.resolve_service_name(names.REARM)
            self.get_logger().warning(f'disarmed: nothing moves before {rearm} is called')
        else:
            self._open()
        if not c.lockstep:
            if c.watch_camera:
                self.subscribe(Image, names.IMAGE, self._on_image, qos.newest())
            self.every(self.limits.period_s, self._tick)
            self.beat()

    def halt(self):
        """End the worker, the link to the arm and what wakes the executor."""
        super().halt()
        if self.guard is not None:
            self.destroy_guard_condition(self.guard)
            self.guard = None
        for made in (self.follower, self.link):
            if made is not None:
                made.close()
        if self.log is not None:
            self.note('end')
            self.log.close()
        self.follower = self.link = self.log = None

    def load(self):
        return self.load_policy(self.config.weights)

    def load_policy(self, weights: str):
        """Load and warm up a policy; in the worker thread."""
        from vw2_ros.models.policy import Policy  # seconds of import: only where it is used

        c = self.config
        policy = Policy.load(weights, threads=c.threads, device=c.device)
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
        if self.log is not None:
            self.log.facts['weights'] = policy.sha256
        self.note('swap', label(policy))

    def hold(self, why: str, who: str = 'weights') -> None:
        """Drop the plan and follow none until the reason is '' for every `who`."""
        if why != self.holds.get(who, ''):
            self.loop.drop_plan()
        self.holds[who] = why

    @property
    def held(self) -> str:
        """Why no plan is followed, '' if one would be."""
        return next(filter(None, self.holds.values()), '')

    def note(self, event: str, reason: str = '') -> None:
        """Write to the log of events, where the robot is real."""
        if self.log is not None:
            self.log.write(event, reason)

    def instruct(self, text: str, *, again: bool = False) -> None:
        """Follow plans for this instruction only; `again`: also those for it are void."""
        self.instruction = text
        # '' is idle; in lockstep the world asks for every command
        wanted = text.strip() or self.config.lockstep
        self.loop.instruct(plan_message.instruction_id(text) if wanted else '', again=again)

    def _new_clock(self) -> Lockstep | RealTime:
        return Lockstep(self.loop) if self.config.lockstep else RealTime(self.loop)

    # -- services

    def stop(self) -> str:
        """Stop from the next tick on, until re-armed."""
        self._stop('asked for')
        return 'stopped; call rearm to go on'

    def _stop(self, why: str) -> None:
        self.loop.stop(why)
        self.noted = why
        self.note('stop', why)

    def rearm(self) -> str:
        """Let the arm move: undo a stop, a release or the beginning."""
        if self.link is None:
            raise InvalidValueError('the node is not active')
        if self.operator.pressed:
            raise InvalidValueError(
                f'the stop button on {self.resolve_topic_name(names.STOP)} is down: let it up first'
            )
        was_open = self.link.is_open
        self.link.open()
        self._see_finger()
        reason = self.loop.rearm(self.clock.now_s(self.now_s()))
        if reason:
            if not was_open:
                self.link.release()
            raise InvalidValueError(reason)
        return 'armed; the arm holds until the next plan'

    def release(self) -> str:
        """Let go of the arm: nothing is published until re-armed, and others may command it."""
        if self.link is None:
            raise InvalidValueError('the node is not active')
        self.loop.stop(DISARMED)
        self.link.release()
        self.note('release', 'asked for')
        return f'released {self.link.topic}; call rearm to take it again'

    def restart(self) -> str:
        """Forget plan and target; begin at the joints that come next. A stop outlasts it."""
        self.clock.restart()
        if self.contract.disarmed_at_start and self.link is not None:
            self.link.release()
        reason = self.loop.stop_reason
        if reason:
            return f'still stopped ({reason}); call rearm to go on'
        return f'waiting for {names.JOINT_STATES}'

    # -- the link to the arm

    def _open(self) -> None:
        try:
            self.link.open()
        except InvalidValueError as error:
            self._on_other(str(error))

    def _on_other(self, who: str) -> None:
        self.loop.stop(who)
        self.noted = who
        self.note('master', who)
        self.get_logger().error(f'{who}: this node is silent until it is re-armed')

    def _see_finger(self) -> None:
        # a gripper that holds something stays closed
        gripper, at = self.contract.gripper, self.link.reader.finger_position
        if at is not None and gripper.joint and self.contract.disarmed_at_start:
            self.loop.gripper = 1.0 if gripper.opening(at) > 0.5 else -1.0

    # -- input

    def _on_joints(self, joints) -> None:
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
            dropped = self.held or self.loop.accept(chunk, now_s)
            if dropped:
                self.refuse('plan', dropped)
        if self.config.lockstep:
            self._answer()

    # -- output

    def _tick(self) -> None:
        stamp_ns, now_s = self.now_ns(), self.now_s()
        self.hold(self.operator.released(now_s), 'deadman')
        self._publish(self.clock.step(now_s), stamp_ns)

    def _answer(self, joints=None) -> None:
        answer = self.clock.step(joints)
        if answer is not None:
            self._publish(*answer)

    def _publish(self, command, stamp_ns: int) -> None:
        if self.link.send(command, stamp_ns):
            self.health.tick('command', self.now_s())
        while self.loop.events:
            event = self.loop.events.popleft()
            if event.reason != f'stopped: {self.noted}':  # noted when it was asked for
                self.note(event.kind, event.reason)

    def assess(self, now_s):
        """Show the loop's and the clock's account; judge the last command."""
        for name, value in (self.loop.report() | self.clock.report()).items():
            self.health.set(name, value)
        self.health.set('skipped plans', self.worker.inbox.skipped)
        if self.log is not None:
            self.health.set('events lost', self.log.lost)
            if self.log.problem:
                self.health.complain(f'log of events: {self.log.problem}', now_s)
        level, text = verdict(self.loop.command, self.config.lockstep)
        if level == ERROR and self.held and self.loop.command.status == 'holding':
            level, text = WARN, f'holding: {self.held}'
        if self.loop.stop_reason == DISARMED:
            level, text = WARN, 'disarmed'
        if self.loop.stop_reason:
            text += f'; call {self.resolve_service_name(names.REARM)} when it may move again'
        reader = self.link.reader
        if reader.others and self.loop.state is None:
            text += (
                f'; {names.JOINT_STATES} has {", ".join(reader.others)!s:.100}, none of the arm'
            )
        return level, text


def main(args=None):
    """Run the action node."""
    run(ActionNode, args)


if __name__ == '__main__':
    main()
