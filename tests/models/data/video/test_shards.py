# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""WebDataset shards."""

import os
import sys

import cv2
import numpy as np
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


@pytest.mark.parametrize('lead', ['take/', 'take_', ''])
def test_a_camera_of_several_is_taken(tmp_path, lead):
    """One picture of each camera in a step: not a film of all of them in turn."""
    deep = cv2.imencode('.png', np.full((48, 64), 900, np.uint16))[1].tobytes()
    members = {}
    for i, rgb in enumerate(pictures(15)):
        members[f'{lead}{i:04d}.depth.png'] = deep
        members[f'{lead}{i:04d}.left.png'] = video_files.png(rgb)
        members[f'{lead}{i:04d}.right.png'] = video_files.png(255 - rgb)
    video_files.write_shard(tmp_path / 'a.tar', members)
    assert sum(everything(tmp_path), []) == count(15)
    dark = VideoFolder(tmp_path, 'training', 32, 30.0, ['right']).rgb[np.arange(2)]
    assert dark.mean() > 180


def test_a_damaged_picture_costs_itself(tmp_path):
    members = {f'take/{i:04d}.png': video_files.png(rgb) for i, rgb in enumerate(pictures(15))}
    members['take/0004.png'] = members['take/0004.png'][:60]
    video_files.write_shard(tmp_path / 'a.tar', members)
    with pytest.warns(UserWarning, match='1 of 15 pictures of take left out'):
        assert everything(tmp_path) == [count(4), count(10, 5)]


def test_a_shard_that_is_made_again_is_read_again(tmp_path):
    def make(numbers):
        frames = [pictures(1, i)[0] for i in numbers]
        members = {f'take/{i:04d}.png': video_files.png(rgb) for i, rgb in enumerate(frames)}
        video_files.write_shard(tmp_path / 'a.tar', members)
        os.utime(tmp_path / 'a.tar', ns=(1, 1))
        return (tmp_path / 'a.tar').stat().st_size

    size = make(range(20))
    assert sum(everything(tmp_path), []) == count(20)
    assert make([*range(5), *range(30, 45)]) == size
    assert sum(everything(tmp_path), []) == [*count(5), *count(15, 30)]
