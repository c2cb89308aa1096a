# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Reading of demonstrations in CALVIN's on-disk format, for training.

    folder = CalvinFolder('data/training')       # index files, annotations, content hash
    store = FrameStore(['data', 'more_data'])    # every image decoded once, (n, 96, 96, 3) uint8
    store.clip_starts(17)                        # rows where a clip of 17 frames begins
    Demonstrations(store).chunk(samples)         # next 16 actions of labelled frames + mask

| what            | dtype, shape           | meaning                                              |
| --------------- | ---------------------- | ---------------------------------------------------- |
| rgb             | uint8 (n, S, S, 3)     | static camera, area-resized to S pixels              |
| rel_actions     | float32 (n, 7)         | [-1, 1]: x 0.02 m, x 0.05 rad, world; gripper -1 / +1|
| frame_ids       | int64 (n,)             | number in the file name, per folder                  |
| range_end       | int64 (n,)             | last row of the contiguous range that the row is in  |
| robot_obs       | float32 (n, 15)        | CALVIN's state of the arm                            |
| scene_obs       | float32 (n, 24)        | and of the table; NaN in a real robot's data         |
| landmarks       | float32 (n, 10, 2)     | what a simulator teaches sight; NaN in other data    |
| scene_state     | float32 (n, 25)        | likewise                                             |

A *row* counts the frames of all given folders one after another. Frames are one npz each, as
CALVIN ships them, or shards (`<split>/shards/shard_*.npz`, PNG images; see the collector).
Nothing here executes what a data file says: the annotations, which CALVIN pickles, go through an
unpickler that knows numpy arrays and plain containers only.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import dataclasses
import functools
import hashlib
import io
import math
import os
import pickle
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.models.parallel import first_of_machine
from vw2_ros.models.sizes import Size, centre, label, sides

CACHE_VERSION = 2
ROW_SHAPES = {
    'rel_actions': (7,),
    'robot_obs': (15,),
    'scene_obs': (24,),
    'landmarks': (10, 2),
    'scene_state': (25,),
}
SIMULATED = ('scene_obs', 'landmarks', 'scene_state')  # nobody knows them of a real robot
_TAIL_BYTES = 1 << 12  # a zip ends with the CRC-32 of each member: enough to tell content apart


class DataError(VW2Error, RuntimeError):
    """A data folder is missing something or holds something unreadable; the message names it."""


# ------------------------------------------------------------------ annotations without execution


def _latin1(text: str, encoding: str = 'latin1') -> bytes:
    """What `_codecs.encode` does in old numpy pickles, for the one encoding they use."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'encoding {encoding!r} is not allowed')
    return text.encode('latin1')


def _allowed_globals() -> dict[tuple[str, str], object]:
    """What a pickle of numpy arrays in plain containers names, under all of numpy's spellings."""
    allowed = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('_codecs', 'encode'): _latin1,
    }
    for core in ('numpy.core', 'numpy._core'):
        allowed[(f'{core}.multiarray', '_reconstruct')] = np.zeros(1).__reduce__()[0]
        allowed[(f'{core}.multiarray', 'scalar')] = np.float64(0).__reduce__()[0]
    return allowed


class _PlainUnpickler(pickle.Unpickler):
    """Loads numpy arrays, str, numbers, dict, tuple, list; refuses every other name."""

    ALLOWED = _allowed_globals()

    def find_class(self, module: str, name: str):
        try:
            return self.ALLOWED[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(
                f'it names {module}.{name}, which no annotation needs; it was not run'
            ) from None

    def persistent_load(self, pid):
        raise pickle.UnpicklingError('it refers to something outside itself')


def load_annotations(path: Path) -> dict:
    """Content of CALVIN's `auto_lang_ann.npy`, a pickled dict, without executing anything.

    Raises:
        DataError: missing, damaged, or it names anything but numpy arrays and plain containers.
    """
    path = Path(path)
    try:
        with open(path, 'rb') as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or shape != ():
                raise DataError(f'{path} must hold one pickled dict, got an array {shape} {dtype}')
            content = _PlainUnpickler(file).load()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing: the folder has no language annotations') from error
    except Exception as error:  # unpickling damaged bytes can raise nearly anything
        raise DataError(f'{path} cannot be read as language annotations: {error}') from error
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise DataError(f'{path} must hold a dict, got {type(content).__name__}')
    return content


# ------------------------------------------------------------------------------------ one folder


@dataclasses.dataclass(frozen=True)
class LanguageWindow:
    """Frames start..end (ids, both included) show `task`, worded as `phrase`."""

    start: int
    end: int
    task: str
    phrase: str


class CalvinFolder:
    """Index of one split folder (`training/` or `validation/`) in CALVIN's format.

    Raises:
        DataError: no such folder, or an index file is missing, damaged or inconsistent.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f'there is no data folder {self.path}; make one with `vw2 collect`')
        self.ranges = self._read_ranges()
        self.windows = self._read_windows()
        # Ids of all frames, ascending (ranges are sorted and do not overlap).
        self.frame_ids = (
            np.concatenate([np.arange(a, b + 1) for a, b in self.ranges])
            if len(self.ranges)
            else np.zeros(0, np.int64)
        )
        if (np.diff(self.frame_ids) <= 0).any():
            raise DataError(f'{self.path / "ep_start_end_ids.npy"}: ranges overlap')
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
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f'{path} cannot be read: {error}') from error
        if ranges.size == 0:
            return np.zeros((0, 2), np.int64)
        if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.dtype.kind not in 'iu':
            raise DataError(f'{path} must be integers (N, 2), got {ranges.dtype} {ranges.shape}')
        ranges = ranges.astype(np.int64)
        if (ranges[:, 0] > ranges[:, 1]).any() or (ranges < 0).any():
            raise DataError(f'{path}: each row must be (first, last) with 0 <= first <= last')
        return ranges[np.argsort(ranges[:, 0], kind='stable')]

    def _read_windows(self) -> list[LanguageWindow]:
        path = self.path / 'lang_annotations' / 'auto_lang_ann.npy'
        if not path.exists():
            return []  # video without words: fine for latent pre-training
        content = load_annotations(path)
        try:
            spans = content['info']['indx']
            tasks, phrases = content['language']['task'], content['language']['ann']
            windows = [
                LanguageWindow(int(a), int(b), str(task), str(phrase))
                for (a, b), task, phrase in zip(spans, tasks, phrases, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{path} must hold language/ann, language/task and info/indx of one '
                f'length: {error}'
            ) from error
        for window in windows:
            i = np.searchsorted(self.ranges[:, 0], window.start, side='right') - 1
            if i < 0 or not window.start <= window.end <= self.ranges[i, 1]:
                raise DataError(
                    f'{path}: window {window.start}..{window.end} ({window.task}) '
                    'does not lie inside one range of ep_start_end_ids.npy'
                )
        return windows

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 hex over the index files and the frame files' names, sizes and zip directories.

        Of single-frame files (there may be millions) about a thousand are opened.
        """
        digest = hashlib.sha256()
        for name in ('ep_start_end_ids.npy', 'lang_annotations/auto_lang_ann.npy'):
            path = self.path / name
            digest.update(name.encode() + b'\0')
            digest.update(path.read_bytes() if path.exists() else b'')
        with os.scandir(self.path) as entries:
            frames = sorted((e.name, e.stat().st_size) for e in entries if e.name.endswith('.npz'))
        digest.update(repr(frames).encode())
        looked_into = frames[:: max(1, len(frames) // 1000)]
        for path in [*self.shards, *(self.path / name for name, _ in looked_into)]:
            with open(path, 'rb') as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                digest.update(f'{path.name} {size}\0'.encode() + file.read())
        return digest.hexdigest()


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
        f'{path} holds no {split}/ep_start_end_ids.npy; make data with '
        '`vw2 collect --out DIR` or give the root of a CALVIN data set'
    )


def with_validation(roots: Iterable[Path | str]) -> list[Path]:
    """Those data folders that have held-out frames; a collection that was cut short has none."""
    found = []
    for root in map(Path, roots):
        path = root / 'validation' / 'ep_start_end_ids.npy'
        if path.is_file() and len(CalvinFolder(path.parent)):
            found.append(root)
    return found


# ---------------------------------------------------------------------------------- frame reading


def resize_area(rgb: np.ndarray, size: Size) -> np.ndarray:
    """Cut a picture to the shape of `size`, around its centre, and resize it.

    Args:
        rgb: uint8 (H, W, 3). size: side of a square, or (height, width) [px].
    Returns:
        uint8 (h, w, 3), contiguous; every pixel is the mean of the area it covers.
    """
    h, w = sides(size)
    rgb = np.ascontiguousarray(rgb[centre(*rgb.shape[:2], size)])
    return (
        rgb if rgb.shape[:2] == (h, w) else cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)
    )


# numpy parses an array's header with `ast`; CPython before 3.11.8 cannot do that in two threads at
# once ("AST constructor recursion depth mismatch", gh-106905), and decoding uses threads.
_HEADER = threading.Lock()
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _member(archive, key: str, path: Path) -> np.ndarray:
    try:
        stream = archive.zip.open(f'{key}.npy')
    except KeyError as error:
        raise DataError(f'{path} lacks {key!r}') from error
    with stream:
        with _HEADER:
            version = np.lib.format.read_magic(stream)
            if version not in _READ_HEADER:
                raise DataError(f'{path}: {key} has npy format {version}, expected 1.0 or 2.0')
            shape, fortran_order, dtype = _READ_HEADER[version](stream)
        if dtype.hasobject:
            raise DataError(f'{path}: {key} holds Python objects, which are never loaded')
        return np.frombuffer(stream.read(), dtype).reshape(shape, order='FC'[not fortran_order])


@contextlib.contextmanager
def _reading(path: Path):
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
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DataError(f'{path} is damaged: {error}') from error


def _state_row(archive, path: Path, rows: int | None) -> dict[str, np.ndarray]:
    lead = () if rows is None else (rows,)
    state = {}
    for key, shape in ROW_SHAPES.items():
        if key in SIMULATED and key not in archive.files:
            state[key] = np.full((*lead, *shape), np.nan, np.float32)
            continue
        value = np.asarray(_member(archive, key, path))
        if value.shape != (*lead, *shape):
            raise DataError(f'{path}: {key} must have shape {(*lead, *shape)}, got {value.shape}')
        if not np.isfinite(value).all():
            raise DataError(f'{path}: {key} holds NaN or infinity')
        state[key] = value.astype(np.float32)
    return state


def read_frame(path: Path, size: Size) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One single-frame npz -> (rgb uint8 (h, w, 3), rows of ROW_SHAPES).

    Raises:
        DataError: missing or damaged; the message names the file.
    """
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        rgb = _member(archive, 'rgb_static', path)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise DataError(
                f'{path}: rgb_static must be uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}'
            )
        return resize_area(rgb, size), _state_row(archive, path, None)


def read_shard(path: Path, size: Size) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """One shard -> (frame_ids int64 (n,), rgb uint8 (n, h, w, 3), state (n, ...) each).

    Raises:
        DataError: missing or damaged; the message names the file.
    """
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        frame_ids = np.asarray(_member(archive, 'frame_ids', path)).astype(np.int64)
        n = len(frame_ids)
        pngs = _member(archive, 'rgb_static', path)
        offsets = np.asarray(_member(archive, 'offsets', path))
        if offsets.shape != (n + 1,) or (
            n and (offsets[-1] != len(pngs) or (np.diff(offsets) <= 0).any())
        ):
            raise DataError(f'{path}: offsets do not fit {n} frames and {len(pngs)} bytes')
        rgb = np.empty((n, *sides(size), 3), np.uint8)
        for i in range(n):
            image = cv2.imdecode(pngs[offsets[i] : offsets[i + 1]], cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(f'{path}: the image of frame {frame_ids[i]} is damaged')
            rgb[i] = resize_area(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), size)
        return frame_ids, rgb, _state_row(archive, path, n)


# ----------------------------------------------------------------------------------- frame store


def progress_bar():
    """The progress bar that every long reading loop shows (stderr, so stdout stays clean)."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from vw2_ros.progress import Bar

    return Bar(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def cache_folder(split: Path, key: str) -> Path:
    """Where decoded frames go: beside the data, or in the user's cache if that is read-only.

    Args:
        split: the folder that the data lie in.
        key: name of the folder in the user's cache.
    """
    beside = split / 'cache'
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return beside
    except OSError:
        root = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache'))
        folder = root / 'vw2_ros' / 'frames' / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class DecodedFolder:
    """Decoded images (`rgb`) and `state` of one split folder, memory-mapped from its cache."""

    def __init__(self, folder: CalvinFolder, size: Size, source: DecodedFolder | None = None):
        self.folder, self.size = folder, sides(size)
        key = hashlib.sha256(f'{CACHE_VERSION} {folder.content_hash}'.encode()).hexdigest()[:16]
        self.cache = cache_folder(folder.path, key)
        self.image_file = self.cache / f'rgb_{label(size)}_{key}.u8'
        self.state_file = self.cache / f'state_{key}.npz'
        shape = (len(folder), *self.size, 3)
        with first_of_machine():
            complete = (
                self.state_file.is_file()
                and self.image_file.is_file()
                and self.image_file.stat().st_size == math.prod(shape)
            )
            if not complete:
                self._build(shape, source)
        self.rgb = (
            np.memmap(self.image_file, np.uint8, 'r', shape=shape)
            if len(folder)
            else np.zeros(shape, np.uint8)
        )
        with _reading(self.state_file), np.load(self.state_file, allow_pickle=False) as archive:
            self.state = {name: archive[name] for name in ROW_SHAPES}

    def resized(self, size: Size) -> DecodedFolder:
        """The same images at another size, made from these once."""
        return DecodedFolder(self.folder, size, self)

    def _build(self, shape: tuple[int, ...], source: DecodedFolder | None) -> None:
        need = math.prod(shape)
        free = shutil.disk_usage(self.cache).free
        if need > free:
            raise DataError(
                f'{self.cache} needs {need / 1e9:.1f} GB for the decoded frames, '
                f'{free / 1e9:.1f} GB are free'
            )
        handle, name = tempfile.mkstemp(dir=self.cache, prefix='.decoding_', suffix='.part')
        os.close(handle)
        beside = Path(name)
        try:
            if need:
                os.truncate(beside, need)
                rgb = np.memmap(beside, np.uint8, 'r+', shape=shape)
                state = self._resize(source, rgb) if source else self._decode(rgb)
                rgb.flush()
                del rgb
            else:
                state = {key: np.zeros((0, *s), np.float32) for key, s in ROW_SHAPES.items()}
            buffer = io.BytesIO()
            np.savez(buffer, **state)
            beside_state = beside.with_suffix('.state')
            beside_state.write_bytes(buffer.getvalue())
            os.replace(beside_state, self.state_file)
            os.replace(beside, self.image_file)
        finally:
            beside.unlink(missing_ok=True)
        for old in self.cache.glob(f'rgb_{label(self.size)}_*.u8'):
            if old != self.image_file:  # the data grew: what was decoded before is of no more use
                old.unlink(missing_ok=True)

    def _resize(self, source: DecodedFolder, rgb: np.ndarray) -> dict[str, np.ndarray]:
        with progress_bar() as bar:
            for i in bar.track(range(len(rgb)), description=f'{label(self.size)} px copies'):
                rgb[i] = resize_area(source.rgb[i], self.size)
        return source.state

    def _decode(self, rgb: np.ndarray) -> dict[str, np.ndarray]:
        n, ids = len(rgb), self.folder.frame_ids
        state = {key: np.zeros((n, *shape), np.float32) for key, shape in ROW_SHAPES.items()}
        found = np.zeros(n, bool)

        def take_shard(path: Path) -> int:
            shard_ids, images, rows = read_shard(path, self.size)
            target = np.minimum(np.searchsorted(ids, shard_ids), n - 1)  # ids ascend
            known = ids[target] == shard_ids
            target = target[known]
            rgb[target] = images[known]
            for key, value in rows.items():
                state[key][target] = value[known]
            found[target] = True
            return int(known.sum())

        def take_frames(rows: Sequence[int]) -> int:
            for i in rows:
                path = self.folder.path / f'episode_{ids[i]:07d}.npz'
                rgb[i], row = read_frame(path, self.size)
                for key, value in row.items():
                    state[key][i] = value
                found[i] = True
            return len(rows)

        if self.folder.shards:
            jobs = [(take_shard, path) for path in self.folder.shards]
        else:
            jobs = [(take_frames, rows) for rows in np.array_split(np.arange(n), -(-n // 100))]
        # Decompression and image code release the interpreter lock.
        with (
            progress_bar() as bar,
            concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        ):
            task = bar.add_task(f'decoding {self.folder.path}', total=n)
            futures = [pool.submit(function, argument) for function, argument in jobs]
            try:
                for future in concurrent.futures.as_completed(futures):
                    bar.advance(task, future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not found.all():
            missing = ids[np.flatnonzero(~found)]
            raise DataError(
                f'{self.folder.path / "shards"}: {len(missing)} frames of the index '
                f'are in no shard, first {missing[0]}; collect them again'
            )
        return state


class ClipStore:
    """Rows, clips and hashes of data folders that are decoded.

    Args:
        folders: each has frame_ids (n,) ascending, ranges (k, 2) of first and last id, len, path
            and content_hash, see CalvinFolder.
        decoded: of each folder, `rgb[rows]` is uint8 (*rows.shape, h, w, 3), and
            `resized(size)` the same at another size.
        size: side of the stored images, or (height, width) [px]; as an attribute always both.
    Raises:
        DataError: no folder, or no frames.
    """

    def __init__(self, folders: Sequence, decoded: Sequence, size: Size):
        self.size, self.folders, self.decoded = sides(size), list(folders), list(decoded)
        if not self.folders:
            raise DataError('no data folder was given')
        self._bounds = np.cumsum([0, *(len(folder) for folder in self.folders)])
        if not self._bounds[-1]:
            raise DataError(f'{", ".join(str(f.path) for f in self.folders)}: no frames inside')
        self.frame_ids = np.concatenate([folder.frame_ids for folder in self.folders])
        self.range_end = self._range_end()

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def _range_end(self) -> np.ndarray:
        ends, base = [], 0
        for folder in self.folders:
            for first, last in folder.ranges:
                n = last - first + 1
                ends.append(np.full(n, base + n - 1))
                base += n
        return np.concatenate(ends)

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 hex that names exactly this data (order of folders included)."""
        return hashlib.sha256(' '.join(f.content_hash for f in self.folders).encode()).hexdigest()

    def resized(self, size: Size) -> ClipStore:
        """The same frames at another size, made from these once (`resize_area`) and cached.

        Raises:
            DataError: it is larger.
        """
        wanted = sides(size)
        if wanted == self.size:
            return self
        if any(new > old for new, old in zip(wanted, self.size)):
            raise DataError(
                f'frames are stored at {label(self.size)} px; cannot enlarge to {label(size)}'
            )
        other = copy.copy(self)
        other.size = wanted
        other.decoded = [decoded.resized(size) for decoded in self.decoded]
        return other

    def rgb(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (*rows.shape, h, w, 3)."""
        rows = np.asarray(rows)
        if len(self.decoded) == 1:
            return self.decoded[0].rgb[rows]
        flat = rows.reshape(-1)  # (n,)
        out = np.empty((len(flat), *self.size, 3), np.uint8)
        which = self.folder_of(flat)
        for i in np.unique(which):
            here = which == i
            out[here] = self.decoded[i].rgb[flat[here] - self._bounds[i]]
        return out.reshape(*rows.shape, *self.size, 3)

    def clip_starts(self, frames: int, stride: int = 1) -> np.ndarray:
        """int64 rows r with r .. r + frames - 1 in one contiguous range, every `stride`-th."""
        rows = np.arange(0, len(self))
        starts = rows[rows + frames - 1 <= self.range_end]
        first = starts - self._range_start(starts)
        return starts[first % stride == 0]

    def _range_start(self, rows: np.ndarray) -> np.ndarray:
        ends = np.unique(self.range_end)
        starts = np.concatenate([[0], ends[:-1] + 1])
        return starts[np.searchsorted(ends, rows)]

    def folder_of(self, rows: np.ndarray) -> np.ndarray:
        """int64 index of the folder that each row belongs to."""
        return np.searchsorted(self._bounds, rows, side='right') - 1

    def first_row(self, folder: int) -> int:
        """The first row of the folder-th folder."""
        return int(self._bounds[folder])

    def rows_of(self, folder: int, frame_ids: np.ndarray) -> np.ndarray:
        """Rows of frame ids of the folder-th folder."""
        ids = self.folders[folder].frame_ids
        return np.searchsorted(ids, frame_ids) + self._bounds[folder]


class FrameStore(ClipStore):
    """All frames of one or several data folders, decoded once and then memory-mapped.

    Args:
        roots: data folders, each with `<split>/` inside (or a split folder itself).
        split: 'training' or 'validation'.
        size: side of the stored images, or (height, width) [px].
    Raises:
        DataError: a folder, index or frame is missing or damaged; the message names the file.
    """

    def __init__(self, roots: Iterable[Path | str], split: str = 'training', size: Size = 96):
        folders = [CalvinFolder(split_folder(root, split)) for root in roots]
        super().__init__(folders, [DecodedFolder(folder, size) for folder in folders], size)
        for key in ROW_SHAPES:
            setattr(self, key, np.concatenate([d.state[key] for d in self.decoded]))


# ---------------------------------------------------------------------- labelled demonstrations


class Demonstrations:
    """Labelled frames of a store: which task, which words, which actions follow.

    Args:
        store: frames with language windows.
        horizon: actions in a chunk.
        labels: fraction of the windows whose labels may be used, drawn per task with `seed`
            (CALVIN's "10 %" protocol is 0.1); at least one window of each task stays.
    Attributes:
        tasks: names present, sorted. phrases: task -> its distinct wordings, sorted.
        start, end, task_of: int64 (w,), first row, last row and task index of each window.
        sample_row, sample_window: int64 (m,), every labelled frame, ordered by task.
    Raises:
        DataError: the store has no language annotations. ValueError: labels not in (0, 1].
    """

    def __init__(self, store: FrameStore, horizon: int = 16, labels: float = 1.0, seed: int = 0):
        if not 0.0 < labels <= 1.0:
            raise InvalidValueError(f'labels must be in (0, 1]. Got {labels}')
        windows = [
            (int(store.rows_of(i, w.start)), int(store.rows_of(i, w.end)), w)
            for i, folder in enumerate(store.folders)
            for w in folder.windows
        ]
        if not windows:
            raise DataError(
                f'{", ".join(str(f.path) for f in store.folders)}: no language '
                'annotations, so no labelled demonstrations'
            )
        self.store, self.horizon = store, horizon
        self.tasks = sorted({w.task for *_, w in windows})
        self.phrases = {
            task: sorted({w.phrase for *_, w in windows if w.task == task}) for task in self.tasks
        }
        index = {task: i for i, task in enumerate(self.tasks)}
        task_of = np.array([index[w.task] for *_, w in windows])
        keep = _fraction_per_group(task_of, labels, np.random.default_rng([seed, 1]))
        self.start = np.array([a for a, *_ in windows])[keep]
        self.end = np.array([b for _, b, _ in windows])[keep]
        self.task_of = task_of[keep]
        by_task = np.argsort(self.task_of, kind='stable')
        lengths = (self.end - self.start + 1)[by_task]
        self.sample_window = np.repeat(by_task, lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.sample_row = self.start[self.sample_window] + within
        self._task_bounds = np.searchsorted(
            self.task_of[self.sample_window], np.arange(len(self.tasks) + 1)
        )

    def __len__(self) -> int:
        return len(self.sample_row)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n sample indices: the task uniformly, then a frame of it uniformly."""
        task = rng.integers(len(self.tasks), size=n)
        low, high = self._task_bounds[task], self._task_bounds[task + 1]
        return low + (rng.random(n) * (high - low)).astype(np.int64)

    def task(self, samples: np.ndarray) -> np.ndarray:
        """int64 task index of each sample."""
        return self.task_of[self.sample_window[samples]]

    def chunk(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The actions that follow each sample.

        Returns:
            actions float32 (n, horizon, 7) and valid bool (n, horizon): False past the end of the
            task, where the arm's entries are 0 and the gripper repeats its last value.
        """
        row = self.sample_row[samples][:, None] + np.arange(self.horizon)  # (n, horizon)
        end = self.end[self.sample_window[samples]][:, None]  # (n, 1)
        valid = row <= end
        actions = self.store.rel_actions[np.minimum(row, end)]
        actions[..., :6] *= valid[..., None]
        return actions, valid

    def frames_left(self, samples: np.ndarray) -> np.ndarray:
        """int64: frames from the sample to the last of its window."""
        return self.end[self.sample_window[samples]] - self.sample_row[samples]


def _fraction_per_group(group: np.ndarray, fraction: float, rng) -> np.ndarray:
    """Sorted indices: round(fraction * size) members of each group, at least one."""
    kept = []
    for value in np.unique(group):
        members = np.flatnonzero(group == value)
        n = max(1, round(fraction * len(members)))
        kept.append(members if n == len(members) else rng.permutation(members)[:n])
    return np.sort(np.concatenate(kept))
