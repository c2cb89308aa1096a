# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of data sets: what is dropped or relabelled there, training does not see or sees so."""

import json

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import Motion, write  # noqa: E402
from calvin_files import write_data, write_split  # noqa: E402

from vw2_ros import cli, files  # noqa: E402
from vw2_ros.episodes import Edit, EditList  # noqa: E402
from vw2_ros.errors import InvalidValueError  # noqa: E402
from vw2_ros.models.data.calvin import CalvinFolder  # noqa: E402
from vw2_ros.models.data.demonstrations import Demonstrations  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402

WORDS = ((0.0, 'open it'), (2.0, ''), (2.2, 'close it'), (4.2, ''), (4.4, 'push it'))


def vw2(*words):
    return cli.main([str(word) for word in words])


def learned(data):
    demos = Demonstrations(FrameStore([data], size=16))
    return demos.phrases


def listed(data, tmp_path):
    assert vw2('episodes', 'list', data, '--json', tmp_path / 'list.json') == 0
    return json.loads((tmp_path / 'list.json').read_text())


@pytest.fixture
def data(tmp_path):
    motion = Motion(seconds=6.6, joint_hz=30, words=WORDS)
    convert_bags([write(tmp_path / 'bag', motion.messages())], tmp_path / 'data', progress=False)
    return tmp_path / 'data'


def test_a_lerobot_set_is_to_be_converted(tmp_path, capsys):
    files.write_json(tmp_path / 'meta/info.json', {})
    assert vw2('episodes', 'list', tmp_path) == 1
    assert 'vw2 convert --lerobot' in capsys.readouterr().err


def test_converted_data(data, tmp_path):
    found = listed(data, tmp_path)
    assert [e['instruction'] for e in found] == ['open it', 'close it', 'push it']
    assert all(
        e['hz'] == 30.0 and e['skew_ms'] < 1 and e['recording'] == 'training' for e in found
    )
    whole = FrameStore([data], size=16)
    decoded = {p: p.stat().st_mtime_ns for p in (data / 'training/cache').glob('*.u8')}
    before = files.file_sha256(data / 'training/shards/shard_00000.npz')

    assert vw2('episodes', 'drop', data, '1') == 0
    store = FrameStore([data], size=16)
    assert len(store) == len(whole) - found[1]['frames']
    assert store.content_hash != whole.content_hash
    kept = np.isin(whole.frame_ids, store.frame_ids)
    assert (store.rgb(np.arange(len(store))) == whole.rgb(np.flatnonzero(kept))).all()
    assert (store.rel_actions == whole.rel_actions[kept]).all()
    assert set(learned(data)) == {'open it', 'push it'}
    assert decoded == {p: p.stat().st_mtime_ns for p in (data / 'training/cache').glob('*.u8')}
    small = store.resized(8)
    assert len(small) == len(store) and small.rgb(np.array([0])).shape == (1, 8, 8, 3)

    assert vw2('episodes', 'relabel', data, '0', '--instruction', 'pull it') == 0
    assert set(learned(data)) == {'pull it', 'push it'}
    assert vw2('episodes', 'split', data, '2', '--at', '1', '--instruction', 'wait') == 0
    assert set(learned(data)) == {'pull it', 'push it', 'wait'}
    assert vw2('episodes', 'relabel', data, '3', '--outcome', 'failure') == 0
    assert set(learned(data)) == {'pull it', 'push it'}
    assert vw2('episodes', 'merge', data, '2', '3', '--instruction', 'push it') == 0
    assert set(learned(data)) == {'pull it'}  # it ended with a failure
    assert vw2('episodes', 'relabel', data, '2', '--outcome', 'success') == 0
    demos = Demonstrations(FrameStore([data], size=16))
    assert demos.phrases == {'pull it': ['pull it'], 'push it': ['push it']}
    for _ in range(6):
        assert vw2('episodes', 'undo', data) == 0
    assert FrameStore([data], size=16).content_hash == whole.content_hash
    assert before == files.file_sha256(data / 'training/shards/shard_00000.npz')


def test_sessions_cannot_be_merged_but_bags_can(data, capsys):
    assert vw2('episodes', 'merge', data, '0', '1') == 1
    assert 'Merge them in the bag, and convert it again' in capsys.readouterr().err


def test_what_is_converted_again_loses_its_edits_and_says_so(data, tmp_path, capsys):
    other = Motion(seconds=2.2, joint_hz=30, swing_rad=0.1, words=((0.0, 'wave'),))
    assert vw2('convert', '--bag', write(tmp_path / 'other', other.messages()), '--out', data) == 0
    assert vw2('episodes', 'drop', data, '1', '3') == 0
    again = ['convert', '--bag', tmp_path / 'bag', '--out', data]
    assert vw2(*again) == 0  # in the same way: nothing is done
    assert 'already there' in capsys.readouterr().out
    assert [e['state'] for e in listed(data, tmp_path)] == ['', 'dropped', '', 'dropped']
    assert vw2(*again, '--actions', 'joints') == 0
    said = capsys.readouterr().out
    assert 'converted again, with other actions' in said
    assert '1 decisions of vw2 episodes are GONE' in said
    states = {e['instruction']: e['state'] for e in listed(data, tmp_path)}
    assert states == {'open it': '', 'close it': '', 'push it': '', 'wave': 'dropped'}
    assert len(list((data / 'training/shards').iterdir())) == 4
    assert vw2(*again) == 0  # and back
    assert 'converted again, with other actions' in capsys.readouterr().out


def test_calvins_own_data(tmp_path):
    write_data(tmp_path / 'data', episodes=3, frames=30, size=16)
    found = listed(tmp_path / 'data', tmp_path)
    assert [e['recording'] for e in found] == ['training'] * 3 + ['validation'] * 3
    assert vw2('episodes', 'drop', tmp_path / 'data', '1', '4') == 0
    assert len(FrameStore([tmp_path / 'data'], size=16)) == 90 - 25
    assert len(FrameStore([tmp_path / 'data'], 'validation', size=16)) == 90 - 25
    assert len(learned(tmp_path / 'data')) == 2


def test_windows_that_overlap(tmp_path):
    """As in CALVIN: what one episode drops another one may keep."""
    split = tmp_path / 'training'
    write_split(split, episodes=1, frames=60, size=16, words=False)
    (split / 'lang_annotations').mkdir()
    language = {'ann': ['a b', 'c d', 'e f'], 'task': ['a', 'c', 'e']}
    content = {'language': language, 'info': {'indx': [(0, 30), (20, 40), (45, 50)]}}
    np.save(split / 'lang_annotations/auto_lang_ann.npy', content, allow_pickle=True)
    assert vw2('episodes', 'drop', tmp_path, '0') == 0
    folder = CalvinFolder(split)
    assert folder.ranges.tolist() == [[20, 59]]
    assert [(w.start, w.end, w.task) for w in folder.windows] == [(20, 40, 'c'), (45, 50, 'e')]


def test_two_at_once_do_not_lose_a_decision(tmp_path):
    write_split(tmp_path / 'training', episodes=3, frames=30, size=16)
    one, other = EditList(tmp_path / 'training'), EditList(tmp_path / 'training')
    spans = [span.key for span in CalvinFolder(tmp_path / 'training').spans]
    one.change(lambda edits: [*edits, Edit('drop', (spans[0],), 1)], 'one')
    other.change(lambda edits: [*edits, Edit('drop', (spans[1],), 2)], 'other')
    assert [s.dropped for s in CalvinFolder(tmp_path / 'training').spans] == [True, True, False]
    with files.only_one(tmp_path / 'training', 'somebody'), pytest.raises(files.BusyError):
        one.change(lambda edits: [], 'one')
    with pytest.raises(InvalidValueError, match='an edit must be one of'):
        Edit('forget', (spans[0],), 1)
