# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Any arm that a URDF describes: `UrdfArm`, its kinematics by Pinocchio (`pin`)."""

from __future__ import annotations

import os
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np

from vw2_ros.arms.geometry import Pose, euler_to_matrix
from vw2_ros.arms.inverse import damped_least_squares
from vw2_ros.errors import InvalidValueError, MissingPackageError

_TURNS = ('revolute', 'continuous')
_FIXED = ('fixed',)
# A joint that sits so near to its end has no way towards it in the least squares; see `inverse`.
_ITERATIONS = 12


class ArmError(InvalidValueError):
    """A fact of an arm does not fit its URDF; `key` is the contract's key that says it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f'{key} {text}')
        self.key, self.text = key, text


class UrdfArm:
    """See `Arm`, which it implements.

    Args:
        urdf: path of a URDF, or its text (as on the topic robot_description).
        joints: names of the n joints that turn between base and tool, in any order; they are
            those of all arrays.
        rest_rad: (n,) [rad].
        base_frame, tool_frame: links, or frames as the URDF names them.
        tool_offset_m: TCP in the tool frame (3,) [m].
        tool_rpy_rad: its axes, fixed-axes Euler angles (3,) [rad] in the tool frame.
        lower_rad, upper_rad, velocity_rad_s: (n,) where they are not the URDF's.
        finger_joints: names; the gripper's, if it has any.
    Raises:
        ArmError: what is said does not fit the URDF; its `key` says what.
        MissingPackageError: Pinocchio is not installed.
    """

    finger_links: tuple[str, ...] = ()
    finger_open_m = 0.0
    base_position = np.zeros(3)
    base_position.flags.writeable = False

    def __init__(
        self,
        urdf: str | os.PathLike,
        *,
        joints: Sequence[str],
        rest_rad,
        base_frame: str,
        tool_frame: str,
        tool_offset_m=(0.0, 0.0, 0.0),
        tool_rpy_rad=(0.0, 0.0, 0.0),
        lower_rad=None,
        upper_rad=None,
        velocity_rad_s=None,
        finger_joints: Sequence[str] = (),
    ) -> None:
        self._pin = _pinocchio()
        self.urdf = read_urdf(urdf)
        described = _Description(self.urdf)
        self.name = described.name
        self.joints, self.finger_joints = tuple(joints), tuple(finger_joints)
        self.base_frame, self.tool_frame = base_frame, tool_frame
        described.check(self.joints, base_frame, tool_frame)
        given = {'lower_rad': lower_rad, 'upper_rad': upper_rad, 'velocity_rad_s': velocity_rad_s}
        for key, values in given.items():
            setattr(self, key, _fixed(described.limits(key, self.joints, values)))
        self.rest_rad = _fixed(rest_rad)
        self._build(described, euler_to_matrix(tool_rpy_rad), np.array(tool_offset_m, float))

    def _build(self, described: _Description, turn: np.ndarray, offset: np.ndarray) -> None:
        """Make the model of the n joints, all others locked at 0."""
        pin = self._pin
        try:
            whole = pin.buildModelFromXML(described.turning())
        except (RuntimeError, ValueError) as error:
            raise ArmError(
                'urdf', f'must describe an arm. Got: {" ".join(str(error).split())}'
            ) from None
        locked = [i for i in range(1, whole.njoints) if whole.names[i] not in self.joints]
        model = pin.buildReducedModel(whole, locked, pin.neutral(whole))
        hand = model.frames[model.getFrameId(self.tool_frame)]
        tool = pin.Frame(
            'vw2_tool',
            hand.parentJoint,
            model.getFrameId(self.tool_frame),
            hand.placement * pin.SE3(turn, offset),
            pin.FrameType.OP_FRAME,
        )
        self._tool, self._hand = model.addFrame(tool), model.getFrameId(self.tool_frame)
        self._model, self._data = model, model.createData()
        # place of each of our joints in Pinocchio's order
        self._order = np.array([model.idx_vs[model.getJointId(name)] for name in self.joints])
        pin.framesForwardKinematics(model, self._data, pin.neutral(model))
        base = self._data.oMf[model.getFrameId(self.base_frame)]
        self._from_root, self._base = base.rotation.T.copy(), base.translation.copy()
        # what changes nothing is left out
        self._at_root = (self._from_root == np.eye(3)).all() and not self._base.any()
        self._in_order = (self._order == np.arange(model.nv)).all()

    # ------------------------------------------------------------------ kinematics

    def forward(self, q) -> Pose:
        """See `Arm`."""
        return self._pose(q, self._tool)

    def hand_pose(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of the tool frame, without the tool's offset."""
        return self._pose(q, self._hand)

    def forward_and_jacobian(self, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Arm`."""
        pin, model, data = self._pin, self._model, self._data
        pin.computeJointJacobians(model, data, self._arranged(q))
        at = pin.updateFramePlacement(model, data, self._tool)
        jac = pin.getFrameJacobian(model, data, self._tool, pin.LOCAL_WORLD_ALIGNED)
        if not self._in_order:
            jac = jac[:, self._order]
        if not self._at_root:
            jac = np.concatenate([self._from_root @ jac[:3], self._from_root @ jac[3:]])
        return *self._from_base(at), jac

    def inverse(self, position, rotation, seed, **settings) -> np.ndarray:
        """See `Arm`; settings as `damped_least_squares`."""
        return damped_least_squares(
            self._numbers,
            position,
            rotation,
            seed,
            lower=self._lower,
            upper=self._upper,
            rest=self.rest_rad,
            **{'iterations': _ITERATIONS, **settings},
        )

    @property
    def _lower(self) -> list[float]:
        return self.lower_rad.tolist()

    @property
    def _upper(self) -> list[float]:
        return self.upper_rad.tolist()

    def _numbers(self, q: list[float]):
        at, turn, jac = self.forward_and_jacobian(q)
        return at.tolist(), turn, jac

    def _pose(self, q, frame: int) -> Pose:
        pin, data = self._pin, self._data
        pin.forwardKinematics(self._model, data, self._arranged(q))
        return self._from_base(pin.updateFramePlacement(self._model, data, frame))

    def _from_base(self, at) -> Pose:
        """A pin.SE3 of the root in the base frame; copies."""
        if self._at_root:
            return at.translation.copy(), at.rotation.copy()
        return self._from_root @ (at.translation - self._base), self._from_root @ at.rotation

    def _arranged(self, q) -> np.ndarray:
        """Joints (n,) in Pinocchio's order."""
        if self._in_order:
            return np.array(q, dtype=float)
        values = np.empty(len(self.joints))
        values[self._order] = q
        return values


def read_urdf(urdf: str | os.PathLike) -> str:
    """The text of a URDF, given by its path or as text.

    Raises:
        ArmError: it cannot be read, or is not yet a URDF.
    """
    text = os.fspath(urdf)
    if '<' not in text:
        try:
            text = pathlib.Path(text).expanduser().read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as error:
            raise ArmError(
                'urdf', f'must be a file or the text of one. Got one that cannot be read: {error}'
            ) from None
    text = re.sub(r'<!--.*?-->', '', text, flags=re.S)
    left = re.search(r'<xacro:\w+|\$\{[^}]*\}|\$\([^)]*\)', text)
    if left:
        raise ArmError(
            'urdf',
            f'must have no xacro left in it. Got {left.group()!r}. '
            'Give what `xacro FILE > my_arm.urdf` writes',
        )
    return text


class _Description:
    """What a URDF says of joints and links."""

    def __init__(self, text: str) -> None:
        try:
            self.root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise ArmError('urdf', f'must be XML. Got {error}') from None
        if self.root.tag != 'robot':
            raise ArmError('urdf', f'must be a <robot>. Got <{self.root.tag}>')
        self.name = self.root.get('name', 'robot')
        self.links = {link.get('name', '') for link in self.root.findall('link')}
        # not those of <transmission>, which are named again
        self.joints = {joint.get('name', ''): joint for joint in self.root.findall('joint')}
        self.above = {  # link -> the joint that it hangs on
            _link(joint, 'child'): joint for joint in self.joints.values()
        }

    def check(self, joints: Sequence[str], base: str, tool: str) -> None:
        """Refuse joints and frames that do not fit: exactly `joints` turn between the links."""
        for key, link in (('base_frame', base), ('tool_frame', tool)):
            if link not in self.links:
                raise ArmError(key, f'must be a link of the URDF. {_near(link, self.links)}')
        for name in joints:
            if name not in self.joints:
                turning = [n for n, j in self.joints.items() if j.get('type') in _TURNS]
                raise ArmError('joints', f'must be joints of the URDF. {_near(name, turning)}')
            if self.joints[name].get('type') not in _TURNS:
                raise ArmError(
                    'joints', f'must turn. Got {name!r}, which is {self.joints[name].get("type")}'
                )
        chain = self._chain(tool, base)
        for name in joints:
            if name not in chain:
                raise ArmError('joints', f'must lie between {base} and {tool}. Got {name!r}')
        for name in chain:
            if name not in joints and self.joints[name].get('type') not in _FIXED:
                raise ArmError(
                    'joints',
                    f'must be all that move between {base} and {tool}. Got none named {name!r}',
                )

    def _chain(self, tool: str, base: str) -> list[str]:
        chain, link = [], tool
        while link != base:
            if link not in self.above or len(chain) > len(self.joints):
                raise ArmError('base_frame', f'must carry the tool frame {tool!r}. Got {base!r}')
            joint = self.above[link]
            chain.append(joint.get('name', ''))
            link = _link(joint, 'parent')
        return chain

    def limits(self, key: str, joints: Sequence[str], given) -> np.ndarray:
        """What the URDF says, or what is given within it, (n,)."""
        said = [self._limit(name, key) for name in joints]
        if given is None:
            for name, value in zip(joints, said):
                if value is None:
                    raise ArmError(f'limits.{key}', f'is missing: the URDF has none of {name!r}')
            return np.array(said)
        given = np.array(given, float)
        for name, value, limit in zip(joints, given, said):
            beyond = limit is not None and (
                value < limit - 1e-6 if key == 'lower_rad' else value > limit + 1e-6
            )
            if beyond:
                raise ArmError(
                    f'limits.{key}',
                    f"must lie within the URDF's. Got {value:.4g} of {name!r}, there it is "
                    f'{limit:.4g}. Are these degrees?',
                )
        return given

    def _limit(self, name: str, key: str) -> float | None:
        joint, limit = self.joints[name], self.joints[name].find('limit')
        if key != 'velocity_rad_s' and joint.get('type') == 'continuous':
            return -2 * np.pi if key == 'lower_rad' else 2 * np.pi
        attribute = {'lower_rad': 'lower', 'upper_rad': 'upper', 'velocity_rad_s': 'velocity'}[key]
        said = None if limit is None else limit.get(attribute)
        try:
            value = None if said is None else float(said)
        except ValueError:
            raise ArmError(
                'urdf', f'must give numbers as limits. Got {said!r} for {name!r}'
            ) from None
        if key == 'velocity_rad_s' and not value:
            return None  # 0 stands for nothing known
        return value

    def turning(self) -> str:
        """The URDF with joints that turn without end as if they had one: one number each."""
        for joint in self.joints.values():
            if joint.get('type') == 'continuous':
                joint.set('type', 'revolute')
                limit = joint.find('limit')
                if limit is None:
                    limit = ElementTree.SubElement(joint, 'limit', effort='0', velocity='0')
                limit.set('lower', str(-2 * np.pi))
                limit.set('upper', str(2 * np.pi))
        return ElementTree.tostring(self.root, encoding='unicode')


def _link(joint: ElementTree.Element, tag: str) -> str:
    element = joint.find(tag)
    return '' if element is None else element.get('link', '')


def _near(name: str, known) -> str:
    return f'Got {name!r}, it has {", ".join(sorted(known)) or "none"}'


def _fixed(values) -> np.ndarray:
    array = np.array(values, float)
    array.flags.writeable = False
    return array


def _pinocchio():
    try:
        import pinocchio
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            'kinematics: urdf needs Pinocchio. Got no module of that name. '
            "pip install 'vw2_ros[arms]', or apt install ros-$ROS_DISTRO-pinocchio"
        ) from error
    return pinocchio
