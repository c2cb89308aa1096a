# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Looking inside the latents: do the codes say what moved, whatever the scene looks like?

VideoWorld 2 claims that codes learned through a video diffusion model carry motion and not
appearance (its UMAP of codes of different scenes). Here in numbers, of clips whose motion the
simulator knows:

    clips = draw_clips(store, frames=17, count=4000)
    codes, indices = read_codes_of(model, store, clips)
    probe(codes, clips, 'D')           # linear map code -> displacement, tested on an unseen scene
    scene_probe(codes, clips)          # can the scene be told from the code?
    retrieve(codes, clips, 'D')        # does the nearest code of another scene show the same motion?
    swap(model, video, other)          # what the decoder changes when one query's codes change

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

Probe and retrieval also take clips in looks (textures, colours, light) that nothing learned from.

Every interval is a 95 % bootstrap over episodes, not over samples, for neighbouring frames say the
same thing twice. Needs the extra `inspect`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.models.checkpoint import resolve
from vw2_ros.models.data.batches import ClipConfig, to_video
from vw2_ros.models.data.calvin import (
    CalvinFolder,
    load_annotations,
    split_folder,
    with_validation,
)
from vw2_ros.models.data.codes import encode_clips
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.run_folder import load_model

HORIZONS = ('step', 'clip')
TARGETS = ('hand', 'gripper', 'blocks', 'drawer', 'slider')
DIRECTIONS = ('-x', '+x', '-y', '+y', 'down', 'up')
STILL = 'still'
MOVES_M = 0.005  # a hand that went less far stands still
ALPHAS = 10.0 ** np.arange(-2, 5)
HELD_OUT = 0.25  # of the episodes of each scene
DRAWS = 1000  # of a bootstrap
FEWEST = 4  # episodes that an interval needs
SEEN_M = 0.05  # examples to look at: the hand goes at least this far


class InspectionError(VW2Error, RuntimeError):
    """The data cannot answer the question; the message says what is needed."""


# -------------------------------------------------------------------------------------------- data


def open_store(data: Sequence[Path], size: int) -> FrameStore:
    """All frames of the data folders, training and validation, at `size` pixels or more.

    Raises:
        DataError: see `FrameStore`; also where frames lack the robot's or the table's state.
    """
    held_out = with_validation(data)
    splits = [split_folder(root, 'training') for root in data]
    splits += [Path(root) / 'validation' for root in held_out]
    return FrameStore(splits, 'training', max(ClipConfig.stored_size, size))


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


@dataclasses.dataclass(frozen=True)
class Clips:
    """Clips and what moved in them.

    Attributes:
        starts: int64 (m,), rows of the store where they begin. frames: of each.
        scene: str (m,). episode: int64 (m,).
        motion: target -> float32 (m, steps, d), since the clip's first frame; see the module.
    """

    starts: np.ndarray
    frames: int
    scene: np.ndarray
    episode: np.ndarray
    motion: dict[str, np.ndarray]

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
    """What the simulator says moved since the first frame: see `Clips.motion`."""
    later = starts[:, None] + np.arange(4, frames, 4)  # (m, steps)
    robot = store.robot_obs[later] - store.robot_obs[starts][:, None]
    scene = store.scene_obs[later] - store.scene_obs[starts][:, None]
    if np.isnan(scene).any():
        raise InspectionError(
            'the data do not say where things are (scene_obs): recordings of a '
            "robot cannot be inspected so, only a simulator's data"
        )
    blocks = scene[..., 6:].reshape(*later.shape, 3, 6)[..., :3].sum(axis=2)
    return {
        'hand': robot[..., :3],
        'gripper': robot[..., 6:7],
        'blocks': blocks,
        'drawer': scene[..., 1:2],
        'slider': scene[..., 0:1],
    }


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


def load_dldm(dir_or_name: str | Path) -> DLDM:
    """The dLDM of a run folder (`vw2 train dldm`), of a policy folder or of shipped weights.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    return load_model(DLDM, DLDMConfig, resolve(dir_or_name), 'dldm').requires_grad_(False)


def read_codes_of(
    model: DLDM, store: FrameStore, clips: Clips, batch: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the clips, of their first `clips.steps` steps.

    Args:
        store: at the model's image size. clips: not longer than the model's.
    Returns:
        values on the FSQ grid, float32 (m, steps, N * C) in [-1, 1]; indices int64 (m, steps, N).
    Raises:
        ValueError: the clips are longer than the model's.
    """
    if clips.steps > model.config.steps:
        raise InvalidValueError(
            f'clips must have at most {model.config.clip_frames} frames. Got {clips.frames}'
        )
    model.eval()
    indices = encode_clips(model, store, clips.starts, batch, frames=clips.frames).long()
    values = model.codes_to_embedding(indices).flatten(2)  # (m, steps, N, C) -> (m, steps, N * C)
    return values.numpy(), indices.numpy()


# --------------------------------------------------------------------------------------- intervals


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap draws; draws of equal episodes and seed are paired."""

    value: float
    draws: np.ndarray  # (DRAWS,)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)

    def figures(self) -> dict[str, float | None]:
        """value, and low and high of the 95 % interval (None where there were too few episodes)."""
        out = {'value': round(float(self.value), 4), 'low': None, 'high': None}
        if np.isfinite(self.draws).all():
            out['low'], out['high'] = np.percentile(self.draws, [2.5, 97.5]).round(4).tolist()
        return out


def estimate(statistic, sums: np.ndarray, episode: np.ndarray, seed: int = 0) -> Estimate:
    """A statistic of sums over samples, bootstrapped over episodes.

    Args:
        statistic: (..., q) sums -> (...). sums: float (n, q), what each sample adds.
        episode: int (n,); with fewer than FEWEST there is no interval.
    """
    _, which = np.unique(episode, return_inverse=True)
    E = int(which.max()) + 1
    per_episode = np.zeros((E, sums.shape[1]))
    np.add.at(per_episode, which, sums.astype(np.float64))
    times = np.random.default_rng(seed).multinomial(E, np.full(E, 1 / E), size=DRAWS)
    draws = statistic(times @ per_episode) if E >= FEWEST else np.full(DRAWS, np.nan)
    return Estimate(float(statistic(per_episode.sum(0))), draws)


def _mean(values: np.ndarray, episode: np.ndarray, seed: int) -> Estimate:
    sums = np.stack([values, np.ones(len(values))], axis=1)
    return estimate(lambda s: s[..., 0] / s[..., 1], sums, episode, seed)


def r_squared(
    truth: np.ndarray, guess: np.ndarray, episode: np.ndarray, seed: int = 0
) -> Estimate | None:
    """1 - squared error / variance, both summed over the axes of truth (n, d).

    None where nothing moves in `truth`.
    """
    if not len(truth) or np.abs(truth - truth.mean(0)).max() < 1e-4:  # m
        return None
    d = truth.shape[1]
    sums = np.concatenate([(truth - guess) ** 2, truth**2, truth, np.ones((len(truth), 1))], 1)

    def statistic(s):
        error, square = s[..., :d].sum(-1), s[..., d : 2 * d].sum(-1)
        spread = square - (s[..., 2 * d : 3 * d] ** 2).sum(-1) / s[..., -1]
        return 1 - error / np.maximum(spread, 1e-12)

    return estimate(statistic, sums, episode, seed)


# ------------------------------------------------------------------------------------------ probes


def held_out_episodes(clips: Clips, seed: int) -> np.ndarray:
    """bool (m,): clips of every fourth episode of each scene, drawn; of a lone one none."""
    rng = np.random.default_rng([seed, 2])
    held = []
    for letter in np.unique(clips.scene):
        episodes = np.unique(clips.episode[clips.scene == letter])
        count = max(1, round(HELD_OUT * len(episodes))) if len(episodes) > 1 else 0
        held.append(rng.permutation(episodes)[:count])
    return np.isin(clips.episode, np.concatenate(held))


def probe(
    codes: np.ndarray,
    clips: Clips,
    test_scene: str,
    seed: int = 0,
    looks: tuple[np.ndarray, Clips] | None = None,
) -> dict:
    """R^2 of a ridge regression from code to displacement, learned on the other scenes.

    Each step has its own weights (the dLDM normalises each step's codes by themselves); the
    penalty is chosen by cross-validation over the training episodes, for all targets together.

    Args:
        codes: float (m, steps, D).
        looks: codes (n, steps, D) and clips that only test.
    Returns:
        target -> horizon -> {'test': Estimate on `test_scene`, 'seen': Estimate on held-out
        episodes of the training scenes}; with `looks` also 'test_looks' and 'looks', on its clips
        of `test_scene` and of the rest; None where nothing moves or there is no such episode.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold

    test = clips.scene == test_scene
    seen = held_out_episodes(clips, seed) & ~test
    fit = ~test & ~seen
    groups = clips.episode[fit]
    splits = list(GroupKFold(min(5, len(set(groups)))).split(groups, groups=groups))
    sets = [(codes, clips)]
    parts = {'test': (0, test), 'seen': (0, seen)}  # name -> which set, and which clips of it
    if looks:
        sets.append(looks)
        there = looks[1].scene == test_scene
        parts |= {'test_looks': (1, there), 'looks': (1, ~there)}
    out: dict = {target: {} for target in TARGETS}
    for horizon in HORIZONS:
        truth = [{target: c.moved(target, horizon) for target in TARGETS} for _, c in sets]
        every = [np.concatenate(list(t.values()), axis=2) for t in truth]  # (m, steps, 9)
        # one penalty for metres and millimetres
        scale = np.maximum(every[0][fit].std((0, 1)), 1e-6)
        guess = [np.empty_like(e) for e in every]
        for k in range(clips.steps):
            ridge = RidgeCV(ALPHAS, cv=splits, scoring='neg_mean_squared_error')
            ridge.fit(codes[fit, k], every[0][fit, k] / scale)
            for guessed, (z, _) in zip(guess, sets):
                guessed[:, k] = ridge.predict(z[:, k]) * scale
        ends = np.cumsum([0, *(t.shape[2] for t in truth[0].values())])
        for target, a, b in zip(TARGETS, ends[:-1], ends[1:]):
            out[target][horizon] = {
                name: r_squared(
                    _flat(truth[n][target][part]),
                    _flat(guess[n][part][..., a:b]),
                    np.repeat(sets[n][1].episode[part], clips.steps),
                    seed,
                )
                for name, (n, part) in parts.items()
            }
    return out


def _flat(x: np.ndarray) -> np.ndarray:
    """(m, steps, ...) -> (m * steps, ...)."""
    return x.reshape(-1, *x.shape[2:])


def scene_probe(codes: np.ndarray, clips: Clips, seed: int = 0) -> Estimate | None:
    """How often a linear classifier names the scene of held-out episodes from the code.

    Chance is one over the number of scenes. None where no episode can be held out.
    """
    from sklearn.linear_model import LogisticRegression

    held = held_out_episodes(clips, seed)
    if not held.any():
        return None
    right = np.empty((int(held.sum()), clips.steps))
    for k in range(clips.steps):
        model = LogisticRegression(class_weight='balanced', max_iter=500)
        model.fit(codes[~held, k], clips.scene[~held])
        right[:, k] = model.predict(codes[held, k]) == clips.scene[held]
    return _mean(right.reshape(-1), np.repeat(clips.episode[held], clips.steps), seed)


# --------------------------------------------------------------------------------------- retrieval


def neighbours(
    codes: np.ndarray, clips: Clips, seed: int = 0, among: tuple[np.ndarray, Clips] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest code of the same step in another scene.

    Args:
        among: codes and clips to search; None: the same ones.
    Returns:
        clip int64 (m, steps), and distance float (m, steps). Equals are chosen among at random.
    """
    from sklearn.neighbors import NearestNeighbors

    # Codes lie on a grid: a grain of noise decides between equals.
    rng = np.random.default_rng([seed, 3])
    noisy = codes + 1e-4 * rng.standard_normal(codes.shape)
    there, held = (noisy, clips) if among is None else among
    if among is not None:
        there = there + 1e-4 * rng.standard_normal(there.shape)
    nearest = np.empty(codes.shape[:2], np.int64)
    distance = np.empty(codes.shape[:2])
    for letter in np.unique(clips.scene):
        mine, others = np.flatnonzero(clips.scene == letter), np.flatnonzero(held.scene != letter)
        for k in range(clips.steps):
            search = NearestNeighbors(n_neighbors=1, algorithm='brute').fit(there[others, k])
            d, i = search.kneighbors(noisy[mine, k])
            nearest[mine, k], distance[mine, k] = others[i[:, 0]], d[:, 0]
    return nearest, distance


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of directions (..., 3) -> (...); 0 where one of them stands still (below MOVES_M)."""
    length_a, length_b = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    moves = (length_a > MOVES_M) & (length_b > MOVES_M)
    return np.where(moves, (a * b).sum(-1) / np.maximum(length_a * length_b, 1e-12), 0.0)


def retrieve(
    codes: np.ndarray,
    clips: Clips,
    test_scene: str,
    seed: int = 0,
    permutations: int = 200,
    looks: tuple[np.ndarray, Clips] | None = None,
) -> dict:
    """Does the nearest code of another scene show the hand going the same way?

    Of samples in which the hand moves: the mean cosine between its displacement and that in the
    nearest sample of another scene (0 if that one stands still), against the mean where the
    neighbours are dealt out anew within each scene and step.

    Args:
        looks: codes and clips that only ask; what is found is always of `clips`.
    Returns:
        'test' (queries of `test_scene`) and 'all', with `looks` also 'test_looks' (its queries of
        `test_scene`) and 'looks' (the rest of it) -> horizon -> {'cosine': Estimate, 'chance',
        'chance_low', 'chance_high' (95 % of the permutations), 'p', 'queries'}; None where the
        hand never moves.
    """
    asked = [
        (
            neighbours(codes, clips, seed)[0],
            clips,
            {'test': clips.scene == test_scene, 'all': clips.scene != ''},
        )
    ]
    if looks:
        there = looks[1].scene == test_scene
        asked.append(
            (
                neighbours(*looks, seed, (codes, clips))[0],
                looks[1],
                {'test_looks': there, 'looks': ~there},
            )
        )
    step = np.arange(clips.steps)
    out: dict = {name: {} for _, _, parts in asked for name in parts}
    for horizon in HORIZONS:
        found = clips.moved('hand', horizon)  # (m, steps, 3)
        for nearest, asking, parts in asked:
            hand = asking.moved('hand', horizon)
            moving = np.linalg.norm(hand, axis=-1) > MOVES_M
            for name, part in parts.items():
                query = moving & part[:, None]
                if not query.any():
                    out[name][horizon] = None
                    continue
                got = cosine(hand, found[nearest, step])[query]
                rng = np.random.default_rng([seed, 4])
                dealt = np.array(
                    [
                        cosine(hand, found[_dealt(nearest, asking.scene, rng), step])[query].mean()
                        for _ in range(permutations)
                    ]
                )
                low, high = np.percentile(dealt, [2.5, 97.5])
                clip = np.broadcast_to(np.arange(len(hand))[:, None], query.shape)[query]
                out[name][horizon] = {
                    'cosine': _mean(got, asking.episode[clip], seed),
                    'chance': float(dealt.mean()),
                    'chance_low': float(low),
                    'chance_high': float(high),
                    'queries': int(query.sum()),
                    'p': float((1 + (dealt >= got.mean()).sum()) / (1 + permutations)),
                }
    return out


def _dealt(nearest: np.ndarray, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = nearest.copy()
    for letter in np.unique(scene):
        mine = scene == letter
        out[mine] = rng.permuted(nearest[mine], axis=0)
    return out


# ------------------------------------------------------------------------------------------- looks


def direction(displacement: np.ndarray) -> np.ndarray:
    """Name (n,) of the world axis along which a displacement (n, 3) is largest, or 'still'."""
    axis = np.abs(displacement).argmax(1)
    along = np.take_along_axis(displacement, axis[:, None], 1)[:, 0]
    names = np.array(DIRECTIONS)[2 * axis + (along > 0)]
    return np.where(np.linalg.norm(displacement, axis=1) > MOVES_M, names, STILL)


def embed(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """UMAP of codes (n, D) -> float (n, 2), the same for the same seed."""
    import umap  # compiles for seconds: only where it is used

    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            reducer = umap.UMAP(
                n_neighbors=min(30, len(codes) - 1),
                min_dist=0.1,
                n_jobs=1,
                random_state=seed,
                init='pca',
            )
            return reducer.fit_transform(codes)
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's, which are torch's too


def usage(indices: np.ndarray, codebook_size: int) -> dict:
    """How much of the codebook samples (m, steps, N) use: fraction, and perplexity per query."""
    counts = CodeUsage(codebook_size, indices.shape[2])
    counts.update(torch.from_numpy(indices))
    return {
        'codebook': codebook_size,
        'samples': int(indices.shape[0] * indices.shape[1]),
        'usage': round(counts.usage(), 4),
        'perplexity': [round(p, 1) for p in counts.perplexity()],
    }


def lively(clips: Clips) -> np.ndarray:
    """Which clips (k,) have enough motion to be looked at; all, where none has."""
    length = np.linalg.norm(clips.moved('hand', 'clip')[:, -1], axis=1)
    found = np.flatnonzero(length > SEEN_M)
    return found if len(found) else np.arange(len(length))


def matching_pairs(
    codes: np.ndarray, clips: Clips, test_scene: str, seed: int = 0, count: int = 6
) -> list[tuple[int, int, float]]:
    """Lively clips of the test scene, and the clip of the nearest last code in another scene.

    Drawn, one for each direction of motion: the best-looking would flatter, and the nearest of all
    are those in which the arm is out of the picture.

    Returns:
        (clip, its neighbour, distance).
    """
    nearest, distance = neighbours(codes, clips, seed)
    ways = direction(clips.moved('hand', 'clip')[:, -1])
    able = np.random.default_rng([seed, 7]).permutation(lively(clips))
    able = able[clips.scene[able] == test_scene]
    _, first = np.unique(ways[able], return_index=True)
    return [
        (int(i), int(nearest[i, -1]), float(distance[i, -1])) for i in able[np.sort(first)[:count]]
    ]


def shared_codes(indices: np.ndarray, clips: Clips, seed: int = 0) -> list[dict]:
    """For each query a last-step code that the most scenes share, with a clip of each scene.

    Of lively clips; among equals one is drawn.

    Returns:
        [{'query', 'code', 'count', 'clips': [one clip of each scene that has it]}]; codes that no
        two scenes share are left out.
    """
    order = np.random.default_rng([seed, 5]).permutation(lively(clips))
    out = []
    for query in range(indices.shape[2]):
        code = indices[order, -1, query]
        # Those met first were drawn: order is random.
        _, met = np.unique(code, return_index=True)
        best = max(code[np.sort(met)], key=lambda c: len(set(clips.scene[order[code == c]])))
        same = order[code == best]
        letters, first = np.unique(clips.scene[same], return_index=True)
        if len(letters) > 1:
            out.append(
                {
                    'query': query,
                    'code': int(best),
                    'count': len(same),
                    'clips': [int(i) for i in same[first]],
                }
            )
    return out


@torch.inference_mode()
def swap(model: DLDM, video: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """What the decoder makes of a clip when codes of another take the place of its own.

    Args:
        video, other: float (B, F, 3, H, W) in [0, 1].
    Returns:
        float (B, N + 2, F, 3, H, W) in [0, 1]: with its own codes, with those of query 0, 1, ..
        N - 1 from the other clip, and with all from the other.
    """
    f = model.encode(video)
    own = model.quantize(model.query(f))[0]
    foreign = model.quantize(model.query(model.encode(other)))[0]
    N = own.shape[2]
    out = []
    for queries in ([], *([n] for n in range(N)), list(range(N))):
        codes = own.clone()
        codes[:, :, queries] = foreign[:, :, queries]
        out.append(model.decode(codes, f[:, 0], video[:, 0]).clamp(0, 1))
    return torch.stack(out, dim=1)


def swap_maps(
    model: DLDM, store: FrameStore, clips: Clips, seed: int = 0, pairs: int = 32
) -> tuple[np.ndarray, tuple[int, int]]:
    """How much, and where, the decoded picture changes with each query's codes.

    Returns:
        float (N + 1, H, W) in grey levels 0..255: mean change over `pairs` pairs of lively clips
        of different scenes, over the frames after the first and the colours, for queries 0 .. N - 1
        and for all together; and the pair in which all together change most.
    """
    rng = np.random.default_rng([seed, 6])
    able = lively(clips)
    first = rng.permutation(able)[:pairs]
    second = np.array([rng.choice(_elsewhere(able, clips, i)) for i in first])
    total, most, best = 0.0, -1.0, (0, 0)
    for i, j in zip(
        np.array_split(first, -(-len(first) // 8)), np.array_split(second, -(-len(first) // 8))
    ):
        made = swap(model, video_of(store, clips, i), video_of(store, clips, j))
        # (B, N + 1, F - 1, 3, H, W) -> (B, N + 1, H, W)
        change = (made[:, 1:] - made[:, :1]).abs()[:, :, 1:].mean(dim=(2, 3))
        total = total + change.sum(0)
        each = change[:, -1].mean(dim=(1, 2))
        if float(each.max()) > most:
            most, n = float(each.max()), int(each.argmax())
            best = int(i[n]), int(j[n])
    return (255.0 * total / len(first)).numpy(), best


def _elsewhere(able: np.ndarray, clips: Clips, i: int) -> np.ndarray:
    """Those of `able` in another scene than clip i, or any clip there."""
    other = able[clips.scene[able] != clips.scene[i]]
    return other if len(other) else np.flatnonzero(clips.scene != clips.scene[i])


def video_of(store: FrameStore, clips: Clips, chosen: np.ndarray) -> torch.Tensor:
    """Clips as float (B, F, 3, S, S) in [0, 1]."""
    return to_video(torch.from_numpy(store.rgb(clips.rows()[np.asarray(chosen)])))


# ----------------------------------------------------------------------------------------- figures


def differences(first: dict, second: dict) -> dict:
    """First less second of what `probe` and `retrieve` gave for the same clips: paired intervals.

    Args:
        first, second: {'probe': .., 'retrieval': ..}.
    """
    probes = {
        t: {
            h: {part: _less(a, second['probe'][t][h][part]) for part, a in parts.items()}
            for h, parts in horizons.items()
        }
        for t, horizons in first['probe'].items()
    }
    retrievals = {
        part: {
            h: a and {'cosine': _less(a['cosine'], second['retrieval'][part][h]['cosine'])}
            for h, a in horizons.items()
        }
        for part, horizons in first['retrieval'].items()
    }
    return {'probe': probes, 'retrieval': retrievals}


def _less(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    return a - b if a is not None and b is not None else None


def figures(value):
    """Plain JSON values: each Estimate as value, low and high."""
    if isinstance(value, Estimate):
        return value.figures()
    if isinstance(value, dict):
        return {str(key): figures(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [figures(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value
