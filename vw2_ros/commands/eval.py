# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 eval`: how often a policy succeeds."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import (
    DEFAULT_ARM,
    DEFAULT_LOOK,
    CalvinEnv,
    Egl,
    Json,
    Look,
    On,
    RecoverAfter,
    Scene,
    TableArm,
    TableName,
    Workers,
    check_file,
    check_place,
    check_policy,
    check_scene,
    check_simulator,
    check_tasks,
    new_folder,
    show,
)
from vw2_ros.errors import UsageError
from vw2_ros.models.recovery import TABLE_AFTER_S

EXAMPLE = 'vw2 eval --policy play_table --chains 20 --json out/e.json'

Phrases = Annotated[
    pathlib.Path | None,
    typer.Option(help='JSON, task -> list of wordings, instead of the validation phrases.'),
]
Words = Annotated[
    str,
    typer.Option(
        help="Validation phrases to say: play_table, or calvin: CALVIN's own, from --calvin-env."
    ),
]
Execute = Annotated[
    int,
    typer.Option(min=1, max=16, help='Actions of a plan to execute before the next plan is made.'),
]
Delay = Annotated[
    int,
    typer.Option(min=0, max=8, help='Steps of 1/30 s from a picture until its plan is followed.'),
]
Out = Annotated[
    pathlib.Path | None,
    typer.Option(
        help='Folder for report.html, videos and the record that an interrupted run resumes '
        'from (default: out/eval/POLICY-tasks, -chains).',
        callback=new_folder,
    ),
]


def run(
    policy: Annotated[
        str,
        typer.Option(
            help='Name of shipped weights, the folder of a checkpoint, expert or random.'
        ),
    ] = 'play_table',
    tasks: Annotated[str, typer.Option(help='Single tasks to run: all, or NAME,NAME.')] = '',
    rollouts: Annotated[int, typer.Option(min=1, help='Rollouts to run per task.')] = 20,
    chains: Annotated[
        int, typer.Option(min=0, max=1000, help='Chains of five tasks to run (long horizon).')
    ] = 0,
    scene: Scene = 'D',
    seed: Annotated[int, typer.Option(help='The same seed gives the same result.')] = 0,
    phrases: Phrases = None,
    words: Words = 'play_table',
    table: TableName = 'play_table',
    calvin_env: CalvinEnv = None,
    egl: Egl = False,
    arm: TableArm = DEFAULT_ARM,
    look: Look = DEFAULT_LOOK,
    workers: Workers = None,
    on: On = 'local',
    video: Annotated[int, typer.Option(min=0, help='Film the first K rollouts.')] = 0,
    execute: Execute = 8,
    delay: Delay = 0,
    recover_after: RecoverAfter = TABLE_AFTER_S,
    ros: Annotated[
        bool, typer.Option('--ros', help='Run through the nodes, in lockstep with the table.')
    ] = False,
    real_time: Annotated[
        bool,
        typer.Option(
            '--real-time', help='Run through the nodes, on a table that waits for nobody.'
        ),
    ] = False,
    out: Out = None,
    json_file: Json = None,
) -> None:
    """Measure a policy on single tasks or on chains of five."""
    if not tasks and not chains:
        raise UsageError('say what to evaluate: --tasks all, --tasks NAME,NAME or --chains N')
    chosen = dict(
        policy=check_policy(policy),
        tasks=tuple(check_tasks(tasks)) if tasks else (),
        rollouts=rollouts,
        chains=chains,
        scene=check_scene(scene),
        seed=seed,
        phrases=check_file(phrases, '--phrases'),
        words=words,
        simulator=check_simulator(table, calvin_env, egl, arm, look),
        workers=workers,
        on=check_place(on),
        video=video,
        ros=ros,
        real_time=real_time,
        execute=execute,
        delay=delay,
        recover_after_s=recover_after,
        out=out,
    )
    from vw2_ros.evaluation.rollouts import Options
    from vw2_ros.evaluation.run import run

    options = Options(**chosen)
    with files.only_one(options.out, 'vw2 eval'):
        result = run(options)
    if json_file is not None:
        files.write_json(json_file, result)
    keys = (['avg_len', 'success_at', 'chains'] if chains else []) + (
        ['mean_success'] if tasks else []
    )
    if table != 'play_table':
        keys.append('disagreements')
    show({k: result[k] for k in (*keys, 'seconds')} | {'report': str(options.out / 'report.html')})
