# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 demo`: words and a camera move the arm, through the real nodes, in real time.

The play table, the planner and the action node each run in a process of their own and talk over
DDS, as `ros2 launch vw2_ros calvin.launch.py` would start them. This program only resets the table,
says what to do and listens; the table judges each subtask after every step. It works through one
chain of five subtasks; a chain that fails at its first subtask is followed by the next one, as long
as there is time. Where nothing succeeds in real time, as on a machine that is too slow or too busy
for it, the nodes come up once more in lockstep: the table then waits for each command. All chains
that were tried count in the result, and it says which were in real time.

Written below --out: result.json (the keys of `vw2 eval`), video.mp4 and report.html, which show the
chain that went furthest, and the logs of the nodes. What the camera sees at 200 px is drawn after
the run from the recorded states, and the imagined frames are decoded then from the recorded plans,
so that filming costs the nodes nothing.
"""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.bringup.system import SETTLE_S, Children, evaluation, private_domain
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.play_table import PlayTable

WRITTEN = ('video.mp4', 'report.html', 'result.json')
NODES = ('calvin_bridge', 'planner', 'action')
START_PATIENCE_S = 120.0
RETRY_UNTIL_S = 36.0  # no further chain is begun after so much of the run
TOO_SLOW = 0.2  # share of missed table steps with which real time makes no sense
PATIENCE = 10  # times the real time of a subtask, then the nodes hang
VIDEO_HZ = 10
VERDICT_S = 1.0  # how long a verdict stands at the end of a subtask


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


def run(
    out: pathlib.Path = pathlib.Path('out/demo'),
    scene: str = 'D',
    seed: int = 0,
    policy: str = 'play_table',
) -> int:
    """Run the demo; return 0 if at least one subtask succeeded.

    Args:
        out: folder of the results; what an earlier run left there is replaced.
        scene: A, B, C or D.
        seed: which of the 1000 chains comes first.
        policy: shipped weights by name, or the folder of a checkpoint.
    Raises:
        ValueError: a policy that sees no images.
        BringUpError, ClientError: a node did not come up or did not answer.
    """
    from vw2_ros.evaluation import report
    from vw2_ros.models.checkpoint import load_checkpoint

    if policy in ('expert', 'random'):
        raise InvalidValueError(
            f"the demo shows a trained policy: give its weights, not '{policy}'"
        )
    began_s = time.monotonic()
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    weights = str(pathlib.Path(policy).resolve()) if os.path.isdir(policy) else policy
    print(f'vw2 demo: scene {scene}, weights {policy}')
    checkpoint = load_checkpoint(weights)  # a damaged one is told before anything is started
    shutil.rmtree(out / 'log', ignore_errors=True)
    for name in WRITTEN:  # of an earlier run: they must not pass for this one's
        (out / name).unlink(missing_ok=True)
    subtasks, notes = _drive(scene, seed, weights, out / 'log')
    shown = furthest(subtasks)
    print(f'filming {sum(s.steps for s in shown) / ACTION_HZ:.0f} s ...', flush=True)
    film(out / 'video.mp4', shown, scene, weights)
    result = {
        **summarise(subtasks, scene, checkpoint.sha256),
        'policy': policy,
        'seed': seed,
        'ros': True,
        'command': f'vw2 demo --scene {scene} --policy {policy} --seed {seed}',
        **notes,
        'real_time': all(s.real_time for s in subtasks),
        'seconds': round(time.monotonic() - began_s, 1),
    }
    _write_json(out / 'result.json', result)
    report.write(
        out / 'report.html',
        {
            **result,
            'videos': [
                {
                    'file': 'video.mp4',
                    'rollout': f'chain/{shown[0].chain}',
                    'success': sum(s.succeeded for s in shown) == 5,
                    'subtasks': [_told(s) for s in shown],
                }
            ],
        },
        out,
    )
    won = sum(s.succeeded for s in subtasks)
    print(
        f'{won} of {len(subtasks)} subtasks succeeded in {result["chains"]} chain(s), '
        f'{result["seconds"]:.0f} s in all. Look at:'
    )
    for name in WRITTEN:
        print(f'  {(out / name).resolve()}')
    return 0 if won else 1


# ----------------------------------------------------------------- the run


def _drive(scene: str, seed: int, weights: str, log_dir) -> tuple[list[Subtask], dict]:
    """Bring the nodes up and work through chains; what was judged, and notes on the run."""
    done, notes = _session(evaluation(weights, scene, real_time=True), scene, seed, log_dir, True)
    if not any(s.succeeded for s in done):
        print(
            'nothing succeeded in real time'
            + (': this machine is too busy for it' if notes['too_slow'] else '')
            + '. Once more in lockstep: the table waits for each command'
        )
        done += _session(evaluation(weights, scene), scene, seed, log_dir, False)[0]
    return done, notes


def _session(processes, scene: str, seed: int, log_dir, real_time: bool):
    from vw2_ros.client import Client

    print('starting play table, planner and action node ...', flush=True)
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
        client.subscribe(Image, f'static/{names.IMAGE}', self._on_image, qos.newest())
        client.subscribe(Image, names.LATENT_PLAN, self._on_codes, qos.reliable())
        client.subscribe(DiagnosticArray, names.DIAGNOSTICS, self._on_diagnostics, qos.reliable())

    def run(self, seed: int) -> tuple[list[Subtask], dict]:
        """Work through one chain, or through several that fail at once."""
        from vw2_ros.sim.long_horizon import chains

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
        from vw2_ros.sim.phrases import validation_phrases

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
        from vw2_ros.sim.long_horizon import CHAIN_STEPS

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


# ------------------------------------------------------------------ the result


def summarise(subtasks: list[Subtask], scene: str, sha256: str) -> dict:
    """Everything that was tried, under the keys that `vw2 eval` writes."""
    from vw2_ros.evaluation.rollouts import RENDERER, summarise

    lines: dict[tuple, dict] = {}
    for s in subtasks:
        line = lines.setdefault(
            (s.real_time, s.chain),
            {'rollout': f'chain/{s.chain}', 'real_time': s.real_time, 'subtasks': []},
        )
        line['subtasks'].append(_told(s))
    done = list(lines.values())
    return {
        **summarise(done),
        'scene': scene,
        'renderer': RENDERER,
        'checkpoint_sha256': sha256,
        'seconds': 0.0,
        'rollouts': done,
    }


def _told(s: Subtask) -> dict:
    return {'task': s.task, 'instruction': s.instruction, 'success': s.succeeded, 'steps': s.steps}


def furthest(subtasks: list[Subtask]) -> list[Subtask]:
    """Return the chain that went furthest, the last of them where several did."""
    chains: dict[tuple, list] = {}
    for s in subtasks:
        chains.setdefault((s.real_time, s.chain), []).append(s)
    return max(reversed(list(chains.values())), key=lambda c: sum(s.succeeded for s in c))


def _write_json(path: pathlib.Path, value: dict) -> None:
    part = path.with_name(path.name + '.part')
    part.write_text(json.dumps(value, indent=2) + '\n')
    os.replace(part, path)


# -------------------------------------------------------------------- the film


def film(path: pathlib.Path, subtasks: list[Subtask], scene: str, weights: str) -> None:
    """Write the video: the camera at 200 px with words and verdict, what the planner imagines."""
    from vw2_ros.evaluation import film as video
    from vw2_ros.models.policy import Policy

    jobs = [json.loads(text) for s in subtasks for text in _thinned(s.states)]
    with concurrent.futures.ProcessPoolExecutor(
        min(2, len(os.sched_getaffinity(0))),
        initializer=_open_table,
        initargs=(scene,),
        mp_context=multiprocessing.get_context('spawn'),
    ) as pool:
        pictures = pool.map(_draw, jobs, chunksize=8)
        policy = Policy.load(weights)
        clips = [_imagined(s, policy) for s in subtasks]
        video.write(path, _frames(subtasks, pictures, clips), VIDEO_HZ)


def _thinned(states: list[str]) -> list[str]:
    return states[:: ACTION_HZ // VIDEO_HZ]


_table: PlayTable | None = None  # of a worker process


def _open_table(scene: str) -> None:
    global _table
    _table = PlayTable(scene)


def _draw(state: dict) -> np.ndarray:
    """The static camera's picture (200, 200, 3) of a recorded state."""
    _table.reset(state['robot_obs'], state['scene_obs'])
    return _table.render('static', 200)


def _imagined(subtask: Subtask, policy) -> list:
    """Clips [(stamp_ns, frames (16, S, S, 3))], decoded from a plan every 8 steps or so."""
    clips: list = []
    for stamp_ns, codes, rgb in subtask.plans if policy.can_imagine else ():
        if not clips or stamp_ns - clips[-1][0] >= 8 / ACTION_HZ * 1e9:
            clips.append((stamp_ns, policy.imagine(rgb, codes.astype(np.int64))))
    return clips


def _frames(subtasks, pictures, clips) -> Iterator[np.ndarray]:
    from vw2_ros.evaluation import film as video

    for subtask, imagined in zip(subtasks, clips):
        shown = None
        for text in _thinned(subtask.states):
            state = json.loads(text)
            shown = next(pictures), _dream(imagined, state['stamp_ns'])
            steps = state['steps'] - subtask.began
            yield _compose(subtask, *shown, steps / ACTION_HZ, video.RUNNING)
        if shown is not None:
            verdict = video.SUCCEEDED if subtask.succeeded else video.FAILED
            for _ in range(round(VERDICT_S * VIDEO_HZ)):
                yield _compose(subtask, *shown, subtask.steps / ACTION_HZ, verdict)


def _dream(clips, stamp_ns: int) -> np.ndarray | None:
    """The imagined frame that belongs to this moment."""
    for began_ns, frames in reversed(clips):
        if began_ns <= stamp_ns:
            k = round((stamp_ns - began_ns) * 1e-9 * ACTION_HZ)
            return frames[min(max(k, 1), len(frames)) - 1]
    return None


def _compose(subtask: Subtask, picture, dream, seconds: float, verdict: str) -> np.ndarray:
    """One frame of the film, uint8 (456, 816, 3): camera and words, imagination beside."""
    from vw2_ros.evaluation import film as video

    left = video.captioned(
        picture,
        subtask.instruction,
        f'chain {subtask.chain}, {subtask.number} of 5, {seconds:4.1f} s'
        + ('' if subtask.real_time else ' (lockstep)'),
        verdict,
    )
    side, strip = left.shape[1], left.shape[0] - left.shape[1]
    right = np.full_like(left, 28)
    if dream is not None:
        right[strip:] = cv2.resize(dream, (side, side), interpolation=cv2.INTER_LINEAR)
    title = 'imagined by the planner' if dream is not None else 'nothing imagined yet'
    cv2.putText(
        right, title, (8, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA
    )
    return np.concatenate([left, np.full((left.shape[0], 16, 3), 28, np.uint8), right], axis=1)
