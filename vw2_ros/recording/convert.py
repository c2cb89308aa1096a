# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 convert`: labelled recordings of a robot -> a data set for `vw2 train head`. No ROS needed.

What is read of a bag stands in `tracks.py`. An episode lasts from one instruction to the next. It is
written whole, or refused with the reason; the others go on.

    <out>/recordings.json       each bag: rates, gaps, and what became of its episodes
    <out>/training/, validation/   CALVIN's format as `sim/dataset_writer.py` has it, in shards

A bag that is there already is converted again where the options, or what `vw2 episodes` says of it,
have changed. What it gave before stays until all of the new is there.

Nothing is made up: `scene_obs` and `landmarks`, which only a simulator knows, are left out.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vw2_ros import names
from vw2_ros.arms.contract import ROBOT_DESCRIPTION, Contract, needs_description
from vw2_ros.bags.bag import Bag, BagError, cdr_reader, files_of
from vw2_ros.bags.find import find_bags
from vw2_ros.bags.images import message_picture
from vw2_ros.bags.stamps import stamp_of
from vw2_ros.card import command_line
from vw2_ros.episodes import EditList, marker_path, read_markers
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import FileHashes, LeftOut, only_one, write_whole
from vw2_ros.models.data.pictures import kept
from vw2_ros.recording.episodes import ACTIONS, Episode, Unusable, label, spans
from vw2_ros.recording.tracks import Tracks
from vw2_ros.sim.dataset_writer import (
    FRAME_STRIDE,
    SessionWriter,
    check_same_settings,
    write_index,
)

VERSION = 3  # of how labels are made; one folder holds one version
SPLITS = ('training', 'validation')
HELD_OUT = 10  # of so many episodes with words, one is for validation
PART_FRAMES = 1800  # longer episodes are written in parts of one minute


@dataclass(frozen=True)
class Part:
    """Frames a..b - 1 of an episode, which become one session."""

    number: int  # of the episode in its bag
    part: int | str
    episode: Episode
    told: dict  # of the episode, for the marker
    a: int
    b: int

    @property
    def key(self) -> str:
        """The name that tells this part from others of the bag."""
        return f'{self.number}.{self.part}'


def convert_bags(
    bags: Sequence[Path | str],
    out: Path | str,
    *,
    image: str = '',
    instruction: str = '',
    contract: str = 'play_table',
    urdf: str = '',
    actions: str = 'auto',
    progress: bool = True,
) -> dict:
    """Write the episodes of the bags to `out`, or add them to what an earlier call wrote.

    Bags that are there already, made in the same way, are skipped; a bag that was cut short by
    Ctrl-C is gone on with.

    Args:
        bags: bags, or folders that hold some.
        image: topic of the pictures; '': `image_raw`, or the only one.
        instruction: what bags show that have no instruction in them.
        contract: name or file of the robot's.
        urdf: path of its URDF; '': the contract's, or what is in the bags on robot_description.
        actions: see `label`.
        progress: show a bar on stderr.
    Returns:
        {'bags': {name: report}, 'training': counts, 'validation': counts, 'left_out': {path: reason},
        'edits_gone': decisions about what is converted again}; a report has
        `topics`, `episodes` and `refused`, or `error`.
    Raises:
        BusyError: another call is at work in `out`.
        ValueError: no such bag, a setting makes no sense, or `out` holds data of other settings.
    """
    if actions not in ACTIONS:
        raise InvalidValueError(f'actions must be one of {", ".join(ACTIONS)}. Got {actions!r}')
    from_bags = needs_description(contract)
    left_out: LeftOut = {}
    out, found = Path(out), find_bags(bags, left_out)
    if not urdf and from_bags:
        urdf = described(found)
    robot = Contract.load(contract, urdf=urdf)
    config = data_config(robot)
    check_same(out, config)
    with only_one(out, 'vw2 convert'):
        job = Conversion(out, robot, image, instruction, actions, config)
        reports = {}
        try:
            with bar(progress) as shown:
                task = shown.add_task('bags', total=len(found))
                for path in found:
                    shown.update(task, description=path.name)
                    reports[str(path)] = job.add(path)
                    shown.advance(task)
        finally:
            counts = job.index()
            gone = job.forget()
    return {
        'bags': reports,
        **counts,
        'edits_gone': gone,
        'left_out': {str(path): why for path, why in left_out.items()},
    }


def described(bags: Sequence[Path]) -> str:
    """The robot's URDF as the first bag has it, '' where none does."""
    for path in bags:
        try:
            bag = Bag(path)
            topics = [t for t in bag.topics if t.split('/')[-1] == ROBOT_DESCRIPTION]
            for _, kind, _, data in bag.messages(topics[:1]) if topics else ():
                return cdr_reader()(data, kind).data
        except BagError:  # it is told with its episodes
            continue
    return ''


def bar(shown: bool):
    """A progress bar, or one that nobody sees."""
    if shown:
        from vw2_ros.progress import progress_bar

        return progress_bar()
    from rich.progress import Progress

    return Progress(disable=True)


def data_config(robot: Contract) -> dict:
    """How the data were made, for `.hydra/merged_config.yaml`."""
    recorded: dict = {'version': VERSION}
    if robot.action_frame != 'base':
        recorded['action_frame'] = robot.action_frame
    return {'recorded': recorded, 'control_freq': 30, 'renderer': 'camera'}


def check_same(out: Path, config: dict) -> None:
    """Refuse a folder whose data were made in another way."""
    check_same_settings(out, 'recorded', config['recorded'])
    if not (out / 'recordings.json').is_file() and any((out / s).is_dir() for s in SPLITS):
        raise InvalidValueError(f'{out} holds other data. Choose another folder')


class Conversion:
    """One run of `vw2 convert`: bags are added to a data set, and what is finished is noted there."""

    def __init__(
        self,
        out: Path,
        contract: Contract,
        image: str,
        instruction: str,
        actions: str,
        config: dict,
    ):
        self.out, self.contract, self.image = out, contract, image
        self.instruction, self.actions, self.config = instruction, actions, config
        self.file, self.hashes = out / 'recordings.json', FileHashes(out / 'hashes.json')
        self.done = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self.settled: set[str] = set()  # bags that this run is done with
        self.index()

    def index(self) -> dict:
        """Write the index of what is finished."""
        if not self.file.is_file():
            write_whole(self.file, '{}\n')
        return {
            split: write_index(self.out / split, self.config, lambda task: [task], self._counts)
            for split in SPLITS
        }

    def _counts(self, marker: dict) -> bool:
        """Whether a session is of the last finished conversion of its bag."""
        source = marker.get('source', {})
        done = self.done.get(source.get('sha256'))
        return done is None or done.get('made') == source.get('made')

    def add(self, path: Path) -> dict:
        """Convert one bag, unless that was done in the same way; its report."""
        key = self._content(path)
        options, made = self.how([dataclasses.asdict(e) for e in EditList(path).edits])
        if skipped := self.skipped(key, made):
            return skipped
        began = time.monotonic()
        report: dict = {
            'bag': path.name,
            'command': command_line(),
            'contract': {'name': self.contract.name, 'sha256': self.contract.sha256},
            'made': made,
            'options': options,
        }
        try:
            bag = Bag(path)
            tracks = Tracks(bag, self.contract, self.image)
            report['topics'] = tracks.report()
            if bag.cut_short:
                report['cut_short'] = bag.cut_short
            report |= self._episodes(tracks, key, path.name, made)
        except BagError as error:
            return {**report, 'error': str(error)}  # another call tries again
        report['seconds'] = round(time.monotonic() - began, 1)
        return self.finish(key, report)

    def how(self, edits: Sequence[dict] = ()) -> tuple[dict, str]:
        """What decides how a recording is converted, and sha256 hex of that."""
        options = {
            'image': self.image,
            'instruction': self.instruction,
            'actions': self.actions,
            'contract': self.contract.sha256,
            'edits': list(edits),
        }
        return options, hashlib.sha256(json.dumps([VERSION, options]).encode()).hexdigest()

    def skipped(self, key: str, made: str) -> dict:
        """The report of a recording that was converted in this way; {} where it was not."""
        before = self.done.get(key)
        if not before or before['made'] != made:
            return {}
        self.settled.add(key)  # a kill may have left what it gave before
        return {**before, 'skipped': 'already there'}

    def finish(self, key: str, report: dict) -> dict:
        """Note that a recording is converted."""
        before, now = self.done.get(key), report['options']
        if before:
            report['again'] = sorted(k for k in now if now[k] != before['options'].get(k))
        self.done[key] = report
        self.note()
        self.settled.add(key)
        return report

    def note(self) -> None:
        """Write down what is done."""
        write_whole(self.file, json.dumps(self.done, indent=1) + '\n')

    def forget(self) -> int:
        """Remove what bags gave when they were converted in another way, which the index no longer has.

        Returns:
            how many decisions about episodes of that are gone, too.
        """
        gone = 0
        for split in (self.out / name for name in SPLITS):
            old = {
                m['session']
                for m in read_markers(split)
                if m.get('source', {}).get('sha256') in self.settled and not self._counts(m)
            }
            edits = EditList(split)
            kept = edits.without(lambda start, old=old: start // FRAME_STRIDE in old)
            if kept != edits.edits:
                gone += sum(len(e.spans) for e in edits.edits) - sum(len(e.spans) for e in kept)
                edits.change(lambda _, kept=kept: kept, 'vw2 convert')
            for session in sorted(old):
                with contextlib.suppress(FileNotFoundError):
                    (split / 'shards' / f'shard_{session:05d}.npz').unlink()
                marker_path(split, session).unlink()
        return gone

    def _content(self, path: Path) -> str:
        """sha256 hex of a bag's files, whatever they are called."""
        contents = ''.join(f'{self.hashes.of(file)}\n' for file in files_of(path))
        self.hashes.save()
        return hashlib.sha256(contents.encode()).hexdigest()

    def _episodes(self, tracks: Tracks, key: str, name: str, made: str) -> dict:
        parts, refused, told, dropped = [], [], [], []
        for number, (span, start, end) in enumerate(spans(tracks, self.instruction)):
            what = {
                'instruction': span.text,
                'from_s': _since(tracks, start),
                'to_s': _since(tracks, end),
                **({} if span.success is None else {'success': span.success}),
                **({'correction': True} if span.correction else {}),
            }
            if span.dropped:
                dropped.append(what)
                continue
            health = tracks.stretch(span.start, span.stop)
            if not (span.text or health['frames']):
                continue  # between episodes nothing was recorded
            try:
                episode = label(tracks, start, end, span.taught, self.contract, self.actions)
            except Unusable as error:
                if span.text or end - start > 1e9:
                    refused.append({**what, 'reason': str(error)})
                continue
            told.append({**what, **episode.facts})
            n = len(episode.actions)
            source = {
                'bag': name,
                'sha256': key,
                'made': made,
                'actions': episode.facts['actions'],
                **what,
                **health,
            }
            parts += [
                Part(number, i, episode, source, a, min(a + PART_FRAMES, n))
                for i, a in enumerate(range(0, n, PART_FRAMES))
            ]
        damaged = self._write(tracks, parts, (key, made))
        return {
            'episodes': told,
            'refused': refused,
            **({'dropped': dropped} if dropped else {}),
            **({'damaged_images': damaged} if damaged else {}),
        }

    def _write(self, tracks: Tracks, parts: list[Part], made: tuple[str, str]) -> int:
        """Read the pictures once, in order, and write each part when it has all of its own.

        Args:
            made: of which bag, and in which way.
        """
        there = {
            m['source']['part']
            for split in SPLITS
            for m in read_markers(self.out / split)
            if 'source' in m and (m['source']['sha256'], m['source']['made']) == made
        }
        parts = [p for p in parts if p.key not in there and images_of(p).size]
        wanted = set(np.concatenate([images_of(p) for p in parts]).tolist()) if parts else set()
        pictures: dict[int, np.ndarray] = {}
        damaged, waiting = 0, sorted(parts, key=lambda p: int(images_of(p).max()))
        for number, picture in kept_pictures(tracks.bag, tracks.image_topic, wanted):
            if picture is None:
                damaged += 1
            else:
                pictures[number] = picture
            while waiting and number >= images_of(waiting[0]).max():
                self._session(waiting.pop(0), pictures)
                first = min((int(images_of(p).min()) for p in waiting), default=number)
                pictures = {i: p for i, p in pictures.items() if i >= first}
        for part in waiting:  # the last picture could not be read
            self._session(part, pictures)
        return damaged

    def _session(self, part: Part, pictures: dict) -> None:
        episode = part.episode
        split, number = self._place(part)
        writer = SessionWriter(self.out / split, number, shard=True, scene='robot')
        window: list[int] = []

        def end() -> None:
            if len(window) > 1:
                writer.annotate(window[0], window[-1], episode.instruction, 0.0)
            window.clear()

        for i in range(part.a, part.b):
            picture = pictures.get(int(episode.image[i]))
            if picture is None or not episode.usable[i]:
                end()
                writer.cut()
                continue
            frame = writer.add(
                episode.actions[i], episode.robot_obs[i], None, {'rgb_static': picture}
            )
            if episode.shown[i]:
                window.append(frame)
        end()
        writer.close(source={**part.told, 'part': part.key})

    def _place(self, part: Part) -> tuple[str, int]:
        """Split and number of the next session; one episode of `HELD_OUT` with words is held out."""
        markers = {split: read_markers(self.out / split) for split in SPLITS}
        bag, made = part.told['sha256'], part.told['made']

        def stays(marker: dict) -> bool:
            source = marker.get('source', {})
            ours = source.get('sha256') == bag
            return source.get('made') == made if ours else self._counts(marker)

        begun = [
            split
            for split, ms in markers.items()
            for m in ms
            if m.get('source', {}).get('made') == made
            and m['source']['sha256'] == bag
            and m['source']['part'].split('.')[0] == str(part.number)
        ]
        count = sum(bool(m['annotations']) and stays(m) for ms in markers.values() for m in ms)
        held_out = bool(part.episode.instruction) and count % HELD_OUT == HELD_OUT - 1
        # parts of one episode stay together: else validation would show what training does
        split = begun[0] if begun else SPLITS[int(held_out)]
        return split, max((m['session'] for m in markers[split]), default=-1) + 1


def _since(tracks: Tracks, at_ns: int) -> float:
    return round((at_ns - int(tracks.track(names.IMAGE).time_ns[0])) * 1e-9, 2)


def images_of(part: Part) -> np.ndarray:
    """Numbers of the pictures that a part needs."""
    image = part.episode.image[part.a : part.b]
    return image[(image >= 0) & part.episode.usable[part.a : part.b]]


def kept_pictures(bag: Bag, topic: str, wanted: set) -> Iterator[tuple[int, np.ndarray | None]]:
    """(number, uint8 (S, S, 3) or None) of the wanted image messages, as they came."""
    read, number = cdr_reader(), -1
    for _, kind, _, data in bag.messages([topic]):
        try:
            message = read(data, kind)
            stamp_of(message)
        except Exception:  # it was not counted either
            continue
        number += 1
        if number in wanted:
            try:
                yield number, kept(message_picture(message))
            except Exception:  # damaged data make the libraries raise nearly anything
                yield number, None
