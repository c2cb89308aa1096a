# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Labelled frames."""

import calvin_files
import numpy as np
import pytest

from vw2_ros.models.data.demonstrations import Demonstrations
from vw2_ros.models.data.store import FrameStore


@pytest.fixture(params=[False, True], ids=['frames', 'shards'])
def root(request, tmp_path):
    calvin_files.write_data(tmp_path / 'data', shards=request.param)
    return tmp_path / 'data'


def test_chunks_end_with_the_task(root):
    store = FrameStore([root])
    demos = Demonstrations(store, horizon=16)
    assert len(demos) == 3 * 35
    sample = np.flatnonzero(demos.sample_row == 30)
    actions, valid = demos.chunk(sample)
    assert valid[0].sum() == 5 and valid[0, :5].all()
    np.testing.assert_allclose(actions[0, :5], store.rel_actions[30:35])
    assert (actions[0, 5:, :6] == 0).all()
    assert (actions[0, 5:, 6] == store.rel_actions[34, 6]).all()
    assert demos.frames_left(sample)[0] == 4


def test_tasks_are_drawn_evenly(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=4)  # one task twice
    demos = Demonstrations(FrameStore([tmp_path]))
    drawn = demos.draw(np.random.default_rng(0), 3000)
    assert np.bincount(demos.task(drawn)).min() > 900
    assert len(np.unique(drawn)) > 130
    again = demos.draw(np.random.default_rng(0), 3000)
    np.testing.assert_array_equal(drawn, again)


def test_fraction_of_labels(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=12, frames=10)
    store = FrameStore([tmp_path])
    half = Demonstrations(store, labels=0.5)
    assert len(half.start) == 6 and np.bincount(half.task_of).tolist() == [2, 2, 2]
    assert len(Demonstrations(store, labels=0.01).start) == 3
    with pytest.raises(ValueError, match='labels must be in'):
        Demonstrations(store, labels=0.0)
