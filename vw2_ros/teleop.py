# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop`: a person moves the arm by keys or a joystick, through the action node's gate.

All that leaves here is a twist of the tool, 30 times a second, and whether the gripper shall close.
What becomes of that, the action node decides (`nodes/teleop.py`): it is limited, and armed, as a
policy's plans are. The first key that moves takes the arm, and it stays taken while this program
speaks. When it ends, hangs or is killed, the arm holds.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, String

from vw2_ros import names
from vw2_ros.client import Client, ClientError
from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.interruption import Interruption
from vw2_ros.keyboard import Keyboard
from vw2_ros.messages import qos

PERIOD_S = 1 / 30
KEY_S = 0.15  # a key moves for so long; a terminal repeats it sooner while it is held
JOY_SILENCE_S = 0.2  # then nobody holds the joystick
LET_GO_S = 0.3  # of silence before the policy may go on
ANSWER_S = 2.0  # for a service of the action node
FASTER, FASTEST = 1.25, 4.0
DEAD_ZONE = 0.05  # of an axis: a stick at rest is not quite at 0
AXES = 'x y z roll pitch yaw'.split()

# key -> (axis, direction)
MOVES = {
    **{'w': (0, 1), 's': (0, -1), 'a': (1, 1), 'd': (1, -1), 'r': (2, 1), 'f': (2, -1)},
    **{'o': (3, 1), 'u': (3, -1), 'i': (4, 1), 'k': (4, -1), 'j': (5, 1), 'l': (5, -1)},
}
VERBS = {
    **{'g': 'gripper', '+': 'faster', '=': 'faster', '-': 'slower', ' ': 'stop'},
    **{'e': 'rearm', 'p': 'policy', 'q': 'quit'},
}
KEYS = {**{key: key for key in MOVES}, **VERBS}
HELP = """\
  w s: x   a d: y   r f: z [m/s]      o u: roll   i k: pitch   j l: yaw [rad/s]
  g: gripper   + -: faster, slower   space: STOP   e: rearm   p: the policy goes on   q: quit"""


@dataclass(frozen=True)
class Pace:
    """How fast the tool goes; the contract's limits hold beside it."""

    speed_m_s: float = 0.1
    turn_rad_s: float = 0.5

    def __post_init__(self):
        for name in ('speed_m_s', 'turn_rad_s'):
            if not 0 < getattr(self, name) <= 3:
                raise InvalidValueError(f'{name} must be in (0, 3]. Got {getattr(self, name)}.')

    @property
    def twist(self) -> np.ndarray:
        """Of all axes (6,) at once."""
        return np.repeat([self.speed_m_s, self.turn_rad_s], 3)


@dataclass(frozen=True)
class JoySpec:
    """What the axes and buttons of a joystick mean; the defaults are a gamepad's sticks."""

    topic: str = names.JOY
    deadman: int = 4  # button that must be down for the arm to move
    gripper: int = 0  # button that closes and opens it
    axes: tuple[int | None, ...] = (1, 0, 4, None, None, 3)  # of x, y, z, roll, pitch, yaw

    def __post_init__(self):
        numbers = [self.deadman, self.gripper, *(a for a in self.axes if a is not None)]
        if len(self.axes) != 6 or min(numbers) < 0:
            raise InvalidValueError(
                f'axes must be 6 numbers, of {", ".join(AXES)}, and buttons from 0 on. Got '
                f'{self.axes}, buttons {self.deadman} and {self.gripper}.'
            )


class Hand:
    """What a person wants of the arm. No ROS.

    Times are seconds of the monotonic clock.

    Attributes:
        taken: he has the arm, if only to hold it. closes: the gripper shall; None: as it is.
    """

    def __init__(self, pace: Pace | None = None, joy: JoySpec | None = None):
        self.pace, self.joy, self.factor = pace or Pace(), joy or JoySpec(), 1.0
        self.taken, self.closes = False, None
        self._until_s = np.zeros(6)  # when the motion by keys ends
        self._direction = np.zeros(6)
        self._held: tuple[float, np.ndarray] | None = None  # a joystick: when, its axes (6,)
        self._pressed = False  # its gripper button

    def press(self, key: str, now_s: float) -> None:
        """Take a key of `MOVES`, or 'gripper', 'faster', 'slower'."""
        if key in MOVES:
            axis, direction = MOVES[key]
            self.taken = True
            self._direction[axis], self._until_s[axis] = direction, now_s + KEY_S
        elif key == 'gripper':
            self.taken, self.closes = True, not self.closes
        else:
            self.factor *= FASTER if key == 'faster' else 1 / FASTER
            self.factor = min(max(self.factor, 1 / FASTEST), FASTEST)

    def hold(self, axes: Sequence[float], buttons: Sequence[int], now_s: float) -> None:
        """Take the state of a joystick.

        Raises:
            InvalidValueError: it lacks an axis or a button, or is not finite; then it is let go.
        """
        spec = self.joy
        if self._held is not None:  # it is held again below, where all is well
            closes = self.closes
            self.let_go()
            self.closes = closes
        lacking = max(a for a in (*spec.axes, -1) if a is not None) >= len(axes)
        if lacking or max(spec.deadman, spec.gripper) >= len(buttons):
            raise InvalidValueError(
                f'the joystick must have axes {spec.axes} and buttons {spec.deadman} and '
                f'{spec.gripper}. Got {len(axes)} axes and {len(buttons)} buttons. '
                'Say --axes, --deadman and --gripper-button.'
            )
        if not buttons[spec.deadman]:
            self._pressed = False
            return
        way = np.array([0.0 if a is None else axes[a] for a in spec.axes])
        if not np.isfinite(way).all():
            raise InvalidValueError(f'the axes of a joystick must be finite. Got {way.tolist()}.')
        if buttons[spec.gripper] and not self._pressed:
            self.closes = not self.closes
        self._pressed = bool(buttons[spec.gripper])
        self.taken = True
        self._held = now_s, np.where(np.abs(way) < DEAD_ZONE, 0.0, np.clip(way, -1, 1))

    def let_go(self) -> None:
        """Want nothing any more."""
        self.taken, self.closes, self._held = False, None, None
        self._until_s[:] = 0.0

    def twist(self, now_s: float) -> np.ndarray | None:
        """How the tool shall move now (6,) [m/s, rad/s]; None: nobody has the arm."""
        if self._held is not None and now_s - self._held[0] > JOY_SILENCE_S:
            self.let_go()
        if not self.taken:
            return None
        keys = np.where(now_s < self._until_s, self._direction, 0.0)
        way = keys if self._held is None else self._held[1]
        return self.factor * self.pace.twist * way


class Teleop:
    """Publishes what a hand wants, and asks the action node for what keys ask for."""

    def __init__(self, client: Client, hand: Hand, joystick: bool, say: Callable[[str], None]):
        self.client, self.hand, self._say = client, hand, say
        self.leader, self.state = '', ''  # who moves the arm; what the action node says of itself
        self._back_s = math.inf  # when the policy is told to go on
        self.twists = client.publisher(TwistStamped, names.TELEOP_TWIST, qos.reliable(1))
        self._grippers = client.publisher(Bool, names.TELEOP_GRIPPER, qos.reliable(1))
        client.subscribe(String, names.LEADER, self._on_leader, qos.latched())
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, self._on_state, QoSProfile(depth=10))
        if joystick:
            client.subscribe(Joy, hand.joy.topic, self._on_joy, qos.newest())

    def do(self, key: str, now_s: float) -> bool:
        """Take a key; False if it ends this."""
        if key in (*MOVES, 'gripper', 'faster', 'slower'):
            self._back_s = math.inf
            self.hand.press(key, now_s)
        elif key == 'policy':
            self.hand.let_go()
            self._back_s = now_s + LET_GO_S
        elif key in ('stop', 'rearm'):
            self.hand.let_go()
            self._ask(names.STOP if key == 'stop' else names.REARM)
        return key != 'quit'

    def step(self, now_s: float) -> None:
        """Publish what is wanted now."""
        twist = self.hand.twist(now_s)
        if twist is not None:
            if self.hand.closes is not None:
                self._grippers.publish(Bool(data=self.hand.closes))
            self.twists.publish(self._message(twist))
            self._back_s = math.inf
        elif now_s >= self._back_s:
            self._back_s = math.inf
            self._ask(names.HAND_BACK)

    def line(self) -> str:
        """What goes on, in a line."""
        if not self.twists.get_subscription_count():
            return f'nobody listens on {self.twists.topic_name}: is the action node active?'
        pace = self.hand.factor * self.hand.pace.twist
        grip = {None: 'as it is', True: 'closed', False: 'open'}[self.hand.closes]
        return f'{pace[0]:.2f} m/s  gripper {grip}  leads: {self.leader}  arm: {self.state}'

    def _ask(self, service: str) -> None:
        try:
            self._say(self.client.trigger(service, ANSWER_S))
        except ClientError as error:
            self._say(str(error))

    def _message(self, twist: np.ndarray) -> TwistStamped:
        msg = TwistStamped()
        msg.header.stamp = self.client.node.get_clock().now().to_msg()
        parts = (msg.twist.linear, twist[:3]), (msg.twist.angular, twist[3:])
        for part, values in parts:
            part.x, part.y, part.z = values.tolist()
        return msg

    def _on_joy(self, msg) -> None:
        try:
            self.hand.hold(msg.axes, msg.buttons, time.monotonic())
        except InvalidValueError as error:
            self._say(str(error))

    def _on_leader(self, msg) -> None:
        self.leader = msg.data

    def _on_state(self, msg) -> None:
        action = f'{self.client.node.get_namespace().strip("/")}/action'.lstrip('/')
        for status in msg.status:
            if status.name == action:
                self.state = status.message


def run(hand: Hand, namespace: str = '', joystick: bool = False) -> int:
    """Move the arm until q or Ctrl-C.

    Args:
        joystick: listen to `hand.joy`.
    Returns:
        0.
    Raises:
        UsageError: there is neither a terminal nor a joystick.
    """
    live, said = sys.stdout.isatty(), ['']

    def say(line: str) -> None:
        if line != said[-1] or live:
            print(f'\r\033[K{line}' if live else line, flush=True)
        said[-1] = line

    try:
        with (
            Keyboard(KEYS) as keys,
            Interruption(),
            Client(namespace, name='vw2_teleop') as client,
        ):
            if not (keys.there or joystick):
                raise UsageError(
                    'vw2 teleop must have keys or a joystick. Got no terminal. Run it in one, or say '
                    '--joy'
                )
            _follow(Teleop(client, hand, joystick, say), keys, live)
    except KeyboardInterrupt:
        pass
    print()
    return 0


def _follow(teleop: Teleop, keys: Keyboard, live: bool) -> None:
    if keys.there:
        print(HELP, flush=True)
    told_s, shown = 0.0, ''
    while True:
        now_s = time.monotonic()
        for key in keys.pressed():
            if not teleop.do(key, now_s):
                return
        teleop.step(time.monotonic())
        if now_s - told_s >= (0.2 if live else 1.0):
            told_s, line = now_s, teleop.line()
            if live:
                print(f'\r\033[K{line[:150]}', end='', flush=True)
            elif line != shown:
                shown = line
                print(line, flush=True)
        teleop.client.spin(PERIOD_S)
