# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Videos in ROS 2 bags."""

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
