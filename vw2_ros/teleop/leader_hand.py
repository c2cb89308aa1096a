# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A person leads with a leader arm: its joint_states, its clutch and its gripper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.arms.contract import Contract, Following, following, needs_description
from vw2_ros.client import Client
from vw2_ros.control.leader import MOST_M_S, MOST_RAD_S, Leader
from vw2_ros.control.safety import age_of_stamp
from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.messages import qos
from vw2_ros.messages.joints import JointReader
from vw2_ros.teleop.hand import JOY_SILENCE_S, VERBS, Hand, JoySpec, Pace

DESCRIPTION_S = 10.0  # for the URDF of a leader
CLUTCH = 'clutch'
LEADER_KEYS = {**VERBS, '\n': CLUTCH, '\r': CLUTCH}
LEADER_HELP = """\
  The arm makes the motions of the leader from where both are; they need not stand alike.
  {clutch}   g: gripper   + -: faster, slower
  space: STOP   e: rearm   p: the policy goes on   q: quit"""


class LeaderHand(Hand):
    """A person who leads with a leader arm. His clutch is a key, or the button of a joystick.

    Clutched out by the key, or because something is in doubt, the arm is held as he has it; the button
    also lets go of it.

    Args:
        contract: of the leader. topic: its joint_states.
        follower: whose tool follows.
        pace: at most so fast.
        by_button: `joy.deadman` is the clutch, while it is down.
    """

    keys = LEADER_KEYS

    def __init__(
        self,
        contract: Contract,
        topic: str,
        follower: Following,
        pace: Pace,
        joy: JoySpec | None = None,
        by_button: bool = False,
    ):
        super().__init__(pace, joy)
        self.topic, self.follower, self.frame = topic, follower, follower.frame
        self.leader = Leader(contract, follower)
        self._limits = contract.limits
        self._reader = JointReader(contract.joints, contract.gripper.joint)
        self._by_button, self._button_s = by_button, -math.inf
        self._down = True  # it must be seen up first
        button = f'button {self.joy.deadman} of the joystick: the leader leads while it is down'
        key = 'enter: the leader leads, or no longer'
        self.help = LEADER_HELP.format(clutch=button if by_button else key)

    def press(self, key: str, now_s: float) -> None:
        """Take 'clutch', 'gripper', 'faster' or 'slower'.

        Raises:
            InvalidValueError: the leader cannot lead now.
        """
        if key != CLUTCH:
            super().press(key, now_s)
        elif self.leader.clutched:
            self.leader.clutch_out('you clutched out')
        elif self._by_button:
            raise InvalidValueError(f'button {self.joy.deadman} of the joystick clutches in')
        else:
            self._clutch_in(now_s)

    def hold(self, axes: Sequence[float], buttons: Sequence[int], now_s: float) -> None:
        """Take the state of a joystick, of which only the buttons count.

        Raises:
            InvalidValueError: it lacks a button, or the leader cannot lead now.
        """
        spec, down, pressed = self.joy, False, False
        lacking = max(spec.deadman, spec.gripper) >= len(buttons)
        if not lacking:
            down, pressed = bool(buttons[spec.deadman]), bool(buttons[spec.gripper])
        began, ended = down and not self._down, self._down and not down
        squeezed = down and pressed and not self._pressed
        self._down, self._pressed, self._button_s = down, pressed, now_s
        if ended:
            self.let_go()
        if lacking:
            raise InvalidValueError(
                f'the joystick must have buttons {spec.deadman} and {spec.gripper}. Got '
                f'{len(buttons)} buttons. Say --deadman and --gripper-button.'
            )
        if began:
            self._clutch_in(now_s)
        if squeezed:
            super().press('gripper', now_s)

    def see(self, msg: JointState, clock_ns: int, now_s: float) -> None:
        """Take the leader's joints; whatever makes no sense clutches out.

        Args:
            clock_ns: of ROS, which stamps them.
        """
        try:
            joints = self._reader.take(msg)
            if joints is None:
                if not self.leader.known:
                    raise InvalidValueError(
                        f'joints must hold {", ".join(self._reader.names)}. Got '
                        f'{", ".join(map(str, msg.name))!s:.200}. Say --leader-contract.'
                    )
                return
            observed_s = now_s - age_of_stamp(joints.stamp_ns, clock_ns, self._limits)
        except InvalidValueError as error:
            self.leader.refuse(f'{self.topic}: {error}')
            return
        finger = self._reader.finger_position
        closes = self.leader.see(joints.position, joints.stamp_ns, observed_s, finger)
        self.closes = self.closes if closes is None else closes

    def let_go(self) -> None:
        """Want nothing any more."""
        super().let_go()
        if self.leader.clutched:
            self.leader.clutch_out('you let go')

    def twist(self, now_s: float) -> np.ndarray | None:
        """See `Hand`; clutched out, the arm is held."""
        if self._by_button and now_s - self._button_s > JOY_SILENCE_S:
            if self.leader.clutched:
                self.leader.clutch_out('the joystick is silent')
                self.let_go()
            self._down = True
        twist = self.leader.twist(now_s, *(self.factor * self.pace.twist[[0, 3]]))
        return twist if self.taken else None

    def state(self, now_s: float) -> str:
        """Whether the leader leads, and why not."""
        if self.leader.clutched:
            return f'clutched in: {self.leader.speed_m_s:.2f} m/s of'
        return f'clutched out: {self.leader.doubt(now_s) or self.leader.why}  at most'

    def _clutch_in(self, now_s: float) -> None:
        doubt = self.leader.clutch_in(now_s)
        if doubt:
            raise InvalidValueError(f'the leader cannot be clutched in: {doubt}')
        self.taken = True


def leader_hand(
    topic: str,
    contract: str,
    leader_contract: str = '',
    urdf: str = '',
    namespace: str = '',
    *,
    speed_m_s: float | None = None,
    turn_rad_s: float | None = None,
    **options,
) -> LeaderHand:
    """The hand of a person with a leader arm.

    Args:
        topic: of the leader's joint_states.
        contract: of the follower. leader_contract: of the leader; '': it is of the same kind.
        urdf: of the leader; '': what its contract says.
        namespace: of the follower.
        speed_m_s, turn_rad_s: of the tool at most; None: as the follower may.
        options: of `LeaderHand`.
    Raises:
        ContractError: one of the contracts makes no sense.
        UsageError: nobody publishes the leader's URDF.
    """
    follower, source = following(contract), leader_contract or contract
    pace = Pace(
        min(follower.tool_speed_m_s, MOST_M_S) if speed_m_s is None else speed_m_s,
        MOST_RAD_S if turn_rad_s is None else turn_rad_s,
    )
    if not urdf and needs_description(source):
        beside = f'{topic.rpartition("/")[0]}/' if leader_contract else ''
        urdf = _description(beside + names.ROBOT_DESCRIPTION, namespace)
    return LeaderHand(Contract.load(source, urdf=urdf), topic, follower, pace, **options)


def _description(topic: str, namespace: str) -> str:
    heard: list[str] = []
    with Client(namespace, name='vw2_teleop_description') as client:
        client.subscribe(String, topic, lambda msg: heard.append(msg.data), qos.latched())
        if not client.wait(lambda: heard, DESCRIPTION_S):
            raise UsageError(
                f"the leader's URDF must come on {topic}. Got nothing within {DESCRIPTION_S:.0f} s. "
                'Start its robot_state_publisher, or say --leader-urdf.'
            )
    return heard[0]
