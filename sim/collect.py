# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Demonstrations by the scripted expert, in CALVIN's on-disk format.

A session is play-like: one reset, then task after task, each one whose precondition holds, the
rarest so far first; only after two failures in a row is there another reset. In most tasks the arm
is bumped off its way, once or more often; the bumps are not recorded, so what follows every
recorded frame is what the expert meant to do. Nor is half of the putting down after a lift: what
can be done with a block in the hand is little, and would fill the data. The session's number and
the seed decide everything, so the data do not depend on the number of workers, and a collection
that was stopped goes on where it was.

A task's frames are annotated up to the step that solves it; what the hand does after is recorded
without words. With the way back in it, an action chunk would be the mean of press and retreat, and
a policy would turn away a few millimetres before the button.

A policy may act for a while, unrecorded too, before the expert takes over: from the start of a task,
until it is solved or time is up, or instead of a bump. So the data show the way back from where that
policy gets lost (HG-DAgger, Kelly et al. 2019), also in what an earlier task of its own left behind,
a block between the fingers for one.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW
from vw2_ros.sim.dataset_writer import (
    SessionWriter,
    check_same_plan,
    is_finished,
    read_markers,
    write_index,
)
from vw2_ros.sim.expert.expert import Expert
from vw2_ros.sim.expert.look import CLOSE, OPEN
from vw2_ros.sim.expert.starts import can_be_pushed, prepare, settle
from vw2_ros.sim.landmarks import landmarks, scene_state
from vw2_ros.sim.long_horizon import initial_states, scene_obs_for
from vw2_ros.sim.scenes import SCENES, random_scene_obs
from vw2_ros.sim.table import Table, open_table, table_class
from vw2_ros.sim.tasks import TASKS, TaskOracle, held_block

SPLITS = ('training', 'validation')
TASK_STEPS = 200  # a task that takes longer has failed
BUMP_SHARE = 0.7  # of the tasks, and after each bump another one as likely
PUT_DOWN_SHARE = 0.5  # of the lifts
ASTRAY_SHARE = 0.7  # of the bumps, where a policy is given
FIRST_SHARE = 0.5  # of the tasks, which that policy begins
AFTER = 10  # frames that may be recorded after success; in half of the tasks none are

# Acts for a while, or until the task is solved: (table, task, rng, solved). It must be picklable.
Astray = Callable[[Table, str, np.random.Generator, Callable[[], bool]], None]
TELL_S = 30.0  # without a terminal: how often to say how far it is
VERSION = 3  # of what is recorded; one folder holds one version
HELD_TASKS = ('place_in_slider', 'place_in_drawer', 'stack_block')


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to collect. The same plan gives the same data.

    Attributes:
        scenes: letters; session k plays in scene k modulo their number.
        seed: of everything that is drawn.
        randomize: draw the look of each session.
        tasks_per_session: how many tasks follow one reset.
        shards: side of the images in shards [px]; 0: one npz per frame, all of CALVIN's images.
        image_size: side of the static images where there are no shards [px].
        depth: also record depth (without shards).
        policy: name of the policy that acts now and then; empty: none.
    """

    scenes: str = 'D'
    seed: int = 0
    randomize: bool = False
    tasks_per_session: int = 12
    shards: int = 0
    image_size: int = 200
    depth: bool = False
    policy: str = ''

    def __post_init__(self):
        unknown = [s for s in self.scenes if s not in SCENES]
        if unknown or not self.scenes:
            raise InvalidValueError(
                f'scenes must be letters of {"".join(SCENES)}. Got {self.scenes!r}'
            )
        for name in ('shards', 'seed'):
            if getattr(self, name) < 0:
                raise InvalidValueError(f'{name} must not be negative. Got {getattr(self, name)}')
        for name in ('tasks_per_session', 'image_size'):
            if getattr(self, name) < 1:
                raise InvalidValueError(f'{name} must be at least 1. Got {getattr(self, name)}')


# ---------------------------------------------------------------- one session


def startable(oracle: TaskOracle, state) -> list[str]:
    """The tasks that can begin now, also while a block on the table is still between the fingers.

    The oracle wants an empty gripper; the expert lets go by itself. A block in the air is for
    placing and stacking only.
    """
    if held_block(state):
        return [t for t in HELD_TASKS if oracle.can_start(t, state)]
    blocks = {
        colour: dataclasses.replace(
            block, contacts=frozenset(c for c in block.contacts if c[0] != 'robot')
        )
        for colour, block in state.blocks.items()
    }
    free = dataclasses.replace(
        state,
        blocks=blocks,
        robot_contacts=frozenset(
            body for body in state.robot_contacts if not body.startswith('block_')
        ),
    )
    return [t for t in TASKS if oracle.can_start(t, free) and can_be_pushed(t, free)]


def _kind(task: str) -> str:
    words = task.split('_')
    return (
        words[0]
        if words[0] in ('rotate', 'lift', 'place', 'stack')
        else words[0] + words[1]
        if words[0] == 'move'
        else words[-1]
    )


def _choose(
    tasks: list[str], counts: dict[str, int], last: str | None, rng: np.random.Generator
) -> str:
    """The next task: the rarer so far, the likelier; not the kind of thing just done."""
    fresh = [t for t in tasks if last is None or _kind(t) != _kind(last)] or tasks
    weights = np.array([0.15 ** (counts[t] - min(counts[x] for x in fresh)) for t in fresh])
    return fresh[int(rng.choice(len(fresh), p=weights / weights.sum()))]


def _start(table: Table, session: int, rng: np.random.Generator) -> None:
    """A reset: anywhere at random, near a start of the long-horizon protocol, or for one task."""
    kind = rng.random()
    if kind < 0.2:
        table.reset(scene_obs=random_scene_obs(table.scene, rng))
    elif kind < 0.4:
        states = initial_states()
        obs = scene_obs_for(table.scene.name, states[int(rng.integers(len(states)))]).copy()
        for i in range(3):
            obs[6 + 6 * i : 8 + 6 * i] += rng.uniform(-0.02, 0.02, size=2)
            obs[11 + 6 * i] += rng.uniform(-0.2, 0.2)
        table.reset(scene_obs=obs)
    else:
        prepare(table, TASKS[session % len(TASKS)], rng)
    settle(table)


def _bump(table: Table, rng: np.random.Generator) -> None:
    """A few steps that nobody meant."""
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    if table.target[0][2] < 0.47:
        direction[2] = abs(direction[2])
    turn = rng.uniform(-1.0, 1.0) * (rng.random() < 0.5)
    grip = table.command[1]
    if rng.random() < 0.15:
        grip = -grip
    for _ in range(int(rng.integers(2, 9))):
        action = np.zeros(7)
        action[:3] = rng.uniform(0.2, 0.9) * direction
        action[5] = turn
        action[6] = OPEN if grip > 0 else CLOSE
        table.step(action)


def _next_bump(step: int, rng: np.random.Generator) -> int:
    return step + int(rng.integers(3, 40)) if rng.random() < BUMP_SHARE else -1


def _put_down(table: Table, rng: np.random.Generator) -> None:
    """Let go of what is held, where there is room; a task that needs a free hand begins so."""
    expert = Expert(table, 'turn_on_led' if rng.random() < 0.5 else 'turn_off_led')
    for _ in range(TASK_STEPS):
        if not held_block(table.state()):
            break
        table.step(expert.act())


def _images(table: Table, plan: Plan) -> dict[str, np.ndarray]:
    if plan.shards:
        return {'rgb_static': table.render('static', plan.shards)}
    images = {}
    for camera, size in (('static', plan.image_size), ('gripper', None)):
        rgb, depth = table.render(camera, size, depth=True)
        images[f'rgb_{camera}'] = rgb
        if plan.depth:
            images[f'depth_{camera}'] = depth.astype(np.float32)
    return images


def _taught(table: Table, robot_obs: np.ndarray, scene_obs: np.ndarray) -> dict[str, np.ndarray]:
    return {
        'landmarks': landmarks(table.scene, table.view(), table.fov_deg(), robot_obs, scene_obs),
        'scene_state': scene_state(table.scene, robot_obs, scene_obs),
    }


def _demonstrate(
    table: Table,
    task: str,
    plan: Plan,
    writer: SessionWriter,
    rng: np.random.Generator,
    astray: Astray | None,
) -> bool:
    """One task from the present state, annotated if it was solved. Returns whether it was."""
    expert = Expert(table, task)

    def lead_astray() -> None:
        astray(table, task, rng, lambda: expert.done)

    if astray and rng.random() < FIRST_SHARE:
        writer.cut()
        lead_astray()
        if expert.done:
            return True  # no need of an expert
    bump_at = _next_bump(0, rng)
    after = max(0, int(rng.integers(-AFTER, AFTER + 1)))
    ranges = []
    first = writer.next_frame_id
    solved = None  # the frame whose action did it
    for step in range(TASK_STEPS + after):
        if step == bump_at:
            if writer.next_frame_id > first + 1:
                ranges.append((first, writer.next_frame_id - 1))
            writer.cut()
            if astray and rng.random() < ASTRAY_SHARE:
                lead_astray()
            else:
                _bump(table, rng)
            bump_at = _next_bump(step, rng)
            first = writer.next_frame_id
            if solved is None and expert.done:  # bumped into success
                solved = first - 1
        action = expert.act()
        robot_obs, scene_obs = table.robot_obs(), table.scene_obs()
        frame = writer.add(
            action,
            robot_obs,
            scene_obs,
            _images(table, plan),
            _taught(table, robot_obs, scene_obs),
        )
        table.step(action)
        if solved is None and expert.done:
            solved = frame
        if solved is not None:
            if after == 0:
                break
            after -= 1
        elif step >= TASK_STEPS:
            break
    if writer.next_frame_id > first + 1:
        ranges.append((first, writer.next_frame_id - 1))
    draws = rng.random(len(ranges))
    if solved is None:
        return False
    for (a, b), draw in zip(ranges, draws, strict=True):
        if min(b, solved) > a:
            writer.annotate(a, min(b, solved), task, float(draw))
    return True


def record_session(
    out: Path, split: str, session: int, plan: Plan, astray: Astray | None = None
) -> dict:
    """Record one session and write it. Returns its marker, with `attempts` {task: [solved, all]}."""
    rng = np.random.default_rng([plan.seed, SPLITS.index(split), session])
    scene = plan.scenes[session % len(plan.scenes)]
    look = int(rng.integers(2**31)) if plan.randomize else -1
    appearance = Appearance.random(np.random.default_rng(look)) if plan.randomize else None
    writer = SessionWriter(
        Path(out) / split, session, shard=plan.shards > 0, scene=scene, appearance=look
    )
    oracle = TaskOracle(scene)
    counts = dict.fromkeys(TASKS, 0)
    attempts: dict[str, list[int]] = {}
    with open_table(scene, appearance=appearance) as table:
        _start(table, session, rng)
        last, failures = None, 0
        for _ in range(plan.tasks_per_session):
            if writer.room < TASK_STEPS + 12:
                break
            if held_block(table.state()) and rng.random() < PUT_DOWN_SHARE:
                writer.cut()
                _put_down(table, rng)
            tasks = startable(oracle, table.state())
            if not tasks or failures >= 2:
                # nothing works here any more: begin again elsewhere
                writer.cut()
                _start(table, int(rng.integers(len(TASKS))), rng)
                tasks, last, failures = startable(oracle, table.state()), None, 0
                if not tasks:
                    continue
            last = _choose(tasks, counts, last, rng)
            counts[last] += 1
            began = writer.next_frame_id
            solved = _demonstrate(table, last, plan, writer, rng, astray)
            failures = 0 if solved else failures + 1
            tried = attempts.setdefault(last, [0, 0])
            tried[0] += solved
            tried[1] += 1
            if not solved:
                writer.discard(began)
    return writer.close(attempts)


# ---------------------------------------------------------------- many sessions


def _work(job: tuple[Path, str, int, Plan, Astray | None]) -> dict:
    return record_session(*job)


def _quiet_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    os.environ['OMP_NUM_THREADS'] = '1'
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent does not end its workers: they would go on for nobody."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGKILL)  # a session is written whole or not at all


def collect(
    out: Path | str,
    scenes: str = 'D',
    episodes: int = 100,
    workers: int = 2,
    randomize: bool = False,
    seed: int = 0,
    shards: int = 0,
    image_size: int = 200,
    depth: bool = False,
    tasks_per_episode: int = 12,
    validation_episodes: int | None = None,
    progress: bool = True,
    policy: str = '',
    astray: Astray | None = None,
) -> dict:
    """Collect `episodes` training sessions, and some for validation.

    Sessions that are already in `out` are kept. Ctrl-C stops after writing the index of what is
    finished; the same call goes on from there.

    Args:
        out: folder of the data set.
        workers: processes.
        validation_episodes: None: one for twenty of training, at least one.
        progress: show a progress bar on stderr; where that is no terminal, a line now and then.
        policy, astray: name of a policy, and what lets it act.
        Others: see `Plan`.
    Returns:
        {'training': counts, 'validation': counts, 'success': {task: [solved, all]}}.
    Raises:
        ValueError: a setting makes no sense, or `out` holds data of other settings.
        KeyboardInterrupt: after Ctrl-C, with the index written.
    """
    from vw2_ros.sim.phrases import train_phrases

    if episodes < 1 or workers < 1:
        raise InvalidValueError(
            f'episodes and workers must be at least 1. Got {episodes}, {workers}'
        )
    plan = Plan(
        scenes=scenes,
        seed=seed,
        randomize=randomize,
        shards=shards,
        image_size=image_size,
        depth=depth,
        tasks_per_session=tasks_per_episode,
        policy=policy,
    )
    out = Path(out)
    if validation_episodes is None:
        validation_episodes = max(1, round(episodes / 20))
    number = dict(zip(SPLITS, (episodes, validation_episodes), strict=True))
    config = config_of(plan)
    check_same_plan(out, 'expert', config['expert'])
    jobs = [
        (out, split, k, plan, astray)
        for split in SPLITS
        for k in range(number[split])
        if not is_finished(out / split, k)
    ]
    total = sum(number.values())

    def index() -> dict:
        return {split: write_index(out / split, config, train_phrases) for split in SPLITS}

    index()
    try:
        _run(jobs, workers, total, progress, index)
    finally:
        counts = index()
    success: dict[str, list[int]] = {}
    for split in SPLITS:
        for marker in read_markers(out / split):
            for task, (solved, tried) in marker['attempts'].items():
                both = success.setdefault(task, [0, 0])
                both[0] += solved
                both[1] += tried
    return {**counts, 'success': success}


def config_of(plan: Plan) -> dict:
    """What `.hydra/merged_config.yaml` says of the data: CALVIN's keys, and the plan."""
    config = {
        'expert': {**dataclasses.asdict(plan), 'version': VERSION},
        'scene': f'calvin_scene_{plan.scenes}',
        'control_freq': 30,
        'renderer': table_class().renderer,
    }
    if not plan.randomize:  # else the camera is moved a little in each session
        config['cameras'] = {
            'static': {
                'fov': STATIC.fov_deg,
                'look_from': list(STATIC_VIEW.eye),
                'look_at': list(STATIC_VIEW.target),
                'up_vector': list(STATIC_VIEW.up),
            }
        }
    return config


def _run(jobs: list, workers: int, total: int, progress: bool, index) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    context = multiprocessing.get_context('spawn')
    bar = Progress(
        TextColumn('collecting'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[frames]} frames'),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    pool = ProcessPoolExecutor(min(workers, max(1, len(jobs))), context, _quiet_worker)
    tell = progress and not bar.console.is_terminal
    try:
        with bar:
            row = bar.add_task('', total=total, completed=total - len(jobs), frames=0)
            frames, began = 0, time.monotonic()
            indexed = told = began
            # Workers are born deaf to Ctrl-C, or one that is still importing would die of it.
            hear = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                running = [pool.submit(_work, job) for job in jobs]
            finally:
                signal.signal(signal.SIGINT, hear)
            for ended, done in enumerate(as_completed(running), 1):
                frames += done.result()['frames']
                bar.update(row, advance=1, frames=frames)
                now = time.monotonic()
                left = len(jobs) - ended
                if tell and left and now - told > TELL_S:
                    print(
                        f'collecting: {total - left} of {total} episodes, {frames} new frames, '
                        f'about {(now - began) / ended * left / 60:.0f} min left',
                        file=sys.stderr,
                        flush=True,
                    )
                    told = now
                if now - indexed > 60.0:
                    index()
                    indexed = time.monotonic()
    finally:
        # what is under way is not waited for: a session is written whole or not at all
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
