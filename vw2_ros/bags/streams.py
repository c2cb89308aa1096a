# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How well a stretch of a bag was recorded: rate of the camera, gaps, skew between clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vw2_ros.bags.stamps import distrust

GAP_PERIODS, SHORTEST_GAP_S = 2.5, 0.05  # a longer silence is a gap
SIMULATED_S = 3600.0  # a clock that is further from ours is a simulation's

Arrivals = tuple[Sequence[int], Sequence[int]]  # received [ns], header stamp [ns] (0: none)


def stretch_facts(
    streams: Mapping[str, Arrivals], camera: str, start_ns: int, stop_ns: int
) -> dict[str, float | int | None]:
    """What a table says of a stretch.

    Args:
        streams: topic -> its messages as they arrived, the camera among them.
        camera: topic of the pictures.
        start_ns, stop_ns: arrival, from and before.
    Returns:
        frames; seconds and hz of the camera; gaps: silences of any of the topics; skew_ms: by how
        much the time from stamp to arrival differs between topics, None where it cannot be known.
    """
    gaps, latencies, facts = 0, [], {'frames': 0, 'seconds': 0.0, 'hz': 0.0}
    for topic, (received, stamps) in streams.items():
        came, made = np.asarray(received, np.int64), np.asarray(stamps, np.int64)
        inside = (came >= start_ns) & (came < stop_ns)
        came, made = came[inside], made[inside]
        steps = np.diff(np.sort(came)) * 1e-9
        period = float(np.median(steps)) if len(steps) else 0.0
        gaps += int((steps > max(GAP_PERIODS * period, SHORTEST_GAP_S)).sum())
        if len(came) and not distrust(came, made):
            latencies.append(float(np.median(came - made)))
        if topic == camera:
            facts = {
                'frames': len(came),
                'seconds': round(float(np.ptp(came)) * 1e-9 + period, 2) if len(came) else 0.0,
                'hz': round(1 / period, 1) if period else 0.0,
            }
    known = len(latencies) > 1 and max(map(abs, latencies)) < SIMULATED_S * 1e9
    skew = round((max(latencies) - min(latencies)) * 1e-6, 1) if known else None
    return {**facts, 'gaps': gaps, 'skew_ms': skew}
