# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of a bag: from one instruction to the next, as labelled frames. No ROS needed.

An episode is made whole, or refused with the reason.
"""

from dataclasses import dataclass

import numpy as np

from vw2_ros import names
from vw2_ros.arms import Arm
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.limits import Limits
from vw2_ros.bags.episodes import bag_spans
from vw2_ros.episodes import BEGIN, END, Span
from vw2_ros.errors import InvalidValueError
from vw2_ros.recording import labels
from vw2_ros.recording.tracks import Track, Tracks
from vw2_ros.words import split_words

MIN_FRAMES = 16  # one chunk of actions
IDLE_FRAMES = 5  # of standing still, that belong to the words before and after the motion
IMAGE_OFF_NS = 50e6  # a tick has no image if none is as near
GAP_NS = 200e6  # joints and commands are not interpolated over a longer silence
LOST = 0.1  # an episode that lacks a larger share of its frames is refused
EDGE_FRAMES = 4  # but for so many, as where commands begin after the first image
FEWEST_COMMANDS_HZ = 15.0
BEYOND_RAD = 0.2  # measured joints may be so far outside the limits
ASTRAY_RAD = 0.3  # commands that the arm is further from did not move it, see following_rad
ACTIONS = ('auto', 'commands', 'joints')


@dataclass(frozen=True)
class Episode:
    """Labelled frames of one instruction, still without pictures."""

    instruction: str
    image: np.ndarray  # int64 (n,), number of the image message as they came; -1: none is near
    robot_obs: np.ndarray  # float64 (n, 15), see Table.robot_obs
    actions: np.ndarray  # float64 (n, 7), see labels.py
    usable: np.ndarray  # bool (n,)
    shown: np.ndarray  # bool (n,), within the words
    facts: dict  # for people
    # of bags: when each frame was (n,) [ns], joints then, and what they were told for the next (n, k)
    ticks_ns: np.ndarray | None = None
    joints: np.ndarray | None = None
    told: np.ndarray | None = None


class Unusable(InvalidValueError):
    """An episode is refused; the message is the reason."""


def spans(tracks: Tracks, instruction: str = '') -> list[tuple[Span, int, int]]:
    """Each episode and what lies between, and its start and end on the clock of the tracks [ns].

    Those that were dropped are among them.

    Args:
        instruction: what the whole bag shows, where it does not say itself.
    """
    times = tracks.track(names.IMAGE).time_ns
    first, last = int(times[0]), int(times[-1])

    def at(arrival_ns: int) -> int:
        if arrival_ns in (BEGIN, END):
            return last if arrival_ns == END else first
        return min(max(first, int(tracks.when(np.int64(arrival_ns)))), last)

    found = [(span, at(span.start), at(span.stop)) for span in bag_spans(tracks.bag, instruction)]
    return [(span, start, end) for span, start, end in found if end > start]


def label(
    tracks: Tracks,
    start_ns: int,
    end_ns: int,
    instruction: str,
    contract: Contract,
    actions: str = 'auto',
) -> Episode:
    """Frames and actions of one span.

    Args:
        actions: 'commands', 'joints', or 'auto': commands where they were recorded and followed.
    Raises:
        Unusable: the reason, what came and what to do.
    """
    if instruction and not split_words(instruction):
        raise Unusable(f'an instruction must hold a word, got {instruction!r}')
    images, measured = tracks.track(names.IMAGE), tracks.track(names.JOINT_STATES)
    ticks = labels.tick_times(images.time_ns, start_ns, end_ns)  # (n + 1,)
    n = len(ticks) - 1
    if n < MIN_FRAMES:
        raise Unusable(f'{max(n, 0)} frames, wanted at least {MIN_FRAMES} (half a second)')
    image, off = labels.nearest(images.time_ns, ticks[:-1])
    seen = off <= IMAGE_OFF_NS
    known = labels.covered(measured.time_ns, ticks, GAP_NS)
    joints = labels.between(measured.time_ns, np.array(measured.values, float), ticks)
    _check_joints(measured, ticks, known, contract.limits)
    fingers, fingers_known = _fingers(tracks, ticks)
    source, target, told, why = _targets(tracks, ticks, joints, known, actions)
    poses = labels.tcp_poses(target, contract.arm)
    gripper, gripper_from = _gripper(tracks, ticks, fingers, source)
    usable = seen & (known & told)[:-1] & (known & told)[1:] & fingers_known[:-1]
    lost = 1 - usable.mean()
    if lost > max(LOST, EDGE_FRAMES / n):
        raise Unusable(
            f'{lost:.0%} of its frames lack something, at most {LOST:.0%} may: without '
            f'image {1 - seen.mean():.0%}, without {names.JOINT_STATES} {1 - known.mean():.0%}, '
            f'without commands {1 - told.mean():.0%}, without fingers '
            f'{1 - fingers_known.mean():.0%}. Look at rates and gaps of the topics, '
            'and record again'
        )
    relative, clipped = np.zeros((n, 7)), 0.0
    for a, b in _runs(usable):
        relative[a:b], share = labels.relative_actions(
            poses[a : b + 1], gripper[a:b], contract.action_frame
        )
        clipped += share * (b - a) / n
    moves = np.flatnonzero(labels.moving(poses, gripper) & usable)
    if instruction and not len(moves):
        raise Unusable('neither arm nor gripper moves: a policy would learn to stand still')
    shown = np.zeros(n, bool)
    if instruction:
        shown[max(0, moves[0] - IDLE_FRAMES) : moves[-1] + 1 + IDLE_FRAMES] = True
    facts = {
        'frames': int(usable.sum()),
        'shown': int((shown & usable).sum()),
        'actions': source,
        'gripper': gripper_from,
        'too_fast': round(float(clipped), 4),
        'lost': round(float(lost), 4),
        **({'note': why} if why else {}),
    }
    return Episode(
        instruction,
        np.where(seen, images.order[image], -1),
        arm_states(contract.arm, joints[:-1], fingers[:-1], gripper),
        relative,
        usable,
        shown,
        facts,
        ticks[:-1],
        joints[:-1],
        target[1:],
    )


def arm_states(
    arm: Arm,
    joints: np.ndarray,
    fingers: np.ndarray,
    gripper: np.ndarray,
    poses: np.ndarray | None = None,
) -> np.ndarray:
    """CALVIN's robot_obs (n, 15) of joints (n, k), one finger (n,) and gripper (n,).

    It has room for 7 joints: fewer are followed by zeros, of more the first 7 are kept.

    Args:
        poses: (n, 6) of the tool, where they are measured; None: those of the joints.
    """
    at = labels.tcp_poses(joints, arm) if poses is None else poses
    at = at + np.append(arm.base_position, np.zeros(3))
    at[:, 3:] = (at[:, 3:] + np.pi) % (2 * np.pi) - np.pi
    seven = np.zeros((len(joints), 7))
    seven[:, : joints.shape[1]] = joints[:, :7]
    return np.column_stack([at, 2 * fingers, seven, np.append(gripper[:1], gripper[:-1])])


def _check_joints(track: Track, ticks: np.ndarray, known: np.ndarray, limits: Limits) -> None:
    low, high = np.searchsorted(track.time_ns, [ticks[0], ticks[-1]])
    values = np.array(track.values[low : high + 1], float).reshape(-1, len(limits.joints))
    if not np.isfinite(values).all():
        bad = limits.joints[int(np.argmax(~np.isfinite(values).all(0)))]
        raise Unusable(
            f'{names.JOINT_STATES} is not finite for {bad} in '
            f'{int((~np.isfinite(values)).any(1).sum())} messages'
        )
    beyond = np.maximum(limits.lower_rad - values, values - limits.upper_rad)  # (m, k)
    if len(values) and beyond.max() > BEYOND_RAD:
        at, joint = np.unravel_index(beyond.argmax(), beyond.shape)
        raise Unusable(
            f'{limits.joints[joint]} stands at {values[at, joint]:.2f} rad, outside '
            f'{limits.lower_rad[joint]:.2f}..{limits.upper_rad[joint]:.2f}: are these '
            'degrees, or another arm?'
        )
    if not known.any():
        raise Unusable(f'no {names.JOINT_STATES} while it lasted')


def _fingers(tracks: Tracks, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measured position of a finger at each tick [m], and where it is known; 0 where nobody says."""
    track = tracks.fingers
    if len(track):
        values = np.array(track.values, float)
        if not np.isfinite(values).all():
            raise Unusable('the finger joint is not finite')
        # a gripper's driver may be slow: it holds still while it is silent
        return np.interp(ticks, track.time_ns, values), ticks >= track.time_ns[0] - GAP_NS
    return np.zeros(len(ticks)), np.ones(len(ticks), bool)


def _targets(
    tracks: Tracks, ticks: np.ndarray, joints: np.ndarray, known: np.ndarray, wanted: str
) -> tuple[str, np.ndarray, np.ndarray, str]:
    """What the actions are made from: 'commands' or 'joints', joints (n + 1, k), known, and why."""
    track = tracks.track(names.JOINT_COMMANDS) or tracks.track(names.POSITION_COMMANDS)
    why = ''
    if wanted == 'joints':
        return 'joints', joints, known, ''
    if track is None:
        why = f'no {names.JOINT_COMMANDS} in the bag'
    else:
        inside = track.time_ns[slice(*np.searchsorted(track.time_ns, [ticks[0], ticks[-1]]))]
        hz = 1e9 / np.median(np.diff(inside)) if len(inside) > 1 else 0.0
        target, told = labels.commanded(
            track.time_ns, np.array(track.values, float), ticks, GAP_NS
        )
        astray = float(np.median(np.abs(target - joints).max(1)))
        if hz < FEWEST_COMMANDS_HZ:
            why = f'commands came at {hz:.0f} Hz, wanted {FEWEST_COMMANDS_HZ:.0f} or more'
        elif told.mean() < 1 - LOST:
            why = f'{1 - told.mean():.0%} of the time no commands came'
        elif astray > ASTRAY_RAD:
            why = f'the arm was {astray:.2f} rad away from what it was told'
        else:
            return 'commands', target, told, ''
    if wanted == 'commands':
        raise Unusable(f'{why}; leave out --actions commands, and measured joints are used')
    return 'joints', joints, known, f'{why}: actions are of the measured joints'


def _gripper(
    tracks: Tracks, ticks: np.ndarray, fingers: np.ndarray, source: str
) -> tuple[np.ndarray, str]:
    """Gripper -1 or +1 of each frame (n,), and what it was taken from."""
    commands = tracks.command_fingers
    if source == 'commands' and len(commands):
        told = commands
    else:
        told = tracks.track(names.GRIPPER_COMMAND)
    if told is not None and told.time_ns[0] <= ticks[-1]:
        last = np.searchsorted(told.time_ns, ticks[1:], side='right') - 1  # in force at its end
        held = np.array(told.values, float)[np.maximum(last, 0)]
        return labels.gripper_of_commands(held), 'commands'
    if not len(tracks.fingers):
        raise Unusable(
            f'nobody says what the gripper does: record {names.GRIPPER_COMMAND}, '
            f'or {names.JOINT_STATES} with a finger joint'
        )
    return labels.gripper_of_motion(fingers)[:-1], 'fingers'


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first, after the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))
