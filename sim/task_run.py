# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One subtask on a table, judged after every control step by the table's oracle. No ROS."""

import json

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.table import Table
from vw2_ros.sim.tasks import check_task

IDLE, RUNNING, SUCCEEDED, FAILED = 'idle', 'running', 'succeeded', 'failed'


class TaskRun:
    """Counts steps and asks the oracle; an empty task only counts steps.

    Args:
        table: in the state that the subtask starts from.
        task: one of the 34 names, or '' for none.
        max_steps: the subtask has failed after so many; 0: no end.
        serial: number that tells this run from others.

    Raises:
        ValueError: an unknown task or a negative number of steps.
    """

    def __init__(self, table: Table, task: str, max_steps: int, serial: int):
        if max_steps < 0:
            raise InvalidValueError(f'max_steps must be at least 0. Got {max_steps}.')
        self.task = check_task(task) if task else ''
        self.max_steps, self.serial = max_steps, serial
        self._done = table.judge(self.task) if self.task else lambda: False
        self.steps = 0
        self.status = RUNNING

    def stepped(self) -> bool:
        """Judge the state after one step; True if the status changed."""
        if self.status != RUNNING:
            return False
        self.steps += 1
        if self._done():
            self.status = SUCCEEDED
        elif self.max_steps and self.steps >= self.max_steps:
            self.status = FAILED
        return self.status != RUNNING

    def report(self, table: Table) -> str:
        """JSON with serial, task, status, steps, and robot_obs and scene_obs of the table."""
        return json.dumps(
            {
                'serial': self.serial,
                'task': self.task,
                'status': self.status,
                'steps': self.steps,
                'max_steps': self.max_steps,
                'robot_obs': table.robot_obs().tolist(),
                'scene_obs': table.scene_obs().tolist(),
            }
        )


def parse_reset(text: str) -> dict:
    """JSON of a start state -> keyword arguments of `Table.reset`.

    Args:
        text: '' (the fixed start), or an object with any of `robot_obs` (15 or 7 numbers),
            `scene_obs` (24) and `seed` (an integer: a random scene).

    Raises:
        ValueError: no JSON, unknown keys, wrong sizes.
    """
    if not text.strip():
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidValueError(
            f'the start state must be JSON. Got {text!r:.80}: {error}'
        ) from None
    known = {'robot_obs': (15, 7), 'scene_obs': (24,), 'seed': ()}
    if not isinstance(given, dict) or set(given) - set(known):
        raise InvalidValueError(
            f'the start state must be an object with any of {", ".join(known)}. Got {text!r:.80}'
        )
    out = {}
    for key, sizes in known.items():
        value = given.get(key)
        if value is None:
            continue
        if key == 'seed':
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InvalidValueError(
                    f'seed must be an integer of at least 0. Got {value!r:.40}'
                )
            out['rng'] = np.random.default_rng(value)
            continue
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if array.shape not in {(n,) for n in sizes} or not np.isfinite(array).all():
            raise InvalidValueError(
                f'{key} must be {" or ".join(map(str, sizes))} finite numbers. '
                f'Got {str(value):.80}'
            )
        out[key] = array
    return out
