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
from vw2_ros.demo.imaginer import Imaginer
from vw2_ros.demo.screen import Screen
from vw2_ros.sim.long_horizon import CHAIN_STEPS, chains
from vw2_ros.sim.phrases import validation_phrases
from vw2_ros.sim.table import Simulator

NODES = ('calvin_bridge', 'planner', 'action')
START_PATIENCE_S = 120.0
RETRY_UNTIL_S = 36.0  # no further chain is begun after so much of the run
BUSY = 0.05  # share of missed table steps with which no pictures are shown meanwhile
TOO_SLOW = 0.2  # share of missed table steps with which real time makes no sense
SURE_AFTER = 2 * ACTION_HZ  # steps until a share means something
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

    @property
    def title(self) -> str:
        """Which one it is, in words."""
        return f'chain {self.chain}, {self.number} of 5: "{self.instruction}"'


@dataclass(frozen=True)
class Show:
    """What is to be driven, and who watches."""

    scene: str
    seed: int  # number of the first chain
    chains: int  # so many in a row; one that fails at once is followed by another
    weights: str
    simulator: Simulator
    screen: Screen
    imaginer: Imaginer


def drive(show: Show, log_dir) -> tuple[list[Subtask], dict]:
    """Bring the nodes up and work through chains; what was judged, and notes on the run."""
    named = show.weights, show.scene
    processes = evaluation(*named, real_time=True, **show.simulator.arguments)
    done, notes = _session(processes, show, log_dir, True)
    nothing = not any(s.succeeded for s in done)
    if nothing or notes['too_slow']:
        why = ['Nothing succeeded in real time.'] if nothing else []
        if notes['too_slow']:
            why.append(
                'This machine is too slow or too busy for real time: '
                f'{notes["missed_table_steps"]} steps of the table were missed, '
                f'{notes["steps"]} were made.'
            )
        show.screen.say(
            ' '.join([*why, 'Once more in lockstep: the table waits for each command.'])
        )
        processes = evaluation(*named, **show.simulator.arguments)
        done += _session(processes, show, log_dir, False)[0]
    return done, notes


def _session(processes, show: Show, log_dir, real_time: bool):
    show.screen.say('starting table, planner and action node ...')
    started_s = time.monotonic()
    with private_domain() as env, Children(processes, log_dir=log_dir, env=env) as children:
        from vw2_ros.client import Client  # while the nodes start

        with Client(check=children.check) as client:
            client.wait_active(NODES, START_PATIENCE_S)
            show.screen.say(f'ready after {time.monotonic() - started_s:.1f} s')
            show.imaginer.load()  # not before: the nodes have needed the processors
            return _Session(client, show, real_time).run()


class _Session:
    """Talks to the running nodes and keeps what they say."""

    def __init__(self, client, show: Show, real_time: bool):
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image
        from std_msgs.msg import String

        from vw2_ros import names
        from vw2_ros.messages import qos

        self.client, self.show, self.real_time = client, show, real_time
        self.screen = show.screen
        self.now: Subtask | None = None
        self.steps = 0  # of all subtasks so far
        self.busy = False
        self.judged: dict = {}
        self.diagnostics: dict[str, dict] = {}
        self._missed_before = 0  # steps of the table while the nodes came up
        self._images: OrderedDict[int, object] = OrderedDict()
        client.subscribe(String, names.TABLE_STATE, self._on_state, qos.reliable())
        client.subscribe(String, names.TASK_STATE, self._on_judged, qos.latched())
        client.subscribe(Image, f'{names.STATIC}/{names.IMAGE}', self._on_image, qos.newest())
        client.subscribe(Image, names.LATENT_PLAN, self._on_codes, qos.reliable())
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, self._on_diagnostics, qos.reliable())

    def run(self) -> tuple[list[Subtask], dict]:
        """Work through the chains; where all of them fail at once, through some more."""
        every = chains(self.show.scene)
        began_s = time.monotonic()
        done: list[Subtask] = []
        index, played = self.show.seed % len(every), 0
        while True:
            done += self._chain(index, every[index])
            played += 1
            if self.real_time and self._too_slow():
                break
            if played >= self.show.chains:
                late = time.monotonic() - began_s > RETRY_UNTIL_S
                if late or any(s.succeeded for s in done):
                    break
                self.screen.say('failed at the first subtask: on to the next chain')
            index = (index + 1) % len(every)
        self.client.wait(lambda: False, 1.1)  # the last report of each node
        return done, self._notes(time.monotonic() - began_s)

    def _chain(self, index: int, chain) -> list[Subtask]:
        self.client.reset_table(chain.robot_obs, chain.scene_obs)
        self.client.spin(SETTLE_S)
        if not self.steps:
            self._missed_before = self._missed()
        done = []
        for number, task in enumerate(chain.tasks, 1):
            subtask = Subtask(index, number, task, validation_phrases(task)[0], self.real_time)
            done.append(self._subtask(subtask))
            self.screen.clear()
            verdict = 'succeeded' if subtask.succeeded else 'failed'
            self.screen.say(f'  {subtask.title} {verdict} after {subtask.steps / ACTION_HZ:.1f} s')
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
        self.steps += subtask.steps
        return subtask

    def _notes(self, seconds: float) -> dict:
        action = self.diagnostics.get('action', {})

        def number(key: str) -> float | None:
            return float(action[key]) if key in action else None

        return {
            'too_slow': self._too_slow(),
            'run_seconds': round(seconds, 1),
            'steps': self.steps,
            'missed_table_steps': self._missed(),
            'command_deadline_misses': int(action.get('deadline misses', 0)),
            'command_jitter_ms_p99': number('command jitter p99 [ms]'),
            'image_to_command_ms_p50': number('image to command p50 [ms]'),
            'image_to_command_ms_p99': number('image to command p99 [ms]'),
            'held_commands': int(action.get('holds', 0)),
        }

    def _missed(self) -> int:
        bridge = self.diagnostics.get('calvin_bridge', {})
        return max(0, int(bridge.get('missed steps', 0)) - self._missed_before)

    def _too_slow(self) -> bool:
        return self._missed() > TOO_SLOW * self.steps

    def _save_work(self) -> None:
        """Where the machine is busy, do without what only the eye wants."""
        made = self.steps + (len(self.now.states) if self.now else 0)
        if self.busy or made < SURE_AFTER or self._missed() <= BUSY * made:
            return
        self.busy = True
        pictures = '; no more pictures until the film' if self.screen.alive else ''
        self.screen.calm()
        self.screen.say(
            f'  this machine is busy: {self._missed()} steps of the table were missed, {made} were '
            f'made{pictures}'
        )

    # -- what the nodes say

    def _on_state(self, msg) -> None:
        if self.now is not None:
            if not self.now.states:
                self.now.began = json.loads(msg.data)['steps']
            self.now.states.append(msg.data)
            if self.screen.due:
                self._show()

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
            rgb = convert.image_to_rgb(image)
            self.now.plans.append((part.stamp_ns, part.values, rgb))
            if self.screen.alive:
                self.show.imaginer.offer(part.values, rgb)

    def _on_diagnostics(self, msg) -> None:
        for status in msg.status:
            name = status.name.rsplit('/', 1)[-1]
            self.diagnostics[name] = {v.key: v.value for v in status.values}
        if self.real_time:
            self._save_work()

    def _show(self) -> None:
        """Show where the present subtask is, what the camera sees, and what the planner imagines."""
        from vw2_ros.messages import convert

        pictures, clip = {}, self.show.imaginer.newest
        if self._images:
            pictures['what the camera sees'] = convert.image_to_rgb(
                next(reversed(self._images.values()))
            )
        if clip is not None:
            pictures[f'what the planner imagines, {len(clip) / ACTION_HZ:.1f} s ahead'] = clip[-1]
        seconds = len(self.now.states) / ACTION_HZ
        self.screen.show(f'  {self.now.title} {seconds:.1f} s', pictures)
