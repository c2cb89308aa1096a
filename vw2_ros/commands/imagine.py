# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 imagine`: the policy's plan for a picture, as a video."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    Learned,
    Renderer,
    SamplingSteps,
    Vdm,
    check_file,
    check_policy,
    check_renderer,
    new_file,
    show,
)
from vw2_ros.errors import UsageError

EXAMPLE = "vw2 imagine --image photo.png --instruction 'open the drawer' --out out/clip.mp4"


def run(
    image: Annotated[
        pathlib.Path,
        typer.Option(
            help='Picture of the scene, of any size; its largest centred square is taken.'
        ),
    ],
    instruction: Annotated[str, typer.Option(help='What to do, in plain words.')],
    out: Annotated[
        pathlib.Path,
        typer.Option(
            help='The mp4 file to write; a strip of its frames goes to the .png beside it.',
            callback=new_file,
        ),
    ],
    segments: Annotated[
        int,
        typer.Option(
            min=1, max=100, help='Plans in a row; each begins at the last frame of the one before.'
        ),
    ] = 4,
    renderer: Renderer = 'decoder',
    steps: SamplingSteps = None,
    policy: Learned = 'play_table',
    vdm: Vdm = None,
    seed: Annotated[
        int, typer.Option(help='Seed of the noise that the video diffusion model begins with.')
    ] = 0,
) -> None:
    """Show in a video what the policy means to do about a picture."""
    check_file(image, '--image')
    check_renderer(renderer)
    policy = check_policy(policy, learned=True)
    if out.suffix != '.mp4':
        raise UsageError(f'--out must end in .mp4. Got {out}')
    from vw2_ros.demo.imagine import run

    show(
        run(
            image,
            instruction,
            out,
            segments=segments,
            renderer=renderer,
            vdm=vdm,
            steps=steps,
            policy=policy,
            seed=seed,
        )
    )
