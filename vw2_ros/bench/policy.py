# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench policy`: how fast the model is, alone in this process.

| key                      | meaning                                                             |
| ------------------------ | ------------------------------------------------------------------- |
| plan_ms_p50, plan_ms_p99 | one image and instruction -> codes and hidden states [ms]           |
| head_ms_p50              | hidden states -> chunk of actions [ms]                              |
| chunk_ms_p50             | both [ms]                                                           |
| preview_ms_p50           | codes -> imagined video, by the decoder [ms]; None without a dLDM   |
| params                   | parameters of planner and head, vision included                     |
"""

import time

import numpy as np

from vw2_ros.bench.machine import INSTRUCTION, machine
from vw2_ros.errors import InvalidValueError


def run(name: str = 'play_table', *, calls: int = 200, threads: int = 1) -> dict:
    """Time one plan and the action head, alone in this process on `threads` CPU threads.

    Args:
        name: shipped weights or the folder of a checkpoint.
        calls: plans that are timed, each from another image.
    Raises:
        CheckpointError: as `Policy.load`.
    """
    from vw2_ros.models.policy import Policy

    if calls < 2:
        raise InvalidValueError(f'calls must be at least 2. Got {calls}.')
    where = machine()
    loaded = Policy.load(name, threads=threads)
    loaded.warm_up()
    rng = np.random.default_rng(0)
    size = loaded.image_size
    plan_ms, head_ms, chunk_ms = [], [], []
    for _ in range(calls):
        rgb = rng.integers(0, 256, (size, size, 3), np.uint8)
        began = time.perf_counter()
        plan = loaded.plan(rgb, INSTRUCTION)
        planned = time.perf_counter()
        loaded.actions(plan.hidden)
        done = time.perf_counter()
        plan_ms.append(1e3 * (planned - began))
        head_ms.append(1e3 * (done - planned))
        chunk_ms.append(1e3 * (done - began))
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
        'params': loaded.parameters,
        'image_px': size,
        'calls': calls,
        'threads': threads,
        'policy': name,
        'checkpoint_sha256': loaded.sha256,
        **where,
    }
