# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What all nodes share: parameters, life cycle with automatic start, services, diagnostics."""

import dataclasses
import gc
import inspect
import time

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Empty

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from vw2_ros import names
from vw2_ros.messages import qos
from vw2_ros.nodes.claim import Claim, heartbeat_claim
from vw2_ros.nodes.diagnostics import Reporter
from vw2_ros.nodes.health import ERROR, OK, WARN, Health
from vw2_ros.nodes.lifecycle import StartFailed, transition
from vw2_ros.nodes.parameters import BaseConfig, descriptor, parameter_name

DIAGNOSE_PERIOD_S = 0.1
READY_PERIOD_S = 0.02  # how often the automatic start looks whether a node can be activated


class NodeBase(LifecycleNode):
    """A life cycle node with a typed config, health on /diagnostics and an automatic start.

    Subclasses set `Config` and write `on_configure` and `on_activate`, each decorated with
    `transition`, and `halt`. What they make with `subscribe`, `advertise`, `serve` and `every` is
    destroyed again by the opposite transition.
    """

    Config = BaseConfig

    def __init__(self, name: str, **options):
        super().__init__(name, **options)
        self.health = Health()
        self.failure = ''  # why the last transition failed
        self.stage = ''
        self.in_transition = False
        self._made: dict[str, list] = {'on_configure': [], 'on_activate': []}
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._asked_to_change
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        fields = dataclasses.fields(self.Config)
        self._dynamic = {parameter_name(f) for f in fields if f.metadata['dynamic']}
        for f in fields:
            name = parameter_name(f)
            value = list(f.default) if isinstance(f.default, tuple) else f.default
            given = self._parameter_overrides.get(name)
            if isinstance(value, float) and given is not None and type(given.value) is int:
                self._parameter_overrides[name] = Parameter(name, value=float(given.value))
            self.declare_parameter(name, value, descriptor(f))
        known = tuple(map(parameter_name, fields))
        unknown = [n for n in self._parameter_overrides if not self.has_parameter(n)]
        unknown = sorted(n for n in unknown if not n.startswith('qos_overrides.'))
        if unknown:
            text = f'no such parameter: {", ".join(unknown)}; ignored. There are '
            self.get_logger().warning(text + ', '.join(known))
        self._fixed = {parameter_name(f) for f in fields} - self._dynamic
        self.add_on_set_parameters_callback(self._check_parameters)
        self._reporter = Reporter(self)
        self.create_timer(DIAGNOSE_PERIOD_S, self.diagnose, clock=self._steady)
        self._autostart_timer = None
        if self.get_parameter('autostart').value:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=self._steady)

    # -- parameters

    def read_config(self):
        """Read all parameters into a new `Config`.

        Raises:
            ValueError: if the config refuses a value.
        """
        values = {}
        for f in dataclasses.fields(self.Config):
            value = self.get_parameter(parameter_name(f)).value
            values[f.name] = tuple(value) if isinstance(f.default, tuple) else value
        return self.Config(**values)

    def parameters_set(self, values: dict) -> None:
        """Take new values of dynamic parameters {name: value}; raise ValueError to refuse them."""

    def _check_parameters(self, parameters) -> SetParametersResult:
        fixed = [p.name for p in parameters if p.name in self._fixed]
        if fixed and self._state_machine.current_state[1] != 'unconfigured':
            return SetParametersResult(
                successful=False,
                reason=(
                    f'{", ".join(fixed)}: read when the node is configured; clean it up first '
                    '(ros2 lifecycle set), then set it and configure again'
                ),
            )
        try:
            self.parameters_set({p.name: p.value for p in parameters if p.name in self._dynamic})
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    # -- what a node is made of

    def subscribe(self, message_type, topic: str, callback, qos, quiet: bool = False, **events):
        """Subscribe; the stream's rate and age, a refused message and bad QoS reach /diagnostics.

        Args:
            quiet: a publisher with incompatible QoS is no fault.
            events: callbacks of other events, as `SubscriptionEventCallbacks` names them.
        """

        def guarded(message):
            self.health.tick(topic, self.now_s())
            try:
                callback(message)
            except ValueError as error:
                self.refuse(topic, error)

        heard = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: quiet or self._incompatible(topic, event), **events
        )
        made = self.create_subscription(message_type, topic, guarded, qos, event_callbacks=heard)
        self.remember(made, self.destroy_subscription)
        return made

    def advertise(self, message_type, topic: str, qos):
        """Make a publisher; a subscriber with incompatible QoS reaches /diagnostics."""
        events = PublisherEventCallbacks(
            incompatible_qos=lambda event: self._incompatible(topic, event)
        )
        made = self.create_publisher(message_type, topic, qos, event_callbacks=events)
        self.remember(made, self.destroy_publisher)
        return made

    def serve(self, service_type, name: str, answer):
        """Offer a service: `answer()` returns the text of success or raises ValueError.

        It may be a coroutine function, whose answer comes later; the node goes on meanwhile.
        """
        slow = inspect.iscoroutinefunction(answer)
        group = ReentrantCallbackGroup() if slow else None

        async def callback(_, response):
            try:
                response.message = (await answer() if slow else answer()) or ''
                response.success = True
            except ValueError as error:
                response.success, response.message = False, str(error)
            return response

        made = self.create_service(service_type, name, callback, callback_group=group)
        self.remember(made, self.destroy_service)

    def every(self, period_s: float, callback):
        """Call back on the monotonic clock, whatever the ROS clock does."""
        made = self.create_timer(period_s, callback, clock=self._steady)
        self.remember(made, self.destroy_timer)
        return made

    def beat(self) -> None:
        """Show the watchdog that this node's executor runs, until the transition is undone.

        An orderly end takes the heartbeat back; one that falls silent is lost.
        """
        sender = self.advertise(Empty, names.HEARTBEAT, qos.heartbeat())
        self.every(qos.HEARTBEAT_PERIOD_S, sender.assert_liveliness)
        self.remember(Claim(heartbeat_claim(sender.topic_name)), Claim.close)

    def now_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def now_ns(self) -> int:
        """Nanoseconds of the ROS clock: what stamps are compared with."""
        return self.get_clock().now().nanoseconds

    def refuse(self, what: str, reason) -> None:
        """Count a refused input; its reason goes to /diagnostics and to the log."""
        self.health.count(f'{what} refused')
        self.health.complain(f'{what} refused: {reason}', self.now_s())

    def remember(self, thing, destroy) -> None:
        """Destroy a thing, by `destroy(thing)`, when the present transition is undone."""
        self._made.setdefault(self.stage, []).append((thing, destroy))

    def undo(self, stage: str) -> None:
        """Destroy what was made during a transition."""
        while self._made.get(stage):
            thing, destroy = self._made[stage].pop()
            destroy(thing)

    def _incompatible(self, topic: str, event) -> None:
        self.health.count(f'{topic} incompatible QoS')
        text = (
            f'{topic}: {event.total_count} peer(s) with incompatible QoS (last policy '
            f'{event.last_policy_kind!s}); compare `ros2 topic info -v`'
        )
        self.health.complain(text, self.now_s())
        self.get_logger().error(text)

    # -- transitions

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self._autostart_timer = self.create_timer(
                READY_PERIOD_S, self._activate_when_ready, clock=self._steady
            )
        else:
            self._not_started()

    def _activate_when_ready(self) -> None:
        """Go on with the automatic start, unless somebody else changed the state meanwhile."""
        inactive = self._state_machine.current_state[1] == 'inactive'
        if inactive and not self.ready():
            return  # services and diagnostics are answered meanwhile
        self.destroy_timer(self._autostart_timer)
        gc.collect()  # before the first tick: it takes longer than a period
        gc.freeze()  # what is loaded by now stays: the collector need not walk it in every tick
        if inactive and self.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            self._not_started()

    def _not_started(self) -> None:
        if self.get_parameter('exit_on_failure').value:
            raise StartFailed(self.failure)

    def _asked_to_change(self, request, response):
        try:
            return self._change_state(request, response)
        except RuntimeError:  # it would end the node
            self.get_logger().error(
                f'transition {request.transition.id} refused: there is none from '
                f'the state {self._state_machine.current_state[1]}'
            )
            response.success = False
            return response

    def ready(self) -> bool:
        """Whether `on_activate` would be quick by now; the automatic start waits for that."""
        return True

    def halt(self) -> None:
        """End what was begun beside subscriptions, services and timers, also after it failed."""

    @transition
    def on_deactivate(self):
        self.undo('on_activate')
        self.halt()

    @transition
    def on_cleanup(self):
        self.halt()
        self.undo('on_configure')

    def on_shutdown(self, state):
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop everything this node began."""
        self.undo('on_activate')
        self.halt()
        self.undo('on_configure')

    # -- diagnostics

    def assess(self, now_s: float) -> tuple[int, str]:
        """Return (level, message) of an active node; called ten times a second."""
        return OK, 'running'

    def diagnose(self) -> None:
        """Judge the node and report it on /diagnostics; changes of an active node are logged."""
        now_s, state = self.now_s(), self._state_machine.current_state[1]
        if self.failure:
            level, message = ERROR, self.failure
        elif state == 'active':
            level, message = self._assessed(now_s)
            self._reporter.log(level, message, now_s)
        else:
            level, message = OK, state
        self._reporter.publish(level, message, state, now_s)

    def _assessed(self, now_s: float) -> tuple[int, str]:
        level, message = self.assess(now_s)
        if not self.now_ns():
            return ERROR, f'use_sim_time is set, and nothing ever came on {names.CLOCK}'
        complaint = self.health.complaint(now_s)  # why it waits or holds, where that is known
        if not complaint:
            return level, message
        return (WARN, complaint) if level == OK else (level, f'{message} ({complaint})')
