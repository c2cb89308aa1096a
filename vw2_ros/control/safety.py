# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The last gate before the robot: one pure function, `gate`, and the small memories it needs.

Whatever a model, a network or a foreign node came up with, what leaves the gate is finite, within
the joints' position, velocity and acceleration limits, and made from inputs that are fresh. Where
that is not possible the arm brakes within its limits and holds the last commanded target: never
the measured pose (a loaded arm sags) and never zeros.

| fault                              | what the gate does                                         |
| ---------------------------------- | ---------------------------------------------------------- |
| an input never arrived             | no command; the reason names the topic                     |
| an input is older than `max_age_s` | hold (also when only the observation behind a plan is old) |
| camera frozen (`FrozenCamera`)     | hold                                                       |
| target not finite                  | hold; after `latch_after` in a row: stopped until re-armed |
| target too far or too fast         | move towards it as far as the limits allow                 |
| stop                               | hold from this tick on, until re-armed; no jump on resume  |
| arm not where it was commanded     | back to where it was found, stopped until re-armed         |

Ages are differences of one monotonic clock; `age_of_stamp` brings a message's stamp onto it once,
on arrival, so that a clock that jumps later moves nothing. No rclpy, no torch.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vw2_ros.arms.limits import Limits
from vw2_ros.errors import InvalidValueError

MIN_KNOWN_WORDS = 0.5  # share of an instruction's words; of fewer a policy makes nothing
_ROUNDING_RAD = 1e-12


@dataclass(frozen=True)
class GateState:
    """What the gate remembers from one tick to the next. Start it with `armed_at`."""

    position: np.ndarray  # last command [rad] (n,)
    step: np.ndarray  # last command minus the one before [rad per tick] (n,)
    target: np.ndarray  # last target that was asked for [rad] (n,)
    bad_frames: int = 0  # not finite targets in a row
    latched: str = ''  # why the arm is stopped, '' if it is not
    retreat: np.ndarray | None = None  # where it was found when it did not follow [rad] (n,)


@dataclass(frozen=True)
class Request:
    """What is asked of the gate in one tick."""

    target: np.ndarray | None  # joints [rad] (n,); None: nothing new
    ages_s: Mapping[str, float | None]  # topic -> age of what came on it; None: nothing ever came
    camera_frozen: bool = False
    measured: np.ndarray | None = None  # joints [rad] (n,); None: not known just now
    # topics that may be older than Limits.max_age_s, e.g. the plan of a world that waits for us
    allowed_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: `command` is None only before the first command."""

    state: GateState | None
    command: np.ndarray | None  # [rad] (n,)
    status: str  # 'waiting' | 'moving' | 'holding' | 'stopped'
    reasons: tuple[str, ...]  # why it is not exactly what was asked for


def armed_at(joints, limits: Limits) -> GateState:
    """Begin at the measured joints [rad] (n,), at rest.

    Raises:
        ValueError: not finite, not (n,), or further outside the position limits than the
            tolerance.
    """
    q = np.array(joints, np.float64)
    if q.shape != limits.lower_rad.shape or not np.isfinite(q).all():
        raise InvalidValueError(
            f'joints must be {len(limits.joints)} finite numbers. Got {joints}.'
        )
    inside = np.clip(q, limits.lower_rad, limits.upper_rad)
    far = np.abs(q - inside) > limits.resume_tolerance_rad
    if far.any():
        name = limits.joints[int(np.argmax(far))]
        raise InvalidValueError(
            f'{name} is at {q[far][0]:.3f} rad, outside its limits: move it back first'
        )
    return GateState(inside, np.zeros_like(q), inside)


def stopped(state: GateState, why: str) -> GateState:
    """Latch the stop; the first reason stays."""
    return dataclasses.replace(state, latched=state.latched or why)


def rearmed(state: GateState, joints, limits: Limits) -> GateState:
    """Undo the latch, at rest and without a jump.

    The arm goes on from its last command, or from the measured `joints` [rad] (n,) if something
    moved it further than `resume_tolerance_rad` away meanwhile.

    Raises:
        ValueError: as `armed_at`.
    """
    measured = armed_at(joints, limits)
    if np.abs(measured.position - state.position).max() > limits.resume_tolerance_rad:
        return measured
    return GateState(state.position, state.step, state.position)


def ready(state: GateState | None, request: Request, limits: Limits) -> tuple[str, tuple]:
    """Whether a new target would be followed: its status, and the reasons if it would not.

    The caller may ask first, so that nothing accumulates while the arm holds; `gate` asks again.
    """
    missing = tuple(
        f'nothing ever came on {topic}' for topic, age_s in request.ages_s.items() if age_s is None
    )
    if state is None or missing:
        return 'waiting', missing or ('not armed',)
    if state.latched:
        return 'stopped', (f'stopped: {state.latched}',)
    stale = []
    for topic, age_s in request.ages_s.items():
        allowed_s = request.allowed_s.get(topic, limits.max_age_s)
        if not age_s <= allowed_s:  # NaN is old
            stale.append(f'{topic} is {age_s * 1e3:.0f} ms old, limit {allowed_s * 1e3:.0f} ms')
    if request.camera_frozen:
        stale.append(f'camera frozen: {limits.frozen_frames} identical frames')
    return ('holding', tuple(stale)) if stale else ('moving', ())


def gate(state: GateState | None, request: Request, limits: Limits) -> Verdict:
    """Let one command through, or as much of it as is safe; `state` None means not armed yet."""
    status, reasons = ready(state, request, limits)
    if status == 'waiting':
        return Verdict(state, None, status, reasons)
    why = '' if state.latched else _astray(state, request.measured, limits)
    if why:
        state = dataclasses.replace(stopped(state, why), retreat=request.measured)
        status, reasons = 'stopped', (f'stopped: {why}',)
    if status != 'moving':
        return _hold(state, status, reasons, limits)
    if request.target is None:
        return _hold(state, 'holding', ('no target',), limits)

    target = np.asarray(request.target, np.float64)
    if target.shape != state.position.shape or not np.isfinite(target).all():
        state = dataclasses.replace(state, bad_frames=state.bad_frames + 1)
        if state.bad_frames >= limits.latch_after:
            why = f'{state.bad_frames} targets in a row were not finite'
            return _hold(stopped(state, why), 'stopped', (f'stopped: {why}',), limits)
        return _hold(state, 'holding', ('target is not finite',), limits)

    command, reasons = limit_motion(state.position, state.step, state.target, target, limits)
    state = GateState(command, command - state.position, target)
    return Verdict(state, command, 'moving', reasons)


def limit_motion(position, step, last_target, target, limits: Limits):
    """One tick towards `target` within the limits; the arrays may be (..., n).

    A target that moves within the limits is met exactly. After a jump the command catches up
    without overshooting a target that stands or moves evenly. The command never gets into a state
    from which it could not brake before a position limit.

    Returns:
        command [rad] (..., n), and the names of the limits that changed it.
    """
    accel = limits.acceleration_rad_s2 * limits.period_s**2  # rad per tick^2
    speed = limits.velocity_rad_s * limits.period_s  # rad per tick
    inside = np.clip(target, limits.lower_rad, limits.upper_rad)
    way = inside - position
    drift = inside - np.clip(last_target, limits.lower_rad, limits.upper_rad)
    behind = way - drift  # how far the last command was from the last target
    want = drift + np.sign(behind) * _longest_step(np.abs(behind), accel)
    low = np.maximum(
        np.maximum(step - accel, -speed),
        -_longest_step(np.maximum(position - limits.lower_rad, 0), accel),
    )
    high = np.minimum(
        np.minimum(step + accel, speed),
        _longest_step(np.maximum(limits.upper_rad - position, 0), accel),
    )
    move = np.clip(want, low, np.maximum(low, high))
    command = np.where(np.abs(move - way) <= _ROUNDING_RAD, inside, position + move)
    command = np.clip(command, limits.lower_rad, limits.upper_rad)
    if np.array_equal(command, target):
        return command, ()
    reasons = []
    if not np.array_equal(inside, target):
        reasons.append('position limit')
    if (np.abs(way) > speed + _ROUNDING_RAD).any():
        reasons.append('velocity limit')
    if (np.abs(np.clip(way, -speed, speed) - move) > _ROUNDING_RAD).any():
        reasons.append('acceleration limit')
    return command, tuple(reasons)


def _longest_step(room, accel):
    """Return the longest step from which braking by `accel` per tick still stops within `room`.

    With m = floor(step / accel) the whole way is (m + 1) step - accel m (m + 1) / 2; solved for
    step. All in rad per tick, room >= 0.
    """
    m = np.floor((np.sqrt(1 + 8 * room / accel) - 1) / 2)
    return (room + accel * m * (m + 1) / 2) / (m + 1)


def _astray(state: GateState, measured, limits: Limits) -> str:
    # why the arm is not where it was commanded, '' if it is
    if measured is None:
        return ''
    away = np.abs(measured - state.position)
    if (away <= limits.following_rad).all():
        return ''
    i = int(np.argmax(away - limits.following_rad))
    return (
        f'{limits.joints[i]} is {away[i]:.2f} rad from its command, limit '
        f'{limits.following_rad[i]:.2f} rad: is the arm blocked, or its brakes on?'
    )


def _hold(state: GateState, status: str, reasons, limits: Limits) -> Verdict:
    if state.retreat is None:
        # the last commanded target, or where braking towards it ends
        accel = limits.acceleration_rad_s2 * limits.period_s**2
        step = np.sign(state.step) * np.maximum(np.abs(state.step) - accel, 0)
        command = np.clip(state.position + step, limits.lower_rad, limits.upper_rad)
    else:  # nothing is left to pull at an arm that comes free
        command, _ = limit_motion(state.position, state.step, state.retreat, state.retreat, limits)
    held = dataclasses.replace(
        state, position=command, step=command - state.position, target=command
    )
    return Verdict(held, command, status, tuple(reasons))


def age_of_stamp(stamp_ns: int, clock_ns: int, limits: Limits) -> float:
    """Age [s] of a stamp on the clock that stamped it; one slightly ahead counts as new.

    Use it once, when the message arrives, and let the age grow on the monotonic clock. Of `limits`
    only `max_future_s` counts.

    Raises:
        ValueError: no stamp (zero), or one more than `max_future_s` ahead.
    """
    if stamp_ns <= 0:
        raise InvalidValueError('stamp is zero: the sender must stamp its messages')
    age_s = (clock_ns - stamp_ns) * 1e-9
    if age_s < -limits.max_future_s:
        raise InvalidValueError(
            f'stamp is {-age_s:.3f} s in the future, limit {limits.max_future_s} s: '
            'do both machines have the same clock?'
        )
    return max(age_s, 0.0)


class FrozenCamera:
    """Tells a camera that sends the same frame again and again, whatever the stamps say.

    A real sensor never repeats a frame byte for byte; a simulated one needs its noise.
    """

    def __init__(self, frames: int):
        if frames < 2:
            raise InvalidValueError(f'frames must be at least 2. Got {frames}.')
        self.frames = frames
        self.identical = 0
        self._last = b''

    def see(self, frame) -> bool:
        """Take one frame (array or bytes); True while `frames` or more were identical."""
        data = frame.tobytes() if isinstance(frame, np.ndarray) else bytes(frame)
        self.identical = self.identical + 1 if data == self._last else 1
        self._last = data
        return self.frozen

    @property
    def frozen(self) -> bool:
        """Whether the last `frames` frames were identical."""
        return self.identical >= self.frames
