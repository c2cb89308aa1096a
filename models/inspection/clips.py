# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Clips to look at, and what moved in them, as the simulator tells it.

A *sample* is one latent step of one clip: step k shows frames 4(k-1) .. 4k. Its motion is told over
two horizons, `step` (those four frames) and `clip` (since the clip's first frame; the decoder
makes frame 4k from frame 0 and the codes of step k alone, so that is what the codes must hold).

| motion  | shape           | meaning                                                         |
| ------- | --------------- | --------------------------------------------------------------- |
| hand    | (m, steps, 3)   | displacement of the end effector [m], world axes                |
| gripper | (m, steps, 1)   | change of the gripper's width [m]                               |
| blocks  | (m, steps, 3)   | displacements of the blocks added up [m]: mostly one moves, and |
|         |                 | their order differs from scene to scene                         |
| drawer  | (m, steps, 1)   | change of its position [m]                                      |
| slider  | (m, steps, 1)   | change of its position [m]                                      |

Where the store is wild (`ClipStore.wild`), what changes the looks is told likewise, by its signals
(`data/wild.py`): exposure, colour, shake, shadow, mover.

Probes and retrieval also take clips in looks (textures, colours, light) that nothing learned from.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import yaml

from vw2_ros.errors import VW2Error
from vw2_ros.models.data.batches import ClipConfig, to_video
from vw2_ros.models.data.calvin import CalvinFolder, split_folder, with_validation
from vw2_ros.models.data.pickled import load_annotations
from vw2_ros.models.data.pictures import of_shape
from vw2_ros.models.data.store import FrameStore

HORIZONS = ('step', 'clip')
TARGETS = ('hand', 'gripper', 'blocks', 'drawer', 'slider')
DIRECTIONS = ('-x', '+x', '-y', '+y', 'down', 'up')
STILL = 'still'
MOVES_M = 0.005  # a hand that went less far stands still
SEEN_M = 0.05  # examples to look at: the hand goes at least this far


class InspectionError(VW2Error, RuntimeError):
    """The data cannot answer the question; the message says what is needed."""


def open_stores(
    data: Sequence[Path], sizes: Iterable[tuple[int, int]], wild: float = 0.0
) -> dict[tuple[int, int], FrameStore]:
    """All frames of the data folders, training and validation, at each size.

    Frames are decoded once for each shape, at `ClipConfig.stored_size` or more, as for training.

    Args:
        sizes: (height, width) [px] of each. wild: see `ClipConfig`.
    Raises:
        DataError: see `FrameStore`; also where frames lack the robot's or the table's state.
    """
    splits = [split_folder(root, 'training') for root in data]
    splits += [Path(root) / 'validation' for root in with_validation(data)]
    sizes = list(dict.fromkeys(sizes))
    shorter: dict[Fraction, int] = {}  # shape -> side of the decoded frames [px]
    for h, w in sizes:
        shape = Fraction(h, w)
        shorter[shape] = max(shorter.get(shape, ClipConfig.stored_size), min(h, w))
    stores = {
        shape: FrameStore(splits, 'training', of_shape(shape.as_integer_ratio(), side))
        for shape, side in shorter.items()
    }
    resized = {size: stores[Fraction(*size)].resized(size) for size in sizes}
    return {size: store.wild(wild) for size, store in resized.items()} if wild else resized


@dataclasses.dataclass(frozen=True)
class Clips:
    """Clips and what moved in them.

    Attributes:
        starts: int64 (m,), rows of the store where they begin. frames: of each.
        scene: str (m,). episode: int64 (m,).
        motion: target -> float32 (m, steps, d), since the clip's first frame; see the module. With
            the nuisances of wild clips.
    """

    starts: np.ndarray
    frames: int
    scene: np.ndarray
    episode: np.ndarray
    motion: dict[str, np.ndarray]

    @property
    def targets(self) -> tuple[str, ...]:
        """What moved or changed: TARGETS, and of wild clips the nuisances."""
        return tuple(self.motion)

    @property
    def steps(self) -> int:
        """Latent steps of a clip, K - 1."""
        return (self.frames - 1) // 4

    def moved(self, target: str, horizon: str) -> np.ndarray:
        """float32 (m, steps, d): motion over a horizon, 'step' or 'clip'."""
        since_first = self.motion[target]
        return since_first if horizon == 'clip' else np.diff(since_first, axis=1, prepend=0)

    def rows(self) -> np.ndarray:
        """int64 (m, frames): rows of the store."""
        return self.starts[:, None] + np.arange(self.frames)


def draw_clips(store: FrameStore, frames: int, count: int = 4000, seed: int = 0) -> Clips:
    """About `count` clips, as many of each scene and of each episode as there are.

    Raises:
        InspectionError: no range holds a clip, or a folder does not tell its scenes.
    """
    starts = store.clip_starts(frames)
    if not len(starts):
        longest = int((store.range_end - np.arange(len(store))).max()) + 1
        raise InspectionError(
            f'a clip of the dLDM has {frames} frames, and the longest contiguous '
            f'range of the data {longest}; give data with longer episodes'
        )
    scene, episode = scenes_and_episodes(store)
    starts = np.random.default_rng(seed).permutation(starts)
    scenes, chosen = np.unique(scene[starts]), []
    for number, letter in enumerate(scenes):
        here = starts[scene[starts] == letter]
        # The first clip of each episode, then the second of each, ...
        by_episode = np.argsort(episode[here], kind='stable')
        _, sizes = np.unique(episode[here], return_counts=True)
        turn = np.empty(len(here), np.int64)
        turn[by_episode] = np.concatenate([np.arange(n) for n in sizes])
        share = count * (number + 1) // len(scenes) - count * number // len(scenes)
        chosen.append(here[np.argsort(turn, kind='stable')[:share]])
    starts = np.sort(np.concatenate(chosen))
    return Clips(starts, frames, scene[starts], episode[starts], motion_of(store, starts, frames))


def motion_of(store: FrameStore, starts: np.ndarray, frames: int) -> dict[str, np.ndarray]:
    """What is known to have moved or changed since the first frame: see `Clips.motion`."""
    later = starts[:, None] + np.arange(4, frames, 4)  # (m, steps)
    robot = store.robot_obs[later] - store.robot_obs[starts][:, None]
    scene = store.scene_obs[later] - store.scene_obs[starts][:, None]
    if np.isnan(scene).any():
        raise InspectionError(
            'the data do not say where things are (scene_obs): recordings of a '
            "robot cannot be inspected so, only a simulator's data"
        )
    blocks = scene[..., 6:].reshape(*later.shape, 3, 6)[..., :3].sum(axis=2)
    nuisances = store.nuisances.signals() if store.nuisances is not None else {}
    return {
        'hand': robot[..., :3],
        'gripper': robot[..., 6:7],
        'blocks': blocks,
        'drawer': scene[..., 1:2],
        'slider': scene[..., 0:1],
        **{k: signal[later] - signal[starts][:, None] for k, signal in nuisances.items()},
    }


def scenes_and_episodes(store: FrameStore) -> tuple[np.ndarray, np.ndarray]:
    """Which scene and which episode each row of the store is of.

    An episode is one reset and what follows it where the folder tells (`sessions/`), else a
    contiguous range. The scene is told by `sessions/`, CALVIN's `scene_info.npy`, or the scene of
    `.hydra/merged_config.yaml` where that is one.

    Returns:
        scene str (n,), episode int64 (n,), numbered through all folders.
    Raises:
        InspectionError: a folder does not tell.
    """
    scene, episode, base = [], [], 0
    for folder in store.folders:
        ids = folder.frame_ids
        place = np.searchsorted(folder.ranges[:, 0], ids, side='right') - 1
        letters, group = _of_sessions(folder) or (_of_index(folder), np.arange(len(folder.ranges)))
        scene.append(letters[place])
        episode.append(base + group[place])
        base += 1 + int(group.max(initial=0))
    return np.concatenate(scene), np.concatenate(episode)


def _of_sessions(folder: CalvinFolder) -> tuple[np.ndarray, np.ndarray] | None:
    """Scene and session of each range, from the markers of `vw2 collect`."""
    told = {}
    for path in sorted((folder.path / 'sessions').glob('session_*.json')):
        try:
            marker = json.loads(path.read_text())
            told |= {first: (marker['scene'], marker['session']) for first, _ in marker['ranges']}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InspectionError(
                f'{path} must tell scene, session and ranges. Got {error!r}; '
                'collect the data again'
            ) from error
    if not told or not all(int(first) in told for first in folder.ranges[:, 0]):
        return None
    pairs = [told[int(first)] for first in folder.ranges[:, 0]]
    return np.array([s for s, _ in pairs], str), np.array([k for _, k in pairs], np.int64)


def _of_index(folder: CalvinFolder) -> np.ndarray:
    """Scene of each range, from CALVIN's own files."""
    first = folder.ranges[:, 0]
    path = folder.path / 'scene_info.npy'
    if path.is_file():
        out = np.full(len(first), '', dtype='<U8')
        for name, (start, end) in load_annotations(path).items():
            out[(first >= start) & (first <= end)] = str(name).removeprefix('calvin_scene_')
        if (out != '').all():
            return out
        raise InspectionError(f'{path} names no scene of the frames from {first[out == ""][0]} on')
    path = folder.path / '.hydra' / 'merged_config.yaml'
    try:
        told = yaml.safe_load(path.read_text())['scene']
        told = told['name'] if isinstance(told, dict) else told
        letter = re.fullmatch(r'calvin_scene_([A-Z])(?![A-Z]).*', told)[1]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InspectionError(
            f'{folder.path} must tell the scene of its frames: sessions/, scene_info.npy, or one '
            'scene (calvin_scene_X) in .hydra/merged_config.yaml, as `vw2 collect` writes them. '
            'Got none of them'
        ) from error
    return np.full(len(first), letter)


def looks_of(store: FrameStore) -> set[str]:
    """How the tables of the store look: a scene's letter, or the number of a look that was drawn.

    Raises:
        InspectionError: the markers of `vw2 collect` do not tell.
    """
    found = set()
    for folder in store.folders:
        told = set()
        for path in (folder.path / 'sessions').glob('session_*.json'):
            try:
                marker = json.loads(path.read_text())
                drawn = int(marker['appearance'])
                told.add(str(drawn) if drawn >= 0 else marker['scene'])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InspectionError(
                    f'{path} must tell scene and appearance. Got {error!r}; collect the data again'
                ) from error
        if not told:
            raise InspectionError(
                f'{folder.path} must tell how its table looks: sessions/, as '
                '`vw2 collect` writes them. Got none'
            )
        found |= told
    return found


def check_looks(store: FrameStore, others: FrameStore) -> int:
    """How many looks `others` has; raise InspectionError where `store` has one of them, too."""
    looks = looks_of(others)
    shared = looks & looks_of(store)
    if shared:
        raise InspectionError(
            '--looks must hold looks that are not in --data. Got '
            f'{", ".join(sorted(shared)[:5])} in both; collect with --randomize '
            'and another --seed'
        )
    return len(looks)


def check_scenes(clips: Clips, test_scene: str) -> None:
    """Raise InspectionError unless the clips can be split into training scenes and `test_scene`."""
    found = sorted(set(clips.scene))
    if test_scene not in found:
        raise InspectionError(
            f'the data hold no clip of the test scene {test_scene}. Got scenes '
            f'{", ".join(found)}; choose one of them with --test-scene or add '
            'a folder with --data'
        )
    if len(found) < 2:
        raise InspectionError(
            f'all clips are of scene {found[0]}: there is no other to learn '
            'from. Add a folder of another scene with --data'
        )
    seen = clips.scene != test_scene
    if len(set(clips.episode[seen])) < 4:
        raise InspectionError(
            'the scenes to learn from must have at least 4 episodes. Got '
            f'{len(set(clips.episode[seen]))}; collect more'
        )
    if not np.abs(clips.motion['hand']).max() > MOVES_M:
        raise InspectionError('the hand moves in no clip: robot_obs of the data holds no state')


def direction(displacement: np.ndarray) -> np.ndarray:
    """Name (n,) of the world axis along which a displacement (n, 3) is largest, or 'still'."""
    axis = np.abs(displacement).argmax(1)
    along = np.take_along_axis(displacement, axis[:, None], 1)[:, 0]
    names = np.array(DIRECTIONS)[2 * axis + (along > 0)]
    return np.where(np.linalg.norm(displacement, axis=1) > MOVES_M, names, STILL)


def lively(clips: Clips) -> np.ndarray:
    """Which clips (k,) have enough motion to be looked at; all, where none has."""
    length = np.linalg.norm(clips.moved('hand', 'clip')[:, -1], axis=1)
    found = np.flatnonzero(length > SEEN_M)
    return found if len(found) else np.arange(len(length))


def video_of(store: FrameStore, clips: Clips, chosen: np.ndarray) -> torch.Tensor:
    """Clips as float (B, F, 3, S, S) in [0, 1]."""
    return to_video(torch.from_numpy(store.rgb(clips.rows()[np.asarray(chosen)])))
