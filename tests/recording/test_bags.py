# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Bags that end too early are read as far as they are whole."""

import os
import time

import pytest

pytest.importorskip('rosbags')
from bag_files import STORE, TWO, shards, write  # noqa: E402

from vw2_ros.recording import bags  # noqa: E402
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
