# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop`: a person moves the arm."""

from typing import Annotated

import typer

from vw2_ros.commands.options import ContractFile
from vw2_ros.errors import InvalidValueError, UsageError

EXAMPLE = 'vw2 teleop --speed 0.05'
GAMEPAD = '1,0,4,,,3'


def _axes(text: str) -> tuple[int | None, ...]:
    """Numbers of axes, as '1,0,4,,,3'; UsageError where they are none."""
    try:
        return tuple(int(part) if part.strip() else None for part in text.split(','))
    except ValueError:
        raise UsageError(f'--axes must be numbers, e.g. {GAMEPAD}. Got {text!r}') from None


def run(
    speed: Annotated[
        float | None,
        typer.Option(
            help='Of the tool, in m/s; + and - change it (default: 0.1; with --leader at most as '
            'the contract allows).'
        ),
    ] = None,
    turn: Annotated[
        float | None, typer.Option(help='Of the tool, in rad/s (default: 0.5; with --leader 1.5).')
    ] = None,
    namespace: Annotated[
        str, typer.Option(help='Namespace that the action node is in, e.g. /left.')
    ] = '',
    joy: Annotated[
        bool, typer.Option('--joy', help='Listen to a joystick (sensor_msgs/Joy), too.')
    ] = False,
    joy_topic: Annotated[str, typer.Option(help='Its topic.')] = 'joy',
    deadman: Annotated[
        int, typer.Option(min=0, help='Its button that must be down for the arm to move.')
    ] = 4,
    gripper_button: Annotated[
        int, typer.Option(min=0, help='Its button that closes and opens the gripper.')
    ] = 0,
    axes: Annotated[
        str, typer.Option(help='Its axes of x, y, z, roll, pitch and yaw; nothing for none.')
    ] = GAMEPAD,
    leader: Annotated[
        str,
        typer.Option(help='Lead with another arm: topic of its joint_states.', metavar='TOPIC'),
    ] = '',
    leader_contract: Annotated[
        str,
        typer.Option(help='Its contract, likewise (default: it is of the same kind as the arm).'),
    ] = '',
    leader_urdf: Annotated[
        str,
        typer.Option(
            help="Its URDF (default: the contract's, or robot_description beside its joint_states)."
        ),
    ] = '',
    contract: ContractFile = 'play_table',
) -> None:
    """Move the arm by keys, a joystick or a leader arm, within the limits of its contract.

    It must be armed as always (e: rearm). The first key that moves it takes it from a policy. The arm
    holds when you let go, and the policy goes on after p.

    A leader arm leads by its motion, not by its pose: the tool makes the same way from where it is,
    along the axes of the contract's action_frame, while you are clutched in (enter; with --joy
    while the deadman button is down).
    """
    if not leader and (leader_contract or leader_urdf):
        raise UsageError('say --leader TOPIC, too: the joint_states of the leader arm')
    numbers = _axes(axes)
    from vw2_ros.teleop.hand import Hand, JoySpec, Pace
    from vw2_ros.teleop.leader_hand import leader_hand
    from vw2_ros.teleop.program import run as follow

    try:
        buttons = JoySpec(joy_topic, deadman, gripper_button, numbers)
        speeds = {'speed_m_s': speed, 'turn_rad_s': turn}
        if leader:
            arms = leader, contract, leader_contract, leader_urdf, namespace
            hand: Hand = leader_hand(*arms, **speeds, joy=buttons, by_button=joy)
        else:
            hand = Hand(Pace(**{k: v for k, v in speeds.items() if v is not None}), buttons)
    except InvalidValueError as error:
        raise UsageError(str(error)) from error
    raise typer.Exit(follow(hand, namespace, joy))
