# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Writes a LeRobot data set, v3.0: rows and pictures in parquet files, so that nothing is lost.

    <folder>/data/chunk-000/file-000.parquet    rows of many episodes, about 100 MB
    <folder>/meta/info.json                     features, rate, counts; written last
    <folder>/meta/tasks.parquet, stats.json, episodes/chunk-000/file-000.parquet

A file of rows appears when it is whole, together with a note of what is in it (`.journal/`); `finish`
makes meta/ of these notes. So a process that was killed at any moment goes on with the next file, and a
folder without meta/info.json is not whole.

How an episode ended is `success` in meta/episodes, empty where nobody said. `next.success` of the rows
cannot be empty: it is there where all outcomes are known.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vw2_ros.files import write_json, write_whole
from vw2_ros.models.data.video.reader import library
from vw2_ros.recording.lerobot_stats import EVERY, Levels, number_stats

VERSION = 'v3.0'
CHUNK_FILES = 1000  # files of a chunk
FILE_MB = 100  # a file is closed once it is so large
GROUP_ROWS = 64  # rows that are kept in memory
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
EPISODES_PATH = 'meta/episodes/chunk-000/file-000.parquet'
JOURNAL = '.journal'
SUCCESS = 'next.success'
OWN_FEATURES = {  # what the writer fills in
    'next.done': ('bool', 'bool'),
    SUCCESS: ('bool', 'bool'),
    'timestamp': ('float32', 'float'),
    'frame_index': ('int64', 'int64'),
    'episode_index': ('int64', 'int64'),
    'index': ('int64', 'int64'),
    'task_index': ('int64', 'int64'),
}


@dataclass(frozen=True)
class Picture:
    """A picture as a file, and how to decode it."""

    data: bytes  # of a png or jpeg file
    rgb: Callable[[], np.ndarray]  # uint8 (H, W, 3)


@dataclass(frozen=True)
class EpisodeKey:
    """What is to be known of an episode before its rows come."""

    name: str  # which tells it from others of the source
    task: str  # the instruction
    success: bool | None  # how it ended; None: nobody said
    split: str = 'train'


Row = dict[str, Any]  # feature -> numbers (k,), or a `Picture`


class LeRobotWriter:
    """Writes episodes one after another.

    Args:
        folder: where; what an earlier writer finished there is kept.
        features: key -> dtype ('float32' or 'image'), shape, names, of what rows hold.
        fps: rows per second. outcomes: whether it is known of all episodes how they ended.
    Attributes:
        episodes: what is known of those that are on disk. frames: how many rows were written.
    """

    def __init__(self, folder: Path, features: dict[str, dict], fps: int, outcomes: bool):
        self.folder, self.features, self.fps = Path(folder), features, fps
        self._own = {k: v for k, v in OWN_FEATURES.items() if outcomes or k != SUCCESS}
        self.arrow, self.parquet = library('pyarrow'), library('pyarrow.parquet')
        notes = sorted((self.folder / JOURNAL).glob('file-*.json'))
        self.files = [json.loads(path.read_text()) for path in notes]
        self.episodes = [episode for file in self.files for episode in file['episodes']]
        self._open: list[dict] = []  # episodes of the file that is being written
        self._writer = None
        self.frames = sum(episode['length'] for episode in self.episodes)
        self._tasks: dict[str, int] = {}  # task -> number, as they came
        for episode in self.episodes:
            self._task_number(episode['task'])

    @property
    def done(self) -> set[str]:
        """Names of the episodes that are on disk."""
        return {episode['name'] for episode in self.episodes}

    def write(
        self,
        stream: Iterable[tuple[EpisodeKey, Row]],
        told: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Write all episodes of a stream of rows.

        Args:
            told: called with the number of rows that were written.
        """
        for key, rows in itertools.groupby(stream, key=lambda pair: pair[0]):
            self._episode(key, (row for _, row in rows), told)
            if self._part.stat().st_size >= FILE_MB * 2**20:
                self.close()
        self.close()

    # -- one file

    @property
    def _place(self) -> Path:
        chunk, file = divmod(len(self.files), CHUNK_FILES)
        return self.folder / DATA_PATH.format(chunk_index=chunk, file_index=file)

    @property
    def _part(self) -> Path:
        return self._place.with_suffix('.part')

    def _episode(self, key: EpisodeKey, rows: Iterator[Row], told: Callable[[int], None]) -> None:
        number = len(self.episodes) + len(self._open)
        levels = {k: Levels() for k, f in self.features.items() if f['dtype'] == 'image'}
        numbers: dict[str, list] = {k: [] for k in self.features if k not in levels}
        count, waiting = 0, next(rows)
        while waiting is not None:
            group = [waiting, *itertools.islice(rows, GROUP_ROWS)]
            waiting = group.pop() if len(group) > GROUP_ROWS else None  # the last row is marked
            self._group(key, number, count, group, last=waiting is None)
            for i, row in enumerate(group, count):
                for k in numbers:
                    numbers[k].append(np.asarray(row[k], np.float32))
                for k in levels if i % EVERY == 0 else ():
                    levels[k].add(row[k].rgb())
            count += len(group)
            told(len(group))
        self.frames += count
        self._open.append(
            {
                'name': key.name,
                'task': key.task,
                'success': key.success,
                'split': key.split,
                'length': count,
                'numbers': {k: number_stats(np.stack(v)) for k, v in numbers.items()},
                'levels': {k: [v.counts.tolist(), v.pictures] for k, v in levels.items()},
            }
        )

    def _group(
        self, key: EpisodeKey, number: int, first: int, rows: list[Row], last: bool
    ) -> None:
        n, arrow = len(rows), self.arrow
        columns = {}
        for k, feature in self.features.items():
            if feature['dtype'] == 'image':
                files = [
                    {'bytes': row[k].data, 'path': f'frame-{i:06d}{_ending(row[k].data)}'}
                    for i, row in enumerate(rows, first)
                ]
                columns[k] = arrow.array(files, self._type(feature))
            else:
                values = np.concatenate([np.asarray(row[k], np.float32) for row in rows])
                columns[k] = arrow.FixedSizeListArray.from_arrays(values, feature['shape'][0])
        frames = np.arange(first, first + n)
        own = self._own_values(number, frames, self.frames, key.task, key.success, last)
        columns |= {k: arrow.array(values) for k, values in own.items()}
        table = arrow.table(columns).replace_schema_metadata(self._huggingface())
        if self._writer is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self.parquet.ParquetWriter(self._part, table.schema)
        self._writer.write_table(table)

    def _own_values(
        self,
        number: int,
        frames: np.ndarray,
        first: int,
        task: str,
        success: bool | None,
        last: bool,
    ) -> dict[str, np.ndarray]:
        """What the writer fills in, of some frames of an episode whose first row is `first`."""
        n = len(frames)
        done = np.zeros(n, bool)
        done[-1] = last
        values = {
            'next.done': done,
            SUCCESS: done & bool(success),
            'timestamp': (frames / self.fps).astype(np.float32),
            'frame_index': frames,
            'episode_index': np.full(n, number),
            'index': frames + first,
            'task_index': np.full(n, self._task_number(task)),
        }
        return {k: values[k] for k in self._own}

    def _type(self, feature: dict):
        arrow = self.arrow
        if feature['dtype'] == 'image':
            return arrow.struct({'bytes': arrow.binary(), 'path': arrow.string()})
        return arrow.list_(arrow.float32(), feature['shape'][0])

    def _task_number(self, task: str) -> int:
        return self._tasks.setdefault(task, len(self._tasks))

    def _huggingface(self) -> dict:
        """What `datasets` wants to know, to show pictures."""
        features = {}
        for key, feature in self.features.items():
            features[key] = (
                {'_type': 'Image'}
                if feature['dtype'] == 'image'
                else {
                    'feature': {'dtype': feature['dtype'], '_type': 'Value'},
                    'length': feature['shape'][0],
                    '_type': 'Sequence',
                }
            )
        features |= {k: {'dtype': kind, '_type': 'Value'} for k, (kind, _) in self._own.items()}
        return {'huggingface': json.dumps({'info': {'features': features}})}

    def close(self) -> None:
        """End the file that is being written: from now on it stays, whatever happens."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        note = {'episodes': self._open}
        with open(self._part, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(self._part, self._place)
        write_json(self.folder / JOURNAL / f'file-{len(self.files):06d}.json', note)
        self.files.append(note)
        self.episodes += self._open
        self._open = []

    # -- the whole

    def finish(self, robot: str, more: dict[str, Any]) -> dict:
        """Write meta/, of all episodes that are on disk.

        Args:
            robot: its type. more: name -> content of further files of meta/.
        Returns:
            what meta/info.json says.
        """
        write_whole(self.folder / 'meta' / 'tasks.parquet', self._tasks_table())
        write_whole(self.folder / EPISODES_PATH, self._episodes_table())
        write_json(self.folder / 'meta' / 'stats.json', self._all_stats())
        for name, content in more.items():
            write_json(self.folder / 'meta' / name, content)
        info = {
            'codebase_version': VERSION,
            'fps': self.fps,
            'features': self._features(),
            'total_episodes': len(self.episodes),
            'total_frames': self.frames,
            'total_tasks': len(self._tasks),
            'chunks_size': CHUNK_FILES,
            'data_files_size_in_mb': FILE_MB,
            'video_files_size_in_mb': 200,
            'data_path': DATA_PATH,
            'video_path': None,
            'robot_type': robot,
            'splits': self._splits(),
        }
        write_json(self.folder / 'meta' / 'info.json', info)
        return info

    def _features(self) -> dict[str, dict]:
        own = {
            k: {'dtype': kind, 'shape': [1], 'names': None} for k, (kind, _) in self._own.items()
        }
        return {**self.features, **own}

    def _splits(self) -> dict[str, str]:
        out, first = {}, 0
        for split, episodes in itertools.groupby(self.episodes, key=lambda e: e['split']):
            count = len(list(episodes))
            out[split], first = f'{first}:{first + count}', first + count
        return out

    def _tasks_table(self) -> bytes:
        """The table as pandas writes it, with the tasks as its index."""
        tasks = self._tasks
        column = {'pandas_type': 'unicode', 'numpy_type': 'object', 'metadata': None}
        number = {'pandas_type': 'int64', 'numpy_type': 'int64', 'metadata': None}
        told = {
            'index_columns': ['task'],
            'column_indexes': [
                {'name': None, 'field_name': None, **column, 'metadata': {'encoding': 'UTF-8'}}
            ],
            'columns': [
                {'name': 'task_index', 'field_name': 'task_index', **number},
                {'name': 'task', 'field_name': 'task', **column},
            ],
            'pandas_version': '2.0.0',
        }
        table = self.arrow.table(
            {
                'task_index': self.arrow.array(list(tasks.values()), self.arrow.int64()),
                'task': self.arrow.array(list(tasks), self.arrow.string()),
            }
        )
        return self._bytes(table.replace_schema_metadata({'pandas': json.dumps(told)}))

    def _episodes_table(self) -> bytes:
        rows, first = [], 0
        places = [i for i, file in enumerate(self.files) for _ in file['episodes']]
        told = any(episode['success'] is not None for episode in self.episodes)
        for number, (file, episode) in enumerate(zip(places, self.episodes)):
            n = episode['length']
            stats = self._stats_of(number, first)
            rows.append(
                {
                    'episode_index': number,
                    'tasks': [episode['task']],
                    'length': n,
                    **({'success': episode['success']} if told else {}),
                    'data/chunk_index': file // CHUNK_FILES,
                    'data/file_index': file % CHUNK_FILES,
                    'dataset_from_index': first,
                    'dataset_to_index': first + n,
                    'meta/episodes/chunk_index': 0,
                    'meta/episodes/file_index': 0,
                    **{f'stats/{k}/{s}': v for k, part in stats.items() for s, v in part.items()},
                }
            )
            first += n
        return self._bytes(self.arrow.Table.from_pylist(rows))

    def _stats_of(self, number: int, first: int) -> dict[str, dict]:
        """Statistics of one episode."""
        episode = self.episodes[number]
        own = self._own_values(
            number, np.arange(episode['length']), first, episode['task'], episode['success'], True
        )
        return {
            **episode['numbers'],
            **{k: Levels(*levels).stats() for k, levels in episode['levels'].items()},
            **{k: number_stats(values[:, None]) for k, values in own.items()},
        }

    def _all_stats(self) -> dict[str, dict]:
        """Statistics of all rows. The numbers are read from the files again; they are small."""
        numbers = [k for k, f in self.features.items() if f['dtype'] != 'image']
        values: dict[str, list] = {k: [] for k in (*numbers, *self._own)}
        for file in range(len(self.files)):
            chunk, within = divmod(file, CHUNK_FILES)
            path = self.folder / DATA_PATH.format(chunk_index=chunk, file_index=within)
            table = self.parquet.read_table(path, columns=list(values), partitioning=None)
            for k in values:
                column = table[k].combine_chunks()
                if k in numbers:
                    column = column.flatten()
                flat = column.to_numpy(zero_copy_only=False)
                values[k].append(flat.reshape(len(table), -1))
        out = {k: number_stats(np.concatenate(v)) for k, v in values.items()}
        for k in (k for k, f in self.features.items() if f['dtype'] == 'image'):
            total = Levels()
            for episode in self.episodes:
                total = total.plus(Levels(*episode['levels'][k]))
            out[k] = total.stats()
        return out

    def _bytes(self, table) -> bytes:
        sink = self.arrow.BufferOutputStream()
        self.parquet.write_table(table, sink)
        return sink.getvalue().to_pybytes()


def _ending(data: bytes) -> str:
    return '.jpg' if data[:2] == b'\xff\xd8' else '.png'
