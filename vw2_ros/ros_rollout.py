# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Evaluation through the real nodes: play table, planner and action node in lockstep over DDS.

The table waits for each command and judges each step by the task oracle, as the evaluation within
one process does; the same seed gives the same verdicts and step counts.

| order | who    | what                                                                        |
| ----- | ------ | --------------------------------------------------------------------------- |
| 1     | runner | sets `reset_state`, calls `reset` (table) and `restart` (action)             |
| 2     | runner | sets `instruction` (planner, action) and `task`, calls `start_task` (table)  |
| 3     | table  | joint_states; every 8th step, from the first on, an image with the same stamp |
| 4     | planner | the plan of each image                                                     |
| 5     | action | one command per joint_states, once the plan that is due has come             |
| 6     | table  | one step per command; says on `task_state` when the subtask has ended        |

Everything in 1 and 2 is a service call, so that no step can begin before all know of it.
"""

import json
import os
import tempfile
import time

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import String

from . import system, topics
from .client import Client, ClientError

NODES = ('calvin_bridge', 'planner', 'action')


class RosRollout:
    """The nodes, brought up once; `reset` and `run_task` as often as wanted.

    Args:
        weights: shipped weights by name, or a model folder.
        scene: A, B, C or D.
        execute: actions of a plan until the next one.
        log_dir: for the nodes' output; None: a temporary folder.
        on_state: called with each state of the table, a dict with robot_obs and scene_obs.

    Raises:
        BringUpError, ClientError: the nodes did not come up; the message holds their last words.
    """

    def __init__(self, weights: str = 'play_table', scene: str = 'D', *, execute: int = 8,
                 log_dir=None, on_state=None):
        self._logs = None
        if log_dir is None:
            self._logs = tempfile.TemporaryDirectory(prefix='vw2_ros_')
            log_dir = self._logs.name
        private = system.private_environment()
        self._before = {key: os.environ.get(key) for key in private}
        self._client = None
        self.children = system.Children(
            system.lockstep(weights=str(weights), scene=scene, execute=execute),
            log_dir=log_dir, env=private)
        self._report: dict = {}
        self._told_state = on_state
        self._steps, self._moved_s = -1, 0.0
        self._complaints: dict[str, str] = {}
        try:
            os.environ.update(private)  # read when the client's context begins
            self.children.start()
            self._client = Client(name='vw2_rollout', check=self.children.check)
            self._client.subscribe(String, topics.TASK_STATE, self._on_report, topics.latched())
            self._client.subscribe(String, topics.TABLE_STATE, self._on_state,
                                   topics.reliable(1))
            self._client.subscribe(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics,
                                   topics.reliable())
            self._client.wait_active(NODES, 180.0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the nodes."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self.children.stop()
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        if self._logs is not None:
            self._logs.cleanup()

    def __enter__(self) -> 'RosRollout':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def reset(self, robot_obs=None, scene_obs=None) -> None:
        """Bring the table to a state, (15,) and (24,), and let the action node begin anew."""
        state = {name: [float(v) for v in values]
                 for name, values in (('robot_obs', robot_obs), ('scene_obs', scene_obs))
                 if values is not None}
        self._client.set('calvin_bridge', reset_state=json.dumps(state) if state else '')
        self._client.trigger(topics.RESET)
        self._client.trigger(topics.RESTART)

    def run_task(self, task: str, instruction: str, max_steps: int = 360,
                 patience_s: float = 120.0) -> tuple[bool, int]:
        """Let the policy try one subtask from the present state.

        Args:
            task: one of the 34 names.
            instruction: what the planner is told.
            max_steps: the subtask has failed after so many control steps.
            patience_s: give up when no step was made for so long.
        Returns:
            whether it succeeded, and after how many steps it ended.
        Raises:
            ClientError: a node refused or fell silent.
        """
        self._client.set('planner', instruction=instruction)
        self._client.set('action', instruction=instruction)
        self._client.set('calvin_bridge', task=task, max_steps=int(max_steps))
        serial = int(self._client.trigger(topics.START_TASK))
        self._moved_s = time.monotonic()
        while not self._client.wait(lambda: self._ended(serial), 1.0):
            if time.monotonic() - self._moved_s > patience_s:
                raise ClientError(f'{task}: no step within {patience_s:.0f} s. '
                                  f'{"; ".join(self._complaints.values()) or "No node complains"}')
        return self._report['status'] == 'succeeded', int(self._report['steps'])

    def _ended(self, serial: int) -> bool:
        return self._report.get('serial') == serial and \
            self._report.get('status') in ('succeeded', 'failed')

    @property
    def report(self) -> dict:
        """The table's newest word: serial, task, status, steps, robot_obs (15), scene_obs (24)."""
        return dict(self._report)

    def _on_report(self, msg) -> None:
        self._report = json.loads(msg.data)

    def _on_state(self, msg) -> None:
        state = json.loads(msg.data)
        if state['steps'] != self._steps:
            self._steps, self._moved_s = state['steps'], time.monotonic()
        if self._told_state is not None:
            self._told_state(state)

    def _on_diagnostics(self, msg) -> None:
        for status in msg.status:
            self._complaints.pop(status.name, None)
            if status.level[0]:
                self._complaints[status.name] = f'{status.name}: {status.message}'
