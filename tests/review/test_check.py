# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Each thing that makes a bad policy is found where it was put, and nothing where nothing is."""

import json

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, Motion, trajectory, write  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.arms import open_arm  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402
from vw2_ros.review import check as checks  # noqa: E402
from vw2_ros.review.recordings import Motion as Learned  # noqa: E402
from vw2_ros.sim.dataset_writer import SessionWriter, write_index  # noqa: E402

GOOD = Motion(seconds=4.0, joint_hz=60, swing_rad=0.05, words=((0.0, 'open the drawer'),))


def vw2(*words):
    return cli.main([str(word) for word in words])


def checked(data, tmp_path, *options):
    assert vw2('check', data, '--out', tmp_path / 'check', *options) == 0
    assert (tmp_path / 'check/check.html').read_text().count('<img') >= 1
    return json.loads((tmp_path / 'check/check.json').read_text())


def kinds(found, *but):
    return {f['kind'] for f in found if f['kind'] not in but}


def learned(n=90, **changes):
    """A motion in which nothing is wrong, but what is changed."""
    s = np.arange(n) / 30
    actions = np.zeros((n, 7))
    actions[:, :3] = 0.4 * np.cos(s[:, None] + [0, 1, 2])
    actions[:, 6] = np.where(s < 1.5, 1, -1)
    joints = 0.3 * np.sin(s[:, None] + np.arange(7))
    for name, change in changes.items():
        change({'actions': actions, 'joints': joints}[name])
    return Learned(actions, joints, np.ones(n - 1, bool))


def put(rows, columns, value):
    def change(array):
        array[rows, columns] = value

    return change


@pytest.mark.parametrize(
    'kind, changes',
    [
        ('', {}),
        ('idle', {'actions': put(slice(20, 70), slice(0, 6), 0.0)}),
        ('idle', {'actions': put(slice(0, 40), slice(0, 6), 0.01)}),
        ('jump', {'joints': put(slice(40, None), 3, 2.0)}),
        ('clipped', {'actions': put(slice(10, 20), 1, -1.0)}),
        ('chatter', {'actions': put(slice(20, 24), 6, -1.0)}),
    ],
)
def test_what_is_wrong_is_found(kind, changes):
    assert {f.kind for f in checks._of_motion(learned(**changes))} == {kind} - {''}


def test_a_bag(tmp_path, capsys):
    """One that is fine, one that stands still for long, one that cannot be used."""
    write(tmp_path / 'bags/a', GOOD.messages())
    still, late = [], GOOD.but(words=((0.0, 'open the drawr'),))
    rest = open_arm().rest_rad
    for at, topic, message in late.messages():
        if topic == '/joint_commands' and 1.0 < at - START_S < 3.2:
            names = message[1].joint_names
            message = trajectory(at, names, [*rest, 0.04][: len(names)])
        still.append((at, topic, message))
    write(tmp_path / 'bags/b', still)
    write(tmp_path / 'bags/c', [m for m in GOOD.messages() if m[1] != '/joint_states'])
    found = checked(tmp_path / 'bags', tmp_path)
    a, b, c = found['episodes']
    assert not kinds(a['findings']) and a['score'] == 100
    assert 'idle' in kinds(b['findings']) and b['score'] < 90
    assert kinds(c['findings'], 'gaps') == {'unusable'} and c['score'] == 0
    assert found['labels']['open the drawer']['episodes'] == 2
    assert {'few', 'like'} <= kinds(found['findings'])
    said = capsys.readouterr().out
    assert 'is one a slip?' in said and 'no topic joint_states' in said


def test_the_same_recording_twice_and_a_leak(tmp_path):
    """One of ten is held out: a copy of what training has is a leak."""
    motion = GOOD.but(seconds=2.2)
    for i in range(9):
        write(tmp_path / f'bags/{i}', motion.but(swing_rad=0.04 + 0.002 * i).messages())
    write(tmp_path / 'bags/9', [*motion.but(swing_rad=0.04).messages()])
    messages = motion.but(swing_rad=0.04).messages()
    write(tmp_path / 'bags/9b', [m for m in messages if m[0] - START_S < 2.1])
    convert_bags([tmp_path / 'bags'], tmp_path / 'data', progress=False)
    found = checked(tmp_path / 'data', tmp_path)
    by = {e['episode']: kinds(e['findings']) for e in found['episodes']}
    assert [e['recording'] for e in found['episodes']].count('validation') == 1
    twice = [k for k in by.values() if 'twice' in k]
    leaks = [k for k in by.values() if 'leak' in k]
    assert len(twice) == 1 and len(leaks) == 1
    assert kinds(found['findings']) == set()


def test_a_joint_that_never_moves(tmp_path):
    for session in range(3):
        writer = SessionWriter(tmp_path / 'training', session, shard=True, scene='D')
        for i in range(40):
            state = np.zeros(15)
            state[7:13] = 0.1 * np.sin(i / 9 + np.arange(6) + 0.4 * session)
            state[9] = 0.5
            action = np.array([0.3, 0.1, 0, 0, 0, 0, 1.0])
            writer.add(action, state, None, {'rgb_static': np.full((16, 16, 3), i, np.uint8)})
        writer.annotate(0 + session * 10_000, 39 + session * 10_000, 'push', 0.0)
        writer.close()
    write_index(tmp_path / 'training', {}, lambda task: [task])
    found = checked(tmp_path, tmp_path)
    assert [f['text'] for f in found['findings']] == [
        'joint 3 stands at 0.500 rad in all episodes'
    ]
    assert all(not e['findings'] for e in found['episodes'])


def test_outcomes_are_counted_and_what_nobody_said_is_no_success(tmp_path):
    for i, outcome in enumerate(('', 'failure', '')):
        write(tmp_path / f'bags/{i}', GOOD.but(swing_rad=0.05 + 0.01 * i).messages())
        if outcome:
            vw2('episodes', 'relabel', tmp_path / 'bags', str(i), '--outcome', outcome)
    found = checked(tmp_path / 'bags', tmp_path)
    assert found['outcomes'] == {'': 2, 'failure': 1}
    page = (tmp_path / 'check/check.html').read_text()
    assert '<b>0, 1, 2</b><span class="soft">success, failure, nobody said</span>' in page


def test_dropped_episodes_are_not_looked_at(tmp_path):
    write(tmp_path / 'bags/a', GOOD.messages())
    write(tmp_path / 'bags/b', GOOD.but(swing_rad=0.06).messages())
    vw2('episodes', 'drop', tmp_path / 'bags', '0')
    assert [e['episode'] for e in checked(tmp_path / 'bags', tmp_path)['episodes']] == [1]
