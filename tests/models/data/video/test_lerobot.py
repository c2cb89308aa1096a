# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets."""

import json
import shutil

import av
import cv2
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


@pytest.mark.parametrize('filmed', [True, False])
def test_episodes_that_were_removed(tmp_path, filmed):
    """The others keep their numbers, which the index has."""
    episodes = [pictures(12), pictures(8, 20), pictures(9, 40), pictures(7, 5)]
    root = video_files.write_lerobot_v21(tmp_path, episodes, filmed=filmed)
    index = root / 'meta' / 'episodes.jsonl'
    lines = index.read_text().splitlines()
    index.write_text('\n'.join([lines[1], lines[3]]) + '\n')
    info = json.loads((root / 'meta' / 'info.json').read_text()) | {'total_episodes': 2}
    (root / 'meta' / 'info.json').write_text(json.dumps(info))
    for path in [*root.rglob('episode_000000.*'), *root.rglob('episode_000002.*')]:
        path.unlink()
    assert everything(tmp_path, 10.0) == [count(8, 20), count(7, 5)]


def test_a_damaged_frame_costs_its_episode(tmp_path):
    episodes = [pictures(40), pictures(40, 5), pictures(40, 9)]
    root = video_files.write_lerobot_v3(tmp_path, [episodes])
    (file,) = root.rglob('*.mp4')
    with av.open(str(file)) as video:
        places = {p.pts: (p.pos, p.size) for p in video.demux(0) if p.size}
    data = bytearray(file.read_bytes())
    at, size = places[sorted(places)[55]]
    data[at + 8 : at + size] = bytes(255 - x for x in data[at + 8 : at + size])
    file.write_bytes(data)
    with pytest.warns(UserWarning, match=r'1 skipped. .*mp4#1: '):
        assert everything(tmp_path, 10.0) == [count(40), count(40, 9)]


def test_a_damaged_picture_costs_itself(tmp_path):
    frames = pictures(12)
    root = video_files.write_lerobot_v3(tmp_path, [[frames]], filmed=False, damaged=5)
    with pytest.warns(UserWarning, match='1 of 12 pictures of episode 0 left out'):
        assert everything(root, 10.0) == [count(5), count(6, 6)]


@pytest.mark.parametrize(
    'depth',
    [
        {'shape': [48, 64, 1], 'names': ['height', 'width', 'channel']},
        {'shape': [1, 48, 64], 'names': ['channels', 'height', 'width']},
        {'shape': [1, 48, 64], 'names': None},
        {'shape': [48, 64], 'names': None},
        {'shape': [48, 64, 3], 'names': None, 'info': {'video.is_depth_map': True}},
        {'shape': [48, 64, 3], 'names': None, 'info': {'is_depth_map': True}},
        {'shape': [48, 64, 3], 'names': None, 'info': {'video.pix_fmt': 'gray12le'}},
        {'shape': [48, 64, 3], 'names': None},  # coloured, but called depth
    ],
)
def test_depth_is_not_the_camera(tmp_path, depth):
    root = video_files.write_lerobot_v21(tmp_path, [pictures(12)], filmed=False)
    path = root / 'meta' / 'info.json'
    info = json.loads(path.read_text())
    name = 'observation.images.depth'
    info['features'] = {name: {'dtype': 'image', **depth}} | {
        k: v for k, v in info['features'].items() if k != name
    }
    path.write_text(json.dumps(info))
    assert sum(everything(tmp_path, 10.0), []) == count(12)


def test_a_picture_of_16_bits_is_refused(tmp_path):
    root = video_files.write_lerobot_v21(tmp_path, [pictures(3)], filmed=False)
    deep = cv2.imencode('.png', np.full((48, 64), 900, np.uint16))[1].tobytes()
    shutil.rmtree(root / 'data')
    video_files.write_pictures(root, 'observation.images.front', [deep] * 3)
    with pytest.raises(DataError, match='one channel of uint16, which is depth'):
        VideoFolder(tmp_path, 'training', 32, 10.0)
