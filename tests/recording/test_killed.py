# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`kill -9` at any moment of convert and export: nothing is lost, and the command can be run again."""

from unittest import mock

import calvin_files
import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')

import killed  # noqa: E402
import lerobot_files  # noqa: E402
from bag_files import TWO, shards, write  # noqa: E402

from vw2_ros.models.data.calvin import CalvinFolder  # noqa: E402
from vw2_ros.recording import lerobot_writer  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402
from vw2_ros.recording.export import export_lerobot, find_source  # noqa: E402
from vw2_ros.recording.sets import convert_sets  # noqa: E402

FEW = [17, 88]  # moments of the fast test


def export(paths, out):
    with mock.patch.object(lerobot_writer, 'FILE_MB', 0):  # a file for each episode
        export_lerobot(find_source(paths), out, 'vw2 export')


def convert(bag, out):
    convert_bags([bag], out, progress=False)


def convert_set(root, out, contract):
    convert_sets([root], out, contract=contract, progress=False)


def content(out):
    """Path -> bytes; the card has the folder's name in it."""
    return {
        p.relative_to(out): p.read_bytes() if p.name != 'README.md' else p.stat().st_size > 0
        for p in sorted(out.rglob('*'))
        if p.is_file()
    }


def check_export(tmp_path, paths, at):
    """Kill an export at a moment; whether it got that far."""
    out = tmp_path / f'set{at}'
    ended = killed.run(export, paths, out, at=at)
    if out.exists():  # whole, or not there
        assert content(out).keys() >= content(tmp_path / 'whole').keys()
    export(paths, out)
    assert content(out) == content(tmp_path / 'whole'), at
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(f'.{out.name}')]
    return not ended


def kept(out):
    """What a killed conversion left is data: its index can be read, and its shards are whole."""
    if (out / 'training/ep_start_end_ids.npy').is_file():
        folder = CalvinFolder(out / 'training')
        assert len(folder) == sum(b - a + 1 for a, b in folder.ranges)
        shards(out)


def same(one, other):
    found = shards(one), shards(other)
    assert len(found[0]) == len(found[1])
    for a, b in zip(*found):
        assert all((a[k] == b[k]).all() for k in a)


def check_convert(tmp_path, work, source, at, *more):
    out = tmp_path / f'data{at}'
    ended = killed.run(work, source, out, *more, at=at)
    kept(out)
    before = {p.name: p.read_bytes() for p in (out / 'training/shards').glob('*.npz')}
    work(source, out, *more)
    for name, data in before.items():
        assert (out / 'training/shards' / name).read_bytes() == data
    same(out, tmp_path / 'whole')
    return not ended


def play(tmp_path):
    root = tmp_path / 'play'
    calvin_files.write_split(root / 'training', episodes=4, frames=20, size=16, shards=True)
    export([root], tmp_path / 'whole')
    return [root]


def lerobot_set(tmp_path):
    m = lerobot_files.motion(30)
    one = lerobot_files.episode(
        np.column_stack([m['joints'], m['open']]), np.column_stack([m['told'], m['open']])
    )
    hand = {'column': -1, 'open': 1.0, 'closed': 0.0}
    contract = lerobot_files.contract(
        tmp_path / 'arm.yaml', form='joints', angle='rad', gripper=hand
    )
    root = lerobot_files.write_set(tmp_path / 'lerobot', [one] * 3)
    convert_set(root, tmp_path / 'whole', contract)
    return root, contract


@pytest.mark.parametrize('at', FEW)
def test_export(tmp_path, at):
    assert check_export(tmp_path, play(tmp_path), at)


@pytest.mark.parametrize('at', FEW)
def test_convert(tmp_path, at):
    bag = write(tmp_path / 'bag', TWO.messages())
    convert(bag, tmp_path / 'whole')
    assert check_convert(tmp_path, convert, bag, at)


@pytest.mark.slow
@pytest.mark.parametrize('what', ['export', 'convert', 'convert_set'])
def test_at_any_moment(tmp_path, what):
    """All moments that there are, at least 50."""
    if what == 'export':
        paths = play(tmp_path)
    elif what == 'convert':
        source, more = write(tmp_path / 'bag', TWO.messages()), ()
        convert(source, tmp_path / 'whole')
    else:
        source, *more = lerobot_set(tmp_path)
    for at in range(1, 1000):
        if what == 'export':
            reached = check_export(tmp_path, paths, at)
        else:
            reached = check_convert(tmp_path, globals()[what], source, at, *more)
        if not reached:
            break
    print(f'{what}: {at - 1} moments')
    assert at > 50
