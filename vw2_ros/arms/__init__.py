# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Robot arms behind one protocol, `Arm`. `open_arm` is the only place that chooses one.

This room imports only numpy and `vw2_ros.errors`, so that simulator, nodes and tools can use it.
"""

from vw2_ros.arms.arm import Arm
from vw2_ros.arms.panda import Panda
from vw2_ros.errors import InvalidValueError

__all__ = ['ARMS', 'Arm', 'open_arm']

ARMS = {arm.name: arm for arm in (Panda(),)}


def open_arm(name: str = 'panda') -> Arm:
    """The arm of that name.

    Raises:
        InvalidValueError: there is no such arm.
    """
    try:
        return ARMS[name]
    except (KeyError, TypeError):
        raise InvalidValueError(
            f'arm must be one of {", ".join(ARMS)}. Got {name!r}. Choose one of these'
        ) from None
