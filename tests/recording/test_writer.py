# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The writer of bags: what exists, a full disk, a slow one."""

import pytest

pytest.importorskip('rosbags')
from bag_files import STORE, text  # noqa: E402

from vw2_ros.recording import writer as bag_writer  # noqa: E402


def test_a_writer_refuses_what_exists_and_a_full_disk(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='exists'):
        bag_writer.BagWriter(tmp_path)
    monkeypatch.setattr(bag_writer, 'FREE_BYTES', 1 << 60)
    with pytest.raises(ValueError, match='GB left'):
        bag_writer.BagWriter(tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()


def test_a_slow_disk_drops_and_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(bag_writer, 'QUEUE_BYTES', 1000)
    writer = bag_writer.BagWriter(tmp_path / 'bag')
    data = bytes(STORE.serialize_cdr(text('x' * 900)[1], 'std_msgs/msg/String'))
    with writer._lock:  # the thread cannot take anything off
        writer._waiting_bytes = 900
    assert not writer.put('/a', 'std_msgs/msg/String', 1, data)
    with writer._lock:
        writer._waiting_bytes = 0
    assert writer.put('/a', 'std_msgs/msg/String', 2, data)
    writer.close()
    assert writer.dropped == {'/a': 1} and writer.written == 1
