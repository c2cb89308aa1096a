# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How fast it is: `vw2 bench policy` times the model alone, `vw2 bench loop` the real nodes.

| key                       | meaning                                                            |
| ------------------------- | ------------------------------------------------------------------ |
| plan_ms_p50, plan_ms_p99  | one image and instruction -> codes and hidden states [ms]          |
| head_ms_p50               | hidden states -> chunk of actions [ms]                             |
| params                    | parameters of planner and head, vision included                    |
"""

import os
import platform
import time

import numpy as np

INSTRUCTION = 'push the red block to the left'


def machine() -> dict:
    """Where the figures come from."""
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            name = next(line.split(':', 1)[1].strip() for line in file
                        if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return {'cpu': name, 'cores': len(os.sched_getaffinity(0)),
            'load_before': round(os.getloadavg()[0], 2), 'python': platform.python_version()}


def policy(name: str = 'play_table', *, calls: int = 200, threads: int = 1) -> dict:
    """Time one plan and the action head, alone in this process on `threads` CPU threads.

    Args:
        name: shipped weights or the folder of a checkpoint.
        calls: plans that are timed, each from another image.
    Raises:
        CheckpointError: as `Policy.load`.
    """
    from vw2_ros.models.policy import Policy

    if calls < 2:
        raise ValueError(f'calls must be at least 2, got {calls}')
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
    return {
        'plan_ms_p50': float(np.percentile(plan_ms, 50)),
        'plan_ms_p99': float(np.percentile(plan_ms, 99)),
        'head_ms_p50': float(np.percentile(head_ms, 50)),
        'chunk_ms_p50': float(np.percentile(chunk_ms, 50)),
        'params': loaded.parameters,
        'image_px': size, 'calls': calls, 'threads': threads,
        'policy': name, 'checkpoint_sha256': loaded.sha256, **where,
    }
