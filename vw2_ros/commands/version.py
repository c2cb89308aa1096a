# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 --version`: version, commit and shipped weights."""

from typing import Annotated

import typer


def show_version(wanted: bool) -> None:
    """Print the version and end the program, if that is wanted."""
    if wanted:
        from vw2_ros import version

        print(*version.lines(), sep='\n')
        raise typer.Exit


def run(
    version: Annotated[
        bool,
        typer.Option(
            '--version',
            help='Print version, commit and shipped weights, and exit.',
            callback=show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take the options that stand before a verb."""
