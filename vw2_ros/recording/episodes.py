# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 convert`: labelled recordings of a robot -> a data set for `vw2 train head`. No ROS needed.

Bags of `vw2 record` or `ros2 bag record`, in any namespace:

| topic            | type                          | what it gives                              |
| ---------------- | ----------------------------- | ------------------------------------------ |
| image_raw        | Image or CompressedImage      | frames: centre square, at most 200 px      |
| joint_states     | JointState                    | where the arm is, by joint name; fingers   |
| instruction      | String, optional              | what is shown from then on; '' ends it     |
| joint_commands   | JointTrajectory or JointState | optional: the targets, see `labels.py`     |
| commands         | Float64MultiArray             | likewise, joints in the order of `limits`  |
| gripper_command  | Float64MultiArray (1) [m]     | optional: gripper, where not with the rest |

Everything is aligned on header stamps. Topics whose stamps are zero, jump, or are of another clock
than the others' count by time of arrival, as do messages that have no stamp. An *episode* lasts
from one instruction to the next. It is written whole or refused with the reason; others go on.

    <out>/recordings.json       each bag: rates, gaps, and what became of its episodes
    <out>/training/, validation/   CALVIN's format as `sim/dataset_writer.py` has it, in shards

Nothing is made up: `scene_obs` and `landmarks`, which only a simulator knows, are left out.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vw2_ros.arms import open_arm
from vw2_ros.control.safety import Limits
from vw2_ros.errors import InvalidValueError
from vw2_ros.recording import labels
from vw2_ros.recording.bags import Bag, BagError, find_bags, fingerprint, rosbags
from vw2_ros.sim.dataset_writer import (
    SessionWriter,
    check_same_settings,
    read_markers,
    write_atomically,
    write_index,
)

VERSION = 1  # of how labels are made; one folder holds one version
IMAGE, JOINTS, INSTRUCTION = 'image_raw', 'joint_states', 'instruction'
COMMANDS, POSITIONS, GRIPPER = 'joint_commands', 'commands', 'gripper_command'
SPLITS = ('training', 'validation')
HELD_OUT = 10  # of so many episodes with words, one is for validation
IMAGE_PX = 200  # side of the frames at most, as CALVIN's
PART_FRAMES = 1800  # longer episodes are written in parts of one minute
MIN_FRAMES = 16  # one chunk of actions
IDLE_FRAMES = 5  # of standing still, that belong to the words before and after the motion
IMAGE_OFF_NS = 50e6  # a tick has no image if none is as near
GAP_NS = 200e6  # joints and commands are not interpolated over a longer silence
LOST = 0.1  # an episode that lacks a larger share of its frames is refused
EDGE_FRAMES = 4  # but for so many, as where commands begin after the first image
FEWEST_COMMANDS_HZ = 15.0
SKEW_NS = 100e6  # by which the clocks of two topics may differ
BEYOND_RAD = 0.2  # measured joints may be so far outside the limits
ASTRAY_RAD = 0.3  # commands that the arm is further from did not move it, see following_rad
ACTIONS = ('auto', 'commands', 'joints')


class RecordingError(BagError):
    """A bag lacks what every episode needs."""


# ------------------------------------------------------------------------------ what a bag holds


@dataclass
class Track:
    """The messages of one topic: when they came, when they say they were made, what they hold."""

    topic: str
    received_ns: list = field(default_factory=list)
    stamp_ns: list = field(default_factory=list)  # 0: the message has none
    values: list = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)  # reason -> messages
    time_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # as they came
    clock: str = 'arrival'

    def __len__(self) -> int:
        return len(self.received_ns)

    def add(self, received_ns: int, stamp_ns: int, value) -> None:
        """Take one message."""
        self.received_ns.append(received_ns)
        self.stamp_ns.append(stamp_ns)
        self.values.append(value)

    @property
    def stamped(self) -> bool:
        """Whether the header stamps can be relied on: all there, and nearly always growing.

        A message that is sent again counts once; a clock that stands still is none.
        """
        stamps = np.array(self.stamp_ns, np.int64)
        if not len(stamps) or not (stamps > 0).all():
            return False
        steps = np.diff(stamps)
        return bool(
            (steps < 0).sum() <= 0.05 * len(steps) and (steps == 0).sum() <= len(steps) / 2
        )

    @property
    def latency_ns(self) -> float:
        """Median time from stamp to arrival."""
        return float(np.median(np.subtract(self.received_ns, self.stamp_ns)))

    def settle(self, time_ns: np.ndarray, clock: str) -> None:
        """Fix the times, and put everything in their order; what comes twice counts once."""
        self.time_ns, self.order = np.unique(np.asarray(time_ns, np.int64), return_index=True)
        self.values = [self.values[i] for i in self.order]
        self.clock = clock

    def report(self) -> dict:
        """Rates and gaps for people."""
        gaps = np.diff(self.time_ns) * 1e-9
        period = float(np.median(gaps)) if len(gaps) else 0.0
        return {
            'messages': len(self),
            'hz': round(1 / period, 1) if period else 0.0,
            'longest_gap_ms': round(1e3 * float(gaps.max()), 1) if len(gaps) else None,
            'gaps': int((gaps > max(2.5 * period, 0.05)).sum()),
            'clock': self.clock,
            # of simulated time it says nothing
            'latency_ms': round(self.latency_ns * 1e-6, 1)
            if self.stamped and abs(self.latency_ns) < 3600e9
            else None,
            **({'refused': dict(self.refused)} if self.refused else {}),
        }


class Recording:
    """All of a bag but the pictures.

    Args:
        bag: the bag.
        joints: names of the arm's joints.
        image: topic of the pictures; '': `image_raw`, or the only one.
    Raises:
        RecordingError: no images or no joints of the arm; the message says what is there.
    """

    def __init__(self, bag: Bag, joints: Sequence[str], image: str = ''):
        self.bag, self.names = bag, tuple(joints)
        self.image_topic = _choose_image(bag.topics, image)
        wanted = {self.image_topic: (IMAGE, self._on_image)}
        for name, reader in (
            (JOINTS, self._on_joints),
            (INSTRUCTION, self._on_instruction),
            (COMMANDS, self._on_command),
            (POSITIONS, self._on_positions),
            (GRIPPER, self._on_gripper),
        ):
            topic = _choose(bag.topics, name)
            if topic:
                wanted[topic] = (name, reader)
        self.tracks = {name: Track(topic) for topic, (name, _) in wanted.items()}
        self.fingers, self.command_fingers = Track('finger joint'), Track('finger command')
        self._seen_names: set[tuple] = set()
        self._read(wanted)
        self._check()
        self._set_times()
        self.instructions = self._spoken()

    def track(self, name: str) -> Track | None:
        """The messages of a topic, None where there is none."""
        found = self.tracks.get(name)
        return found if found is not None and len(found) else None

    def report(self) -> dict:
        """{topic: rates and gaps}."""
        return {t.topic: t.report() for t in self.tracks.values()}

    def _read(self, wanted: dict) -> None:
        read = _reader()
        for topic, kind, received_ns, data in self.bag.messages(list(wanted)):
            name, take = wanted[topic]
            try:
                take(self.tracks[name], received_ns, read(data, kind))
            except Exception as error:  # a message of another shape than its type's
                self.tracks[name].refused[str(error)[:120] or type(error).__name__] += 1

    # -- one message each

    def _on_image(self, track: Track, received_ns: int, message) -> None:
        track.add(received_ns, _stamp_ns(message), None)

    def _on_joints(self, track: Track, received_ns: int, message) -> None:
        stamp_ns, found = _stamp_ns(message), dict(zip(message.name, message.position))
        self._seen_names.add(tuple(message.name))
        finger = [v for n, v in found.items() if 'finger' in n]
        if finger:  # it may come in messages of its own
            self.fingers.add(received_ns, stamp_ns, finger[0])
        if all(n in found for n in self.names):
            track.add(received_ns, stamp_ns, [found[n] for n in self.names])

    def _on_instruction(self, track: Track, received_ns: int, message) -> None:
        track.add(received_ns, 0, ' '.join(message.data.split()))

    def _on_command(self, track: Track, received_ns: int, message) -> None:
        if hasattr(message, 'points'):
            if len(message.points) != 1:
                raise InvalidValueError(
                    f'a trajectory of {len(message.points)} points; only those of one '
                    'point, which is the target, are read'
                )
            names, values = message.joint_names, message.points[0].positions
        else:
            names, values = message.name, message.position
        self._command(track, received_ns, _stamp_ns(message), dict(zip(names, values)))

    def _on_positions(self, track: Track, received_ns: int, message) -> None:
        if len(message.data) not in (len(self.names), len(self.names) + 1):
            raise InvalidValueError(
                f'{len(message.data)} numbers, wanted the {len(self.names)} joints, '
                'and perhaps the finger'
            )
        self._command(track, received_ns, 0, dict(zip((*self.names, 'finger'), message.data)))

    def _command(self, track: Track, received_ns: int, stamp_ns: int, found: dict) -> None:
        missing = [n for n in self.names if n not in found]
        if missing:
            raise InvalidValueError(f'joints {", ".join(missing)} are not in it')
        values = [found[n] for n in self.names]
        if not np.isfinite(values).all():
            raise InvalidValueError('not finite')
        track.add(received_ns, stamp_ns, values)
        finger = [v for n, v in found.items() if 'finger' in n]
        if finger and np.isfinite(finger[0]):
            self.command_fingers.add(received_ns, stamp_ns, finger[0])

    def _on_gripper(self, track: Track, received_ns: int, message) -> None:
        if len(message.data) != 1 or not np.isfinite(message.data).all():
            raise InvalidValueError(f'wanted one finite number, got {list(message.data)!s:.60}')
        track.add(received_ns, 0, float(message.data[0]))

    # -- together

    def _check(self) -> None:
        if not self.track(IMAGE):
            raise RecordingError(f'no image on {self.image_topic}')
        if JOINTS not in self.tracks:
            raise RecordingError(f'no topic {JOINTS}; there are {_listed(self.bag.topics)}')
        if not self.track(JOINTS):
            seen = ', '.join(max(self._seen_names, key=len, default=())) or 'no joint'
            raise RecordingError(
                f'{JOINTS} never had all of {", ".join(self.names)}; it had '
                f'{seen}. Name the joints of your arm in a copy of '
                'config/limits.yaml, and give that with --limits'
            )

    def _set_times(self) -> None:
        tracks = [t for t in (*self.tracks.values(), self.fingers, self.command_fingers) if len(t)]
        stamped = [t for t in tracks if t.stamped]
        latency = [t.latency_ns for t in stamped]
        # clocks of different machines: nobody knows which one is right
        skewed = len(latency) > 1 and max(latency) - min(latency) > SKEW_NS
        image = self.tracks[IMAGE]
        received = np.array(image.received_ns, np.int64)
        if image.stamped and abs(np.ptp(image.stamp_ns) / max(np.ptp(received), 1) - 1) > 0.05:
            skewed = False  # simulated time, slower or faster than ours: one clock for all
        by_stamp = image.stamped and not skewed
        offset = (np.array(image.stamp_ns, np.int64) if by_stamp else received) - received
        for track in tracks:
            if track.stamped and by_stamp:
                track.settle(np.array(track.stamp_ns, np.int64), 'stamps')
            else:  # what has no stamp happened when the image that came with it was taken
                came = np.array(track.received_ns, np.int64)
                shift = np.interp(came, received, offset) if np.any(offset) else 0
                track.settle(
                    came + np.rint(shift).astype(np.int64),
                    'arrival (stamps of topics disagree)'
                    if skewed and track.stamped
                    else 'arrival',
                )

    def _spoken(self) -> list[tuple[int, str]]:
        """(time, text) of each change of the instruction."""
        track, out = self.track(INSTRUCTION), []
        for at, text in zip(track.time_ns, track.values) if track else ():
            if text != (out[-1][1] if out else ''):
                out.append((int(at), text))
        return out


def _reader():
    typesys = rosbags('typesys')
    # these messages are the same in all releases of ROS 2
    return typesys.get_typestore(typesys.Stores.ROS2_JAZZY).deserialize_cdr


def _stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _listed(topics: dict) -> str:
    return ', '.join(sorted(topics)) or 'none'


def _choose(topics: dict, name: str) -> str:
    """The topic of this name, in any namespace; '' where there is none."""
    found = [t for t in topics if t == f'/{name}' or t.endswith(f'/{name}') or t == name]
    if len(found) > 1:
        raise RecordingError(
            f'several topics are called {name}: {_listed(dict.fromkeys(found))}. '
            'Record those of one robot only'
        )
    return found[0] if found else ''


def _choose_image(topics: dict, image: str) -> str:
    kinds = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
    images = {t: k for t, k in topics.items() if k in kinds}
    wanted = (
        [t for t in images if t.strip('/') == image.strip('/')]
        if image
        else [t for t in images if t.strip('/') == IMAGE] or list(images)
    )
    if len(wanted) == 1:
        return wanted[0]
    if image or not images:
        raise RecordingError(
            f'no images on {image or IMAGE}; image topics there: {_listed(images)}'
        )
    raise RecordingError(
        f'several image topics: {_listed(images)}. Say with --image which one the policy shall see'
    )


# ------------------------------------------------------------------------------------- episodes


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


class Unusable(InvalidValueError):
    """An episode is refused; the message is the reason."""


def spans(recording: Recording, instruction: str = '') -> list[tuple[int, int, str]]:
    """(start, end, instruction) of each episode and of what lies between; '' is play.

    Args:
        instruction: what the whole bag shows, where it does not say itself.
    """
    times = recording.track(IMAGE).time_ns
    spoken = recording.instructions or [(int(times[0]), ' '.join(instruction.split()))]
    first, last = int(times[0]), int(times[-1])
    marks = [(first, ''), *((min(max(first, at), last), text) for at, text in spoken)]
    ends = [*(at for at, _ in marks[1:]), last]
    return [(at, end, text) for (at, text), end in zip(marks, ends) if end > at]


def label(
    recording: Recording,
    start_ns: int,
    end_ns: int,
    instruction: str,
    limits: Limits,
    actions: str = 'auto',
) -> Episode:
    """Frames and actions of one span.

    Args:
        actions: 'commands', 'joints', or 'auto': commands where they were recorded and followed.
    Raises:
        Unusable: the reason, what came and what to do.
    """
    if instruction and not re.search('[a-zA-Z0-9]', instruction):
        raise Unusable(f'an instruction must hold a word, got {instruction!r}')
    images, measured = recording.track(IMAGE), recording.track(JOINTS)
    ticks = labels.tick_times(images.time_ns, start_ns, end_ns)  # (n + 1,)
    n = len(ticks) - 1
    if n < MIN_FRAMES:
        raise Unusable(f'{max(n, 0)} frames, wanted at least {MIN_FRAMES} (half a second)')
    image, off = labels.nearest(images.time_ns, ticks[:-1])
    seen = off <= IMAGE_OFF_NS
    known = labels.covered(measured.time_ns, ticks, GAP_NS)
    joints = labels.between(measured.time_ns, np.array(measured.values, float), ticks)
    _check_joints(measured, ticks, known, limits)
    fingers, fingers_known = _fingers(recording, ticks)
    source, target, told, why = _targets(recording, ticks, joints, known, limits, actions)
    poses = labels.tcp_poses(target)
    gripper, gripper_from = _gripper(recording, ticks, fingers, source)
    usable = seen & (known & told)[:-1] & (known & told)[1:] & fingers_known[:-1]
    lost = 1 - usable.mean()
    if lost > max(LOST, EDGE_FRAMES / n):
        raise Unusable(
            f'{lost:.0%} of its frames lack something, at most {LOST:.0%} may: without '
            f'image {1 - seen.mean():.0%}, without {JOINTS} {1 - known.mean():.0%}, '
            f'without commands {1 - told.mean():.0%}, without fingers '
            f'{1 - fingers_known.mean():.0%}. Look at rates and gaps of the topics, '
            'and record again'
        )
    relative, clipped = np.zeros((n, 7)), 0.0
    for a, b in _runs(usable):
        relative[a:b], share = labels.relative_actions(poses[a : b + 1], gripper[a:b])
        clipped += share * (b - a) / n
    moves = np.flatnonzero(labels.moving(poses, gripper) & usable)
    if instruction and not len(moves):
        raise Unusable('neither arm nor gripper moves: a policy would learn to stand still')
    shown = np.zeros(n, bool)
    if instruction:
        shown[max(0, moves[0] - IDLE_FRAMES) : moves[-1] + 1 + IDLE_FRAMES] = True
    at = labels.tcp_poses(joints)[:-1] + np.append(open_arm().base_position, np.zeros(3))
    at[:, 3:] = (at[:, 3:] + np.pi) % (2 * np.pi) - np.pi
    robot_obs = np.column_stack(
        [at, 2 * fingers[:-1], joints[:-1], np.append(gripper[:1], gripper[:-1])]
    )  # (n, 15)
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
        robot_obs,
        relative,
        usable,
        shown,
        facts,
    )


def _check_joints(track: Track, ticks: np.ndarray, known: np.ndarray, limits: Limits) -> None:
    low, high = np.searchsorted(track.time_ns, [ticks[0], ticks[-1]])
    values = np.array(track.values[low : high + 1], float).reshape(-1, len(limits.joints))
    if not np.isfinite(values).all():
        bad = limits.joints[int(np.argmax(~np.isfinite(values).all(0)))]
        raise Unusable(
            f'{JOINTS} is not finite for {bad} in '
            f'{int((~np.isfinite(values)).any(1).sum())} messages'
        )
    beyond = np.maximum(limits.lower_rad - values, values - limits.upper_rad)  # (m, 7)
    if len(values) and beyond.max() > BEYOND_RAD:
        at, joint = np.unravel_index(beyond.argmax(), beyond.shape)
        raise Unusable(
            f'{limits.joints[joint]} stands at {values[at, joint]:.2f} rad, outside '
            f'{limits.lower_rad[joint]:.2f}..{limits.upper_rad[joint]:.2f}: are these '
            'degrees, or another arm?'
        )
    if not known.any():
        raise Unusable(f'no {JOINTS} while it lasted')


def _fingers(recording: Recording, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measured position of a finger at each tick [m], and where it is known; 0 where nobody says."""
    track = recording.fingers
    if len(track):
        values = np.array(track.values, float)
        if not np.isfinite(values).all():
            raise Unusable('the finger joint is not finite')
        # a gripper's driver may be slow: it holds still while it is silent
        return np.interp(ticks, track.time_ns, values), ticks >= track.time_ns[0] - GAP_NS
    return np.zeros(len(ticks)), np.ones(len(ticks), bool)


def _targets(
    recording: Recording,
    ticks: np.ndarray,
    joints: np.ndarray,
    known: np.ndarray,
    limits: Limits,
    wanted: str,
) -> tuple[str, np.ndarray, np.ndarray, str]:
    """What the actions are made from: 'commands' or 'joints', joints (n + 1, 7), known, and why."""
    track = recording.track(COMMANDS) or recording.track(POSITIONS)
    why = ''
    if wanted == 'joints':
        return 'joints', joints, known, ''
    if track is None:
        why = f'no {COMMANDS} in the bag'
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
    recording: Recording, ticks: np.ndarray, fingers: np.ndarray, source: str
) -> tuple[np.ndarray, str]:
    """Gripper -1 or +1 of each frame (n,), and what it was taken from."""
    commands = recording.command_fingers
    if source == 'commands' and len(commands):
        told = commands
    else:
        told = recording.track(GRIPPER)
    if told is not None and told.time_ns[0] <= ticks[-1]:
        last = np.searchsorted(told.time_ns, ticks[1:], side='right') - 1  # in force at its end
        held = np.array(told.values, float)[np.maximum(last, 0)]
        return labels.gripper_of_commands(held), 'commands'
    if not len(recording.fingers):
        raise Unusable(
            f'nobody says what the gripper does: record {GRIPPER}, or {JOINTS} with a finger joint'
        )
    return labels.gripper_of_motion(fingers)[:-1], 'fingers'


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first, after the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


# --------------------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class Part:
    """Frames a..b - 1 of an episode, which become one session."""

    number: int  # of the episode in its bag
    part: int
    episode: Episode
    a: int
    b: int

    @property
    def key(self) -> str:
        """What tells it from other parts of the bag."""
        return f'{self.number}.{self.part}'


def convert(
    bags: Sequence[Path | str],
    out: Path | str,
    *,
    image: str = '',
    instruction: str = '',
    limits: Path | str | None = None,
    actions: str = 'auto',
    progress: bool = True,
) -> dict:
    """Write the episodes of the bags to `out`, or add them to what an earlier call wrote.

    Bags that are there already are skipped; a bag that was cut short by Ctrl-C is gone on with.

    Args:
        bags: bags, or folders that hold some.
        image: topic of the pictures; '': `image_raw`, or the only one.
        instruction: what bags show that have no instruction in them.
        limits: file like config/limits.yaml, with the names of the joints; None: a Panda's.
        actions: see `label`.
        progress: show a bar on stderr.
    Returns:
        {'bags': {name: report}, 'training': counts, 'validation': counts}; a report has `topics`,
        `episodes` and `refused`, or `error`.
    Raises:
        ValueError: no such bag, a setting makes no sense, or `out` holds data of other settings.
    """
    if actions not in ACTIONS:
        raise InvalidValueError(f'actions must be one of {", ".join(ACTIONS)}. Got {actions!r}')
    out, found = Path(out), find_bags(bags)
    arm = Limits.from_yaml(limits) if limits else Limits.panda()
    config = {
        'recorded': {'version': VERSION, 'actions': actions},
        'control_freq': 30,
        'renderer': 'camera',
    }
    _check_same(out, config)
    job = _Job(out, arm, image, instruction, actions, config)
    reports = {}
    try:
        with _bar(progress) as bar:
            task = bar.add_task('bags', total=len(found))
            for path in found:
                bar.update(task, description=path.name)
                reports[str(path)] = job.add(path)
                bar.advance(task)
    finally:
        counts = job.index()
    return {'bags': reports, **counts}


def _bar(shown: bool):
    if shown:
        from vw2_ros.progress import progress_bar

        return progress_bar()
    from rich.progress import Progress

    return Progress(disable=True)


def _check_same(out: Path, config: dict) -> None:
    check_same_settings(out, 'recorded', config['recorded'])
    if not (out / 'recordings.json').is_file() and any((out / s).is_dir() for s in SPLITS):
        raise InvalidValueError(f'{out} holds other data. Choose another folder')


class _Job:
    def __init__(
        self, out: Path, limits: Limits, image: str, instruction: str, actions: str, config: dict
    ):
        self.out, self.limits, self.image = out, limits, image
        self.instruction, self.actions, self.config = instruction, actions, config
        self.file = out / 'recordings.json'
        self.done = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self.index()

    def index(self) -> dict:
        """Write the index of what is finished."""
        if not self.file.is_file():
            write_atomically(self.file, b'{}\n')
        return {
            split: write_index(self.out / split, self.config, lambda task: [task])
            for split in SPLITS
        }

    def add(self, path: Path) -> dict:
        """Convert one bag, unless that was done; its report."""
        key = fingerprint(path)
        if key in self.done:
            return {**self.done[key], 'skipped': 'already there'}
        began = time.monotonic()
        report: dict = {
            'bag': path.name,
            'command': ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }
        try:
            bag = Bag(path)
            recording = Recording(bag, self.limits.joints, self.image)
            report['topics'] = recording.report()
            if bag.cut_short:
                report['cut_short'] = bag.cut_short
            report |= self._episodes(recording, key, path.name)
        except BagError as error:
            return {**report, 'error': str(error)}  # another call tries again
        report['seconds'] = round(time.monotonic() - began, 1)
        self.done[key] = report
        write_atomically(self.file, (json.dumps(self.done, indent=1) + '\n').encode())
        return report

    def _episodes(self, recording: Recording, key: str, name: str) -> dict:
        parts, refused, told = [], [], []
        for number, (start, end, text) in enumerate(spans(recording, self.instruction)):
            what = {
                'instruction': text,
                'from_s': _since(recording, start),
                'to_s': _since(recording, end),
            }
            try:
                episode = label(recording, start, end, text, self.limits, self.actions)
            except Unusable as error:
                if text or end - start > 1e9:
                    refused.append({**what, 'reason': str(error)})
                continue
            told.append({**what, **episode.facts})
            n = len(episode.actions)
            parts += [
                Part(number, i, episode, a, min(a + PART_FRAMES, n))
                for i, a in enumerate(range(0, n, PART_FRAMES))
            ]
        damaged = self._write(recording, parts, key, name)
        return {
            'episodes': told,
            'refused': refused,
            **({'damaged_images': damaged} if damaged else {}),
        }

    def _write(self, recording: Recording, parts: list[Part], key: str, name: str) -> int:
        """Read the pictures once, in order, and write each part when it has all of its own."""
        there = {
            (m['source']['sha256'], m['source']['part'])
            for split in SPLITS
            for m in read_markers(self.out / split)
            if 'source' in m
        }
        parts = [p for p in parts if (key, p.key) not in there and _images(p).size]
        wanted = set(np.concatenate([_images(p) for p in parts]).tolist()) if parts else set()
        pictures: dict[int, np.ndarray] = {}
        damaged, waiting = 0, sorted(parts, key=lambda p: int(_images(p).max()))
        for number, picture in _pictures(recording, wanted):
            if picture is None:
                damaged += 1
            else:
                pictures[number] = picture
            while waiting and number >= _images(waiting[0]).max():
                self._session(waiting.pop(0), pictures, key, name)
                first = min((int(_images(p).min()) for p in waiting), default=number)
                pictures = {i: p for i, p in pictures.items() if i >= first}
        for part in waiting:  # the last picture could not be read
            self._session(part, pictures, key, name)
        return damaged

    def _session(self, part: Part, pictures: dict, key: str, name: str) -> None:
        episode = part.episode
        split, number = self._place(bool(episode.instruction))
        writer = SessionWriter(self.out / split, number, shard=True, scene='robot')
        window: list[int] = []

        def end() -> None:
            if len(window) > 1:
                writer.annotate(window[0], window[-1], episode.instruction, 0.0)
            window.clear()

        for i in range(part.a, part.b):
            picture = pictures.get(int(episode.image[i]))
            if picture is None or not episode.usable[i]:
                end()
                writer.cut()
                continue
            frame = writer.add(
                episode.actions[i], episode.robot_obs[i], None, {'rgb_static': picture}
            )
            if episode.shown[i]:
                window.append(frame)
        end()
        writer.close(
            source={
                'bag': name,
                'sha256': key,
                'part': part.key,
                'actions': episode.facts['actions'],
            }
        )

    def _place(self, worded: bool) -> tuple[str, int]:
        """Split and number of the next session; one of `HELD_OUT` with words is held out."""
        markers = {split: read_markers(self.out / split) for split in SPLITS}
        count = sum(bool(m['annotations']) for ms in markers.values() for m in ms)
        split = SPLITS[int(worded and count % HELD_OUT == HELD_OUT - 1)]
        return split, max((m['session'] for m in markers[split]), default=-1) + 1


def _since(recording: Recording, at_ns: int) -> float:
    return round((at_ns - int(recording.track(IMAGE).time_ns[0])) * 1e-9, 2)


def _images(part: Part) -> np.ndarray:
    image = part.episode.image[part.a : part.b]
    return image[(image >= 0) & part.episode.usable[part.a : part.b]]


def _pictures(recording: Recording, wanted: set):
    """(number, uint8 (S, S, 3) or None) of the wanted image messages, as they came."""
    from vw2_ros.models.data.pictures import resize_area
    from vw2_ros.models.data.video.bags import message_picture

    read, number = _reader(), -1
    for _, kind, _, data in recording.bag.messages([recording.image_topic]):
        try:
            message = read(data, kind)
            _stamp_ns(message)
        except Exception:  # it was not counted either
            continue
        number += 1
        if number in wanted:
            try:
                rgb = message_picture(message)
                yield number, resize_area(rgb, min(IMAGE_PX, *rgb.shape[:2]))
            except Exception:  # damaged data make the libraries raise nearly anything
                yield number, None


def tell(result: dict):
    """What `convert` did, in lines for people."""
    for name, report in result['bags'].items():
        yield f'{name}: {report["skipped"]}' if 'skipped' in report else name
        for topic, t in report.get('topics', {}).items():
            gap = f', longest gap {t["longest_gap_ms"]:.0f} ms' if t['longest_gap_ms'] else ''
            late = (
                '' if t['latency_ms'] is None else f', {t["latency_ms"]:.0f} ms until it arrived'
            )
            yield f'  {topic}: {t["messages"]} messages, {t["hz"]:g} Hz{gap}{late}, by {t["clock"]}'
            yield from (
                f'    {count} messages left out: {why}'
                for why, count in t.get('refused', {}).items()
            )
        if 'cut_short' in report:
            yield f'  never closed, read as far as it is whole ({report["cut_short"]})'
        for e in report.get('episodes', ()):
            note = f'; {e["note"]}' if 'note' in e else ''
            fast = f', {e["too_fast"]:.0%} faster than actions can be' if e['too_fast'] else ''
            yield (
                f'  {_when(e)}: {e["shown"] if e["instruction"] else e["frames"]} frames of '
                f'{e["actions"]}{fast}{note}'
            )
        for e in report.get('refused', ()):
            yield f'  {_when(e)}: REFUSED: {e["reason"]}'
        if 'damaged_images' in report:
            yield f'  {report["damaged_images"]} images cannot be decoded'
        if 'error' in report:
            yield f'  REFUSED: {report["error"]}'


def _when(e: dict) -> str:
    said = f'"{e["instruction"]}"' if e['instruction'] else 'without words'
    return f'{e["from_s"]:.1f} to {e["to_s"]:.1f} s, {said}'
