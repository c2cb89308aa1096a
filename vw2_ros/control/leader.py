# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A leader arm, led by hand: twists by which a follower's tool makes the same motion. Pure.

The motion is relative, as with a clutch: clutched out, the leader may go anywhere; clutched in, the
follower's tool makes the way of the leader's from there. A twist leads, within `LAG_S`, from what was
sent so far to where the leader is: nothing is lost between two ticks, however they come. What the
speeds cut is made up for as far as it takes `BEHIND_S`; beyond that it is dropped.

Whatever is in doubt clutches out, and it stays out until the person clutches in again: a leader that
is silent for `SILENCE_S`, moves faster than a hand, or whose joints make no sense.
"""

from __future__ import annotations

import math

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ, POSITION_STEP_M, ROTATION_STEP_RAD
from vw2_ros.arms.contract import Contract, Following
from vw2_ros.arms.geometry import Pose, mean_velocity, rotation_error, rotvec_to_matrix
from vw2_ros.control.takeover import SILENCE_S as FOLLOWED_S

SILENCE_S = 0.1
LAG_S = 1 / 15  # two ticks: encoders' noise is halved at each
AHEAD_S = LAG_S / 2  # by so much at most a message's age is made up for
BEHIND_S = 0.2
# what a twist can say, see `EndEffectorController.action_of`
MOST_M_S, MOST_RAD_S = POSITION_STEP_M * ACTION_HZ, ROTATION_STEP_RAD * ACTION_HZ
# a hand's tool is slower; what is off by less is noise
HAND_M_S, HAND_RAD_S = 2.0, 12.0
NOISE_M, NOISE_RAD = 0.01, 0.05
JUMP_S = 0.02  # messages that come sooner are taken together, or noise would be called fast
BEYOND_RAD = 0.5  # so far out of its limits no leader is: these are degrees
BEYOND_FINGER = 0.5  # likewise of the gripper, of its whole way
SQUEEZED, RELEASED = 0.4, 0.6  # the gripper is closed below, open above; between, as it was
BEGIN = 'not yet clutched in'


class Leader:
    """Times are seconds of the monotonic clock, but for stamps.

    Args:
        contract: of the leader. follower: whose tool shall follow.

    Attributes:
        contract: as given.
        clutched: the follower follows. why: it does not; '' if it does. speed_m_s: of the last twist.
    """

    def __init__(self, contract: Contract, follower: Following):
        self.contract, self._follower = contract, follower
        self.clutched, self.why, self.speed_m_s = False, BEGIN, 0.0
        self._fault = ''  # of the newest message
        self._stamp_ns, self._observed_s = -1, -math.inf  # of the newest message
        self._pose: Pose | None = None  # of the leader's tool, in its base
        self._before: tuple[int, Pose] | None = None  # stamp, pose: jumps are seen from here
        self._velocity = np.zeros(6)  # since then, in the leader's base
        self._squeezed: bool | None = None
        self._told: Pose | None = None  # where the leader was, as far as the follower was told
        self._twist, self._twist_s = np.zeros(6), 0.0  # sent last, along the base's axes; when

    # ------------------------------------------------------------------ input

    def see(
        self, joints, stamp_ns: int, observed_s: float, finger: float | None = None
    ) -> bool | None:
        """Take the joints (n,) [rad], finite, as they were at `observed_s`.

        Args:
            stamp_ns: of the message; one that is not newer is none.
            finger: value of the gripper's joint; None: it has none.
        Returns:
            True: the person just closed the gripper, False: opened it, None: neither.
        """
        if observed_s - self._observed_s > SILENCE_S:  # it begins anew
            if self.clutched:
                self.clutch_out(_silent(observed_s - self._observed_s))
            self._before = None
        elif stamp_ns <= self._stamp_ns:
            return None
        self._stamp_ns, self._observed_s = stamp_ns, observed_s
        why = self._out_of_range(joints, finger)
        if why:
            self.refuse(why)
            return None
        self._fault, self._pose = '', self.contract.arm.forward(joints)
        why = self._jumped(stamp_ns)
        if why and self.clutched:
            self.clutch_out(why)
        return None if finger is None else self._grip(finger)

    def refuse(self, why: str) -> None:
        """What came of the leader makes no sense, or nobody knows whose it is."""
        self._fault, self._before = why, None
        if self.clutched:
            self.clutch_out(why)

    def _out_of_range(self, joints, finger: float | None) -> str:
        c = self.contract
        for name, q, low, high in zip(c.joints, joints, c.limits.lower_rad, c.limits.upper_rad):
            if not low - BEYOND_RAD <= q <= high + BEYOND_RAD:
                return (
                    f'{name} must lie within {low:.2f} to {high:.2f} rad. Got {q:.2f}. '
                    'Are these degrees?'
                )
        if finger is not None:
            if not -BEYOND_FINGER <= c.gripper.opening(finger) <= 1 + BEYOND_FINGER:
                return (
                    f'{c.gripper.joint} must lie within {c.gripper.closed} (closed) to '
                    f'{c.gripper.open} (open). Got {finger:.3g}. Is it in other units?'
                )
        return ''

    def _jumped(self, stamp_ns: int) -> str:
        """Whether the tool moved faster than a hand does."""
        if self._before is None:
            self._before, self._velocity = (stamp_ns, self._pose), np.zeros(6)
        before_ns, (at, turn) = self._before
        elapsed_s = min((stamp_ns - before_ns) * 1e-9, SILENCE_S)
        way = math.dist(self._pose[0], at)
        angle = math.hypot(*rotation_error(self._pose[1], turn))
        if elapsed_s >= JUMP_S:
            self._velocity = mean_velocity((at, turn), self._pose, elapsed_s)
        fast = way > NOISE_M + HAND_M_S * elapsed_s or angle > NOISE_RAD + HAND_RAD_S * elapsed_s
        if fast or elapsed_s >= JUMP_S:
            self._before = stamp_ns, self._pose
        if not fast:
            return ''
        self._velocity = np.zeros(6)
        return f'it jumped by {way:.2f} m, {angle:.2f} rad within {elapsed_s * 1e3:.0f} ms'

    def _grip(self, finger: float) -> bool | None:
        opening, before = self.contract.gripper.opening(finger), self._squeezed
        if opening < SQUEEZED:
            self._squeezed = True
        elif opening > RELEASED:
            self._squeezed = False
        # where it stands as it is clutched in, says nothing: a thing would be dropped
        return self._squeezed if self.clutched and self._squeezed != before else None

    # ----------------------------------------------------------------- clutch

    def doubt(self, now_s: float) -> str:
        """Why it may not lead now; '' if it may."""
        if self._fault or self._pose is None:
            return self._fault or 'nothing came of it'
        age_s = now_s - self._observed_s
        return _silent(age_s) if age_s > SILENCE_S else ''

    @property
    def known(self) -> bool:
        """Whether its joints ever came."""
        return self._pose is not None

    def clutch_in(self, now_s: float) -> str:
        """The follower follows from here on; '' if it does, else why not."""
        doubt = self.doubt(now_s)
        if not (doubt or self.clutched):
            self.clutched, self.why = True, ''
            self._told, self._twist, self._twist_s = self._pose, np.zeros(6), now_s
        return doubt

    def clutch_out(self, why: str) -> None:
        """The follower stands from now on."""
        self.clutched, self.why, self.speed_m_s = False, why, 0.0

    # ----------------------------------------------------------------- output

    def twist(self, now_s: float, speed_m_s: float, turn_rad_s: float) -> np.ndarray:
        """What to send now (6,) [m/s, rad/s], along the axes of the follower's action frame.

        It is taken for sent, and for followed until the next call.

        Args:
            speed_m_s, turn_rad_s: at most so fast; what the follower may do holds beside it.
        """
        doubt = self.doubt(now_s)
        if doubt and self.clutched:
            self.clutch_out(doubt)
        if not self.clutched:
            return np.zeros(6)
        speed_m_s = min(speed_m_s, self._follower.tool_speed_m_s, MOST_M_S)
        most = speed_m_s, min(turn_rad_s, MOST_RAD_S)
        self._advance(min(now_s - self._twist_s, FOLLOWED_S))
        at, turn = self._ahead(now_s)
        ways = at - self._told[0], np.array(rotation_error(turn, self._told[1]))
        ways = [_within(way, speed * BEHIND_S) for way, speed in zip(ways, most)]
        self._told = at - ways[0], rotvec_to_matrix(-ways[1]) @ turn  # the rest is dropped
        twist = np.concatenate([_within(way / LAG_S, speed) for way, speed in zip(ways, most)])
        if self._follower.action_frame == 'tool':
            twist = (twist.reshape(2, 3) @ self._told[1]).ravel()  # each by the transpose
        self._twist, self._twist_s = twist, now_s
        self.speed_m_s = float(np.linalg.norm(twist[:3]))
        return twist.copy()

    def _ahead(self, now_s: float) -> Pose:
        """Where the leader is by now, or ticks and messages that jitter would look like motion."""
        (at, turn), age_s = self._pose, min(max(now_s - self._observed_s, 0.0), AHEAD_S)
        way, angle = self._velocity.reshape(2, 3) * age_s
        return at + way, rotvec_to_matrix(angle) @ turn

    def _advance(self, elapsed_s: float) -> None:
        """Account for the last twist, step by step as the follower does."""
        steps = max(1, round(elapsed_s * self._follower.rate_hz))
        way, angle = self._twist.reshape(2, 3) * (elapsed_s / steps)
        by = rotvec_to_matrix(angle)
        at, turn = self._told
        for _ in range(steps):
            if self._follower.action_frame == 'tool':
                at, turn = at + turn @ way, turn @ by
            else:
                at, turn = at + way, by @ turn
        self._told = at, turn


def _within(vector: np.ndarray, most: float) -> np.ndarray:
    """The vector, or one of its direction that is so long."""
    return vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-12))


def _silent(age_s: float) -> str:
    return f'its newest joints are {age_s * 1e3:.0f} ms old, limit {SILENCE_S * 1e3:.0f} ms'
