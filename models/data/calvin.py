# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's format on disk: index files, language annotations, frames.

    folder = CalvinFolder('data/training')       # ranges, language windows, content hash
    rgb, state = read_frame(path, 96)            # one frame

| what            | dtype, shape           | meaning                                              |
| --------------- | ---------------------- | ---------------------------------------------------- |
| rgb             | uint8 (n, S, S, 3)     | static camera, area-resized to S pixels              |
| rel_actions     | float32 (n, 7)         | [-1, 1]: x 0.02 m, x 0.05 rad, world; gripper -1 / +1|
| frame_ids       | int64 (n,)             | number in the file name, per folder                  |
| robot_obs       | float32 (n, 15)        | CALVIN's state of the arm                            |
| scene_obs       | float32 (n, 24)        | and of the table; NaN in a real robot's data         |
| landmarks       | float32 (n, 10, 2)     | what a simulator teaches sight; NaN in other data    |
| scene_state     | float32 (n, 25)        | likewise                                             |

Frames are one npz each, as CALVIN ships them, or shards (`<split>/shards/shard_*.npz`, PNG images;
`sim/dataset_writer.py` writes them).

Nothing here executes what a data file says. CALVIN pickles its annotations
(`lang_annotations/auto_lang_ann.npy` is an object array, and `sim/dataset_writer.py` writes the
same); `pickled.py` reads them. Beside it, `published.py` reads others' torch files, as tensors alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from vw2_ros.episodes import EditList, Span, read_markers
from vw2_ros.models.data import DataError
from vw2_ros.models.data.episodes import edited_spans, what_is_left
from vw2_ros.models.data.pickled import load_annotations
from vw2_ros.models.data.pictures import Size, resize_area, sides
from vw2_ros.words import split_words

CALVIN_FPS = 30.0  # CALVIN's data and the play table's
ROW_SHAPES = {
    'rel_actions': (7,),
    'robot_obs': (15,),
    'scene_obs': (24,),
    'landmarks': (10, 2),
    'scene_state': (25,),
}
SIMULATED = ('scene_obs', 'landmarks', 'scene_state')  # nobody knows them of a real robot
MOST_FRAMES, MOST_ID = 10**8, 10**15  # of a folder: an index that has more is damaged
_TAIL_BYTES = 1 << 12  # a zip ends with the CRC-32 of each member: enough to tell content apart


@dataclasses.dataclass(frozen=True)
class LanguageWindow:
    """Frames start..end (ids, both included) show `task`, worded as `phrase`."""

    start: int
    end: int
    task: str
    phrase: str


def _check_texts(what: str, texts: Iterable) -> None:
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not split_words(text):
            raise DataError(
                f'{what}[{number}] must be text, with a word in it. Got {type(text).__name__} '
                f'{text!r:.80}. Write one text for each window'
            )


def _ids(ranges: np.ndarray) -> np.ndarray:
    """Ids of all frames, ascending where ranges are sorted and do not overlap."""
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b + 1) for a, b in ranges)])


class CalvinFolder:
    """Index of one split folder (`training/` or `validation/`) in CALVIN's format.

    Attributes:
        ranges, windows, frame_ids: what `vw2 episodes` left of it.
        recorded, recorded_ids: ranges and windows, and ids, before any edit.
        edits: what was decided, see `vw2_ros.episodes`.
    Raises:
        InvalidValueError: the edits are damaged, or of other data.
        DataError: no such folder, or an index file is missing, damaged or inconsistent.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f'there is no data folder {self.path}. Make one with `vw2 collect`')
        self.ranges = self._read_ranges()
        self.windows = self._read_windows()
        self.recorded_ids = self.frame_ids = _ids(self.ranges)
        if (np.diff(self.frame_ids) <= 0).any():
            raise DataError(
                f'{self.path / "ep_start_end_ids.npy"}: ranges must not overlap. Got frames that '
                'lie in two. Collect or download the folder again'
            )
        self.recorded = self.ranges, self.windows
        self.edits = EditList(self.path)
        if self.edits.edits:
            self.ranges, self.windows = what_is_left(self.path, *self.recorded, self.edits)
            self.frame_ids = _ids(self.ranges)
        self.shards = sorted((self.path / 'shards').glob('shard_*.npz'))

    def __len__(self) -> int:
        return len(self.frame_ids)

    def _read_ranges(self) -> np.ndarray:
        path = self.path / 'ep_start_end_ids.npy'
        try:
            ranges = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise DataError(
                f'{path} is missing: {self.path} is not a CALVIN split '
                '(expected training/ or validation/ of a data set)'
            ) from error
        except Exception as error:  # damaged headers make NumPy raise nearly anything
            raise DataError(f'{path} cannot be read: {error}') from error
        if ranges.size == 0:
            return np.zeros((0, 2), np.int64)
        if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.dtype.kind not in 'iu':
            raise DataError(f'{path} must be integers (N, 2). Got {ranges.dtype} {ranges.shape}')
        ranges = ranges.astype(np.int64)
        if (ranges[:, 0] > ranges[:, 1]).any() or (ranges < 0).any():
            wrong = ranges[(ranges[:, 0] > ranges[:, 1]) | (ranges < 0).any(axis=1)][0].tolist()
            raise DataError(
                f'{path}: each row must be (first, last) with 0 <= first <= last. Got {wrong}'
            )
        total = int((ranges[:, 1] - ranges[:, 0]).astype(float).sum())
        if total > MOST_FRAMES or ranges.max() > MOST_ID:
            raise DataError(
                f'{path} must hold at most {MOST_FRAMES} frames, numbered up to {MOST_ID}. Got '
                f'{total}, up to {ranges.max()}: the file is damaged'
            )
        return ranges[np.argsort(ranges[:, 0], kind='stable')]

    def _read_windows(self) -> list[LanguageWindow]:
        path = self.path / 'lang_annotations' / 'auto_lang_ann.npy'
        if not path.exists():
            return []  # video without words: fine for latent pre-training
        content = load_annotations(path)
        try:
            spans = content['info']['indx']
            tasks, phrases = content['language']['task'], content['language']['ann']
            for key, texts in (('task', tasks), ('ann', phrases)):
                _check_texts(f'{path}: language/{key}', texts)
            windows = [
                LanguageWindow(int(a), int(b), str(task), str(phrase))
                for (a, b), task, phrase in zip(spans, tasks, phrases, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{path} must hold language/ann, language/task and info/indx of one '
                f'length. Got {type(error).__name__}: {error}'
            ) from error
        for window in windows:
            i = np.searchsorted(self.ranges[:, 0], window.start, side='right') - 1
            if i < 0 or not window.start <= window.end <= self.ranges[i, 1]:
                raise DataError(
                    f'{path}: a window must lie inside one range of ep_start_end_ids.npy. Got '
                    f'{window.start}..{window.end} ({window.task})'
                )
        return windows

    @property
    def spans(self) -> list[Span]:
        """All episodes, also those that were dropped, ascending."""
        return edited_spans(self.path, *self.recorded, self.edits)

    @functools.cached_property
    def corrections(self) -> list[Span]:
        """Episodes in which a person took the arm from a policy."""
        if not any(m.get('source', {}).get('correction') for m in read_markers(self.path)):
            return []
        return [span for span in self.spans if span.correction]

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 hex that names exactly this data, as edits leave it."""
        if not self.edits.edits:
            return self.recorded_hash
        left = repr((self.ranges.tolist(), self.windows))
        return hashlib.sha256(f'{self.recorded_hash} {left}'.encode()).hexdigest()

    @functools.cached_property
    def recorded_hash(self) -> str:
        """sha256 hex over the index files and the frame files' names, sizes and zip directories.

        Where frames are single files there may be millions of them; about ten thousand are opened.
        """
        digest = hashlib.sha256()
        for name in ('ep_start_end_ids.npy', 'lang_annotations/auto_lang_ann.npy'):
            path = self.path / name
            digest.update(name.encode() + b'\0')
            digest.update(path.read_bytes() if path.exists() else b'')
        with os.scandir(self.path) as entries:
            frames = sorted((e.name, e.stat().st_size) for e in entries if e.name.endswith('.npz'))
        digest.update(repr(frames).encode())
        looked_into = frames[:: max(1, len(frames) // 10_000)]
        for path in [*self.shards, *(self.path / name for name, _ in looked_into)]:
            with open(path, 'rb') as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                digest.update(f'{path.name} {size}\0'.encode() + file.read())
        return digest.hexdigest()

    @property
    def written(self) -> str:
        """sha256 hex that changes when any file of frames is written again."""
        files = [self.path / 'ep_start_end_ids.npy', *self.shards]
        found = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()]
        with os.scandir(self.path) as entries:
            frames = (e for e in entries if e.name.endswith('.npz'))
            found += [(e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in frames]
        return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()


def is_calvin(root: Path | str) -> bool:
    """Whether a data folder is in CALVIN's format."""
    return any(
        (Path(root) / split / 'ep_start_end_ids.npy').is_file()
        for split in ('', 'training', 'validation')
    )


def split_folder(path: Path | str, split: str) -> Path:
    """`<path>/<split>`, or `path` itself where it already is a folder of frames.

    Raises:
        DataError: neither holds `ep_start_end_ids.npy`.
    """
    path = Path(path)
    if (path / split / 'ep_start_end_ids.npy').is_file():
        return path / split
    if (path / 'ep_start_end_ids.npy').is_file() and split == 'training':
        return path
    raise DataError(
        f'{path} must hold {split}/ep_start_end_ids.npy. Got no such file. Make data with '
        '`vw2 collect --out DIR`, or of your bags with `vw2 convert`, or give the root of a CALVIN '
        'data set'
    )


def with_validation(roots: Iterable[Path | str]) -> list[Path]:
    """Return the data folders with held-out frames; a collection that was cut short has none."""
    found = []
    for root in map(Path, roots):
        path = root / 'validation' / 'ep_start_end_ids.npy'
        if path.is_file() and len(CalvinFolder(path.parent)):
            found.append(root)
    return found


# numpy parses an array's header with `ast`; CPython before 3.11.8 cannot do that in two threads at
# once ("AST constructor recursion depth mismatch", gh-106905), and decoding uses threads.
_HEADER = threading.Lock()
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def member_of(archive, key: str, path: Path) -> np.ndarray:
    """One array of an open npz file, whose pickles are never loaded.

    Raises:
        DataError: it is not there, or holds Python objects; the message names the file, `path`.
    """
    try:
        stream = archive.zip.open(f'{key}.npy')
    except KeyError as error:
        raise DataError(f'{path} must hold {key!r}. Got no such array') from error
    with stream:
        with _HEADER:
            version = np.lib.format.read_magic(stream)
            if version not in _READ_HEADER:
                raise DataError(f'{path}: {key} must have npy format 1.0 or 2.0. Got {version}')
            shape, fortran_order, dtype = _READ_HEADER[version](stream)
        if dtype.hasobject:
            raise DataError(
                f'{path}: {key} must hold numbers. Got Python objects, which are never loaded'
            )
        return np.frombuffer(stream.read(), dtype).reshape(shape, order='FC'[not fortran_order])


@contextlib.contextmanager
def reading_file(path: Path):
    """Turn whatever a missing or damaged file raises into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f'{path} is missing, but the index says that the frame exists; collect '
            'or download it again'
        ) from error
    except (
        Exception
    ) as error:  # zip files and headers that are damaged make libraries raise anything
        raise DataError(f'{path} is damaged: {type(error).__name__} {error}') from error


def _state_row(archive, path: Path, rows: int | None) -> dict[str, np.ndarray]:
    lead = () if rows is None else (rows,)
    state = {}
    for key, shape in ROW_SHAPES.items():
        if key in SIMULATED and key not in archive.files:
            state[key] = np.full((*lead, *shape), np.nan, np.float32)
            continue
        value = np.asarray(member_of(archive, key, path))
        if value.shape != (*lead, *shape):
            raise DataError(f'{path}: {key} must have shape {(*lead, *shape)}. Got {value.shape}')
        if not np.isfinite(value).all():
            raise DataError(f'{path}: {key} must be finite. Got NaN or infinity')
        state[key] = value.astype(np.float32)
    return state


def read_frame(path: Path, size: Size) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One single-frame npz -> (rgb uint8 (h, w, 3), rows of ROW_SHAPES).

    Raises:
        DataError: missing or damaged; the message names the file.
    """
    with reading_file(path), np.load(path, allow_pickle=False) as archive:
        rgb = member_of(archive, 'rgb_static', path)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise DataError(
                f'{path}: rgb_static must be uint8 (H, W, 3). Got {rgb.dtype} {rgb.shape}'
            )
        return resize_area(rgb, size), _state_row(archive, path, None)


def read_shard(path: Path, size: Size) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """One shard -> (frame_ids int64 (n,), rgb uint8 (n, h, w, 3), state (n, ...) each).

    Raises:
        DataError: missing or damaged; the message names the file.
    """
    with reading_file(path), np.load(path, allow_pickle=False) as archive:
        frame_ids = np.asarray(member_of(archive, 'frame_ids', path)).astype(np.int64)
        n = len(frame_ids)
        pngs = member_of(archive, 'rgb_static', path)
        offsets = np.asarray(member_of(archive, 'offsets', path))
        if offsets.shape != (n + 1,) or (
            n and (offsets[-1] != len(pngs) or (np.diff(offsets) <= 0).any())
        ):
            raise DataError(
                f'{path}: offsets must rise to {len(pngs)} bytes in {n} steps. Got others: the '
                'file is damaged. Collect it again'
            )
        rgb = np.empty((n, *sides(size), 3), np.uint8)
        for i in range(n):
            image = cv2.imdecode(pngs[offsets[i] : offsets[i + 1]], cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(
                    f'{path}: the image of frame {frame_ids[i]} is damaged. Collect the file again'
                )
            rgb[i] = resize_area(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), size)
        return frame_ids, rgb, _state_row(archive, path, n)
