# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Bags of all states: whole, compressed, cut, damaged; which there are; their camera and clock."""

import os
import time

import numpy as np
import pytest

rosbag2 = pytest.importorskip('rosbags.rosbag2')
from bag_files import START_S, STORE, TWO, image, shards, write  # noqa: E402

from vw2_ros.bags import bag as bags  # noqa: E402
from vw2_ros.bags.find import find_bags  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402


def cut(path, data):
    """Write a file as if that was long ago."""
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))


def test_a_bag_that_was_cut(tmp_path):
    bag = write(tmp_path / 'bag', TWO.messages())
    (file,) = bags.files_of(bag)
    whole = file.read_bytes()
    (bag / 'metadata.yaml').unlink()
    # after the last whole chunk of some: its index at the end is gone
    cut(file, whole[: -len(whole) // 3])
    report = convert_bags([bag], tmp_path / 'a', progress=False)['bags'][str(bag)]
    assert 'cut_short' in report or 'error' in report
    cut(file, whole[:200])
    report = convert_bags([bag], tmp_path / 'b', progress=False)['bags'][str(bag)]
    assert 'no whole message' in report['error']
    cut(file, b'')
    report = convert_bags([bag], tmp_path / 'b', progress=False)['bags'][str(bag)]
    assert 'cannot be read' in report['error']
    file.unlink()
    with pytest.raises(ValueError, match='holds no bag'):
        convert_bags([bag], tmp_path / 'b', progress=False)


def test_what_a_killed_writer_leaves(tmp_path):
    from vw2_ros.recording.writer import BagWriter

    writer = BagWriter(tmp_path / 'bag')
    for at, topic, (kind, message) in sorted(TWO.messages(), key=lambda m: m[0]):
        writer.put(topic, kind, round(at * 1e9), bytes(STORE.serialize_cdr(message, kind)))
    time.sleep(1.0)  # it writes what is older than FLUSH_S
    assert not (tmp_path / 'bag/metadata.yaml').exists()
    (left,) = (tmp_path / 'bag').iterdir()
    copy = tmp_path / 'killed' / left.name
    copy.parent.mkdir()
    cut(copy, left.read_bytes())
    with pytest.raises(ValueError, match='still being written'):
        bags.Bag(left)
    writer.close()
    closed = convert_bags([tmp_path / 'bag'], tmp_path / 'a', progress=False)
    killed = convert_bags([tmp_path / 'killed'], tmp_path / 'b', progress=False)
    assert closed['training'] == killed['training']
    (report,) = killed['bags'].values()
    assert 'cut_short' in report
    for one, other in zip(shards(tmp_path / 'a'), shards(tmp_path / 'b'), strict=True):
        assert all((one[k] == other[k]).all() for k in one)


# ---------------------------------------------------------------- compressed, damaged, elsewhere

PICTURES = [
    (START_S + i / 30, '/image_raw', image(START_S + i / 30, np.full((64, 64, 3), i, np.uint8)))
    for i in range(60)
]


def seen(path):
    """Numbers of the images of a bag, as they come."""
    read = bags.cdr_reader()
    return [int(read(data, kind).data[0]) for _, kind, _, data in bags.Bag(path).messages()]


def compressed(path, mode, storage, pictures=PICTURES):
    """A bag that rosbags compresses with zstd: each message, the file, or mcap's chunks."""
    modes, plugin = rosbag2.CompressionMode, rosbag2.StoragePlugin
    plugin = plugin.MCAP if storage == 'mcap' else plugin.SQLITE3
    bag = rosbag2.Writer(path, version=9, storage_plugin=plugin)
    bag.set_compression(modes[mode], rosbag2.CompressionFormat.ZSTD)
    path.parent.mkdir(parents=True, exist_ok=True)
    with bag:
        at = bag.add_connection('/image_raw', pictures[0][2][0], typestore=STORE)
        for at_s, _, (kind, message) in pictures:
            bag.write(at, round(at_s * 1e9), STORE.serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize(
    ('mode', 'storage'),
    [('FILE', 'mcap'), ('FILE', 'sqlite3'), ('MESSAGE', 'sqlite3'), ('STORAGE', 'mcap')],
)
def test_compressed_bags(tmp_path, mode, storage):
    if not hasattr(rosbag2.CompressionMode, mode):
        pytest.skip(f'this rosbags does not write {mode}')
    bag = compressed(tmp_path / 'monday', mode, storage)
    assert find_bags([tmp_path]) == [bag] and seen(bag) == list(range(60))
    if mode == 'FILE':  # what a killed recorder leaves, and a file that was copied alone
        (bag / 'metadata.yaml').unlink()
        assert seen(bag) == list(range(60))
        (file,) = bag.iterdir()
        assert seen(file.rename(tmp_path / file.name)) == list(range(60))


def test_a_cut_file_is_read_as_far_as_it_is_whole(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 64, 64, 3), np.uint8)
    noise[:, 0, 0] = np.arange(120)[:, None]
    stamps = START_S + np.arange(120) / 30
    messages = [(at, '', image(at, rgb)) for at, rgb in zip(stamps, noise)]
    bag = compressed(tmp_path / 'monday', 'FILE', 'mcap', messages)
    (file,) = bags.files_of(bag)
    data = file.read_bytes()
    cut(file, data[: len(data) * 9 // 10])
    cut_short = seen(bag)
    assert cut_short == list(range(len(cut_short))) and 20 < len(cut_short) < 120


@pytest.mark.parametrize('indexed', [True, False])
def test_a_damaged_chunk_costs_its_messages(tmp_path, indexed):
    level = [np.full((64, 64, 3), i, np.uint8) for i in range(120)]  # about a MiB in a chunk
    stamps = START_S + np.arange(120) / 30
    messages = [(at, '/image_raw', image(at, rgb)) for at, rgb in zip(stamps, level)]
    bag = write(tmp_path / 'bag', messages)
    (file,) = bags.files_of(bag)
    data = bytearray(file.read_bytes())
    at = data.index(bytes([30]) * 12288)
    data[at - 120 : at] = bytes([255]) * 120  # its record's own head
    if not indexed:
        (bag / 'metadata.yaml').unlink()
        data = data[:-200]
    cut(file, bytes(data))
    whole = sorted(set(seen(bag)))
    assert 30 not in whole and 100 > len(whole) > 10
    kept = bags.Bag(bag)
    list(kept.messages())
    assert kept.cut_short


def test_a_split_that_is_missing_costs_itself(tmp_path):
    one = write(tmp_path / 'one', PICTURES[:20])
    (tmp_path / 'one/one.mcap').rename(tmp_path / 'one/one_0.mcap')
    meta = one / 'metadata.yaml'
    meta.write_text(meta.read_text().replace('- one.mcap', '- one_0.mcap\n  - one_1.mcap'))
    os.utime(one / 'one_0.mcap', (1e9, 1e9))
    assert seen(one) == list(range(20))
    assert 'one_1.mcap' in bags.Bag(one).cut_short


def test_what_is_not_read_is_named(tmp_path):
    write(tmp_path / 'in/deep/good', PICTURES[:5])
    (tmp_path / 'in/old.bag').write_bytes(b'#ROSBAG V2.0\n')
    (tmp_path / 'in/x.mcap.lz4').write_bytes(b'no')
    os.utime(tmp_path / 'in/x.mcap.lz4', (1e9, 1e9))
    left_out = {}
    found = find_bags([tmp_path / 'in'], left_out)
    assert [f.name for f in found] == ['good', 'x.mcap.lz4']
    assert list(left_out) == [tmp_path / 'in/old.bag']
    with pytest.raises(bags.BagError, match='only zstd is read'):
        bags.Bag(tmp_path / 'in/x.mcap.lz4')


def test_linked_folders(tmp_path):
    write(tmp_path / 'elsewhere/x', PICTURES[:5])
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/a').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'data/b').symlink_to(tmp_path / 'elsewhere/x')
    (tmp_path / 'data/up').symlink_to(tmp_path)
    (tmp_path / 'data/gone').symlink_to(tmp_path / 'nothing')
    left_out = {}
    (only,) = find_bags([tmp_path / 'data'], left_out)
    assert seen(only) == list(range(5))
    assert {p.name for p in left_out} >= {'up', 'gone'}
