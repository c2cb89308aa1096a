# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Everything about one robot, from one file: `Contract`. This is the one place that checks it.

    contract = Contract.load('panda')          # config/arms/panda.yaml
    contract = Contract.load('my_arm.yaml')
    contract = Contract.load('ur5e', urdf=text_of_robot_description)

Nodes, `vw2 record`, `vw2 convert` and training read the same file. docs/contract.md explains it key
by key. An error is one sentence that names the file and the key.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from vw2_ros.arms import KINEMATICS, Arm, open_arm
from vw2_ros.arms.keys import ContractError, Keys
from vw2_ros.arms.lerobot import LeRobotSpec, lerobot_spec
from vw2_ros.arms.limits import Braking, Limits
from vw2_ros.arms.urdf import ArmError
from vw2_ros.errors import InvalidValueError, MissingFileError
from vw2_ros.files import named_config, yaml_of

ROBOT_DESCRIPTION = 'robot_description'  # value of `urdf`: the text of that latched topic
FORMS = {  # form of the commands -> topic by default
    'trajectory': 'joint_trajectory_controller/joint_trajectory',
    'positions': 'forward_position_controller/commands',
    'joint_state': 'joint_commands',
    'twist': 'servo_node/delta_twist_cmds',
}
STAMPS = ('zero', 'now')
ACTION_FRAMES = ('base', 'tool')
ON_STALE = ('silent', 'hold')
GRIPPERS = {  # form of the gripper's commands -> topic by default
    'none': '',
    'joint': '',
    'width': 'gripper_controller/commands',
    'fraction': 'gripper_controller/commands',
    'action': 'gripper_controller/gripper_cmd',
    'trajectory': 'gripper_controller/joint_trajectory',
}
HOME_TOLERANCE_RAD = 1e-6


@dataclass(frozen=True)
class CommandSpec:
    """How the arm's commands leave."""

    form: str  # one of FORMS
    topic: str  # where they go; relative: a namespace or a remap moves it
    rate_hz: float  # commands per second, 20 to 1000; the actions between are interpolated
    length_s: float  # from a command's stamp to where it is reached: time_from_start
    stamp: str  # 'zero': start at once, whatever the controller's clock says; 'now'
    frame_id: str  # in the header


@dataclass(frozen=True)
class GripperSpec:
    """How the gripper is told to open and close."""

    # none: there is none. joint: one more joint of the arm's commands. width, fraction:
    # Float64MultiArray (1,) of metres, or of 0 to 1. action: control_msgs/GripperCommand.
    # trajectory: JointTrajectory of its joint
    form: str
    topic: str  # where its commands go; '' for none and joint
    joint: str  # its name in joint_states and in the commands; '': it has none
    open: float  # value of the command, and of the joint, when it is open
    closed: float  # likewise when it is closed

    def value(self, gripper: float) -> float:
        """What to send for -1 (close) or +1 (open)."""
        return self.open if gripper > 0 else self.closed

    def opening(self, value):
        """How far it is open at a value (or array of values) of its joint: 0 closed, 1 open."""
        return (np.asarray(value, float) - self.closed) / (self.open - self.closed)


@dataclass(frozen=True)
class CameraSpec:
    """A camera that sees the robot."""

    topic: str  # of its images
    info: str  # topic of its CameraInfo; '': there is none
    frame: str  # optical frame in the headers
    # where it stands: x, y, z [m], roll, pitch, yaw [rad] of the optical frame in the arm's base
    # frame; None: nobody knows, and a policy learns its sight (`--learn-sight`)
    pose: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Contract:
    """Everything about one robot. Joints are in radians, lengths in metres.

    Raises:
        ContractError: by `load`, a key is missing, unknown or makes no sense.
    """

    name: str  # of the file, without .yaml
    file: pathlib.Path
    sha256: str  # of the file's text and of the URDF's: 64 hex digits
    arm: Arm  # its kinematics
    base_frame: str  # link that poses, box and actions are in
    tool_frame: str  # link that the tool is fixed to
    joints: tuple[str, ...]  # names of the n joints, from base to tool, as in joint_states
    home_rad: np.ndarray  # float64 (n,), where spare joints drift towards
    limits: Limits
    command: CommandSpec
    action_frame: str  # axes of a policy's actions: 'base' or 'tool'
    gripper: GripperSpec
    joint_states: tuple[str, ...]  # topics, merged by joint name
    cameras: Mapping[str, CameraSpec]  # by name, e.g. 'static'
    on_stale: str  # what is sent while an input is stale: 'silent' or 'hold'
    disarmed_at_start: bool  # true: nothing moves before `rearm`
    lerobot: LeRobotSpec | None = None  # what LeRobot data sets of this robot hold; None: not said

    @classmethod
    def load(cls, source: str | os.PathLike = 'panda', *, urdf: str = '') -> Contract:
        """Read and check a contract.

        Args:
            source: path of a YAML file, or the name of one of config/arms/.
            urdf: the robot's URDF, a path or the text itself; stands for the file's key `urdf`.
        Raises:
            ContractError: see the class.
        """
        path, values, text = _read(source)
        keys = Keys(values, _title(path))
        arm = _arm(keys, path, urdf)
        command = _command(keys.into('command', {}), arm.base_frame)
        contract = cls(
            name=path.stem,
            file=path,
            sha256=hashlib.sha256((text + getattr(arm, 'urdf', '')).encode()).hexdigest(),
            arm=arm,
            base_frame=arm.base_frame,
            tool_frame=keys.text('tool_frame'),
            joints=arm.joints,
            home_rad=arm.rest_rad,
            limits=_limits(keys.into('limits'), arm, command.rate_hz),
            command=command,
            action_frame=keys.text('action_frame', 'base', of=ACTION_FRAMES),
            gripper=_gripper(keys.into('gripper', {}), arm.joints),
            joint_states=keys.names('joint_states', ['joint_states']),
            cameras=_cameras(keys.into('cameras', {})),
            on_stale=keys.text('on_stale', 'silent', of=ON_STALE),
            disarmed_at_start=keys.flag('disarmed_at_start', True),
            lerobot=lerobot_spec(keys.into('lerobot')) if 'lerobot' in keys else None,
        )
        keys.end()
        contract._check_home(keys)
        return contract

    def _check_home(self, keys: Keys) -> None:
        home, limits = self.home_rad, self.limits
        out = (home < limits.lower_rad - HOME_TOLERANCE_RAD) | (
            home > limits.upper_rad + HOME_TOLERANCE_RAD
        )
        if out.any():
            i = int(np.argmax(out))
            raise keys.error(
                'home_rad',
                f'must lie within the limits. {self.joints[i]} is {home[i]:.3f}, its limits are '
                f'{limits.lower_rad[i]:.3f} to {limits.upper_rad[i]:.3f}. Are these degrees?',
            )
        at = self.arm.forward(home)[0]
        if (at < limits.box_lower_m).any() or (at > limits.box_upper_m).any():
            raise keys.error(
                'limits.box_lower_m',
                f'and box_upper_m must hold the tool at home, at {np.round(at, 3).tolist()}. Got '
                f'{limits.box_lower_m.tolist()} and {limits.box_upper_m.tolist()}',
            )


class Topics(NamedTuple):
    """Where a robot says what it does, and is told what to do."""

    joint_states: tuple[str, ...]
    commands: tuple[str, ...]  # of arm and gripper
    cameras: tuple[str, ...]  # of their images, as they are listed
    infos: tuple[str, ...]  # of their calibration


def topics(source: str | os.PathLike) -> Topics:
    """The topics of a contract, which need no URDF.

    Raises:
        ContractError: there is no such file, or these keys make no sense.
    """
    path, values, _ = _read(source)
    keys = Keys(values, _title(path))
    command = _command(keys.into('command', {}), keys.text('base_frame'))
    gripper = _gripper(keys.into('gripper', {}), keys.names('joints'))
    told = tuple(topic for topic in (command.topic, gripper.topic) if topic)
    cameras = _cameras(keys.into('cameras', {})).values()
    return Topics(
        keys.names('joint_states', ['joint_states']),
        told,
        tuple(camera.topic for camera in cameras),
        tuple(camera.info for camera in cameras if camera.info),
    )


class Following(NamedTuple):
    """What somebody needs to know of a robot whose tool he moves."""

    action_frame: str  # whose axes his twists have: 'base' or 'tool'
    frame: str  # the link of these axes
    tool_speed_m_s: float  # highest speed of the tool
    rate_hz: float  # commands per second
    joint_states: tuple[str, ...]  # where it says what it does


def following(source: str | os.PathLike) -> Following:
    """How a robot's tool is moved, which needs no URDF.

    Raises:
        ContractError: there is no such file, or these keys make no sense.
    """
    path, values, _ = _read(source)
    keys = Keys(values, _title(path))
    links = {'base': keys.text('base_frame'), 'tool': keys.text('tool_frame')}
    axes = keys.text('action_frame', 'base', of=ACTION_FRAMES)
    return Following(
        axes,
        links[axes],
        keys.into('limits').number('tool_speed_m_s', 0.25),
        _command(keys.into('command', {}), links['base']).rate_hz,
        keys.names('joint_states', ['joint_states']),
    )


def needs_description(source: str | os.PathLike) -> bool:
    """Whether a contract's URDF is the text of the topic `robot_description`.

    Raises:
        ContractError: there is no such file, or it is no YAML.
    """
    values = _read(source)[1]
    if not isinstance(values, Mapping) or values.get('kinematics') != 'urdf':
        return False
    return values.get('urdf', ROBOT_DESCRIPTION) == ROBOT_DESCRIPTION


def _title(path: pathlib.Path) -> str:
    return f'contract {path.name}'


def _read(source: str | os.PathLike) -> tuple[pathlib.Path, object, str]:
    try:
        path = named_config('arms', source, 'contract')
        text = path.read_text(encoding='utf-8')
        return path, yaml_of(text, str(path)), text
    except MissingFileError as error:
        raise ContractError(str(error)) from error
    except (OSError, UnicodeDecodeError, InvalidValueError) as error:
        said = ' '.join(str(error).split())
        title = _title(pathlib.Path(source))
        raise ContractError(
            f'{title}: must be a YAML file. Got one that cannot be read: {said}'
        ) from error


def _arm(keys: Keys, path: pathlib.Path, urdf: str) -> Arm:
    kind, joints = keys.text('kinematics', of=KINEMATICS), keys.names('joints')
    n, limits, gripper = len(joints), keys.into('limits'), keys.into('gripper', {})
    facts: dict[str, object] = {
        'joints': joints,
        'rest_rad': keys.numbers('home_rad', n),
        'base_frame': keys.text('base_frame'),
    }
    for key in ('lower_rad', 'upper_rad', 'velocity_rad_s'):
        if key in limits:
            facts[key] = _per_joint(limits, key, n)
    offset = keys.numbers('tool_offset_m', 3, [0.0, 0.0, 0.0])
    if kind == 'panda':
        if n != 7:
            raise keys.error('joints', f'must be 7 for kinematics: panda. Got {n}')
        if offset[:2] != (0.0, 0.0):
            raise keys.error('tool_offset_m', f'must be along z: [0, 0, z]. Got {list(offset)}')
        return open_arm(kind, **facts, tool_offset_m=offset[2])
    finger = gripper.text('joint', '')
    try:
        return open_arm(
            kind,
            urdf=_urdf(keys, path, urdf),
            **facts,
            tool_frame=keys.text('tool_frame'),
            tool_offset_m=offset,
            tool_rpy_rad=keys.numbers('tool_rpy_rad', 3, [0.0, 0.0, 0.0]),
            finger_joints=(finger,) if finger else (),
        )
    except ArmError as error:
        raise keys.error(error.key, error.text) from error


def _urdf(keys: Keys, path: pathlib.Path, urdf: str) -> str:
    """The URDF: as given, or as the file says, relative to where it lies."""
    said = keys.text('urdf', ROBOT_DESCRIPTION)
    if urdf:
        return urdf
    if said == ROBOT_DESCRIPTION:
        raise keys.error(
            'urdf',
            f'must come on the topic {ROBOT_DESCRIPTION}. Got nothing. Start robot_state_publisher, '
            'or give the path of a URDF',
        )
    return str(path.parent / os.path.expanduser(said))


def _per_joint(keys: Keys, key: str, n: int) -> tuple[float, ...]:
    """n numbers, or one for all."""
    value = keys.get(key)
    if isinstance(value, (list, tuple)):
        return keys.numbers(key, n)
    return (keys.number(key),) * n


def _limits(keys: Keys, arm: Arm, rate_hz: float) -> Limits:
    n = len(arm.joints)
    per_joint = {
        'lower_rad': arm.lower_rad,
        'upper_rad': arm.upper_rad,
        'velocity_rad_s': arm.velocity_rad_s,
    }
    for key in (*per_joint, 'acceleration_rad_s2', 'following_rad'):
        if key in keys or key not in per_joint:
            per_joint[key] = _per_joint(keys, key, n)
    braking = None
    if 'braking' in keys:
        part = keys.into('braking')
        names = ('offset_rad_s', 'slope_rad_s2', 'lower_rad', 'upper_rad')
        values = {name: _per_joint(part, name, n) for name in names}
        part.end()
    try:
        if 'braking' in keys:
            braking = Braking(**values)
        limits = Limits(
            joints=arm.joints,
            **per_joint,
            box_lower_m=keys.numbers('box_lower_m', 3),
            box_upper_m=keys.numbers('box_upper_m', 3),
            tool_speed_m_s=keys.number('tool_speed_m_s', 0.25),
            period_s=1 / rate_hz,
            max_age_s=keys.number('max_age_s', 0.1),
            max_future_s=keys.number('max_future_s', 0.05),
            frozen_frames=keys.get('frozen_frames', 10),
            latch_after=keys.get('latch_after', 5),
            resume_tolerance_rad=keys.number('resume_tolerance_rad', 0.1),
            braking=braking,
        )
    except ContractError:
        raise
    except InvalidValueError as error:
        raise ContractError(f'{keys.file}: {error}') from error
    keys.end()
    return limits


def _command(keys: Keys, base_frame: str) -> CommandSpec:
    form = keys.text('form', 'trajectory', of=FORMS)
    rate_hz = keys.number('rate_hz', 30.0, low=20.0, high=1000.0)
    command = CommandSpec(
        form=form,
        topic=keys.text('topic', FORMS[form]),
        rate_hz=rate_hz,
        length_s=keys.number('length_s', 0.1, low=1e-3, high=1.0),
        stamp=keys.text('stamp', 'zero', of=STAMPS),
        frame_id=keys.text('frame_id', base_frame),
    )
    if command.length_s < (1 - 1e-9) / rate_hz:
        raise keys.error(
            'length_s', f'must be at least 1 / rate_hz = {1 / rate_hz:.4f}. Got {command.length_s}'
        )
    keys.end()
    return command


def _gripper(keys: Keys, joints: tuple[str, ...]) -> GripperSpec:
    form = keys.text('form', 'none', of=GRIPPERS)
    gripper = GripperSpec(
        form=form,
        topic=keys.text('topic', GRIPPERS[form]),
        joint=keys.text('joint', '')
        if form in ('none', 'width', 'fraction')
        else keys.text('joint'),
        open=keys.number('open', *([1.0] if form in ('none', 'fraction') else [])),
        closed=keys.number('closed', 0.0),
    )
    if gripper.joint in joints:
        raise keys.error('joint', f'must not be one of the arm. Got {gripper.joint!r}')
    if gripper.open == gripper.closed:
        raise keys.error('open', f'must not be the same as closed. Got {gripper.open}')
    if form == 'fraction' and not {gripper.open, gripper.closed} <= {0.0, 1.0}:
        raise keys.error(
            'open', f'and closed must be 0 and 1. Got {gripper.open} and {gripper.closed}'
        )
    if max(abs(gripper.open), abs(gripper.closed)) > 4.0:
        raise keys.error(
            'open',
            f'and closed must be within 4 (metres or radians). Got {gripper.open} and '
            f'{gripper.closed}. Are these millimetres or degrees?',
        )
    keys.end()
    return gripper


def _cameras(keys: Keys) -> Mapping[str, CameraSpec]:
    cameras = {}
    for name in keys.keys():
        part = keys.into(name)
        cameras[name] = CameraSpec(
            topic=part.text('topic'),
            info=part.text('info', ''),
            frame=part.text('frame', f'{name}_optical_frame'),
            pose=part.numbers('pose', 6) if 'pose' in part else None,
        )
        part.end()
    return MappingProxyType(cameras)
