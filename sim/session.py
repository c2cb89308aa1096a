# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One session of demonstrations by the scripted expert.

Every other session is play-like. After one reset it does task after task, each one whose precondition
holds, the rarest so far first. Only after two failures in a row is there another reset.

The others are made of chains of five tasks, drawn as the long-horizon protocol draws its own, each
after a reset near one of its starts. What a task leaves there is no state that play comes to often: a
door that was moved half of its way, and the block behind it is wanted next. Where certain tasks are
wanted, all sessions are play-like, and in each of them these tasks come first.

Not everything that happens is recorded:
* In most tasks something bumps the arm off its way, once or more often. A bump is not recorded, so
  what follows every recorded frame is what the expert meant to do.
* After half of the lifts the expert puts the block down, and this is not recorded. Only three tasks
  can begin with a block in the hand: without this they would fill the data.
* A policy may act for a while before the expert takes over: from the start of a task, until it is
  solved or time is up, or instead of a bump. This is not recorded, but what the expert does after
  it is. So the data show the way back from where that policy gets lost (HG-DAgger, Kelly et al.
  2019), also in what an earlier task of its own left behind, such as a block between the fingers.

* Where drawing is slow, only stretches of the tasks may be recorded. Between them the expert plays
  on undrawn, so that as many pictures show more tasks.

A task's frames are annotated up to the step that solves it. What the hand does after is recorded
without words. With the way back in it, an action chunk would be the mean of press and retreat, and
a policy would turn away a few millimetres before the button.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.dataset_writer import SessionWriter
from vw2_ros.sim.expert.expert import Expert
from vw2_ros.sim.expert.look import CLOSE, OPEN
from vw2_ros.sim.expert.starts import can_be_pushed, prepare, settle
from vw2_ros.sim.landmarks import landmarks, scene_state
from vw2_ros.sim.long_horizon import Symbolic, draw_chain, initial_states, scene_obs_for
from vw2_ros.sim.scenes import RANDOM, SCENES, random_scene_obs
from vw2_ros.sim.state import SceneState
from vw2_ros.sim.table import Simulator, Table
from vw2_ros.sim.tasks import TASKS, TaskOracle, held_block

SPLITS = ('training', 'validation')
TASK_STEPS = 200  # a task that takes longer has failed
BUMP_SHARE = 0.7  # of the tasks, and after each bump another one as likely
PUT_DOWN_SHARE = 0.5  # of the lifts: the block is put down again, unrecorded
ASTRAY_SHARE = 0.7  # of the bumps, where a policy is given
FIRST_SHARE = 0.5  # of the tasks, which that policy begins
STRETCH = 32  # frames that are recorded in a row, where not all are: two action chunks
AFTER = 10  # frames that may be recorded after success; in half of the tasks none are

HELD_TASKS = ('place_in_slider', 'place_in_drawer', 'stack_block')

# Acts for a while, or until the task is solved: (table, task, rng, solved). For `collect` it must be
# picklable, and have `reads` and `moved` as a `vw2_ros.work.place.Work` has.
Astray = Callable[[Table, str, np.random.Generator, Callable[[], bool]], None]


@dataclasses.dataclass(frozen=True)
class CollectSettings:
    """What to collect. The same settings give the same data."""

    scenes: str = 'D'  # letters; session k is in scene k modulo their number. R: drawn for each
    seed: int = 0  # of everything that is drawn
    randomize: bool = False  # draw the look of each session
    tasks_per_session: int = 12  # how many tasks follow one reset
    shards: int = 0  # side of the images in shards [px]; 0: a file per frame, all CALVIN's images
    image_size: int = 200  # side of the static images where there are no shards [px]: CALVIN's
    depth: bool = False  # also record depth (without shards)
    share: float = 1.0  # of the frames that is recorded, in (0, 1]; below 1 in stretches
    policy: str = ''  # name of the policy that acts now and then; empty: none
    tasks: tuple[str, ...] = ()  # to play whenever they can begin, in play alone; none: all alike
    simulator: Simulator = Simulator()  # which table

    def __post_init__(self):
        letters = ''.join(SCENES) + RANDOM
        if not self.scenes or not set(self.scenes) <= set(letters):
            raise InvalidValueError(f'scenes must be letters of {letters}. Got {self.scenes!r}')
        if RANDOM in self.scenes and not self.randomize:
            raise InvalidValueError(
                f'a table that is drawn ({RANDOM}) has a random look, too. Got no randomize. '
                'Add --randomize'
            )
        if self.randomize and self.simulator.table != Simulator.table:
            raise InvalidValueError(
                f'only the play table has random looks. Got {self.simulator.table}. '
                'Leave --randomize out'
            )
        unknown = [t for t in self.tasks if t not in TASKS]
        if unknown:
            raise InvalidValueError(f'tasks must be of the 34 of the table. Got {unknown}')
        if not 0 < self.share <= 1:
            raise InvalidValueError(f'share must be in (0, 1]. Got {self.share}')
        for name in ('shards', 'seed'):
            if getattr(self, name) < 0:
                raise InvalidValueError(f'{name} must not be negative. Got {getattr(self, name)}')
        for name in ('tasks_per_session', 'image_size'):
            if getattr(self, name) < 1:
                raise InvalidValueError(f'{name} must be at least 1. Got {getattr(self, name)}')


def startable(oracle: TaskOracle, state: SceneState) -> list[str]:
    """The tasks that can begin now, also while a block on the table is still between the fingers.

    The oracle wants an empty gripper, but the expert lets go by itself. With a block in the air only
    placing and stacking can begin.
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
    """What a task is about: tasks of one kind are not done one after another."""
    words = task.split('_')
    if words[0] in ('rotate', 'lift', 'place', 'stack'):
        return words[0]
    return words[0] + words[1] if words[0] == 'move' else words[-1]


def _choose(
    tasks: list[str],
    wanted: tuple[str, ...],
    counts: dict[str, int],
    last: str | None,
    rng: np.random.Generator,
) -> str:
    """The next task: a wanted one, the rarer so far the likelier, not the kind of thing just done."""
    tasks = [t for t in tasks if t in wanted] or tasks
    fresh = [t for t in tasks if last is None or _kind(t) != _kind(last)] or tasks
    weights = np.array([0.15 ** (counts[t] - min(counts[x] for x in fresh)) for t in fresh])
    return fresh[int(rng.choice(len(fresh), p=weights / weights.sum()))]


def _start(table: Table, turn: int, rng: np.random.Generator) -> None:
    """A reset: anywhere at random, near a start of the long-horizon protocol, or for one task."""
    kind = rng.random()
    if kind < 0.2:
        table.reset(scene_obs=random_scene_obs(table.scene, rng))
        settle(table)
    elif kind < 0.4:
        states = initial_states()
        _start_near(table, states[int(rng.integers(len(states)))], rng)
    else:
        prepare(table, TASKS[turn % len(TASKS)], rng)
        settle(table)


def _start_near(table: Table, state: Symbolic, rng: np.random.Generator) -> None:
    """A reset near a start of the long-horizon protocol: the blocks lie up to 2 cm beside it."""
    obs = scene_obs_for(table.scene.name, state).copy()
    for i in range(3):
        obs[6 + 6 * i : 8 + 6 * i] += rng.uniform(-0.02, 0.02, size=2)
        obs[11 + 6 * i] += rng.uniform(-0.2, 0.2)
    table.reset(scene_obs=obs)
    settle(table)


def _bump(table: Table, rng: np.random.Generator) -> None:
    """Push the arm off its way: a few steps in a random direction."""
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


class _Stretches:
    """Which frames of a task are recorded: all, or stretches with breaks between."""

    def __init__(self, share: float, rng: np.random.Generator):
        self._share, self._rng = share, rng
        self._on, self._left = share == 1 or rng.random() >= share, 0

    def next(self) -> bool:
        if self._share == 1:
            return True
        if self._left == 0:
            self._on = not self._on
            pause = round(STRETCH * (1 / self._share - 1))  # on average [frames]
            self._left = STRETCH if self._on else int(self._rng.integers(1, max(2, 2 * pause)))
        self._left -= 1
        return self._on


def _put_down(table: Table, rng: np.random.Generator) -> None:
    """Let go of what is held, where there is room: so begins a task that needs a free hand."""
    expert = Expert(table, 'turn_on_led' if rng.random() < 0.5 else 'turn_off_led')
    for _ in range(TASK_STEPS):
        if not held_block(table.state()):
            break
        table.step(expert.act())


def _images(table: Table, settings: CollectSettings) -> dict[str, np.ndarray]:
    if settings.shards:
        return {'rgb_static': table.render('static', settings.shards)}
    images = {}
    for camera, size in (('static', settings.image_size), ('gripper', None)):
        rgb, depth = table.render(camera, size, depth=True)
        images[f'rgb_{camera}'] = rgb
        if settings.depth:
            images[f'depth_{camera}'] = depth.astype(np.float32)
    return images


def _taught(table: Table, robot_obs: np.ndarray, scene_obs: np.ndarray) -> dict[str, np.ndarray]:
    return {
        'landmarks': landmarks(table.scene, table.view(), table.fov_deg(), robot_obs, scene_obs),
        'scene_state': scene_state(table.scene, robot_obs, scene_obs),
    }


def _record(
    table: Table, action: np.ndarray, settings: CollectSettings, writer: SessionWriter
) -> None:
    robot_obs, scene_obs = table.robot_obs(), table.scene_obs()
    images, taught = _images(table, settings), _taught(table, robot_obs, scene_obs)
    writer.add(action, robot_obs, scene_obs, images, taught)


def _demonstrate(
    table: Table,
    task: str,
    settings: CollectSettings,
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
    stretches = _Stretches(settings.share, rng)
    after = max(0, int(rng.integers(-AFTER, AFTER + 1)))
    ranges = []
    first = writer.next_frame_id
    solved = None  # the frame whose action did it, or the last one before

    def end_range() -> None:
        if writer.next_frame_id > first + 1:
            ranges.append((first, writer.next_frame_id - 1))

    for step in range(TASK_STEPS + after):
        if step == bump_at:
            end_range()
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
        if stretches.next():
            _record(table, action, settings, writer)
        else:
            end_range()
            writer.cut()
            first = writer.next_frame_id
        table.step(action)
        if solved is None and expert.done:
            solved = writer.next_frame_id - 1
        if solved is not None:
            if after == 0:
                break
            after -= 1
        elif step >= TASK_STEPS:
            break
    end_range()
    draws = rng.random(len(ranges))
    if solved is None:
        return False
    for (a, b), draw in zip(ranges, draws, strict=True):
        if min(b, solved) > a:
            writer.annotate(a, min(b, solved), task, float(draw))
    return True


def _play(
    table: Table,
    turn: int,
    writer: SessionWriter,
    rng: np.random.Generator,
    wanted: tuple[str, ...],
) -> Generator[str, bool, None]:
    """Endless tasks from what is there; is told after each whether it was solved."""
    oracle = TaskOracle(table.scene)
    counts = dict.fromkeys(TASKS, 0)
    _start(table, turn, rng)
    last, failures = None, 0
    while True:
        if held_block(table.state()) and rng.random() < PUT_DOWN_SHARE:
            writer.cut()
            _put_down(table, rng)
        tasks = startable(oracle, table.state())
        if not tasks or failures >= 2:
            # nothing works here any more: begin again elsewhere
            writer.cut()
            _start(table, int(rng.integers(len(TASKS))), rng)
            last, failures = None, 0
            continue
        last = _choose(tasks, wanted, counts, last, rng)
        counts[last] += 1
        failures = 0 if (yield last) else failures + 1


def _chains(
    table: Table, turn: int, writer: SessionWriter, rng: np.random.Generator
) -> Generator[str, bool, None]:
    """Endless tasks, five from each start or until one is not solved; is told as `_play` is."""
    while True:
        state, tasks = draw_chain(rng)
        writer.cut()
        _start_near(table, state, rng)
        for task in tasks:
            if not (yield task):
                break


def record_session(
    out: Path, split: str, session: int, settings: CollectSettings, astray: Astray | None = None
) -> dict:
    """Record one session and write it.

    Session number and seed decide everything, so it does not matter who records it.

    Args:
        out: folder of the data set.
        split: one of `SPLITS`.
        session: number of the session, >= 0.
        astray: what lets a policy act; None: nothing.
    Returns:
        the session's marker, with `attempts` {task: [solved, all]}.
    """
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), session])
    turn, which = divmod(session, len(settings.scenes))
    scene = settings.scenes[which]
    if scene == RANDOM:
        scene += str(rng.integers(2**31))
    look = int(rng.integers(2**31)) if settings.randomize else -1
    appearance = None
    if settings.randomize:
        appearance = Appearance.random(np.random.default_rng(look), look=settings.simulator.look)
    writer = SessionWriter(
        Path(out) / split, session, shard=settings.shards > 0, scene=scene, appearance=look
    )
    attempts: dict[str, list[int]] = {}
    with settings.simulator.open(scene, appearance=appearance) as table:
        if turn % 2 and not settings.tasks:
            tasks = _chains(table, turn // 2, writer, rng)
        else:
            tasks = _play(table, turn // 2, writer, rng, settings.tasks)
        solved = None  # of the task before
        for _ in range(settings.tasks_per_session):
            if writer.room < TASK_STEPS + 12:
                break
            task = tasks.send(solved)
            began = writer.next_frame_id
            solved = _demonstrate(table, task, settings, writer, rng, astray)
            tried = attempts.setdefault(task, [0, 0])
            tried[0] += solved
            tried[1] += 1
            if not solved:
                writer.discard(began)
    return writer.close(attempts)
