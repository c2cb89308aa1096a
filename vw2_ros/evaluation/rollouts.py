# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 eval` tries: the options, and the rollouts that follow from them.

A *rollout* is one chain of five subtasks, or one try of a single task. Its start and its wordings
follow from the seed and its own number alone, so that the number of workers changes nothing. Each
subtask has one wording. It may take 360 steps in a chain and 240 alone.
"""

import math
import pathlib
import re
from dataclasses import dataclass, field

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.recovery import TABLE_AFTER_S
from vw2_ros.sim.expert.starts import prepare
from vw2_ros.sim.long_horizon import CHAIN_STEPS, SINGLE_STEPS, chains
from vw2_ros.sim.mounts import DEFAULT_ARM
from vw2_ros.sim.phrases import read_phrases, validation_phrases
from vw2_ros.sim.scenes import get_scene
from vw2_ros.sim.table import Simulator, Table
from vw2_ros.sim.tasks import TASKS, check_task
from vw2_ros.work.place import LOCAL, check_place

SCRIPTED = ('expert', 'random')  # policies without weights
WORDS = ('play_table', 'calvin')


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
    simulator: Simulator = field(default_factory=Simulator)  # which table
    scene: str = 'D'
    seed: int = 0  # starts of single tasks, choice of wordings, random actions
    phrases: pathlib.Path | None = None  # JSON, task -> wordings, instead of the validation ones
    words: str = 'play_table'  # whose validation phrases: one of `WORDS`
    on: str = 'local'  # where they are performed, see `work.place`
    workers: int | None = None  # at a time; None: one, on a cluster as many as its CPUs
    video: int = 0  # film the first so many rollouts
    ros: bool = False  # through the nodes, in lockstep
    real_time: bool = False  # through the nodes, and the table waits for nobody
    out: pathlib.Path | None = None  # None: out/eval/<policy>-<tasks, chains, ros>
    execute: int = 8  # actions of a plan that are executed before the next; the policy checks it
    delay: int = 0  # steps from a picture until its plan is followed, in lockstep in one process
    recover_after_s: float = TABLE_AFTER_S  # what is not done by then is tried anew; 0: never

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
        ):
            if getattr(self, name) is None:
                continue
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(
                    f'{name} must lie in {low}..{high}. Got {getattr(self, name)}.'
                )
        if self.words not in WORDS:
            raise InvalidValueError(
                f'words must be one of {", ".join(WORDS)}. Got {self.words!r}.'
            )
        if check_place(self.on) != LOCAL and (self.ros or self.real_time):
            raise InvalidValueError(
                f'the nodes run on this machine. Got --on {self.on}. Leave it out, or --ros'
            )
        if self.ros and not self.real_time and self.simulator.arm != Simulator.arm:
            raise InvalidValueError(
                f'the arm {self.simulator.arm} begins disarmed, as a robot, and a world that waits '
                'would wait for ever. Say --real-time'
            )
        if self.ros and self.simulator.look != Simulator.look:
            raise InvalidValueError(
                f'the look {self.simulator.look} goes with a run in this process. '
                'Got --ros or --real-time. Leave one of them out'
            )
        if self.words == 'calvin' and (self.phrases or not self.simulator.calvin_env):
            raise InvalidValueError(
                "CALVIN's words must come from its checkout, without other phrases. "
                f'Got {self.phrases or "no checkout"}. Name one with --calvin-env'
            )
        if self.execute < 1:
            raise InvalidValueError(f'execute must be at least 1. Got {self.execute}.')
        if not 0 <= self.recover_after_s < math.inf:
            raise InvalidValueError(
                f'recover_after_s must be at least 0. Got {self.recover_after_s}.'
            )
        if self.delay < 0:
            raise InvalidValueError(f'delay must be at least 0. Got {self.delay}.')
        if self.delay and (self.ros or self.real_time):
            raise InvalidValueError(
                'a delay goes with a run in this process. Got --ros or --real-time. Leave one out'
            )
        object.__setattr__(self, 'ros', self.ros or self.real_time)
        if self.ros and self.policy in SCRIPTED:
            raise InvalidValueError(
                f"the nodes run a trained policy: '{self.policy}' cannot go with ros"
            )
        what = [k for k in ('tasks', 'chains', 'ros', 'real_time') if getattr(self, k)]
        name = '-'.join([re.sub(r'\W+', '_', self.policy).strip('_'), *what])
        if self.simulator.table != Simulator.table:
            name = f'{name}-{self.simulator.renderer}'
        if self.simulator.arm != Simulator.arm:
            name = f'{name}-{self.simulator.arm}'
        if self.simulator.look != Simulator.look:
            name = f'{name}-{self.simulator.look}'
        object.__setattr__(self, 'out', pathlib.Path(self.out or f'out/eval/{name}'))


@dataclass(frozen=True)
class Rollout:
    """One chain, or one try of a single task."""

    name: str  # 'chain/17' or 'open_drawer/3'
    tasks: tuple[str, ...]
    seed: tuple[int, ...]  # of its random numbers
    max_steps: int  # of each subtask
    chain: int | None  # index among the scene's chains


def rollouts(options: Options) -> list[Rollout]:
    """All that is to be done, in order: the chains, then try 0 of every task, try 1, and so on."""
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


def start(table: Table, rollout: Rollout) -> tuple[np.ndarray | None, np.ndarray]:
    """Bring the table to where a rollout starts.

    Returns:
        its robot_obs (8 + n,), None for the arm's rest, and scene_obs (24,).
    """
    if rollout.chain is not None:
        chain = chains(table.scene.name)[rollout.chain]
        # its joints are the Panda's: another arm starts at rest
        robot_obs = chain.robot_obs if table.arm.name == DEFAULT_ARM else None
        scene_obs = chain.scene_obs
    else:
        prepare(table, rollout.tasks[0], np.random.default_rng(rollout.seed))
        robot_obs, scene_obs = table.robot_obs(), table.scene_obs()
    # also after `prepare`: then the start is these numbers and nothing else
    table.reset(robot_obs, scene_obs)
    return robot_obs, scene_obs


def wordings_of(options: Options, tasks: set[str]) -> dict[str, list[str]]:
    """The wordings of each task: those of `options.phrases`, or else the validation phrases.

    Raises:
        ValueError: the phrases file cannot be read, or lacks a task.
        MissingFileError: the checkout has no sentences.
    """
    if options.words == 'calvin':
        checkout = options.simulator.checkout
        given, source = checkout.words(), checkout.words_file
    elif options.phrases is None:
        return {task: validation_phrases(task) for task in tasks}
    else:
        given, source = read_phrases(options.phrases), options.phrases
    missing = sorted(tasks - set(given))
    if missing:
        raise InvalidValueError(f'{source} has no wording for {", ".join(missing)}')
    return {task: given[task] for task in tasks}


def instructions(rollout: Rollout, wordings: dict[str, list[str]]) -> list[str]:
    """One wording per subtask."""
    rng = np.random.default_rng((*rollout.seed, 3))
    return [wordings[task][rng.integers(len(wordings[task]))] for task in rollout.tasks]
