# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record`: a bag of a running robot."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import names
from vw2_ros.commands.options import ContractFile, new_folder

EXAMPLE = 'vw2 record --out bags/drawer'


def run(
    out: Annotated[
        pathlib.Path,
        typer.Option(help='The bag, a folder that does not exist yet.', callback=new_folder),
    ],
    image: Annotated[
        str, typer.Option(help='Topic of the camera whose images the policy shall see.')
    ] = names.IMAGE,
    namespace: Annotated[
        str, typer.Option(help='Namespace that all recorded topics are in, e.g. /left.')
    ] = '',
    seconds: Annotated[
        float, typer.Option(min=0, help='End after this many seconds. With 0, end at Ctrl-C.')
    ] = 0,
    contract: ContractFile = 'play_table',
) -> None:
    """Record images, joints, commands and instructions of a running robot into a bag."""
    from vw2_ros.recording import recorder

    raise typer.Exit(recorder.run(out, image, namespace, seconds, contract))
