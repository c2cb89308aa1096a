# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The index of a LeRobot data set, v2.0, v2.1 or v3: its features, and where each episode lies.

    index = LeRobotIndex.open('data/pusht')
    index.camera(['observation.images.top'])    # a key, in colour
    index.rows(3, ['action'])                   # {'action': float32 (n, k)} of episode 3

| what                  | v2.0, v2.1                        | v3                                   |
| --------------------- | --------------------------------- | ------------------------------------ |
| features, rate, paths | meta/info.json                    | meta/info.json                       |
| tasks, by number      | meta/tasks.jsonl                  | meta/tasks.parquet                   |
| episodes              | meta/episodes.jsonl               | meta/episodes/*/*.parquet            |
| rows                  | a parquet file of each episode    | parquet files of many episodes       |
| films                 | a file of each episode and camera | files of many episodes, with seconds |

Rows are read file by file, and only the columns that are asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.models.data import DataError
from vw2_ros.models.data.video.reader import library

MOST_EPISODES = 10_000_000  # an index that promises more is damaged
_FIELD = re.compile(r'\{(\w+)(?::0?(\d)d)?\}')  # of a path's template

Part = tuple[int, float, float]  # episode, and from when to when it lasts in its file [s]


@dataclasses.dataclass(frozen=True)
class LeRobotIndex:
    """What meta/ of a LeRobot data set says.

    Attributes:
        root: the folder that holds meta/. version: e.g. 'v3.0'. fps: frames per second.
        features: key -> dtype, shape, names, perhaps info.
    """

    root: Path
    version: str
    fps: float
    features: dict
    info: dict

    @classmethod
    def open(cls, root: Path) -> LeRobotIndex:
        """Read meta/info.json.

        Raises:
            DataError: it is missing or damaged, or of another version.
        """
        root = Path(root)
        path = root / 'meta' / 'info.json'
        with reading_index(path):
            info = json.loads(path.read_text(encoding='utf-8'))
            version, fps = str(info['codebase_version']), float(info['fps'])
            if not version.startswith(('v2.', 'v3.')):
                raise DataError(
                    f'{path} is of LeRobot {version}; v2.0, v2.1 and v3.0 can be read. '
                    'Convert it with a LeRobot release of that time'
                )
            if not (math.isfinite(fps) and 0 < fps <= 1e4):
                raise DataError(f'{path}: fps must be above 0 and at most 10000. Got {fps}')
            features = dict(info['features'])
            if not all(isinstance(feature, dict) for feature in features.values()):
                raise DataError(f'{path}: each feature must be a mapping with dtype and shape')
            return cls(root, version, fps, features, info)

    @property
    def path(self) -> Path:
        """meta/info.json."""
        return self.root / 'meta' / 'info.json'

    @property
    def v3(self) -> bool:
        """Whether files hold many episodes."""
        return self.version.startswith('v3.')

    def cameras(self) -> list[str]:
        """Keys of the features that are pictures in colour; what is called depth comes last."""
        found = [key for key in self._pictures() if not _is_depth(self.features[key])]
        return sorted(found, key=lambda key: 'depth' in key.lower())

    def camera(self, wanted: Sequence[str] = ()) -> str:
        """The first of these cameras that there is; of none, the data set's first.

        Raises:
            DataError: there is none.
        """
        with reading_index(self.path):
            known = self.cameras()
            found = [key for key in wanted if key in known] if wanted else known
            if not found:
                depth = [key for key in self._pictures() if key not in known]
                raise DataError(
                    f'{self.path} has no camera {" or ".join(wanted)}'.rstrip()
                    + f'; cameras there: {", ".join(known) or "none"}'
                    + (f'; depth, or of one channel: {", ".join(depth)}' if depth else '')
                )
            return found[0]

    def _pictures(self) -> list[str]:
        return [k for k, f in self.features.items() if f.get('dtype') in ('video', 'image')]

    def filmed(self, camera: str) -> bool:
        """Whether a camera's pictures are films, not in the rows."""
        return self.features[camera]['dtype'] == 'video'

    def places(self, camera: str = '') -> dict[str, list[Part]]:
        """Which episodes each file has, below `root`: films of a camera; without one, rows.

        Raises:
            DataError: the index is damaged, or names files that lie elsewhere.
        """
        with reading_index(self.path):
            template = self.info['video_path' if camera else 'data_path']
            if self.v3:
                return self._of_files(template, camera)
            size, out = int(self.info['chunks_size']), {}
            for episode in self.episodes():
                place = self._place(
                    template,
                    episode_chunk=episode // size,
                    video_key=camera,
                    episode_index=episode,
                )
                out[place] = [(episode, 0.0, math.inf)]
            return out

    def _of_files(self, template: str, camera: str) -> dict[str, list[Part]]:
        kind = f'videos/{camera}' if camera else 'data'
        columns = ['episode_index', f'{kind}/chunk_index', f'{kind}/file_index']
        if camera:
            columns += [f'{kind}/from_timestamp', f'{kind}/to_timestamp']
        out: dict[str, list[Part]] = {}
        for episode, chunk, file, *times in self._episode_rows(columns):
            place = self._place(template, video_key=camera, chunk_index=chunk, file_index=file)
            start, end = map(float, times or (0.0, math.inf))
            out.setdefault(place, []).append((int(episode), start, end))
        return {place: sorted(parts, key=lambda p: (p[1], p[0])) for place, parts in out.items()}

    def _episode_rows(self, columns: Sequence[str]) -> Iterator[tuple]:
        parquet = library('pyarrow.parquet')
        files = sorted((self.root / 'meta' / 'episodes').rglob('*.parquet'))
        if not files:
            raise DataError(f'{self.root / "meta" / "episodes"} holds no parquet file')
        for path in files:
            table = parquet.read_table(path, columns=list(columns), partitioning=None)
            yield from zip(*(table[key].to_pylist() for key in columns))

    def _place(self, template: str, **values) -> str:
        """A template filled in: only what LeRobot writes there, and below the data set."""

        def fill(found: re.Match) -> str:
            value = values[found[1]]
            return f'{int(value):0{found[2]}d}' if found[2] else str(value)

        place = _FIELD.sub(fill, template)
        if Path(place).is_absolute() or '..' in Path(place).parts or '\0' in place:
            raise DataError(f'{self.path} must name files of its own. Got {place!r:.200}')
        return place

    def episodes(self) -> list[int]:
        """The numbers of the episodes, ascending; they have gaps where some were removed."""
        with reading_index(self.path):
            if self.v3:
                return sorted({int(number) for (number,) in self._episode_rows(['episode_index'])})
            path = self.root / 'meta' / 'episodes.jsonl'
            if path.is_file():
                return sorted({int(line['episode_index']) for line in _json_lines(path)})
            total = int(self.info['total_episodes'])
            if not 0 <= total <= MOST_EPISODES:
                raise DataError(f'{self.path}: total_episodes cannot be {total}')
            return list(range(total))

    @functools.cached_property
    def successes(self) -> dict[int, bool]:
        """Episode -> how it ended, where meta/ says so (`success`).

        Raises:
            DataError: the index is damaged.
        """
        if not self.v3:
            return {}
        with reading_index(self.path):
            found: dict[int, bool] = {}
            for path in sorted((self.root / 'meta' / 'episodes').rglob('*.parquet')):
                parquet = library('pyarrow.parquet')
                columns = ['episode_index', 'success']
                if set(columns) <= set(parquet.read_schema(path).names):
                    table = parquet.read_table(path, columns=columns, partitioning=None)
                    pairs = zip(*(table[key].to_pylist() for key in columns))
                    found |= {int(n): said for n, said in pairs if isinstance(said, bool)}
            return found

    @functools.cached_property
    def tasks(self) -> dict[int, str]:
        """Number -> what is shown, in words; empty where the data set has none.

        Raises:
            DataError: the file that has them is damaged.
        """
        lines, table = self.root / 'meta' / 'tasks.jsonl', self.root / 'meta' / 'tasks.parquet'
        if lines.is_file():
            with reading_index(lines):
                return {int(t['task_index']): _words(t['task'], lines) for t in _json_lines(lines)}
        if not table.is_file():
            return {}
        with reading_index(table):
            found = library('pyarrow.parquet').read_table(table, partitioning=None)
            words = [name for name in found.column_names if name != 'task_index']
            named = next((n for n in ('task', '__index_level_0__') if n in words), words[0])
            numbers = found['task_index'].to_pylist()
            texts = found[named].to_pylist()
            return {int(n): _words(text, table) for n, text in zip(numbers, texts)}

    @functools.cached_property
    def _rows_of(self) -> dict[int, str]:
        """Episode -> the file that has its rows."""
        return {part[0]: place for place, parts in self.places().items() for part in parts}

    def rows(self, episode: int, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of an episode's rows, in the order of frame_index, which is one of them.

        Returns:
            key -> (n, k) of numbers, (n,) where a row has one.
        Raises:
            DataError: the file, or a column of it, is missing or damaged.
        """
        columns = tuple(dict.fromkeys([*columns, 'frame_index']))
        place = self._rows_of.get(episode)
        if place is None:
            raise DataError(f'{self.path} has no episode {episode}')
        for key in columns:
            if key not in self.features and key != 'frame_index':
                raise DataError(
                    f'{self.path} has no feature {key!r}; there are {", ".join(self.features)}'
                )
        table = _table(self.root / place, columns)
        here = table['episode_index'] == episode
        order = np.argsort(table['frame_index'][here], kind='stable')
        return {key: table[key][here][order] for key in columns}


@contextlib.contextmanager
def reading_index(path: Path):
    """Turn what a damaged file of the index raises into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # pyarrow raises errors of its own
        raise DataError(
            f'{path} or what it refers to cannot be read as the index of a LeRobot '
            f'data set: {type(error).__name__} {error!s:.300}'
        ) from error


def _table(path: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    with reading_index(path):
        told = path.stat()
    return _table_as_of(path, columns, (told.st_mtime_ns, told.st_size, told.st_ino))


@functools.lru_cache(3)  # episodes of a file follow each other; each is asked for three times
def _table_as_of(path: Path, columns: tuple[str, ...], as_of: tuple) -> dict[str, np.ndarray]:
    with reading_index(path):
        table = library('pyarrow.parquet').read_table(
            path, columns=[*columns, 'episode_index'], partitioning=None
        )
        return {key: _array(table[key], key, path) for key in (*columns, 'episode_index')}


def _array(column, key: str, path: Path) -> np.ndarray:
    """A column of numbers, or of lists of as many numbers each."""
    if column.null_count:
        raise DataError(f'{path}: {key} must be there in all rows. Got {column.null_count} empty')
    types = library('pyarrow').types
    n, whole = len(column), column.combine_chunks()
    if not (types.is_fixed_size_list(column.type) or types.is_list(column.type)):
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    flat = whole.flatten()
    if flat.null_count or (n and len(flat) % n):
        raise DataError(f'{path}: {key} must have as many numbers in each row')
    if types.is_list(column.type) and len(set(np.diff(whole.offsets.to_numpy()).tolist())) > 1:
        raise DataError(f'{path}: {key} must have as many numbers in each row')
    return flat.to_numpy(zero_copy_only=False).reshape(n, -1)  # (n, k)


def _json_lines(path: Path) -> Iterator[dict]:
    for line in path.read_text(encoding='utf-8').splitlines():
        if line.strip():
            yield json.loads(line)


def _words(task, path: Path) -> str:
    if not isinstance(task, str | None):
        raise DataError(f'{path}: a task must be text. Got {task!r:.100}')
    return task or ''


def _is_depth(feature: dict) -> bool:
    """Whether a feature says that it is depth, or has one channel, as depth does."""
    told = json.dumps(feature)
    if 'depth_map": true' in told or re.search(r'"video\.pix_fmt": "gray(9|1\d|f)', told):
        return True
    return _channels(feature) == 1


def _channels(feature: dict) -> int:
    """Channels of a picture's shape, height and width first or last; 3 where nobody says."""
    shape, names = feature.get('shape') or [], feature.get('names')
    if isinstance(names, list) and len(names) == len(shape):
        for size, name in zip(shape, names):
            if str(name).lower().startswith(('channel', 'c')):
                return int(size)
    if len(shape) == 2:
        return 1
    if len(shape) != 3:
        return 3
    first, last = int(shape[0]), int(shape[-1])
    return first if first in (1, 3, 4) and last not in (1, 3, 4) else last
