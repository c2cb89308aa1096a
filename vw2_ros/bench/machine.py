# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The machine that a bench runs on, and what the model is told meanwhile."""

import os
import platform

INSTRUCTION = 'push the red block to the left'


def machine() -> dict:
    """Where the figures come from."""
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            name = next(
                line.split(':', 1)[1].strip() for line in file if line.startswith('model name')
            )
    except (OSError, StopIteration):
        pass
    return {
        'cpu': name,
        'cores': len(os.sched_getaffinity(0)),
        'load_before': round(os.getloadavg()[0], 2),
        'python': platform.python_version(),
    }
