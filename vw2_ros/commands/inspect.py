# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 inspect`: what the latents hold."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import Json, check_folders, check_policy, new_folder, show
from vw2_ros.errors import UsageError

EXAMPLE = 'vw2 inspect --dldm vdm=runs/vdm,rec=runs/rec --data data/abcd --out out/inspect'

Dldms = Annotated[
    list[str],
    typer.Option(
        help='Run folder of vw2 train dldm, folder of a policy or name of shipped weights. Give '
        'several as A,B or vdm=A,rec=B: the first is compared with the others.'
    ),
]
Looks = Annotated[
    list[pathlib.Path] | None,
    typer.Option(
        help='Data of vw2 collect --randomize with another --seed, to test on looks that nothing '
        'learned from; may be given several times.'
    ),
]


def run(
    dldm: Dldms,
    data: Annotated[
        list[pathlib.Path],
        typer.Option(help='CALVIN data of several scenes; may be given several times.'),
    ],
    out: Annotated[
        pathlib.Path,
        typer.Option(
            help='Folder to write inspection.html, inspection.json and the plots to.',
            callback=new_folder,
        ),
    ] = pathlib.Path('out/inspect'),
    looks: Looks = None,
    test_scene: Annotated[str, typer.Option(help='The scene that no probe learns from.')] = 'D',
    clips: Annotated[
        int, typer.Option(min=100, help='Clips to draw, spread over scenes and episodes.')
    ] = 4000,
    seed: Annotated[int, typer.Option(min=0, help='The same seed gives the same figures.')] = 0,
    json_file: Json = None,
) -> None:
    """Look inside the latents: motion or appearance? Probes, retrieval, UMAP, swaps."""
    folders = named_folders(dldm)
    check_folders('--data', data)
    check_folders('--looks', looks or [])
    from vw2_ros.inspection.page import summary
    from vw2_ros.inspection.run import inspect

    with files.only_one(out, 'vw2 inspect'):
        result = inspect(
            folders,
            data,
            out,
            test_scene=test_scene.upper(),
            seed=seed,
            clips=clips,
            looks=looks or [],
        )
    if json_file is not None:
        files.write_json(json_file, result)
    for name, found in result['dldms'].items():
        show(summary(name, found, result['test_scene']))
    show({'seconds': result['seconds'], 'page': str(out / 'inspection.html')})


def named_folders(given: list[str]) -> dict[str, str]:
    """Return name -> policy of what --dldm names, e.g. ['vdm=A,rec=B'] or ['A', 'B']."""
    folders: dict[str, str] = {}
    for word in (w.strip() for words in given for w in words.split(',') if w.strip()):
        name, folder = word.split('=', 1) if '=' in word else (word, word)
        if name in folders:
            raise UsageError(f"--dldm names '{name}' twice; say NAME=FOLDER")
        folders[name] = check_policy(folder, learned=True)
    if not folders:
        raise UsageError('say whose codes to look at: --dldm play_table or a run folder')
    return folders
