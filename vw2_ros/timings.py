# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How long the newest calls took, by stage."""

from __future__ import annotations

from collections import deque

import numpy as np

KEPT = 1000  # calls of a stage


class Timings:
    """The times of the last `KEPT` calls of each stage, in milliseconds."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def note(self, **times_ms: float) -> dict[str, float]:
        """Keep a call's times; returns them."""
        for stage, value in times_ms.items():
            self._times.setdefault(stage, deque(maxlen=KEPT)).append(value)
        return times_ms

    def newest(self, stage: str, count: int) -> list[float]:
        """The last times of a stage, at most so many, the newest last."""
        return list(self._times.get(stage, ()))[-count:]

    def summary(self) -> dict[str, dict[str, float]]:
        """p50 and p99 [ms] and count of each stage."""
        return {
            stage: {
                'p50': float(np.percentile(v, 50)),
                'p99': float(np.percentile(v, 99)),
                'count': len(v),
            }
            for stage, v in self._times.items()
        }
