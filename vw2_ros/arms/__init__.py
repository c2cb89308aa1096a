# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Robot arms behind one protocol, `Arm`. `open_arm` is the only place that chooses one.

`contract.py` reads all about one robot from one file. The maths imports only numpy, and Pinocchio
for arms other than the Panda, so that simulator, nodes and tools can use it.
"""

from vw2_ros.arms.arm import Arm
from vw2_ros.arms.panda import Panda
from vw2_ros.errors import InvalidValueError

__all__ = ['KINEMATICS', 'Arm', 'open_arm']

KINEMATICS = ('panda', 'urdf')
_PANDA = Panda()


def open_arm(kinematics: str = 'panda', **facts) -> Arm:
    """The arm with these kinematics.

    Args:
        kinematics: 'panda', this package's own code; or 'urdf', Pinocchio.
        facts: what makes it another one: see `Panda` and `UrdfArm`.
    Raises:
        InvalidValueError: there are no such kinematics, or the facts do not fit together.
        MissingPackageError: Pinocchio is not installed.
    """
    if kinematics == 'panda':
        return Panda(**facts) if facts else _PANDA
    if kinematics == 'urdf':
        from vw2_ros.arms.urdf import UrdfArm

        return UrdfArm(**facts)
    raise InvalidValueError(
        f'kinematics must be one of {", ".join(KINEMATICS)}. Got {kinematics!r}. Choose one of these'
    )
