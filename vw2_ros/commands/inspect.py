# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 inspect`: what the latents hold."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import (
    Json,
    check_file,
    check_folders,
    check_policy,
    new_folder,
    show,
)
from vw2_ros.errors import UsageError

EXAMPLE = 'vw2 inspect --dldm vdm=runs/vdm,rec=runs/rec --data data/abcd --out out/inspect'

Dldms = Annotated[
    list[str] | None,
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


Codes = Annotated[
    pathlib.Path | None,
    typer.Option(
        help='File of codes, or of weights of a dLDM, as VideoWorld 2 publishes it, to say what is in '
        'it; then without --dldm and --data.'
    ),
]


def run(
    dldm: Dldms = None,
    data: Annotated[
        list[pathlib.Path] | None,
        typer.Option(help='CALVIN data of several scenes; may be given several times.'),
    ] = None,
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
    wild: Annotated[
        float,
        typer.Option(
            min=0,
            max=2,
            help='Let light, camera and background of the clips change, as clips.wild in training, '
            'and probe for that too.',
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help='The same seed gives the same figures.')] = 0,
    codes: Codes = None,
    json_file: Json = None,
) -> None:
    """Look inside the latents: motion or appearance? Probes, retrieval, UMAP, swaps."""
    if codes is not None:
        if dldm or data or looks:
            raise UsageError('--codes is looked at alone: leave out --dldm, --data and --looks')
        look_at_file(check_file(codes, '--codes'), json_file)
        return
    if not data:
        raise UsageError('say on which videos: --data, or --codes for a published file alone')
    folders = named_folders(dldm or [])
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
            wild=wild,
        )
    if json_file is not None:
        files.write_json(json_file, result)
    for name, found in result['dldms'].items():
        show(summary(name, found, result['test_scene']))
    show({'seconds': result['seconds'], 'page': str(out / 'inspection.html')})


def look_at_file(codes: pathlib.Path, json_file: pathlib.Path | None) -> None:
    """Print what a published file holds."""
    from vw2_ros.models.inspection.published import look_into

    found = look_into(codes)
    if json_file is not None:
        files.write_json(json_file, found)
    if 'codes' in found:
        used, near = found['codes'], found['nearest']
        show(
            {
                'file': found['file'],
                'videos': found['videos'],
                'clips': f'{found["clips"]} of {found["clip_frames"]} frames, '
                f'{found["codes_of_a_clip"]} codes each',
                'codes used': f'{100 * used["usage"]:.1f} % of {used["codebook"]}',
                'perplexity of each query': ', '.join(f'{p:.0f}' for p in used['perplexity']),
                'nearest clip of another video': near
                and f'same task in {100 * near["same_task"]:.0f} %, '
                f'chance {100 * near["chance"]:.0f} %',
            }
        )
        return
    parts = found['parts'].items()
    show(
        {
            'file': found['file'],
            'parameters': found['parameters'],
            **{part: f'{n["tensors"]} tensors, {n["parameters"]} parameters' for part, n in parts},
            'fit into a dLDM of --config paper': f'{found["fitting"]} tensors',
        }
    )
    for line in found['misfits']:
        print(f'does not fit: {line}')


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
