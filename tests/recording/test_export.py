# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Data folders and bags become LeRobot data sets, and come back."""

import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys

import calvin_files
import cv2
import numpy as np
import pytest

pq = pytest.importorskip('pyarrow.parquet')
pytest.importorskip('rosbags')

import bag_files  # noqa: E402
import lerobot_files  # noqa: E402
from bag_files import START_S, TWO, T, header, shards, write  # noqa: E402
from PIL import Image  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data.calvin import CalvinFolder  # noqa: E402
from vw2_ros.recording.export import export_lerobot, find_source  # noqa: E402
from vw2_ros.recording.sets import convert_sets  # noqa: E402
from vw2_ros.sim.dataset_writer import decode_png  # noqa: E402

STATIC = 'observation.images.static'


def rows_of(root):
    """All rows of a data set, as lists."""
    tables = [pq.read_table(p, partitioning=None) for p in sorted(root.glob('data/*/*.parquet'))]
    return [row for table in tables for row in table.to_pylist()]


def seen(row, key=STATIC):
    """The picture of a row, as LeRobot decodes it."""
    return np.asarray(Image.open(io.BytesIO(row[key]['bytes'])).convert('RGB'))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A small data folder in shards, and what is in it: ids, images, actions."""
    root = tmp_path_factory.mktemp('data') / 'play'
    root.mkdir()
    found = {}
    for split, seed in (('training', 0), ('validation', 1)):
        images, actions = calvin_files.write_split(
            root / split, episodes=3, frames=40, size=32, shards=True, seed=seed
        )
        found[split] = images, actions
    return root, found


def test_what_data_folders_do_not_have_is_refused(data):
    with pytest.raises(ValueError, match='have one camera'):
        find_source([data[0]], cameras=['top=/top'])


def test_a_data_folder(tmp_path, data):
    root, content = data
    out = tmp_path / 'set'
    info = export_lerobot(find_source([root]), out)
    assert info['total_episodes'] == 6 and info['splits'] == {'train': '0:3', 'validation': '3:6'}
    rows = iter(rows_of(out))
    number = 0
    for split in ('training', 'validation'):
        images, actions = content[split]
        for window in CalvinFolder(root / split).windows:
            for i, frame in enumerate(range(window.start, window.end + 1)):
                row = next(rows)
                assert (seen(row) == images[frame]).all()
                np.testing.assert_allclose(row['action'], actions[frame], atol=1e-6)
                assert (row['episode_index'], row['frame_index']) == (number, i)
                assert row['next.success'] == row['next.done'] == (frame == window.end)
                assert row['timestamp'] == pytest.approx(i / 30)
            number += 1
    assert next(rows, None) is None


def test_the_layout_is_v3(tmp_path, data):
    """Every column and every figure of meta/ that LeRobot reads."""
    out = tmp_path / 'set'
    export_lerobot(find_source([data[0]]), out, 'vw2 export')
    info = json.loads((out / 'meta/info.json').read_text())
    rows = rows_of(out)
    assert info['codebase_version'] == 'v3.0' and info['fps'] == 30
    assert info['total_frames'] == len(rows) and set(rows[0]) == set(info['features'])
    assert [row['index'] for row in rows] == list(range(len(rows)))
    schema = pq.read_schema(out / 'data/chunk-000/file-000.parquet')
    for key, feature in info['features'].items():
        if feature['dtype'] == 'image':
            assert feature['shape'] == list(seen(rows[0], key).shape)
        elif feature['shape'] == [1]:
            assert str(schema.field(key).type) == feature['dtype'].replace('float32', 'float')
        else:
            assert schema.field(key).type.list_size == feature['shape'][0]
            assert len(feature['names']) == feature['shape'][0]
    told = json.loads(schema.metadata[b'huggingface'])['info']['features']
    assert list(told) == schema.names and told[STATIC] == {'_type': 'Image'}
    tasks = pq.read_table(out / 'meta/tasks.parquet')
    names = dict(zip(tasks['task_index'].to_pylist(), tasks['task'].to_pylist()))
    assert json.loads(tasks.schema.metadata[b'pandas'])['index_columns'] == ['task']
    episodes = pq.read_table(out / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    stats = json.loads((out / 'meta/stats.json').read_text())
    assert set(stats) == set(info['features'])
    for number, episode in enumerate(episodes):
        mine = rows[episode['dataset_from_index'] : episode['dataset_to_index']]
        assert {row['episode_index'] for row in mine} == {episode['episode_index']} == {number}
        assert episode['length'] == len(mine) and episode['success'] is True
        assert {names[row['task_index']] for row in mine} == set(episode['tasks'])
        assert (episode['data/chunk_index'], episode['data/file_index']) == (0, 0)
        actions = np.array([row['action'] for row in mine])
        np.testing.assert_allclose(episode['stats/action/mean'], actions.mean(0), atol=1e-6)
        assert episode['stats/action/count'] == [len(mine)]
    actions = np.array([row['action'] for row in rows])
    for name, value in (
        ('min', actions.min(0)),
        ('max', actions.max(0)),
        ('std', actions.std(0)),
        ('q10', np.quantile(actions, 0.1, axis=0)),
    ):
        np.testing.assert_allclose(stats['action'][name], value, atol=1e-6)
    pictures = (
        np.array(
            [
                seen(r)
                for e in episodes
                for r in rows
                if r['episode_index'] == e['episode_index'] and r['frame_index'] % 4 == 0
            ]
        )
        / 255
    )
    assert np.shape(stats[STATIC]['mean']) == (3, 1, 1)
    for name, value in (
        ('mean', pictures.mean((0, 1, 2))),
        ('std', pictures.std((0, 1, 2))),
        ('max', pictures.max((0, 1, 2))),
    ):
        np.testing.assert_allclose(np.ravel(stats[STATIC][name]), value, atol=1e-6)


def test_a_round_trip_loses_nothing(tmp_path, data):
    root, content = data
    export_lerobot(find_source([root]), tmp_path / 'set')
    convert_sets([tmp_path / 'set'], tmp_path / 'back', progress=False)
    back = shards(tmp_path / 'back')
    windows = [(s, w) for s in content for w in CalvinFolder(root / s).windows]
    assert len(back) == len(windows)
    for shard, (split, window) in zip(back, windows):
        images, actions = content[split]
        here = slice(window.start, window.end + 1)
        np.testing.assert_allclose(shard['rel_actions'], actions[here], atol=1e-6)
        ends, png = shard['offsets'], shard['rgb_static'].tobytes()
        for image, a, b in zip(images[here], ends[:-1], ends[1:], strict=True):
            assert (decode_png(png[a:b]) == image).all()
    said = {w.phrase for w in CalvinFolder(tmp_path / 'back/training').windows}
    assert said == {w.phrase for _, w in windows}


def jpeg(at_s, rgb, kind='jpeg'):
    data = cv2.imencode(f'.{kind}', rgb[..., ::-1])[1].reshape(-1)
    name = 'sensor_msgs/msg/CompressedImage'
    return name, T[name](header(at_s), f'rgb8; {kind} compressed bgr8', data)


def test_a_bag_in_one_command(tmp_path, capsys):
    """Two cameras, one of them compressed; commanded joints in radians."""
    messages = TWO.messages()
    for i in range(120):
        at = i / 30 + 0.005
        rgb = np.full((20, 30, 3), (i, 40, 90), np.uint8)
        messages.append((START_S + at + 0.01, '/wrist/image', jpeg(START_S + at, rgb)))
    bag = write(tmp_path / 'bag', messages)
    out = tmp_path / 'set'
    command = ['export', 'lerobot', str(bag), '--out', str(out), '--actions', 'joints']
    cameras = ['--camera', 'static=/image_raw', '--camera', 'wrist=/wrist/image']
    assert cli.main([*command, *cameras]) == 0
    assert '2 episodes' in capsys.readouterr().out
    info = json.loads((out / 'meta/info.json').read_text())
    assert info['features']['observation.images.wrist']['shape'] == [20, 30, 3]
    assert info['features']['action']['names'] == [*bag_files.ARM, 'gripper']
    rows = rows_of(out)
    for row in rows[5:40]:
        i = int(seen(row)[0, 0, 0])  # number of the picture
        assert (seen(row) == TWO.picture(i)).all()
        assert abs(int(seen(row, 'observation.images.wrist')[5, 5, 0]) - i) <= 3
        np.testing.assert_allclose(row['observation.state'][:7], TWO.joints(i / 30), atol=2e-3)
        np.testing.assert_allclose(row['action'][:7], TWO.joints((i + 1) / 30), atol=2e-2)
        assert row['action'][7] in (0.0, 1.0)
    # and back: what the columns mean stands in the set
    result = convert_sets([out], tmp_path / 'back', progress=False)
    assert result['training']['annotations'] == 2


def test_a_bag_has_the_same_actions_either_way(tmp_path):
    bag = write(tmp_path / 'bag', TWO.messages())
    export_lerobot(find_source([bag]), tmp_path / 'set')
    bag_files.made(tmp_path, TWO.messages(), 'same')
    direct = np.concatenate([s['rel_actions'] for s in shards(tmp_path / 'data') if len(s)])
    rows = rows_of(tmp_path / 'set')
    for row in rows:
        near = np.abs(direct - row['action']).max(1).min()
        assert near < 1e-6


def outcomes_of(root):
    """`success` of each episode, and whether rows have `next.success`."""
    episodes = pq.read_table(root / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    features = json.loads((root / 'meta/info.json').read_text())['features']
    rows = rows_of(root)
    assert ('next.success' in rows[0]) == ('next.success' in features)
    assert set(json.loads((root / 'meta/stats.json').read_text())) == set(features)
    return [e.get('success') for e in episodes], 'next.success' in features


def bag_that_says(path, *outcomes):
    """A bag with an episode of each outcome; None: nobody said."""
    words, said = [], []
    for i, outcome in enumerate(outcomes):
        words += [(1.2 * i, f'push block {i}'), (1.2 * i + 1.0, '')]
        said += [(START_S + 1.2 * i + 1.1, '/outcome', bag_files.text(outcome))] if outcome else []
    motion = bag_files.Motion(seconds=1.2 * len(outcomes), joint_hz=30, words=tuple(words))
    return write(path, [*motion.messages(), *said])


@pytest.mark.parametrize(
    'said, found, column, card',
    [
        ((None, None), [None, None], False, ''),
        (('success', None, 'failure'), [True, None, False], False, '1 of 2 tries'),
        (('success', 'failure'), [True, False], True, '1 of 2 tries'),
    ],
)
def test_an_outcome_that_nobody_said_stays_unknown(tmp_path, said, found, column, card):
    bag = bag_that_says(tmp_path / 'bag', *said)
    out, unknown = tmp_path / 'set', found.count(None)
    export_lerobot(find_source([bag]), out)
    assert outcomes_of(out) == (found, column)
    text = (out / 'README.md').read_text()
    assert ('## Success' in text) == bool(card) and card in text
    assert (f'| without a known outcome | {unknown} |' in text) == bool(unknown)
    # what comes back knows as much, and teaches no failure
    convert_sets([out], tmp_path / 'back', progress=False)
    kept = [outcome for outcome in found if outcome is not False]
    back = CalvinFolder(tmp_path / 'back/training')
    assert [span.success for span in back.spans] == kept
    export_lerobot(find_source([tmp_path / 'back']), tmp_path / 'again')
    assert outcomes_of(tmp_path / 'again') == (kept, None not in kept)


def test_an_outcome_that_is_said_later_counts(tmp_path):
    """Of a bag, and of the data that were made of it: neither is exported as it was before."""
    bag = bag_that_says(tmp_path / 'bag', None, 'success')
    bag_files.convert_bags([bag], tmp_path / 'data', progress=False)
    for source in (bag, tmp_path / 'data'):
        before = find_source([source])
        identity = before.identity()
        assert not before.outcomes()
        relabel = ['episodes', 'relabel', str(source), '0', '--outcome', 'success']
        assert cli.main(relabel) == 0
        after = find_source([source])
        assert after.outcomes() and after.identity() != identity
        export_lerobot(after, tmp_path / f'{source.name}.set')
        assert outcomes_of(tmp_path / f'{source.name}.set') == ([True, True], True)


def test_a_damaged_picture_cuts_the_episode(tmp_path):
    messages = []
    for at, topic, (kind, message) in bag_files.Motion().messages():
        if topic == '/image_raw' and 1.0 < at - START_S < 1.02:
            message.data = message.data[:100]
        messages.append((at, topic, (kind, message)))
    bag = write(tmp_path / 'bag', messages)
    info = export_lerobot(find_source([bag]), tmp_path / 'set')
    assert info['total_episodes'] == 2
    numbers = [int(seen(row)[0, 0, 0]) for row in rows_of(tmp_path / 'set')]
    assert 30 not in numbers and (np.diff(numbers) >= 1).all()


def test_out_is_whole_or_not_there(tmp_path, data, monkeypatch):
    """An interrupted export goes on; a finished one is not made again; other things are kept."""
    from vw2_ros.recording import lerobot_writer

    monkeypatch.setattr(lerobot_writer, 'FILE_MB', 0)  # a file for each episode
    export_lerobot(find_source([data[0]]), tmp_path / 'whole')
    close, out = lerobot_writer.LeRobotWriter.close, tmp_path / 'set'

    def interrupted(self):
        if len(self.files) == 2:
            raise KeyboardInterrupt
        close(self)

    monkeypatch.setattr(lerobot_writer.LeRobotWriter, 'close', interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_lerobot(find_source([data[0]]), out)
    assert not out.exists()
    monkeypatch.setattr(lerobot_writer.LeRobotWriter, 'close', close)
    export_lerobot(find_source([data[0]]), out)
    files = sorted(p.relative_to(out) for p in out.rglob('*') if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / 'whole') for p in (tmp_path / 'whole').rglob('*') if p.is_file()
    )
    for name in files:
        same = (out / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
        assert same or name.name == 'README.md', name  # the card has the folder's name
    assert sorted(p.name for p in tmp_path.iterdir()) == ['set', 'whole']
    assert export_lerobot(find_source([data[0]]), out)['total_episodes'] == 6
    (out / 'meta/vw2_export.json').unlink()
    with pytest.raises(ValueError, match='must be a new folder'):
        export_lerobot(find_source([data[0]]), out)


def lerobot_python():
    """The Python that has the real library: this one, or that of VW2_LEROBOT_PYTHON."""
    told = os.environ.get('VW2_LEROBOT_PYTHON')
    if told:
        return told
    return sys.executable if importlib.util.find_spec('lerobot') else None


def read_by_lerobot(root, tmp_path):
    """What the real library reads of a data set."""
    python = lerobot_python()
    if python is None:
        pytest.skip('lerobot[dataset] is missing; VW2_LEROBOT_PYTHON names a Python that has it')
    script = pathlib.Path(lerobot_files.__file__).with_name('lerobot_reader.py')
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    env |= {'HF_HUB_OFFLINE': '1', 'HF_HOME': str(tmp_path / 'hf')}
    read = tmp_path / 'read.npz'
    subprocess.run([python, script, root, read], check=True, env=env, capture_output=True)
    with np.load(read) as archive:
        return dict(archive)


def test_the_real_library_reads_outcomes_that_nobody_said(tmp_path):
    bag = bag_that_says(tmp_path / 'bag', 'success', None)
    info = export_lerobot(find_source([bag]), tmp_path / 'set')
    found = read_by_lerobot(tmp_path / 'set', tmp_path)
    assert int(found['episodes']) == 2 and len(found['index']) == info['total_frames']
    assert 'next.done' in found and 'next.success' not in found


def test_the_real_library_reads_the_same(tmp_path, data):
    """Frame by frame: pictures equal, actions and states within 1e-6, words, statistics."""
    root, content = data
    out = tmp_path / 'set'
    info = export_lerobot(find_source([root]), out)
    found = read_by_lerobot(out, tmp_path)
    assert int(found['episodes']) == info['total_episodes']
    number = 0
    for split in ('training', 'validation'):
        images, actions = content[split]
        for window in CalvinFolder(root / split).windows:
            here = slice(window.start, window.end + 1)
            mine = found['episode_index'] == number
            assert (found[STATIC][mine] == images[here]).all()
            np.testing.assert_allclose(found['action'][mine], actions[here], atol=1e-6)
            assert set(found['tasks'][mine]) == {window.phrase}
            assert found['next.success'][mine].tolist() == [False] * (mine.sum() - 1) + [True]
            number += 1
    np.testing.assert_allclose(found['stats/action/mean'], found['action'].mean(0), atol=1e-5)
    assert found[f'stats/{STATIC}/std'].shape == (3, 1, 1)
