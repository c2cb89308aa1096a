# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What leaves the control loop: a command per step, and events for the log. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# what a loop counts
COUNTS = (
    'plans',
    'late',
    'out_of_order',
    'other_instruction',
    'bad',
    'overruled',
    'commands',
    'holds',
    'limited',
)


@dataclass(frozen=True)
class Command:
    """What goes to the robot in one step."""

    joints: np.ndarray | None  # [rad] (n,); None: send nothing
    step: np.ndarray | None  # from the command before to `joints` [rad] (n,)
    elapsed_s: float  # the time in which that step is to be made [s]
    gripper: float  # -1.0 close, +1.0 open
    status: str  # 'waiting' | 'disarmed' | 'idle' | 'moving' | 'holding' | 'stopped'
    reasons: tuple[str, ...]  # why it is not exactly what the plan says
    frame: int | None  # index within the chunk, None if no plan is followed
    action: np.ndarray | None  # relative action (7,) that was followed, in [-1, 1]
    plan_ns: int | None  # stamp of the image behind the plan that was followed
    age_s: float | None  # age of that image [s]


class Event(NamedTuple):
    """Something that a log of what the robot did must show."""

    time_s: float  # on the loop's clock
    # 'arm' | 'disarm' | 'stop' | 'hold' | 'resume' | 'idle' | 'limit' | 'takeover' | 'handback'
    kind: str
    reason: str
