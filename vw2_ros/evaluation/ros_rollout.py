# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Evaluation through the real nodes: table, planner and action node over DDS.

In lockstep the table waits for each command and judges each step by the task oracle, as the
evaluation within one process does; the same seed gives the same verdicts and step counts:

| order | who    | what                                                                        |
| ----- | ------ | --------------------------------------------------------------------------- |
| 1     | runner | calls `restart` (action), sets `reset_state`, calls `reset` (table)          |
| 2     | runner | sets `instruction` (planner, action) and `task`, calls `start_task` (table)  |
| 3     | table  | joint_states; every 8th step, from the first on, an image with the same stamp |
| 4     | planner | the plan of each image                                                     |
| 5     | action | one command per joint_states, once the plan that is due has come             |
| 6     | table  | one step per command; says on `task_state` when the subtask has ended        |

Everything in 1 and 2 is a service call, so that no step can begin before all know of it. In real
time the table steps 30 times a second, whoever commands, and verdicts differ from run to run.
"""

import contextlib
import dataclasses
import json
import tempfile
import time

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.bringup import domain, system
from vw2_ros.client import Client, ClientError
from vw2_ros.messages import qos
from vw2_ros.models.recovery import TABLE_AFTER_S
from vw2_ros.sim.table import Simulator

NODES = ('calvin_bridge', 'planner', 'action')


class RosRollout:
    """The nodes, brought up once; `reset` and `run_task` as often as wanted.

    Args:
        weights: shipped weights by name, or a model folder.
        scene: A, B, C or D.
        simulator: which table; None: the play table.
        real_time: the table waits for nobody.
        execute: in lockstep, actions of a plan until the next one.
        recover_after_s: the planner node's.
        log_dir: for the nodes' output; None: a temporary folder.
        on_state: called with each state of the table, a dict with robot_obs and scene_obs.

    Raises:
        BringUpError, ClientError: the nodes did not come up; the message holds their last words.
    """

    def __init__(
        self,
        weights: str = 'play_table',
        scene: str = 'D',
        *,
        simulator: Simulator | None = None,
        real_time: bool = False,
        execute: int = 8,
        recover_after_s: float = TABLE_AFTER_S,
        log_dir=None,
        on_state=None,
    ):
        self._real_time = real_time
        self._robot = simulator is not None and simulator.contract.disarmed_at_start
        self._report: dict = {}
        self._told_state = on_state
        self._steps, self._moved_s = -1, 0.0
        self._complaints: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            env = stack.enter_context(domain.private_domain())
            log_dir = log_dir or stack.enter_context(
                tempfile.TemporaryDirectory(prefix='vw2_ros_')
            )
            processes = system.evaluation(
                str(weights),
                scene,
                real_time=real_time,
                execute=execute,
                **(simulator or Simulator()).arguments,
            )
            recover = {'planner': {'recover_after_s': float(recover_after_s)}}
            processes = [
                dataclasses.replace(p, parameters=p.parameters | recover.get(p.name, {}))
                for p in processes
            ]
            self.children = stack.enter_context(
                system.Children(processes, log_dir=log_dir, env=env)
            )
            self._client = stack.enter_context(
                Client(name='vw2_rollout', check=self.children.check)
            )
            self._client.subscribe(String, names.TASK_STATE, self._on_report, qos.latched())
            self._client.subscribe(String, names.TABLE_STATE, self._on_state, qos.reliable(1))
            self._client.subscribe(
                DiagnosticArray, names.DIAGNOSTICS, self._on_diagnostics, qos.reliable()
            )
            self._client.wait_active(NODES, 180.0)
            self._all = stack.pop_all()

    def close(self) -> None:
        """End the nodes."""
        self._all.close()

    def __enter__(self) -> 'RosRollout':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def reset(self, robot_obs=None, scene_obs=None) -> None:
        """Bring the table to a state, (15,) and (24,), and let the action node begin anew."""
        self._client.reset_table(robot_obs, scene_obs)
        if self._real_time:
            self._client.spin(system.SETTLE_S)
        if self._robot:
            self._client.trigger(names.REARM)

    def run_task(
        self, task: str, instruction: str, max_steps: int = 360, patience_s: float = 120.0
    ) -> tuple[bool, int]:
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
        serial = self._client.start_task(task, instruction, max_steps)
        self._moved_s = time.monotonic()
        while not self._client.wait(lambda: self._ended(serial), 1.0):
            if time.monotonic() - self._moved_s > patience_s:
                raise ClientError(
                    f'{task}: no step within {patience_s:.0f} s. '
                    f'{"; ".join(self._complaints.values()) or "No node complains"}'
                )
        return self._report['status'] == 'succeeded', int(self._report['steps'])

    def _ended(self, serial: int) -> bool:
        return self._report.get('serial') == serial and self._report.get('status') in (
            'succeeded',
            'failed',
        )

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
