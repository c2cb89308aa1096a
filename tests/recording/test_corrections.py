# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A person takes the arm from a policy: an episode of its own, marked, and learned from more often."""

import json

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, STORE, Motion, text, write  # noqa: E402

from vw2_ros import cli, names  # noqa: E402
from vw2_ros.bags.bag import Bag  # noqa: E402
from vw2_ros.bags.episodes import bag_spans  # noqa: E402
from vw2_ros.models.data.demonstrations import Demonstrations  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording import bench  # noqa: E402
from vw2_ros.recording.writer import BagWriter  # noqa: E402

LED = ((0.0, 'policy'), (2.0, 'correction'), (4.0, 'nobody'), (5.0, 'policy'))


def recorded(
    path, led=LED, words=((0.1, 'open the drawer'), (7.0, ''), (7.2, 'wave')), seconds=9.0
):
    """A bag of a policy that is corrected, as `ros2 bag record` would have it."""
    messages = Motion(seconds=seconds, joint_hz=30, words=words).messages()
    messages += [(START_S + at, '/leader', text(who)) for at, who in led]
    return write(path, messages)


def told(bag):
    return [(s.text, s.correction, s.success) for s in bag_spans(Bag(bag))]


def test_a_takeover_is_an_episode(tmp_path):
    assert told(recorded(tmp_path / 'bag')) == [
        ('', False, None),
        ('open the drawer', False, False),  # it had to be corrected
        ('open the drawer', True, None),
        ('', False, None),  # he let go, and the arm holds
        ('open the drawer', False, None),  # the policy goes on
        ('', False, None),
        ('wave', False, None),
    ]


def test_a_demonstration_by_an_operator_is_none(tmp_path):
    """Nothing is corrected where no policy was at work, and he may let go in between."""
    led = ((0.5, 'operator'), (2.0, 'nobody'), (3.0, 'operator'), (6.0, 'nobody'))
    assert ('open the drawer', False, None) in told(recorded(tmp_path / 'bag', led))
    assert len(told(tmp_path / 'bag')) == 4


def test_from_a_bag_to_what_is_drawn(tmp_path, capsys):
    bag = recorded(tmp_path / 'bags/monday')
    assert cli.main(['convert', '--bag', str(bag), '--out', str(tmp_path / 'data')]) == 0
    marks = [json.loads(p.read_text()) for p in (tmp_path / 'data').rglob('session_*.json')]
    assert sorted(m['source'].get('correction', False) for m in marks)[-2:] == [False, True]
    capsys.readouterr()
    for data in (bag, tmp_path / 'data'):
        assert cli.main(['episodes', 'list', str(data)]) == 0
        (line,) = [row for row in capsys.readouterr().out.splitlines() if 'correction' in row]
        assert 'open the drawer' in line
    store = FrameStore([tmp_path / 'data'], size=16)
    shares = []
    for weight in (1.0, 3.0):
        demos = Demonstrations(store, corrections=weight)
        assert demos.corrected.sum() == 1
        drawn = demos.draw(np.random.default_rng(0), 20_000)
        assert demos.task(drawn).max() == 1 and (np.bincount(demos.task(drawn)) > 9_500).all()
        here = demos.task(drawn) == demos.tasks.index('open the drawer')
        corrected = demos.corrected[demos.sample_window[drawn]]
        assert not corrected[~here].any() and len(np.unique(drawn)) == len(demos)
        shares.append(corrected[here].mean())
    odds = [share / (1 - share) for share in shares]
    assert odds[1] / odds[0] == pytest.approx(3.0, rel=0.1)
    with pytest.raises(ValueError, match='corrections must be above 0'):
        Demonstrations(store, corrections=0.0)


def test_an_edit_keeps_the_mark(tmp_path):
    bag = recorded(tmp_path / 'bag')
    assert cli.main(['episodes', 'split', str(bag), '1', '--at', '1']) == 0
    assert [s.correction for s in bag_spans(Bag(bag)) if s.edited] == [True, True]
    assert cli.main(['episodes', 'merge', str(bag), '1', '2']) == 0
    assert [s.correction for s in bag_spans(Bag(bag)) if s.edited] == [True]


def test_the_recorder_begins_and_ends_them(tmp_path):
    writer, now = BagWriter(tmp_path / 'bag'), [START_S]

    def say(topic, words):
        now[0] += 0.5
        kind, message = text(words)
        writer.put(
            f'/{topic}', kind, round(now[0] * 1e9), bytes(STORE.serialize_cdr(message, kind))
        )

    def lead(who):
        say(names.LEADER, who)  # the recorder puts what it hears into the bag
        return person.hear(names.LEADER, who)

    person = bench.Takeovers(say)
    assert lead('policy') == '' and lead('correction') == '', 'nothing is to be done'
    assert person.hear(names.INSTRUCTION, 'open  it') == 'episode 0 begins: "open it"'
    assert person.running and not person.do('start')[0] and not person.do('next')[0]
    assert 'ends: s, f or d says how' in lead('nobody') and not person.running
    assert person.do('failure') == (True, 'episode 0: failure')
    assert person.hear(names.INSTRUCTION, 'open it') == '', 'it was said before'
    assert 'episode 1 begins' in lead('correction')
    assert person.do('toggle')[0] and not person.running and lead('nobody') == ''
    assert lead('policy') == '' and 'episode 2 begins' in lead('correction')
    said = person.hear(names.INSTRUCTION, 'close it')
    assert 'episode 2 ends' in said and 'episode 3 begins: "close it"' in said
    assert person.do('discard')[0] and not person.do('discard')[0]
    assert not person.do('success')[0], 'it is discarded'
    person.close()
    writer.close()
    spans = [s for s in bag_spans(Bag(tmp_path / 'bag')) if s.text]
    assert [(s.text, s.success, s.dropped) for s in spans] == [
        ('open it', False, False),
        ('open it', True, False),
        ('open it', None, False),
        ('close it', None, True),
    ]
    assert all(s.correction for s in spans)
