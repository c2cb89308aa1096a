# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Videos in ROS 2 bags."""

import shutil

import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, pictures  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.pictures import resize_area  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'jpeg', 'png'])
def test_bags(tmp_path, storage, encoding):
    topics = {
        '/a_depth': (pictures(4), '16UC1'),
        '/camera': (pictures(20), encoding),
        '/other': (pictures(10, 25), 'rgb8'),
    }
    video_files.write_bag(tmp_path / 'bags' / 'one', topics, storage=storage)
    assert everything(tmp_path, 20.0)[0][:19] == count(19)
    got = VideoFolder(tmp_path, 'training', 32, 20.0).rgb[np.array(0)]
    want = resize_area(pictures(1)[0], 32)
    assert np.abs(got.astype(int) - want).mean() < 4  # red is red
    assert sum(everything(tmp_path, 20.0, cameras=['/other']), []) == count(10, 25)
    with pytest.raises(
        DataError, match='no image topic /x; image topics there: /a_depth, /camera'
    ):
        VideoFolder(tmp_path, cameras=['/x'])


def test_bag_file_without_metadata(tmp_path):
    bag = video_files.write_bag(tmp_path / 'one', {'/camera': (pictures(20), 'png')})
    (bag / 'metadata.yaml').unlink()
    assert sum(everything(tmp_path, 20.0), []) == count(20)


def test_a_damaged_image_costs_itself(tmp_path):
    frames = pictures(20)
    video_files.write_bag(tmp_path / 'one', {'/camera': (frames, 'rgb8')}, damaged=(7,))
    with pytest.warns(UserWarning, match='1 of 20 images left out'):
        assert everything(tmp_path, 20.0) == [count(7), count(12, 8)]


@pytest.mark.parametrize('stamp', [lambda i: 0, lambda i: 5 * 10**9, lambda i: i // 20 * 10**9])
def test_a_bag_without_a_clock_goes_by_arrival(tmp_path, stamp):
    video_files.write_bag(tmp_path / 'one', {'/camera': (pictures(40), 'rgb8')}, stamp=stamp)
    with pytest.warns(UserWarning, match='by arrival, as stamps'):
        assert sum(everything(tmp_path, 20.0), []) == count(40)


def test_a_bag_that_is_made_again_is_read_again(tmp_path):
    video_files.write_bag(tmp_path / 'one', {'/camera': (pictures(20), 'rgb8')}, storage='sqlite3')
    assert sum(everything(tmp_path, 20.0), []) == count(20)
    size = (tmp_path / 'one/one.db3').stat().st_size
    shutil.rmtree(tmp_path / 'one')
    frames = [*pictures(8), *pictures(12, 30)]
    video_files.write_bag(tmp_path / 'one', {'/camera': (frames, 'rgb8')}, storage='sqlite3')
    assert (tmp_path / 'one/one.db3').stat().st_size == size
    assert sum(everything(tmp_path, 20.0), []) == [*count(8), *count(12, 30)]


def test_linked_folders_and_what_is_left_out(tmp_path):
    video_files.write_bag(tmp_path / 'elsewhere/one', {'/camera': (pictures(20), 'rgb8')})
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'data/loop').symlink_to(tmp_path / 'data')
    (tmp_path / 'data/old.bag').write_bytes(b'#ROSBAG V2.0')
    with pytest.warns(UserWarning, match='2 skipped. .*a bag of ROS 1.*loop: the same folder'):
        assert sum(everything(tmp_path / 'data', 20.0), []) == count(20)


def test_the_camera_is_told(tmp_path, capsys):
    topics = {'/a_depth': (pictures(4), '16UC1'), '/camera': (pictures(20), 'jpeg')}
    video_files.write_bag(tmp_path / 'one', topics)
    VideoFolder(tmp_path, 'training', 32, 20.0)
    assert 'cameras (recordings): /camera (1)' in capsys.readouterr().err
