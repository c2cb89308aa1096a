# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 redraw`: the frames of a data set once more, in other looks or on another table.

A frame says how robot and scene stand, which is all that a picture depends on. So recorded
demonstrations need no physics and no expert to be seen with another robot's shape, other woods and
other light; those of the real CALVIN are seen as our table shows them, and ours as CALVIN does. Frames,
actions and words stay what they were; the camera stands where CALVIN's does.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from vw2_ros.arms import open_arm
from vw2_ros.arms.geometry import euler_to_quaternion
from vw2_ros.episodes import Edit, EditList, marker_path, read_markers
from vw2_ros.errors import InvalidValueError, MissingFileError
from vw2_ros.files import ScratchFolder, write_whole
from vw2_ros.sim.appearance import Appearance, renderers
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW, Jitter
from vw2_ros.sim.dataset_writer import (
    check_same_settings,
    encode_png,
    is_finished,
    npz_bytes,
    write_index,
)
from vw2_ros.sim.landmarks import landmarks
from vw2_ros.sim.phrases import train_phrases
from vw2_ros.sim.play_table import MECHANISMS
from vw2_ros.sim.renderer import Posture, TableRenderer
from vw2_ros.sim.scenes import Scene, get_scene
from vw2_ros.sim.session import SPLITS
from vw2_ros.sim.table import Simulator

TELL_S = 30.0  # how often to say how far it is


def posture(scene: Scene, robot_obs: np.ndarray, scene_obs: np.ndarray) -> Posture:
    """What is drawn of a state: robot_obs (15,), scene_obs (24,), see `table`."""
    poses = scene_obs[6:].reshape(3, 6)
    return Posture(
        robot=np.append(robot_obs[7:14], (0.5 * robot_obs[6],) * 2),
        table=dict(zip(MECHANISMS, scene_obs.tolist())),
        blocks={
            colour: (pose[:3], euler_to_quaternion(pose[3:]))
            for colour, pose in zip(scene.block_order, poses)
        },
        led=int(scene_obs[5] > 0.5),
        lightbulb=int(scene_obs[4] > 0.5),
    )


def redraw(
    data: Path | str,
    out: Path | str,
    simulator: Simulator,
    randomize: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> dict:
    """Draw every frame of `data` anew; sessions that are already in `out` are kept.

    Args:
        data: folder of `vw2 collect --shards`, of the Panda; also of the table calvin.
        out: folder of the new data set.
        simulator: the table that draws, and in which look.
        randomize: another random look for each session, as `Appearance.random` draws them, from
            where the camera is; of the play table only.
        seed: of the random looks.
        progress: say now and then on stderr how far it is.
    Returns:
        {'training': counts, 'validation': counts}, see `write_index`.
    Raises:
        MissingFileError: `data` is no such folder.
        InvalidValueError: its frames cannot be drawn, or `out` holds other data.
        MissingPackageError, SimulationError: see `Simulator.check`.
    """
    data, out = Path(data), Path(out)
    made = _made(simulator, randomize, seed)
    configs = {split: _config(data / split, made, simulator) for split in SPLITS}
    check_same_settings(out, 'redrawn', configs['training']['redrawn'])
    markers = [(split, marker) for split in SPLITS for marker in read_markers(data / split)]
    if not markers:
        raise InvalidValueError(
            f'data to redraw must be sessions of `vw2 collect --shards`. Got none in {data}'
        )
    jobs = [(s, marker) for s, marker in markers if not is_finished(out / s, marker['session'])]
    simulator.check(''.join(sorted({marker['scene'] for _, marker in jobs})))
    told = time.monotonic()
    for number, (split, marker) in enumerate(jobs):
        rng = np.random.default_rng([seed, SPLITS.index(split), marker['session']])
        look_seed = int(rng.integers(2**31)) if randomize else -1
        _redraw_session(data / split, out / split, marker, simulator, look_seed)
        if progress and time.monotonic() - told > TELL_S:
            print(f'redrawing: {number + 1} of {len(jobs)} sessions', file=sys.stderr, flush=True)
            told = time.monotonic()
    for split in SPLITS:
        _carry_edits(data / split, out / split)
    return {split: write_index(out / split, configs[split], train_phrases) for split in SPLITS}


def _carry_edits(split: Path, out: Path) -> None:
    """What was decided about the data counts here, too, as the frames have the same ids.

    What was decided here since stays.
    """
    told = EditList(split).edits

    def changed(edits: list[Edit]) -> list[Edit]:
        return edits if any(edit not in told for edit in edits) else told

    EditList(out).change(changed, 'vw2 redraw')


def _made(simulator: Simulator, randomize: bool, seed: int) -> dict:
    """The settings, as the new config says them."""
    made = {'look': simulator.look, 'randomize': randomize, 'seed': seed}
    if simulator.table != Simulator.table:
        if randomize:
            raise InvalidValueError(
                f'{simulator.table} has the looks that it has. Leave --randomize out'
            )
        made |= {'table': simulator.table, 'egl': simulator.egl, 'calvin_env': simulator.facts}
    return made


def _config(split: Path, made: dict, simulator: Simulator) -> dict:
    """What the new `.hydra/merged_config.yaml` says."""
    path = split / '.hydra' / 'merged_config.yaml'
    if not path.is_file():
        raise MissingFileError(
            f'data to redraw must be a folder of `vw2 collect`. Got no {path}. Collect it first'
        )
    config = yaml.safe_load(path.read_text()) or {}
    config['redrawn'] = made | {'renderer': config.get('renderer', 'unknown')}
    config['renderer'] = simulator.renderer
    if made['randomize']:
        config['renderer'] = renderers(simulator.look, randomize=True)
    config['cameras'] = {'static': STATIC_VIEW.config(STATIC.fov_deg)}
    return config


def _redraw_session(
    split: Path, out: Path, marker: dict, simulator: Simulator, look_seed: int
) -> None:
    name = f'shards/shard_{marker["session"]:05d}.npz'
    if marker['frames']:
        if not (split / name).is_file():
            raise MissingFileError(
                f'data to redraw must be in shards. Got no {split / name}. Collect it with --shards'
            )
        with np.load(split / name, allow_pickle=False) as shard:
            arrays = {key: shard[key] for key in shard.files}
        write_whole(out / name, npz_bytes(False, _redrawn(arrays, marker, simulator, look_seed)))
    marker = {**marker, 'appearance': look_seed}
    write_whole(marker_path(out, marker['session']), (json.dumps(marker) + '\n').encode())


def _redrawn(arrays: dict, marker: dict, simulator: Simulator, look_seed: int) -> dict:
    """The arrays of a shard with other pictures, and the landmarks as the camera sees them now."""
    scene = get_scene(marker['scene'])
    if arrays['robot_obs'].shape[1] != 15 or 'scene_obs' not in arrays:
        raise InvalidValueError(
            'data to redraw must say how the Panda and the scene stand. Got session '
            f'{marker["session"]} without. Take data of `vw2 collect`'
        )
    size = int(arrays['image_size'])
    pngs, points = [], []
    with _drawing(simulator, scene, look_seed) as draw:
        for robot, state in zip(arrays['robot_obs'], arrays['scene_obs']):
            pngs.append(encode_png(draw(robot, state, size)))
            points.append(landmarks(scene, STATIC_VIEW, STATIC.fov_deg, robot, state))
    lengths = [len(png) for png in pngs]
    return {
        **arrays,
        'rgb_static': np.frombuffer(b''.join(pngs), dtype=np.uint8),
        'offsets': np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        'appearance': np.full(len(pngs), look_seed, dtype=np.int64),
        'landmarks': np.stack(points),
    }


@contextlib.contextmanager
def _drawing(
    simulator: Simulator, scene: Scene, look_seed: int
) -> Iterator[Callable[[np.ndarray, np.ndarray, int], np.ndarray]]:
    """Yield a function: robot_obs (15,), scene_obs (24,), side [pixels] -> rgb (side, side, 3)."""
    if simulator.table != Simulator.table:
        with simulator.open(scene) as table:

            def shown(robot: np.ndarray, state: np.ndarray, size: int) -> np.ndarray:
                table.reset(robot, state)
                return table.render('static', size)

            yield shown
        return
    appearance = Appearance.of(scene.name, simulator.look)
    if look_seed >= 0:
        look = Appearance.random(np.random.default_rng(look_seed), look=simulator.look)
        appearance = replace(look, jitter=Jitter())
    with contextlib.closing(ScratchFolder()) as folder:
        renderer = TableRenderer(scene, appearance, folder.path, open_arm())
        try:

            def drawn(robot: np.ndarray, state: np.ndarray, size: int) -> np.ndarray:
                at = posture(scene, robot, state)
                return renderer.render(STATIC, STATIC_VIEW, size, at, fov_deg=STATIC.fov_deg)[0]

            yield drawn
        finally:
            renderer.close()
