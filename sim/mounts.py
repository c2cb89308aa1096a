# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which arms can stand before the table, and where: plain facts. `arms` makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vw2_ros.errors import InvalidValueError

DEFAULT_ARM = 'panda'


@dataclass(frozen=True)
class Mount:
    """One kind of arm before the table. World frame."""

    contract: str  # of config/arms
    base_position: tuple[float, float, float]  # [m], of the arm's base frame
    # how far the tool gets from the base, across, at the expert's flying height, with the fingers
    # straight down; and how far the tool is from the wrist's axes [m]
    reach_m: float
    wrist_m: float
    prefix: str = 'panda'  # of the names of the hand's links and joints
    urdf: str = ''  # file below `example-robot-data`; '': it is the Panda's
    flange: str = ''  # link that carries the hand
    hand_rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the hand on the flange [rad]
    dropped: tuple[str, ...] = ()  # links at the end of that file that stand in the hand's way
    # origins of joints [m] in that file, and what they are on this arm
    origins: tuple[tuple[str, str], ...] = ()


MOUNTS = {
    'panda': Mount('play_table', (-0.34, -0.46, 0.24), reach_m=0.745, wrist_m=0.247),
    'fr3': Mount(
        'play_table_fr3', (-0.34, -0.46, 0.24), reach_m=0.745, wrist_m=0.247, prefix='fr3'
    ),
    'xarm7': Mount(
        'play_table_xarm7',
        (-0.25, -0.40, 0.36),
        reach_m=0.69,
        wrist_m=0.237,
        urdf='xarm_description/urdf/xarm7.urdf',
        flange='link7',
        dropped=('link_eef',),
    ),
    'ur5e': Mount(
        'play_table_ur5e',
        (-0.25, -0.46, 0.36),
        reach_m=0.86,
        wrist_m=0.24,
        urdf='ur_description/urdf/ur5_robot.urdf',
        flange='tool0',
        hand_rpy=(0.0, 0.0, -math.pi / 4),
        dropped=('ee_link',),
        origins=(  # the file is of the UR5; lengths as Universal Robots publishes them
            ('0.0 0.0 0.089159', '0.0 0.0 0.1625'),
            ('0.0 0.13585 0.0', '0.0 0.138 0.0'),
            ('0.0 -0.1197 0.425', '0.0 -0.131 0.425'),
            ('0.0 0.0 0.39225', '0.0 0.0 0.3922'),
            ('0.0 0.093 0.0', '0.0 0.1263 0.0'),
            ('0.0 0.0 0.09465', '0.0 0.0 0.0997'),
            ('0 0.0823 0', '0 0.0996 0'),
        ),
    ),
}


def mount_of(name: str) -> Mount:
    """How the arm of that name stands before the table.

    Raises:
        InvalidValueError: there is no such arm.
    """
    if name not in MOUNTS:
        raise InvalidValueError(
            f'the arm on the table must be one of {", ".join(MOUNTS)}. Got {name!r}. Choose one '
            'of these, or add it to sim/mounts.py'
        )
    return MOUNTS[name]
