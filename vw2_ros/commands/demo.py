# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 demo`: a chain of five tasks through the real nodes."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import (
    CalvinEnv,
    Egl,
    Learned,
    Scene,
    TableName,
    check_policy,
    check_scene,
    check_simulator,
    new_folder,
)
from vw2_ros.files import only_one

EXAMPLE = 'vw2 demo --out out/demo'


def run(
    out: Annotated[
        pathlib.Path,
        typer.Option(
            help='Folder to write report.html, films and result.json to.', callback=new_folder
        ),
    ] = pathlib.Path('out/demo'),
    scene: Scene = 'D',
    policy: Learned = 'play_table',
    seed: Annotated[int, typer.Option(help='Number of the first chain of five tasks.')] = 0,
    chains: Annotated[
        int, typer.Option(min=1, max=1000, help='Chains to play, one after another.')
    ] = 1,
    table: TableName = 'play_table',
    calvin_env: CalvinEnv = None,
    egl: Egl = False,
) -> None:
    """Drive chains of five tasks through the real nodes, and film what happens."""
    scene, policy = check_scene(scene), check_policy(policy, learned=True)
    simulator = check_simulator(table, calvin_env, egl)
    from vw2_ros.demo.run import run

    with only_one(out, 'vw2 demo'):
        status = run(out, scene, seed, policy, simulator, chains)
    raise typer.Exit(status)
