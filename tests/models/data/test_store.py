# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stores of frames."""

import calvin_files
import cv2
import numpy as np
import pytest

from vw2_ros.models.data import DataError
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.store import FrameStore


@pytest.fixture(params=[False, True], ids=['frames', 'shards'])
def root(request, tmp_path):
    calvin_files.write_data(tmp_path / 'data', shards=request.param)
    return tmp_path / 'data'


@pytest.mark.parametrize('shards', [False, True])
def test_frames_come_back_as_written(tmp_path, shards):
    images, actions = calvin_files.write_split(tmp_path / 'training', shards=shards, first_id=700)
    store = FrameStore([tmp_path])
    rows = np.array([[0, 5], [119, 60]])
    np.testing.assert_array_equal(store.rgb(rows), images[rows])
    np.testing.assert_allclose(store.rel_actions, actions, atol=1e-7)
    np.testing.assert_array_equal(store.frame_ids, np.arange(700, 820))


def test_real_calvin_size_is_resized_by_area(tmp_path):
    images, _ = calvin_files.write_split(tmp_path / 'training', size=200, episodes=1, frames=20)
    expected = cv2.resize(images[7], (96, 96), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(FrameStore([tmp_path]).rgb(np.array(7)), expected)


def test_second_open_reads_the_cache(root):
    store = FrameStore([root])
    cached = sorted(p.name for p in (root / 'training' / 'cache').iterdir())
    assert len(cached) == 2 and not [n for n in cached if n.endswith('.part')]
    stamps = [p.stat().st_mtime_ns for p in (root / 'training' / 'cache').iterdir()]
    again = FrameStore([root])
    assert stamps == [p.stat().st_mtime_ns for p in (root / 'training' / 'cache').iterdir()]
    np.testing.assert_array_equal(store.rgb(np.arange(120)), again.rgb(np.arange(120)))


def test_cache_of_read_only_data_goes_to_the_users(root, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'own'))
    (root / 'training' / 'cache').write_text('a file, so no folder can be made here')
    assert len(FrameStore([root])) == 120
    assert list((tmp_path / 'own').rglob('rgb_96_*.u8'))


def test_several_folders_stand_one_after_another(tmp_path):
    first, _ = calvin_files.write_split(tmp_path / 'a' / 'training', seed=1)
    second, _ = calvin_files.write_split(tmp_path / 'b' / 'training', seed=2, shards=True)
    store = FrameStore([tmp_path / 'a', tmp_path / 'b'])
    both = np.concatenate([first, second])
    rows = np.random.default_rng(0).permutation(len(both)).reshape(-1, 4)
    np.testing.assert_array_equal(store.rgb(rows), both[rows])
    demos = Demonstrations(store)
    assert set(demos.start) == {0, 40, 80, 120, 160, 200}


def test_smaller_copies_are_made_once(root):
    store = FrameStore([root])
    small = store.resized(64)
    rows = np.arange(0, 120, 17)
    expected = np.stack(
        [cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA) for x in store.rgb(rows)]
    )
    np.testing.assert_array_equal(small.rgb(rows), expected)
    np.testing.assert_array_equal(FrameStore([root]).resized(64).rgb(rows), expected)
    with pytest.raises(DataError, match='cannot enlarge'):
        store.resized(128)


def test_clips_stay_inside_one_range(root):
    store = FrameStore([root])
    starts = store.clip_starts(17)
    assert len(starts) == 3 * (40 - 16)
    for start in starts:
        assert start // 40 == (start + 16) // 40
    np.testing.assert_array_equal(store.clip_starts(17, stride=8) % 40, np.tile([0, 8, 16], 3))
