# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench policy`: how fast the model is, alone in this process or behind a network.

| key                      | meaning                                                             |
| ------------------------ | ------------------------------------------------------------------- |
| plan_ms_p50, plan_ms_p99 | one image and instruction -> codes and hidden states [ms]           |
| head_ms_p50              | hidden states -> chunk of actions [ms]                              |
| chunk_ms_p50             | both [ms]                                                           |
| preview_ms_p50           | codes -> imagined video, by the decoder [ms]; None without a dLDM   |
| late                     | plans that a policy server did not answer within its deadline       |
| params                   | parameters of planner and head, vision included                     |

The pictures are of the play table, with the noise of a camera, so that they are as large on the way to
a policy server as a robot's.
"""

import contextlib
import time

import numpy as np

from vw2_ros.bench.machine import INSTRUCTION, machine
from vw2_ros.errors import InvalidValueError
from vw2_ros.serving.remote import NoAnswerError, open_policy
from vw2_ros.sim.table import Simulator

NOISE = 0.5  # standard deviation of a pixel, as a camera's picture has it once it is made small


def run(name: str = 'play_table', *, calls: int = 200, threads: int = 1) -> dict:
    """Time one plan and the action head, alone in this process on `threads` CPU threads.

    Args:
        name: shipped weights, the folder of a checkpoint, or ws://HOST:PORT of a policy server;
            its times are those until the answer is here.
        calls: plans that are timed, each from another image.
    Raises:
        CheckpointError: as `Policy.load`.
        NoAnswerError: a policy server is not there, or never in time.
    """
    if calls < 2:
        raise InvalidValueError(f'calls must be at least 2. Got {calls}.')
    where = machine()
    loaded = open_policy(name, threads=threads)
    loaded.warm_up()
    rng = np.random.default_rng(0)
    size = loaded.image_size
    with contextlib.closing(Simulator().open('D')) as table:
        seen = table.render('static', size)
    plan_ms, head_ms, chunk_ms, late = [], [], [], None
    for _ in range(calls):
        rgb = np.clip(seen + rng.normal(0, NOISE, seen.shape), 0, 255).round().astype(np.uint8)
        began = time.perf_counter()
        try:
            plan = loaded.plan(rgb, INSTRUCTION)
            planned = time.perf_counter()
            loaded.actions(plan.hidden)
        except NoAnswerError as error:
            late = error
            continue
        done = time.perf_counter()
        plan_ms.append(1e3 * (planned - began))
        head_ms.append(1e3 * (done - planned))
        chunk_ms.append(1e3 * (done - began))
    if not chunk_ms:
        raise late
    preview_ms = []
    for _ in range(min(calls, 50) if loaded.can_imagine else 0):
        began = time.perf_counter()
        loaded.imagine(rgb, plan.codes)
        preview_ms.append(1e3 * (time.perf_counter() - began))
    return {
        'plan_ms_p50': float(np.percentile(plan_ms, 50)),
        'plan_ms_p99': float(np.percentile(plan_ms, 99)),
        'head_ms_p50': float(np.percentile(head_ms, 50)),
        'chunk_ms_p50': float(np.percentile(chunk_ms, 50)),
        'preview_ms_p50': float(np.percentile(preview_ms, 50)) if preview_ms else None,
        'late': calls - len(chunk_ms),
        'params': loaded.parameters,
        'image_px': size,
        'calls': calls,
        'threads': threads,
        'policy': name,
        'checkpoint_sha256': loaded.sha256,
        **where,
    }
