# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 view`: a recording or a run in Rerun."""

import os
import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import new_file

EXAMPLE = 'vw2 view bags/monday --out out/monday.rrd'


def run(
    data: Annotated[
        pathlib.Path,
        typer.Argument(help='Bags, data of vw2 convert or collect, or the folder of vw2 train.'),
    ],
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='Write this file (.rrd) instead of opening a window (default, where there is no '
            'screen: out/view.rrd).',
            callback=new_file,
        ),
    ] = None,
    image: Annotated[str, typer.Option(help='Topic of the camera, where a bag has several.')] = '',
    events: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder of the nodes' logs of events (default: $ROS_HOME/vw2, or ~/.ros/vw2)."
        ),
    ] = None,
) -> None:
    """Show cameras, joints, gripper, actions, codes of the plan and events in Rerun."""
    from vw2_ros.review.view import has_screen, view

    home = pathlib.Path(os.environ.get('ROS_HOME') or pathlib.Path.home() / '.ros')
    file = out or (None if has_screen() else pathlib.Path('out/view.rrd'))
    count = view(data, file, image, events or home / 'vw2')
    print(f'{count} things shown' + ('' if file is None else f'. Open it: rerun {file}'))
