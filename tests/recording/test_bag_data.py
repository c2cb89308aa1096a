# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Recordings become data: right labels, every fault named, nothing lost, nothing done twice."""

import json
import os
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import (  # noqa: E402
    ARM,
    START_S,
    STORE,
    Motion,
    T,
    floats,
    image,
    joint_state,
    play,
    text,
    trajectory,
    write,
)

from vw2_ros import cli
from vw2_ros.models.data.demonstrations import Demonstrations  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording import bags
from vw2_ros.recording import episodes as bag_data  # noqa: E402
from vw2_ros.recording.labels import SCALE, tcp_poses  # noqa: E402
from vw2_ros.sim.dataset_writer import decode_png  # noqa: E402

TWO = Motion(seconds=4.0, words=((0.0, 'open the drawer'), (2.0, ''), (2.2, 'close it')))


def made(tmp_path, messages, name='bag', **options):
    """Convert one bag; its report."""
    bag = write(tmp_path / name, messages)
    result = bag_data.convert([bag], tmp_path / 'data', progress=False, **options)
    return result['bags'][str(bag)]


def shards(out, split='training'):
    """The sessions' arrays."""
    found = []
    for path in sorted((out / split / 'shards').glob('*.npz')):
        with np.load(path, allow_pickle=False) as archive:
            found.append(dict(archive))
    return found


def pictures(shard):
    at = shard['offsets']
    return [decode_png(shard['rgb_static'][a:b].tobytes()) for a, b in zip(at[:-1], at[1:])]


# ------------------------------------------------------------------------------------- what is right


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
        poses = tcp_poses(np.array([TWO.joints(x) for x in [*s, s[-1] + 1 / 30]]))
        wanted = np.diff(poses, axis=0) / SCALE
        # commands come 0.4 of a period after the image, and are interpolated
        assert np.abs(shard['rel_actions'][:, :6] - wanted).mean() < 0.05
        assert set(shard['rel_actions'][:, 6]) == {-1.0, 1.0}
        assert 'scene_obs' not in shard and 'landmarks' not in shard
        assert np.isfinite(shard['actions']).all()


def test_training_reads_it(tmp_path):
    made(tmp_path, TWO.messages())
    store = FrameStore([tmp_path / 'data'], size=16)
    demos = Demonstrations(store)
    assert demos.phrases == {'open the drawer': ['open the drawer'], 'close it': ['close it']}
    actions, valid = demos.chunk(demos.draw(np.random.default_rng(0), 8))
    assert actions.shape == (8, 16, 7) and valid.any() and np.isfinite(actions).all()
    assert np.isnan(store.scene_obs).all() and np.isfinite(store.robot_obs).all()


@pytest.mark.parametrize('jitter, xyz, rpy', [(0.0, 2e-3, 2e-3), (0.08, 0.04, 0.02)])
def test_labels_are_those_of_the_play_table(tmp_path, jitter, xyz, rpy):
    """The same motion, once as it was commanded and once from its recording."""
    bag = tmp_path / 'bag'
    joints, actions, _ = play(bag, ['open_drawer', 'lift_red_block_table'], jitter=jitter, px=16)
    errors = {}
    for source in ('commands', 'joints'):
        out = tmp_path / source
        bag_data.convert([bag], out, image='static/image_raw', actions=source, progress=False)
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
    result = bag_data.convert([bag], tmp_path / 'data', progress=False)
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
    result = bag_data.convert([bag], tmp_path / 'a', instruction='wave', progress=False)
    assert result['training']['annotations'] == 1
    result = bag_data.convert([bag], tmp_path / 'b', progress=False)
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


# ------------------------------------------------------------------------------------------- clocks


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


# ---------------------------------------------------------------------------------- what is refused


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
    assert '--limits' in report['error']


def test_several_cameras(tmp_path):
    messages = [
        (at, '/a/image_raw' if t == '/image_raw' else t, m) for at, t, m in Motion().messages()
    ]
    messages += [(at, '/b/image_raw', m) for at, t, m in messages if t == '/a/image_raw']
    bag = write(tmp_path / 'bag', messages)
    result = bag_data.convert([bag], tmp_path / 'data', progress=False)
    assert 'Say with --image' in result['bags'][str(bag)]['error']
    result = bag_data.convert([bag], tmp_path / 'data', image='/b/image_raw', progress=False)
    assert result['training']['annotations'] == 1  # the refused bag was tried again


def test_commands_that_nobody_followed(tmp_path):
    motion = Motion()
    messages = []
    for at, topic, (kind, message) in motion.messages():
        if topic == '/joint_commands':
            message.points[0].positions[:7] = motion.joints(0.0) + 1.0
        messages.append((at, topic, (kind, message)))
    (episode,) = made(tmp_path, messages)['episodes']
    assert episode['actions'] == 'joints' and 'away from what it was told' in episode['note']
    with pytest.raises(ValueError, match='data made with'):
        bag_data.convert([tmp_path / 'bag'], tmp_path / 'data', actions='commands', progress=False)
    result = bag_data.convert(
        [tmp_path / 'bag'], tmp_path / 'c', actions='commands', progress=False
    )
    (report,) = result['bags'].values()
    assert 'leave out --actions commands' in report['refused'][0]['reason']


def test_trajectories_of_many_points_are_left_out(tmp_path):
    motion = Motion(command_hz=0)
    messages = motion.messages() + [
        (START_S + 1, '/joint_commands', trajectory(START_S + 1, ARM, motion.joints(2), points=3))
    ]
    report = made(tmp_path, messages)
    assert 'trajectory of 3 points' in str(report['topics']['/joint_commands']['refused'])
    assert report['episodes'][0]['actions'] == 'joints'


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


# ---------------------------------------------------------------------- bags that end too early


def cut(path, data):
    """Write a file as if that was long ago."""
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))


def test_a_bag_that_was_cut(tmp_path):
    bag = write(tmp_path / 'bag', TWO.messages())
    (file,) = bags.files_of(bag)
    whole = file.read_bytes()
    (bag / 'metadata.yaml').unlink()
    # after the last whole chunk of some: its index at the end is gone
    cut(file, whole[: -len(whole) // 3])
    report = bag_data.convert([bag], tmp_path / 'a', progress=False)['bags'][str(bag)]
    assert 'cut_short' in report or 'error' in report
    cut(file, whole[:200])
    report = bag_data.convert([bag], tmp_path / 'b', progress=False)['bags'][str(bag)]
    assert 'no whole message' in report['error']
    cut(file, b'')
    report = bag_data.convert([bag], tmp_path / 'b', progress=False)['bags'][str(bag)]
    assert 'cannot be read' in report['error']
    file.unlink()
    with pytest.raises(ValueError, match='holds no bag'):
        bag_data.convert([bag], tmp_path / 'b', progress=False)


def test_what_a_killed_writer_leaves(tmp_path):
    from vw2_ros.recording.writer import BagWriter

    writer = BagWriter(tmp_path / 'bag')
    for at, topic, (kind, message) in sorted(TWO.messages(), key=lambda m: m[0]):
        writer.put(topic, kind, round(at * 1e9), bytes(STORE.serialize_cdr(message, kind)))
    time.sleep(1.0)  # it writes what is older than FLUSH_S
    assert not (tmp_path / 'bag/metadata.yaml').exists()
    (left,) = (tmp_path / 'bag').iterdir()
    copy = tmp_path / 'killed' / left.name
    copy.parent.mkdir()
    cut(copy, left.read_bytes())
    with pytest.raises(ValueError, match='still being written'):
        bags.Bag(left)
    writer.close()
    closed = bag_data.convert([tmp_path / 'bag'], tmp_path / 'a', progress=False)
    killed = bag_data.convert([tmp_path / 'killed'], tmp_path / 'b', progress=False)
    assert closed['training'] == killed['training']
    (report,) = killed['bags'].values()
    assert 'cut_short' in report
    for one, other in zip(shards(tmp_path / 'a'), shards(tmp_path / 'b'), strict=True):
        assert all((one[k] == other[k]).all() for k in one)


def test_a_writer_refuses_what_exists_and_a_full_disk(tmp_path, monkeypatch):
    from vw2_ros.recording import writer as bag_writer

    with pytest.raises(ValueError, match='exists'):
        bag_writer.BagWriter(tmp_path)
    monkeypatch.setattr(bag_writer, 'FREE_BYTES', 1 << 60)
    with pytest.raises(ValueError, match='GB left'):
        bag_writer.BagWriter(tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()


def test_a_slow_disk_drops_and_counts(tmp_path, monkeypatch):
    from vw2_ros.recording import writer as bag_writer

    monkeypatch.setattr(bag_writer, 'QUEUE_BYTES', 1000)
    writer = bag_writer.BagWriter(tmp_path / 'bag')
    data = bytes(STORE.serialize_cdr(text('x' * 900)[1], 'std_msgs/msg/String'))
    with writer._lock:  # the thread cannot take anything off
        writer._waiting_bytes = 900
    assert not writer.put('/a', 'std_msgs/msg/String', 1, data)
    with writer._lock:
        writer._waiting_bytes = 0
    assert writer.put('/a', 'std_msgs/msg/String', 2, data)
    writer.close()
    assert writer.dropped == {'/a': 1} and writer.written == 1


# ------------------------------------------------------------------------------------ going on


def test_bags_are_added_and_none_counts_twice(tmp_path):
    first = write(tmp_path / 'bags/one', TWO.messages())
    out = tmp_path / 'data'
    bag_data.convert([first], out, progress=False)
    before = {p: p.read_bytes() for p in (out / 'training/shards').iterdir()}
    write(tmp_path / 'bags/two', TWO.but(swing_rad=0.1).messages())
    result = bag_data.convert([tmp_path / 'bags'], out, progress=False)
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
    result = bag_data.convert([bag], tmp_path / 'data', progress=False)
    assert result['training']['annotations'] == 19 and result['validation']['annotations'] == 2


def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch):
    bag = write(tmp_path / 'bag', TWO.messages())
    bag_data.convert([bag], tmp_path / 'whole', progress=False)
    close = bag_data.SessionWriter.close

    def interrupted(self, *args, **kwargs):
        if self.session == 1:
            raise KeyboardInterrupt
        return close(self, *args, **kwargs)

    monkeypatch.setattr(bag_data.SessionWriter, 'close', interrupted)
    with pytest.raises(KeyboardInterrupt):
        bag_data.convert([bag], tmp_path / 'data', progress=False)
    assert len(FrameStore([tmp_path / 'data'], size=16)) > 50  # the index holds what is finished
    monkeypatch.setattr(bag_data.SessionWriter, 'close', close)
    bag_data.convert([bag], tmp_path / 'data', progress=False)
    for one, other in zip(shards(tmp_path / 'whole'), shards(tmp_path / 'data'), strict=True):
        assert all((one[k] == other[k]).all() for k in one)


def test_long_episodes_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(bag_data, 'PART_FRAMES', 40)
    bag = write(tmp_path / 'bag', TWO.but(words=((0, 'wave'),)).messages())
    result = bag_data.convert([bag], tmp_path / 'data', progress=False)
    assert result['training']['sessions'] == 3 and result['training']['frames'] == 120


def test_other_data_are_not_touched(tmp_path):
    (tmp_path / 'data/training').mkdir(parents=True)
    bag = write(tmp_path / 'bag', Motion().messages())
    with pytest.raises(ValueError, match='holds other data'):
        bag_data.convert([bag], tmp_path / 'data', progress=False)
    assert not list((tmp_path / 'data/training').iterdir())


# -------------------------------------------------------------------------------- the command line


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
    write(tmp_path / 'quiet', Motion(words=()).messages())
    assert (
        cli.main(['convert', '--bag', str(tmp_path / 'quiet'), '--out', str(tmp_path / 'q')]) == 1
    )
    assert 'no episode with words' in capsys.readouterr().err


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
    track = bag_data.Track('joint_states')
    for i, stamp in enumerate(stamps):
        track.add(i, stamp * 10**9, None)
    assert track.stamped is relied_on
