# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 eval`: how often a policy succeeds, on single tasks and on chains of five.

A *rollout* is one chain, or one try of a single task; its start and its wordings follow from the
seed and its own number alone, so that the number of workers changes nothing. Each subtask has one
wording, 360 steps in a chain and 240 alone, and is judged after every step. A chain is reset once
and ends at its first failure. The camera is drawn only when the policy plans.

Written below `out`:

| file | what |
| --- | --- |
| record-<hash>.jsonl | a line per finished rollout; the same settings go on from there |
| videos/*.mp4 | the first rollouts, if wanted |
| result.json, report.html | the figures |

Result keys:

| key | what |
| --- | --- |
| avg_len, success_at | mean number of subtasks done in a chain; share with at least 1..5 done |
| lengths | subtasks done in each chain, in order |
| chains | how many; without any, avg_len and success_at are None |
| per_task | task -> {success, trials}: of the single tasks, or else of the chains' subtasks |
| mean_success | mean over tasks of success / trials |
| scene, renderer, policy, seed, ros, command | what was run |
| checkpoint_sha256 | None for expert and random |
| seconds | wall clock of these rollouts, also where they were done by an earlier call |
| videos | [{file, rollout, success, subtasks: [{task, instruction, success, steps}]}] |
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
from vw2_ros.control.safety import Limits
from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.evaluation import film as video
from vw2_ros.progress import Bar
from vw2_ros.sim.cameras import RENDERER
from vw2_ros.sim.expert.skills import Expert, prepare
from vw2_ros.sim.long_horizon import CHAIN_STEPS, SINGLE_STEPS, chains
from vw2_ros.sim.phrases import read_phrases, train_phrases, validation_phrases
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.scenes import get_scene
from vw2_ros.sim.task_run import RUNNING, SUCCEEDED, TaskRun
from vw2_ros.sim.tasks import TASKS, check_task

SCRIPTED = ('expert', 'random')
VIDEO_HZ = 10
VIDEO_PX = 200


class EvaluationError(VW2Error, RuntimeError):
    """The evaluation cannot go on; what was finished is kept in its record."""


@dataclass(frozen=True)
class Options:
    """What to evaluate.

    Raises:
        ValueError: an unknown scene or task, nothing to evaluate, or counts that make no sense.
    """

    policy: str = 'play_table'  # shipped weights, the folder of a checkpoint, 'expert', 'random'
    tasks: tuple[str, ...] = ()  # single tasks
    rollouts: int = 20  # tries of each single task
    chains: int = 0  # the first so many of the 1000 chains
    scene: str = 'D'
    seed: int = 0  # starts of single tasks, choice of wordings, random actions
    phrases: pathlib.Path | None = None  # JSON, task -> wordings, instead of the validation ones
    workers: int = 1  # processes
    video: int = 0  # film the first so many rollouts
    ros: bool = False  # through the nodes, in lockstep
    real_time: bool = False  # through the nodes, and the table waits for nobody
    out: pathlib.Path | None = None  # None: out/eval/<policy>-<tasks, chains, ros>
    execute: int = 8  # actions of a plan that are executed before the next

    def __post_init__(self):
        get_scene(self.scene)
        object.__setattr__(self, 'tasks', tuple(check_task(t) for t in self.tasks))
        if not self.tasks and not self.chains:
            raise InvalidValueError('nothing to evaluate: name tasks, or say how many chains')
        for name, low, high in (
            ('rollouts', 1, 10**6),
            ('chains', 0, 1000),
            ('seed', 0, 2**63),
            ('workers', 1, 1024),
            ('video', 0, 10**6),
            ('execute', 1, 16),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(
                    f'{name} must lie in {low}..{high}. Got {getattr(self, name)}.'
                )
        object.__setattr__(self, 'ros', self.ros or self.real_time)
        if self.ros and self.policy in SCRIPTED:
            raise InvalidValueError(
                f"the nodes run a trained policy: '{self.policy}' cannot go with ros"
            )
        what = [k for k in ('tasks', 'chains', 'ros', 'real_time') if getattr(self, k)]
        name = '-'.join([re.sub(r'\W+', '_', self.policy).strip('_'), *what])
        object.__setattr__(self, 'out', pathlib.Path(self.out or f'out/eval/{name}'))


@dataclass(frozen=True)
class Rollout:
    """One chain, or one try of a single task."""

    name: str  # 'chain/17' or 'open_drawer/3'
    tasks: tuple[str, ...]
    seed: tuple[int, ...]  # of its random numbers
    max_steps: int
    chain: int | None  # index among the scene's chains


def rollouts(options: Options) -> list[Rollout]:
    """All that is to be done, in order: chains first, then the tasks one after another."""
    listed = [
        Rollout(f'chain/{i}', c.tasks, (options.seed, 1, i), CHAIN_STEPS, i)
        for i, c in enumerate(chains(options.scene)[: options.chains])
    ]
    return listed + [
        Rollout(
            f'{task}/{k}', (task,), (options.seed, 2, TASKS.index(task), k), SINGLE_STEPS, None
        )
        for k in range(options.rollouts)
        for task in options.tasks
    ]


def run(options: Options) -> dict:
    """Evaluate, and write the record, videos, result.json and report.html.

    Returns:
        the result, see the module's table.
    Raises:
        ValueError: a phrases file that does not fit.
        CheckpointError: a policy that cannot be loaded.
        EvaluationError: a worker died, or another evaluation writes to the same record.
        KeyboardInterrupt: Ctrl-C; a run with the same settings goes on from there.
    """
    from vw2_ros.evaluation import report

    wanted = rollouts(options)
    wordings = _wordings(options, {t for r in wanted for t in r.tasks})
    sha256 = checkpoint_sha256(options.policy)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = _settings(options, wordings, sha256)
    with Record(options.out, settings) as record:
        films = {r.name: _film_path(options.out, record.key, r) for r in wanted[: options.video]}
        pending = [
            r
            for r in wanted
            if r.name not in record.done or (r.name in films and not films[r.name].is_file())
        ]
        if len(pending) < len(wanted):
            print(
                f'{len(wanted) - len(pending)} of {len(wanted)} rollouts are in '
                f'{record.path}; delete it to do them again'
            )
        with _progress(options, wanted, record) as advance:
            for line in _performed(options, pending, wordings, films):
                record.add(line)
                advance(line)
        done = [record.done[r.name] for r in wanted]
    shown = [
        _shown(r, film, options.out, record.done[r.name])
        for r in wanted
        if (film := films.get(r.name))
    ]
    result = {
        **summarise(done),
        'scene': options.scene,
        'renderer': RENDERER,
        'checkpoint_sha256': sha256,
        'seconds': round(sum(line['wall_s'] for line in done), 1),
        'policy': options.policy,
        'seed': options.seed,
        'ros': options.ros,
        'real_time': options.real_time,
        'command': _command(),
        'videos': shown,
    }
    _write(options.out / 'result.json', json.dumps(result, indent=2) + '\n')
    report.write(options.out / 'report.html', result, options.out)
    return result


def summarise(done: list[dict]) -> dict:
    """The figures of finished rollouts (lines of the record)."""
    lengths = [sum(s['success'] for s in d['subtasks']) for d in done if _is_chain(d)]
    singles = [d for d in done if not _is_chain(d)]
    trials: Counter = Counter()
    success: Counter = Counter()
    for d in singles or done:
        for s in d['subtasks']:
            trials[s['task']] += 1
            success[s['task']] += s['success']
    per_task = {t: {'success': success[t], 'trials': trials[t]} for t in TASKS if trials[t]}
    return {
        'avg_len': float(np.mean(lengths)) if lengths else None,
        'success_at': [float(np.mean(np.array(lengths) >= n)) for n in range(1, 6)]
        if lengths
        else None,
        'lengths': lengths,
        'chains': len(lengths),
        'per_task': per_task,
        'mean_success': float(np.mean([c['success'] / c['trials'] for c in per_task.values()])),
    }


def _is_chain(line: dict) -> bool:
    return line['rollout'].startswith('chain/')


# ---------------------------------------------------------------- who acts


class ExpertPlayer:
    """The scripted expert: sees the state, never the picture or the words."""

    def reset(self, table: PlayTable, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""

    def begin(self, table: PlayTable, task: str, instruction: str) -> None:
        """Begin a subtask."""
        self._expert = Expert(table, task)

    def act(self, table: PlayTable):
        """The next action, as `PlayTable.step` takes it."""
        return self._expert.act()


class RandomPlayer:
    """Relative actions drawn uniformly from [-1, 1], the gripper closed or open by a coin."""

    def reset(self, table: PlayTable, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""
        self._rng = np.random.default_rng((*seed, 9))

    def begin(self, table: PlayTable, task: str, instruction: str) -> None:
        """Begin a subtask."""

    def act(self, table: PlayTable):
        """The next action, as `PlayTable.step` takes it."""
        action = self._rng.uniform(-1.0, 1.0, 7)
        action[6] = self._rng.choice((-1.0, 1.0))
        return action


class LearnedPlayer:
    """Planner and head through the same control loop as the nodes, the world waiting for them."""

    def __init__(self, policy: str, execute: int = 8):
        from vw2_ros.models.policy import Policy  # torch: only where a model runs

        self._policy = Policy.load(policy, threads=1, execute=execute)
        self._policy.check_renderer(RENDERER, self._policy.image_size)
        self._limits = Limits.play_table()
        self._execute = execute

    def reset(self, table: PlayTable, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""
        how = ControlConfig(lockstep=True, execute=self._execute, chunk=self._policy.chunk)
        self._loop = ControlLoop(self._limits, how)
        self._ticks = 0

    def begin(self, table: PlayTable, task: str, instruction: str) -> None:
        """Begin a subtask."""
        self._instruction = instruction
        self._policy.reset(0)
        self._loop.instruct(instruction)
        self._steps = 0

    def act(self, table: PlayTable):
        """The next action, as `PlayTable.step` takes it."""
        stamp_ns = 10**9 + self._ticks * 10**9 // ACTION_HZ
        now_s = stamp_ns * 1e-9
        if self._steps % self._execute == 0:
            rgb = table.render('static', self._policy.image_size)
            plan = self._policy.plan(rgb, self._instruction)
            chunk = Chunk(stamp_ns, self._policy.actions(plan.hidden), now_s)
            dropped = self._loop.accept(chunk, now_s)
            if dropped:
                raise EvaluationError(f'the control loop refused a plan: {dropped}')
        self._steps += 1
        self._ticks += 1
        command = self._loop.step(now_s, table.joint_positions())
        if command.joints is None:
            raise EvaluationError(f'the control loop gives no command: {command.reasons}')
        return 'joint_abs', np.append(command.joints, command.gripper)


def player(policy: str, execute: int = 8):
    """The player of that name."""
    if policy == 'expert':
        return ExpertPlayer()
    return RandomPlayer() if policy == 'random' else LearnedPlayer(policy, execute)


@dataclass(frozen=True)
class PolicyTurn:
    """Lets a policy act for a while during a collection (`sim.collect.Astray`)."""

    policy: str
    steps: tuple[int, int] = (8, 97)  # least, and below which
    execute: tuple[int, ...] = (3, 8)  # one of them: as in real time, and as in lockstep

    def __call__(
        self, table: PlayTable, task: str, rng: np.random.Generator, solved: Callable[[], bool]
    ) -> None:
        """Try `task` for some steps or until it is solved, in one of its training wordings."""
        act = _loaded(self.policy, int(rng.choice(self.execute)))
        wordings = train_phrases(task)
        act.reset(table, (0,))
        act.begin(table, task, wordings[rng.integers(len(wordings))])
        for _ in range(int(rng.integers(*self.steps))):
            table.step(act.act(table))
            if solved():
                break


@functools.cache
def _loaded(policy: str, execute: int):
    return player(policy, execute)


# ---------------------------------------------------------------- one rollout


def start(table: PlayTable, rollout: Rollout) -> tuple[np.ndarray, np.ndarray]:
    """Bring the table to where a rollout starts; (robot_obs (15,), scene_obs (24,)) of it."""
    if rollout.chain is not None:
        chain = chains(table.scene.name)[rollout.chain]
        robot_obs, scene_obs = chain.robot_obs, chain.scene_obs
    else:
        prepare(table, rollout.tasks[0], np.random.default_rng(rollout.seed))
        robot_obs, scene_obs = table.robot_obs(), table.scene_obs()
    # also after `prepare`: then the start is these numbers and nothing else
    table.reset(robot_obs, scene_obs)
    return robot_obs, scene_obs


def instructions(rollout: Rollout, wordings: dict[str, list[str]]) -> list[str]:
    """One wording per subtask."""
    rng = np.random.default_rng((*rollout.seed, 3))
    return [wordings[task][rng.integers(len(wordings[task]))] for task in rollout.tasks]


class InProcess:
    """Rollouts on a play table of this process."""

    def __init__(self, options: Options):
        self._table = PlayTable(options.scene)
        self._player = player(options.policy, options.execute)

    def close(self) -> None:
        """Free the table."""
        self._table.close()

    def perform(self, rollout: Rollout, said: list[str], film: pathlib.Path | None) -> list[dict]:
        """Try the subtasks in a row; one entry for each that was begun."""
        table, act = self._table, self._player
        start(table, rollout)
        act.reset(table, rollout.seed)
        reel = Reel(rollout) if film else None
        subtasks = []
        for number, (task, instruction) in enumerate(zip(rollout.tasks, said)):
            act.begin(table, task, instruction)
            judged = TaskRun(table, task, rollout.max_steps, number)
            while judged.status == RUNNING:
                if reel:
                    reel.see(table, number, instruction, judged.steps)
                table.step(act.act(table))
                judged.stepped(table)
            subtasks.append(_subtask(task, instruction, judged.status == SUCCEEDED, judged.steps))
            if reel:
                reel.end(table, number, instruction, judged.steps, subtasks[-1]['success'])
            if not subtasks[-1]['success']:
                break
        if reel:
            video.write(film, reel.frames(), VIDEO_HZ)
        return subtasks


class ThroughNodes:
    """Rollouts through planner and action node, in processes of their own."""

    def __init__(self, options: Options):
        from vw2_ros.evaluation.ros_rollout import RosRollout

        self._table = PlayTable(options.scene)  # finds starts, draws films
        policy = options.policy
        weights = str(pathlib.Path(policy).resolve()) if os.path.isdir(policy) else policy
        self._states: list[dict] = []
        self._nodes = RosRollout(
            weights,
            options.scene,
            real_time=options.real_time,
            execute=options.execute,
            on_state=self._states.append,
        )

    def close(self) -> None:
        """End the nodes."""
        self._nodes.close()
        self._table.close()

    def perform(self, rollout: Rollout, said: list[str], film: pathlib.Path | None) -> list[dict]:
        """As `InProcess.perform`."""
        self._nodes.reset(*start(self._table, rollout))
        reel = Reel(rollout) if film else None
        subtasks = []
        for number, (task, instruction) in enumerate(zip(rollout.tasks, said)):
            self._states.clear()
            success, steps = self._nodes.run_task(task, instruction, rollout.max_steps)
            subtasks.append(_subtask(task, instruction, success, steps))
            if reel:
                self._draw(reel, number, instruction, steps, success)
            if not success:
                break
        if reel:
            video.write(film, reel.frames(), VIDEO_HZ)
        return subtasks

    def _draw(
        self, reel: 'Reel', number: int, instruction: str, steps: int, success: bool
    ) -> None:
        states = list(self._states)
        for step, state in enumerate(states):
            if reel.wants(step) or step == len(states) - 1:
                self._table.reset(state['robot_obs'], state['scene_obs'])
                reel.see(self._table, number, instruction, step)
        reel.end(self._table, number, instruction, steps, success)


def _subtask(task: str, instruction: str, success: bool, steps: int) -> dict:
    return {
        'task': task,
        'instruction': instruction,
        'success': bool(success),
        'steps': int(steps),
    }


class Reel:
    """Pictures of a rollout, every third step, with words."""

    def __init__(self, rollout: Rollout):
        self._rollout = rollout
        self._pictures: list[tuple[np.ndarray, str, str, str]] = []

    @staticmethod
    def wants(step: int) -> bool:
        """Whether this step is shown."""
        return step % (ACTION_HZ // VIDEO_HZ) == 0

    def see(self, table: PlayTable, number: int, instruction: str, step: int) -> None:
        """Take a picture, if this step is shown."""
        if self.wants(step):
            self._take(table, number, instruction, step, video.RUNNING)

    def end(
        self, table: PlayTable, number: int, instruction: str, step: int, success: bool
    ) -> None:
        """A second of the verdict."""
        verdict = video.SUCCEEDED if success else video.FAILED
        self._take(table, number, instruction, step, verdict)
        self._pictures += [self._pictures[-1]] * (VIDEO_HZ - 1)

    def frames(self):
        """The captioned pictures, one after another."""
        return (video.captioned(*p) for p in self._pictures)

    def _take(self, table, number, instruction, step, verdict) -> None:
        total = len(self._rollout.tasks)
        which = f'{number + 1} of {total}, ' if total > 1 else ''
        note = f'{which}{step / ACTION_HZ:4.1f} s'
        self._pictures.append((table.render('static', VIDEO_PX), instruction, note, verdict))


# ---------------------------------------------------------------- workers


def _performed(options: Options, pending: list[Rollout], wordings: dict, films: dict):
    """Perform the rollouts, here or in processes; yield a line of the record for each."""
    world = min(options.workers, len(pending))
    if world > 1:
        yield from _in_processes(options, pending, wordings, films, world)
    elif pending:
        with contextlib.closing(_stage(options)) as stage:
            for rollout in pending:
                yield _line(stage, rollout, wordings, films)


def _stage(options: Options) -> InProcess | ThroughNodes:
    return ThroughNodes(options) if options.ros else InProcess(options)


def _line(stage, rollout: Rollout, wordings: dict, films: dict) -> dict:
    subtasks = stage.perform(rollout, instructions(rollout, wordings), films.get(rollout.name))
    return {'rollout': rollout.name, 'subtasks': subtasks}


def _in_processes(
    options: Options, pending: list[Rollout], wordings: dict, films: dict, world: int
):
    context = multiprocessing.get_context('spawn')  # no copy of this process's threads
    workers, lines = [], {}  # a pipe each: what a worker that is ended leaves locks nobody
    try:
        with _deaf_to_ctrl_c():
            for rank in range(world):
                receiver, sender = context.Pipe(duplex=False)
                worker = context.Process(
                    target=_work,
                    args=(options, pending[rank::world], wordings, films, sender),
                    name=f'rollouts-{rank}',
                    daemon=not options.ros,
                )
                worker.start()
                sender.close()
                workers.append(worker)
                lines[receiver] = worker
        while lines:
            for receiver in multiprocessing.connection.wait(list(lines)):
                try:
                    line = receiver.recv()
                except EOFError:
                    worker = lines.pop(receiver)
                    worker.join()
                    if worker.exitcode:
                        raise EvaluationError(
                            f'worker {worker.name} died; run the same command again to go on'
                        ) from None
                    continue
                if 'error' in line:
                    raise EvaluationError(line['error'])
                yield line
    finally:
        _end(workers)


def _end(workers: list[multiprocessing.Process], patience_s: float = 15.0) -> None:
    """End all, more firmly where asking is not heard; nodes follow the worker that began them."""
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + patience_s
    for worker in workers:
        worker.join(max(end - time.monotonic(), 0.0))
        worker.kill()
        worker.join()


@contextlib.contextmanager
def _deaf_to_ctrl_c():
    """What starts in here never hears Ctrl-C: this process ends it when it hears one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(options: Options, shard: list[Rollout], wordings: dict, films: dict, sender) -> None:
    """One process: its shard, rollout after rollout."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nodes are ended too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with contextlib.closing(_stage(options)) as stage:
            for rollout in shard:
                sender.send(_line(stage, rollout, wordings, films))
    except Exception as error:
        sender.send({'error': f'{type(error).__name__}: {error}'})


def _end_with_parent() -> None:
    """A worker whose parent was killed has nobody to tell."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


# ---------------------------------------------------------------- the record


class Record:
    """Lines of JSON, one per finished rollout, on disk as soon as they are known.

    The file's name comes from everything that a result depends on: other settings, weights or
    code have another file. A last line that was cut off is dropped.

    Args:
        folder: where the file lies.
        settings: JSON values; the first line.
    Raises:
        EvaluationError: another process writes to it.
    """

    def __init__(self, folder: pathlib.Path, settings: dict):
        text = json.dumps(settings, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = folder / f'record-{self.key}.jsonl'
        self.done: dict[str, dict] = {}
        self._file = open(self.path, 'a+b')
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise EvaluationError(
                f'another evaluation writes to {self.path}; wait for it, or choose another folder'
            ) from None
        self._read()
        if not self._file.tell():
            self._append({'settings': settings})
        self._last_s = time.monotonic()

    def __enter__(self) -> 'Record':
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, line: dict) -> None:
        """Keep a finished rollout, with the wall clock since the one before."""
        now_s = time.monotonic()
        line = {**line, 'wall_s': round(now_s - self._last_s, 3)}
        self._last_s = now_s
        self.done[line['rollout']] = line
        self._append(line)

    def _read(self) -> None:
        self._file.seek(0)
        good = 0
        for raw in self._file:
            try:
                line = json.loads(raw)
            except ValueError:
                break
            if not raw.endswith(b'\n'):
                break
            good += len(raw)
            if 'rollout' in line:
                self.done[line['rollout']] = line
        self._file.truncate(good)
        self._file.seek(good)

    def _append(self, line: dict) -> None:
        self._file.write(json.dumps(line).encode() + b'\n')
        self._file.flush()
        os.fsync(self._file.fileno())


# ---------------------------------------------------------------- around it


def _wordings(options: Options, tasks: set[str]) -> dict[str, list[str]]:
    if options.phrases is None:
        return {task: validation_phrases(task) for task in tasks}
    given = read_phrases(options.phrases)
    missing = sorted(tasks - set(given))
    if missing:
        raise InvalidValueError(f'{options.phrases} has no wording for {", ".join(missing)}')
    return {task: given[task] for task in tasks}


def checkpoint_sha256(policy: str) -> str | None:
    """Digest of a policy's weights, None for a scripted one.

    They are loaded for it: a damaged folder is told before anything is started.

    Raises:
        CheckpointError: they cannot be loaded.
    """
    if policy in SCRIPTED:
        return None
    from vw2_ros.models.checkpoint import load_checkpoint

    return load_checkpoint(policy).sha256


def _settings(options: Options, wordings: dict, sha256: str | None) -> dict:
    """All that a rollout's outcome depends on."""
    return {
        'policy': options.policy if sha256 is None else 'weights',
        'checkpoint_sha256': sha256,
        'scene': options.scene,
        'seed': options.seed,
        'execute': options.execute,
        'ros': options.ros,
        'real_time': options.real_time,
        'renderer': RENDERER,
        'code_sha256': code_sha256(options.ros),
        'phrases': str(options.phrases) if options.phrases else 'validation',
        'wordings_sha256': _sha256(json.dumps(wordings, sort_keys=True).encode())
        if options.phrases
        else None,
    }


def code_sha256(ros: bool = False) -> str:
    """Hash of the simulator's, the models' and the control loop's source; with ros of all."""
    here = pathlib.Path(__file__).parents[1]
    loop = ('control_loop', 'evaluation', 'kinematics', 'safety', 'task_run')
    files = sorted(here.glob('*.py')) if ros else [here / f'{name}.py' for name in loop]
    for part in ('sim', 'models'):
        folder = here / part if (here / part).is_dir() else here.parent / part
        files += sorted(folder.glob('*.py')) + sorted(folder.glob('data/*.json'))
    return _sha256(b''.join(file.name.encode() + file.read_bytes() for file in files))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _film_path(out: pathlib.Path, key: str, rollout: Rollout) -> pathlib.Path:
    return out / 'videos' / f'{rollout.name.replace("/", "_")}-{key}.mp4'


def _shown(rollout: Rollout, film: pathlib.Path, out: pathlib.Path, line: dict) -> dict:
    return {
        'file': str(film.relative_to(out)),
        'rollout': rollout.name,
        'success': all(s['success'] for s in line['subtasks']),
        'subtasks': line['subtasks'],
    }


def _command() -> str:
    program = pathlib.Path(sys.argv[0]).stem
    return shlex.join(['vw2' if program in ('cli', '__main__') else program, *sys.argv[1:]])


@contextlib.contextmanager
def _progress(options: Options, wanted: list[Rollout], record: Record):
    """A bar with the running figures; yields what to call after each rollout."""
    names = {r.name for r in wanted}

    def figures() -> str:
        done = [d for name, d in record.done.items() if name in names]
        if not done:
            return options.policy
        so_far = summarise(done)
        length = '' if so_far['avg_len'] is None else f'mean length {so_far["avg_len"]:.2f}  '
        return f'{options.policy}  {length}success {so_far["mean_success"]:.1%}'

    with Bar(
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        known = sum(r.name in record.done for r in wanted)
        item = bar.add_task(figures(), total=len(wanted), completed=known)

        def advance(line: dict) -> None:
            count = sum(name in names for name in record.done)
            bar.update(item, description=figures(), completed=count)

        yield advance


def _write(path: pathlib.Path, text: str) -> None:
    part = path.with_name(path.name + '.part')
    part.write_text(text)
    os.replace(part, path)


def evaluate_tasks(
    policy: str, tasks: tuple[str, ...] = TASKS, rollouts: int = 20, **options
) -> dict:
    """Single tasks only; `options` as in `Options`. Returns the result of `run`."""
    return run(Options(policy=policy, tasks=tuple(tasks), rollouts=rollouts, **options))


def evaluate_chains(policy: str, chains: int = 200, **options) -> dict:
    """Chains only; `options` as in `Options`. Returns the result of `run`."""
    return run(Options(policy=policy, chains=chains, **options))
