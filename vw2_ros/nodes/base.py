# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What all nodes share: typed parameters, life cycle with automatic start, diagnostics, `run`."""

import dataclasses
import functools
import gc
import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    SetParametersResult,
)
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from vw2_ros import names
from vw2_ros.nodes.health import ERROR, OK, WARN, Health

PARENT_VARIABLE = 'VW2_PARENT_PID'  # set by `system.Children`: end with the process that began us
DIAGNOSE_PERIOD_S = 0.1
REPORT_PERIOD_S = 1.0


# ----------------------------------------------------------------- parameters


def parameter(default, description: str, *, low=None, high=None, dynamic: bool = False):
    """One field of a node's config dataclass and, by that, one ROS parameter.

    A field `limits__file` is the parameter `limits.file`. All are read when the node is configured;
    only `dynamic` ones may be set while it is.
    """
    return dataclasses.field(
        default=default,
        metadata={'description': description, 'low': low, 'high': high, 'dynamic': dynamic},
    )


@dataclass(frozen=True)
class BaseConfig:
    """Parameters that every node has."""

    autostart: bool = parameter(True, 'configure and activate without being told to')
    exit_on_failure: bool = parameter(False, 'end with status 1 if the automatic start fails')


_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {
    int: ParameterType.PARAMETER_INTEGER_ARRAY,
    float: ParameterType.PARAMETER_DOUBLE_ARRAY,
    str: ParameterType.PARAMETER_STRING_ARRAY,
}


def parameter_name(field: dataclasses.Field) -> str:
    """Return the ROS name of a config field."""
    return field.name.replace('__', '.')


def _descriptor(field: dataclasses.Field) -> ParameterDescriptor:
    default, meta = field.default, field.metadata
    if isinstance(default, tuple):
        kind = _ARRAY_TYPES[type(default[0])]
    else:
        kind = _TYPES[type(default)]
    out = ParameterDescriptor(
        name=parameter_name(field), type=kind, description=meta['description']
    )
    low, high = meta['low'], meta['high']
    if low is not None or high is not None:
        if isinstance(default, float):
            out.floating_point_range = [
                FloatingPointRange(
                    from_value=float(-1e308 if low is None else low),
                    to_value=float(1e308 if high is None else high),
                )
            ]
        else:
            out.integer_range = [
                IntegerRange(
                    from_value=-(2**62) if low is None else low,
                    to_value=2**62 if high is None else high,
                )
            ]
    if not meta['dynamic']:
        out.additional_constraints = 'read when the node is configured'
    return out


# ----------------------------------------------------------------- life cycle


def transition(method):
    """Turn `on_x(self)` into a life cycle callback: whatever it raises is reported, not fatal."""

    @functools.wraps(method)
    def callback(self, state):
        self.stage, self.in_transition = method.__name__, True
        try:
            method(self)
        except Exception as error:
            self.failure = f'{method.__name__[3:]}: {error}'
            self.get_logger().error(self.failure)
            self.undo(self.stage)
            if self.stage == 'on_activate':
                self.halt()
            self.diagnose()
            return TransitionCallbackReturn.FAILURE
        finally:
            self.in_transition = False
        self.failure = ''
        self.get_logger().info(f'{method.__name__[3:]}: done')
        return TransitionCallbackReturn.SUCCESS

    return callback


class StartFailed(Exception):
    """The automatic start failed and `exit_on_failure` is set."""


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
        self._reported: tuple[float, int, str] = (-1e9, -1, '')
        self._logged: tuple[float, int, str] = (-1e9, OK, '')
        fields = dataclasses.fields(self.Config)
        self._dynamic = {parameter_name(f) for f in fields if f.metadata['dynamic']}
        for f in fields:
            name = parameter_name(f)
            value = list(f.default) if isinstance(f.default, tuple) else f.default
            given = self._parameter_overrides.get(name)
            if isinstance(value, float) and given is not None and type(given.value) is int:
                self._parameter_overrides[name] = Parameter(name, value=float(given.value))
            self.declare_parameter(name, value, _descriptor(f))
        unknown = [
            name
            for name in self._parameter_overrides
            if not self.has_parameter(name) and not name.startswith('qos_overrides.')
        ]
        if unknown:
            self.get_logger().warning(
                f'no such parameter: {", ".join(sorted(unknown))}; ignored. '
                'There are ' + ', '.join(map(parameter_name, fields))
            )
        self._fixed = {parameter_name(f) for f in fields} - self._dynamic
        self.add_on_set_parameters_callback(self._check_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, names.DIAGNOSTICS, 10)
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

    def subscribe(self, message_type, topic: str, callback, qos):
        """Subscribe; the stream's rate and age, a refused message and bad QoS reach /diagnostics."""

        def guarded(message):
            self.health.tick(topic, self.now_s())
            try:
                callback(message)
            except ValueError as error:
                self.refuse(topic, error)

        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._incompatible(topic, event)
        )
        made = self.create_subscription(message_type, topic, guarded, qos, event_callbacks=events)
        self._remember(made, self.destroy_subscription)
        return made

    def advertise(self, message_type, topic: str, qos):
        """Make a publisher; a subscriber with incompatible QoS reaches /diagnostics."""
        events = PublisherEventCallbacks(
            incompatible_qos=lambda event: self._incompatible(topic, event)
        )
        made = self.create_publisher(message_type, topic, qos, event_callbacks=events)
        self._remember(made, self.destroy_publisher)
        return made

    def serve(self, service_type, name: str, answer):
        """Offer a service: `answer()` returns the text of success or raises ValueError."""

        def callback(_, response):
            try:
                response.message = answer() or ''
                response.success = True
            except ValueError as error:
                response.success, response.message = False, str(error)
            return response

        self._remember(self.create_service(service_type, name, callback), self.destroy_service)

    def every(self, period_s: float, callback):
        """Call back on the monotonic clock, whatever the ROS clock does."""
        made = self.create_timer(period_s, callback, clock=self._steady)
        self._remember(made, self.destroy_timer)
        return made

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

    def _remember(self, thing, destroy) -> None:
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
        done = (
            self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        )
        if not done and self.get_parameter('exit_on_failure').value:
            raise StartFailed(self.failure)
        gc.collect()
        gc.freeze()  # what is loaded by now stays: the collector need not walk it in every tick

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

    def halt(self) -> None:
        """End what `on_activate` began beside subscriptions and timers, also after it failed."""

    @transition
    def on_deactivate(self):
        self.undo('on_activate')
        self.halt()

    @transition
    def on_cleanup(self):
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
        """Publish the health: at once when it changes, else every second; changes are logged."""
        now_s = self.now_s()
        state = self._state_machine.current_state[1]
        if self.failure:
            level, message = ERROR, self.failure
        elif state == 'active':
            level, message = self.assess(now_s)
            complaint = self.health.complaint(now_s)  # why it waits or holds, where that is known
            if not self.now_ns():
                level, message = (
                    ERROR,
                    f'use_sim_time is set, and nothing ever came on {names.CLOCK}',
                )
            elif complaint:
                level, message = (
                    (WARN, complaint) if level == OK else (level, f'{message} ({complaint})')
                )
            self._log(level, message, now_s)
        else:
            level, message = OK, state
        changed = level != self._reported[1]
        if not changed and now_s - self._reported[0] < REPORT_PERIOD_S:
            return
        self._reported = (now_s, level, message)
        values = {'state': state, **self.health.report(now_s)}
        status = DiagnosticStatus(
            level=bytes([level]),
            name=self.get_fully_qualified_name().lstrip('/'),
            message=message,
            hardware_id='vw2_ros',
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _log(self, level: int, message: str, now_s: float) -> None:
        """Log a health that is another one, whatever its numbers; at most one line a second."""
        last_s, *logged = self._logged
        now = [level, re.sub(r'\d+', '', message) if level != OK else '']
        if now == logged or now_s - last_s < REPORT_PERIOD_S:
            return
        self._logged = (now_s, *now)
        if level == OK:
            self.get_logger().info(message)
        elif level == WARN:
            self.get_logger().warning(message)
        else:
            self.get_logger().error(message)


# ------------------------------------------------------------------- process


def _end_with_parent() -> None:
    """Where a parent is named, end when it is gone: first as Ctrl-C would, then for good."""
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return

    def watch():
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5.0)
        os._exit(1)

    threading.Thread(target=watch, name='parent', daemon=True).start()


class _Signals:
    """The first Ctrl-C or SIGTERM lets the present callback finish, unless weights are loading."""

    def __init__(self):
        self.asked = False
        self.node = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number, frame) -> None:
        if self.asked or self.node is None or self.node.in_transition:
            raise KeyboardInterrupt
        self.asked = True


def run(node_class, args=None):
    """Run one node in a single-threaded executor until it is told to end, then end the process.

    Status 0 after Ctrl-C or SIGTERM; 1 after arguments or parameters that no node can be made of, or
    if the automatic start failed and `exit_on_failure` is set.
    """
    _end_with_parent()
    sys.setswitchinterval(0.0005)  # a worker in Python code must not delay a timer by 5 ms
    node, status = None, 0
    try:
        # ROS's own handlers would take the context away from under a worker that still publishes
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        signals = _Signals()
        signals.node = node = node_class()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not signals.asked:
            executor.spin_once(timeout_sec=0.5)  # the diagnostics timer wakes it earlier
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except StartFailed:
        status = 1  # the reason was logged
    except (ParameterException, RuntimeError) as error:
        if node is not None:
            raise
        status = 1
        print(f'{node_class.__name__} does not start: {error}', file=sys.stderr)  # bad arguments
    finally:
        try:
            if node is not None:
                node.close()
                node.destroy_node()
        finally:
            rclpy.try_shutdown()
    # all is closed; taking torch apart module by module would cost seconds more
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
