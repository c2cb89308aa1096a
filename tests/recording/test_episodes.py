# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes: right labels, and every reason to refuse one named."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import (  # noqa: E402
    ARM,
    START_S,
    TWO,
    Motion,
    T,
    floats,
    image,
    joint_state,
    made,
    pictures,
    play,
    shards,
    write,
)

from vw2_ros.arms import open_arm
from vw2_ros.recording.convert import convert_bags  # noqa: E402
from vw2_ros.recording.labels import SCALE, tcp_poses  # noqa: E402


def test_frames_belong_together(tmp_path):
    report = made(tmp_path, TWO.messages())
    assert [e['instruction'] for e in report['episodes']] == ['open the drawer', 'close it']
    # what lies between is 6 frames: too few, and nothing to complain about
    assert not report['refused'] and report['topics']['/image_raw']['hz'] == 30.0
    first, last = shards(tmp_path / 'data')
    for shard, begins in ((first, 0), (last, 66)):
        number = [int(p[0, 0, 0]) + 256 * int(p[0, 0, 1]) for p in pictures(shard)]
        assert number[0] - begins in (0, 1) and (np.diff(number) == 1).all()
        s = np.array(number) / 30
        joints = np.array([TWO.joints(x) for x in s])
        assert np.abs(shard['robot_obs'][:, 7:14] - joints).max() < 1e-3  # in the picture's order
        assert np.abs(shard['robot_obs'][:, 6] / 2 - [TWO.finger_m(x) for x in s]).mean() < 2e-3
        poses = tcp_poses(np.array([TWO.joints(x) for x in [*s, s[-1] + 1 / 30]]), open_arm())
        wanted = np.diff(poses, axis=0) / SCALE
        # commands come 0.4 of a period after the image, and are interpolated
        assert np.abs(shard['rel_actions'][:, :6] - wanted).mean() < 0.05
        assert set(shard['rel_actions'][:, 6]) == {-1.0, 1.0}
        assert 'scene_obs' not in shard and 'landmarks' not in shard
        assert np.isfinite(shard['actions']).all()


@pytest.mark.parametrize('jitter, xyz, rpy', [(0.0, 2e-3, 2e-3), (0.08, 0.04, 0.02)])
def test_labels_are_those_of_the_play_table(tmp_path, jitter, xyz, rpy):
    """The same motion, once as it was commanded and once from its recording."""
    bag = tmp_path / 'bag'
    joints, actions, _ = play(bag, ['open_drawer', 'lift_red_block_table'], jitter=jitter, px=16)
    errors = {}
    for source in ('commands', 'joints'):
        out = tmp_path / source
        convert_bags([bag], out, image='static/image_raw', actions=source, progress=False)
        wrong = []
        for shard in shards(out):
            for at, action in zip(shard['robot_obs'][:, 7:14], shard['rel_actions']):
                same = np.abs(joints - at).max(1).argmin()
                wrong.append(np.abs(action - actions[same]))
        wrong = np.array(wrong)  # (n, 7)
        assert len(wrong) > 0.9 * len(actions) - 6
        errors[source] = wrong[:, :3].mean(), wrong[:, 3:6].mean(), (wrong[:, 6] > 1).mean()
    assert errors['commands'][0] < xyz and errors['commands'][1] < rpy
    assert errors['commands'][2] < 0.03
    # what the arm did comes after what it was told
    assert 0.01 < errors['joints'][0] < 0.08 and errors['joints'][2] < 0.08


def test_names_not_order_and_fingers_of_their_own(tmp_path):
    swapped = Motion(names=tuple(ARM), finger=False, command_hz=0)
    messages = swapped.messages()
    for i in range(60):
        at = START_S + i / 30
        messages.append(
            (
                at,
                '/joint_states',
                joint_state(at, ['panda_finger_joint1'], [swapped.finger_m(i / 30)]),
            )
        )
    report = made(tmp_path, messages)
    (episode,) = report['episodes']
    assert episode['actions'] == 'joints' and episode['gripper'] == 'fingers'
    assert 'no joint_commands' in episode['note']
    (shard,) = shards(tmp_path / 'data')
    opens = shard['rel_actions'][:, 6]
    assert (opens[:27] == 1).all() and (opens[33:] == -1).all()


def test_positions_and_gripper_topics(tmp_path):
    motion = Motion(command_hz=0, finger=False)
    messages = motion.messages()
    for i in range(62):
        at, s = START_S + (i - 0.6) / 30, (i + 0.4) / 30
        messages.append((at, '/commands', floats(motion.joints(s))))
        messages.append((at, '/gripper_command', floats([motion.finger_m(s)])))
    (episode,) = made(tmp_path, messages)['episodes']
    assert episode['actions'] == episode['gripper'] == 'commands'
    (shard,) = shards(tmp_path / 'data')
    assert np.abs(shard['rel_actions'][:, :3]).max() > 0.2
    assert set(shard['rel_actions'][:, 6]) == {-1.0, 1.0}


def test_namespace_compressed_images_and_sqlite(tmp_path):
    motion = Motion(lead='/left/arm/')
    messages = []
    for at, topic, (kind, message) in motion.messages():
        if topic.endswith('image_raw'):
            rgb = np.ascontiguousarray(message.data.reshape(message.height, message.width, 3))
            data = cv2.imencode('.png', rgb[..., ::-1])[1].reshape(-1)
            kind, topic = 'sensor_msgs/msg/CompressedImage', f'{topic}/compressed'
            message = T[kind](message.header, 'png', data)
        messages.append((at, topic, (kind, message)))
    bag = write(tmp_path / 'bag', messages, storage='sqlite3')
    result = convert_bags([bag], tmp_path / 'data', progress=False)
    assert result['training']['annotations'] == 1
    (shard,) = shards(tmp_path / 'data')
    assert (pictures(shard)[9] == motion.picture(int(pictures(shard)[9][0, 0, 0]))).all()


def test_a_large_picture_is_cut_square(tmp_path):
    messages = [m for m in Motion().messages() if m[1] != '/image_raw']
    wide = np.zeros((240, 320, 3), np.uint8)
    wide[:, :40], wide[:, 40:280] = 255, 9
    messages += [
        (START_S + i / 30, '/image_raw', image(START_S + i / 30, wide)) for i in range(61)
    ]
    made(tmp_path, messages)
    picture = pictures(shards(tmp_path / 'data')[0])[0]
    assert picture.shape == (200, 200, 3) and (picture == 9).all()


@pytest.mark.parametrize('image_hz', [15.0, 60.0])
def test_cameras_of_other_rates(tmp_path, image_hz):
    made(tmp_path, Motion(image_hz=image_hz).messages())
    (shard,) = shards(tmp_path / 'data')
    assert 55 <= len(shard['frame_ids']) <= 61
    number = np.array([int(p[0, 0, 0]) for p in pictures(shard)])
    assert (number[-1] - number[0]) / len(number) == pytest.approx(image_hz / 30, rel=0.1)


def test_bag_without_words(tmp_path):
    motion = Motion(words=())
    bag = write(tmp_path / 'bag', motion.messages())
    result = convert_bags([bag], tmp_path / 'a', instruction='wave', progress=False)
    assert result['training']['annotations'] == 1
    result = convert_bags([bag], tmp_path / 'b', progress=False)
    assert result['training'] == {'sessions': 1, 'frames': 60, 'ranges': 1, 'annotations': 0}


def test_what_was_said_after_the_last_picture(tmp_path):
    motion = Motion(seconds=2.0, words=((0.0, 'wave'), (5.0, '')))
    (episode,) = made(tmp_path, motion.messages())['episodes']
    assert episode['to_s'] == pytest.approx(2.0) and episode['lost'] < 0.05


def test_standing_still_is_not_in_the_words(tmp_path):
    class Late(Motion):
        def joints(self, s):
            return super().joints(min(max(s, 1.0), 2.0))

        def finger_m(self, s):
            return 0.04

    (episode,) = made(tmp_path, Late(seconds=3.0).messages())['episodes']
    assert episode['frames'] > 85 and 28 <= episode['shown'] <= 44


def without(messages, topic, begin, end):
    """Messages but those of a topic that came between two seconds."""
    return [m for m in messages if m[1] != topic or not begin <= m[0] - START_S < end]


def test_images_that_stop(tmp_path):
    report = made(tmp_path, without(TWO.messages(), '/image_raw', 0.5, 1.5))
    (refused,) = report['refused']
    assert refused['instruction'] == 'open the drawer' and 'without image 4' in refused['reason']
    assert [e['instruction'] for e in report['episodes']] == ['close it']  # the other goes on
    assert report['topics']['/image_raw']['longest_gap_ms'] == pytest.approx(1033, abs=40)


def test_a_short_gap_cuts_the_range(tmp_path):
    long = Motion(seconds=4.0)
    made(tmp_path, without(long.messages(), '/joint_states', 1.0, 1.3))
    markers = json.loads((tmp_path / 'data/training/sessions/session_00000.json').read_text())
    assert len(markers['ranges']) == len(markers['annotations']) == 2
    assert markers['source']['bag'] == 'bag' and markers['source']['actions'] == 'commands'


@pytest.mark.parametrize('number, said', [(np.nan, 'not finite'), (90.0, 'are these degrees')])
def test_bad_joints(tmp_path, number, said):
    messages = []
    for at, topic, (kind, message) in TWO.messages():
        if topic == '/joint_states' and 1.0 < at - START_S < 1.02:
            message.position[message.name.index('panda_joint3')] = number
        messages.append((at, topic, (kind, message)))
    report = made(tmp_path, messages)
    (refused,) = report['refused']
    assert said in refused['reason'] and 'panda_joint3' in refused['reason']
    assert [e['instruction'] for e in report['episodes']] == ['close it']


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(seconds=0.4), 'wanted at least 16'),
        (dict(swing_rad=0.0), 'stand still'),
        (dict(words=((0, '???'),)), 'must hold a word'),
        (dict(finger=False), 'nobody says what the gripper does'),
    ],
)
def test_episodes_that_teach_nothing(tmp_path, change, said):
    motion = Motion(**change)
    if 'swing_rad' in change:
        object.__setattr__(motion, 'finger_m', lambda s: 0.04)
    report = made(tmp_path, motion.messages())
    assert not report['episodes'] and said in report['refused'][0]['reason']
    assert not shards(tmp_path / 'data')


def test_commands_that_nobody_followed(tmp_path):
    motion = Motion()
    messages = []
    for at, topic, (kind, message) in motion.messages():
        if topic == '/joint_commands':
            message.points[0].positions[:7] = motion.joints(0.0) + 1.0
        messages.append((at, topic, (kind, message)))
    (episode,) = made(tmp_path, messages)['episodes']
    assert episode['actions'] == 'joints' and 'away from what it was told' in episode['note']
    result = convert_bags(
        [tmp_path / 'bag'], tmp_path / 'data', actions='commands', progress=False
    )
    (report,) = result['bags'].values()
    assert report['again'] == ['actions'] and not shards(tmp_path / 'data')
    assert 'leave out --actions commands' in report['refused'][0]['reason']
