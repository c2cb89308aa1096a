# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Labelled ROS 2 bags for tests: of a made-up motion, or of the play table as its node speaks."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vw2_ros.arms import open_arm
from vw2_ros.recording.convert import convert_bags
from vw2_ros.sim.dataset_writer import decode_png

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
ARM = list(open_arm().joints)
FINGERS = list(open_arm().finger_joints)
PERIOD_S = 1 / 30
START_S = 1_700_000_000.0


def header(at_s):
    at_ns = round(at_s * 1e9)
    return T['std_msgs/msg/Header'](
        T['builtin_interfaces/msg/Time'](at_ns // 10**9, at_ns % 10**9), 'x'
    )


def image(at_s, rgb):
    h, w, _ = rgb.shape
    return 'sensor_msgs/msg/Image', T['sensor_msgs/msg/Image'](
        header(at_s), h, w, 'rgb8', 0, 3 * w, np.ascontiguousarray(rgb).reshape(-1)
    )


def joint_state(at_s, names, positions):
    none = np.zeros(0)
    return 'sensor_msgs/msg/JointState', T['sensor_msgs/msg/JointState'](
        header(at_s), list(names), np.array(positions, float), none, none
    )


def trajectory(at_s, names, positions, points=1):
    none = np.zeros(0)
    point = T['trajectory_msgs/msg/JointTrajectoryPoint'](
        np.array(positions, float),
        none,
        none,
        none,
        T['builtin_interfaces/msg/Duration'](0, 33_333_333),
    )
    return 'trajectory_msgs/msg/JointTrajectory', T['trajectory_msgs/msg/JointTrajectory'](
        header(at_s), list(names), [point] * points
    )


def text(words):
    return 'std_msgs/msg/String', T['std_msgs/msg/String'](words)


def floats(values):
    kind = 'std_msgs/msg/Float64MultiArray'
    layout = T['std_msgs/msg/MultiArrayLayout']([], 0)
    return kind, T[kind](layout, np.array(values, float))


def write(path, messages, storage='mcap'):
    """A bag. messages: (time of arrival [s], topic, (type, message))."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    connections = {}
    with Writer(path, version=8, storage_plugin=plugin) as bag:
        for at_s, topic, (kind, message) in sorted(messages, key=lambda m: m[0]):
            if topic not in connections:
                connections[topic] = bag.add_connection(topic, kind, typestore=STORE)
            bag.write(connections[topic], round(at_s * 1e9), STORE.serialize_cdr(message, kind))
    return path


@dataclass(frozen=True)
class Motion:
    """A swing of all joints, fingers that close and open, and how it was recorded."""

    seconds: float = 2.0
    words: tuple = ((0.0, 'open the drawer'),)  # (second, instruction)
    swing_rad: float = 0.15
    image_hz: float = 30.0
    joint_hz: float = 100.0
    command_hz: float = 30.0  # 0: no commands
    names: tuple = tuple(ARM)
    finger: bool = True
    lead: str = '/'
    joint_clock_s: float = 0.0  # by which the stamps of the joints are ahead
    stamps: bool = True
    late_s: float = 0.004

    def joints(self, s):
        return open_arm().rest_rad + self.swing_rad * np.sin(2 * np.pi * 0.5 * s + np.arange(7))

    def finger_m(self, s):
        return 0.04 if s % 2.0 < 1.0 else 0.0

    def picture(self, number, px=24):
        """Its first pixel counts."""
        rgb = np.random.default_rng(number).integers(0, 255, (px, px, 3), np.uint8)
        rgb[0, 0] = number % 256, number // 256, 7
        return rgb

    def messages(self):
        out, late = [], self.late_s
        for i in range(int(self.seconds * self.image_hz) + 1):
            s = i / self.image_hz
            out.append(
                (
                    START_S + s + late,
                    f'{self.lead}image_raw',
                    image((START_S + s) * self.stamps, self.picture(i)),
                )
            )
        for i in range(int(self.seconds * self.joint_hz) + 2):
            s = (i - 0.4) / self.joint_hz
            names, values = list(self.names), list(self.joints(s))
            if self.finger:
                names, values = [FINGERS[0], *names], [self.finger_m(s), *values]
            out.append(
                (
                    START_S + s + late,
                    f'{self.lead}joint_states',
                    joint_state(
                        (START_S + s + self.joint_clock_s) * self.stamps, names[::-1], values[::-1]
                    ),
                )
            )
        for i in range(int(self.seconds * self.command_hz) + 2 if self.command_hz else 0):
            s = (i - 0.6) / self.command_hz
            names, values = [*self.names], [*self.joints(s + PERIOD_S)]
            if self.finger:
                names, values = [*names, FINGERS[0]], [*values, self.finger_m(s)]
            out.append(
                (
                    START_S + s + late,
                    f'{self.lead}joint_commands',
                    trajectory((START_S + s) * self.stamps, names, values),
                )
            )
        out += [(START_S + s + 1e-3, f'{self.lead}instruction', text(w)) for s, w in self.words]
        return out

    def but(self, **changes):
        return dataclasses.replace(self, **changes)


def play(path, tasks, *, jitter=0.0, phase=0.4, seed=0, px=96):
    """The expert at the play table, as its node and the action node would speak; the true labels.

    Args:
        jitter: of all stamps, deviation in periods. phase: when commands come, in periods.
    Returns:
        joints (n, 7), clipped actions (n, 7) and task number (n,) of each step.
    """
    from vw2_ros.sim.expert.expert import Expert
    from vw2_ros.sim.expert.starts import prepare, settle
    from vw2_ros.sim.play_table import PlayTable

    rng = np.random.default_rng(seed)
    messages, joints, actions, which = [], [], [], []
    k = 0
    with PlayTable('D') as table:
        for number, task in enumerate(tasks):
            prepare(table, task, rng)
            settle(table)
            expert = Expert(table, task)
            messages.append(
                (START_S + (k - 0.3) * PERIOD_S, '/instruction', text(task.replace('_', ' ')))
            )
            for _ in range(200):
                at = START_S + (k + jitter * rng.standard_normal()) * PERIOD_S
                half = table.gripper_width() / 2
                messages.append(
                    (
                        at + 1e-3,
                        '/joint_states',
                        joint_state(at, ARM + FINGERS, [*table.joint_positions(), half, half]),
                    )
                )
                messages.append(
                    (at + 3e-3, '/static/image_raw', image(at, table.render('static', px)))
                )
                action = expert.act()
                joints.append(table.joint_positions())
                actions.append(np.clip(action, -1, 1))
                which.append(number)
                table.step(action)
                told, grip = table.command
                at = START_S + (k + phase + jitter * rng.standard_normal()) * PERIOD_S
                messages.append(
                    (
                        at + 1e-3,
                        '/joint_commands',
                        trajectory(at, ARM + FINGERS[:1], [*told, 0.04 if grip > 0 else 0.0]),
                    )
                )
                k += 1
                if expert.done:
                    break
            messages.append((START_S + (k - 0.5) * PERIOD_S, '/instruction', text('')))
            k += 15  # the next task begins elsewhere
    write(path, messages)
    return np.array(joints), np.array(actions), np.array(which)


TWO = Motion(seconds=4.0, words=((0.0, 'open the drawer'), (2.0, ''), (2.2, 'close it')))


def made(tmp_path, messages, name='bag', **options):
    """Convert one bag; its report."""
    bag = write(tmp_path / name, messages)
    result = convert_bags([bag], tmp_path / 'data', progress=False, **options)
    return result['bags'][str(bag)]


def shards(out, split='training'):
    """The sessions' arrays."""
    found = []
    for path in sorted((out / split / 'shards').glob('*.npz')):
        with np.load(path, allow_pickle=False) as archive:
            found.append(dict(archive))
    return found


def pictures(shard):
    at = shard['offsets']
    return [decode_png(shard['rgb_static'][a:b].tobytes()) for a, b in zip(at[:-1], at[1:])]
