# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a person wants of the arm, by keys or a joystick. No ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vw2_ros import names
from vw2_ros.errors import InvalidValueError

KEY_S = 0.15  # a key moves for so long; a terminal repeats it sooner while it is held
JOY_SILENCE_S = 0.2  # then nobody holds the joystick
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

    keys, help = KEYS, HELP
    frame = ''  # whose axes a twist has; '': those of the contract's action frame

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
