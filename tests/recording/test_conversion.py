# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Recordings become data: nothing lost, nothing done twice."""

import json

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import START_S, TWO, Motion, made, shards, write  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data.demonstrations import Demonstrations  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording import convert  # noqa: E402
from vw2_ros.recording.convert import convert_bags  # noqa: E402


def test_training_reads_it(tmp_path):
    made(tmp_path, TWO.messages())
    store = FrameStore([tmp_path / 'data'], size=16)
    demos = Demonstrations(store, horizon=16)
    assert demos.phrases == {'open the drawer': ['open the drawer'], 'close it': ['close it']}
    actions, valid = demos.chunk(demos.draw(np.random.default_rng(0), 8))
    assert actions.shape == (8, 16, 7) and valid.any() and np.isfinite(actions).all()
    assert np.isnan(store.scene_obs).all() and np.isfinite(store.robot_obs).all()


def test_a_damaged_picture_is_skipped(tmp_path):
    messages = []
    for at, topic, (kind, message) in Motion().messages():
        if topic == '/image_raw' and 1.0 < at - START_S < 1.02:
            message.data = message.data[:100]
        messages.append((at, topic, (kind, message)))
    report = made(tmp_path, messages)
    assert report['damaged_images'] == 1
    assert (
        len(
            json.loads((tmp_path / 'data/training/sessions/session_00000.json').read_text())[
                'ranges'
            ]
        )
        == 2
    )


def test_bags_are_added_and_none_counts_twice(tmp_path):
    first = write(tmp_path / 'bags/one', TWO.messages())
    out = tmp_path / 'data'
    convert_bags([first], out, progress=False)
    before = {p: p.read_bytes() for p in (out / 'training/shards').iterdir()}
    write(tmp_path / 'bags/two', TWO.but(swing_rad=0.1).messages())
    result = convert_bags([tmp_path / 'bags'], out, progress=False)
    assert result['training']['annotations'] == 4
    assert [('skipped' in r) for r in result['bags'].values()] == [True, False]
    assert all(p.read_bytes() == data for p, data in before.items())
    assert {r['bag'] for r in json.loads((out / 'recordings.json').read_text()).values()} == {
        'one',
        'two',
    }


def test_one_episode_in_ten_is_held_out(tmp_path):
    words = tuple((2.0 * i, f'word {i}') for i in range(21))
    bag = write(tmp_path / 'bag', Motion(seconds=42.0, words=words, joint_hz=30).messages())
    result = convert_bags([bag], tmp_path / 'data', progress=False)
    assert result['training']['annotations'] == 19 and result['validation']['annotations'] == 2


def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch):
    bag = write(tmp_path / 'bag', TWO.messages())
    convert_bags([bag], tmp_path / 'whole', progress=False)
    close = convert.SessionWriter.close

    def interrupted(self, *args, **kwargs):
        if self.session == 1:
            raise KeyboardInterrupt
        return close(self, *args, **kwargs)

    monkeypatch.setattr(convert.SessionWriter, 'close', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_bags([bag], tmp_path / 'data', progress=False)
    assert len(FrameStore([tmp_path / 'data'], size=16)) > 50  # the index holds what is finished
    monkeypatch.setattr(convert.SessionWriter, 'close', close)
    convert_bags([bag], tmp_path / 'data', progress=False)
    for one, other in zip(shards(tmp_path / 'whole'), shards(tmp_path / 'data'), strict=True):
        assert all((one[k] == other[k]).all() for k in one)


def test_long_episodes_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, 'PART_FRAMES', 40)
    bag = write(tmp_path / 'bag', TWO.but(words=((0, 'wave'),)).messages())
    result = convert_bags([bag], tmp_path / 'data', progress=False)
    assert result['training']['sessions'] == 3 and result['training']['frames'] == 120


def test_other_data_are_not_touched(tmp_path):
    (tmp_path / 'data/training').mkdir(parents=True)
    bag = write(tmp_path / 'bag', Motion().messages())
    with pytest.raises(ValueError, match='holds other data'):
        convert_bags([bag], tmp_path / 'data', progress=False)
    assert not list((tmp_path / 'data/training').iterdir())


def test_command(tmp_path, capsys):
    write(tmp_path / 'bags/good', TWO.messages())
    write(tmp_path / 'bags/bad', [m for m in TWO.messages() if m[1] != '/image_raw'])
    out = tmp_path / 'data'
    arguments = [
        'convert',
        '--bag',
        str(tmp_path / 'bags'),
        '--out',
        str(out),
        '--json',
        str(tmp_path / 'report.json'),
    ]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert '"open the drawer": ' in said and 'REFUSED: no images' in said and '30 Hz' in said
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['training']['annotations'] == 2
    assert cli.main(['convert', '--bag', str(tmp_path / 'none'), '--out', str(out)]) == 1
    assert cli.main([*arguments, '--actions', 'command']) == 2
    bags = str(tmp_path / 'bags')
    assert cli.main(['convert', '--bag', bags, '--out', f'{bags}/.']) == 2
    assert not (tmp_path / 'bags/training').exists()
    write(tmp_path / 'quiet', Motion(words=()).messages())
    assert (
        cli.main(['convert', '--bag', str(tmp_path / 'quiet'), '--out', str(tmp_path / 'q')]) == 1
    )
    assert 'no episode with words' in capsys.readouterr().err
