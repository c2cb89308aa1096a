# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a robot may do: `Limits`, which the last gate keeps (control/safety.py)."""

import dataclasses
import math
import typing
from dataclasses import dataclass

import numpy as np

from vw2_ros.errors import InvalidValueError

_MAX_RAD_S, _MAX_RAD_S2 = 4 * math.pi, 500.0  # beyond any arm; degrees would be
_PER_JOINT = ('lower_rad', 'upper_rad', 'velocity_rad_s', 'acceleration_rad_s2', 'following_rad')
_BOX = ('box_lower_m', 'box_upper_m')
_ABOVE_0 = (
    'velocity_rad_s',
    'acceleration_rad_s2',
    'following_rad',
    'period_s',
    'max_age_s',
    'max_future_s',
    'resume_tolerance_rad',
    'frozen_frames',
    'latch_after',
    'tool_speed_m_s',
)


@dataclass(frozen=True)
class Braking:
    """How much slower a joint must be near its ends: |v| <= sqrt(slope * way to the end) - offset.

    Where it is 0, it may no longer move towards that end. This is how Franka publishes the limits
    of the FR3 ("Limits for Franka Research 3").
    """

    offset_rad_s: np.ndarray  # float64 (n,), at least 0
    slope_rad_s2: np.ndarray  # float64 (n,), above 0: twice the braking that it allows
    lower_rad: np.ndarray  # float64 (n,), the ends
    upper_rad: np.ndarray  # float64 (n,)

    def __post_init__(self):
        names = [field.name for field in dataclasses.fields(self)]
        n = np.size(self.offset_rad_s)
        for name in names:
            _set_numbers(self, name, n, 'limits.braking')
        if (self.offset_rad_s < 0).any():
            raise InvalidValueError(
                f'limits.braking.offset_rad_s must be at least 0. Got {self.offset_rad_s}.'
            )
        if (self.slope_rad_s2 <= 0).any():
            raise InvalidValueError(
                f'limits.braking.slope_rad_s2 must be above 0. Got {self.slope_rad_s2}.'
            )
        if (self.lower_rad >= self.upper_rad).any():
            raise InvalidValueError(
                'limits.braking.lower_rad must be below upper_rad. Got '
                f'{self.lower_rad} and {self.upper_rad}.'
            )

    def speeds(self, way_rad) -> np.ndarray:
        """Highest speed [rad/s] (..., n) at that way [rad] (..., n) before an end."""
        room = np.sqrt(self.slope_rad_s2 * np.maximum(way_rad, 0)) - self.offset_rad_s
        return np.maximum(room, 0)


@dataclass(frozen=True)
class Limits:
    """What a robot may do; one number per joint where it says so.

    Of the fields, only `braking` has a default: none.
    """

    joints: tuple[str, ...]
    lower_rad: np.ndarray  # float64 (n,)
    upper_rad: np.ndarray  # float64 (n,)
    velocity_rad_s: np.ndarray  # float64 (n,)
    acceleration_rad_s2: np.ndarray  # float64 (n,)
    following_rad: np.ndarray  # float64 (n,), a command further from the measured joint stops
    box_lower_m: np.ndarray  # float64 (3,), corner of the box that the tool stays in, base frame
    box_upper_m: np.ndarray  # float64 (3,), the opposite corner
    tool_speed_m_s: float  # highest speed of the tool
    period_s: float  # time from one command to the next
    max_age_s: float  # older inputs move nothing
    max_future_s: float  # stamps further ahead of the clock are refused
    frozen_frames: int  # byte-identical frames that make a frozen camera
    latch_after: int  # not finite commands in a row until the stop latches
    resume_tolerance_rad: float  # beyond it, resume from the measured joints
    braking: Braking | None = None  # how `velocity_rad_s` shrinks near the ends; None: it does not

    def __post_init__(self):
        names = [name for name in self.joints if isinstance(name, str)]
        if not names or len(set(names)) != len(self.joints):
            raise InvalidValueError(f'limits.joints must be different names. Got {self.joints}.')
        words = {int: 'a whole number', float: 'a number'}
        for name, kind in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if kind in words and (isinstance(value, bool) or not isinstance(value, (int, kind))):
                raise InvalidValueError(f'limits.{name} must be {words[kind]}. Got {value!r}.')
        for name in _PER_JOINT:
            _set_numbers(self, name, len(self.joints), 'limits')
        for name in _BOX:
            _set_numbers(self, name, 3, 'limits')
        for low, high in (('lower_rad', 'upper_rad'), _BOX):
            a, b = getattr(self, low), getattr(self, high)
            if (a >= b).any():
                raise InvalidValueError(f'limits.{low} must be below {high}. Got {a} and {b}.')
        for name in _ABOVE_0:
            value = getattr(self, name)
            if not (np.asarray(value) > 0).all() or not np.isfinite(value).all():
                raise InvalidValueError(f'limits.{name} must be above 0. Got {value}.')
        self._refuse_degrees()
        if self.braking is not None and len(self.braking.offset_rad_s) != len(self.joints):
            raise InvalidValueError(
                f'limits.braking must be of {len(self.joints)} joints. '
                f'Got {len(self.braking.offset_rad_s)}.'
            )

    def _refuse_degrees(self) -> None:
        if max(-self.lower_rad.min(), self.upper_rad.max()) > 2 * math.pi + 1e-3:
            raise InvalidValueError(
                'limits.lower_rad and upper_rad must lie within one turn of 0. Got '
                f'{self.lower_rad} and {self.upper_rad}. Are these degrees?'
            )
        for name, most in (('velocity_rad_s', _MAX_RAD_S), ('acceleration_rad_s2', _MAX_RAD_S2)):
            if getattr(self, name).max() > most:
                raise InvalidValueError(
                    f'limits.{name} must be at most {most:.1f}. Got {getattr(self, name)}. '
                    'Are these degrees?'
                )

    def velocity_bounds(self, position) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest velocity [rad/s] (..., n) of joints at a position [rad] (..., n)."""
        speed = np.broadcast_to(self.velocity_rad_s, np.shape(position))
        if self.braking is None:
            return -speed, speed
        down = self.braking.speeds(position - self.braking.lower_rad)
        up = self.braking.speeds(self.braking.upper_rad - position)
        return -np.minimum(speed, down), np.minimum(speed, up)


def _set_numbers(self, name: str, n: int, prefix: str) -> None:
    # make one field of a frozen dataclass a read-only array (n,) of finite numbers
    try:
        values = np.array(getattr(self, name), np.float64)
    except (TypeError, ValueError):  # text, or lists within
        values = np.array(np.nan)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise InvalidValueError(
            f'{prefix}.{name} must be {n} finite numbers. Got {getattr(self, name)}.'
        )
    values.flags.writeable = False
    object.__setattr__(self, name, values)
