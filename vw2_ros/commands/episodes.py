# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 episodes`: what was recorded, and what of it is learned."""

import pathlib
from typing import Annotated

import typer

from vw2_ros import files
from vw2_ros.commands.options import Json, epilog, group, new_folder
from vw2_ros.errors import UsageError, close_matches

app = group(
    'Look at recorded episodes, and decide what is learned. No recording is rewritten: what is '
    'decided stands in edits.json beside it, and all that reads it keeps to that.',
    'vw2 episodes list bags/monday',
)

Data = Annotated[
    pathlib.Path,
    typer.Argument(help='Bags, a folder of bags, or data of vw2 convert or vw2 collect.'),
]
Numbers = Annotated[
    list[str], typer.Argument(help='Episodes as vw2 episodes list numbers them: 3 5-9 12,14.')
]
Image = Annotated[str, typer.Option(help='Topic of the camera, where a bag has several.')]
Instruction = Annotated[str | None, typer.Option(help='What it shows.')]


def _entries(data: pathlib.Path, image: str = ''):
    """The recordings in a folder and their episodes; what cannot be read is told."""
    from vw2_ros.review.recordings import entries, open_recordings

    left_out: files.LeftOut = {}
    recordings = open_recordings([data], image, left_out)
    for path, why in left_out.items():
        print(f'{path}: LEFT OUT: {why}')
    return recordings, entries(recordings)


def _tell(done: str, chosen, data: pathlib.Path) -> None:
    from vw2_ros.review.show import title

    for entry in chosen:
        print(f'{done} {title(entry)}')
    if not chosen:
        print(f'Nothing to change: all of them are {done} already')
        return
    print(f'Take it back: vw2 episodes undo {data}')


@app.command('list', epilog=epilog('vw2 episodes list data/mine'))
def list_(data: Data, image: Image = '', json_file: Json = None) -> None:
    """Print a table: length, instruction, outcome, gaps, skew, rate."""
    from vw2_ros.review.show import summary, table

    _, found = _entries(data, image)
    if json_file is not None:
        files.write_json(json_file, [entry.report() for entry in found])
    for line in (*table(found), summary(found)):
        print(line)


@app.command(epilog=epilog('vw2 episodes show bags/monday 3 5-9 --out out/episodes'))
def show(
    data: Data,
    numbers: Annotated[
        list[str] | None, typer.Argument(help='Episodes, e.g. 3 5-9 (default: all).')
    ] = None,
    out: Annotated[
        pathlib.Path, typer.Option(help='Folder to write to.', callback=new_folder)
    ] = pathlib.Path('out/episodes'),
    image: Image = '',
) -> None:
    """Write a contact sheet (PNG) and a film (mp4) of each episode."""
    from vw2_ros.review import decide
    from vw2_ros.review.show import show as write

    _, found = _entries(data, image)
    for path in write(decide.chosen(found, numbers) if numbers else found, out):
        print(path)


@app.command(epilog=epilog('vw2 episodes drop bags/monday 3 5-9'))
def drop(data: Data, numbers: Numbers) -> None:
    """Leave episodes out: no conversion and no training sees them. restore or undo takes it back."""
    from vw2_ros.review import decide

    _, found = _entries(data)
    _tell('dropped', decide.drop(decide.chosen(found, numbers)), data)


@app.command(epilog=epilog('vw2 episodes restore bags/monday 3'))
def restore(data: Data, numbers: Numbers) -> None:
    """Take in again what was dropped, or discarded while it was recorded."""
    from vw2_ros.review import decide

    _, found = _entries(data)
    back = {entry.number for entry in decide.drop(decide.chosen(found, numbers), restore=True)}
    _, found = _entries(data)
    _tell('restored', [entry for entry in found if entry.number in back], data)


@app.command(epilog=epilog('vw2 episodes relabel bags/monday 4 --instruction "open the drawer"'))
def relabel(
    data: Data,
    numbers: Numbers,
    instruction: Instruction = None,
    outcome: Annotated[
        str,
        typer.Option(help='How it ended: success or failure. No words are learned of a failure.'),
    ] = '',
) -> None:
    """Say what episodes show, and how they ended."""
    from vw2_ros.review import decide
    from vw2_ros.words import split_words

    if instruction is None and not outcome:
        raise UsageError('say --instruction or --outcome: what shall be said of them')
    if instruction and not split_words(instruction):
        raise UsageError(f'--instruction must hold a word. Got {instruction!r}')
    if outcome not in ('', 'success', 'failure'):
        raise UsageError(close_matches('outcome', outcome, ('success', 'failure')))
    words = None if instruction is None else ' '.join(instruction.split())
    _, found = _entries(data)
    chosen = decide.chosen(found, numbers)
    decide.relabel(chosen, words, {'': None, 'success': True, 'failure': False}[outcome])
    _, found = _entries(data)
    _tell('now', decide.chosen(found, numbers), data)


@app.command(epilog=epilog('vw2 episodes merge bags/monday 3 4'))
def merge(
    data: Data,
    first: Annotated[int, typer.Argument(min=0, help='The first episode.')],
    last: Annotated[int, typer.Argument(min=0, help='The last; what lies between comes with it.')],
    instruction: Instruction = None,
) -> None:
    """Make one episode of several that follow each other."""
    from vw2_ros.review import decide

    _, found = _entries(data)
    one, other = decide.chosen(found, [f'{first}'])[0], decide.chosen(found, [f'{last}'])[0]
    decide.merge(one, other, instruction)
    _, found = _entries(data)
    _tell('now', decide.chosen(found, [f'{first}']), data)


@app.command(epilog=epilog('vw2 episodes split bags/monday 3 --at 4.5'))
def split(
    data: Data,
    number: Annotated[int, typer.Argument(min=0, help='The episode.')],
    at: Annotated[float, typer.Option(help='Seconds after it began.')],
    instruction: Annotated[str | None, typer.Option(help='What the second part shows.')] = None,
) -> None:
    """Make two episodes of one."""
    from vw2_ros.review import decide

    _, found = _entries(data)
    decide.split(decide.chosen(found, [f'{number}'])[0], at, instruction)
    _, found = _entries(data)
    _tell('now', decide.chosen(found, [f'{number}-{number + 1}']), data)


@app.command(epilog=epilog('vw2 episodes undo bags/monday'))
def undo(data: Data) -> None:
    """Take the last decision back; again: the one before."""
    from vw2_ros.review import decide

    recordings, _ = _entries(data)
    what, episodes = decide.undo(recordings)
    print(f'taken back: {what} of {episodes} episode{"s" * (episodes > 1)}')
