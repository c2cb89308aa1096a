# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Who acts on the play table in one process: the scripted expert, random actions, or a policy.

Every player has the same three calls: `reset` begins a rollout, `begin` a subtask, and `act` gives
the next action as `Table.step` takes it.
"""

import functools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.arms.contract import Contract
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation.record import EvaluationError
from vw2_ros.evaluation.rollouts import SCRIPTED
from vw2_ros.sim.expert.expert import Expert
from vw2_ros.sim.phrases import train_phrases
from vw2_ros.sim.table import Simulator, Table


class ExpertPlayer:
    """The scripted expert: sees the state, never the picture or the words."""

    def reset(self, table: Table, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""

    def begin(self, table: Table, task: str, instruction: str) -> None:
        """Begin a subtask."""
        self._expert = Expert(table, task)

    def act(self, table: Table):
        """The next action, as `Table.step` takes it."""
        return self._expert.act()


class RandomPlayer:
    """Relative actions drawn uniformly from [-1, 1], the gripper closed or open by a coin."""

    def reset(self, table: Table, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""
        self._rng = np.random.default_rng((*seed, 9))

    def begin(self, table: Table, task: str, instruction: str) -> None:
        """Begin a subtask."""

    def act(self, table: Table):
        """The next action, as `Table.step` takes it."""
        action = self._rng.uniform(-1.0, 1.0, 7)
        action[6] = self._rng.choice((-1.0, 1.0))
        return action


class _Loop:
    """The nodes' control loop in lockstep with a table: actions in, joint commands out."""

    def __init__(self, contract: Contract, table: Table, followed: int, chunk: int):
        how = ControlConfig(lockstep=True, execute=followed, blend=0, chunk=chunk)
        self.loop = ControlLoop(contract, how)
        self._ticks = 0
        if contract.disarmed_at_start:
            now_s = self.now_ns * 1e-9
            self.loop.see_joints(table.joint_positions(), now_s)
            why = self.loop.rearm(now_s)
            if why:
                raise EvaluationError(f'the arm cannot be armed: {why}')

    @property
    def now_ns(self) -> int:
        """Stamp of the period that begins now."""
        return 10**9 + self._ticks * 10**9 // ACTION_HZ

    def accept(self, actions, taken_ns: int) -> None:
        """Follow from now on these relative actions (n, 7), made from the picture of `taken_ns`."""
        chunk = Chunk(taken_ns, actions, taken_ns * 1e-9)
        dropped = self.loop.accept(chunk, self.now_ns * 1e-9)
        if dropped:
            raise EvaluationError(f'the control loop refused a plan: {dropped}')

    def act(self, table: Table):
        """The command of this period, as `Table.step` takes it."""
        joints = table.joint_positions()
        command = self.loop.step(self.now_ns * 1e-9, joints)
        self._ticks += 1
        if command.status == 'waiting' and self.loop.newest_ns < 0:  # for the first plan
            return 'joint_abs', np.append(joints, command.gripper)
        if command.joints is None:
            raise EvaluationError(f'the control loop gives no command: {command.reasons}')
        return 'joint_abs', np.append(command.joints, command.gripper)


class ThroughContract:
    """Another player's relative actions, through the nodes' control loop and a robot's limits."""

    def __init__(self, player: ExpertPlayer | RandomPlayer, contract: Contract):
        self._player, self._contract = player, contract

    def reset(self, table: Table, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""
        self._loop = _Loop(self._contract, table, followed=1, chunk=1)
        self._player.reset(table, seed)

    def begin(self, table: Table, task: str, instruction: str) -> None:
        """Begin a subtask."""
        self._player.begin(table, task, instruction)

    def act(self, table: Table):
        """The next action, as `Table.step` takes it."""
        self._loop.accept(self._player.act(table)[None], self._loop.now_ns)  # (7,) -> (1, 7)
        return self._loop.act(table)


class LearnedPlayer:
    """Planner and head through the same control loop as the nodes, the world waiting for them.

    Args:
        delay: steps that pass before a plan is followed, as if making it took so long. It is then
            entered where it has got to, and the one before goes on until then.
        recover_after_s: see `models.recovery`.
    Raises:
        InvalidValueError: so many actions no plan has.
    """

    def __init__(
        self,
        policy: str,
        execute: int,
        contract: Contract,
        delay: int = 0,
        recover_after_s: float = 0.0,
    ):
        from vw2_ros.models.policy import Policy  # torch: only where a model runs

        self._policy = Policy.load(
            policy, threads=1, execute=execute, recover_after_s=recover_after_s
        )
        self._policy.check_action_frame(contract.action_frame)
        if execute + delay > self._policy.chunk:
            raise InvalidValueError(
                f'execute + delay must be at most {self._policy.chunk}, the actions of a plan. '
                f'Got {execute} + {delay}.'
            )
        self._contract = contract
        self._execute, self._delay = execute, delay

    def reset(self, table: Table, seed: tuple[int, ...]) -> None:
        """Begin a rollout."""
        self._policy.check_images(table.renderer, scene=table.scene.name)
        followed = self._execute + self._delay
        self._loop = _Loop(self._contract, table, followed, self._policy.chunk)

    def begin(self, table: Table, task: str, instruction: str) -> None:
        """Begin a subtask."""
        self._instruction = instruction
        self._policy.reset(0)
        self._loop.loop.instruct(instruction)
        self._steps = 0
        self._made: deque[tuple] = deque()  # (when it arrives, its actions, when it was seen)

    def act(self, table: Table):
        """The next action, as `Table.step` takes it."""
        if self._steps % self._execute == 0:
            rgb = table.render('static', self._policy.image_size)
            plan = self._policy.plan(rgb, self._instruction, self._steps / ACTION_HZ)
            arrives = self._steps + self._delay
            self._made.append((arrives, self._policy.actions(plan.hidden), self._loop.now_ns))
        if self._made and self._made[0][0] == self._steps:
            self._loop.accept(*self._made.popleft()[1:])
        self._steps += 1
        return self._loop.act(table)


Player = ExpertPlayer | RandomPlayer | ThroughContract | LearnedPlayer


def player(
    policy: str,
    execute: int = 8,
    simulator: Simulator | None = None,
    delay: int = 0,
    recover_after_s: float = 0.0,
) -> Player:
    """The player of that name.

    The scripted ones act on CALVIN's own arm directly, on others through the arm's contract.

    Args:
        simulator: the table that it will act on; None: the play table.
        execute, delay, recover_after_s: of a `LearnedPlayer`.
    """
    simulator = simulator or Simulator()
    if policy not in SCRIPTED:
        return LearnedPlayer(policy, execute, simulator.contract, delay, recover_after_s)
    scripted = ExpertPlayer() if policy == 'expert' else RandomPlayer()
    if simulator.arm == Simulator.arm:
        return scripted
    return ThroughContract(scripted, simulator.contract)


@dataclass(frozen=True)
class PolicyTurn:
    """Lets a policy act for a while during a collection (`sim.collect.Astray`)."""

    policy: str
    steps: tuple[int, int] = (8, 97)  # of a turn at least, and below which [control steps]
    lost: tuple[int, int] = (97, 301)  # the same of long turns, in which the policy can get stuck
    lost_share: float = 0.5  # of the turns
    execute: tuple[int, ...] = (3, 8)  # one of them: as in real time, and as in lockstep
    delay: tuple[int, ...] = (0, 1, 2)  # one of them: from picture to command, as in real time

    @property
    def reads(self) -> tuple[str, ...]:
        """The folder of its weights."""
        return weights_of(self.policy)

    def moved(self, at: Mapping[str, str]) -> 'PolicyTurn':
        """The same with the weights elsewhere. Args: at: folder -> where."""
        (folder,) = at.values()
        return replace(self, policy=folder)

    def __call__(
        self, table: Table, task: str, rng: np.random.Generator, solved: Callable[[], bool]
    ) -> None:
        """Try `task` for some steps or until it is solved, in one of its training wordings."""
        act = _loaded(self.policy, int(rng.choice(self.execute)), int(rng.choice(self.delay)))
        wordings = train_phrases(task)
        act.reset(table, (0,))
        act.begin(table, task, wordings[rng.integers(len(wordings))])
        steps = self.lost if rng.random() < self.lost_share else self.steps
        for _ in range(int(rng.integers(*steps))):
            table.step(act.act(table))
            if solved():
                break


def weights_of(policy: str) -> tuple[str, ...]:
    """The folder of a policy's weights; none for a scripted one."""
    if policy in SCRIPTED:
        return ()
    from vw2_ros.models.checkpoint import resolve  # torch: only where a model runs

    return (str(resolve(policy)),)


@functools.cache
def _loaded(policy: str, execute: int, delay: int):
    return player(policy, execute, delay=delay)
