# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which clips are looked at, and what moved in them."""

import calvin_files
import numpy as np
import pytest
from inspection_clips import CLIPS, hand_made, sessions

from vw2_ros.models.data.pictures import resize_area
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.inspection.clips import (
    DIRECTIONS,
    InspectionError,
    check_looks,
    check_scenes,
    direction,
    draw_clips,
    looks_of,
    open_stores,
    scenes_and_episodes,
)


def test_motion_of_a_step_is_what_is_added_since_the_step_before():
    step = CLIPS.moved('hand', 'step')
    assert np.allclose(step.cumsum(1), CLIPS.moved('hand', 'clip'))


def test_direction():
    moves = [
        [-0.1, 0, 0],
        [0.1, 0.05, 0],
        [0, -0.1, 0],
        [0, 0.1, 0],
        [0, 0, -0.1],
        [0, 0.01, 0.1],
        [0.001, 0, 0],
    ]
    assert direction(np.array(moves)).tolist() == [*DIRECTIONS, 'still']


def test_scene_and_episode_of_a_collection(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=6, frames=20)
    sessions(root / 'training', 'ABB')
    store = FrameStore([root / 'training'], 'training', 32)
    scene, episode = scenes_and_episodes(store)
    assert ''.join(scene[::20]) == 'AABBBB' and episode[::20].tolist() == [0, 0, 1, 1, 2, 2]


def test_nuisances_of_wild_clips_are_told_as_motion_is(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=6, frames=20)
    sessions(root / 'training', 'ABB')
    wild = open_stores([root / 'training'], [(32, 32)], wild=1.0)[32, 32]
    clips = draw_clips(wild, frames=9, count=20)
    assert clips.targets[5:] == ('exposure', 'colour', 'shake', 'shadow', 'mover')
    first, last = clips.rows()[:, 0], clips.rows()[:, -1]
    exposure = wild.nuisances.exposure
    assert np.array_equal(clips.moved('exposure', 'clip')[:, -1], exposure[last] - exposure[first])
    assert clips.moved('shake', 'step').shape == (len(clips.starts), 2, 2)
    calm = open_stores([root / 'training'], [(32, 32)])[32, 32]
    assert draw_clips(calm, frames=9, count=20).targets == clips.targets[:5]


def test_looks_must_not_be_among_the_data(tmp_path):
    def store(name, scenes, looks):
        root = calvin_files.write_data(tmp_path / name, shards=True, episodes=6, frames=20)
        sessions(root / 'training', scenes, looks)
        return FrameStore([root / 'training'], 'training', 32)

    data = store('data', 'ABD', [7, 8, -1])
    assert looks_of(data) == {'7', '8', 'D'}
    assert check_looks(data, store('other', 'ABD', [9, 10, 9])) == 2
    with pytest.raises(InspectionError, match='looks that are not in --data. Got 8 in both'):
        check_looks(data, store('same', 'ABD', [9, 10, 8]))
    with pytest.raises(InspectionError, match='Got D in both'):
        check_looks(data, store('fixed', 'DDD', [-1, -1, -1]))
    with pytest.raises(InspectionError, match='must tell scene and appearance. Got KeyError'):
        check_looks(data, store('old', 'ABD', None))
    calvin = calvin_files.write_data(tmp_path / 'calvin', shards=True, episodes=2, frames=20)
    with pytest.raises(InspectionError, match='must tell how its table looks'):
        check_looks(data, FrameStore([calvin / 'training'], 'training', 32))


def test_scene_of_calvins_own_files(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=4, frames=20)
    np.save(
        root / 'training' / 'scene_info.npy',
        {'calvin_scene_B': [0, 39], 'calvin_scene_A': [40, 79]},
        allow_pickle=True,
    )
    calvin_files.write_config(root / 'validation', {'scene': {'name': 'calvin_scene_D'}})
    store = open_stores([root], [(32, 32)])[32, 32]
    scene, episode = scenes_and_episodes(store)
    assert ''.join(scene[::20]) == 'BBAADDD' and episode[::20].tolist() == list(range(7))
    clips = draw_clips(store, 9, count=21)
    assert {s: int((clips.scene == s).sum()) for s in 'ABD'} == {'A': 7, 'B': 7, 'D': 7}
    assert (store.range_end[clips.starts] >= clips.starts + 8).all()
    _, each = np.unique(clips.episode, return_counts=True)
    assert each.max() - each.min() <= 2  # spread over the episodes
    expected = store.robot_obs[clips.starts + 4, :3] - store.robot_obs[clips.starts, :3]
    assert np.allclose(clips.motion['hand'][:, 0], expected)
    assert np.array_equal(draw_clips(store, 9, count=21).starts, clips.starts)
    assert not np.array_equal(draw_clips(store, 9, count=21, seed=1).starts, clips.starts)


def test_data_that_do_not_tell_their_scene(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=2, frames=20)
    store = open_stores([root], [(32, 32)])[32, 32]
    with pytest.raises(InspectionError, match='must tell the scene of its frames: sessions/'):
        draw_clips(store, 9)
    for told in ('calvin_scene_ABCD', None):
        calvin_files.write_config(root / 'training', {'scene': told})
        with pytest.raises(InspectionError, match='must tell the scene'):
            draw_clips(store, 9)


def test_what_cannot_be_answered_is_refused(tmp_path):
    with pytest.raises(InspectionError, match='test scene E. Got scenes A, B, C, D'):
        check_scenes(CLIPS, 'E')
    with pytest.raises(InspectionError, match='all clips are of scene D: there is no other'):
        check_scenes(hand_made('D'), 'D')
    with pytest.raises(InspectionError, match='at least 4 episodes. Got 2'):
        check_scenes(hand_made('AD', episodes=2), 'D')
    clips = hand_made()
    clips.motion['hand'][:] = 0
    with pytest.raises(InspectionError, match='robot_obs of the data holds no state'):
        check_scenes(clips, 'D')
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=2, frames=20)
    with pytest.raises(InspectionError, match='has 93 frames, .* longest .* data 20'):
        draw_clips(open_stores([root], [(32, 32)])[32, 32], 93)


def test_frames_are_cut_to_the_shape_of_each_dldm(tmp_path):
    """Sizes of one shape share one decoding; square or not, frames are cut once, as for training."""
    root = calvin_files.write_data(tmp_path / 'd', shards=True, size=120, episodes=2, frames=6)
    sizes = [(32, 48), (32, 32), (64, 64), (64, 96)]
    stores = open_stores([root], sizes)
    assert [store.size for store in stores.values()] == sizes == list(stores)
    cache = root / 'training' / 'cache'
    decoded = {path.name.split('_')[1] for path in cache.glob('rgb_*')}
    assert decoded == {'96', '96x144', '32', '64', '32x48', '64x96'}
    raw = FrameStore([root], size=120).rgb(np.array([3]))[0]
    once = resize_area(resize_area(raw, (96, 144)), (32, 48))
    assert np.array_equal(stores[32, 48].rgb(np.array([3]))[0], once)
    assert len({store.content_hash for store in stores.values()}) == 1
