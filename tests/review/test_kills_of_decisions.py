# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""vw2 episodes and vw2 convert are killed with -9 at any moment: nothing is lost; they run again."""

import json

import numpy as np
import pytest

pytest.importorskip('rosbags')
import killed  # noqa: E402
from bag_files import Motion, shards, write  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.bags.bag import Bag  # noqa: E402
from vw2_ros.bags.episodes import bag_spans  # noqa: E402
from vw2_ros.episodes import EditList  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording.convert import Conversion, convert_bags  # noqa: E402

WORDS = ((0.0, 'open it'), (2.0, ''), (2.2, 'close it'))
COMMANDS = {
    'drop': ['0'],
    'relabel': ['1', '--instruction', 'shut it'],
    'merge': ['0', '1'],
    'split': ['1', '--at', '1'],
}


CHANGE, ADD = (EditList, 'change'), (Conversion, 'add')


def vw2(*words):
    return cli.main([str(word) for word in words])


def moments_of(calls, moments):
    assert calls > 20
    return np.unique(np.linspace(1, calls - 1, moments).astype(int)).tolist()


def decisions_survive(tmp_path, moments):
    bag = write(tmp_path / 'bag', Motion(seconds=4.2, joint_hz=30, words=WORDS).messages())
    content = {p: p.read_bytes() for p in bag.iterdir()}
    assert vw2('episodes', 'relabel', bag, '0', '--outcome', 'success') == 0
    kept = (bag / 'edits.json').read_text()
    before, kills, met = bag_spans(Bag(bag)), 0, set()
    for command, words in COMMANDS.items():
        arguments = ['episodes', command, bag, *words]
        status, calls = killed.run(vw2, *arguments, during=CHANGE)
        done = bag_spans(Bag(bag))
        assert status == 0 and done != before
        for at in moments_of(calls, moments):
            if bag_spans(Bag(bag)) == done:
                assert vw2('episodes', 'undo', bag) == 0
            assert bag_spans(Bag(bag)) == before
            kills += killed.run(vw2, *arguments, at=at, during=CHANGE) is None
            found = bag_spans(Bag(bag))
            assert found in (before, done), (command, at)
            met.add((command, found == done))
            if found == before:
                assert vw2(*arguments) == 0  # it runs again
                assert bag_spans(Bag(bag)) == done
        assert vw2('episodes', 'undo', bag) == 0
        assert all(p.read_bytes() == data for p, data in content.items())
    assert json.loads((bag / 'edits.json').read_text()) == json.loads(kept)
    print(f'\n{kills} kills of {", ".join(COMMANDS)}')
    assert kills >= moments * len(COMMANDS) * 0.8
    return met


def test_decisions_survive_kills(tmp_path):
    decisions_survive(tmp_path, 3)


@pytest.mark.slow
def test_decisions_survive_50_kills_each(tmp_path):
    outcomes = decisions_survive(tmp_path, 50)
    assert outcomes == {(c, done) for c in COMMANDS for done in (False, True)}  # both were met


def conversion_survives(tmp_path, moments):
    """Converted again with other options, killed: the data can be read, and the command run again."""
    bag = write(tmp_path / 'bag', Motion(seconds=4.2, joint_hz=30, words=WORDS).messages())
    out, kills = tmp_path / 'data', 0
    whole = {}
    for actions in ('commands', 'joints'):
        convert_bags([bag], tmp_path / actions, actions=actions, progress=False)
        whole[actions] = shards(tmp_path / actions)
    convert_bags([bag], out, actions='commands', progress=False)
    now, wanted = 'commands', 'joints'
    sizes = {sum(len(s['frame_ids']) for s in found) for found in whole.values()}
    arguments = ['convert', '--bag', bag, '--out', out, '--actions']
    once = ['convert', '--bag', bag, '--out', tmp_path / 'n']
    _, calls = killed.run(vw2, *once, during=ADD)
    for at in np.linspace(1, calls - 1, moments).astype(int).tolist():
        kills += killed.run(vw2, *arguments, wanted, at=at, during=ADD) is None
        assert len(FrameStore([out], size=16)) in sizes  # one or the other, whole
        assert vw2(*arguments, wanted) == 0
        now, wanted = wanted, now
        store = FrameStore([out], size=16)
        found = shards(out)
        assert len(found) == len(whole[now]) and len(store) == sum(
            len(s['frame_ids']) for s in found
        )
        for one, other in zip(whole[now], found):
            assert all((one[k] == other[k]).all() for k in one if k != 'frame_ids'), at
    print(f'\n{kills} kills of convert')
    assert kills >= moments * 0.8


def test_conversion_survives_kills(tmp_path):
    conversion_survives(tmp_path, 3)


@pytest.mark.slow
def test_conversion_survives_50_kills(tmp_path):
    conversion_survives(tmp_path, 50)
