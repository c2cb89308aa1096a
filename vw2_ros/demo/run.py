# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 demo`: words and a camera move the arm, through the real nodes, in real time.

The play table, the planner and the action node each run in a process of their own and talk over
DDS, as `ros2 launch vw2_ros calvin.launch.py` would start them. This program only resets the table,
says what to do and listens; the table judges each subtask after every step. It works through
`chains` chains of five subtasks; where none of them gets further than its first subtask, the next
ones follow, as long as there is time. Where nothing succeeds in real time, or the machine is too slow
or too busy for it, the nodes come up once more in lockstep: the table then waits for each command.
All chains that were tried count in the result, and it says which were in real time.

Written below --out: result.json (the keys of `vw2 eval`), report.html with every chain, and the logs
of the nodes. video.mp4 shows the chain that went furthest; where another one ended sooner, failed.mp4
shows the one that did so first. What the camera sees at 200 px is drawn after the run from the
recorded states, and the imagined frames are decoded then from the recorded plans, so that filming
costs the nodes nothing. On a terminal some are shown meanwhile, by a process that yields to them.
"""

import os
import pathlib
import shutil
import time
import warnings

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.bringup.system import BringUpError
from vw2_ros.demo import video
from vw2_ros.demo.imaginer import Imaginer
from vw2_ros.demo.screen import Screen
from vw2_ros.demo.session import Show, Subtask, drive
from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation import report
from vw2_ros.evaluation.run import summarise
from vw2_ros.files import write_json
from vw2_ros.sim.table import Simulator

FILMS = ('video.mp4', 'failed.mp4')
WRITTEN = (*FILMS, 'report.html', 'result.json')


def run(
    out: pathlib.Path = pathlib.Path('out/demo'),
    scene: str = 'D',
    seed: int = 0,
    policy: str = 'play_table',
    simulator: Simulator | None = None,
    chains: int = 1,
) -> int:
    """Run the demo; return 0 if at least one subtask succeeded.

    Args:
        out: folder of the results; what an earlier run left there is replaced.
        scene: A, B, C or D.
        seed: which of the 1000 chains comes first.
        policy: shipped weights by name, or the folder of a checkpoint.
        simulator: which table; None: the play table.
        chains: how many in a row.
    Raises:
        ValueError: a policy that sees no images.
        CheckpointError: weights that cannot be loaded.
        BringUpError, ClientError: a node did not come up or did not answer.
    """
    if policy in ('expert', 'random'):
        raise InvalidValueError(
            f"the demo shows a trained policy: give its weights, not '{policy}'"
        )
    began_s = time.monotonic()
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    weights = str(pathlib.Path(policy).resolve()) if os.path.isdir(policy) else policy
    shutil.rmtree(out / 'log', ignore_errors=True)
    for name in WRITTEN:  # of an earlier run: they must not pass for this one's
        (out / name).unlink(missing_ok=True)
    simulator = simulator or Simulator()
    simulator.check(scene)
    with Imaginer(weights, simulator.renderer, scene) as imaginer, Screen() as screen:
        screen.say(
            f'vw2 demo: scene {scene}, weights {policy}; all of it is told in {out}/report.html'
        )
        show = Show(scene, seed, chains, weights, simulator, screen, imaginer)
        try:
            subtasks, notes = drive(show, out / 'log')
        except BringUpError:
            imaginer.load().result()  # it may be the weights: their error says it better
            raise
        facts = imaginer.load().result()
        for warning in facts.warnings:
            warnings.warn(warning, stacklevel=1)
        films = _filmed(out, subtasks, show)
    result = {
        **figures(subtasks, scene, facts.sha256, simulator.renderer),
        'policy': policy,
        'seed': seed,
        'ros': True,
        'command': f'vw2 demo --scene {scene} --policy {policy} --seed {seed} --chains {chains}',
        **notes,
        'real_time': all(s.real_time for s in subtasks),
        'seconds': round(time.monotonic() - began_s, 1),
    }
    write_json(out / 'result.json', result)
    report.write(out / 'report.html', {**result, 'videos': films}, out)
    won = sum(s.succeeded for s in subtasks)
    print(
        f'{won} of {len(subtasks)} subtasks succeeded in {result["chains"]} chain(s), '
        f'{result["seconds"]:.0f} s in all. Look at:'
    )
    for name in WRITTEN:
        if (out / name).exists():
            print(f'  {(out / name).resolve()}')
    return 0 if won else 1


def _filmed(out: pathlib.Path, subtasks: list[Subtask], show: Show) -> list[dict]:
    """Write the films; what a report says of them."""
    told = []
    for name, shown in zip(FILMS, filmed(subtasks)):
        show.screen.say(f'filming {sum(s.steps for s in shown) / ACTION_HZ:.0f} s ...')
        video.write(out / name, shown, show.scene, show.imaginer, show.simulator)
        told.append(
            {
                'file': name,
                'rollout': f'chain/{shown[0].chain}',
                'success': sum(s.succeeded for s in shown) == 5,
                'subtasks': [_told(s) for s in shown],
            }
        )
    return told


def figures(subtasks: list[Subtask], scene: str, sha256: str, renderer: str) -> dict:
    """Everything that was tried, under the keys that `vw2 eval` writes."""
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
        'renderer': renderer,
        'checkpoint_sha256': sha256,
        'seconds': 0.0,
        'rollouts': done,
    }


def _told(s: Subtask) -> dict:
    return {'task': s.task, 'instruction': s.instruction, 'success': s.succeeded, 'steps': s.steps}


def filmed(subtasks: list[Subtask]) -> list[list[Subtask]]:
    """The chain that went furthest, the last of them where several did; and where others ended sooner,
    the first of those that ended soonest."""
    chains: dict[tuple, list] = {}
    for s in subtasks:
        chains.setdefault((s.real_time, s.chain), []).append(s)

    def length(chain: list[Subtask]) -> int:
        return sum(s.succeeded for s in chain)

    tried = list(chains.values())
    best, worst = max(reversed(tried), key=length), min(tried, key=length)
    return [best, worst] if length(worst) < length(best) else [best]
