# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 convert`: bags and LeRobot data sets to training data."""

import pathlib
import sys
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import ContractFile, Json, counts, new_folder, show
from vw2_ros.errors import UsageError, close_matches

EXAMPLE = 'vw2 convert --bag bags --out data/mine'


def run(
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder of the data set, made or added to.', callback=new_folder),
    ],
    bag: Annotated[
        list[pathlib.Path] | None,
        typer.Option(help='A bag, or a folder that holds some; may be given several times.'),
    ] = None,
    lerobot: Annotated[
        list[pathlib.Path] | None,
        typer.Option(
            help='A LeRobot data set (v2.0, v2.1, v3); may be given several times. The contract '
            'says what its columns mean.'
        ),
    ] = None,
    image: Annotated[
        str,
        typer.Option(
            help='Topic of the images that the policy shall see (default: image_raw, or the only '
            "image topic of the bag), or a LeRobot set's camera (default: the contract's, or the "
            'first in colour).'
        ),
    ] = '',
    instruction: Annotated[
        str, typer.Option(help='What the arm does where the recording has no words.')
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
    if bool(bag) == bool(lerobot):
        raise UsageError('give either --bag or --lerobot: one command converts one of them')
    if any(path.resolve() == out.resolve() for path in (bag or lerobot)):
        raise UsageError(f'--out must be another folder than what is converted. Got {out}')
    from vw2_ros.recording import convert, sets
    from vw2_ros.recording.told import tell

    if actions not in convert.ACTIONS:
        raise UsageError(close_matches('--actions', actions, convert.ACTIONS))
    options = {'instruction': instruction, 'contract': contract, 'urdf': urdf}
    if lerobot:
        result = sets.convert_sets(lerobot, out, camera=image, **options)
    else:
        result = convert.convert_bags(bag or (), out, image=image, actions=actions, **options)
    if json_file is not None:
        files.write_json(json_file, result)
    for line in tell(result):
        print(line)
    show(
        {'folder': str(out)}
        | {split: counts(result[split]) for split in ('training', 'validation')}
    )
    if not result['training']['annotations']:
        print('vw2: no episode with words in it: nothing to train the head with', file=sys.stderr)
        raise typer.Exit(1)
