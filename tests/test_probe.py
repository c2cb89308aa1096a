# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a simulator teaches sight: the same places as its camera shows, and keypoints that go there."""

import calvin_files
import numpy as np
import pytest
import torch

from vw2_ros.kinematics import euler_to_matrix
from vw2_ros.models import probe
from vw2_ros.models.data import FrameStore
from vw2_ros.models.training import ConfigError
from vw2_ros.models.vision import KeypointEncoder, VisionConfig
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW
from vw2_ros.sim.collect import config_of, Plan
from vw2_ros.sim.scenes import SCENES, table_links

CAMERA = config_of(Plan())['cameras']['static']


@pytest.fixture
def folder(tmp_path):
    path = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=2, frames=20)
    calvin_files.write_config(path / 'training')
    return path


def test_points_lie_where_the_simulators_camera_shows_them():
    points = np.random.default_rng(0).uniform((-0.3, -0.2, 0.3), (0.3, 0.1, 0.7), (50, 3))
    eye, rotation = STATIC_VIEW.optical_frame()
    seen = (points - eye) @ rotation @ STATIC.intrinsics(96, 96).T
    pixels = seen[:, :2] / seen[:, 2:]
    assert np.allclose((probe.project(points, CAMERA) + 1) * 48, pixels, atol=1e-6)


def test_rotation_is_that_of_the_observation():
    euler = np.random.default_rng(1).uniform(-3, 3, (20, 3))
    assert np.allclose(probe._rotation(euler), [euler_to_matrix(e) for e in euler])


def test_targets_of_a_data_folder(folder):
    store = FrameStore([folder], 'training', 96)
    points = probe.point_targets(store)
    assert points.shape == (len(store), probe.POINTS, 2) and np.abs(points).max() <= 1
    expected = probe.project(store.robot_obs[:, :3], CAMERA).clip(-1, 1)
    assert np.allclose(points[:, 0], expected, atol=1e-5)
    drawer = np.array([0.1, 0.0, 0.5]) - store.scene_obs[:, 1:2] * [0.0, 1.0, 0.0]
    assert np.allclose(points[:, 8], probe.project(drawer, CAMERA).clip(-1, 1), atol=1e-5)
    state = probe.state_targets(store)
    assert state.shape == (len(store), 25) and np.abs(state.mean(0)).max() < 1e-3


def test_data_that_does_not_tell_its_camera_is_refused(folder):
    for config, lacking in (({'renderer': 'other'}, 'cameras'),
                            ({'cameras': {'static': CAMERA}}, 'handles')):
        calvin_files.write_config(folder / 'training', config)
        with pytest.raises(ConfigError, match=f'cameras.static.*no .{lacking}.*set it to 0'):
            probe.point_targets(FrameStore([folder], 'training', 96))


@pytest.mark.parametrize('scene', 'ABCD')
def test_handles_are_where_the_table_has_them(scene):
    """Within the first part of each mechanism that is made as a handle."""
    for link in table_links(SCENES[scene]):
        if link.name in probe.HANDLES:
            at, along = SCENES[scene].handles[link.name]
            turn = euler_to_matrix(np.array([link.roll, 0, 0]))
            bar = next(p for p in link.parts if p.material == 'handle')
            off = turn.T @ (at - link.origin) - bar.centre
            assert (np.abs(off) <= 0.5 * np.array(bar.size)).all(), link.name
            assert np.allclose(turn @ link.axis, along), link.name


def test_keypoints_go_where_the_probe_sends_them():
    torch.manual_seed(0)
    vision = KeypointEncoder(VisionConfig(image_size=32, stem=8, channels=8, keypoints=12), 16)
    teacher = probe.Probe(vision, 3, 16)
    optimizer = torch.optim.Adam([*vision.parameters(), *teacher.parameters()], 3e-3)
    picture = torch.randint(0, 100, (4, 3, 32, 32), dtype=torch.uint8)
    places = torch.tensor([[8, 8], [24, 8], [8, 24], [20, 20]])
    for one, (x, y) in zip(picture, places):
        one[:, y - 2:y + 2, x - 2:x + 2] = 255
    points = (places / 16 - 1)[:, None].expand(-1, probe.POINTS, -1)
    state = torch.randn(4, 3)
    errors = []
    for _ in range(400):
        vision(picture)
        read, placed = teacher(state, points)
        errors.append((read.item(), placed.item()))
        optimizer.zero_grad()
        (read + placed).backward()
        optimizer.step()
    assert errors[-1][1] < 0.1 < errors[0][1] and errors[-1][0] < 0.5 * errors[0][0]


def test_too_few_keypoints_are_refused():
    vision = KeypointEncoder(VisionConfig(image_size=32, stem=4, channels=4, keypoints=4), 16)
    with pytest.raises(ConfigError, match='keypoints must be at least 10'):
        probe.Probe(vision, 3, 16)
