# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The program `vw2 teleop`: what a person's hand wants, to the action node's gate.

All that leaves here is a twist of the tool, 30 times a second, and whether the gripper shall close.
What becomes of that, the action node decides (`nodes/teleop.py`): it is limited, and armed, as a
policy's plans are. The first key that moves takes the arm, and it stays taken while this program
speaks. When it ends, hangs or is killed, the arm holds.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, String

from vw2_ros import names
from vw2_ros.client import Client, ClientError
from vw2_ros.control.leader import Leader
from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.interruption import Interruption
from vw2_ros.keyboard import Keyboard
from vw2_ros.messages import qos
from vw2_ros.teleop.hand import MOVES, Hand
from vw2_ros.teleop.leader_hand import CLUTCH, LeaderHand

PERIOD_S = 1 / 30
LET_GO_S = 0.3  # of silence before the policy may go on
ANSWER_S = 2.0  # for a service of the action node


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
        self._leading = hand if isinstance(hand, LeaderHand) else None
        self._led = self._two = False  # the arm was led before; two nodes publish as leaders
        if self._leading:
            self._refuse_own(self._leading)
            client.subscribe(JointState, self._leading.topic, self._on_led, qos.newest(10))

    def do(self, key: str, now_s: float) -> bool:
        """Take a key; False if it ends this."""
        if key in (*MOVES, CLUTCH, 'gripper', 'faster', 'slower'):
            self._back_s = math.inf
            try:
                self.hand.press(key, now_s)
            except InvalidValueError as error:
                self._say(str(error))
        elif key == 'policy':
            self.hand.let_go()
            self._back_s = now_s + LET_GO_S
        elif key in ('stop', 'rearm'):
            self.hand.let_go()
            self._ask(names.STOP if key == 'stop' else names.REARM)
        return key != 'quit'

    def step(self, now_s: float) -> None:
        """Publish what is wanted now."""
        if self._leading:
            self._refuse_others(self._leading)
        twist = self.hand.twist(now_s)
        if self._leading:
            self._tell_clutch(self._leading.leader)
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
        led = f'{self._leading.state(time.monotonic())} ' if self._leading else ''
        grip = {None: 'as it is', True: 'closed', False: 'open'}[self.hand.closes]
        return f'{led}{pace[0]:.2f} m/s  gripper {grip}  leads: {self.leader}  arm: {self.state}'

    def _ask(self, service: str) -> None:
        try:
            self._say(self.client.trigger(service, ANSWER_S))
        except ClientError as error:
            self._say(str(error))

    def _message(self, twist: np.ndarray) -> TwistStamped:
        msg = TwistStamped()
        msg.header.stamp = self.client.node.get_clock().now().to_msg()
        msg.header.frame_id = self.hand.frame
        parts = (msg.twist.linear, twist[:3]), (msg.twist.angular, twist[3:])
        for part, values in parts:
            part.x, part.y, part.z = values.tolist()
        return msg

    def _on_joy(self, msg) -> None:
        try:
            self.hand.hold(msg.axes, msg.buttons, time.monotonic())
        except InvalidValueError as error:
            self._say(str(error))

    def _on_led(self, msg) -> None:
        if not self._two:
            clock_ns = self.client.node.get_clock().now().nanoseconds
            self._leading.see(msg, clock_ns, time.monotonic())

    def _refuse_own(self, hand: LeaderHand) -> None:
        resolved = self.client.node.resolve_topic_name
        if resolved(hand.topic) in map(resolved, hand.follower.joint_states):
            raise UsageError(
                f"--leader must be another arm's joint_states. Got {hand.topic}, which are those of "
                'the arm that shall follow'
            )

    def _refuse_others(self, hand: LeaderHand) -> None:
        if (
            self.client.node.count_publishers(hand.topic) > 1
        ):  # nobody knows which of them is moved
            hand.leader.refuse(
                f'one node may publish on {hand.topic}. Got several. End all but one. A node that '
                'crashed is forgotten after 20 s.'
            )

    def _tell_clutch(self, leader: Leader) -> None:
        if self._led and not leader.clutched:
            self._say(f'clutched out: {leader.why}')
        self._led = leader.clutched

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
            Keyboard(hand.keys) as keys,
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
        print(teleop.hand.help, flush=True)
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
