# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Topics become tracks: of one clock, chosen by name, each fault named."""

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import ARM, START_S, TWO, Motion, made, shards, trajectory, write  # noqa: E402

from vw2_ros.recording.convert import convert_bags  # noqa: E402
from vw2_ros.recording.tracks import Track  # noqa: E402


def test_messages_without_stamps_count_by_arrival(tmp_path):
    report = made(tmp_path, TWO.but(stamps=False).messages())
    assert {t['clock'] for t in report['topics'].values()} == {'arrival'}
    assert len(report['episodes']) == 2


def test_clocks_that_disagree(tmp_path):
    report = made(tmp_path, TWO.but(joint_clock_s=-3.0).messages())
    assert report['topics']['/joint_states']['clock'] == 'arrival (stamps of topics disagree)'
    assert report['topics']['/joint_states']['latency_ms'] == pytest.approx(3004, abs=1)
    joints = shards(tmp_path / 'data')[0]['robot_obs'][:, 7:14]
    assert np.abs(joints[0] - TWO.joints(0)).max() < 0.02


@pytest.mark.parametrize('slower', [1, 8])
def test_stamps_of_a_simulation(tmp_path, slower):
    """Stamps from zero on, arrival by the wall clock: the words, which have no stamp, still fit."""
    messages = []
    for at, topic, (kind, message) in TWO.messages():
        if hasattr(message, 'header'):
            message.header.stamp.sec -= int(START_S) - 5
        late = 0.2 * (topic == '/joint_commands') * (slower > 1)
        messages.append((START_S + (at - START_S) * slower + late, topic, (kind, message)))
    report = made(tmp_path, messages)
    assert report['topics']['/image_raw']['clock'] == 'stamps'
    assert report['topics']['/image_raw']['latency_ms'] is None
    assert [e['instruction'] for e in report['episodes']] == ['open the drawer', 'close it']
    assert report['episodes'][1]['from_s'] == pytest.approx(2.2, abs=0.02)


@pytest.mark.parametrize(
    'topic, said',
    [('/image_raw', 'image topics there: none'), ('/joint_states', 'no topic joint_states')],
)
def test_missing_topics(tmp_path, topic, said):
    report = made(tmp_path, [m for m in TWO.messages() if m[1] != topic])
    assert said in report['error']


def test_another_arm(tmp_path):
    ur = [f'elbow_{i}' for i in range(7)]
    report = made(tmp_path, Motion(names=tuple(ur)).messages())
    assert 'it had' in report['error'] and 'elbow_3' in report['error']
    assert '--contract' in report['error']


def test_several_cameras(tmp_path):
    messages = [
        (at, '/a/image_raw' if t == '/image_raw' else t, m) for at, t, m in Motion().messages()
    ]
    messages += [(at, '/b/image_raw', m) for at, t, m in messages if t == '/a/image_raw']
    bag = write(tmp_path / 'bag', messages)
    result = convert_bags([bag], tmp_path / 'data', progress=False)
    assert 'Say with --image' in result['bags'][str(bag)]['error']
    result = convert_bags([bag], tmp_path / 'data', image='/b/image_raw', progress=False)
    assert result['training']['annotations'] == 1  # the refused bag was tried again


def test_trajectories_of_many_points_are_left_out(tmp_path):
    motion = Motion(command_hz=0)
    messages = motion.messages() + [
        (START_S + 1, '/joint_commands', trajectory(START_S + 1, ARM, motion.joints(2), points=3))
    ]
    report = made(tmp_path, messages)
    assert 'trajectory of 3 points' in str(report['topics']['/joint_commands']['refused'])
    assert report['episodes'][0]['actions'] == 'joints'


@pytest.mark.parametrize(
    'stamps, relied_on',
    [
        (range(1, 30), True),
        ([1, 1, 2, 3, 3, 4, 5, 5, 6], True),
        ([7] * 9, False),
        ([0, *range(1, 30)], False),
        ([5, 6, 7, 1, 2, 3, 1, 2, 3], False),
    ],
    ids=['grow', 'sent again', 'stand still', 'zero', 'jump'],
)
def test_stamps_are_relied_on_where_they_grow(stamps, relied_on):
    track = Track('joint_states')
    for i, stamp in enumerate(stamps):
        track.add(i, stamp * 10**9, None)
    assert track.stamped is relied_on
