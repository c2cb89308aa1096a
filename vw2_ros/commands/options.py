# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What several verbs share: types of options, and checks of what the user typed."""

import os
import pathlib
from collections.abc import Iterable
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.errors import MissingFileError, UsageError, VW2Error, close_matches
from vw2_ros.work.place import check_place as check_place

DEFAULT_ARM = 'panda'  # as sim/mounts.py has it, which is not imported for a help text
DEFAULT_LOOK = 'plain'  # as sim/appearance.py has it, likewise
HELP = {'help_option_names': ['-h', '--help']}


def group(help: str, example: str, completion: bool = False) -> typer.Typer:
    """Return a command that has commands.

    Args:
        help: what they are for. example: the line that the help ends with.
        completion: offer --install-completion and --show-completion.
    """
    return typer.Typer(
        help=help,
        epilog=epilog(example),
        no_args_is_help=True,
        add_completion=completion,
        context_settings=HELP,
        pretty_exceptions_enable=False,
        rich_markup_mode='rich',
    )


def epilog(example: str) -> str:
    """Return the last line of a help text."""
    return f'Example: {example}'


# ---------------------------------------------------------------------------- checks


def check_scene(letter: str) -> str:
    """Return one scene in upper case; UsageError where it does not exist."""
    from vw2_ros.sim.scenes import SCENES, scene_seed

    if letter.upper() not in SCENES and scene_seed(letter.upper()) is None:
        raise UsageError(close_matches('scene', letter, (*SCENES, 'R and a number')))
    return letter.upper()


def check_simulator(
    table: str,
    calvin_env: pathlib.Path | None,
    egl: bool,
    arm: str = DEFAULT_ARM,
    look: str = DEFAULT_LOOK,
):
    """Return the `Simulator`; UsageError where there is no such table, or it lacks a checkout."""
    from vw2_ros.sim.mounts import MOUNTS
    from vw2_ros.sim.table import TABLES, Simulator

    if table not in TABLES:
        raise UsageError(close_matches('table', table, TABLES))
    if arm not in MOUNTS:
        raise UsageError(close_matches('arm', arm, MOUNTS))
    check_look(look)
    try:
        return Simulator(table, str(calvin_env or ''), egl, arm, look)
    except VW2Error as error:
        raise UsageError(str(error)) from error


def check_look(name: str) -> str:
    """Return the name of a look; UsageError where there is none."""
    from vw2_ros.sim.appearance import LOOKS

    if name not in LOOKS:
        raise UsageError(close_matches('look', name, LOOKS))
    return name


def check_scenes(letters: str) -> str:
    """Return the scenes, e.g. 'ABCD', in upper case; UsageError where one does not exist."""
    from vw2_ros.sim.scenes import RANDOM, SCENES

    known = (*SCENES, RANDOM)
    letters = letters.replace(',', '').upper()
    if not letters:
        raise UsageError(f'--scenes must name a scene. Got none. Known: {", ".join(known)}')
    for letter in letters:
        if letter not in known:
            raise UsageError(close_matches('scene', letter, known))
    return letters


def check_tasks(names: str) -> list[str]:
    """Return the tasks named by 'all' or 'a,b'; UsageError where one does not exist."""
    from vw2_ros.sim.tasks import TASKS

    if names.strip() == 'all':
        return list(TASKS)
    chosen = [n.strip() for n in names.split(',') if n.strip()]
    if not chosen:
        raise UsageError('--tasks must name a task. Got none. Say --tasks all or NAME,NAME')
    for name in chosen:
        if name not in TASKS:
            raise UsageError(close_matches('task', name, TASKS))
    return chosen


def check_policy(name: str, learned: bool = False, served: bool = False) -> str:
    """Return a policy: the name of shipped weights, a folder, or 'expert' or 'random'.

    Args:
        name: what the user typed.
        learned: refuse 'expert' and 'random'.
        served: take the address of a policy server, too.
    """
    if served and name.startswith(('ws://', 'wss://')):
        return name
    known = [] if learned else ['expert', 'random']
    known += files.shipped_weights()
    if name in known or os.path.isdir(name):
        return name
    raise UsageError(close_matches('policy', name, known) + '; or give the folder of a checkpoint')


def check_renderer(name: str) -> str:
    """Return a renderer of the imagination; UsageError where it does not exist."""
    if name not in ('decoder', 'vdm'):
        raise UsageError(close_matches('renderer', name, ('decoder', 'vdm')))
    return name


def check_config(name: str) -> pathlib.Path:
    """Return a training config: a YAML file, or the name of one of config/train/."""
    try:
        return files.named_config('train', name)
    except MissingFileError as error:
        raise UsageError(str(error)) from error


def check_file(path: pathlib.Path | None, what: str) -> pathlib.Path | None:
    """Return the path; UsageError where it is given and is not a file."""
    if path is not None and not path.is_file():
        raise UsageError(f'{what} {path} is not a file')
    return path


def check_folders(option: str, folders: Iterable[pathlib.Path]) -> None:
    """Refuse what an option names as folders and is none."""
    for folder in folders:
        if not folder.is_dir():
            hint = ': vw2 collect makes data of the play table' if option == '--data' else ''
            raise UsageError(f'{option} {folder} is not a folder{hint}')


def new_folder(path: pathlib.Path | None) -> pathlib.Path | None:
    """Return the path; UsageError, before any work is done, where no folder can be made or filled."""
    place = pathlib.Path(path or '').absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f'{path} must be a folder, new or not. Got a file, {place}')
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f'{path} must be where you may write. Got {place}, which is read-only')
    return path


def new_file(path: pathlib.Path | None) -> pathlib.Path | None:
    """Return the path; UsageError, before any work is done, where no file can be written."""
    if path is not None:
        if path.is_dir():
            raise UsageError(f'{path} must be a file to write. Got a folder')
        new_folder(path.parent)
    return path


# ---------------------------------------------------------------------------- options

Scene = Annotated[
    str, typer.Option(help='The scene of the table: A, B, C, D, or e.g. R7: drawn by seed 7.')
]
TableName = Annotated[
    str,
    typer.Option(
        '--table', help='play_table, or calvin: the real CALVIN, from your checkout of it.'
    ),
]
CalvinEnv = Annotated[
    pathlib.Path | None,
    typer.Option(
        '--calvin-env', help='Folder of a checkout of calvin_env, or of calvin with it inside.'
    ),
]
Egl = Annotated[
    bool, typer.Option('--egl', help='With --table calvin: draw with EGL, on a graphics card.')
]
TableArm = Annotated[
    str, typer.Option('--arm', help='The arm before the play table: panda, fr3, xarm7 or ur5e.')
]
Look = Annotated[
    str,
    typer.Option(
        '--look',
        help='How the play table is drawn: plain, as it collides, or detailed, in the shapes of '
        "CALVIN's handles and of the Panda's visual meshes.",
    ),
]
On = Annotated[
    str,
    typer.Option(
        '--on',
        help='Where the work is done: local, ray (the cluster of RAY_ADDRESS, or of this machine) '
        'or ray://HOST:PORT.',
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help='Processes that work side by side (default: 1, vw2 collect: 2; on a cluster, one for each '
        'of its CPUs).',
    ),
]
RecoverAfter = Annotated[
    float,
    typer.Option(
        min=0.0,
        help='Seconds for which an instruction is followed before it is tried anew, from elsewhere; '
        '0: never.',
    ),
]
Learned = Annotated[
    str, typer.Option('--policy', help='Name of shipped weights, or the folder of a checkpoint.')
]
Renderer = Annotated[
    str,
    typer.Option(help='What draws: decoder (quick, coarse) or vdm (the video diffusion model).'),
]
SamplingSteps = Annotated[
    int | None,
    typer.Option(
        '--steps',
        min=1,
        max=1000,
        help='Denoising steps of the video diffusion model per clip (default: 2 of one that predicts '
        'the clip itself, 20 of others).',
    ),
]
Vdm = Annotated[
    pathlib.Path | None,
    typer.Option(
        help="Run folder of the video diffusion model (default: vdm/ in the policy's folder)."
    ),
]
ContractFile = Annotated[
    str,
    typer.Option(
        '--contract', help="The robot's contract: a file, or the name of one of config/arms/."
    ),
]
Json = Annotated[
    pathlib.Path | None,
    typer.Option('--json', help='Also write the figures to this file.', callback=new_file),
]


# ---------------------------------------------------------------------------- answers


def show(result: dict) -> None:
    """Print the figures of a result, one per line."""
    width = max(len(k) for k in result)
    for key, value in result.items():
        text = f'{value:.2f}' if isinstance(value, float) else str(value)
        print(f'{key:<{width}}  {text}')


def finish(result: dict, json_file: pathlib.Path | None) -> None:
    """Write the figures to a file, if one is named, and print them."""
    if json_file is not None:
        files.write_json(json_file, result)
    show(result)


def counts(numbers: dict[str, int]) -> str:
    """Return e.g. '3 episodes, 90 frames'."""
    return ', '.join(f'{v} {n}' for n, v in numbers.items())
