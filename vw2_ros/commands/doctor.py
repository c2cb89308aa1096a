# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 doctor`: what is installed, what is missing and how to mend it."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import Learned, check_policy, new_file

EXAMPLE = 'vw2 doctor --json'


def run(
    as_json: Annotated[bool, typer.Option('--json', help='Print the checks as JSON.')] = False,
    contract: Annotated[
        str, typer.Option(help="Also check a robot's contract: a file, or a name of config/arms/.")
    ] = '',
    calvin_env: Annotated[
        str, typer.Option(help='Also check a checkout of calvin_env, for --table calvin.')
    ] = '',
    camera: Annotated[
        str,
        typer.Option(
            metavar='TOPIC',
            help='Look at this image topic instead: its rate, and its picture as the policy sees it.',
        ),
    ] = '',
    policy: Learned = 'play_table',
    out: Annotated[
        pathlib.Path,
        typer.Option(help="Where the camera's picture goes (PNG).", callback=new_file),
    ] = pathlib.Path('out/camera.png'),
) -> None:
    """Say what is installed, what is missing and how to mend it; or what a camera shows."""
    from vw2_ros.bringup import doctor

    parts = None
    if camera:
        policy = check_policy(policy, learned=True)
        from vw2_ros.bringup import camera_view

        parts = [lambda: camera_view.checks(camera, policy, out)]

    asked = ['--contract', contract, '--calvin-env', calvin_env]
    raise typer.Exit(doctor.main([*(['--json'] if as_json else []), *asked], parts))
