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
) -> None:
    """Say what is installed, what is missing and how to mend it."""
    from vw2_ros.bringup import doctor

    raise typer.Exit(doctor.main([*(['--json'] if as_json else []), '--contract', contract]))
