# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The Gymnasium environment: its contract, its seeds, its errors."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vw2_ros.sim.env import PlayTableEnv


def episode(env, seed, steps=20):
    obs, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    out = [obs]
    for _ in range(steps):
        out.append(env.step(rng.uniform(-1, 1, 7).astype(np.float32))[0])
    return out


@pytest.mark.parametrize(
    'options',
    [
        dict(scene='D', cameras=('static', 'gripper'), depth=True, image_size=32),
        dict(scene='A', cameras=('static',), randomize=True, image_size=32),
        dict(scene='B', cameras=(), action_mode='joint_rel'),
        dict(scene='C', cameras=(), task='open_drawer', max_steps=5),
    ],
)
def test_check_env(options):
    env = PlayTableEnv(**options)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # unbounded spaces, no spec
        check_env(env, skip_render_check=True)
    env.close()


def test_a_seed_gives_the_same_episode():
    env, other = PlayTableEnv(image_size=32), PlayTableEnv(image_size=32)
    first = episode(env, 7)
    episode(env, 8)  # the past leaves no trace
    for again in (episode(env, 7), episode(other, 7)):
        for a, b in zip(first, again):
            assert all((a[key] == b[key]).all() for key in a)
    different = episode(env, 9)
    assert (different[0]['scene_obs'] != first[0]['scene_obs']).any()
    env.close()
    other.close()


def test_a_given_start():
    env = PlayTableEnv(cameras=())
    wanted = env.scene.default_obs()
    wanted[1] = 0.15
    obs, _ = env.reset(options={'scene_obs': wanted})
    assert obs['scene_obs'][1] == pytest.approx(0.15, abs=1e-3)
    with pytest.raises(ValueError, match='options'):
        env.reset(options={'colour': 1})
    env.close()


def test_an_episode_ends_with_success():
    env = PlayTableEnv(cameras=(), task='turn_on_led', max_steps=200)
    start = env.scene.default_obs()
    env.reset(options={'scene_obs': start})
    over_button = np.array([env.scene.button_x, -0.12])
    rewards = []
    for _ in range(200):
        position, _ = env.table.target
        move = np.clip((over_button - position[:2]) / 0.02, -1, 1)
        down = -0.8 if np.abs(over_button - position[:2]).max() < 0.01 else 0.0
        _, reward, terminated, truncated, info = env.step(np.array([*move, down, 0, 0, 0, -1.0]))
        rewards.append(reward)
        if terminated or truncated:
            break
    assert terminated and not truncated and info['success']
    assert rewards[-1] == 1.0 and sum(rewards) == 1.0
    env.close()


def test_an_episode_is_cut_off():
    env = PlayTableEnv(cameras=(), max_steps=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(7))[3] for _ in range(3)]
    assert ends == [False, False, True]
    env.close()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(scene='E'), 'scene'),
        (dict(task='fly'), 'task'),
        (dict(action_mode='torque'), 'action_mode'),
        (dict(cameras=('rear',)), 'camera'),
        (dict(image_size=1), 'image'),
        (dict(max_steps=0), 'max_steps'),
        (dict(render_mode='human'), 'render_mode'),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        PlayTableEnv(**options)


def test_bad_actions():
    env = PlayTableEnv(cameras=())
    env.reset(seed=0)
    before = env.table.robot_obs()
    for action in (np.zeros(6), np.full(7, np.nan)):
        with pytest.raises(ValueError):
            env.step(action)
    assert (env.table.robot_obs() == before).all()
    assert env.render().shape == (200, 200, 3)
    env.close()


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_is_another_table_of_the_same_settings(copied):
    env = PlayTableEnv('B', cameras=(), task='open_drawer', max_steps=7)
    other = copied(env)
    assert other.table is not env.table
    assert (other.scene, other.task, other.max_steps) == (env.scene, env.task, env.max_steps)
    for a, b in zip(episode(env, 3, 5), episode(other, 3, 5), strict=True):
        assert all(np.array_equal(a[k], b[k]) for k in a)
    env.close()
    other.close()
