# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 convert`: bags to training data."""

import pathlib
import sys
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import ContractFile, Json, counts, new_folder, show
from vw2_ros.errors import UsageError, close_matches

EXAMPLE = 'vw2 convert --bag bags --out data/mine'


def run(
    bag: Annotated[
        list[pathlib.Path],
        typer.Option(help='A bag, or a folder that holds some; may be given several times.'),
    ],
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder of the data set, made or added to.', callback=new_folder),
    ],
    image: Annotated[
        str,
        typer.Option(
            help='Topic of the images that the policy shall see (default: image_raw, or the only '
            'image topic of the bag).'
        ),
    ] = '',
    instruction: Annotated[
        str, typer.Option(help='What the arm does in bags without a spoken instruction.')
    ] = '',
    contract: ContractFile = 'play_table',
    urdf: Annotated[
        str,
        typer.Option(
            help="The robot's URDF (default: the contract's, or robot_description in the bags)."
        ),
    ] = '',
    limits: Annotated[str, typer.Option(hidden=True)] = '',
    actions: Annotated[
        str,
        typer.Option(
            help='Where actions come from: commands, joints (as measured) or auto: commands where '
            'they were recorded.'
        ),
    ] = 'auto',
    json_file: Json = None,
) -> None:
    """Make recordings of a robot into data to train the action head with."""
    if limits:
        raise UsageError(
            f'--limits is gone: a contract has the limits, too. Got {limits}. Say --contract FILE; '
            'docs/contract.md says what is in it'
        )
    from vw2_ros.recording import convert

    if actions not in convert.ACTIONS:
        raise UsageError(close_matches('--actions', actions, convert.ACTIONS))
    result = convert.convert_bags(
        bag,
        out,
        image=image,
        instruction=instruction,
        contract=contract,
        urdf=urdf,
        actions=actions,
    )
    if json_file is not None:
        files.write_json(json_file, result)
    for line in convert.tell(result):
        print(line)
    show(
        {'folder': str(out)}
        | {split: counts(result[split]) for split in ('training', 'validation')}
    )
    if not result['training']['annotations']:
        print('vw2: no episode with words in it: nothing to train the head with', file=sys.stderr)
        raise typer.Exit(1)
