# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of a bag are listed, shown, dropped, relabelled, merged, split: the bag stays what it is."""

import json

import av
import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, TWO, Motion, text, write  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402

THREE = Motion(
    seconds=6.6,
    joint_hz=30,
    words=((0.0, 'open it'), (2.0, ''), (2.2, 'close it'), (4.2, ''), (4.4, 'push it')),
)


def vw2(*words):
    return cli.main([str(word) for word in words])


def listed(data, tmp_path):
    assert vw2('episodes', 'list', data, '--json', tmp_path / 'list.json') == 0
    return json.loads((tmp_path / 'list.json').read_text())


def instructions(data, tmp_path):
    return [(e['instruction'], e['state']) for e in listed(data, tmp_path)]


def converted(bags, out):
    result = convert_bags([bags], out, progress=False)
    return [e['instruction'] for r in result['bags'].values() for e in r['episodes']]


def content(bag):
    return {p.name: p.read_bytes() for p in bag.iterdir() if p.name != 'edits.json'}


def test_a_list_says_what_a_person_wants_to_know(tmp_path, capsys):
    messages = [m for m in THREE.messages() if not 3.0 < m[0] - START_S < 3.12]
    messages += [(START_S + 2.0, '/outcome', text('success'))]
    messages += [(START_S + 4.19, '/outcome', text('failure'))]
    messages += [(START_S + 6.6, '/outcome', text('discard'))]
    bag = write(tmp_path / 'bags/monday', messages)
    found = listed(tmp_path / 'bags', tmp_path)
    assert [(e['instruction'], e['outcome'], e['state']) for e in found] == [
        ('open it', 'success', ''),
        ('close it', 'failure', ''),
        ('push it', '', 'dropped'),
    ]
    assert [e['seconds'] for e in found] == pytest.approx([2.0, 2.0, 2.2], abs=0.05)
    assert [e['gaps'] for e in found] == [0, 2, 0]  # of the camera and of the joints
    assert all(e['hz'] == 30.0 and e['skew_ms'] < 0.1 for e in found)
    said = capsys.readouterr().out
    assert 'monday' in said and '2 episodes' in said and '1 failed' in said and '1 dropped' in said
    assert converted(bag, tmp_path / 'data') == ['open it', 'close it']
    result = json.loads((tmp_path / 'data/recordings.json').read_text())
    (report,) = result.values()
    assert [e['instruction'] for e in report['dropped']] == ['push it']
    assert [e['shown'] > 0 for e in report['episodes']] == [
        True,
        False,
    ]  # nothing is learned of it


def test_skew_between_clocks_is_told(tmp_path):
    write(tmp_path / 'bag', THREE.but(joint_clock_s=0.25).messages())
    assert [e['skew_ms'] for e in listed(tmp_path / 'bag', tmp_path)] == [250.0] * 3


def test_dropped_and_taken_back(tmp_path, capsys):
    bag = write(tmp_path / 'bags/monday', THREE.messages())
    before = content(bag)
    frames = len(VideoFolder(tmp_path / 'bags', 'training', 16))
    assert vw2('episodes', 'drop', tmp_path / 'bags', '0', '2') == 0
    assert 'dropped 0: "open it"' in capsys.readouterr().out
    assert instructions(bag, tmp_path) == [
        ('open it', 'dropped'),
        ('close it', ''),
        ('push it', 'dropped'),
    ]
    assert converted(tmp_path / 'bags', tmp_path / 'data') == ['close it']
    video = VideoFolder(tmp_path / 'bags', 'training', 16)  # what training sees of it
    assert 60 < len(video) < 80 and len(video) < frames / 2
    assert vw2('episodes', 'restore', bag, '2') == 0
    assert instructions(bag, tmp_path)[2] == ('push it', 'changed')
    assert vw2('episodes', 'undo', bag) == vw2('episodes', 'undo', bag) == 0
    assert instructions(bag, tmp_path) == [('open it', ''), ('close it', ''), ('push it', '')]
    assert vw2('episodes', 'undo', bag) == 1 and 'Got none' in capsys.readouterr().err
    assert content(bag) == before and not (bag / 'edits.json').exists()
    assert len(VideoFolder(tmp_path / 'bags', 'training', 16)) == frames


def test_a_forgotten_instruction_is_mended_and_converted_again(tmp_path, capsys):
    bag = write(tmp_path / 'bag', THREE.but(words=()).messages())
    assert instructions(bag, tmp_path) == [('', '')]
    assert vw2('episodes', 'split', bag, '0', '--at', '2', '--instruction', 'close it') == 0
    assert vw2('episodes', 'split', bag, '1', '--at', '2.2', '--instruction', 'push it') == 0
    assert vw2('episodes', 'relabel', bag, '0', '--instruction', 'open  it') == 0
    assert instructions(bag, tmp_path) == [
        ('open it', 'changed'),
        ('close it', 'changed'),
        ('push it', 'changed'),
    ]
    out = tmp_path / 'data'
    assert converted(bag, out) == ['open it', 'close it', 'push it']
    assert vw2('episodes', 'relabel', bag, '1', '--outcome', 'failure') == 0
    assert vw2('convert', '--bag', bag, '--out', out) == 0
    said = capsys.readouterr().out
    assert 'converted again, with other edits' in said and 'FAILED: no words are learned' in said
    assert vw2('episodes', 'merge', bag, '0', '2', '--instruction', 'do it all') == 0
    assert converted(bag, out) == ['do it all']
    shards = sorted(p.name for p in (out / 'training/shards').iterdir())
    assert len(shards) == 1  # what it gave before is gone
    assert vw2('episodes', 'list', out) == 0
    assert 'do it all' in capsys.readouterr().out


def test_a_lone_file_keeps_its_edits_beside_it(tmp_path):
    write(tmp_path / 'bag', THREE.messages())
    file = next((tmp_path / 'bag').glob('*.mcap')).rename(tmp_path / 'lone.mcap')
    assert vw2('episodes', 'drop', file, '1') == 0
    assert (tmp_path / 'lone.mcap.edits.json').is_file()
    assert converted(file, tmp_path / 'data') == ['open it', 'push it']


def test_what_cannot_be_done_is_told(tmp_path, capsys):
    bag = write(tmp_path / 'bag', THREE.messages())

    def refused(status, told, *words):
        assert vw2('episodes', *words) == status
        assert told in capsys.readouterr().err

    refused(2, 'there are episodes 0 to 2. Got [7]', 'drop', bag, '7')
    refused(2, 'Got [3, 99999999999]', 'drop', bag, '1-99999999999')
    refused(2, "e.g. 3 or 5-9. Got 'one'", 'drop', bag, 'one')
    refused(1, 'split inside. Got 9 s of', 'split', bag, '0', '--at', '9')
    refused(2, 'say --instruction or --outcome', 'relabel', bag, '0')
    refused(2, 'must hold a word', 'relabel', bag, '0', '--instruction', '!')
    refused(1, 'must follow each other', 'merge', bag, '1', '1')
    vw2('episodes', 'drop', bag, '1')
    assert vw2('episodes', 'drop', bag, '1') == 0
    assert 'Nothing to change' in capsys.readouterr().out
    refused(1, 'Restore it first', 'merge', bag, '0', '2')
    (bag / 'edits.json').write_text('{"version": 1, "edits": [')
    refused(1, 'Mend it, or remove it', 'list', bag)
    assert vw2('convert', '--bag', bag, '--out', tmp_path / 'data') == 1
    edit = {'do': 'drop', 'spans': [[5, 6]], 'when_ns': 1}
    (bag / 'edits.json').write_text(json.dumps({'version': 1, 'edits': [edit]}))
    refused(1, 'The recording has changed', 'list', bag)


def test_contact_sheet_and_film(tmp_path, capsys):
    write(tmp_path / 'bag', TWO.messages())
    assert vw2('episodes', 'show', tmp_path / 'bag', '1', '--out', tmp_path / 'out') == 0
    names = [line.rsplit('/', 1)[1] for line in capsys.readouterr().out.split()]
    assert names == ['episode_001.png', 'episode_001.mp4']
    sheet = cv2.imread(str(tmp_path / 'out/episode_001.png'))
    assert sheet.shape == (28 + 2 * 128, 8 * 128, 3)
    tiles = sheet[28:].reshape(2, 128, 8, 128, 3).swapaxes(1, 2).reshape(16, -1)
    assert len(np.unique(tiles, axis=0)) == 16  # each shows another moment
    with av.open(str(tmp_path / 'out/episode_001.mp4')) as film:
        frames = sum(1 for _ in film.decode(video=0))
    assert frames == pytest.approx(1.8 * 15, abs=1.5)
