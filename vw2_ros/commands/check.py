# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 check`: what would make a bad policy."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import ContractFile, new_folder, show

EXAMPLE = 'vw2 check data/mine --out out/check'


def run(
    data: Annotated[
        pathlib.Path,
        typer.Argument(help='Bags, a folder of bags, or data of vw2 convert or vw2 collect.'),
    ],
    out: Annotated[
        pathlib.Path,
        typer.Option(help='Folder to write check.html and check.json to.', callback=new_folder),
    ] = pathlib.Path('out/check'),
    contract: ContractFile = 'play_table',
    image: Annotated[str, typer.Option(help='Topic of the camera, where a bag has several.')] = '',
) -> None:
    """Look for what would make a bad policy: idle frames, jumps, clipped actions, leaks, ..."""
    from vw2_ros.review.check import check
    from vw2_ros.review.page import lines, render
    from vw2_ros.review.recordings import entries, open_recordings

    left_out: files.LeftOut = {}
    recordings = open_recordings([data], image, left_out, contract)
    for path, why in left_out.items():
        print(f'{path}: LEFT OUT: {why}')
    verdict = check(entries(recordings))
    files.write_json(out / 'check.json', verdict.report())
    files.write_whole(out / 'check.html', render(verdict, data))
    for line in lines(verdict):
        print(line)
    scores = [checked.score for checked in verdict.episodes]
    show(
        {
            'episodes': len(scores),
            'with findings': sum(bool(c.findings) for c in verdict.episodes),
            'mean score': sum(scores) / max(1, len(scores)),
            'page': str(out / 'check.html'),
        }
    )
