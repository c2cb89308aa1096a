# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The last gate before the robot: one pure function, `gate`, and the small memories it needs.

Whatever a model, a network or a foreign node came up with, what leaves the gate is finite, within
the limits of joints (position, velocity, acceleration) and tool (box, speed), and made from inputs
that are fresh. Where that is not possible the arm brakes within its limits and holds the last
commanded target: never the measured pose (a loaded arm sags) and never zeros.

| fault                              | what the gate does                                         |
| ---------------------------------- | ---------------------------------------------------------- |
| a robot that nobody armed          | nothing is sent                                            |
| an input never arrived             | nothing is sent; the reason names the topic                |
| joints older than `max_age_s`      | nothing is sent (`silent_on_stale`), else hold             |
| another input older than allowed   | hold (also when only the observation behind a plan is old) |
| camera frozen (`FrozenCamera`)     | hold                                                       |
| target not finite                  | hold; after `latch_after` in a row: stopped until re-armed |
| target too far or too fast         | move towards it as far as the limits allow (`motion`)      |
| stop                               | hold from this tick on, until re-armed; no jump on resume  |
| arm not where it was commanded     | its place is the command now, stopped until re-armed;      |
| or others moved it while it stood  | after that one command nothing is sent (`silent_on_stale`) |
| nobody wants anything              | brake, then nothing is sent                                |

Ages are differences of one monotonic clock; `age_of_stamp` brings a message's stamp onto it once,
on arrival, so that a clock that jumps later moves nothing. No rclpy, no torch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vw2_ros import names
from vw2_ros.arms.limits import Limits
from vw2_ros.control.motion import Tick, braked, limit_motion, limit_tool
from vw2_ros.errors import InvalidValueError

MIN_KNOWN_WORDS = 0.5  # share of an instruction's words; of fewer a policy makes nothing
DISARMED = 'disarmed: call rearm'  # why a robot does not move before anybody said so
SETTLED_S = 0.5  # an arm whose command has stood so long has arrived
LAG_S = 0.3  # an arm is where it was told to be about so long ago, or later


@dataclass(frozen=True)
class GateState:
    """What the gate remembers from one tick to the next. Start it with `armed_at`."""

    position: np.ndarray  # last command [rad] (n,)
    step: np.ndarray  # last command minus the one before [rad] (n,)
    target: np.ndarray  # last target that was asked for [rad] (n,)
    elapsed_s: float | None = None  # time in which `step` was made; None: one period
    still_s: float = 0.0  # how long the command has stood
    bad_frames: int = 0  # not finite targets in a row
    latched: str = ''  # why the arm is stopped, '' if it is not
    silent: bool = False  # the last command was not sent: the robot's controller holds by itself
    # between the lowest and the highest of the newest commands a joint may be [rad] (2, n); older
    # ones fade with LAG_S. None: `position` only
    span: np.ndarray | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of the gate in one tick."""

    target: np.ndarray | None  # joints [rad] (n,); None: nothing new
    ages_s: Mapping[str, float | None]  # topic -> age of what came on it; None: nothing ever came
    camera_frozen: bool = False
    measured: np.ndarray | None = None  # joints [rad] (n,); None: not known just now
    # topics that may be older than Limits.max_age_s, e.g. the plan of a world that waits for us
    allowed_s: Mapping[str, float] = field(default_factory=dict)
    # time since the last command, above 0 [s]; None: one period, as all ticks before and after this one
    elapsed_s: float | None = None
    speed: float = 1.0  # share of the limits' velocities, in 0..1
    # joints (n,) [rad] -> pose of the tool in the base frame; None: the tool has no limits
    forward: Callable | None = None
    idle: bool = False  # nobody wants anything of the arm
    unfollowed: str = ''  # why it is not known whether the arm follows; '' where it is
    # what a robot is owed: nothing is sent while nobody knows where it is (Contract.on_stale)
    silent_on_stale: bool = False
    # and an arm that others moved while its command stood is not moved back
    movable: bool = False


@dataclass(frozen=True)
class Verdict:
    """The gate's answer."""

    state: GateState | None
    command: np.ndarray | None  # [rad] (n,); None: nothing is sent
    status: str  # 'waiting' | 'disarmed' | 'idle' | 'moving' | 'holding' | 'stopped'
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
            f'{name} must be within its limits. Got {q[far][0]:.3f} rad. Move it back first.'
        )
    return GateState(inside, np.zeros_like(q), inside, still_s=np.inf, silent=True)


def stopped(state: GateState, why: str) -> GateState:
    """Latch the stop; the first reason stays."""
    return dataclasses.replace(state, latched=state.latched or why)


def at_rest(state: GateState) -> GateState:
    """Take the arm as standing at its last command: there was no tick for long."""
    return dataclasses.replace(state, step=np.zeros_like(state.step), elapsed_s=None)


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
    return GateState(
        state.position,
        state.step,
        state.position,
        state.elapsed_s,
        still_s=0.0 if state.step.any() else np.inf,
        silent=state.silent,
        span=state.span,
    )


def refuse_jump(before, joints, since_s: float, limits: Limits) -> None:
    """Refuse measured joints [rad] (n,) that no arm can have reached since those `before`.

    Raises:
        InvalidValueError: one moved further than at its full speed in `since_s`.
    """
    way = np.abs(joints - before)
    far = way - limits.following_rad - limits.velocity_rad_s * max(0.0, since_s)
    if far.max() > 0:
        i = int(np.argmax(far))
        raise InvalidValueError(
            f'{limits.joints[i]} must move as an arm can. Got a jump of {way[i]:.2f} rad within '
            f'{max(0.0, since_s) * 1e3:.0f} ms. Look at what publishes {names.JOINT_STATES}.'
        )


def ready(state: GateState | None, request: Request, limits: Limits) -> tuple[str, tuple]:
    """Whether a new target would be followed: its status, and the reasons if it would not.

    The caller may ask first, so that nothing accumulates while the arm holds; `gate` asks again.
    """
    missing = tuple(
        f'nothing ever came on {topic}' for topic, age_s in request.ages_s.items() if age_s is None
    )
    if state is None:
        return 'waiting', missing or ('not armed',)
    if state.latched == DISARMED:
        return 'disarmed', (DISARMED,)
    if state.latched:
        return 'stopped', (f'stopped: {state.latched}',)
    if missing:
        return 'waiting', missing
    if request.idle:
        return 'idle', ('no instruction',)
    stale = []
    for topic, age_s in request.ages_s.items():
        allowed_s = request.allowed_s.get(topic, limits.max_age_s)
        if not age_s <= allowed_s:  # NaN is old
            stale.append(f'{topic} is {age_s * 1e3:.0f} ms old, limit {allowed_s * 1e3:.0f} ms')
    if request.camera_frozen:
        stale.append(f'camera frozen: {limits.frozen_frames} identical frames')
    if request.unfollowed:
        stale.append(request.unfollowed)
    return ('holding', tuple(stale)) if stale else ('moving', ())


def gate(state: GateState | None, request: Request, limits: Limits) -> Verdict:
    """Let one command through, or as much of it as is safe; `state` None means not armed yet."""
    status, reasons = ready(state, request, limits)
    why = '' if state is None or status == 'disarmed' else _astray(state, request, limits)
    if status in ('waiting', 'disarmed') and not why:
        return Verdict(state, None, status, reasons)
    if why:
        return _seated(stopped(state, why), request, limits)
    if request.silent_on_stale and request.measured is None:
        # where the arm is nobody knows: its controller stops it, at the last command at the latest
        state = dataclasses.replace(at_rest(state), still_s=np.inf, silent=True, span=None)
        state = dataclasses.replace(state, target=state.position)
        return Verdict(state, None, status if state.latched else 'holding', reasons)
    if status != 'moving':
        return _hold(state, request, status, reasons, limits)
    if request.target is None:
        return _hold(state, request, 'holding', ('no target',), limits)

    target = np.asarray(request.target, np.float64)
    if target.shape != state.position.shape or not np.isfinite(target).all():
        state = dataclasses.replace(state, bad_frames=state.bad_frames + 1)
        if state.bad_frames >= limits.latch_after:
            why = f'{state.bad_frames} targets in a row were not finite'
            return _hold(stopped(state, why), request, 'stopped', (f'stopped: {why}',), limits)
        return _hold(state, request, 'holding', ('target is not finite',), limits)

    command, reasons = _limited(state, target, request, limits)
    state = _went(state, command, request, limits)
    return Verdict(
        dataclasses.replace(state, target=target, bad_frames=0), command, 'moving', reasons
    )


def _limited(state: GateState, target, request: Request, limits: Limits):
    # one tick towards a target, within the limits of joints and tool; and which of them bound it
    tick = _tick(state, request, limits)
    command, reasons = limit_motion(state.position, state.step, state.target, target, limits, tick)
    return _tool_limited(state, command, reasons, request, limits, tick)


def _braked(state: GateState, request: Request, limits: Limits):
    # one tick towards a stand
    tick = _tick(state, request, limits)
    if not state.step.any():
        return state.position
    command = braked(state.position, state.step, limits, tick)
    return _tool_limited(state, command, (), request, limits, tick)[0]


def _tool_limited(state: GateState, command, reasons, request: Request, limits: Limits, tick):
    if request.forward is None:
        return command, reasons
    command, more = limit_tool(state.position, state.step, command, limits, request.forward, tick)
    return command, (*reasons, *more)


def _tick(state: GateState, request: Request, limits: Limits) -> Tick:
    even = request.elapsed_s is None
    return Tick(
        limits.period_s if even else request.elapsed_s,
        limits.period_s if state.elapsed_s is None else state.elapsed_s,
        even,
        request.speed,
    )


def _went(state: GateState, command, request: Request, limits: Limits) -> GateState:
    # the state after a command that is sent
    elapsed_s = request.elapsed_s
    step = command - state.position
    still_s = 0.0 if step.any() else state.still_s + (elapsed_s or 0.0)
    return dataclasses.replace(
        state,
        position=command,
        step=step,
        elapsed_s=elapsed_s,
        still_s=still_s,
        silent=False,
        span=_widened(state, command, elapsed_s or limits.period_s) if request.movable else None,
    )


def _widened(state: GateState, command, elapsed_s: float) -> np.ndarray:
    # the span (2, n) after one more command
    low, high = command + np.exp(-elapsed_s / LAG_S) * (_span(state) - command)
    return np.stack([np.minimum(command, low), np.maximum(command, high)])


def _span(state: GateState) -> np.ndarray:
    return np.stack([state.position] * 2) if state.span is None else state.span


def _astray(state: GateState, request: Request, limits: Limits) -> str:
    # why the arm is not where it was told to be, '' if it is
    measured = request.measured
    if measured is None:
        return ''
    away, allowed = np.abs(measured - state.position), limits.following_rad
    if request.movable:  # what its lag alone does not explain, others did
        low, high = _span(state)
        beside = np.maximum(low - measured, measured - high)
        if beside.max() > limits.resume_tolerance_rad:
            away, allowed = beside, np.full_like(beside, limits.resume_tolerance_rad)
    elif state.latched:
        return ''
    i = int(np.argmax(away - allowed))
    if away[i] <= allowed[i]:
        return ''
    limit = f'limit {allowed[i]:.2f} rad'
    if request.movable and state.still_s >= SETTLED_S:
        how = f'was moved by {away[i]:.2f} rad, though nothing was commanded, {limit}'
        return f'{limits.joints[i]} {how}: call rearm to go on from here'
    return (
        f'{limits.joints[i]} is {away[i]:.2f} rad from its command, {limit}: is the arm blocked, '
        'are its brakes on, was it moved, or do commands not reach it yet?'
    )


def _seated(state: GateState, request: Request, limits: Limits) -> Verdict:
    # the command of a latched arm is where the arm is: neither its controller nor the next command
    # pulls it back, when the hand lets go or what blocked it gives way
    at = np.clip(request.measured, limits.lower_rad, limits.upper_rad)
    outside = np.abs(at - request.measured).max() > limits.resume_tolerance_rad
    sent = not outside and not (state.silent and request.silent_on_stale)
    silent = request.silent_on_stale or not sent
    state = dataclasses.replace(
        at_rest(state), position=at, target=at, still_s=np.inf, silent=silent, span=None
    )
    return Verdict(state, at if sent else None, 'stopped', (f'stopped: {state.latched}',))


def _hold(state: GateState, request: Request, status: str, reasons, limits: Limits) -> Verdict:
    if status == 'stopped' and state.silent and request.silent_on_stale:  # nothing is to be held
        return Verdict(state, None, status, tuple(reasons))
    # the last commanded target, or where braking towards it ends
    command = _braked(state, request, limits)
    held = dataclasses.replace(_went(state, command, request, limits), target=command)
    if status == 'idle' and not held.step.any():
        return Verdict(dataclasses.replace(held, silent=True), None, status, tuple(reasons))
    return Verdict(held, command, status, tuple(reasons))


def age_of_stamp(stamp_ns: int, clock_ns: int, limits: Limits) -> float:
    """Age [s] of a stamp on the clock that stamped it; one slightly ahead counts as new.

    Use it once, when the message arrives, and let the age grow on the monotonic clock. Of `limits`
    only `max_future_s` counts.

    Raises:
        ValueError: no stamp (zero), or one more than `max_future_s` ahead.
    """
    if stamp_ns <= 0:
        raise InvalidValueError('stamp must be set. Got zero. Let the sender stamp its messages.')
    age_s = (clock_ns - stamp_ns) * 1e-9
    if age_s < -limits.max_future_s:
        raise InvalidValueError(
            f'stamp must be at most {limits.max_future_s} s in the future. Got {-age_s:.3f} s. '
            'Give both machines the same clock.'
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
