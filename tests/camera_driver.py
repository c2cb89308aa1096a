# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A camera's driver of others, in a process of its own, as a context manager."""

import contextlib
import os
import subprocess
import sys

from vw2_ros.bringup.system import PROFILE_VARIABLES
from vw2_ros.files import config_file


@contextlib.contextmanager
def driver(*arguments, profile=False):
    """Run `vw2_ros.bench.camera_driver`, with this package's DDS profile or with the default one."""
    env = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES}
    if profile:
        env |= dict.fromkeys(PROFILE_VARIABLES, str(config_file('fastdds.xml')))
    child = subprocess.Popen(
        [sys.executable, '-m', 'vw2_ros.bench.camera_driver', *arguments],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
