# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 export lerobot`: data folders or bags -> a LeRobot data set, v3.0.

The data set is made in a folder beside `out` (`.NAME.part`), and becomes `out` when all of it is there.
A process that was killed goes on where the last whole file ended, if the source is still the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vw2_ros.arms.contract import Contract
from vw2_ros.bags.bag import Bag
from vw2_ros.bags.find import find_bags
from vw2_ros.bags.images import choose_camera
from vw2_ros.card import FILE, Card, write_card
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import LeftOut, only_one, write_json
from vw2_ros.models.data.calvin import is_calvin
from vw2_ros.progress import progress_bar
from vw2_ros.recording.export_sources import (
    ACTION,
    FPS,
    STATE,
    BagSource,
    DataSource,
    Source,
    sha256_of,
)
from vw2_ros.recording.lerobot_writer import JOURNAL, VERSION, LeRobotWriter
from vw2_ros.version import commit

ORIGIN = 'vw2_export.json'  # in meta/: where the data came from


def export_lerobot(source: Source, out: Path | str, command: str = '') -> dict:
    """Write a data set, or go on with one that was cut short.

    Args:
        source: what to export. out: a new folder.
        command: that made it, for the record.
    Returns:
        what meta/info.json says, with `refused`: what was left out -> why.
    Raises:
        BusyError: another call is at work there.
        InvalidValueError: `out` holds something else. DataError: the source is damaged.
    """
    out = Path(out)
    part = out.with_name(f'.{out.name}.part')
    identity = source.identity()
    made_of = {'format': VERSION, 'sha256': sha256_of(identity)}
    if out.exists():
        return {**_same(out, made_of), 'refused': {}}
    out.parent.mkdir(parents=True, exist_ok=True)
    with only_one(part, 'vw2 export'):
        if out.exists():
            return {**_same(out, made_of), 'refused': {}}
        _begin(part, made_of)
        if not (part / FILE).is_file():  # the card comes last
            writer = LeRobotWriter(part, source.features(), FPS, source.outcomes())
            with progress_bar() as bar:
                total = source.count() or None
                task = bar.add_task('frames', total=total, completed=writer.frames)
                writer.write(source.rows(writer.done), lambda n: bar.advance(task, n))
            origin = {**made_of, 'source': identity, 'command': command, 'commit': commit()}
            info = writer.finish(source.robot, {ORIGIN: origin})
            write_card(part, _card(out.name, info, writer, origin, source.hashes()))
        for left in ('.begun.json', JOURNAL):
            _remove(part / left)
        for stray in list(part.rglob('.*.part')):  # of a process that was killed while it wrote
            _remove(stray)
        info = _json_of(part / 'meta' / 'info.json')
        os.replace(part, out)
    _remove(out / '.lock')
    return {**info, 'refused': dict(source.refused)}


def _card(
    name: str, info: dict, writer: LeRobotWriter, origin: dict, data: dict[str, str]
) -> Card:
    """The card; its head is what the hub's viewer reads."""
    success: dict[str, tuple[int, int]] = {}
    for episode in (e for e in writer.episodes if e['success'] is not None):
        solved, tried = success.get(episode['task'], (0, 0))
        success[episode['task']] = (solved + episode['success'], tried + 1)
    cameras = [k for k, f in info['features'].items() if f['dtype'] == 'image']
    return Card(
        title=name,
        what=f'A LeRobot data set ({VERSION}), made by `vw2 export lerobot`.',
        command=origin['command'],
        data=data,
        facts={
            'robot': info['robot_type'],
            'episodes': info['total_episodes'],
            'without a known outcome': sum(e['success'] is None for e in writer.episodes) or None,
            'frames': info['total_frames'],
            'fps': info['fps'],
            'cameras': ', '.join(cameras),
            'state': ', '.join(info['features'][STATE]['names']),
            'action': ', '.join(info['features'][ACTION]['names']),
            'steps': info['features'][ACTION].get('info'),
            'commit': origin['commit'],
        },
        success=success,
        header={
            'task_categories': ['robotics'],
            'tags': ['LeRobot'],
            'configs': [{'config_name': 'default', 'data_files': 'data/*/*.parquet'}],
        },
    )


def _begin(part: Path, made_of: dict) -> None:
    """Keep what is there if it is of the same source, else begin anew."""
    begun = part / '.begun.json'
    told = part / 'meta' / ORIGIN
    for path in (told, begun):
        with contextlib.suppress(Exception):
            found = _json_of(path)
            if all(found.get(key) == value for key, value in made_of.items()):
                return
    for path in part.iterdir():
        if path.name != '.lock':
            _remove(path)
    write_json(begun, made_of)


def _json_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding='utf-8'))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _same(out: Path, made_of: dict) -> dict:
    """What a finished export says, if it is of the same source."""
    with contextlib.suppress(Exception):
        found = _json_of(out / 'meta' / ORIGIN)
        if all(found.get(key) == value for key, value in made_of.items()):
            _remove(out / '.lock')  # of a process that was killed just after the folder was there
            return _json_of(out / 'meta' / 'info.json')
    raise InvalidValueError(
        f'{out} must be a new folder. Got one that holds something else. Choose another, or remove it'
    )


def find_source(
    paths: Sequence[Path],
    contract: str = 'play_table',
    urdf: str = '',
    cameras: Sequence[str] = (),
    instruction: str = '',
    actions: str = 'steps',
    targets: str = 'auto',
    left_out: LeftOut | None = None,
) -> Source:
    """The source that some paths are: data folders, or bags and folders of bags.

    Args:
        contract: name or file of the robot's, for bags. urdf: as of `convert_bags`.
        cameras: of bags: NAME=TOPIC each; none given: those of the contract that the first bag has,
            or its only camera.
        instruction, actions, targets: see `BagSource`.
        left_out: takes path -> reason, of what is not read.
    Raises:
        InvalidValueError: both kinds, or neither.
    """
    folders = [path for path in paths if path.is_dir() and is_calvin(path)]
    if len(folders) == len(paths):
        if actions != 'steps':
            raise InvalidValueError(
                'joints can be exported from bags alone: data folders have no commanded joints. '
                'Leave out --actions'
            )
        if cameras or instruction:
            raise InvalidValueError(
                'data folders have one camera and their own instructions. Leave out --camera and '
                '--instruction, or export the bags'
            )
        return DataSource(folders)
    if folders:
        raise InvalidValueError(
            f'data must be data folders or bags. Got both, {folders[0]} and others. Export them one '
            'after the other'
        )
    bags = find_bags(paths, left_out)
    robot = Contract.load(contract, urdf=urdf)
    return BagSource(bags, robot, _cameras(robot, bags, cameras), instruction, actions, targets)


def _cameras(robot: Contract, bags: Sequence[Path], told: Sequence[str]) -> dict[str, str]:
    """Name -> topic of the pictures to export."""
    topics = Bag(bags[0]).topics
    found: dict[str, str] = {}
    for text in told:
        name, is_, topic = text.rpartition('=')
        name = name or topic.strip('/').replace('/', '_')
        if topic not in topics:
            raise InvalidValueError(
                f'--camera must be NAME=TOPIC, with a topic of {bags[0]}. Got {text!r}; it has '
                f'{", ".join(sorted(topics))}'
            )
        found[name] = topic
    for name, camera in robot.cameras.items() if not told else ():
        wanted = camera.topic.strip('/')
        same = [t for t in topics if t.strip('/') == wanted or t.endswith(f'/{wanted}')]
        if len(same) == 1:
            found[name] = choose_camera(Bag(bags[0]), same)
    return found or {'static': choose_camera(Bag(bags[0]))}


def tell(result: dict[str, Any], out: Path) -> list[str]:
    """What was exported, in lines for people."""
    for name, why in result['refused'].items():
        print(f'{name}: LEFT OUT: {why}', file=sys.stderr)
    cameras = [k for k, f in result['features'].items() if f['dtype'] == 'image']
    return [
        f'{out}: LeRobot {result["codebase_version"]}, {result["total_episodes"]} episodes, '
        f'{result["total_frames"]} frames, {result["total_tasks"]} tasks',
        f'cameras: {", ".join(cameras)}',
    ]
