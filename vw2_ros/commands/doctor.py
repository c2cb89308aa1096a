# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 doctor`: what is installed, what is missing and how to mend it."""

from typing import Annotated

import typer

EXAMPLE = 'vw2 doctor --json'


def run(
    as_json: Annotated[bool, typer.Option('--json', help='Print the checks as JSON.')] = False,
    contract: Annotated[
        str, typer.Option(help="Also check a robot's contract: a file, or a name of config/arms/.")
    ] = '',
    calvin_env: Annotated[
        str, typer.Option(help='Also check a checkout of calvin_env, for --table calvin.')
    ] = '',
) -> None:
    """Say what is installed, what is missing and how to mend it."""
    from vw2_ros.bringup import doctor

    asked = ['--contract', contract, '--calvin-env', calvin_env]
    raise typer.Exit(doctor.main([*(['--json'] if as_json else []), *asked]))
