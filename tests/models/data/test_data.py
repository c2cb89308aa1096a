# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
import concurrent.futures
import os
import pickle
import sys

import calvin_files
import cv2
import numpy as np
import pytest

from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import CalvinFolder, load_annotations, read_frame
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.store import FrameStore


@pytest.fixture(params=[False, True], ids=['frames', 'shards'])
def root(request, tmp_path):
    calvin_files.write_data(tmp_path / 'data', shards=request.param)
    return tmp_path / 'data'


def test_index_is_read(root):
    folder = CalvinFolder(root / 'training')
    assert len(folder) == 120
    np.testing.assert_array_equal(folder.ranges, [(0, 39), (40, 79), (80, 119)])
    assert [w.task for w in folder.windows] == sorted(calvin_files.PHRASES)
    assert (folder.windows[1].start, folder.windows[1].end) == (40, 74)


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


def test_chunks_end_with_the_task(root):
    store = FrameStore([root])
    demos = Demonstrations(store, horizon=16)
    assert len(demos) == 3 * 35
    sample = np.flatnonzero(demos.sample_row == 30)
    actions, valid = demos.chunk(sample)
    assert valid[0].sum() == 5 and valid[0, :5].all()
    np.testing.assert_allclose(actions[0, :5], store.rel_actions[30:35])
    assert (actions[0, 5:, :6] == 0).all()
    assert (actions[0, 5:, 6] == store.rel_actions[34, 6]).all()
    assert demos.frames_left(sample)[0] == 4


def test_tasks_are_drawn_evenly(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=4)  # one task twice
    demos = Demonstrations(FrameStore([tmp_path]))
    drawn = demos.draw(np.random.default_rng(0), 3000)
    assert np.bincount(demos.task(drawn)).min() > 900
    assert len(np.unique(drawn)) > 130
    again = demos.draw(np.random.default_rng(0), 3000)
    np.testing.assert_array_equal(drawn, again)


def test_fraction_of_labels(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=12, frames=10)
    store = FrameStore([tmp_path])
    half = Demonstrations(store, labels=0.5)
    assert len(half.start) == 6 and np.bincount(half.task_of).tolist() == [2, 2, 2]
    assert len(Demonstrations(store, labels=0.01).start) == 3
    with pytest.raises(ValueError, match='labels must be in'):
        Demonstrations(store, labels=0.0)


def test_hash_tells_content_apart(tmp_path):
    hashes = set()
    for name, options in {
        'a': {},
        'b': {'seed': 5},
        'c': {'shards': True},
        'd': {'shards': True, 'seed': 5},
    }.items():
        calvin_files.write_split(tmp_path / name / 'training', **options)
        hashes.add(FrameStore([tmp_path / name]).content_hash)
    calvin_files.write_split(tmp_path / 'e' / 'training', shards=True)
    assert len(hashes) == 4
    # The same images and actions give the same hash wherever the folder lies.
    e, c = (CalvinFolder(tmp_path / n / 'training').content_hash for n in 'ec')
    assert e == c


def test_missing_frame_is_named(tmp_path):
    calvin_files.write_split(tmp_path / 'training')
    (tmp_path / 'training' / 'episode_0000041.npz').unlink()
    with pytest.raises(DataError, match='episode_0000041.npz is missing'):
        FrameStore([tmp_path])
    assert not list((tmp_path / 'training' / 'cache').iterdir())


def test_corrupt_frame_is_named(tmp_path):
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'episode_0000041.npz'
    whole = path.read_bytes()
    for damaged in (whole[:200], b'', whole[:3000] + b'\xff' * 3000 + whole[6000:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match='episode_0000041.npz'):
            FrameStore([tmp_path])


def test_frames_are_read_by_many_threads_at_once(tmp_path):
    """Before 3.11.8 CPython broke in `ast.parse` when threads were switched within it."""
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'episode_0000041.npz'
    rgb, state = read_frame(path, 200)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda _: read_frame(path, 200), range(400)))
    finally:
        sys.setswitchinterval(interval)
    assert all(np.array_equal(r, rgb) for r, _ in read)
    assert all(
        np.array_equal(s[key], state[key], equal_nan=True) for _, s in read for key in state
    )


def test_missing_and_corrupt_shards_are_named(tmp_path):
    calvin_files.write_split(tmp_path / 'training', shards=True)
    path = tmp_path / 'training' / 'shards' / 'shard_00001.npz'
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match='shard_00001.npz is damaged'):
        FrameStore([tmp_path])
    path.unlink()
    with pytest.raises(DataError, match='60 frames of the index are in no shard, first 60'):
        FrameStore([tmp_path])


def test_nan_is_refused(tmp_path):
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'episode_0000003.npz'
    content = dict(np.load(path))
    content['rel_actions'][2] = np.nan
    np.savez(path, **content)
    with pytest.raises(DataError, match='episode_0000003.npz.*NaN'):
        FrameStore([tmp_path])


def test_folder_that_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match='vw2 collect'):
        FrameStore([tmp_path])
    with pytest.raises(DataError, match='no data folder'):
        CalvinFolder(tmp_path / 'nowhere')
    calvin_files.write_split(tmp_path / 'training', words=False)
    with pytest.raises(DataError, match='no language annotations'):
        Demonstrations(FrameStore([tmp_path]))


def test_window_outside_its_range_is_refused(tmp_path):
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'lang_annotations' / 'auto_lang_ann.npy'
    content = load_annotations(path)
    content['info']['indx'][0] = (30, 50)
    np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match='30..50'):
        CalvinFolder(tmp_path / 'training')


class _Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_hostile_annotations_are_refused(tmp_path):
    marker = tmp_path / 'executed'
    path = tmp_path / 'auto_lang_ann.npy'
    np.save(path, np.array({'language': _Hostile(marker)}, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r'mkdir.*was not run'):
        load_annotations(path)
    assert not marker.exists()


@pytest.mark.parametrize('content', [b'', b'\x93NUMPY', b'not numpy at all'])
def test_damaged_annotations_are_refused(tmp_path, content):
    path = tmp_path / 'auto_lang_ann.npy'
    path.write_bytes(content)
    with pytest.raises(DataError, match='auto_lang_ann.npy cannot be read'):
        load_annotations(path)


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_annotations_with_numpy_inside(tmp_path, protocol):
    content = {
        'language': {'ann': ['a'], 'task': np.array(['t']), 'emb': np.ones((1, 1, 3))},
        'info': {'indx': [(np.int64(1), np.int64(4))]},
    }
    path = tmp_path / 'auto_lang_ann.npy'
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(
            file, {'descr': '|O', 'fortran_order': False, 'shape': ()}
        )
        pickle.dump(np.array(content, dtype=object), file, protocol=protocol)
    loaded = load_annotations(path)
    assert loaded['info']['indx'] == [(1, 4)]
    np.testing.assert_array_equal(loaded['language']['emb'], np.ones((1, 1, 3)))
