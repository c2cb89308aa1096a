# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 record`: a bag of a running robot."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import ContractFile, new_folder
from vw2_ros.errors import UsageError

EXAMPLE = 'vw2 record --contract panda --out bags/monday --instruction "open the drawer"'


def _seconds(text: str) -> float:
    """Seconds of e.g. '30s', '2m' or '30'; UsageError where it is no time."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in ('s', 'm') else (text, 's')
    try:
        found = float(number) * {'s': 1, 'm': 60}[unit]
    except ValueError:
        found = -1.0
    if not 0 < found <= 3600:
        raise UsageError(f'--last must be a time up to an hour, e.g. 30s or 2m. Got {text!r}')
    return found


def run(
    out: Annotated[
        pathlib.Path,
        typer.Option(help='The bag, a folder that does not exist yet.', callback=new_folder),
    ],
    image: Annotated[
        str,
        typer.Option(
            help='Topic of the only camera to record (default: the cameras of the contract).'
        ),
    ] = '',
    namespace: Annotated[
        str, typer.Option(help='Namespace that all recorded topics are in, e.g. /left.')
    ] = '',
    seconds: Annotated[
        float, typer.Option(min=0, help='End after this many seconds. With 0, end at Ctrl-C.')
    ] = 0,
    contract: ContractFile = 'play_table',
    instruction: Annotated[
        list[str] | None,
        typer.Option(
            help='What you will show. You then begin and end episodes with keys, or with the '
            'services episode/toggle, success, failure, discard, next. Give several, and go on to '
            'the next with n.'
        ),
    ] = None,
    takeovers: Annotated[
        bool,
        typer.Option(
            '--takeovers',
            help='Record what a person shows who takes the arm from a policy (vw2 teleop): an '
            'episode for each time.',
        ),
    ] = False,
    last: Annotated[
        str,
        typer.Option(
            help='Keep the last, e.g. 30s, in memory, and write it into a bag in --out at each w, '
            'or call of the service episode/save.'
        ),
    ] = '',
    max_bag_size: Annotated[
        int, typer.Option(min=0, help='Begin a new file of the bag after so many bytes.')
    ] = 0,
    max_bag_duration: Annotated[
        float, typer.Option(min=0, help='Begin a new file of the bag after so many seconds.')
    ] = 0,
    zstd: Annotated[bool, typer.Option('--zstd', help='Compress the bag with zstd.')] = False,
) -> None:
    """Record cameras, joints, commands and instructions of a running robot into a bag."""
    if bool(instruction) + takeovers + bool(last) > 1:
        raise UsageError('say one of --instruction, --takeovers and --last')
    last_s = _seconds(last) if last else 0.0
    from vw2_ros.recording import recorder

    wanted = recorder.Wanted(
        image,
        namespace,
        contract,
        tuple(instruction or ()),
        takeovers,
        last_s,
        recorder.Storage(zstd, max_bag_size, max_bag_duration),
    )
    raise typer.Exit(recorder.run(out, wanted, seconds))
