# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Settings that must hold before any test module is imported."""

import atexit
import os
import pathlib
import shutil
import signal
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A run started in the background ignores Ctrl-C, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault('OMP_NUM_THREADS', '1')
# no hub, no telemetry: nothing in the tests needs the network
os.environ.setdefault('HF_HUB_OFFLINE', '1')

# what nodes log of their own lies here, and not with the log of this machine's robots
os.environ['ROS_HOME'] = tempfile.mkdtemp(prefix='ros_home_')
atexit.register(shutil.rmtree, os.environ['ROS_HOME'], ignore_errors=True)

if str(ROOT) not in sys.path:  # the tests are of this tree, installed or not
    sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

from vw2_ros.bringup.domain import private_environment  # noqa: E402
from vw2_ros.bringup.system import PROFILE_VARIABLES  # noqa: E402

# Workers that run beside each other, and other people's robots, must not hear one another.
os.environ.update(private_environment())
if 'ROS_LOCALHOST_ONLY' not in os.environ:
    # LOCALHOST would add shared memory to what the profile says: there Fast DDS may crash in what opens
    # the rest of a killed process (its issue 6501), and these tests kill many
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SYSTEM_DEFAULT'
    loopback = str(ROOT / 'tests' / 'loopback.xml')
    os.environ.update(dict.fromkeys(PROFILE_VARIABLES, loopback))


# Of these, real programs find each other over real DDS, at a pace that a busy machine may not keep. The
# rooms in which a robot's faults are tried are not among them: there the first failure counts.
AT_A_PACE = ('bench', 'bringup', 'demo', 'examples', 'recording')


def pytest_collection_modifyitems(items):
    """Run a test once more whose pytest worker crashed; at a pace, also one that failed.

    The summary lists what was run again.
    """
    for item in items:
        room = item.path.relative_to(ROOT / 'tests').parts[0]
        only = {} if room in AT_A_PACE else {'only_rerun': 'the worker crashed'}
        if not item.get_closest_marker('slow'):
            item.add_marker(pytest.mark.flaky(reruns=1, **only))


@pytest.fixture
def bench():
    """Nodes in this process, see `ros_helpers`; only where there is ROS."""
    from ros_helpers import Bench

    made = Bench()
    yield made
    made.close()
