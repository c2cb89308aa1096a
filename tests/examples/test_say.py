# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The example client runs as printed, against real nodes."""

import functools
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

pytest.importorskip('rclpy')

from ros_helpers import tiny_weights  # noqa: E402

from vw2_ros.files import config_file  # noqa: E402
from vw2_ros.nodes.action import ActionNode  # noqa: E402
from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode  # noqa: E402
from vw2_ros.nodes.planner import PlannerNode  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAMERA = ['--ros-args', '-r', 'image_raw:=static/image_raw']


@pytest.fixture
def nodes(bench, tmp_path):
    """The nodes of calvin.launch.py, with untrained weights."""
    weights = tiny_weights(tmp_path / 'tiny')
    contract = yaml.safe_load(config_file('arms/play_table.yaml').read_text())
    # all nodes share this test's one thread: nothing may be too old
    contract['limits']['max_age_s'] = 10.0
    contract_file = tmp_path / 'contract.yaml'
    contract_file.write_text(yaml.safe_dump(contract))
    bench.add(CalvinBridgeNode, image_size=32)
    bench.add(
        functools.partial(PlannerNode, cli_args=CAMERA), weights=weights, max_image_age_s=10.0
    )
    bench.add(
        functools.partial(ActionNode, cli_args=CAMERA),
        weights=weights,
        contract=str(contract_file),
        max_plan_age_s=10.0,
    )
    return bench


def say(bench, *arguments):
    """Run the example while the nodes are served; return its exit status and output."""
    with subprocess.Popen(
        [sys.executable, 'examples/say.py', *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        ended = bench.until(lambda: child.poll() is not None, 90)
        child.kill()
        output = child.stdout.read()
    assert ended, output
    return child.returncode, output


def test_an_instruction_moves_the_arm(nodes):
    status, output = say(nodes, 'open the drawer', '--seconds', '3')
    assert status == 0, output
    assert 'The nodes are ready. Saying: open the drawer' in output
    moved = [float(m) for m in re.search(r'Each joint moved by \[rad\]: (.*)', output)[1].split()]
    assert max(moved) > 0.01, output


def test_an_unknown_instruction_is_told(nodes):
    status, output = say(nodes, 'sing a song', '--seconds', '1')
    assert status == 0, output
    assert "unknown instruction 'sing a song'" in output
