# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The tool's path lies in the picture where the tool is."""

import numpy as np
import pytest

from vw2_ros.arms.contract import Contract
from vw2_ros.cameras.dry_run import CLOSED, HEIGHT_PX, OPEN, CameraModel, draw

BOX = (np.array([-1.0, -1, 0]), np.array([1.0, 1, 1]))


def test_projection_of_the_play_table():
    """A block that is drawn red is red where its place is projected to."""
    pytest.importorskip('pybullet')
    from vw2_ros.sim.cameras import STATIC_VIEW, get_camera
    from vw2_ros.sim.table import open_table

    pose = Contract.load('play_table').cameras['static'].pose
    K = get_camera('static').intrinsics(200, 200)
    camera = CameraModel.of(K.ravel(), pose)
    with open_table('D') as table:
        eye, rotation = STATIC_VIEW.optical_frame()
        np.testing.assert_allclose(camera.position_m, eye - table.arm.base_position, atol=1e-5)
        np.testing.assert_allclose(camera.rotation, rotation, atol=1e-5)
        rgb = table.render('static', 200)
        red = np.argwhere((rgb[:, :, 0] > 120) & (rgb[:, :, 1:].max(axis=2) < 40))  # (n, 2)
        block = table.scene_obs()[6:9] - table.arm.base_position
    u, v = camera.project(block[None])[0]
    assert np.hypot(*(red.mean(axis=0) - (v, u))) < 5


def test_behind_the_camera_is_nowhere():
    camera = CameraModel(np.diag([100.0, 100, 1]), np.zeros(3), np.eye(3))
    pixels = camera.project([[0.1, 0, 1], [0, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(pixels[0], [10, 0])
    assert np.isnan(pixels[1:]).all()


def colours(rgb):
    return {c for c in (OPEN, CLOSED) if (rgb == np.array(c)).all(axis=2).any()}


def test_path_in_the_picture_or_beside_it():
    rgb = np.full((96, 96, 3), 128, np.uint8)
    path = np.linspace([0.4, 0, 0.4], [0.4, 0.1, 0.3], 17)
    gripper = np.array([1.0] * 8 + [-1.0] * 9)
    K = [96.0, 0, 48, 0, 96, 48, 0, 0, 1]
    # half a metre above, looking down: base x is up in the picture
    model = CameraModel.of(K, (0.4, 0.0, 1.2, np.pi, 0, -np.pi / 2))
    seen = draw(rgb, path, gripper, BOX, ('a', 'b'), model)
    assert seen.shape[1] == HEIGHT_PX and colours(seen) == {OPEN, CLOSED}
    views = draw(rgb, path, gripper, BOX, ('a', 'b'), None, rgb)
    assert views.shape[1] == 4 * HEIGHT_PX + 18
    assert colours(views[:, HEIGHT_PX + 6 :]) == {OPEN, CLOSED}
    assert not colours(views[:, :HEIGHT_PX])
    one = draw(rgb, path[:1], gripper[:1], BOX, ('a', 'b'))  # a chunk that was refused
    assert one.shape[1] == 3 * HEIGHT_PX + 12
