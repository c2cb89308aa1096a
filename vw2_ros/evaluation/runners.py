# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where rollouts are performed: on a table of this process, or through the nodes.

A chain is reset once and ends at its first failure. A subtask is judged after every step.
"""

import os
import pathlib

from vw2_ros.evaluation import film
from vw2_ros.evaluation.players import player
from vw2_ros.evaluation.reel import VIDEO_HZ, Reel
from vw2_ros.evaluation.rollouts import Options, Rollout, start
from vw2_ros.sim.task_run import RUNNING, SUCCEEDED, TaskRun


class InProcess:
    """Rollouts on a table of this process. The camera is drawn only when the policy plans."""

    def __init__(self, options: Options):
        self._table = options.simulator.open(options.scene)
        self._player = player(
            options.policy,
            options.execute,
            options.simulator,
            options.delay,
            options.recover_after_s,
        )

    def close(self) -> None:
        """Free the table."""
        self._table.close()

    def perform(
        self, rollout: Rollout, said: list[str], video: pathlib.Path | None = None
    ) -> list[dict]:
        """Try the subtasks in a row.

        Args:
            said: the instruction of each subtask.
            video: the mp4 file to film it in, if any.
        Returns:
            {task, instruction, success, steps} of each subtask that was begun, and `disagreements`
            where the table has two oracles that did not agree.
        """
        table, act = self._table, self._player
        start(table, rollout)
        act.reset(table, rollout.seed)
        reel = Reel(len(rollout.tasks)) if video else None
        subtasks = []
        for number, (task, instruction) in enumerate(zip(rollout.tasks, said)):
            before = len(table.disagreements)
            act.begin(table, task, instruction)
            judged = TaskRun(table, task, rollout.max_steps, number)
            while judged.status == RUNNING:
                if reel:
                    reel.see(table, number, instruction, judged.steps)
                table.step(act.act(table))
                judged.stepped()
            subtasks.append(_subtask(task, instruction, judged.status == SUCCEEDED, judged.steps))
            if len(table.disagreements) > before:
                subtasks[-1]['disagreements'] = list(table.disagreements[before:])
            if reel:
                reel.end(table, number, instruction, judged.steps, subtasks[-1]['success'])
            if not subtasks[-1]['success']:
                break
        if reel:
            film.write(video, reel.frames(), VIDEO_HZ)
        return subtasks


class ThroughNodes:
    """Rollouts through planner and action node, in processes of their own."""

    def __init__(self, options: Options):
        from vw2_ros.evaluation.ros_rollout import RosRollout
        from vw2_ros.models.policy import Policy

        Policy.load(options.policy).check_images(options.simulator.renderer, scene=options.scene)
        self._table = options.simulator.open(options.scene)  # finds starts, draws films
        policy = options.policy
        weights = str(pathlib.Path(policy).resolve()) if os.path.isdir(policy) else policy
        self._states: list[dict] = []
        self._nodes = RosRollout(
            weights,
            options.scene,
            simulator=options.simulator,
            real_time=options.real_time,
            execute=options.execute,
            recover_after_s=options.recover_after_s,
            on_state=self._states.append,
        )

    def close(self) -> None:
        """End the nodes."""
        self._nodes.close()
        self._table.close()

    def perform(
        self, rollout: Rollout, said: list[str], video: pathlib.Path | None = None
    ) -> list[dict]:
        """As `InProcess.perform`."""
        self._nodes.reset(*start(self._table, rollout))
        reel = Reel(len(rollout.tasks)) if video else None
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
            film.write(video, reel.frames(), VIDEO_HZ)
        return subtasks

    def _draw(self, reel: Reel, number: int, instruction: str, steps: int, success: bool) -> None:
        """Film a subtask afterwards, from the states that the table has told."""
        states = list(self._states)
        for step, state in enumerate(states):
            if reel.wants(step) or step == len(states) - 1:
                self._table.reset(state['robot_obs'], state['scene_obs'])
                reel.see(self._table, number, instruction, step)
        reel.end(self._table, number, instruction, steps, success)


def open_runner(options: Options) -> InProcess | ThroughNodes:
    """What performs the rollouts of these options; the caller closes it."""
    return ThroughNodes(options) if options.ros else InProcess(options)


def _subtask(task: str, instruction: str, success: bool, steps: int) -> dict:
    return {
        'task': task,
        'instruction': instruction,
        'success': bool(success),
        'steps': int(steps),
    }
