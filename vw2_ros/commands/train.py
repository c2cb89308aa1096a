# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 train`: the parts of the model."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    ContractFile,
    check_config,
    check_file,
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
        help='Folder of a sight run or of a policy, whose keypoints are taken and kept, also in '
        'place of those that --start or --init bring. Without any, sight is learned with the rest.'
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


def check(
    config: str, data: list[pathlib.Path], sight: pathlib.Path | None = None
) -> pathlib.Path:
    """Check what all stages are told; return the config's file."""
    check_folders('--data', data)
    if sight is not None:
        check_folders('--sight', [sight])
    return check_config(config)


def run_of(option: str, folder: pathlib.Path | None, out: pathlib.Path, name: str) -> pathlib.Path:
    """Return the folder of the run that a stage builds on: as given, or `name` beside `out`."""
    folder = folder or out.parent / name
    if not folder.is_dir():
        raise UsageError(
            f'the {name} run {folder} is not a folder: train it '
            f'first (vw2 train --help) or name it with {option}'
        )
    return folder


def tell(record: dict, folder: pathlib.Path) -> None:
    """Name the result; of several processes the first one speaks, which has the record."""
    if record:
        show({'policy' if folder.name == 'policy' else 'folder': folder})


@stage_command('sight')
def sight(
    config: Config,
    data: Data,
    out: Out,
    start: Annotated[
        str,
        typer.Option(
            help='Name of shipped weights, or the folder of a policy, whose keypoints to begin with.'
        ),
    ] = '',
    pair: Annotated[
        list[pathlib.Path] | None,
        typer.Option(
            help='With --start, for each --data a folder with the same frames in looks that the '
            'policy knows (see vw2 redraw): it learns to find in the others what it finds there.'
        ),
    ] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the keypoints to look with, on a simulator's data; real robots do without.

    Data of vw2 collect say where things are; for CALVIN's own it is computed.
    """
    config = check(config, [*data, *(pair or [])])
    start = check_policy(start, learned=True) if start else None
    from vw2_ros.models.stages.sight import SightStage
    from vw2_ros.models.training.run import run
    from vw2_ros.sim.landmarks import teach

    stage = SightStage(config, data, teach, start, pair or (), seed, max_minutes)
    tell(run(stage, out, resume), out / 'policy' if start else out)


@stage_command('dldm')
def dldm(
    config: Config,
    data: Videos,
    out: Out,
    stage: Annotated[str, typer.Option(hidden=True)] = 'warmup',
    init: Annotated[pathlib.Path | None, typer.Option(hidden=True)] = None,
    vdm: Annotated[pathlib.Path | None, typer.Option(hidden=True)] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the latent dynamics model on videos, without actions: its warm-up."""
    if stage != 'warmup' or init or vdm:  # an earlier spelling, printed in old commands.sh
        got = f'--stage {stage}' if stage != 'warmup' else '--init or --vdm'
        raise UsageError(
            f'vw2 train dldm is the warm-up alone. Got {got}. Say vw2 train disentangle instead '
            'of vw2 train dldm --stage disentangle; the other options stay'
        )
    config = check(config, data)
    from vw2_ros.models.stages.warmup import WarmUpStage
    from vw2_ros.models.training.run import run

    tell(run(WarmUpStage(config, data, seed, max_minutes), out, resume), out)


@stage_command('disentangle')
def disentangle(
    config: Config,
    data: Videos,
    out: Out,
    init: Annotated[
        pathlib.Path | None,
        typer.Option(help='Folder of the warm-up run (default: warmup beside --out).'),
    ] = None,
    vdm: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='Folder of a vdm run (default: vdm beside --out), or of a diffusers pipeline of '
            'Cosmos-Predict2.'
        ),
    ] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the codes through a video diffusion model, after a warm-up, without actions."""
    config = check(config, data)
    init, vdm = run_of('--init', init, out, 'warmup'), run_of('--vdm', vdm, out, 'vdm')
    from vw2_ros.models.stages.disentangle import DisentangleStage
    from vw2_ros.models.training.run import run

    tell(run(DisentangleStage(config, data, init, vdm, seed, max_minutes), out, resume), out)


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
    codes: Annotated[
        pathlib.Path | None,
        typer.Option(
            help='File of codes as VideoWorld 2 publishes it, instead of --init; --data then names '
            'the folder of its clips, NAME_0.mp4, ...'
        ),
    ] = None,
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the planner: instruction and image to codes."""
    if codes and (init or sight or start):
        raise UsageError(
            '--codes is all that is known of a dLDM: leave out --init, --sight, --start'
        )
    check_file(codes, '--codes')
    config = check(config, data, sight)
    init = None if codes else run_of('--init', init, out, 'dldm')
    start = check_policy(start, learned=True) if start else None
    from vw2_ros.models.stages.planner import PlannerStage
    from vw2_ros.models.training.run import run

    stage = PlannerStage(config, data, init, sight, start, seed, max_minutes, codes)
    tell(run(stage, out, resume), out)


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
    data: Annotated[
        list[pathlib.Path],
        typer.Option(
            '--data',
            help='Data set in CALVIN format, or a LeRobot data set, which is converted into '
            '--out/data first; may be given several times.',
        ),
    ],
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
            '--learn-sight',
            help='Let the keypoints learn too, for another camera than they know. Those that were '
            'fixed before are fixed again afterwards.',
        ),
    ] = False,
    contract: ContractFile = 'play_table',
    resume: Resume = False,
    seed: Seed = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the action head on the hidden states of the planner."""
    if not 0 < labels <= 1:
        raise UsageError(f'--labels must be above 0 and at most 1. Got {labels}')
    if scratch and (init or start):
        raise UsageError('--scratch begins with nothing: leave out --init and --start')
    if start:
        start = check_policy(start, learned=True)
        from vw2_ros.models.checkpoint import resolve

        init = init or resolve(start)
    config = check(config, data, sight)
    init = None if scratch else run_of('--init', init, out, 'planner')
    from vw2_ros.models.stages.head import HeadStage
    from vw2_ros.models.training.run import run
    from vw2_ros.recording.sets import labelled_folders
    from vw2_ros.sim.landmarks import teach

    data = labelled_folders(data, out, contract)
    stage = HeadStage(
        config, data, init, labels, sight, start or None, learn_sight, seed, max_minutes, teach
    )
    tell(run(stage, out, resume), out / 'policy')


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
    config = check(config, data)
    from vw2_ros.models.stages.vdm import VDMStage
    from vw2_ros.models.training.run import run

    tell(run(VDMStage(config, data, seed, max_minutes), out, resume), out)


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
    config = check(config, data)
    from vw2_ros.models.stages.keysteps import KeyStepsStage
    from vw2_ros.models.training.run import run

    tell(run(KeyStepsStage(config, data, backbone, seed, max_minutes), out, resume), out)
