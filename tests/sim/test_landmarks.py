# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a simulator teaches sight lies where its camera shows it, in every scene and look."""

import numpy as np
import pytest

from vw2_ros.arms.geometry import euler_to_matrix
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW, View
from vw2_ros.sim.furniture import table_links
from vw2_ros.sim.landmarks import HANDLES, LANDMARKS, landmarks, project, scene_state, teach
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.scenes import BLOCK_COLOURS, COLOURS, SCENES


def test_points_lie_where_the_camera_shows_them():
    points = np.random.default_rng(0).uniform((-0.3, -0.2, 0.3), (0.3, 0.1, 0.7), (50, 3))
    eye, rotation = STATIC_VIEW.optical_frame()
    seen = (points - eye) @ rotation @ STATIC.intrinsics(96, 96).T
    pixels = seen[:, :2] / seen[:, 2:]
    assert np.allclose((project(points, STATIC_VIEW, STATIC.fov_deg) + 1) * 48, pixels, atol=1e-6)


@pytest.mark.parametrize('scene', 'ABCD')
def test_blocks_are_seen_at_their_landmarks(scene):
    """In a picture with a look and a camera drawn at random, whatever the order of scene_obs."""
    look = Appearance.random(np.random.default_rng(7))
    with PlayTable(scene, appearance=look) as table:
        table.reset()
        robot, scene_obs = table.robot_obs(), table.scene_obs()
        at = landmarks(
            table.scene, table.view(), STATIC.fov_deg * look.jitter.fov_scale, robot, scene_obs
        )
        rgb = table.render('static', 200).astype(int)
        state = scene_state(table.scene, robot, scene_obs)
        poses = {c: table.state().blocks[c].position for c in COLOURS}
    assert at.shape == (len(LANDMARKS), 2) and at.dtype == np.float32
    seen = 0  # of three: the arm or the table may be before one
    for k, colour in enumerate(COLOURS):
        x, y = ((at[4 + k] + 1) * 100).astype(int)
        bright = np.array(BLOCK_COLOURS[colour][:3]) > 0.5
        value = rgb[y, x]
        seen += value[bright].min() > 80 and value[~bright].max() < 60
        assert np.allclose(state[10 + 3 * k : 13 + 3 * k], poses[colour], atol=1e-5)
    assert seen >= 1


def test_state_is_that_of_the_table():
    scene = SCENES['A']
    robot, scene_obs = np.arange(15.0), np.arange(24.0)
    state = scene_state(scene, robot, scene_obs)
    assert state[:4].tolist() == [0, 1, 2, 6] and state[4:10].tolist() == [0, 1, 2, 3, 4, 5]
    red = 6 + 6 * scene.block_order.index('red')
    assert state[10:13].tolist() == [red, red + 1, red + 2]
    assert state[19] == pytest.approx(np.sin(2 * (red + 5)), abs=1e-6)
    assert state[22] == pytest.approx(np.cos(2 * (red + 5)), abs=1e-6)


def test_frames_of_several_scenes_are_taught_each_by_its_own():
    rng = np.random.default_rng(0)
    letters = np.array(list('DABCA'))
    robot, scene_obs = 0.3 * rng.normal(size=(5, 15)), 0.3 * rng.normal(size=(5, 24))
    camera = {'fov': 12, 'look_from': [2.0, -2.0, 2.0], 'look_at': [0, 0, 0.4]}
    points, state = teach(letters, camera, robot, scene_obs)
    view = View((2.0, -2.0, 2.0), (0, 0, 0.4), STATIC_VIEW.up)
    for i, letter in enumerate(letters):
        wanted = landmarks(SCENES[letter], view, 12, robot[i], scene_obs[i])
        np.testing.assert_allclose(points[i], wanted, atol=1e-6)
        np.testing.assert_allclose(state[i], scene_state(SCENES[letter], robot[i], scene_obs[i]))
    assert not np.allclose(points, teach(letters, {}, robot, scene_obs)[0])


@pytest.mark.parametrize(
    'camera', [{'fov': 'wide'}, {'fov': 0}, {'look_at': [1, 2]}, {'up_vector': [0, 0, 0]}, ['fov']]
)
def test_a_senseless_camera_is_told(camera):
    with pytest.raises(InvalidValueError, match='look_from, look_at and up_vector'):
        teach(np.array(['D']), camera, np.zeros((1, 15)), np.zeros((1, 24)))


@pytest.mark.parametrize('scene', 'ABCD')
def test_handles_are_where_the_table_has_them(scene):
    """Within the first part of each mechanism that is made as a handle."""
    for link in table_links(SCENES[scene]):
        if link.name in HANDLES:
            at, along = SCENES[scene].handles[link.name]
            turn = euler_to_matrix(np.array([link.roll, 0, 0]))
            bar = next(p for p in link.parts if p.material == 'handle')
            off = turn.T @ (at - link.origin) - bar.centre
            assert (np.abs(off) <= 0.5 * np.array(bar.size)).all(), link.name
            assert np.allclose(turn @ link.axis, along), link.name
