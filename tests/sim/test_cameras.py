# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The cameras: CALVIN's numbers, and what stands where in the picture."""

import numpy as np
import pytest

from vw2_ros.arms import open_arm
from vw2_ros.sim import cameras
from vw2_ros.sim.appearance import Appearance, wood_texture
from vw2_ros.sim.play_table import PlayTable

PANDA = open_arm()


@pytest.fixture(scope='module')
def table():
    with PlayTable('D') as table:
        yield table


def project(camera, view, point, size):
    eye, rotation = view.optical_frame()
    x, y, z = rotation.T @ (np.asarray(point) - eye)
    k = camera.intrinsics(size, size)
    return k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2], z


def test_intrinsics_are_calvins():
    k = cameras.STATIC.intrinsics()
    assert k[0, 0] == pytest.approx(1143.005, abs=1e-3)
    assert k[1, 1] == k[0, 0] and k[0, 2] == k[1, 2] == 100
    half = cameras.STATIC.intrinsics(100, 100)
    assert half[0, 0] == pytest.approx(k[0, 0] / 2)
    grip = cameras.GRIPPER.intrinsics()
    assert grip[0, 0] == pytest.approx(42 / np.tan(np.radians(37.5)))


@pytest.mark.parametrize('size', [96, 200])
def test_a_block_is_seen_where_it_lies(table, size):
    obs = table.scene.default_obs()
    obs[6:12] = (0.25, -0.10, 0.46, 0, 0, 0.3)  # red
    table.reset(scene_obs=obs)
    rgb, depth = table.render('static', size, depth=True)
    assert rgb.shape == (size, size, 3) and rgb.dtype == np.uint8
    assert depth.shape == (size, size) and depth.dtype == np.float32
    u, v, z = project(cameras.STATIC, table.view(), (0.25, -0.10, 0.48), size)
    red = (rgb[:, :, 0] > 120) & (rgb[:, :, 1] < 40) & (rgb[:, :, 2] < 40)
    assert red[round(v), round(u)]
    rows, cols = np.nonzero(red)
    # the seen faces' middle lies a little below the top's
    assert abs(cols.mean() - u) < 0.03 * size and abs(rows.mean() - v) < 0.04 * size
    assert depth[round(v), round(u)] == pytest.approx(z, abs=0.01)


def test_depth_of_table_and_floor(table):
    table.reset()
    _, depth = table.render('static', depth=True)
    for point in [(0.3, -0.1, 0.44), (-0.236, -0.087, 0.0)]:
        u, v, z = project(cameras.STATIC, table.view(), point, 200)
        assert depth[round(v), round(u)] == pytest.approx(z, abs=0.01)


def test_the_gripper_camera_rides_on_the_hand(table):
    table.reset()
    view = cameras.gripper_view(PANDA, PANDA.rest_rad)
    tcp = PANDA.forward(PANDA.rest_rad)[0] + np.array([-0.34, -0.46, 0.24])
    u, v, z = project(cameras.GRIPPER, view, tcp, 84)
    assert 30 < u < 54 and 0 < v < 42 and 0.05 < z < 0.25  # between the fingers, above the middle
    rgb, depth = table.render('gripper', depth=True)
    assert rgb.shape == (84, 84, 3) and depth.max() <= 2.0
    # both fingers come in from the top
    assert depth[2, :42].min() < 0.2 and depth[2, 42:].min() < 0.2


def test_what_moves_is_drawn_before_and_behind(table):
    """A block behind the closed door is hidden, and seen when the door has slid away."""
    obs = table.scene.default_obs()
    obs[18:24] = (0.05, 0.09, 0.461, 0, 0, 1.5)  # pink, on the shelf's right half
    obs[0] = 0.0

    def pink(rgb):
        return int(((rgb[:, :, 0] > 100) & (rgb[:, :, 2] > 100) & (rgb[:, :, 1] < 40)).sum())

    table.reset(scene_obs=obs)
    assert pink(table.render()) == 0
    obs[0] = 0.28
    table.reset(scene_obs=obs)
    assert pink(table.render()) > 20


def test_lights_change_colour(table):
    obs = table.scene.default_obs()
    table.reset(scene_obs=obs)
    off = table.render().astype(int)
    obs[3], obs[4], obs[5] = 0.088, 1, 1
    table.reset(scene_obs=obs)
    on = table.render().astype(int)
    green = (on[:, :, 1] > 150) & (on[:, :, 0] < 60)
    yellow = (on[:, :, 0] > 120) & (on[:, :, 1] > 120) & (on[:, :, 2] < 40)
    assert green.sum() > 20 and yellow.sum() > 20
    assert not ((off[:, :, 1] > 150) & (off[:, :, 0] < 60)).any()


def test_looks_change_the_picture_and_nothing_else(table):
    table.reset()
    plain = table.render('static', 96)
    state = table.scene_obs(), table.robot_obs()
    looks = [Appearance.random(np.random.default_rng(seed)) for seed in (0, 1)]
    pictures = []
    for look in looks:
        table.set_appearance(look)
        pictures.append(table.render('static', 96))
    table.set_appearance(None)
    assert (table.render('static', 96) == plain).all()
    for picture in pictures:
        assert np.abs(picture.astype(int) - plain).mean() > 10
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 10
    assert (table.scene_obs() == state[0]).all() and (table.robot_obs() == state[1]).all()
    again = Appearance.random(np.random.default_rng(0))
    assert again == looks[0]
    assert (wood_texture(again.wood) == wood_texture(looks[0].wood)).all()


@pytest.mark.parametrize(
    'arguments', [('rear',), ('static', 2), ('static', 'big'), ('static', (1, 2, 3))]
)
def test_bad_views_are_refused(table, arguments):
    with pytest.raises(ValueError):
        table.render(*arguments)


def test_height_and_width(table):
    rgb, depth = table.render('static', (48, 64), depth=True)
    assert rgb.shape == (48, 64, 3) and depth.shape == (48, 64)
    with pytest.raises(ValueError, match='strength'):
        Appearance.random(np.random.default_rng(0), strength=2)
