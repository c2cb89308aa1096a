# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What was decided about episodes counts in all that is made of them: drawn anew, or exported."""

import json

import numpy as np
import pytest

from vw2_ros import cli
from vw2_ros.models.data.calvin import CalvinFolder
from vw2_ros.models.data.store import FrameStore
from vw2_ros.sim.dataset_writer import SessionWriter, write_index
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.redraw import redraw
from vw2_ros.sim.table import Simulator

TASKS = ('open_drawer', 'turn_on_led', 'close_drawer')
FRAMES = 5


def vw2(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture
def data(tmp_path):
    """An episode of each task, as `vw2 collect --shards` writes them; the second one is dropped, and
    the first one has other words."""
    with PlayTable('D') as table:
        robot, scene = table.robot_obs(), table.scene_obs()
    root, rng = tmp_path / 'data', np.random.default_rng(0)
    for number, task in enumerate(TASKS):
        writer = SessionWriter(root / 'training', number, shard=True, scene='D')
        ids = []
        for i in range(FRAMES):
            state = robot + np.eye(15)[7] * 0.1 * i  # the first joint turns
            action = np.append(rng.uniform(-1, 1, 6), 1.0)
            picture = rng.integers(0, 255, (24, 24, 3), np.uint8)
            ids.append(writer.add(action, state, scene, {'rgb_static': picture}))
        writer.annotate(ids[0], ids[-1], task, 0.0)
        writer.close()
    for split in ('training', 'validation'):
        write_index(root / split, {'renderer': 'pybullet_tiny'}, lambda task: [task])
    assert vw2('episodes', 'drop', root, '1') == 0
    assert vw2('episodes', 'relabel', root, '0', '--instruction', 'pull the drawer out') == 0
    return root


def left(root):
    """Ids of the frames that are learned from, and the words of each window."""
    folder = CalvinFolder(root / 'training')
    assert len(FrameStore([root], size=16)) == len(folder.frame_ids)
    return folder.frame_ids.tolist(), [(w.start, w.end, w.task, w.phrase) for w in folder.windows]


def test_drawn_anew(data, tmp_path):
    out = tmp_path / 'drawn'
    counts = redraw(data, out, Simulator(), progress=False)
    assert counts['training']['frames'] == 3 * FRAMES  # all are there, and can be restored
    ids, windows = left(out)
    assert ids == left(data)[0] and len(ids) == 2 * FRAMES
    assert windows[0][3] == 'pull the drawer out' and windows[1][2] == 'close_drawer'
    for _ in range(2):
        assert vw2('episodes', 'undo', out) == 0
    assert len(left(out)[0]) == 3 * FRAMES


def test_drawn_again_keeps_what_was_decided_since(data, tmp_path):
    out = tmp_path / 'drawn'
    redraw(data, out, Simulator(), progress=False)
    assert vw2('episodes', 'drop', data, '2') == 0
    redraw(data, out, Simulator(), progress=False)
    assert len(left(out)[0]) == FRAMES  # as in the data
    assert vw2('episodes', 'restore', out, '1') == 0
    redraw(data, out, Simulator(), progress=False)
    assert len(left(out)[0]) == 2 * FRAMES  # as was decided here


def test_exported(data, tmp_path):
    pq = pytest.importorskip('pyarrow.parquet')
    out = tmp_path / 'set'
    assert vw2('export', 'lerobot', data, '--out', out) == 0
    info = json.loads((out / 'meta/info.json').read_text())
    assert (info['total_episodes'], info['total_frames']) == (2, 2 * FRAMES)
    tasks = pq.read_table(out / 'meta/tasks.parquet')['task'].to_pylist()
    assert tasks == ['pull the drawer out', 'close_drawer']
    folder = CalvinFolder(data / 'training')
    kept = [np.load(folder.shards[number])['rel_actions'] for number in (0, 2)]
    rows = pq.read_table(out / 'data/chunk-000/file-000.parquet', partitioning=None)
    np.testing.assert_allclose(rows['action'].to_pylist(), np.concatenate(kept), atol=1e-6)
