# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One store over folders of any kind."""

import shutil

import calvin_files
import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

from video_files import number, write_mixture  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.clips import clip_store  # noqa: E402
from vw2_ros.models.data.pictures import resize_area  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    """CALVIN data, a folder of mp4 and a bag."""
    return write_mixture(tmp_path_factory.mktemp('mixed'))


def test_calvin_alone_stays_a_frame_store(tmp_path):
    root = calvin_files.write_data(tmp_path / 'play', shards=True)
    assert type(clip_store([root])) is FrameStore
    assert clip_store([root]).content_hash == FrameStore([root]).content_hash
    with pytest.raises(DataError, match='clips.fps must be 30 with it. Got 10'):
        clip_store([root], fps=10.0)
    shutil.rmtree(root / 'validation')
    assert clip_store([root], 'validation') is None


def test_mixed_store(mixed):
    store = clip_store(mixed, 'training', 32)
    starts = store.clip_starts(17)
    clips = store.rgb(starts[:, None] + np.arange(17))
    assert clips.shape == (len(starts), 17, 32, 32, 3)
    folder = store.folder_of(starts)
    assert set(folder) == {0, 1, 2}
    own = number(clips[folder == 0])
    assert ((np.diff(own, axis=1) - 1) % 50 == 0).all()  # frames of a clip follow one another
    play = FrameStore([mixed[1]], 'training', 32)
    np.testing.assert_array_equal(
        clips[folder == 1], play.rgb(play.clip_starts(17)[:, None] + np.arange(17))
    )
    np.testing.assert_array_equal(
        store.rows_of(2, store.frame_ids[starts[folder == 2]]), starts[folder == 2]
    )
    small = store.resized(16)
    np.testing.assert_array_equal(
        small.rgb(np.array([0]))[0], resize_area(store.rgb(np.array(0)), 16)
    )
    assert small.content_hash == store.content_hash
    assert set(
        clip_store(mixed, 'validation', 32).folder_of(
            clip_store(mixed, 'validation', 32).clip_starts(17)
        )
    ) == {0, 1, 2}
