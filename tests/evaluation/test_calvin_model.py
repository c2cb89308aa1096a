# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's CustomModel: pictures of 200 px, plain words, and actions that its environment takes."""

import cv2
import numpy as np
import pytest
from policy_files import tiny_policy

from vw2_ros.evaluation.calvin_model import CustomModel


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    weights = tmp_path_factory.mktemp('model') / 'weights'
    tiny_policy(weights, provenance={'renderer': 'calvin_env_tiny, pybullet_tiny'})
    return CustomModel(str(weights), execute=4)


def seen(seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (200, 200, 3), np.uint8)
    return {'rgb_obs': {'rgb_static': rgb}}


def test_it_acts_as_the_policy_does_on_the_picture_shrunk_by_area(model):
    model.reset()
    obs = seen(0)
    action = model.step(obs, 'open the drawer')
    size = model.policy.image_size
    small = cv2.resize(obs['rgb_obs']['rgb_static'], (size, size), interpolation=cv2.INTER_AREA)
    assert (model.policy.fit(obs['rgb_obs']['rgb_static']) == small).all()
    wanted = model.policy.infer({'rgb': small, 'instruction': 'open the drawer'}).actions
    assert action.dtype == np.float64 and np.allclose(action[:6], wanted[0, :6])
    assert action[6] == np.sign(wanted[0, 6]) and abs(action[6]) == 1.0
    action[:] = 9  # the caller's own memory
    assert np.allclose(model.step(seen(1), 'open the drawer')[:6], wanted[1, :6])
    model.reset()  # a new plan
    assert not np.allclose(model.step(seen(1), 'open the drawer')[:6], wanted[0, :6])


def test_what_it_cannot_use_is_told(model):
    with pytest.raises(ValueError, match='goal must be a sentence. Got ndarray'):
        model.step(seen(0), np.zeros(384))
    with pytest.raises(ValueError, match='rgb_static'):
        model.step({'rgb_obs': {}}, 'open the drawer')
    with pytest.raises(ValueError, match='uint8'):
        model.step({'rgb_obs': {'rgb_static': np.zeros((3, 200, 200))}}, 'open the drawer')


def test_another_renderer_is_warned_of(model):
    weights = str(model.policy.path)
    CustomModel(weights, renderer='calvin_env_tiny')
    with pytest.warns(UserWarning, match='WAS TRAINED ON OTHER IMAGES'):
        CustomModel(weights, renderer='calvin_env_egl')
