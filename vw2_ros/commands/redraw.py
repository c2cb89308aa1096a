# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 redraw`: the frames of a data set in other looks, or on another table."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    DEFAULT_ARM,
    DEFAULT_LOOK,
    CalvinEnv,
    Egl,
    TableName,
    check_simulator,
    counts,
    new_folder,
    show,
)
from vw2_ros.files import only_one

EXAMPLE = 'vw2 redraw --data data/play --out data/play_detailed --look detailed'


def run(
    data: Annotated[pathlib.Path, typer.Option(help='Folder of vw2 collect --shards.')],
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder of the new data set, made or resumed.', callback=new_folder),
    ],
    look: Annotated[
        str,
        typer.Option(
            help='Of the play table: plain, as it collides, or detailed (default), in the shapes of '
            "CALVIN's handles and of the Panda's visual meshes."
        ),
    ] = '',
    randomize: Annotated[
        bool,
        typer.Option(
            '--randomize',
            help='Other textures, colours and light for each episode; with --look detailed also '
            'another robot for one in three. The camera stays.',
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help='Of the random looks.')] = 0,
    table: TableName = 'play_table',
    calvin_env: CalvinEnv = None,
    egl: Egl = False,
) -> None:
    """Draw recorded frames anew, from how robot and scene stood: no physics, no expert."""
    ours = DEFAULT_LOOK if table == 'calvin' else 'detailed'
    simulator = check_simulator(table, calvin_env, egl, DEFAULT_ARM, look or ours)
    from vw2_ros.sim.redraw import redraw

    with only_one(out, 'vw2 redraw'):
        result = redraw(data, out, simulator, randomize, seed)
    show({'folder': str(out), **{split: counts(n) for split, n in result.items()}})
