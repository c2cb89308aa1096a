# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where a chunk of actions would take the arm, through the same loop and gate, without moving it."""

from dataclasses import dataclass, replace

import numpy as np

from vw2_ros.arms.actions import ACTION_PERIOD_S
from vw2_ros.arms.contract import Contract
from vw2_ros.control.chunk import Chunk, ControlConfig
from vw2_ros.control.loop import ControlLoop

_SLOW_S = 1.2  # a robot's motion begins slowly that long after it was armed


@dataclass(frozen=True)
class Foreseen:
    """What an arm that follows at once would do with a chunk of n actions."""

    positions: np.ndarray  # tool, base frame [m] (n + 1, 3), the first as it is now
    gripper: np.ndarray  # -1 closed, +1 open (n + 1,)
    reasons: tuple[str, ...]  # limits that change it


def foresee(contract: Contract, config: ControlConfig, chunk: Chunk, joints) -> Foreseen:
    """Run a chunk through a control loop of its own, from the measured joints (n,) [rad].

    Args:
        config: of the loop that would follow it.
    Raises:
        InvalidValueError: the arm cannot start there, or the chunk is malformed.
    """
    limits = replace(contract.limits, period_s=ACTION_PERIOD_S)
    free = replace(
        config,
        lockstep=False,
        watch_camera=False,
        velocity=False,
        blend=0,
        command_delay_s=0.0,
        max_plan_age_s=10.0,
    )
    loop = ControlLoop(replace(contract, limits=limits), free)
    at, now_s = np.array(joints, np.float64), 0.0
    loop.see_joints(at, now_s)
    if loop.stop_reason:
        loop.rearm(now_s)
    for _ in range(round(_SLOW_S / ACTION_PERIOD_S) if contract.disarmed_at_start else 1):
        loop.step(now_s, at)
        now_s += ACTION_PERIOD_S
    refused = loop.accept(replace(chunk, observed_s=now_s, instruction_id=None), now_s)
    if refused:
        return Foreseen(contract.arm.forward(at)[0][None], np.ones(1), (refused,))
    positions, gripper, reasons = [contract.arm.forward(at)[0]], [loop.gripper], {}
    for _ in range(len(chunk.actions)):
        command = loop.step(now_s, at)
        at = at if command.joints is None else command.joints
        positions.append(contract.arm.forward(at)[0])
        gripper.append(command.gripper)
        reasons |= dict.fromkeys(command.reasons)
        now_s += ACTION_PERIOD_S
    return Foreseen(np.array(positions), np.array(gripper), tuple(reasons))
