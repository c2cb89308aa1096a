# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The policy: equal results by every path, timing, bad input."""

import math
import warnings

import numpy as np
import pytest
import torch
from policy_files import tiny_dldm, tiny_head, tiny_planner, tiny_policy, tiny_words

from vw2_ros.files import shipped_weights, weights_dir
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.policy import Policy


def save(folder, dldm=True, residual=True, steps=4, queries=4, levels=(8, 5, 5, 5)):
    words, sizes = tiny_words(), {'queries': queries, 'levels': levels}
    torch.manual_seed(0)
    tiny_policy(
        folder,
        words=words,
        planner=tiny_planner(words, steps=steps, queries=queries, codebook_size=math.prod(levels)),
        head=tiny_head(steps=steps),
        dldm=dldm and tiny_dldm(residual=residual, clip_frames=1 + 4 * steps, **sizes),
        provenance={'renderer': 'pybullet_tiny', 'image_size': 32},
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('policy') / 'm'
    save(path)
    return path


@pytest.fixture
def policy(folder):
    return Policy.load(folder)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_plan_then_actions_is_infer(policy, rgb):
    plan = policy.plan(rgb, 'open the drawer')
    assert plan.codes.shape == policy.codes_shape == (4, 4) and plan.codes.dtype == np.int64
    assert plan.hidden.shape == policy.hidden_shape == (4, 16)
    assert plan.hidden.dtype == np.float32
    actions = policy.actions(plan.hidden)
    assert actions.shape == (16, 7) and actions.dtype == np.float32
    assert np.abs(actions).max() <= 1
    whole = policy.infer({'rgb': rgb, 'instruction': 'open the drawer'})
    assert np.array_equal(whole.actions, actions) and np.array_equal(whole.codes, plan.codes)
    assert whole.timings['total_ms'] >= whole.timings['plan_ms'] > 0
    assert policy.timing()['plan_ms']['count'] == 2


def test_a_second_load_gives_the_same(folder, policy, rgb):
    again = Policy.load(folder)
    assert again.sha256 == policy.sha256 and len(again.sha256) == 64
    want = policy.plan(rgb, 'open the drawer').hidden
    assert np.array_equal(again.plan(rgb, 'open the drawer').hidden, want)


def test_act_plans_every_execute_steps(policy, rgb):
    other = 255 - rgb
    want = policy.infer({'rgb': rgb, 'instruction': 'open the drawer'}).actions
    later = policy.infer({'rgb': other, 'instruction': 'open the drawer'}).actions
    got = [
        policy.act({'rgb': rgb if t == 0 else other, 'instruction': 'open the drawer'})
        for t in range(9)
    ]
    assert np.array_equal(got[:8], want[:8]) and np.array_equal(got[8], later[0])
    policy.reset()
    again = policy.act({'rgb': other, 'instruction': 'open the drawer'})
    assert np.array_equal(again, later[0])


def test_warm_up_leaves_no_trace(folder, rgb):
    cold, warm = (Policy.load(folder, temperature=1.0, seed=3) for _ in range(2))
    assert warm.warm_up() > 0
    assert warm.timing() == {}
    assert np.array_equal(cold.plan(rgb, 'open it').codes, warm.plan(rgb, 'open it').codes)


def test_sampling_starts_anew_with_a_seed(folder, rgb):
    policy = Policy.load(folder, temperature=1.0)
    policy.reset(seed=1)
    first = policy.plan(rgb, 'open it').codes
    second = policy.plan(rgb, 'open it').codes
    policy.reset(seed=1)
    assert np.array_equal(policy.plan(rgb, 'open it').codes, first)
    assert not np.array_equal(first, second)


def test_views_and_orders_of_an_image_are_the_same(policy, rgb):
    want = policy.plan(rgb, 'open it').hidden
    assert np.array_equal(policy.plan(rgb[:, ::-1][:, ::-1], 'open it').hidden, want)
    read_only = rgb.copy()
    read_only.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.array_equal(policy.plan(read_only, 'open it').hidden, want)


@pytest.mark.parametrize('size', [32, 50])
@pytest.mark.parametrize('residual', [True, False])
def test_imagine(tmp_path, size, residual):
    save(tmp_path / 'm', residual=residual)
    policy = Policy.load(tmp_path / 'm')
    rgb = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    codes = np.random.default_rng(2).integers(0, 1000, (4, 4))
    video = policy.imagine(rgb, codes)
    assert video.shape == (16, size, size, 3) and video.dtype == np.uint8
    other = codes.copy()
    other[3] = (other[3] + 501) % 1000
    assert np.array_equal(policy.imagine(rgb, other)[:12], video[:12])
    with pytest.raises(ValueError, match='codes must be integers'):
        policy.imagine(rgb, codes[:3])
    with pytest.raises(ValueError, match='indices must lie'):
        policy.imagine(rgb, codes + 1000)
    with pytest.raises(ValueError, match='rgb must be'):
        policy.imagine(rgb.astype(float), codes)


def test_codes_of_another_number_and_size(tmp_path, rgb):
    save(tmp_path / 'm', steps=3, queries=2, levels=(2, 2, 2))
    policy = Policy.load(tmp_path / 'm')
    plan = policy.plan(rgb, 'open it')
    assert plan.codes.shape == policy.codes_shape == (3, 2) and plan.codes.max() < 8
    assert policy.actions(plan.hidden).shape == (12, 7)
    video = policy.imagine(rgb, plan.codes)
    assert video.shape == (12, 32, 32, 3)
    assert policy.tokenize(np.concatenate([rgb[None], video])[:, ::2, ::2]).shape == (3, 2)


def test_imagine_needs_a_dldm(tmp_path, rgb):
    save(tmp_path / 'm', dldm=False)
    policy = Policy.load(tmp_path / 'm')
    assert not policy.can_imagine
    with pytest.raises(RuntimeError, match='dldm.safetensors'):
        policy.imagine(rgb, np.zeros((4, 4), np.int64))


@pytest.mark.parametrize(
    'bad',
    [
        np.zeros((32, 32, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((3, 32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.full((32, 32, 3), np.nan),
        None,
        [[0]],
    ],
)
def test_a_bad_image_is_told(policy, bad):
    with pytest.raises(ValueError, match=r'uint8 \(32, 32, 3\). Got'):
        policy.plan(bad, 'open the drawer')


@pytest.mark.parametrize('bad', ['', '  ', '...', None, 7, ['open']])
def test_a_bad_instruction_is_told(policy, rgb, bad):
    with pytest.raises(ValueError, match='instruction must'):
        policy.plan(rgb, bad)


def test_what_is_not_read_moves_nothing(policy, rgb):
    with pytest.raises(ValueError, match="letters that were seen in training. Got '拿起'"):
        policy.plan(rgb, '拿起 the red block')
    assert policy.known_words('拿起 the red block') == 3 / 4
    with pytest.raises(ValueError, match='at most 16 words. Got 17'):
        policy.plan(rgb, 'open ' * 17)
    with pytest.raises(ValueError, match='50% of its words were seen'):
        policy.check_instruction('open portal', 0.6)
    policy.check_instruction('open portal', 0.5)


def test_other_bad_input(policy, rgb, folder):
    with pytest.raises(ValueError, match='must hold rgb and instruction'):
        policy.infer({'rgb': rgb})
    with pytest.raises(ValueError, match=r'hidden must be float32 \(4, 16\)'):
        policy.actions(np.zeros((4, 15), np.float32))
    with pytest.raises(ValueError, match='finite'):
        policy.actions(np.full((4, 16), np.nan, np.float32))
    for options in ({'execute': 0}, {'execute': 17}, {'temperature': -1}, {'threads': 0}):
        with pytest.raises(ValueError, match='Got'):
            Policy.load(folder, **options)
    with pytest.raises(CheckpointError, match='shipped names'):
        Policy.load('no_such_policy')


def test_device(folder, policy, rgb, monkeypatch):
    assert policy.device == torch.device('cpu')  # unless told otherwise
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    auto = Policy.load(folder, device='auto')
    assert auto.device == torch.device('cpu')
    want = policy.infer({'rgb': rgb, 'instruction': 'open the drawer'})
    got = auto.infer({'rgb': rgb, 'instruction': 'open the drawer'})
    assert np.array_equal(got.actions, want.actions)
    with pytest.raises(ValueError, match="Got 'cuda', and torch finds no GPU"):
        Policy.load(folder, device='cuda')
    with pytest.raises(ValueError, match="must be one of auto, cpu, cuda. Got 'tpu'"):
        Policy.load(folder, device='tpu')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('temperature', [0.0, 1.0])
def test_on_a_gpu(folder, policy, rgb, temperature):
    gpu = Policy.load(folder, device='auto', temperature=temperature)
    assert gpu.device.type == 'cuda' and gpu.warm_up() > 0
    plan = gpu.plan(rgb, 'open the drawer')
    if not temperature:
        want = policy.plan(rgb, 'open the drawer')
        assert np.array_equal(plan.codes, want.codes)
        assert np.allclose(plan.hidden, want.hidden, atol=1e-3)
        assert np.allclose(gpu.actions(plan.hidden), policy.actions(want.hidden), atol=1e-3)
    assert gpu.actions(plan.hidden).shape == (16, 7)
    assert gpu.imagine(rgb, plan.codes).shape == policy.imagine(rgb, plan.codes).shape


def test_another_renderer_is_warned_of(policy):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert policy.check_images('pybullet_tiny', 32)
        assert policy.check_images()
    with pytest.warns(UserWarning, match="renderer 'egl' instead of 'pybullet_tiny'"):
        assert not policy.check_images('egl')
    with pytest.warns(UserWarning, match='image_size 200 instead of 32'):
        assert not policy.check_images(image_size=200)


@pytest.mark.parametrize(
    'learned, known',
    [
        ('pybullet_tiny', {'pybullet_tiny'}),
        # so nearly CALVIN's that weights for it carry over, but not the other way round
        ('pybullet_tiny_detailed', {'pybullet_tiny_detailed', 'calvin_env_tiny'}),
        ('calvin_env_tiny', {'calvin_env_tiny'}),
        ('calvin_env_tiny, pybullet_tiny', {'calvin_env_tiny', 'pybullet_tiny'}),
    ],
)
def test_whose_pictures_carry_over(tmp_path, learned, known):
    tiny_policy(tmp_path / 'm', provenance={'renderer': learned})
    policy = Policy.load(tmp_path / 'm')
    for name in ('pybullet_tiny', 'pybullet_tiny_detailed', 'calvin_env_tiny', 'calvin_env_egl'):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            assert policy.check_images(name) == (name in known) == (not said)


@pytest.mark.parametrize(
    'learned, known',
    [('D', 'D'), ('A, B', 'AB'), ('D, R', 'ABDR'), ('unknown', 'ABDR'), (None, 'ABDR')],
)
def test_tables_that_the_weights_do_not_know_are_warned_of(tmp_path, learned, known):
    tiny_policy(tmp_path / 'm', provenance={'scene': learned} if learned else {'command': 'x'})
    policy = Policy.load(tmp_path / 'm')
    for scene in ('A', 'B', 'D', 'R7'):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            assert policy.check_images(scene=scene) == (scene[0] in known) == (not said)
        assert scene[0] in known or '`any_table` knows' in str(said[0].message)


@pytest.mark.parametrize('said', ['base', 'tool', None])
def test_actions_of_another_frame_are_refused(tmp_path, said):
    tiny_policy(tmp_path / 'm', provenance={'action_frame': said} if said else {'command': 'x'})
    policy = Policy.load(tmp_path / 'm')
    policy.check_action_frame(said or 'base')
    policy.check_action_frame(said or 'tool')
    for frame in {'base', 'tool'} - {said}:
        with pytest.raises(CheckpointError, match=f'of m must be {frame}.* Got {said or "none"}'):
            policy.check_action_frame(frame, must_say=True)


def test_a_frame_that_there_is_not(tmp_path):
    tiny_policy(tmp_path / 'm', provenance={'action_frame': 'camera'})
    with pytest.raises(CheckpointError, match="must be one of base, tool. Got 'camera'"):
        Policy.load(tmp_path / 'm')


def test_the_shipped_weights_say_their_frame():
    for name in shipped_weights():
        assert Policy.load(name).action_frame == 'base'


def test_the_shipped_weights_say_their_pictures():
    shipped = {name: Policy.load(name) for name in shipped_weights()}
    assert {name: policy.provenance['renderer'] for name, policy in shipped.items()} == {
        'any_table': 'pybullet_tiny',
        'calvin_d': 'calvin_env_tiny, pybullet_tiny',
        'play_table': 'pybullet_tiny',
        'play_table_detailed': 'pybullet_tiny, pybullet_tiny_detailed',
    }
    assert {name: policy.provenance['scene'] for name, policy in shipped.items()} == {
        **dict.fromkeys(shipped, 'D'),
        'any_table': 'D, R',
    }
    (checkout,) = shipped['calvin_d'].provenance['calvin_env']
    assert set(checkout) == {'commit', 'code_sha256', 'assets_sha256'}
    with pytest.warns(UserWarning, match='calvin_d WAS TRAINED ON OTHER IMAGES: .*_egl'):
        assert not shipped['calvin_d'].check_images('calvin_env_egl')
    with pytest.warns(UserWarning, match='play_table WAS TRAINED ON OTHER IMAGES: .*_detailed'):
        assert not shipped['play_table'].check_images('pybullet_tiny_detailed')
    files = [f for f in weights_dir().rglob('*') if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 60e6
