# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The arms that can stand before the table, each with the Panda's hand on its flange.

    contract = table_contract('xarm7')
    table = open_table('D', arm=contract.arm)

| arm | its description | driven through |
| --- | --- | --- |
| panda | `pybullet_data` | config/arms/play_table.yaml |
| fr3 | that of the Panda, whose geometry it has, with the FR3's names | play_table_fr3.yaml |
| xarm7, ur5e | `example-robot-data` (extra `arms`) | play_table_xarm7.yaml, play_table_ur5e.yaml |

What the simulator loads, and what kinematics are computed from, is one text (URDF), made here.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import re
from pathlib import Path

import numpy as np

from vw2_ros.arms import Arm, open_arm
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.geometry import Pose
from vw2_ros.sim import hand
from vw2_ros.sim.details import FINGER_SECTIONS, with_panda_meshes
from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.meshes import write_simplified
from vw2_ros.sim.mounts import DEFAULT_ARM, MOUNTS, Mount, mount_of


class TableArm:
    """A contract's arm with the table's hand, and where its base stands; see `Arm`.

    Args:
        name: one of `MOUNTS`.
        contract: its contract, whose `arm` moves the tool of the hand.
    """

    def __init__(self, name: str, contract: Contract) -> None:
        mount, arm = MOUNTS[name], contract.arm
        self.name = name
        self.joints, self.base_frame = arm.joints, arm.base_frame
        self.lower_rad, self.upper_rad = arm.lower_rad, arm.upper_rad
        self.velocity_rad_s, self.rest_rad = arm.velocity_rad_s, arm.rest_rad
        self.base_position = np.array(mount.base_position)
        self.base_position.flags.writeable = False
        self.finger_joints = tuple(_named(mount, name) for name in hand.FINGER_JOINTS)
        self.finger_links = tuple(_named(mount, name) for name in hand.FINGER_LINKS)
        self.finger_open_m = hand.FINGER_OPEN_M
        self.forward, self.inverse = arm.forward, arm.inverse
        self.forward_and_jacobian = arm.forward_and_jacobian

    def hand_pose(self, q) -> Pose:
        """Position (3,) [m] and rotation (3, 3) of the hand for joints (n,) [rad]."""
        position, rotation = self.forward(q)
        return position - hand.TOOL_OFFSET_M * rotation[:, 2], rotation


@functools.cache
def table_contract(name: str = DEFAULT_ARM) -> Contract:
    """The contract of an arm before the table; its `arm` is what `open_table` takes.

    Raises:
        InvalidValueError: there is no such arm.
        SimulationError: its description is not installed.
    """
    mount = mount_of(name)
    if name == DEFAULT_ARM:
        return dataclasses.replace(Contract.load(mount.contract), arm=open_arm())
    contract = Contract.load(mount.contract, urdf=description(name) if mount.urdf else '')
    return dataclasses.replace(contract, arm=TableArm(name, contract))


def description(name: str) -> str:
    """The URDF of an arm with the hand, as text, meshes by their full path but those of the hand.

    Raises:
        InvalidValueError: there is no such arm.
        SimulationError: its description is not installed.
    """
    mount = mount_of(name)
    if not mount.urdf:
        return hand.panda_text().replace('panda_', f'{mount.prefix}_')
    folder = _robots()
    text = (folder / mount.urdf).read_text()
    text = re.sub(r'<!--.*?-->', '', text, flags=re.S)
    text = text.replace('package://example-robot-data/robots', str(folder))
    text = re.sub(r'<(transmission|gazebo)\b.*?</\1>', '', text, flags=re.S)
    for theirs, ours in mount.origins:
        text = text.replace(f'xyz="{theirs}"', f'xyz="{ours}"')
    for link in mount.dropped:
        text = re.sub(rf'<link name="{link}"\s*(/>|>.*?</link>)', '', text, flags=re.S)
        text = re.sub(
            rf'<joint (?:(?!</joint>).)*<child link="{link}"\s*/>.*?</joint>', '', text, flags=re.S
        )
    roll, pitch, yaw = mount.hand_rpy
    joint = (
        f'<joint name="hand_joint" type="fixed"><parent link="{mount.flange}"/>'
        f'<child link="panda_hand"/><origin xyz="0 0 0" rpy="{roll} {pitch} {yaw}"/></joint>'
    )
    return text.replace('</robot>', f'{hand.hand_text()}{joint}</robot>')


def write_arm(
    arm: Arm, path: Path, *, seen: bool = False, solid: bool = False, detailed: bool = False
) -> None:
    """Write the description (URDF) of an arm to `path`, meshes beside it.

    Args:
        seen: with what is drawn.
        solid: with what collides.
        detailed: what is drawn has the Panda's visual meshes; see `details`.
    Raises:
        InvalidValueError: this arm has no description for the simulator.
    """
    mount, text = mount_of(arm.name), description(arm.name)
    if detailed:
        hand.write_meshes(path.parent, FINGER_SECTIONS)
        text = with_panda_meshes(text, path.parent, mount.prefix)
    else:
        hand.write_meshes(path.parent)
    if mount.urdf:
        text = _with_light_meshes(text, path.parent)
    for element, wanted in (('visual', seen), ('collision', solid)):
        if not wanted:
            text = re.sub(rf'<{element}>.*?</{element}>', '', text, flags=re.S)
    path.write_text(text)


def _with_light_meshes(text: str, folder: Path) -> str:
    """What is seen is what collides, and its meshes have a tenth of the triangles."""
    text = re.sub(r'(/meshes/\w+)/visual/(\w+)\.dae', r'\1/collision/\2.stl', text)
    for file in sorted(set(re.findall(r'filename="([^"]+\.stl)"', text))):
        light = write_simplified(folder / f'{Path(file).stem}.obj', Path(file))
        text = text.replace(f'filename="{file}"', f'filename="{light.name}"')
    return text


def _named(mount: Mount, name: str) -> str:
    return name.replace('panda_', f'{mount.prefix}_')


def _robots() -> Path:
    """The folder of the wheel `example-robot-data` with a folder for each robot."""
    try:
        wheel = importlib.metadata.distribution('example-robot-data')
    except importlib.metadata.PackageNotFoundError:
        raise SimulationError(
            'another arm on the table needs its description. Got none: the package '
            "example-robot-data is not installed. pip install 'vw2_ros[arms]'"
        ) from None
    return Path(str(wheel.locate_file('cmeel.prefix/share/example-robot-data/robots')))
