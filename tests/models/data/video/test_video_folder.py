# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Folders of videos: what is broken is skipped, what is held out."""

import os

import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, number, pictures, write_video  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.clips import clip_store  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402


def broken(root):
    """Six sound videos and five that are not; returns the names of these."""
    for i in range(6):
        write_video(root / f'good_{i}.mp4', pictures(40))
    whole = video_files.video_bytes(pictures(300), fps=30)
    (root / 'cut.mp4').write_bytes(whole[: len(whole) // 2])  # the index at the end is gone
    write_video(root / 'cut_later.mp4', pictures(300), options={'movflags': 'faststart'})
    os.truncate(root / 'cut_later.mp4', (root / 'cut_later.mp4').stat().st_size // 2)
    write_video(root / 'cut.mkv', pictures(300))
    os.truncate(root / 'cut.mkv', (root / 'cut.mkv').stat().st_size // 2)
    (root / 'empty.webm').write_bytes(b'')
    (root / 'text.avi').write_text('not a video at all, ' * 300)
    return ['cut.mkv', 'cut.mp4', 'cut_later.mp4', 'empty.webm', 'text.avi']


def test_broken_files_are_skipped_counted_and_named(tmp_path):
    names = broken(tmp_path)
    with pytest.warns(UserWarning) as caught:
        folder = VideoFolder(tmp_path, 'training', 32)
        VideoFolder(tmp_path, 'validation', 32)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert '5 skipped' in text and all(f'{name}: ' in text for name in names)
    assert sorted(folder.skipped) == names
    assert len(folder) + len(VideoFolder(tmp_path, 'validation', 32)) == 6 * 40


def test_all_broken(tmp_path):
    (tmp_path / 'a.mp4').write_text('no')
    (tmp_path / 'b.mcap').write_text('no')
    with pytest.raises(DataError, match=r'none of 2 recordings can be read. a.mp4: .*; b.mcap: '):
        VideoFolder(tmp_path)


def test_broken_part_of_a_whole_takes_no_other_with_it(tmp_path):
    sound = video_files.video_bytes(pictures(20))
    video_files.write_shard(
        tmp_path / 'shards' / 'a.tar',
        {'000.mp4': sound, '001.mp4': sound[:-200], '002.0.jpg': b'no', '003.mp4': sound},
    )
    video_files.write_shard(
        tmp_path / 'shards' / 'b.tar',
        {**{f'{i}.txt': b'x' * 5000 for i in range(4)}, '4.mp4': sound, '5.mp4': sound * 9},
    )
    path = tmp_path / 'shards' / 'b.tar'
    os.truncate(path, path.stat().st_size - 8 * len(sound))
    with pytest.warns(UserWarning, match='3 skipped'):
        folder = VideoFolder(tmp_path / 'shards', 'training', 32)
    assert sorted(folder.skipped) == ['a.tar/001.mp4', 'a.tar/002', 'b.tar']
    with pytest.warns(UserWarning, match='b.tar: unexpected end of data'):
        assert everything(tmp_path / 'shards') == [count(20)] * 2

    lerobot = video_files.write_lerobot_v3(
        tmp_path / 'lerobot', [[pictures(40), pictures(40), pictures(40)], [pictures(20)]]
    )
    path = lerobot / 'videos/observation.images.front/chunk-000/file-000.mp4'
    write_video(
        path,
        [rgb for _ in range(3) for rgb in pictures(40)],
        10,
        options={'movflags': 'faststart'},
    )
    os.truncate(path, path.stat().st_size * 6 // 10)
    with pytest.warns(UserWarning, match='2 skipped'):
        folder = VideoFolder(lerobot, 'training', 32, 10.0)
    assert sorted(name[-5:] for name in folder.skipped) == ['mp4#1', 'mp4#2']


def test_nothing_to_train_on(tmp_path):
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(DataError, match='holds nothing to train on: expected CALVIN'):
        clip_store([tmp_path])
    with pytest.raises(DataError, match='there is no data folder'):
        clip_store([tmp_path / 'no'])


def test_held_out_videos(tmp_path):
    for i in range(41):
        write_video(tmp_path / f'{i}.avi', pictures(2, i))
    training, held_out = (VideoFolder(tmp_path, split, 16) for split in ('training', 'validation'))
    assert len(training) + len(held_out) == 82 and 2 <= len(held_out) <= 12
    assert not set(training.frame_ids) & set(held_out.frame_ids)
    before = set(number(held_out.rgb[np.arange(len(held_out))]))
    (tmp_path / '99.avi').write_bytes(video_files.video_bytes(pictures(2, 45), '.avi'))
    after = VideoFolder(tmp_path, 'validation', 16)
    assert before <= {*number(after.rgb[np.arange(len(after))]), 45}


def test_split_folders(tmp_path):
    write_video(tmp_path / 'training' / 'a.mp4', pictures(30))
    write_video(tmp_path / 'validation' / 'b.mp4', pictures(20, 20))
    stores = [clip_store([tmp_path], split, 32) for split in ('training', 'validation')]
    assert [number(s.rgb(np.arange(len(s)))).tolist() for s in stores] == [
        count(30),
        count(20, 20),
    ]


def test_empty_validation_folder_holds_nothing_out(tmp_path):
    write_video(tmp_path / 'training' / 'a.mp4', pictures(30))
    (tmp_path / 'validation').mkdir()
    (tmp_path / 'validation' / 'notes.txt').write_text('later')
    store = clip_store([tmp_path], 'training', 32)
    assert number(store.rgb(np.arange(len(store)))).tolist() == count(30)
    assert clip_store([tmp_path], 'validation', 32) is None
    (tmp_path / 'training' / 'a.mp4').unlink()
    with pytest.raises(DataError, match='training holds nothing to train on'):
        clip_store([tmp_path], 'training', 32)
