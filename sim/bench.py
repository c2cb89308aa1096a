# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How fast a table runs: `vw2 bench sim`."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from vw2_ros.sim.table import Simulator, Table

_ACTIONS_SEED = 0


def _steps_per_s(table: Table, look: Callable[[], object], seconds: float) -> float:
    # a wandering arm with blocks in reach, reset every 120 steps as an evaluation would
    rng = np.random.default_rng(_ACTIONS_SEED)
    look()
    steps = 0
    spent = 0.0
    while spent < seconds:
        table.reset(rng=rng)
        actions = rng.uniform(-1.0, 1.0, (120, 7))
        actions[:, 6] = np.sign(actions[:, 6])
        began = time.perf_counter()
        for action in actions:
            table.step(action)
            look()
        spent += time.perf_counter() - began
        steps += len(actions)
    return steps / spent


def bench_sim(
    scene: str = 'D', seconds: float = 5.0, simulator: Simulator | None = None
) -> dict[str, float]:
    """Control steps per second of one table in this process, resets not counted.

    Args:
        scene: "A", "B", "C" or "D".
        seconds: how long each of the measurements lasts.
        simulator: which table; None: the play table.
    Returns:
        `steps_per_s_no_camera`, `steps_per_s_static_200`, `steps_per_s_static_96`;
        `steps_per_s_planning`, with a 96-pixel picture for every 8th step, as a policy wants it; and
        `reset_ms`, one rebuild of the world. Every step also reads `robot_obs` and `scene_obs`.
    """
    with (simulator or Simulator()).open(scene) as table:

        def observe() -> None:
            table.robot_obs()
            table.scene_obs()

        def observe_and_render(size: int) -> Callable[[], None]:
            def look() -> None:
                observe()
                table.render('static', size)

            return look

        def observe_and_plan() -> None:
            observe()
            if table.steps % 8 == 0:
                table.render('static', 96)

        out = {
            'steps_per_s_no_camera': _steps_per_s(table, observe, seconds),
            'steps_per_s_static_200': _steps_per_s(table, observe_and_render(200), seconds),
            'steps_per_s_static_96': _steps_per_s(table, observe_and_render(96), seconds),
            'steps_per_s_planning': _steps_per_s(table, observe_and_plan, seconds),
        }
        rng = np.random.default_rng(_ACTIONS_SEED)
        began = time.perf_counter()
        for _ in range(10):
            table.reset(rng=rng)
        out['reset_ms'] = 100.0 * (time.perf_counter() - began)
    return {key: round(value, 1) for key, value in out.items()}


def run() -> dict[str, float]:
    """What `vw2 bench sim` prints."""
    return bench_sim()
