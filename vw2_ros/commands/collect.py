# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 collect`: data of a simulated table."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    DEFAULT_ARM,
    DEFAULT_LOOK,
    CalvinEnv,
    Egl,
    Look,
    On,
    TableArm,
    TableName,
    Workers,
    check_place,
    check_scenes,
    check_simulator,
    check_tasks,
    counts,
    new_folder,
    show,
)
from vw2_ros.files import only_one

EXAMPLE = 'vw2 collect --out data/play --scenes D --episodes 200 --workers 2'

Shards = Annotated[
    int,
    typer.Option(
        min=0,
        help='Write compressed shards with images of this size (pixels) instead of one file per '
        'frame. With 0, write frames.',
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        min=16, max=1024, help='Side of the static images where there are no shards (pixels).'
    ),
]
Share = Annotated[
    float,
    typer.Option(
        help='Share of the frames to record, in stretches of a second. Between them the expert plays '
        'on undrawn: where drawing is slow, as many pictures then show more tasks.'
    ),
]
ValidationEpisodes = Annotated[
    int | None,
    typer.Option(
        min=0,
        help='Episodes to keep apart for validation (default: one for every twenty of training).',
    ),
]
Astray = Annotated[
    str,
    typer.Option(
        help='Let this policy act now and then, unrecorded, so that the data show how the expert '
        'gets back from where the policy errs.'
    ),
]
Tasks = Annotated[
    str,
    typer.Option(
        help='Tasks to play whenever they can begin, e.g. those that a policy does badly: all, or '
        'NAME,NAME.'
    ),
]


def run(
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder of the data set, made or resumed.', callback=new_folder),
    ],
    scenes: Annotated[
        str, typer.Option(help='Scenes to play in, e.g. D or ABCD; R draws a table for each.')
    ] = 'D',
    episodes: Annotated[
        int, typer.Option(min=1, help='Episodes to record; the table is reset before each.')
    ] = 100,
    workers: Workers = None,
    on: On = 'local',
    randomize: Annotated[
        bool, typer.Option('--randomize', help='Vary textures, colours, light and camera pose.')
    ] = False,
    seed: Annotated[int, typer.Option(help='The same seed gives the same data.')] = 0,
    shards: Shards = 0,
    image_size: ImageSize = 200,
    depth: Annotated[
        bool, typer.Option('--depth', help='Record depth images, too (without --shards only).')
    ] = False,
    tasks_per_episode: Annotated[
        int, typer.Option(min=1, help='Tasks to solve between two resets.')
    ] = 30,
    validation_episodes: ValidationEpisodes = None,
    share: Share = 1.0,
    policy: Astray = '',
    tasks: Tasks = 'all',
    table: TableName = 'play_table',
    calvin_env: CalvinEnv = None,
    egl: Egl = False,
    arm: TableArm = DEFAULT_ARM,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Let the scripted expert play, and write what it does in CALVIN's format."""
    scenes, wanted = check_scenes(scenes), check_tasks(tasks)
    from vw2_ros.evaluation.fingerprint import checkpoint_sha256
    from vw2_ros.evaluation.players import PolicyTurn
    from vw2_ros.sim.collect import collect
    from vw2_ros.sim.tasks import TASKS

    with only_one(out, 'vw2 collect'):
        result = collect(
            out=out,
            scenes=scenes,
            episodes=episodes,
            workers=workers,
            on=check_place(on),
            randomize=randomize,
            seed=seed,
            shards=shards,
            image_size=image_size,
            depth=depth,
            tasks_per_episode=tasks_per_episode,
            validation_episodes=validation_episodes,
            share=share,
            policy=(checkpoint_sha256(policy) or policy) if policy else '',
            astray=PolicyTurn(policy) if policy else None,
            tasks=() if wanted == list(TASKS) else tuple(wanted),
            simulator=check_simulator(table, calvin_env, egl, arm, look),
        )
    success = result.pop('success')
    solved, tried = (sum(column) for column in zip(*success.values())) if success else (0, 0)
    show(
        {
            'folder': str(out),
            **{split: counts(numbers) for split, numbers in result.items()},
            'tasks': f'{solved} of {tried} solved',
        }
    )
