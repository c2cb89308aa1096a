# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 train`: the parts of the model."""

import importlib
import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    check_config,
    check_folders,
    check_policy,
    epilog,
    group,
    new_folder,
    show,
)
from vw2_ros.errors import UsageError

app = group(
    'Train a part of the model.', 'vw2 train dldm --config tiny --data data/play --out runs/a/dldm'
)

Config = Annotated[
    str, typer.Option(help='Settings: tiny, cpu, gpu, paper or a YAML file of your own.')
]
Videos = Annotated[
    list[pathlib.Path],
    typer.Option(
        '--data',
        help='Folder of videos, LeRobot data, ROS 2 bags, WebDataset shards or CALVIN '
        'data; may be given several times.',
    ),
]
Data = Annotated[
    list[pathlib.Path],
    typer.Option('--data', help='Data set in CALVIN format; may be given several times.'),
]
Out = Annotated[
    pathlib.Path, typer.Option(help='Folder for checkpoints and curves.', callback=new_folder)
]
Sight = Annotated[
    pathlib.Path | None,
    typer.Option(
        help='Folder of a sight run, whose keypoints are taken and kept. Without it, sight is '
        'learned with the rest. For the head it goes with --scratch only.'
    ),
]
Resume = Annotated[
    bool,
    typer.Option('--resume', help='Go on from the last checkpoint in --out, exact to the step.'),
]
Seed = Annotated[int | None, typer.Option(help="Seed to use instead of the config's.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option(min=0, help="Minutes after which to stop and finish, instead of the config's."),
]


def stage_command(name: str):
    """Return the decorator of the command that trains one stage."""
    example = f'vw2 train {name} --config tiny --data data/play --out runs/a/{name}'
    return app.command(name, epilog=epilog(example))


def learn(
    module: str,
    config: str,
    data: list[pathlib.Path],
    out: pathlib.Path,
    builds_on: dict | None = None,
    **options,
) -> None:
    """Check what all stages are told, and train.

    Args:
        module: the stage's name in models/stages/.
        builds_on: option -> (folder, or None for one beside `out`; the stage made there).
    """
    file = check_config(config)
    check_folders('--data', data)
    if options.get('sight'):
        check_folders('--sight', [options['sight']])
    for key, (folder, before) in (builds_on or {}).items():
        options[key] = folder or out.parent / before
        if not options[key].is_dir():
            raise UsageError(
                f'the {before} run {options[key]} is not a folder: train it '
                f'first (vw2 train --help) or name it with --{key}'
            )
    record = importlib.import_module(f'vw2_ros.models.stages.{module}').main(
        file, data, out, **options
    )
    if record:  # of several processes the first one speaks
        show({'policy': out / 'policy'} if module == 'head' else {'folder': out})


@stage_command('sight')
def sight(
    config: Config,
    data: Data,
    out: Out,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the keypoints to look with, on what `vw2 collect` writes; real robots do without."""
    learn('sight', config, data, out, resume=resume, seed=seed, max_minutes=max_minutes)


@stage_command('dldm')
def dldm(
    config: Config,
    data: Videos,
    out: Out,
    stage: Annotated[
        str,
        typer.Option(
            help='warmup: codes from reconstruction alone; disentangle: '
            'codes through a video diffusion model, after a warm-up.'
        ),
    ] = 'warmup',
    init: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='For stage disentangle: folder of the warm-up run (default: warmup beside --out).'
        ),
    ] = None,
    vdm: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='For stage disentangle: folder of a vdm run (default: vdm beside --out), or of a '
            'diffusers pipeline of Cosmos-Predict2.'
        ),
    ] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the latent dynamics model on videos, without actions."""
    if stage not in ('warmup', 'disentangle'):
        raise UsageError(f'--stage must be warmup or disentangle. Got {stage!r}')
    if stage == 'warmup' and (init or vdm):
        raise UsageError('--init and --vdm go with --stage disentangle only')
    builds_on = {'init': (init, 'warmup'), 'vdm': (vdm, 'vdm')} if stage == 'disentangle' else None
    learn(stage, config, data, out, builds_on, resume=resume, seed=seed, max_minutes=max_minutes)


@stage_command('planner')
def planner(
    config: Config,
    data: Data,
    out: Out,
    init: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='Folder of the dldm run that this stage builds on (default: dldm beside --out).'
        ),
    ] = None,
    sight: Sight = None,
    start: Annotated[
        str,
        typer.Option(
            help='Name of shipped weights, or the folder of a policy, to begin '
            'with. Its words, keypoints and backbone stay as they are; '
            'the codes of another dldm run are learned.'
        ),
    ] = '',
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the planner: instruction and image to codes."""
    if start and sight:
        raise UsageError('--start brings its own sight: leave out --sight')
    learn(
        'planner',
        config,
        data,
        out,
        {'init': (init, 'dldm')},
        sight=sight,
        start=check_policy(start, learned=True) if start else None,
        resume=resume,
        seed=seed,
        max_minutes=max_minutes,
    )


HeadStart = Annotated[
    str,
    typer.Option(
        help='Name of shipped weights, or the folder of a policy, to go on '
        'with: its head, and its planner too unless --init names another.'
    ),
]


@stage_command('head')
def head(
    config: Config,
    data: Data,
    out: Out,
    init: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='Folder of the planner run that this stage '
            'builds on (default: planner beside --out).'
        ),
    ] = None,
    labels: Annotated[
        float, typer.Option(help='Fraction of the labelled windows to use, above 0 and up to 1.')
    ] = 1.0,
    scratch: Annotated[
        bool,
        typer.Option(
            '--scratch', help='Train a plain transformer without latents, without a planner run.'
        ),
    ] = False,
    sight: Sight = None,
    start: HeadStart = '',
    learn_sight: Annotated[
        bool,
        typer.Option(
            '--learn-sight', help='Let the keypoints learn too, for another camera than they know.'
        ),
    ] = False,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the action head on the hidden states of the planner."""
    if not 0 < labels <= 1:
        raise UsageError(f'--labels must be above 0 and at most 1. Got {labels}')
    if scratch and (init or start):
        raise UsageError('--scratch begins with nothing: leave out --init and --start')
    if sight and not scratch:
        raise UsageError(
            '--sight goes with --scratch: otherwise the planner run says what '
            'sight it has (vw2 train planner --sight)'
        )
    if start:
        start = check_policy(start, learned=True)
        from vw2_ros.models.checkpoint import resolve

        init = init or resolve(start)
    learn(
        'head',
        config,
        data,
        out,
        None if scratch else {'init': (init, 'planner')},
        labels=labels,
        sight=sight,
        start=start or None,
        learn_sight=learn_sight,
        resume=resume,
        seed=seed,
        max_minutes=max_minutes,
    )


@stage_command('vdm')
def vdm(
    config: Config,
    data: Videos,
    out: Out,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the video diffusion model: first frame to video, without actions."""
    learn('vdm', config, data, out, resume=resume, seed=seed, max_minutes=max_minutes)


@app.command('keysteps', epilog=epilog('vw2 train keysteps --data data/play --out runs/keysteps'))
def keysteps(
    data: Data,
    out: Out,
    config: Config = 'cpu',
    backbone: Annotated[
        pathlib.Path | None,
        typer.Option(help='Folder of a DINOv2 as on the hub, instead of a small CNN.'),
    ] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train what tells whether a frame shows a task's goal reached, to judge imagination."""
    learn(
        'keysteps',
        config,
        data,
        out,
        backbone=backbone,
        resume=resume,
        seed=seed,
        max_minutes=max_minutes,
    )
