# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LeRobot data sets with actions and states, as other projects write them, of a Panda's motion."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from video_files import pictures, png, write_video

from vw2_ros.arms import open_arm
from vw2_ros.arms.geometry import euler_to_quaternion, matrix_to_euler
from vw2_ros.files import config_file

FRONT = 'observation.images.front'
WRIST = 'observation.images.wrist'
JOINTS = [f'panda_joint{i + 1}' for i in range(7)]
SCALE = np.repeat([0.02, 0.05], 3)


def joints_at(s):
    """Joints (n, 7) [rad] at times (n,) [s]: all of them swing."""
    s = np.asarray(s, float)[:, None]
    return open_arm().rest_rad + 0.15 * np.sin(2 * np.pi * 0.5 * s + np.arange(7))


def open_at(s):
    """Whether the gripper is open at times (n,) [s]."""
    return (np.asarray(s) % 2.0 < 1.0).astype(float)


def poses_of(joints):
    """Poses (n, 6) of the tool: xyz [m], Euler angles [rad]."""
    found = [np.append(at, matrix_to_euler(turn)) for at, turn in map(open_arm().forward, joints)]
    found = np.array(found)
    found[:, 3:] = np.unwrap(found[:, 3:], axis=0)
    return found


def motion(n=60, fps=30, begin=0.0):
    """States and actions of n rows: joints [rad], poses and how far the gripper is open."""
    s = begin + np.arange(n) / fps
    return {
        'joints': joints_at(s),
        'told': joints_at(s + 1 / fps),
        'poses': poses_of(joints_at(s)),
        'told_poses': poses_of(joints_at(s + 1 / fps)),
        'open': open_at(s),
    }


def quaternions(poses):
    """Poses (n, 6) as (n, 7): xyz and a quaternion."""
    return np.column_stack([poses[:, :3], [euler_to_quaternion(p[3:]) for p in poses]])


def episode(state, action, words='open the drawer', first=0, **more):
    """Rows of one episode; picture i shows the number first + i."""
    return {
        'observation.state': np.asarray(state, np.float32),
        'action': np.asarray(action, np.float32),
        'words': words,
        'pictures': pictures(len(state), first),
        **more,
    }


def write_set(root, episodes, version='v3.0', filmed=False, fps=30, names=None, info=None):
    """A data set. names: of the columns of state and action. info: of the feature `action`."""
    v3 = version.startswith('v3')
    tasks = list(dict.fromkeys(e['words'] for e in episodes))
    if v3:
        data = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
        video = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
    else:
        data = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
        video = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'
    tables = [_table(e, number, tasks, filmed, fps) for number, e in enumerate(episodes)]
    if v3:
        _write(pa.concat_tables(tables), root / data.format(chunk_index=0, file_index=0))
    for number, table in enumerate(tables if not v3 else ()):
        _write(table, root / data.format(episode_chunk=0, episode_index=number))
    for key in (FRONT, WRIST) if filmed else ():
        shown = [[255 - p if key == WRIST else p for p in e['pictures']] for e in episodes]
        if v3:
            path = root / video.format(video_key=key, chunk_index=0, file_index=0)
            write_video(path, sum(shown, []), fps)
        for number, frames in enumerate(shown if not v3 else ()):
            path = video.format(video_key=key, episode_chunk=0, episode_index=number)
            write_video(root / path, frames, fps)
    meta = root / 'meta'
    meta.mkdir(parents=True, exist_ok=True)
    lengths = [len(e['pictures']) for e in episodes]
    if v3:
        begins = np.cumsum([0, *lengths])
        rows = [
            {'episode_index': i, 'length': n, 'tasks': [e['words']]}
            | {'data/chunk_index': 0, 'data/file_index': 0}
            | {
                f'videos/{key}/{what}': value
                for key in ((FRONT, WRIST) if filmed else ())
                for what, value in (
                    ('chunk_index', 0),
                    ('file_index', 0),
                    ('from_timestamp', begins[i] / fps),
                    ('to_timestamp', begins[i + 1] / fps),
                )
            }
            for i, (e, n) in enumerate(zip(episodes, lengths))
        ]
        _write(pa.Table.from_pylist(rows), meta / 'episodes/chunk-000/file-000.parquet')
        _write(
            pa.table({'task_index': list(range(len(tasks))), '__index_level_0__': tasks}),
            meta / 'tasks.parquet',
        )
    else:
        lines = [{'task_index': i, 'task': task} for i, task in enumerate(tasks)]
        _lines(meta / 'tasks.jsonl', lines)
        _lines(
            meta / 'episodes.jsonl',
            [
                {'episode_index': i, 'tasks': [e['words']], 'length': n}
                for i, (e, n) in enumerate(zip(episodes, lengths))
            ],
        )
    (meta / 'info.json').write_text(
        json.dumps(
            {
                'codebase_version': version,
                'fps': fps,
                'chunks_size': 1000,
                'total_episodes': len(episodes),
                'total_frames': sum(lengths),
                'data_path': data,
                'video_path': video if filmed else None,
                'features': _features(episodes[0], filmed, names, info),
            }
        )
    )
    return root


def _features(one, filmed, names, info):
    image = {
        'dtype': 'video' if filmed else 'image',
        'shape': [48, 64, 3],
        'names': ['height', 'width', 'channels'],
    }
    out = {FRONT: image, WRIST: image}
    for key in ('observation.state', 'action'):
        width = one[key].shape[1]
        out[key] = {'dtype': 'float32', 'shape': [width], 'names': names}
    if info:
        out['action']['info'] = info
    for key in ('episode_index', 'frame_index', 'task_index'):
        out[key] = {'dtype': 'int64', 'shape': [1], 'names': None}
    if 'success' in one:
        out['next.success'] = {'dtype': 'bool', 'shape': [1], 'names': None}
    return out


def _table(one, number, tasks, filmed, fps):
    n = len(one['pictures'])
    columns = {
        'episode_index': pa.array([number] * n, pa.int64()),
        'frame_index': pa.array(range(n), pa.int64()),
        'task_index': pa.array([tasks.index(one['words'])] * n, pa.int64()),
        'timestamp': pa.array(np.arange(n, dtype=np.float32) / fps),
    }
    for key in ('observation.state', 'action'):
        columns[key] = pa.array(list(one[key]), pa.list_(pa.float32()))
    if 'success' in one:
        columns['next.success'] = pa.array([False] * (n - 1) + [one['success']])
    for key in () if filmed else (FRONT, WRIST):
        shown = [255 - p if key == WRIST else p for p in one['pictures']]
        columns[key] = pa.array([{'bytes': png(p), 'path': None} for p in shown])
    return pa.table(columns)


def _write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _lines(path, lines):
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def contract(path, **lerobot):
    """The shipped Panda's contract with a section `lerobot`; None leaves it out."""
    values = yaml.safe_load(config_file('arms/panda.yaml').read_text())
    if lerobot:
        values['lerobot'] = lerobot
    path.write_text(yaml.safe_dump(values))
    return str(path)
