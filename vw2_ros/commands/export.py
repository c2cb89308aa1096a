# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 export`: recordings in the formats of others."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import ContractFile, Json, epilog, group, new_folder
from vw2_ros.errors import UsageError, close_matches
from vw2_ros.files import LeftOut, write_json

app = group(
    'Give recordings to other projects.', 'vw2 export lerobot bags --out lerobot/pick_cube'
)


@app.command('lerobot', epilog=epilog('vw2 export lerobot bags --out lerobot/pick_cube'))
def lerobot(
    data: Annotated[
        list[pathlib.Path],
        typer.Argument(help='Data folders; or bags, or folders that hold some.'),
    ],
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder of the LeRobot data set, a new one.', callback=new_folder),
    ],
    contract: ContractFile = 'play_table',
    urdf: Annotated[
        str, typer.Option(help="The robot's URDF (default: the contract's), for bags.")
    ] = '',
    camera: Annotated[
        list[str] | None,
        typer.Option(
            help="Of bags: NAME=TOPIC, may be given several times (default: the contract's)."
        ),
    ] = None,
    instruction: Annotated[
        str, typer.Option(help='What the arm does in bags without a spoken instruction.')
    ] = '',
    actions: Annotated[
        str,
        typer.Option(
            help='What `action` holds: steps of the tool, as this project learns them, or, of bags, '
            'joints: the commanded ones (rad) and the gripper.'
        ),
    ] = 'steps',
    json_file: Json = None,
) -> None:
    """Make a LeRobot data set (v3.0) of data folders or straight of ROS 2 bags.

    Pictures lose nothing. A command that was killed goes on where it was.
    """
    from vw2_ros.card import command_line
    from vw2_ros.recording import export, export_sources

    if actions not in export_sources.ACTIONS:
        raise UsageError(close_matches('--actions', actions, export_sources.ACTIONS))
    for path in data:
        if not path.exists():
            raise UsageError(f'{path} is not there: name data folders or bags')
    left_out: LeftOut = {}
    source = export.find_source(
        data, contract, urdf, camera or (), instruction, actions, left_out=left_out
    )
    command = command_line()
    result = export.export_lerobot(source, out, command)
    result['refused'] |= {str(path): why for path, why in left_out.items()}
    if json_file is not None:
        write_json(json_file, result)
    for line in export.tell(result, out):
        print(line)
