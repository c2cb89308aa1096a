# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 experiment`: the rows of a table, trained and evaluated side by side."""

import pathlib
from typing import Annotated

import typer

from vw2_ros.commands.options import On, check_place, epilog, group, new_folder, show
from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.files import MissingFileError, only_one

app = group(
    'Train and evaluate rows of a table, side by side.',
    'vw2 experiment calvin-table --scale tiny --out out/table',
)

Out = Annotated[
    pathlib.Path,
    typer.Option(
        help='Folder of all runs and of the table; the same command goes on where it ended.',
        callback=new_folder,
    ),
]
Scale = Annotated[str, typer.Option(help='tiny, cpu, gpu or a YAML file (config/experiment/).')]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Times that each row is trained (default: the scale's).")
]
Rows = Annotated[
    str,
    typer.Option(
        help='Rows to make, as NAME,NAME (default: all). Other rows and seeds of the table in '
        '--out stay in it, where scale, minutes and chains are the same.'
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help='Minutes to train one row for, about: its steps and time limits are scaled to this.',
    ),
]


@app.command(
    'calvin-table',
    epilog=epilog('vw2 experiment calvin-table --scale tiny --out out/calvin-table'),
)
def calvin_table(
    out: Out,
    scale: Scale = 'cpu',
    seeds: Seeds = None,
    rows: Rows = '',
    chains: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help="Chains to evaluate each head on, in scene D (default: the scale's). With 0, no "
            'head is trained or evaluated.',
        ),
    ] = None,
    minutes: Minutes = None,
    on: On = 'local',
) -> None:
    """Compare as the paper does: no latents, LAPA's, VideoWorld 1's and VideoWorld 2's, each trained
    with 10 % and with all labels.
    """
    make('calvin-table', out, scale, seeds=seeds, rows=rows, chains=chains, minutes=minutes, on=on)


@app.command('ablation', epilog=epilog('vw2 experiment ablation --scale tiny --out out/ablation'))
def ablation(
    out: Out,
    scale: Scale = 'cpu',
    seeds: Seeds = None,
    rows: Rows = '',
    chains: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help='Also train action heads, and evaluate each on this many chains (default: no '
            'heads).',
        ),
    ] = None,
    minutes: Minutes = None,
    on: On = 'local',
) -> None:
    """Find out what each part of the dLDM is for. At scale cpu all rows take about 8 hours of two
    cores with --seeds 1, and 30 with the scale's four. What is left to do is told at the start.
    """
    make('ablation', out, scale, seeds=seeds, rows=rows, chains=chains, minutes=minutes, on=on)


def make(name: str, out: pathlib.Path, scale: str, **options) -> None:
    """Check what was asked for, run the experiment and show its mean lengths."""
    from vw2_ros.experiment.run import check, run

    try:
        check(name, scale, options['rows'])
        check_place(options['on'])
    except (InvalidValueError, MissingFileError) as error:
        raise UsageError(str(error)) from error
    with only_one(out, f'vw2 experiment {name}'):
        result = run(name, out, scale, **options)
    lengths = {row['name']: row['mean_length'] for row in result['rows']}
    show(
        {
            name: '{mean:.2f} [{low:.2f}, {high:.2f}]'.format(**x)
            for name, x in lengths.items()
            if x
        }
        | {'table': str(out / 'table.md')}
    )
