# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Drives chains of subtasks through the real nodes, and keeps what the nodes say meanwhile."""

import json
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.bringup.domain import private_domain
from vw2_ros.bringup.system import SETTLE_S, Children, evaluation
from vw2_ros.sim.long_horizon import CHAIN_STEPS, chains
from vw2_ros.sim.phrases import validation_phrases
from vw2_ros.sim.table import Simulator

NODES = ('calvin_bridge', 'planner', 'action')
START_PATIENCE_S = 120.0
RETRY_UNTIL_S = 36.0  # no further chain is begun after so much of the run
TOO_SLOW = 0.2  # share of missed table steps with which real time makes no sense
PATIENCE = 10  # times the real time of a subtask, then the nodes hang


@dataclass
class Subtask:
    """What happened in one subtask, for the result and the film."""

    chain: int  # index among the scene's chains
    number: int  # 1..5
    task: str
    instruction: str
    real_time: bool = True
    succeeded: bool = False
    steps: int = 0
    began: int = 0  # the table's count of steps at its start
    states: list[str] = field(default_factory=list)  # table_state messages, JSON
    plans: list = field(default_factory=list)  # (stamp_ns, codes (4, 4), rgb (S, S, 3))


def drive(
    scene: str, seed: int, weights: str, log_dir, simulator: Simulator
) -> tuple[list[Subtask], dict]:
    """Bring the nodes up and work through chains; what was judged, and notes on the run."""
    processes = evaluation(weights, scene, real_time=True, **simulator.arguments)
    done, notes = _session(processes, scene, seed, log_dir, True)
    if not any(s.succeeded for s in done):
        print(
            'nothing succeeded in real time'
            + (': this machine is too busy for it' if notes['too_slow'] else '')
            + '. Once more in lockstep: the table waits for each command'
        )
        processes = evaluation(weights, scene, **simulator.arguments)
        done += _session(processes, scene, seed, log_dir, False)[0]
    return done, notes


def _session(processes, scene: str, seed: int, log_dir, real_time: bool):
    from vw2_ros.client import Client

    print('starting table, planner and action node ...', flush=True)
    started_s = time.monotonic()
    with (
        private_domain() as env,
        Children(processes, log_dir=log_dir, env=env) as children,
        Client(check=children.check) as client,
    ):
        client.wait_active(NODES, START_PATIENCE_S)
        print(f'ready after {time.monotonic() - started_s:.0f} s', flush=True)
        return _Session(client, scene, real_time).run(seed)


class _Session:
    """Talks to the running nodes and keeps what they say."""

    def __init__(self, client, scene: str, real_time: bool):
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image
        from std_msgs.msg import String

        from vw2_ros import names
        from vw2_ros.messages import qos

        self.client, self.scene, self.real_time = client, scene, real_time
        self.now: Subtask | None = None
        self.judged: dict = {}
        self.diagnostics: dict[str, dict] = {}
        self._images: OrderedDict[int, object] = OrderedDict()
        client.subscribe(String, names.TABLE_STATE, self._on_state, qos.reliable())
        client.subscribe(String, names.TASK_STATE, self._on_judged, qos.latched())
        client.subscribe(Image, f'{names.STATIC}/{names.IMAGE}', self._on_image, qos.newest())
        client.subscribe(Image, names.LATENT_PLAN, self._on_codes, qos.reliable())
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, self._on_diagnostics, qos.reliable())

    def run(self, seed: int) -> tuple[list[Subtask], dict]:
        """Work through one chain, or through several that fail at once."""
        every = chains(self.scene)
        began_s = time.monotonic()
        done: list[Subtask] = []
        index = seed % len(every)
        while True:
            done += self._chain(index, every[index])
            if any(s.succeeded for s in done) or time.monotonic() - began_s > RETRY_UNTIL_S:
                break
            if self.real_time and self._too_slow(done):
                break
            index = (index + 1) % len(every)
            print('failed at the first subtask: on to the next chain')
        self.client.wait(lambda: False, 1.1)  # the last report of each node
        return done, self._notes(done, time.monotonic() - began_s)

    def _chain(self, index: int, chain) -> list[Subtask]:
        self.client.reset_table(chain.robot_obs, chain.scene_obs)
        self.client.spin(SETTLE_S)
        done = []
        for number, task in enumerate(chain.tasks, 1):
            subtask = Subtask(index, number, task, validation_phrases(task)[0], self.real_time)
            done.append(self._subtask(subtask))
            verdict = 'succeeded' if subtask.succeeded else 'failed'
            print(
                f'  chain {index}, {number} of 5: "{subtask.instruction}" '
                f'{verdict} after {subtask.steps / ACTION_HZ:.1f} s',
                flush=True,
            )
            if not subtask.succeeded:
                break
        return done

    def _subtask(self, subtask: Subtask) -> Subtask:
        from vw2_ros.client import ClientError

        client = self.client
        self.now = subtask
        serial = client.start_task(subtask.task, subtask.instruction, CHAIN_STEPS)

        def judged() -> bool:
            return self.judged.get('serial') == serial and self.judged['status'] != 'running'

        if not client.wait(judged, PATIENCE * CHAIN_STEPS / ACTION_HZ):
            raise ClientError(f'{subtask.task} was not judged in time; see the logs of the nodes')
        self.now = None
        subtask.succeeded = self.judged['status'] == 'succeeded'
        subtask.steps = int(self.judged['steps'])
        return subtask

    def _notes(self, done: list[Subtask], seconds: float) -> dict:
        bridge, action = (self.diagnostics.get(n, {}) for n in ('calvin_bridge', 'action'))
        steps = sum(s.steps for s in done)

        def number(key: str) -> float | None:
            return float(action[key]) if key in action else None

        return {
            'too_slow': self._too_slow(done),
            'run_seconds': round(seconds, 1),
            'steps': steps,
            'missed_table_steps': int(bridge.get('missed steps', 0)),
            'command_deadline_misses': int(action.get('deadline misses', 0)),
            'command_jitter_ms_p99': number('command jitter p99 [ms]'),
            'image_to_command_ms_p50': number('image to command p50 [ms]'),
            'image_to_command_ms_p99': number('image to command p99 [ms]'),
            'held_commands': int(action.get('holds', 0)),
        }

    def _too_slow(self, done: list[Subtask]) -> bool:
        missed = int(self.diagnostics.get('calvin_bridge', {}).get('missed steps', 0))
        return missed > TOO_SLOW * sum(s.steps for s in done)

    # -- what the nodes say

    def _on_state(self, msg) -> None:
        if self.now is not None:
            if not self.now.states:
                self.now.began = json.loads(msg.data)['steps']
            self.now.states.append(msg.data)

    def _on_judged(self, msg) -> None:
        self.judged = json.loads(msg.data)

    def _on_image(self, msg) -> None:
        from vw2_ros.messages import convert

        self._images[convert.stamp_to_ns(msg.header.stamp)] = msg
        while len(self._images) > 30:
            self._images.popitem(last=False)

    def _on_codes(self, msg) -> None:
        from vw2_ros.messages import convert
        from vw2_ros.messages import plan as plan_message

        part = plan_message.codes_from_message(msg)
        image = self._images.get(part.stamp_ns)
        wanted = (
            self.now is not None
            and image is not None
            and part.instruction_id == plan_message.instruction_id(self.now.instruction)
        )
        if wanted:
            self.now.plans.append((part.stamp_ns, part.values, convert.image_to_rgb(image)))

    def _on_diagnostics(self, msg) -> None:
        for status in msg.status:
            name = status.name.rsplit('/', 1)[-1]
            self.diagnostics[name] = {v.key: v.value for v in status.values}
