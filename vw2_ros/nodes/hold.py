# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How a stream of commands is brought to rest by somebody who only heard it. No node.

The controller of a trajectory holds by itself once nothing comes. An arm that is sent velocities, or
positions in a stream that must not end (`on_stale: hold` in its contract), is told here: its joints
brake from their last two commands within their limits, and the gripper stays.
"""

import copy
from array import array

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from vw2_ros.arms.contract import Contract
from vw2_ros.control.safety import GateState, Request, gate, stopped

LIVE_S = 0.5  # a stream that ended longer ago is none


def wants_commands(contract: Contract) -> bool:
    """Whether an arm must be told to hold when its commands end."""
    form = contract.command.form
    return form == 'twist' or (form != 'trajectory' and contract.on_stale == 'hold')


class Hold:
    """Hears the commands of one robot, and goes on from them."""

    def __init__(self, contract: Contract):
        self.contract = contract
        self._heard: list[tuple[float, object]] = []  # (when, message) of the last two
        self._state: GateState | None = None

    def hear(self, message, now_s: float) -> None:
        """Take note of a command, at `now_s` of the monotonic clock."""
        self._heard = [*self._heard[-1:], (now_s, message)]

    def begin(self, now_s: float) -> bool:
        """Go on from the last commands; False if there is no stream to go on from."""
        self._state = None
        if not self._heard or now_s - self._heard[-1][0] > LIVE_S:
            return False
        if self.contract.command.form == 'twist':
            return True
        last_s, last = self._heard[-1]
        before_s, before = self._heard[0]
        q, n = np.array(_positions(last)), len(self.contract.joints)
        if len(q) < n:
            return False
        step, period_s = np.zeros(n), self.contract.limits.period_s
        if 0 < last_s - before_s < 2 * period_s:
            step = q[:n] - np.array(_positions(before))[:n]
        self._state = stopped(GateState(q[:n], step, q[:n]), 'its commands have ended')
        return True

    def next(self, stamp):
        """The next command, one period after the last; `stamp` (builtin_interfaces/Time) is now."""
        spec = self.contract.command
        if spec.form == 'twist':
            message = TwistStamped()
            message.header.frame_id = spec.frame_id
        else:
            verdict = gate(self._state, Request(None, {}), self.contract.limits)
            self._state = verdict.state
            message = copy.deepcopy(self._heard[-1][1])
            _positions(message)[: len(verdict.command)] = array('d', verdict.command)
        if hasattr(message, 'header'):
            message.header.stamp = stamp
        return message

    @property
    def position(self) -> np.ndarray | None:
        """Where the arm is told to be [rad] (n,); None for a twist."""
        return None if self._state is None else self._state.position


def _positions(message: Float64MultiArray | JointState) -> array:
    # the joints in the contract's order, then perhaps the gripper
    return message.data if isinstance(message, Float64MultiArray) else message.position
