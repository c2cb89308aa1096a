# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Parameters of the action node. What the robot is and may do, its contract says."""

from dataclasses import dataclass

from vw2_ros.arms.contract import Contract
from vw2_ros.control.loop import ControlConfig
from vw2_ros.errors import InvalidValueError
from vw2_ros.nodes.model import PolicyConfig
from vw2_ros.nodes.operator import DEADMEN
from vw2_ros.nodes.parameters import parameter

# parameters of earlier versions, which the contract has now
GONE = ('limits', 'output', 'finger_joint', 'finger_open_m', 'frame_id')


@dataclass(frozen=True)
class ActionConfig(PolicyConfig):
    """Parameters of the action node; those of the loop have `ControlConfig`'s defaults."""

    weights: str = parameter(
        PolicyConfig.weights,
        'shipped weights by name, a model folder, or ws://HOST:PORT of a policy server; the '
        "planner's `load_weights` changes them",
        dynamic=True,
    )
    contract: str = parameter(
        'panda',
        "the robot, its limits and its topics: a file, or a name of this package's config/arms/",
    )
    lockstep: bool = parameter(
        ControlConfig.lockstep, 'one command for each joint_states, plans awaited'
    )
    execute: int = parameter(
        ControlConfig.execute, 'lockstep: actions of a plan until the next one', low=1
    )
    max_plan_age_s: float = parameter(
        ControlConfig.max_plan_age_s, 'an older image moves nothing [s]', low=0.01, high=10.0
    )
    blend: int = parameter(
        ControlConfig.blend, 'periods over which a new plan replaces the old one', low=0
    )
    command_delay_s: float = parameter(
        ControlConfig.command_delay_s,
        'real time: until the arm follows a command [s]; plans are entered where they will be then',
        low=-0.1,
        high=0.5,
    )
    watch_camera: bool = parameter(
        ControlConfig.watch_camera, 'real time: hold as soon as the camera is silent or frozen'
    )
    deadman: str = parameter(
        '', "'': none; enable: a Bool on that topic must be true; joy: a button must be down"
    )
    deadman_button: int = parameter(0, 'which of the joystick', low=0, high=255)
    dry_run: bool = parameter(False, 'command nothing: draw what would be done, on dry_run/image')
    instruction: str = parameter(
        '', 'plans for another one are dropped; also a topic', dynamic=True
    )

    def __post_init__(self):
        if self.dry_run and self.lockstep:
            raise InvalidValueError(
                'dry_run must be false in lockstep, where the world waits for commands. Got true.'
            )
        if self.deadman not in DEADMEN:
            raise InvalidValueError(
                f'deadman must be one of {", ".join(map(repr, DEADMEN))}. Got {self.deadman!r}.'
            )

    def control(self, contract: Contract, chunk: int | None = None) -> ControlConfig:
        """Return the control loop's part of it, for a policy whose plans have `chunk` actions."""
        return ControlConfig(
            lockstep=self.lockstep,
            execute=self.execute,
            blend=self.blend,
            max_plan_age_s=self.max_plan_age_s,
            watch_camera=self.watch_camera,
            command_delay_s=self.command_delay_s,
            # in a dry run the arm does not follow: each step begins where it is
            velocity=self.dry_run or contract.command.form == 'twist',
            chunk=chunk,
        )


def refuse_gone(overrides) -> None:
    """Refuse parameters of earlier versions.

    Raises:
        InvalidValueError: there is one among the names `overrides`.
    """
    gone = [name for name in GONE if name in overrides]
    if gone:
        raise InvalidValueError(
            f'{", ".join(gone)}: the contract says it now. Write contract:=FILE instead, a copy '
            'of one in config/arms/; docs/contract.md has its keys.'
        )
