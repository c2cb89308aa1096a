# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record`: what the policy sees and what the arm does, from topics into a bag.

Every topic that `vw2 convert` reads is subscribed to as it appears, with the quality of service
that its publishers offer. Messages are not decoded; a callback only notes the time and hands the
bytes to `BagWriter`. `ros2 bag record -s mcap` of the same topics serves as well.
"""

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms.contract import ROBOT_DESCRIPTION
from vw2_ros.arms.contract import topics as topics_of
from vw2_ros.recording.writer import BagWriter

KINDS = {
    'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage,
    'sensor_msgs/msg/JointState': JointState,
    'std_msgs/msg/String': String,
    'trajectory_msgs/msg/JointTrajectory': JointTrajectory,
    'std_msgs/msg/Float64MultiArray': Float64MultiArray,
}
IMAGES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
NO_PICTURES = (names.PLAN_HIDDEN, names.LATENT_PLAN, names.IMAGINED)  # though of that type
COMMANDS = (names.JOINT_COMMANDS, names.POSITION_COMMANDS, names.GRIPPER_COMMAND)
DEPTH = 100  # messages that may wait in the middleware
GAP_S = 0.1  # of silence, as long as the nodes bear with
LAST_S = 0.5  # for what waits when the recording ends; where more and more comes, that ends it
LOOK_S = 0.5  # how often new topics and publishers are looked for


@dataclass
class Heard:
    """What came on one topic."""

    kind: str = ''
    profile: tuple = ()
    subscription: object = None
    count: int = 0
    before: int = 0  # count at the last report
    gaps: int = 0
    last_s: float = 0.0


class Recorder:
    """Subscribes, counts, and fills a bag until `close`.

    Args:
        folder: of the bag. image: topic of what the policy shall see. namespace: of all topics.
        contract: name or file of the robot's.
    """

    def __init__(
        self,
        folder: Path,
        image: str = names.IMAGE,
        namespace: str = '',
        contract: str = 'play_table',
    ):
        robot = topics_of(contract)
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node(
            'vw2_record',
            namespace=namespace,
            context=self._context,
            start_parameter_services=False,
        )
        first, *others = robot.joint_states
        topics = (image, first, names.INSTRUCTION, *others, *robot.commands, *COMMANDS)
        topics = (*topics, ROBOT_DESCRIPTION)
        self.heard = {self.node.resolve_topic_name(n): Heard() for n in topics}
        self.image, self.joints, self.instruction = list(self.heard)[:3]
        # they come when something changes: silence is no gap
        self._seldom = (self.instruction, list(self.heard)[-1])
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        try:
            self.writer = BagWriter(folder, latched=self._seldom)
        except BaseException:
            self._leave()
            raise
        self.began_s = self._reported_s = time.monotonic()
        self._look()
        self.node.create_timer(LOOK_S, self._look)

    def spin(self, seconds: float) -> None:
        """Record for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.writer.failed:
            self._executor.spin_once(timeout_sec=min(left, 0.2))

    def close(self) -> None:
        """Take what has come and waits, leave the graph and close the bag; as `BagWriter.close`."""
        end, quiet = time.monotonic() + LAST_S, 0
        while quiet < 3 and time.monotonic() < end and not self.writer.failed:
            before = sum(h.count for h in self.heard.values())
            self._executor.spin_once(timeout_sec=0.02)  # one message, or the timer
            quiet = 0 if sum(h.count for h in self.heard.values()) > before else quiet + 1
        self._leave()
        self.writer.close()

    def report(self) -> str:
        """Rates since the last report, gaps and drops in all, in one line."""
        now = time.monotonic()
        passed, self._reported_s = max(now - self._reported_s, 1e-3), now
        parts = []
        for topic, h in self.heard.items():
            new, h.before = h.count - h.before, h.count
            if topic == self.instruction:
                parts.append(f'{topic} {h.count}')
            elif topic not in self._seldom and h.count or topic in (self.image, self.joints):
                gaps = f' ({h.gaps} gaps)' if h.gaps else ''
                others = self.other_images() if topic == self.image and not h.count else ''
                parts.append(
                    f'{topic} {new / passed:.0f} Hz{gaps}'
                    if h.count
                    else f'{topic} NOTHING YET{others}'
                )
        dropped = sum(self.writer.dropped.values())
        lost = f', {dropped} DROPPED' if dropped else ''
        return f'{now - self.began_s:4.0f} s  {", ".join(parts)}{lost}'

    def missing(self) -> list[str]:
        """Topics without which `vw2 convert` can do nothing, and on which nothing came."""
        return [t for t in (self.image, self.joints) if not self.heard[t].count]

    def other_images(self) -> str:
        """Which topics there are to choose from, where `image` is silent; '' where none."""
        others = [
            topic
            for topic, kinds in self.node.get_topic_names_and_types()
            if IMAGES & set(kinds) and topic != self.image and not topic.endswith(NO_PICTURES)
        ]
        return f' (but there are {", ".join(sorted(others))})' if others else ''

    def _leave(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _look(self) -> None:
        """Subscribe to what has appeared, anew where its publishers changed their offer."""
        for topic, h in self.heard.items():
            offers = self.node.get_publishers_info_by_topic(topic)
            kinds = {o.topic_type for o in offers} & set(KINDS)
            if not kinds:
                continue
            kind = h.kind if h.kind in kinds else min(kinds)
            qos = [o.qos_profile for o in offers if o.topic_type == kind]
            profile = (
                all(q.reliability == ReliabilityPolicy.RELIABLE for q in qos),
                all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in qos),
            )
            if (kind, profile) == (h.kind, h.profile):
                continue
            if h.subscription is not None:
                self.node.destroy_subscription(h.subscription)
            h.kind, h.profile = kind, profile
            h.subscription = self.node.create_subscription(
                KINDS[kind], topic, self._taker(topic, h), _profile(*profile), raw=True
            )

    def _taker(self, topic: str, h: Heard):
        def take(data: bytes) -> None:
            received_ns, now_s = time.time_ns(), time.monotonic()
            self.writer.put(topic, h.kind, received_ns, data)
            h.gaps += bool(h.count and topic not in self._seldom and now_s - h.last_s > GAP_S)
            h.count, h.last_s = h.count + 1, now_s

        return take


def _profile(reliable: bool, latched: bool) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def run(
    out: Path,
    image: str = names.IMAGE,
    namespace: str = '',
    seconds: float = 0.0,
    contract: str = 'play_table',
) -> int:
    """Record until Ctrl-C, SIGTERM or `seconds` have passed (0: no end), and say what comes.

    Returns:
        0, or 1 if no image or no joint_states came.
    Raises:
        ValueError: `out` exists, or the disk is full; what was written is kept.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _record(out, image, namespace, seconds, contract)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record(out: Path, image: str, namespace: str, seconds: float, contract: str) -> int:
    def ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    recorder = Recorder(out, image, namespace, contract)
    print(
        f'recording to {out}; Ctrl-C ends it. Publish what is shown on {recorder.instruction}, '
        "and '' when it is done",
        flush=True,
    )
    live = sys.stdout.isatty()
    try:
        while not seconds or time.monotonic() - recorder.began_s < seconds:
            left = seconds - (time.monotonic() - recorder.began_s) if seconds else 1.0
            recorder.spin(min(1.0, max(left, 0.01)))
            print(
                f'\r\033[K{recorder.report()}' if live else recorder.report(),
                end='' if live else '\n',
                flush=True,
            )
            if recorder.writer.failed:
                break
    except KeyboardInterrupt:
        pass
    for number in (signal.SIGTERM, signal.SIGINT):  # the bag is being closed
        signal.signal(number, signal.SIG_IGN)
    recorder.close()
    print(
        f'{chr(10) if live else ""}{recorder.writer.written} messages in {out}.'
        + ('' if recorder.missing() else f' Next: vw2 convert --bag {out} --out data/mine')
    )
    for topic in recorder.missing():
        print(
            f'vw2: nothing came on {topic}: look at --image, --namespace, ROS_DOMAIN_ID and '
            '`ros2 topic list`',
            file=sys.stderr,
        )
    return int(bool(recorder.missing()))
