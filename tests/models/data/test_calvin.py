# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's format: what is read, what is refused, and that nothing is executed."""

import concurrent.futures
import contextlib
import os
import pickle
import sys

import calvin_files
import numpy as np
import pytest

from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import CalvinFolder, read_frame
from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.pickled import _PlainUnpickler, load_annotations
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
    with pytest.raises(
        DataError, match='all frames of the index. Got 60 that are in no shard, first 60'
    ):
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


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (np.array([[0, 1 << 60]]), 'at most 100000000 frames'),
        (np.array([[1 << 60, (1 << 60) + 5]]), 'numbered up to'),
        (
            b"\x93NUMPY\x01\x00\x40\x00{'descr': '<i8', 'shape': (1, 2), " + b' ' * 40,
            'cannot be read',
        ),
    ],
)
def test_damaged_ranges_are_refused(tmp_path, content, said):
    """Also those that would take all memory, or make NumPy raise errors of other kinds."""
    calvin_files.write_split(tmp_path / 'training', episodes=1, frames=8, size=16)
    path = tmp_path / 'training/ep_start_end_ids.npy'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(DataError, match=said):
        CalvinFolder(tmp_path / 'training')


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


@pytest.mark.parametrize(
    ('key', 'text'),
    [
        ('ann', ['open the drawer']),
        ('ann', np.array(['open the drawer'])),
        ('ann', b'open the drawer'),
        ('ann', None),
        ('ann', 3.0),
        ('ann', ' ?'),
        ('task', ['open_drawer']),
    ],
)
def test_a_phrase_must_be_text(tmp_path, key, text):
    """What is no text is not turned into some: its brackets would be learned."""
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'lang_annotations' / 'auto_lang_ann.npy'
    content = load_annotations(path)
    content['language'][key][1] = text
    np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=rf'language/{key}\[1\] must be text'):
        CalvinFolder(tmp_path / 'training')


def test_pickled_arrays_never_reach_numpys_own_unpickling(tmp_path):
    """It believes any state, and crashes on damaged ones."""
    assert not {np.ndarray, np.dtype} & set(_PlainUnpickler.ALLOWED.values())
    content = {
        'lists': np.array([['a', 'b']], object),
        'numbers': np.arange(6.0).reshape(2, 3),
        'one': np.int64(4),
    }
    np.save(tmp_path / 'a.npy', content, allow_pickle=True)
    found = load_annotations(tmp_path / 'a.npy')
    assert found['lists'].tolist() == [['a', 'b']] and found['one'] == 4
    np.testing.assert_array_equal(found['numbers'], content['numbers'])


def test_a_pickle_that_would_take_for_ever_is_refused(tmp_path):
    path = tmp_path / 'auto_lang_ann.npy'

    def write(pickled):
        with open(path, 'wb') as file:
            np.lib.format.write_array_header_1_0(
                file, {'descr': '|O', 'fortran_order': False, 'shape': ()}
            )
            file.write(pickled)

    write(b'\x80\x04}r\xff\xff\xff\x7f.')  # LONG_BINPUT: makes room for two billion things
    with pytest.raises(DataError, match='numbers 2147483647 things'):
        load_annotations(path)
    itself = {}
    itself['a'] = itself['b'] = itself
    write(pickle.dumps(itself))
    with pytest.raises(DataError, match='it holds itself'):
        load_annotations(path)
    shared = ['open the drawer']
    for _ in range(60):  # 2 ** 60 ways lead to the words
        shared = [shared, shared]
    write(pickle.dumps({'language': shared}))
    assert load_annotations(path)['language'][1][0] is not None


@pytest.mark.parametrize('seed', range(3))
def test_annotations_damaged_anywhere_end_in_one_error(tmp_path, seed):
    calvin_files.write_split(tmp_path / 'training')
    path = tmp_path / 'training' / 'lang_annotations' / 'auto_lang_ann.npy'
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            load_annotations(path)
