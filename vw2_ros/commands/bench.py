# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench`: speed, and quality of imagined video."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    CalvinEnv,
    Egl,
    Json,
    Learned,
    Renderer,
    SamplingSteps,
    Scene,
    TableName,
    Vdm,
    check_folders,
    check_policy,
    check_renderer,
    check_scene,
    check_simulator,
    epilog,
    finish,
    group,
    new_folder,
)

app = group('Measure speed.', 'vw2 bench loop --json out/loop.json')


@app.command('sim', epilog=epilog('vw2 bench sim --json out/sim.json'))
def sim(
    scene: Scene = 'D',
    seconds: Annotated[
        float, typer.Option(min=0.1, help='How long each measurement takes (s).')
    ] = 5.0,
    table: TableName = 'play_table',
    calvin_env: CalvinEnv = None,
    egl: Egl = False,
    json_file: Json = None,
) -> None:
    """Measure the steps per second of a table, with and without its cameras."""
    scene, simulator = check_scene(scene), check_simulator(table, calvin_env, egl)
    from vw2_ros.sim.bench import bench_sim

    simulator.check(scene)
    finish(bench_sim(scene, seconds, simulator), json_file)


Served = Annotated[
    str, typer.Option(help='Name of shipped weights, a checkpoint folder, or ws://HOST:PORT.')
]


@app.command('policy', epilog=epilog('vw2 bench policy --json out/policy.json'))
def policy(
    policy: Served = 'play_table',
    calls: Annotated[int, typer.Option(min=2, help='Plans to make and time.')] = 200,
    threads: Annotated[int, typer.Option(min=1, help='Threads that PyTorch may use.')] = 1,
    json_file: Json = None,
) -> None:
    """Measure the time of one plan and of the action head."""
    policy = check_policy(policy, learned=True, served=True)
    from vw2_ros.bench.policy import run

    finish(run(policy, calls=calls, threads=threads), json_file)


@app.command('loop', epilog=epilog('vw2 bench loop --json out/loop.json'))
def loop(
    policy: Annotated[
        str, typer.Option(help='Name of shipped weights, a checkpoint folder, or ws://HOST:PORT.')
    ] = 'play_table',
    seconds: Annotated[float, typer.Option(min=1.0, help='How long the nodes run (s).')] = 30.0,
    camera: Annotated[
        str,
        typer.Option(
            help='Size of a camera with a driver and a camera node of its own, e.g. 640x480. '
            "Default: the table's own camera."
        ),
    ] = '',
    json_file: Json = None,
) -> None:
    """Measure, over ROS, image received to new joint command, and the jitter of the 30 Hz timer."""
    policy = check_policy(policy, learned=True, served=True)
    from vw2_ros.bench.loop import run

    finish(run(policy, seconds=seconds, camera=camera), json_file)


@app.command('soak', epilog=epilog('vw2 bench soak --minutes 30 --out out/soak'))
def soak(
    policy: Learned = 'play_table',
    minutes: Annotated[float, typer.Option(min=0.1, help='How long the nodes run (min).')] = 30.0,
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder for soak.json and memory.png.', callback=new_folder),
    ] = pathlib.Path('out/soak'),
    json_file: Json = None,
) -> None:
    """Run all nodes for long: the slope of each one's memory, and why commands missed."""
    policy = check_policy(policy, learned=True)
    from vw2_ros.bench.soak import run

    finish(run(policy, minutes=minutes, out=out), json_file)


ImaginationOut = Annotated[
    pathlib.Path,
    typer.Option(
        help='Folder for curves.png, strip.png and the record that an interrupted run resumes '
        'from.',
        callback=new_folder,
    ),
]
Prior = Annotated[
    pathlib.Path | None,
    typer.Option(
        help='Run folder of vw2 train vdm: also measure what that model makes of the first frame '
        'without codes.'
    ),
]
KeySteps = Annotated[
    pathlib.Path | None,
    typer.Option(help='Run folder of vw2 train keysteps: also count the goals reached.'),
]


@app.command(
    'imagination', epilog=epilog('vw2 bench imagination --data data/play --out out/imagination')
)
def imagination(
    data: Annotated[
        pathlib.Path,
        typer.Option(help='Annotated data set in CALVIN format; its held-out part is used.'),
    ],
    out: ImaginationOut = pathlib.Path('out/imagination'),
    segments: Annotated[
        int, typer.Option(min=1, max=100, help='Plans in a row that each clip is imagined for.')
    ] = 4,
    clips: Annotated[int, typer.Option(min=1, help='Held-out clips to imagine.')] = 32,
    renderer: Renderer = 'decoder',
    steps: SamplingSteps = None,
    policy: Learned = 'play_table',
    vdm: Vdm = None,
    prior: Prior = None,
    key_steps: KeySteps = None,
    seed: Annotated[int, typer.Option(min=0, help='The same seed draws the same clips.')] = 0,
    json_file: Json = None,
) -> None:
    """Measure SSIM, PSNR, LPIPS and goals of imagined against held-out video, per segment."""
    check_renderer(renderer)
    policy = check_policy(policy, learned=True)
    check_folders('--data', [data])
    check_folders('--key-steps', [key_steps] if key_steps else [])
    from vw2_ros.bench.imagination import BenchOptions, run

    result = run(
        BenchOptions(
            data=data,
            out=out,
            policy=policy,
            renderer=renderer,
            vdm=vdm,
            prior=prior,
            steps=steps,
            segments=segments,
            clips=clips,
            key_steps=key_steps,
            seed=seed,
        )
    )
    finish(result, json_file or out / 'result.json')
