# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 convert --lerobot`: LeRobot data sets -> a data set for `vw2 train head`, beside that of bags.

What is written, and where, is as of bags; see `convert.py`. Films and rows are read from disk as they
are needed, one episode at a time.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vw2_ros.arms.contract import Contract
from vw2_ros.card import command_line
from vw2_ros.episodes import read_markers
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import only_one
from vw2_ros.models.data import DataError
from vw2_ros.models.data.pictures import kept
from vw2_ros.models.data.video.lerobot_index import LeRobotIndex
from vw2_ros.recording import convert
from vw2_ros.recording.convert import PART_FRAMES, Conversion, Part
from vw2_ros.recording.episodes import Unusable
from vw2_ros.recording.lerobot import LeRobotSet
from vw2_ros.recording.told import tell


def convert_sets(
    sets: Sequence[Path | str],
    out: Path | str,
    *,
    camera: str = '',
    instruction: str = '',
    contract: str = 'play_table',
    urdf: str = '',
    progress: bool = True,
) -> dict:
    """Write the episodes of LeRobot data sets to `out`, or add them to what is there.

    Sets that are there already, made in the same way, are skipped; one that was cut short is gone on
    with.

    Args:
        sets: folders with meta/info.json inside.
        camera: key of the pictures; '': the contract's, or the first camera in colour.
        instruction: what episodes show that have no task.
        contract: name or file of the robot's, whose section `lerobot` says what the columns mean.
        urdf: path of its URDF; '': the contract's.
        progress: show a bar on stderr.
    Returns:
        as `convert_bags`; a report has `set` instead of `topics`.
    Raises:
        BusyError: another call is at work in `out`.
        ContractError: the contract does not say what a set holds, or says something else.
        ValueError: no such set, or `out` holds data of other settings.
    """
    robot = Contract.load(contract, urdf=urdf)
    roots = [Path(root) for root in sets]
    for root in roots:
        if not is_set(root):
            raise InvalidValueError(
                f'{root} must be a LeRobot data set. Got no meta/info.json in it'
            )
    out = Path(out)
    config = convert.data_config(robot)
    convert.check_same(out, config)
    with only_one(out, 'vw2 convert'):
        job = SetConversion(out, robot, camera, instruction, 'auto', config)
        reports = {}
        try:
            with convert.bar(progress) as shown:
                for root in roots:
                    reports[str(root)] = job.add_set(root, shown)
        finally:
            counts = job.index()
            gone = job.forget()
    return {'bags': reports, **counts, 'edits_gone': gone, 'left_out': {}}


def is_set(path: Path) -> bool:
    """Whether a folder is a LeRobot data set."""
    return (path / 'meta' / 'info.json').is_file()


def labelled_folders(folders: Sequence[Path], out: Path, contract: str) -> list[Path]:
    """Data folders for training with actions: LeRobot sets are converted into `out` first.

    Args:
        folders: in CALVIN's format, or LeRobot data sets.
        out: takes a folder `data` with what was converted, which is kept.
        contract: name or file of the robot's.
    Raises:
        as `convert_sets`; InvalidValueError: a set holds nothing to learn from.
    """
    sets = [folder for folder in folders if is_set(folder)]
    if not sets:
        return list(folders)
    made = out / 'data'
    result = convert_sets(sets, made, contract=contract)
    for line in tell(result):
        print(line, file=sys.stderr)
    if not result['training']['annotations']:
        raise InvalidValueError(
            f'{", ".join(map(str, sets))} must show tasks in words. Got no episode that can be used'
        )
    return [*(folder for folder in folders if folder not in sets), made]


class SetConversion(Conversion):
    """One run of `vw2 convert --lerobot`."""

    def add_set(self, root: Path, bar) -> dict:
        """Convert one data set, unless that was done; its report."""
        began = time.monotonic()
        options, made = self.how()
        report: dict = {
            'bag': root.resolve().name,
            'command': command_line(),
            'contract': {'name': self.contract.name, 'sha256': self.contract.sha256},
            'made': made,
            'options': options,
        }
        try:
            found = LeRobotSet(LeRobotIndex.open(root), self.contract, self.image)
            key = self._content_of(found)
            if skipped := self.skipped(key, made):
                return skipped
            report['set'] = found.report()
            source = {'bag': report['bag'], 'sha256': key, 'made': made}
            report |= self._all_episodes(found, source, bar)
        except DataError as error:
            return {**report, 'error': str(error)}  # another call tries again
        report['seconds'] = round(time.monotonic() - began, 1)
        return self.finish(key, report)

    def _content_of(self, found: LeRobotSet) -> str:
        """sha256 hex of what is read of a set."""
        index = found.index
        places = set(index.places())
        if index.filmed(found.camera):
            places |= set(index.places(found.camera))
        files = [p for p in sorted((index.root / 'meta').rglob('*')) if p.is_file()]
        files += [index.root / place for place in sorted(places)]
        digest = hashlib.sha256(found.camera.encode())
        for file in files:
            content = self.hashes.of(file) if file.is_file() else 'missing'
            digest.update(f'\0{file.relative_to(index.root).as_posix()} {content}'.encode())
        self.hashes.save()
        return digest.hexdigest()

    def _all_episodes(self, found: LeRobotSet, source: dict, bar) -> dict:
        there = {
            m['source']['part']
            for split in convert.SPLITS
            for m in read_markers(self.out / split)
            if source.items() <= m.get('source', {}).items()
        }
        told: list[dict] = []
        refused: list[dict] = []
        damaged, numbers = 0, set(found.index.episodes())
        task = bar.add_task(source['bag'], total=len(numbers))
        broken: dict[str, str] = {}
        for number, frames in found.films(broken):
            if number not in numbers:
                continue
            numbers.discard(number)
            parts, facts, reasons = self._parts(found, number, source)
            refused += reasons
            parts = [p for p in parts if p.key not in there]
            try:
                damaged += self._pictures(parts, frames)
            except DataError:
                raise
            except Exception as error:  # damaged films make the libraries raise nearly anything
                reason = {'reason': f'its pictures cannot be read: {error}'}
                refused += [fact | reason for fact in facts]
            else:
                told += facts
            bar.advance(task)
        why = '; '.join(f'{name}: {reason}' for name, reason in broken.items())
        reason = f'it has no pictures. {why}'.removesuffix('. ')
        refused += [_what(n, '', 0, 0) | {'reason': reason} for n in sorted(numbers)]
        return {
            'episodes': told,
            'refused': refused,
            **({'damaged_images': damaged} if damaged else {}),
        }

    def _parts(
        self, found: LeRobotSet, number: int, source: dict
    ) -> tuple[list[Part], list[dict], list[dict]]:
        """Parts of an episode, and what became of what it shows."""
        parts, told, refused = [], [], []
        fps = found.index.fps
        try:
            spans, success = found.spans(number, self.instruction), found.success(number)
        except DataError as error:  # a damaged file costs its episodes
            return [], [], [_what(number, '', 0, 0) | {'reason': str(error)}]
        for span, (first, stop, text) in enumerate(spans):
            what = _what(number, text, first / fps, stop / fps)
            what |= {} if success is None else {'success': success}
            try:
                episode = found.label(number, first, stop, text)
            except (Unusable, DataError) as error:
                refused.append({**what, 'reason': str(error)})
                continue
            told.append({**what, **episode.facts})
            n = len(episode.actions)
            facts = {**source, 'actions': episode.facts['actions'], **what}
            parts += [
                Part(number, f'{span}.{i}', episode, facts, a, min(a + PART_FRAMES, n))
                for i, a in enumerate(range(0, n, PART_FRAMES))
            ]
        return parts, told, refused

    def _pictures(self, parts: list[Part], frames) -> int:
        """Write each part when it has all of its pictures; how many of them are damaged."""
        wanted = (
            set(np.concatenate([convert.images_of(p) for p in parts]).tolist()) if parts else ()
        )
        waiting = sorted(parts, key=lambda p: int(convert.images_of(p).max()))
        pictures: dict[int, np.ndarray] = {}
        damaged = 0
        for number, rgb in frames if waiting else ():
            if number in wanted:
                if rgb is None:
                    damaged += 1
                else:
                    pictures[number] = kept(rgb)
            while waiting and number >= convert.images_of(waiting[0]).max():
                self._session(waiting.pop(0), pictures)
                first = min((int(convert.images_of(p).min()) for p in waiting), default=number)
                pictures = {i: p for i, p in pictures.items() if i >= first}
            if not waiting:
                break
        for part in waiting:
            self._session(part, pictures)
        return damaged


def _what(number: int, text: str, from_s: float, to_s: float) -> dict:
    return {
        'episode': number,
        'instruction': text,
        'from_s': round(from_s, 2),
        'to_s': round(to_s, 2),
    }
