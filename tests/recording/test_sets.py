# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets become data for the action head."""

import json
import re
import shutil

import numpy as np
import pytest

pa = pytest.importorskip('pyarrow')
pq = pytest.importorskip('pyarrow.parquet')
pytest.importorskip('rosbags')

import lerobot_files  # noqa: E402
from bag_files import shards  # noqa: E402
from lerobot_files import FRONT, JOINTS, SCALE, WRIST, motion, write_set  # noqa: E402
from video_files import number  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.recording.sets import convert_sets  # noqa: E402
from vw2_ros.recording.told import tell  # noqa: E402
from vw2_ros.sim.dataset_writer import decode_png  # noqa: E402

HAND = {'column': -1, 'open': 1.0, 'closed': 0.0}
RAD = {'form': 'joints', 'angle': 'rad', 'gripper': HAND}


def converted(tmp_path, root, spec, out='data', **options):
    """The arrays of the sessions, and the report."""
    file = lerobot_files.contract(tmp_path / 'arm.yaml', **spec)
    out = tmp_path / out
    result = convert_sets([root], out, contract=file, progress=False, **options)
    return shards(out), result['bags'][str(root)]


def joint_set(root, count=2, unit=1.0, n=60, **options):
    """Episodes of joints and the gripper."""
    episodes, made = [], [motion(n, options.get('fps', 30), 0.7 * i) for i in range(count)]
    for i, m in enumerate(made):
        state = np.column_stack([m['joints'] * unit, m['open']])
        action = np.column_stack([m['told'] * unit, m['open']])
        episodes.append(lerobot_files.episode(state, action, f'task {i}', 10 * i))
    return write_set(root, episodes, **options), made


def expected(poses):
    """The actions that lead along poses (n + 1, 6)."""
    return np.diff(poses, axis=0) / SCALE


def shown(shard):
    """Which pictures a shard holds."""
    ends = shard['offsets']
    data = shard['rgb_static'].tobytes()
    return [int(number(decode_png(data[a:b]))) for a, b in zip(ends[:-1], ends[1:])]


@pytest.mark.parametrize('filmed', [False, True])
@pytest.mark.parametrize('version', ['v2.0', 'v2.1', 'v3.0'])
def test_joints(tmp_path, version, filmed):
    root, made = joint_set(tmp_path / 'set', version=version, filmed=filmed)
    found, report = converted(tmp_path, root, RAD)
    assert report['set']['camera'] == FRONT and report['set']['cameras'] == [FRONT, WRIST]
    assert [e['instruction'] for e in report['episodes']] == ['task 0', 'task 1']
    for i, (shard, m) in enumerate(zip(found, made, strict=True)):
        np.testing.assert_allclose(
            shard['rel_actions'][:, :6], expected(m['told_poses']), atol=1e-4
        )
        assert (shard['rel_actions'][:, 6] == np.where(m['open'][1:] > 0, 1, -1)).all()
        np.testing.assert_allclose(shard['robot_obs'][:, 7:14], m['joints'][1:], atol=1e-6)
        assert shown(shard) == [(10 * i + k) % 50 for k in range(1, 60)]


def test_another_camera_by_name(tmp_path):
    root, _ = joint_set(tmp_path / 'set', 1)
    found, report = converted(tmp_path, root, RAD | {'camera': WRIST})
    assert report['set']['camera'] == WRIST
    assert decode_png(found[0]['rgb_static'].tobytes()[: found[0]['offsets'][1]]).mean() > 180
    file = str(tmp_path / 'arm.yaml')
    result = convert_sets([root], tmp_path / 'other', contract=file, camera='top', progress=False)
    assert f'no camera top; cameras there: {FRONT}, {WRIST}' in result['bags'][str(root)]['error']


def pose_set(root, form, **spec):
    m = motion()
    told = m['told_poses'].copy()
    state = m['poses'].copy()
    if form == 'delta':
        told = np.diff(np.concatenate([m['poses'][:1], m['told_poses']]), axis=0)
    if spec.get('rotation') == 'quaternion':
        told, state = lerobot_files.quaternions(told), lerobot_files.quaternions(state)
    if spec.get('angle') == 'deg':
        told[:, 3:], state[:, 3:] = np.degrees(told[:, 3:]), np.degrees(state[:, 3:])
    if spec.get('length') == 'mm':
        told[:, :3], state[:, :3] = told[:, :3] * 1e3, state[:, :3] * 1e3
    hand = 100 * m['open']
    one = lerobot_files.episode(np.column_stack([state, hand]), np.column_stack([told, hand]))
    return write_set(root, [one]), m


@pytest.mark.parametrize(
    ('form', 'spec'),
    [
        ('pose', {'length': 'm', 'rotation': 'quaternion'}),
        ('pose', {'length': 'mm', 'rotation': 'euler', 'angle': 'deg'}),
        ('delta', {'length': 'm', 'rotation': 'euler', 'angle': 'rad'}),
        ('delta', {'length': 'mm', 'rotation': 'euler', 'angle': 'deg'}),
    ],
)
def test_poses_of_the_tool(tmp_path, form, spec):
    root, m = pose_set(tmp_path / 'set', form, **spec)
    hand = {'column': -1, 'open': 100, 'closed': 0}
    (shard,), _ = converted(tmp_path, root, {'form': form, 'gripper': hand, **spec})
    poses = m['told_poses']
    if form == 'delta':  # the first one starts from where the arm is
        poses = np.concatenate([m['poses'][:1], poses])
    np.testing.assert_allclose(shard['rel_actions'][:, :6], expected(poses), atol=2e-4)
    np.testing.assert_allclose(shard['robot_obs'][:, 6], 0.08 * m['open'][-len(shard['scene']) :])


def test_actions_of_the_states(tmp_path):
    root, made = joint_set(tmp_path / 'set', 1)
    (shard,), report = converted(tmp_path, root, RAD | {'form': 'none'})
    np.testing.assert_allclose(shard['rel_actions'][:, :6], expected(made[0]['poses']), atol=1e-4)
    assert report['episodes'][0]['gripper'] == 'fingers'
    closed = np.flatnonzero(made[0]['open'] == 0)[0]
    assert shard['rel_actions'][closed, 6] == -1 and shard['rel_actions'][closed - 2, 6] == 1


@pytest.mark.parametrize('fps', [10, 15, 50])
def test_other_rates_are_brought_to_thirty(tmp_path, fps):
    root, made = joint_set(tmp_path / 'set', 1, n=2 * fps, fps=fps)
    (shard,), _ = converted(tmp_path, root, RAD)
    told = made[0]['told_poses']
    n = len(shard['scene'])
    assert abs(n - 30 * (2 - 1 / fps)) <= 1
    way = shard['rel_actions'][:, :6].sum(0) * SCALE
    np.testing.assert_allclose(way, told[-1] - told[0], atol=0.01)


def test_words_per_row_and_sets_without_words(tmp_path):
    root, _ = joint_set(tmp_path / 'set', 1)
    (root / 'meta' / 'tasks.parquet').unlink()
    found, report = converted(tmp_path, root, RAD, instruction='wave')
    assert [e['instruction'] for e in report['episodes']] == ['wave']


def test_a_failure_is_no_demonstration(tmp_path):
    m = motion()
    rows = np.column_stack([m['joints'], m['open']])
    one, two = (lerobot_files.episode(rows, rows, success=s) for s in (True, False))
    root = write_set(tmp_path / 'set', [one, two])
    found, report = converted(tmp_path, root, RAD)
    assert len(found) == 1
    assert 'next.success is never true' in report['refused'][0]['reason']


def test_once_and_resumed(tmp_path, monkeypatch):
    from vw2_ros.recording import sets

    root, _ = joint_set(tmp_path / 'set', 3)
    whole, _ = converted(tmp_path, root, RAD)
    close = sets.SetConversion._session

    def interrupted(self, part, *more):
        if part.number == 1:
            raise KeyboardInterrupt
        return close(self, part, *more)

    file, out = str(tmp_path / 'arm.yaml'), tmp_path / 'again'
    monkeypatch.setattr(sets.SetConversion, '_session', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_sets([root], out, contract=file, progress=False)
    assert len(FrameStore([out], size=16)) == 59
    monkeypatch.setattr(sets.SetConversion, '_session', close)
    convert_sets([root], out, contract=file, progress=False)
    for one, other in zip(whole, shards(out), strict=True):
        assert all((one[k] == other[k]).all() for k in one)
    result = convert_sets([root], out, contract=file, progress=False)
    assert result['bags'][str(root)]['skipped'] == 'already there'
    assert result['training']['sessions'] == 3


@pytest.mark.parametrize(
    ('spec', 'said'),
    [
        ({}, r'contract arm.yaml: lerobot is missing.*lerobot.form \(joints, pose, delta, none\)'),
        (RAD | {'angle': 'deg'}, r'lerobot.angle .*radians\?'),
        (RAD | {'form': 'angles'}, 'lerobot.form must be one of joints, pose, delta, none'),
        (RAD | {'columns': ['a', 'b']}, 'lerobot.columns must be 7 columns. Got 2'),
        (RAD | {'columns': [0, 1, 2, 3, 4, 5, 9]}, 'lerobot.columns must be columns of action'),
        (RAD | {'action': 'actions'}, "lerobot.action must be a feature of .*'actions'"),
        (RAD | {'gripper': HAND | {'open': 0.5}}, 'lerobot.gripper.open .*goes from 0 to 1'),
        (RAD | {'gripper': HAND | {'open': 100}}, 'lerobot.gripper.open .*only goes from 0 to 1'),
        (RAD | {'gripper': {'column': -1}}, 'lerobot.gripper.open is missing'),
        (RAD | {'units': 'rad'}, "unknown key of lerobot 'units'"),
        (
            {'form': 'pose', 'rotation': 'euler', 'angle': 'rad', 'gripper': HAND},
            'lerobot.length is missing',
        ),
        (
            {'form': 'pose', 'rotation': 'euler', 'angle': 'rad', 'length': 'm', 'gripper': HAND},
            'lerobot.length .* outside the box of limits',
        ),
    ],
)
def test_what_does_not_fit_is_named_by_its_key(tmp_path, capsys, spec, said):
    root, _ = joint_set(tmp_path / 'set', 1)
    file = lerobot_files.contract(tmp_path / 'arm.yaml', **spec)
    command = ['convert', '--lerobot', str(root), '--out', str(tmp_path / 'data')]
    assert cli.main([*command, '--contract', file]) == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error and re.search(said, error), error


def test_degrees(tmp_path):
    root, made = joint_set(tmp_path / 'set', 1, unit=180 / np.pi)
    (shard,), _ = converted(tmp_path, root, RAD | {'angle': 'deg'})
    np.testing.assert_allclose(
        shard['rel_actions'][:, :6], expected(made[0]['told_poses']), atol=1e-3
    )
    with pytest.raises(ValueError, match=r'lerobot.angle \(rad\) does not fit'):
        converted(tmp_path, root, RAD, 'other')


def test_columns_by_name(tmp_path):
    names = ['gripper.pos', *(f'{name}.pos' for name in reversed(JOINTS))]
    m = motion()
    state = np.column_stack([m['open'], m['joints'][:, ::-1]])
    action = np.column_stack([m['open'], m['told'][:, ::-1]])
    root = write_set(tmp_path / 'set', [lerobot_files.episode(state, action)], names=names)
    hand = HAND | {'column': 'gripper.pos'}
    (shard,), _ = converted(tmp_path, root, RAD | {'gripper': hand})
    np.testing.assert_allclose(shard['rel_actions'][:, :6], expected(m['told_poses']), atol=1e-4)


def test_a_damaged_file_costs_its_episode(tmp_path):
    root, _ = joint_set(tmp_path / 'set', version='v2.1')
    (path,) = root.rglob('episode_000000.parquet')
    path.write_bytes(path.read_bytes()[:500])
    found, report = converted(tmp_path, root, RAD)
    assert len(found) == 1 and [e['episode'] for e in report['episodes']] == [1]
    assert all('episode_000000.parquet' in e['reason'] for e in report['refused'])
    assert {e['episode'] for e in report['refused']} == {0}


def test_a_film_that_is_missing_is_no_episode_that_was_read(tmp_path):
    root, _ = joint_set(tmp_path / 'set', version='v2.1', filmed=True)
    next(root.glob(f'videos/*/{FRONT}/episode_000000.mp4')).unlink()
    found, report = converted(tmp_path, root, RAD)
    assert len(found) == 1 and [e['episode'] for e in report['episodes']] == [1]
    lines = list(tell({'bags': {'set': report}, 'edits_gone': 0, 'left_out': {}}))
    assert [line for line in lines if 'episode 0' in line and 'No such file' in line]


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
@pytest.mark.parametrize('task', [['open it'], 7])
def test_a_task_must_be_text(tmp_path, version, task):
    root, _ = joint_set(tmp_path / 'set', 1, version=version)
    if version == 'v3.0':
        pq.write_table(pa.table({'task_index': [0], 'task': [task]}), root / 'meta/tasks.parquet')
    else:
        line = json.dumps({'task_index': 0, 'task': task})
        (root / 'meta/tasks.jsonl').write_text(line + '\n')
    _, report = converted(tmp_path, root, RAD)
    assert 'a task must be text' in str(report) and not report.get('episodes')


def test_words_that_no_policy_reads_are_told(tmp_path):
    m = motion(20)
    state = np.column_stack([m['joints'], m['open']])
    one = lerobot_files.episode(state, state, ' '.join(['open'] * 17))
    _, report = converted(tmp_path, write_set(tmp_path / 'set', [one]), RAD)
    lines = list(tell({'bags': {'set': report}, 'edits_gone': 0, 'left_out': {}}))
    assert [line for line in lines if 'TOO LONG: 17 words' in line]


def test_a_set_that_is_written_again_is_read_again(tmp_path):
    for unit in (1.0, 0.9):
        root, (m,) = joint_set(tmp_path / 'set', 1, unit)
        (shard,), _ = converted(tmp_path, root, RAD, f'data_{unit}')
        joints = unit * m['joints'][1:]
        np.testing.assert_allclose(shard['robot_obs'][:, 7:14], joints, atol=1e-6)
        shutil.rmtree(root)


def test_the_head_learns_from_a_set(tmp_path):
    """`vw2 train head` takes it as it is, and leaves a card."""
    root, _ = joint_set(tmp_path / 'set')
    file = lerobot_files.contract(tmp_path / 'arm.yaml', **RAD)
    out = tmp_path / 'run'
    command = ['train', 'head', '--scratch', '--config', 'tiny', '--data', str(root)]
    assert cli.main([*command, '--contract', file, '--out', str(out)]) == 0
    card = (out / 'policy/README.md').read_text()
    assert '## Command' in card and '| planner.safetensors | ' in card and 'task 0' in card
