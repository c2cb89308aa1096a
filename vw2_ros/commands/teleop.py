# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop`: a person moves the arm."""

from typing import Annotated

import typer

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
    speed: Annotated[float, typer.Option(help='Of the tool [m/s]; + and - change it.')] = 0.1,
    turn: Annotated[float, typer.Option(help='Of the tool [rad/s].')] = 0.5,
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
) -> None:
    """Move the arm by keys or a joystick, within the limits of its contract.

    It must be armed as always (e: rearm). The first key that moves it takes it from a policy. The arm
    holds when you let go, and the policy goes on after p.
    """
    numbers = _axes(axes)
    from vw2_ros import teleop

    try:
        hand = teleop.Hand(
            teleop.Pace(speed, turn), teleop.JoySpec(joy_topic, deadman, gripper_button, numbers)
        )
    except InvalidValueError as error:
        raise UsageError(str(error)) from error
    raise typer.Exit(teleop.run(hand, namespace, joy))
