# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Robots for tests: small URDFs, their contracts, and the installed ones of others."""

import importlib.metadata
import pathlib

import pytest
import yaml

from vw2_ros.files import config_file

# name of the joint, its origin xyz [m] and rpy [rad], its axis
ELBOW_ARM = (
    ('waist', (0, 0, 0.3), (0, 0, 0), (0, 0, 1)),
    ('shoulder', (0, 0.05, 0.1), (0, 0, 0), (0, 1, 0)),
    ('elbow', (0, 0, 0.4), (0, 0, 0), (0, 1, 0)),
    ('roll', (0, -0.05, 0.3), (0, 0, 0), (0, 0, 1)),
    ('pitch', (0, 0, 0.05), (0, 0, 0), (0, 1, 0)),
    ('wrist', (0, 0, 0.1), (0, 0, 0), (0, 0, 1)),
)
ELBOW_HOME = [0.0, 0.3, 1.4, 0.0, 1.4416, 0.0]  # the tool points down
EXAMPLES = {  # contract -> URDF of the wheel example-robot-data
    'panda': 'panda_description/urdf/panda.urdf',
    'xarm7': 'xarm_description/urdf/xarm7.urdf',
    'ur5e': 'ur_description/urdf/ur5_robot.urdf',
}


def chain(joints=ELBOW_ARM, *, prefix='', extra='', limit='lower="-2.9" upper="2.9"') -> str:
    """A URDF: `base`, a link below each joint, and `tool` fixed to the last; `extra` as it is."""
    xml, parent = [f'<robot name="elbow"><link name="{prefix}base"/>'], f'{prefix}base'
    for name, xyz, rpy, axis in joints:
        xml.append(
            f'<link name="{prefix}{name}_link"/><joint name="{prefix}{name}" type="revolute">'
            f'<parent link="{parent}"/><child link="{prefix}{name}_link"/>'
            f'<origin xyz="{_text(xyz)}" rpy="{_text(rpy)}"/><axis xyz="{_text(axis)}"/>'
            f'<limit effort="1" velocity="3.0" {limit}/></joint>'
        )
        parent = f'{prefix}{name}_link'
    xml.append(
        f'<link name="{prefix}tool"/><joint name="{prefix}tool_joint" type="fixed">'
        f'<parent link="{parent}"/><child link="{prefix}tool"/></joint>{extra}</robot>'
    )
    return ''.join(xml)


def contract(prefix='') -> dict:
    """The values of a contract for `chain`, whose URDF lies beside it as arm.urdf."""
    return {
        'kinematics': 'urdf',
        'urdf': 'arm.urdf',
        'base_frame': f'{prefix}base',
        'tool_frame': f'{prefix}tool',
        'joints': [prefix + joint[0] for joint in ELBOW_ARM],
        'home_rad': list(ELBOW_HOME),
        'limits': {
            'acceleration_rad_s2': 8.0,
            'following_rad': 0.3,
            'box_lower_m': [-1.0, -1.0, 0.0],
            'box_upper_m': [1.0, 1.0, 1.5],
        },
        'command': {'form': 'trajectory', 'topic': 'arm_controller/joint_trajectory'},
        'gripper': {'form': 'width', 'joint': 'finger', 'open': 0.08, 'closed': 0.0},
    }


def write(folder: pathlib.Path, values: dict, urdf: str = '') -> pathlib.Path:
    """Write arm.urdf and my_arm.yaml; return the path of the contract."""
    (folder / 'arm.urdf').write_text(urdf or chain())
    path = folder / 'my_arm.yaml'
    path.write_text(yaml.safe_dump(values))
    return path


def shipped(name: str) -> dict:
    """The values of one of config/arms."""
    return yaml.safe_load(config_file(f'arms/{name}.yaml').read_text())


def example_urdf(name: str) -> str:
    """Path of the URDF of an arm in `example-robot-data`; skips the test where it is not there."""
    pytest.importorskip('pinocchio', reason="Pinocchio is not installed: pip install '.[arms]'")
    try:
        wheel = importlib.metadata.distribution('example-robot-data')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('example-robot-data is not installed')
    return str(wheel.locate_file(f'cmeel.prefix/share/example-robot-data/robots/{EXAMPLES[name]}'))


def _text(numbers) -> str:
    return ' '.join(map(str, numbers))
