# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Play-like demonstrations of the scripted expert, written in CALVIN's on-disk format.

A session is one reset followed by task after task without another, as people play: each next task
is one that can be started from where the last one ended. In about every second task the arm is
bumped: some random steps that are not recorded, after which the expert finds back. So the data
shows how to recover, and every recorded frame is followed by clean actions.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
import dataclasses
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from .appearance import Appearance
from .dataset_writer import SessionWriter, is_finished, read_markers, write_index
from .expert import COLOURS, Expert, prepare
from .phrases import train_phrases
from .play_table import PlayTable
from .scenes import get_scene
from .tasks import TASKS, TaskOracle, held_block

VALIDATION_EVERY = 25  # one session in so many goes to the validation split
TASK_STEPS = 240  # the expert gives up after so many [control steps of 1/30 s]
STATIC_SIZE, GRIPPER_SIZE = 200, 84  # CALVIN's pictures [px]
HAND_TASKS = ('place_in_slider', 'place_in_drawer', 'stack_block')


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """How sessions are played.

    Attributes:
        tasks: tasks after one reset. bump: chance that the arm is bumped during a task.
        bump_steps: shortest and longest bump [control steps].
        linger: most control steps that the arm goes on after the oracle's verdict.
        shards: image side of compressed shards [px]; 0: one npz a frame as CALVIN has it.
        randomize: draw the look anew for every session.
    """

    tasks: int = 8
    bump: float = 0.5
    bump_steps: tuple[int, int] = (4, 14)
    linger: int = 4
    shards: int = 0
    randomize: bool = False

    def __post_init__(self) -> None:
        if self.tasks < 1:
            raise ValueError(f'tasks must be at least 1. Got {self.tasks}.')
        if not 0.0 <= self.bump <= 1.0:
            raise ValueError(f'bump must lie in [0, 1]. Got {self.bump}.')
        if self.shards and not 16 <= self.shards <= 1024:
            raise ValueError(f'shards must be 0 or an image side of 16 to 1024 px. '
                             f'Got {self.shards}.')


class Player:
    """Plays one session: the expert acts, the writer keeps what was seen and commanded."""

    def __init__(self, table: PlayTable, writer: SessionWriter, config: PlayConfig,
                 rng: np.random.Generator):
        self.table = table
        self.writer = writer
        self.config = config
        self.rng = rng
        self.oracle = TaskOracle(table.scene.name)
        self.played: list[str] = []

    def play(self, first: str) -> None:
        """Play `config.tasks` tasks, beginning with `first`."""
        task = first
        prepare(self.table, task, self.rng)
        for _ in range(self.config.tasks):
            solved = self._task(task)
            self.played.append(task)
            task = self._next() if solved else None
            if task is None:
                self.writer.cut()
                task = str(self.rng.choice(TASKS))
                prepare(self.table, task, self.rng)

    def _next(self) -> str | None:
        """A task that can be started now, those played least first."""
        state = self.table.state()
        choices = [t for t in TASKS if self.oracle.can_start(t, state)]
        if held_block(state):
            choices = [t for t in choices if t in HAND_TASKS] or choices
        if not choices:
            return None
        counts = np.array([self.played.count(t) for t in choices])
        choices = [t for t, n in zip(choices, counts, strict=True) if n == counts.min()]
        # By kind first: nine of the 34 lift a block, only one stacks.
        kinds = sorted({_kind(t) for t in choices})
        kind = str(self.rng.choice(kinds))
        return str(self.rng.choice([t for t in choices if _kind(t) == kind]))

    def _task(self, task: str) -> bool:
        """Let the expert do a task, record and annotate it. Returns whether it succeeded."""
        writer, rng = self.writer, self.rng
        expert = Expert(self.table, task)
        bump_at = int(rng.integers(5, 60)) if rng.random() < self.config.bump else -1
        windows, start, solved = [], writer.next_frame_id, False
        left = TASK_STEPS
        while left > 0:
            left -= 1
            if bump_at == 0:
                windows.append((start, writer.next_frame_id - 1))
                self._bump()
                start = writer.next_frame_id
            bump_at -= 1
            self._record(expert.act())
            if not solved and expert.done:
                solved = True
                left = int(rng.integers(self.config.linger + 1))
        windows.append((start, writer.next_frame_id - 1))
        if solved:
            for a, b in windows:
                if b > a:
                    writer.annotate(a, b, task, str(rng.choice(train_phrases(task))))
        return solved

    def _record(self, action: np.ndarray) -> None:
        """One control step: what is seen now, then the action."""
        table, size = self.table, self.config.shards
        images = {'rgb_static': table.render('static', size or STATIC_SIZE)}
        if not size:
            images['rgb_gripper'] = table.render('gripper', GRIPPER_SIZE)
        self.writer.add(action, table.robot_obs(), table.scene_obs(), images)
        table.step(action)

    def _bump(self) -> None:
        """Push the arm off its way for some steps; none of them is recorded."""
        self.writer.cut()
        rng, config = self.rng, self.config
        action = np.zeros(7)
        action[:3] = rng.uniform(-1, 1, 3)
        action[3:6] = rng.uniform(-1, 1, 3) * (0.15, 0.15, 0.5)
        action[6] = 1.0 if self.table.command[1] > 0 else -1.0
        if rng.random() < 0.15:
            action[6] = -action[6]
        for _ in range(int(rng.integers(config.bump_steps[0], config.bump_steps[1] + 1))):
            # Never into the table: a bump is a disturbance, not a crash.
            step = action.copy()
            if self.table.tcp_pose()[0][2] < 0.5:
                step[2] = abs(step[2])
            self.table.step(step)


def _kind(task: str) -> str:
    """The task without its colour: push_red_block_left -> push_block_left."""
    return '_'.join(w for w in task.split('_') if w not in COLOURS)


def play_session(out: Path, session: int, scenes: str, seed: int, config: PlayConfig) -> dict:
    """Play and write one session; the same arguments give the same files.

    Returns:
        {'session', 'frames', 'solved', 'split'}.
    """
    split = _split(session)
    scene = scenes[session % len(scenes)]
    rng = np.random.default_rng([seed, session])
    look = int(rng.integers(2**31)) if config.randomize else -1
    appearance = Appearance.random(np.random.default_rng(look)) if look >= 0 else None
    writer = SessionWriter(Path(out) / split, session, shard=config.shards > 0, scene=scene,
                           appearance=look)
    # Sessions take turns in what they begin with, so that rare tasks come up as often as others.
    # The turn moves on by one each round lest a scene always begin with the same tasks.
    first = TASKS[(session + session // len(TASKS)) % len(TASKS)]
    with PlayTable(scene, appearance=appearance) as table:
        Player(table, writer, config, rng).play(first)
    marker = writer.close()
    return {'session': session, 'frames': marker['frames'], 'split': split,
            'solved': len(marker['annotations'])}


def _split(session: int) -> str:
    return 'validation' if session % VALIDATION_EVERY == VALIDATION_EVERY - 1 else 'training'


def collect(out: Path, scenes: str = 'D', episodes: int = 100, workers: int = 2,
            randomize: bool = False, seed: int = 0, shards: int = 0) -> dict:
    """Collect play data of the expert; what is already on disk is kept, so a stop costs little.

    Args:
        out: folder, made where missing; gets `training/` and `validation/` (4 % of the sessions).
        scenes: letters, taken in turn, e.g. 'D' or 'ABCD'.
        episodes: sessions in all, one reset and some eight tasks each (about 500 frames).
        workers: processes.
        randomize: draw textures, colours, light and a little camera jitter for every session.
        seed: the same seed gives the same data, whatever the number of workers.
        shards: image side of compressed shards [px]; 0: one npz a frame, 200 px, as CALVIN has it.
    Returns:
        Counts per split: {'training': {'sessions', 'frames', 'ranges', 'annotations'}, ...}.
    Raises:
        ValueError: unknown scene, no episodes, or `out` holds data made in another way.
        KeyboardInterrupt: after the finished sessions were indexed.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if episodes < 1 or workers < 1 or not scenes:
        raise ValueError(f'at least one episode, worker and scene are needed. '
                         f'Got {episodes}, {workers}, {scenes!r}.')
    for letter in scenes:
        get_scene(letter)
    out, config = Path(out), PlayConfig(shards=shards, randomize=randomize)
    made_by = {'scenes': scenes, 'seed': seed, 'renderer': 'pybullet_tiny',
               'play': dataclasses.asdict(config) | {'bump_steps': list(config.bump_steps)}}
    _check_same(out, made_by)
    todo = [k for k in range(episodes) if not is_finished(out / _split(k), k)]
    frames = sum(m['frames'] for s in ('training', 'validation') for m in read_markers(out / s))
    columns = (TextColumn('collect'), BarColumn(), MofNCompleteColumn(),
               TextColumn('{task.fields[frames]} frames'), TimeElapsedColumn(),
               TimeRemainingColumn())
    pool = ProcessPoolExecutor(workers, mp_context=get_context('spawn'))
    try:
        with Progress(*columns) as progress:
            bar = progress.add_task('collect', total=episodes, completed=episodes - len(todo),
                                    frames=frames)
            jobs = [pool.submit(play_session, out, k, scenes, seed, config) for k in todo]
            for job in as_completed(jobs):
                frames += job.result()['frames']
                progress.update(bar, advance=1, frames=frames)
    finally:
        # Running sessions are given up; what they would have written is played again on resume.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        counts = {s: write_index(out / s, made_by) for s in ('training', 'validation')}
    return counts


def _check_same(out: Path, made_by: dict) -> None:
    """Raise ValueError if `out` was collected with other settings than `made_by`."""
    import yaml

    path = out / 'training' / '.hydra' / 'merged_config.yaml'
    if not path.is_file():
        return
    before = yaml.safe_load(path.read_text())
    differing = {k: (before.get(k), v) for k, v in made_by.items() if before.get(k) != v}
    if differing:
        raise ValueError(f'{out} was collected with other settings: '
                         + '; '.join(f'{k} was {a}, now {b}' for k, (a, b) in differing.items())
                         + '. Use another --out, or the same settings to resume.')
