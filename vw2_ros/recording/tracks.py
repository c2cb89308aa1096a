# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The topics of a bag as tracks: messages with times of one clock. No ROS needed.

Bags of `vw2 record` or `ros2 bag record`, in any namespace:

| topic            | type                          | what it gives                              |
| ---------------- | ----------------------------- | ------------------------------------------ |
| image_raw        | Image or CompressedImage      | frames: centre square, at most 200 px      |
| joint_states     | JointState                    | where the arm is, by joint name; fingers   |
| instruction      | String, optional              | what is shown from then on; '' ends it     |
| joint_commands   | JointTrajectory or JointState | optional: the targets, see `labels.py`     |
| commands         | Float64MultiArray             | likewise, joints in the contract's order   |
| gripper_command  | Float64MultiArray (1)         | optional: gripper, where not with the rest |

A contract that names other topics for joint_states, commands and gripper is followed.

Everything is aligned on header stamps. A topic is aligned on the time of arrival instead where its
stamps are no clock (`vw2_ros.bags.stamps`), or are of another clock than the others'.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vw2_ros import names
from vw2_ros.arms import open_arm
from vw2_ros.arms.contract import Contract
from vw2_ros.bags.bag import Bag, BagError, cdr_reader
from vw2_ros.bags.episodes import topic_called
from vw2_ros.bags.images import cameras_of, choose_camera, image_topics
from vw2_ros.bags.stamps import content_of, distrust, stamp_of
from vw2_ros.bags.streams import stretch_facts
from vw2_ros.errors import InvalidValueError

FINGER_M = open_arm().finger_open_m
BY_NAME = ('trajectory', 'joint_state')  # forms of commands that name their joints
APART_NS = 100e6  # joints of one arm that arrive further apart are no pose of it
SKEW_NS = 100e6  # by which the clocks of two topics may differ


class TrackError(BagError):
    """A bag lacks what every episode needs."""


@dataclass
class Track:
    """The messages of one topic: when they came, when they say they were made, what they hold."""

    topic: str
    received_ns: list = field(default_factory=list)
    stamp_ns: list = field(default_factory=list)  # 0: the message has none
    values: list = field(default_factory=list)
    contents: list = field(default_factory=list)  # what tells messages apart
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
    def distrust(self) -> str:
        """Why the header stamps are no clock, '' where they are one; see `vw2_ros.bags.stamps`."""
        if not any(self.stamp_ns):
            return 'there are none'
        whole = len(self.contents) == len(self.stamp_ns)
        return distrust(self.received_ns, self.stamp_ns, self.contents if whole else None)

    @property
    def stamped(self) -> bool:
        """Whether the header stamps can be relied on."""
        return not self.distrust

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


class Tracks:
    """All topics of a bag, without the pictures' content.

    Args:
        bag: the bag.
        contract: names of joints and topics.
        image: topic of the pictures; '': `image_raw`, or the only one.
        cameras: topics of further pictures, which are tracks of these names.
    Raises:
        TrackError: no images or no joints of the arm; the message says what is there.
    """

    def __init__(self, bag: Bag, contract: Contract, image: str = '', cameras: Sequence[str] = ()):
        self.bag, self.joints, self._hand = bag, contract.joints, contract.gripper
        own = [camera.topic for camera in contract.cameras.values()]
        self.image_topic = _choose_image(bag, image, own)
        wanted = {topic: (topic, self._on_image) for topic in cameras}
        wanted[self.image_topic] = (names.IMAGE, self._on_image)
        by_name, form = contract.command.topic, contract.command.form
        for name, topics, reader in (
            (names.JOINT_STATES, contract.joint_states, self._on_joints),
            (names.INSTRUCTION, (), self._on_instruction),
            (names.JOINT_COMMANDS, (by_name,) * (form in BY_NAME), self._on_command),
            (names.POSITION_COMMANDS, (by_name,) * (form == 'positions'), self._on_positions),
            (names.GRIPPER_COMMAND, (self._hand.topic,), self._on_gripper),
        ):
            found = [topic_called(bag.topics, topic) for topic in topics if topic]
            for topic in filter(None, found if any(found) else [topic_called(bag.topics, name)]):
                wanted[topic] = (name, reader)
        self.tracks = {name: Track(topic) for topic, (name, _) in wanted.items()}
        self.fingers, self.command_fingers = Track('finger joint'), Track('finger command')
        self._seen_names: set[tuple] = set()
        self._joints: dict[str, tuple[float, int, int]] = {}  # position, stamp, arrival [ns]
        self._read(wanted)
        self._check()
        self._set_times()

    def track(self, name: str) -> Track | None:
        """The messages of a topic, None where there is none."""
        found = self.tracks.get(name)
        return found if found is not None and len(found) else None

    def when(self, received_ns: np.ndarray) -> np.ndarray:
        """Time of what arrived then and has no stamp: int64 (n,), as of the images' [ns]."""
        if not np.any(self._offset):
            return received_ns
        shift = np.interp(received_ns, self._received, self._offset)
        return received_ns + np.rint(shift).astype(np.int64)

    def report(self) -> dict:
        """{topic: rates and gaps}."""
        return {t.topic: t.report() for t in self.tracks.values()}

    def stretch(self, start_ns: int, stop_ns: int) -> dict:
        """How well what arrived from and before these times was recorded, see `stretch_facts`."""
        seldom = (names.INSTRUCTION, names.GRIPPER_COMMAND)
        streams = {
            track.topic: (track.received_ns, track.stamp_ns)
            for name, track in self.tracks.items()
            if name not in seldom
        }
        return stretch_facts(streams, self.image_topic, start_ns, stop_ns)

    def _read(self, wanted: dict) -> None:
        read = cdr_reader()
        for topic, kind, received_ns, data in self.bag.messages(list(wanted)):
            name, take = wanted[topic]
            track, before = self.tracks[name], len(self.tracks[name])
            try:
                take(track, received_ns, read(data, kind))
                track.contents += [content_of(data)] * (len(track) - before)
            except Exception as error:  # a message of another shape than its type's
                track.refused[str(error)[:120] or type(error).__name__] += 1

    # -- one message each

    def _on_image(self, track: Track, received_ns: int, message) -> None:
        track.add(received_ns, stamp_of(message), None)

    def _on_joints(self, track: Track, received_ns: int, message) -> None:
        stamp_ns, found = stamp_of(message), dict(zip(message.name, message.position))
        self._seen_names.add(tuple(message.name))
        finger = self._finger(found)
        if finger is not None:  # it may come in messages of its own
            self.fingers.add(received_ns, stamp_ns, finger)
        mine = {n: (found[n], stamp_ns, received_ns) for n in self.joints if n in found}
        if mine:  # joints of one arm may come in several messages, as for a live robot
            self._joints |= mine
            known = [self._joints.get(n) for n in self.joints]
            if all(known) and received_ns - min(at for *_, at in known) <= APART_NS:
                track.add(received_ns, min(s for _, s, _ in known), [v for v, *_ in known])

    def _on_instruction(self, track: Track, received_ns: int, message) -> None:
        track.add(received_ns, 0, ' '.join(message.data.split()))

    def _on_command(self, track: Track, received_ns: int, message) -> None:
        if hasattr(message, 'points'):
            if len(message.points) != 1:
                raise InvalidValueError(
                    'the target must be one point. '
                    f'Got a trajectory of {len(message.points)} points'
                )
            joints, values = message.joint_names, message.points[0].positions
        else:
            joints, values = message.name, message.position
        self._command(track, received_ns, stamp_of(message), dict(zip(joints, values)))

    def _on_positions(self, track: Track, received_ns: int, message) -> None:
        if len(message.data) not in (len(self.joints), len(self.joints) + 1):
            raise InvalidValueError(
                f'commands must hold {len(self.joints)} joints, and perhaps the finger. '
                f'Got {len(message.data)} numbers'
            )
        names_ = (*self.joints, self._hand.joint or 'finger')
        self._command(track, received_ns, 0, dict(zip(names_, message.data)))

    def _command(self, track: Track, received_ns: int, stamp_ns: int, found: dict) -> None:
        missing = [n for n in self.joints if n not in found]
        if missing:
            raise InvalidValueError(
                f'the command must name all joints. Got none for {", ".join(missing)}'
            )
        values = [found[n] for n in self.joints]
        if not np.isfinite(values).all():
            raise InvalidValueError('the command must be finite. Got NaN or infinity')
        track.add(received_ns, stamp_ns, values)
        finger = self._finger(found)
        if finger is not None and np.isfinite(finger):
            self.command_fingers.add(received_ns, stamp_ns, finger)

    def _finger(self, found: dict) -> float | None:
        """Position of a finger [m] among joints by name, None where it is not there.

        Where the contract names no joint, it is the first that is called finger.
        """
        wanted = self._hand.joint
        values = [v for n, v in found.items() if (n == wanted if wanted else 'finger' in n)]
        return self._finger_m(values[0]) if values else None

    def _finger_m(self, value: float) -> float:
        """Way of a finger [m] at a value of the gripper's, as if it were a Panda's."""
        if self._hand.form == 'none':
            return value
        return (value - self._hand.closed) * (FINGER_M / (self._hand.open - self._hand.closed))

    def _on_gripper(self, track: Track, received_ns: int, message) -> None:
        if hasattr(message, 'points'):
            data = list(message.points[-1].positions) if message.points else []
        else:
            data = list(message.data)
        if len(data) != 1 or not np.isfinite(data).all():
            raise InvalidValueError(f'gripper must be one finite number. Got {data!s:.60}')
        track.add(received_ns, 0, self._finger_m(float(data[0])))

    # -- together

    def _check(self) -> None:
        if not self.track(names.IMAGE):
            raise TrackError(f'no image on {self.image_topic}')
        if names.JOINT_STATES not in self.tracks:
            raise TrackError(
                f'no topic {names.JOINT_STATES}; there are {_listed(self.bag.topics)}'
            )
        if not self.track(names.JOINT_STATES):
            seen = ', '.join(max(self._seen_names, key=len, default=())) or 'no joint'
            raise TrackError(
                f'{names.JOINT_STATES} never had all of {", ".join(self.joints)}; it had '
                f'{seen}. Name the joints of your arm in its contract, and give that with '
                '--contract'
            )

    def _set_times(self) -> None:
        tracks = [t for t in (*self.tracks.values(), self.fingers, self.command_fingers) if len(t)]
        stamped = [t for t in tracks if t.stamped]
        latency = [t.latency_ns for t in stamped]
        # clocks of different machines: nobody knows which one is right
        skewed = len(latency) > 1 and max(latency) - min(latency) > SKEW_NS
        image = self.tracks[names.IMAGE]
        received = np.array(image.received_ns, np.int64)
        if image.stamped and abs(np.ptp(image.stamp_ns) / max(np.ptp(received), 1) - 1) > 0.05:
            skewed = False  # simulated time, slower or faster than ours: one clock for all
        by_stamp = image.stamped and not skewed
        offset = (np.array(image.stamp_ns, np.int64) if by_stamp else received) - received
        self._received, self._offset = received, offset
        for track in tracks:
            if track.stamped and by_stamp:
                track.settle(np.array(track.stamp_ns, np.int64), 'stamps')
            else:  # what has no stamp happened when the image that came with it was taken
                why = track.distrust if any(track.stamp_ns) else ''
                if skewed and not why and track.stamped:
                    why = 'stamps of topics disagree'
                track.settle(
                    self.when(np.array(track.received_ns, np.int64)),
                    f'arrival ({why})' if why else 'arrival',
                )


def _listed(topics: dict) -> str:
    return ', '.join(sorted(topics)) or 'none'


def _choose_image(bag: Bag, image: str, cameras: Sequence[str]) -> str:
    """The camera: `image`, or the first of a robot's that the bag has, or the only one."""
    if image:
        return choose_camera(bag, [image])
    images = image_topics(bag.topics)
    for camera in dict.fromkeys((*cameras, names.IMAGE)):
        if named := [t for t in images if t.strip('/') == camera.strip('/')]:
            return choose_camera(bag, named)
    found, _ = cameras_of(bag, images)
    if len(found) > 1:
        raise TrackError(
            f'several image topics: {", ".join(sorted(found))}. Say with --image which one the '
            'policy shall see'
        )
    return found[0] if found else choose_camera(bag)
