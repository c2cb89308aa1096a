# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""WebDataset shards."""

import sys

import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, pictures  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402


def test_shards(tmp_path):
    video_files.write_shard(
        tmp_path / 'train-000.tar',
        {
            '000.mp4': video_files.video_bytes(pictures(20)),
            '000.json': b'{"text": "a hand"}',
            '001.webm': video_files.video_bytes(pictures(20, 20), '.webm'),
            **{
                f'002.frame_{i}.jpg': video_files.png(rgb, '.jpg')
                for i, rgb in enumerate(pictures(12, 5))
            },
            '002.json': b'{"fps": 10}',
        },
    )
    video_files.write_shard(
        tmp_path / 'train-001.tar',
        {
            f'{take}/{i:04d}.png': video_files.png(rgb)
            for take, first in (('x', 0), ('y', 30))
            for i, rgb in enumerate(pictures(15, first))
        },
    )
    tripled = [i for i in count(12, 5) for _ in range(3)]
    got = everything(tmp_path)
    assert [got[0], got[1], *got[3:]] == [count(20), count(20, 20), count(15), count(15, 30)]
    assert got[2] == tripled[1:-1]  # ten a second shown at thirty


def test_missing_library_is_named_with_the_command(tmp_path, monkeypatch):
    video_files.write_shard(tmp_path / 'a.tar', {'000.mp4': b'x'})
    monkeypatch.setitem(sys.modules, 'webdataset', None)
    with pytest.raises(DataError, match=r'needs webdataset.*pip install webdataset'):
        VideoFolder(tmp_path)
