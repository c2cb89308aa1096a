# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's on-disk data set: frames, index files, language annotations, and compact image shards.

    <out>/{training,validation}/
      episode_%07d.npz                one frame each            (full format)
      shards/shard_%05d.npz           one session each          (shard format, instead of the above)
      ep_start_end_ids.npy ep_lens.npy statistics.yaml .hydra/merged_config.yaml
      lang_annotations/auto_lang_ann.npy
      sessions/session_%05d.json      what a session recorded; written last, so it marks completion

A session is one reset followed by many tasks. Session k owns the frame ids from k * FRAME_STRIDE
on, so sessions are written independently and in any order: an interrupted collection is resumed
by writing only the sessions whose marker is missing, and the result does not depend on who wrote
what. Every file is written beside its name and renamed.

| key            | dtype, shape              | meaning                                              |
| -------------- | ------------------------- | ---------------------------------------------------- |
| actions        | float64 (7,)              | TCP pose at the next frame [m, rad], gripper -1 / +1 |
| rel_actions    | float64 (7,)              | commanded, in [-1, 1] (x .02 m, .05 rad), gripper    |
| robot_obs      | float64 (15,)             | see Table.robot_obs                                  |
| scene_obs      | float64 (24,)             | see Table.scene_obs; a real robot's data lack it     |
| rgb_static     | uint8 (H, W, 3)           | static camera                                        |
| rgb_gripper    | uint8 (84, 84, 3)         | gripper camera (full format only)                    |
| depth_static   | float32 (H, W)            | metres (full format, on request)                     |
| depth_gripper  | float32 (84, 84)          | metres (full format, on request)                     |
| landmarks      | float32 (10, 2)           | what sight is taught, see `landmarks.py`             |
| scene_state    | float32 (25,)             | likewise                                             |

`auto_lang_ann.npy` holds a dict, as CALVIN has it, so NumPy writes it as an object array, which is a
pickle. Nothing here reads one; the models read it through an unpickler that knows NumPy arrays and
plain containers only (`models/data/calvin.py`).

A shard holds the same rows stacked (n, ...), with `rgb_static` as the PNG files of all frames one
after another (uint8), `offsets` int64 (n + 1) where each begins, `frame_ids` int64 (n,),
`image_size` int64, `scene` (n,) letters and `appearance` int64 (n,) (seed of the look, -1: plain).
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from vw2_ros.episodes import marker_path, read_markers
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import write_whole

FRAME_STRIDE = 10_000
ROW_KEYS = {'actions': 7, 'rel_actions': 7, 'robot_obs': 15, 'scene_obs': 24}


def _npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=array.dtype == object)
    return buffer.getvalue()


def npz_bytes(compressed: bool, arrays: dict) -> bytes:
    """The content of an npz file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def encode_png(rgb: np.ndarray) -> bytes:
    """PNG file of an image uint8 (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format='png', compress_level=1)
    return buffer.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """Image uint8 (H, W, 3) of a PNG file; the inverse of encode_png."""
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One demonstrated task: frames start..end (both included) show `task`.

    `draw` in [0, 1) chooses among the wordings of the task when the index is written, so that a
    data set can be reworded without recording it again.
    """

    start: int
    end: int
    task: str
    draw: float


class SessionWriter:
    """Gathers the frames of one session, then writes them at once.

    A session consists of contiguous ranges of frames; `cut()` ends a range (what follows did not
    happen right after what came before).

    Args:
        split: folder `<out>/training` or `<out>/validation`.
        session: number of the session, >= 0, unique in the split.
        shard: write one shard with the static image only, instead of one npz per frame.
        scene: letter of the scene; of a real robot's data, a name.
        appearance: seed of the randomised look, -1 where it is the plain one.
    """

    def __init__(
        self, split: Path, session: int, *, shard: bool, scene: str, appearance: int = -1
    ):
        self.split = Path(split)
        self.session = session
        self.shard = shard
        self.scene = scene
        self.appearance = appearance
        self._rows: list[dict[str, np.ndarray]] = []
        self._pngs: list[bytes] = []
        self._range_starts = [0]
        self._annotations: list[Annotation] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def room(self) -> int:
        """How many more frames fit into the session's range of ids."""
        return FRAME_STRIDE - len(self._rows)

    @property
    def next_frame_id(self) -> int:
        """Id that the next added frame gets."""
        return self.session * FRAME_STRIDE + len(self._rows)

    def add(
        self,
        rel_action,
        robot_obs,
        scene_obs,
        images: dict[str, np.ndarray],
        more: dict[str, np.ndarray] | None = None,
    ) -> int:
        """Add one frame: what was seen, and the action commanded then. Returns the frame's id.

        Args:
            scene_obs: None where nobody knows it, in all frames of a session or in none.
            more: further arrays of the frame; every frame of a session has the same ones.
        Raises:
            ValueError: the session is full, or a value has the wrong size.
        """
        if self.room <= 0:
            raise InvalidValueError(
                f'a session holds at most {FRAME_STRIDE} frames. Got one more. Start a new session'
            )
        row = {'rel_actions': rel_action, 'robot_obs': robot_obs, 'scene_obs': scene_obs}
        row = {
            key: np.array(value, dtype=np.float64)
            for key, value in row.items()
            if value is not None
        }
        for key, value in row.items():
            if value.shape != (ROW_KEYS[key],):
                raise InvalidValueError(
                    f'{key} must have shape ({ROW_KEYS[key]},). Got {value.shape}'
                )
        row.update(more or {})
        frame_id = self.next_frame_id
        if self.shard:
            self._pngs.append(encode_png(images['rgb_static']))
        else:
            row.update(images)
        self._rows.append(row)
        return frame_id

    def cut(self) -> None:
        """End the current contiguous range; a range of one frame says nothing and is dropped."""
        start = self._range_starts[-1]
        if len(self._rows) - start == 1:
            del self._rows[start:]
            del self._pngs[start:]
        if len(self._rows) > start:
            self._range_starts.append(len(self._rows))

    def discard(self, first: int) -> None:
        """Forget the frames from id `first` on, as if they had never been added."""
        keep = first - self.session * FRAME_STRIDE
        del self._rows[keep:]
        del self._pngs[keep:]
        self._range_starts = [s for s in self._range_starts if s < keep] or [0]
        if keep:
            self.cut()

    def annotate(self, start: int, end: int, task: str, draw: float) -> None:
        """Say that the frames with ids start..end (both included) show `task`."""
        self._annotations.append(Annotation(start, end, task, draw))

    def close(self, attempts: dict | None = None, source: dict | None = None) -> dict:
        """Write the frames, then the marker. Returns the marker's content.

        Args:
            attempts: {task: [solved, tried]}, kept in the marker.
            source: what the session was made from, likewise.
        """
        self.cut()
        bounds = [*self._range_starts, len(self._rows)]
        ranges = [(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True) if b > a]
        first = self.session * FRAME_STRIDE
        # actions[t]: the pose reached at t + 1. The last frame of a range has no successor that
        # was recorded; its own pose stands in.
        for start, stop in ranges:
            for i in range(start, stop):
                pose = self._rows[min(i + 1, stop - 1)]['robot_obs'][:6]
                grip = self._rows[i]['rel_actions'][6:]
                self._rows[i]['actions'] = np.concatenate([pose, grip])
        if self._rows and self.shard:
            self._write_shard(first)
        elif self._rows:
            for i, row in enumerate(self._rows):
                path = self.split / f'episode_{first + i:07d}.npz'
                write_whole(path, npz_bytes(True, row))
        marker = {
            'session': self.session,
            'scene': self.scene,
            'appearance': self.appearance,
            'frames': len(self._rows),
            'shard': self.shard,
            'ranges': [(first + a, first + b - 1) for a, b in ranges],
            'annotations': [dataclasses.asdict(a) for a in self._annotations],
            'attempts': attempts or {},
            'sums': self._sums(),
        }
        if source:
            marker['source'] = source
        write_whole(marker_path(self.split, self.session), (json.dumps(marker) + '\n').encode())
        return marker

    def _write_shard(self, first: int) -> None:
        n = len(self._rows)
        stacked = {key: np.stack([row[key] for row in self._rows]) for key in self._rows[0]}
        lengths = [len(png) for png in self._pngs]
        arrays = {
            'frame_ids': np.arange(first, first + n, dtype=np.int64),
            'image_size': np.int64(decode_png(self._pngs[0]).shape[0]),
            'rgb_static': np.frombuffer(b''.join(self._pngs), dtype=np.uint8),
            'offsets': np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            'scene': np.full(n, self.scene),
            'appearance': np.full(n, self.appearance, dtype=np.int64),
            **stacked,
        }
        # PNG is compressed already.
        write_whole(
            self.split / 'shards' / f'shard_{self.session:05d}.npz', npz_bytes(False, arrays)
        )

    def _sums(self) -> dict:
        if not self._rows:
            return {}
        sums = {}
        for key in (k for k in ROW_KEYS if k != 'actions' and k in self._rows[0]):
            values = np.stack([row[key] for row in self._rows])
            sums[key] = {
                'sum': values.sum(0).tolist(),
                'square': (values**2).sum(0).tolist(),
                'min': values.min(0).tolist(),
                'max': values.max(0).tolist(),
            }
        return sums


def is_finished(split: Path, session: int) -> bool:
    """Whether a session is already on disk, so that a resumed collection can skip it."""
    return marker_path(split, session).is_file()


def check_same_settings(out: Path, key: str, wanted) -> None:
    """Refuse a folder whose data were made in another way.

    Args:
        key: of `.hydra/merged_config.yaml`, which says how.
        wanted: its value now.
    Raises:
        InvalidValueError: another value, or none, is there.
    """
    for split in ('training', 'validation'):
        path = out / split / '.hydra' / 'merged_config.yaml'
        found = yaml.safe_load(path.read_text()) or {} if path.is_file() else {key: wanted}
        if key not in found:
            raise InvalidValueError(
                f'{out} holds data from elsewhere, of {found.get("scene", "no scene")}. '
                'Choose another folder'
            )
        if found[key] != wanted:
            raise InvalidValueError(
                f'{out} holds data made with {_differing(found[key], wanted)}. Wanted '
                f'{_differing(wanted, found[key])}. Choose another folder'
            )


def _differing(one: dict, other: dict) -> str:
    """What one says that the other does not; 'less' where it only lacks something."""
    return ', '.join(f'{k} {v!r}' for k, v in one.items() if (k, v) not in other.items()) or 'less'


def write_index(
    split: Path,
    config: dict,
    wordings: Callable[[str], Sequence[str]],
    counts: Callable[[dict], bool] = lambda marker: True,
) -> dict:
    """Write the index files of a split from the markers of its finished sessions.

    May be called at any time (also while sessions are still being written): the index then covers
    what is finished.

    Args:
        split: folder of the split.
        config: goes to `.hydra/merged_config.yaml` (how the data was made).
        wordings: task -> its phrases.
        counts: marker -> whether its session belongs to the data.
    Returns:
        {'sessions', 'frames', 'ranges', 'annotations'}: counts.
    """
    split = Path(split)
    markers = [marker for marker in read_markers(split) if counts(marker)]
    ranges = [tuple(r) for m in markers for r in m['ranges']]
    start_end = np.array(ranges, dtype=np.int64).reshape(-1, 2)  # (N, 2)
    annotations = [Annotation(**a) for m in markers for a in m['annotations']]

    def write_words(about: Sequence[Annotation]) -> None:
        write_whole(
            split / 'lang_annotations' / 'auto_lang_ann.npy',
            _npy_bytes(language_array(about, wordings)),
        )

    # a reader, also after a kill, must never find words about frames that are not in the index
    path = split / 'ep_start_end_ids.npy'
    before = {tuple(r) for r in np.load(path).tolist()} if path.is_file() else set()
    if before - set(ranges):
        both = sorted(before & set(ranges))
        write_words([a for a in annotations if any(x <= a.start and a.end <= y for x, y in both)])
    write_whole(path, _npy_bytes(start_end))
    write_whole(split / 'ep_lens.npy', _npy_bytes(start_end[:, 1] - start_end[:, 0] + 1))
    write_words(annotations)
    write_whole(
        split / 'statistics.yaml',
        yaml.safe_dump(_statistics(markers), default_flow_style=None).encode(),
    )
    write_whole(split / '.hydra' / 'merged_config.yaml', yaml.safe_dump(config).encode())
    return {
        'sessions': len(markers),
        'frames': sum(m['frames'] for m in markers),
        'ranges': len(ranges),
        'annotations': len(annotations),
    }


def language_array(
    annotations: Sequence[Annotation], wordings: Callable[[str], Sequence[str]]
) -> np.ndarray:
    """CALVIN's annotation file: a zero-dimensional object array around a dict.

    `emb` holds sentence embeddings in CALVIN; none are computed here, its last axis is empty.
    """
    phrases = {task: wordings(task) for task in {a.task for a in annotations}}
    content = {
        'language': {
            'ann': [phrases[a.task][int(a.draw * len(phrases[a.task]))] for a in annotations],
            'task': [a.task for a in annotations],
            'emb': np.zeros((len(annotations), 1, 0), dtype=np.float32),
        },
        'info': {'episodes': [], 'indx': [(a.start, a.end) for a in annotations]},
    }
    array = np.empty((), dtype=object)
    array[()] = content
    return array


def _statistics(markers: Iterable[dict]) -> dict:
    markers = [m for m in markers if m['frames']]
    n = sum(m['frames'] for m in markers)
    if not n:
        return {}
    statistics = {}
    for key in ('robot_obs', 'scene_obs'):
        if not all(key in m['sums'] for m in markers):
            continue
        mean = np.sum([m['sums'][key]['sum'] for m in markers], axis=0) / n
        square = np.sum([m['sums'][key]['square'] for m in markers], axis=0) / n
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        statistics[key] = [
            {
                '_target_': 'calvin_agent.utils.transforms.NormalizeVector',
                'mean': mean.tolist(),
                'std': np.maximum(std, 1e-6).tolist(),
            }
        ]
    low = np.min([m['sums']['rel_actions']['min'] for m in markers], axis=0)
    high = np.max([m['sums']['rel_actions']['max'] for m in markers], axis=0)
    statistics['act_min_bound'] = low.tolist()
    statistics['act_max_bound'] = high.tolist()
    return statistics
