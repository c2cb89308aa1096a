# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets."""

import json

import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, pictures, write_video  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_v21(tmp_path, filmed):
    video_files.write_lerobot_v21(tmp_path, [pictures(12), pictures(8, 20)], filmed=filmed)
    assert everything(tmp_path, 10.0) == [count(12), count(8, 20)]


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_v3(tmp_path, filmed):
    files = [[pictures(12), pictures(7, 12), pictures(9, 30)], [pictures(8, 40)]]
    video_files.write_lerobot_v3(tmp_path, files, filmed=filmed)
    assert everything(tmp_path, 10.0) == [count(12), count(7, 12), count(9, 30), count(8, 40)]


def test_lerobot_camera_by_name(tmp_path):
    video_files.write_lerobot_v21(tmp_path, [pictures(12), pictures(8)])
    cameras = ('/camera/image', 'observation.images.wrist')
    dark = VideoFolder(tmp_path, 'training', 32, 10.0, cameras).rgb[np.arange(2)]
    assert dark.mean() > 180  # the wrist sees the negative
    with pytest.raises(DataError, match='cameras there: observation.images.front, observation'):
        VideoFolder(tmp_path, 'training', 32, 10.0, ('top',))


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_in_sub_folders(tmp_path, filmed):
    v3 = video_files.write_lerobot_v3(
        tmp_path / 'a', [[pictures(12), pictures(7, 12)]], filmed=filmed
    )
    video_files.write_lerobot_v21(tmp_path / 'b' / 'deep', [pictures(8, 30)], filmed=filmed)
    write_video(tmp_path / 'c.mp4', pictures(9, 40), 10)
    write_video(
        v3 / 'extra' / 'd.mp4', pictures(9), 10
    )  # of the set, whose index does not name it
    assert everything(tmp_path, 10.0) == [count(12), count(7, 12), count(8, 30), count(9, 40)]
    takes = [
        t for r in VideoFolder(tmp_path, 'training', 32, 10.0)._recordings for t, _ in r.ranges
    ]
    assert all(take.startswith(('a/', 'b/deep/', 'c.mp4')) for take in takes)


def test_lerobot_camera_by_name_in_sub_folders(tmp_path):
    video_files.write_lerobot_v21(tmp_path / 'a', [pictures(12), pictures(8)])
    folder = VideoFolder(tmp_path, 'training', 32, 10.0, ['observation.images.wrist'])
    assert folder.rgb[np.arange(2)].mean() > 180  # the wrist sees the negative
    assert len(everything(tmp_path, 10.0)) == 2  # one camera of each episode


def test_lerobot_of_another_version_or_damaged(tmp_path):
    info = tmp_path / 'meta' / 'info.json'
    info.parent.mkdir()
    info.write_text(json.dumps({'codebase_version': 'v1.6', 'fps': 10}))
    with pytest.raises(DataError, match='v1.6; v2.0, v2.1 and v3.0'):
        VideoFolder(tmp_path)
    info.write_text('{')
    with pytest.raises(DataError, match='info.json or what it refers to cannot be read'):
        VideoFolder(tmp_path)
