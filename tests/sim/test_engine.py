# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The wrapper around the physics engine: worlds apart from each other, opened and closed."""

import subprocess
import sys

import pytest

from vw2_ros.sim.engine import Engine


def falling_box(engine):
    engine.clear()
    engine.set_physics(gravity=-9.8, time_step=1 / 240, solver_iterations=50)
    engine.add_plane()
    return engine.add_box((0.1, 0.1, 0.1), (0, 0, 1.0), (0, 0, 0, 1), mass=1.0)


def test_worlds_are_apart():
    one, two = Engine(), Engine()
    box_one, box_two = falling_box(one), falling_box(two)
    one.step(240)
    assert one.pose(box_one)[0][2] == pytest.approx(0.05, abs=2e-3)
    assert two.pose(box_two)[0][2] == 1.0
    one.close()
    two.step(1)
    assert two.pose(box_two)[0][2] < 1.0
    two.close()


def test_close_twice():
    engine = Engine()
    assert engine.is_open
    engine.close()
    engine.close()
    assert not engine.is_open


def test_contacts_and_distances():
    engine = Engine()
    box = falling_box(engine)
    assert engine.contacts(box) == set()
    other = engine.add_box((0.1, 0.1, 0.1), (0.2, 0, 1.0), (0, 0, 0, 1), mass=1.0)
    assert engine.distance(box, other, 0.5) == pytest.approx(0.1, abs=1e-3)
    assert engine.distance(box, other, 0.05) == float('inf')
    engine.step(240)
    touched = {body for body, _ in engine.contacts(box)}
    assert touched == {0}  # the floor
    engine.close()


def test_importing_it_is_silent():
    done = subprocess.run(
        [sys.executable, '-c', 'import vw2_ros.sim.engine'],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=__import__('pathlib').Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
