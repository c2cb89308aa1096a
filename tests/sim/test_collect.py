# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Collection writes CALVIN's format, resumes, and does not depend on who does the work."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from vw2_ros.sim import collect, session
from vw2_ros.sim import dataset_writer as dw
from vw2_ros.sim.landmarks import scene_state, teach
from vw2_ros.sim.long_horizon import draw_chain
from vw2_ros.sim.scenes import get_scene
from vw2_ros.sim.table import open_table
from vw2_ros.sim.tasks import TASKS


def _frame(value, size=8):
    robot = np.full(15, value, dtype=np.float64)
    image = np.full((size, size, 3), int(value) % 256, dtype=np.uint8)
    return dict(
        rel_action=np.full(7, 0.5),
        robot_obs=robot,
        scene_obs=np.zeros(24),
        images={'rgb_static': image},
    )


def _session(split, session, shard):
    writer = dw.SessionWriter(split, session, shard=shard, scene='D')
    first = writer.add(**_frame(0))
    for i in range(1, 5):
        last = writer.add(**_frame(i))
    writer.annotate(first, last, 'open_drawer', 0.6)
    writer.cut()
    writer.add(**_frame(9))
    writer.cut()  # one frame alone is no range
    for i in range(10, 13):
        writer.add(**_frame(i))
    return writer.close()


def test_every_other_session_is_made_of_chains(tmp_path):
    writer = dw.SessionWriter(tmp_path, 0, shard=True, scene='D')
    _, wanted = draw_chain(np.random.default_rng(5))
    with open_table('D') as table:
        tasks = session._chains(table, 0, writer, np.random.default_rng(5))
        given = [tasks.send(None)] + [tasks.send(True) for _ in range(4)]
        assert tuple(given) == wanted
        start = table.scene_obs()
        assert tasks.send(True) in TASKS  # of the next chain, from a start of its own
        assert not np.allclose(table.scene_obs(), start, atol=1e-3)
        start = table.scene_obs()
        assert tasks.send(False) in TASKS  # one that was not solved ends its chain
        assert not np.allclose(table.scene_obs(), start, atol=1e-3)


@pytest.mark.parametrize('shard', [False, True])
def test_files_follow_calvin(tmp_path, shard):
    split = tmp_path / 'training'
    _session(split, 0, shard)
    _session(split, 2, shard)
    counts = dw.write_index(split, {'scene': 'D'}, lambda task: ['pull it', 'open it'])
    assert counts == {'sessions': 2, 'frames': 16, 'ranges': 4, 'annotations': 2}
    start_end = np.load(split / 'ep_start_end_ids.npy')
    assert start_end.tolist() == [[0, 4], [5, 7], [20000, 20004], [20005, 20007]]
    assert np.load(split / 'ep_lens.npy').tolist() == [5, 3, 5, 3]
    language = np.load(split / 'lang_annotations' / 'auto_lang_ann.npy', allow_pickle=True).item()
    assert language['language']['task'] == ['open_drawer'] * 2
    assert language['language']['ann'] == ['open it'] * 2
    assert language['info']['indx'] == [(0, 4), (20000, 20004)]
    statistics = yaml.safe_load((split / 'statistics.yaml').read_text())
    assert len(statistics['robot_obs'][0]['mean']) == 15
    assert yaml.safe_load((split / '.hydra' / 'merged_config.yaml').read_text()) == {'scene': 'D'}
    if shard:
        data = np.load(split / 'shards' / 'shard_00002.npz')
        assert data['frame_ids'].tolist() == list(range(20000, 20008))
        a, b = data['offsets'][5:7]
        image = dw.decode_png(data['rgb_static'][a:b].tobytes())
        assert image.shape == (8, 8, 3) and (image == 10).all()
        actions, robot = data['actions'], data['robot_obs']
    else:
        frames = [np.load(split / f'episode_{i:07d}.npz') for i in range(8)]
        assert (frames[5]['rgb_static'] == 10).all()
        actions = np.stack([f['actions'] for f in frames])
        robot = np.stack([f['robot_obs'] for f in frames])
    # actions[t] is the pose at t + 1, and never reaches over a cut
    assert np.allclose(actions[[0, 4, 5], :6], robot[[1, 4, 6], :6])


def test_nothing_half_written_is_seen(tmp_path):
    writer = dw.SessionWriter(tmp_path, 1, shard=True, scene='D')
    writer.add(**_frame(1))
    writer.add(**_frame(2))
    assert not dw.is_finished(tmp_path, 1) and not list(tmp_path.rglob('*'))
    writer.close()
    assert dw.is_finished(tmp_path, 1) and not list(tmp_path.rglob('*.part'))


def test_discard_forgets_a_failed_attempt(tmp_path):
    writer = dw.SessionWriter(tmp_path, 0, shard=True, scene='D')
    for i in range(4):
        writer.add(**_frame(i))
    first = writer.next_frame_id
    for i in range(3):
        writer.add(**_frame(20 + i))
    writer.cut()
    writer.add(**_frame(30))
    writer.discard(first)
    for i in range(2):
        writer.add(**_frame(40 + i))
    marker = writer.close()
    assert marker['ranges'] == [(0, 3), (4, 5)] and marker['frames'] == 6


def test_wrong_sizes_are_named(tmp_path):
    writer = dw.SessionWriter(tmp_path, 0, shard=True, scene='D')
    frame = _frame(0)
    frame['robot_obs'] = np.zeros(14)
    with pytest.raises(ValueError, match=r'robot_obs must have shape \(15,\). Got \(14,\)'):
        writer.add(**frame)


# ---------------------------------------------------------------- sessions

TINY = dict(
    scenes='D',
    episodes=2,
    validation_episodes=1,
    tasks_per_episode=1,
    shards=16,
    seed=4,
    progress=False,
)


def _contents(out):
    """Everything that a collection is: arrays and language, by file."""
    found = {}
    for path in sorted(out.rglob('*')):
        if path.suffix == '.npz':
            with np.load(path) as data:
                for key in data.files:
                    found[f'{path.relative_to(out)}:{key}'] = data[key].tolist()
        elif path.name == 'auto_lang_ann.npy':
            language = np.load(path, allow_pickle=True).item()
            found[str(path.relative_to(out))] = (
                language['language']['task'],
                language['language']['ann'],
                language['info']['indx'],
            )
        elif path.suffix == '.npy':
            found[str(path.relative_to(out))] = np.load(path).tolist()
    return found


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp('whole')
    counts = collect.collect(out, workers=1, **TINY)
    assert counts['training']['sessions'] == 2 and counts['validation']['sessions'] == 1
    return out


def test_the_number_of_workers_does_not_matter(whole, tmp_path):
    collect.collect(tmp_path, workers=2, **TINY)
    assert _contents(tmp_path) == _contents(whole)


def test_stretches_of_the_tasks_are_recorded_alone(whole, tmp_path):
    collect.collect(tmp_path, workers=1, share=0.3, **{**TINY, 'tasks_per_episode': 3})
    split = tmp_path / 'training'
    lengths = np.load(split / 'ep_lens.npy')
    assert len(lengths) >= 4 and 2 <= lengths.min() <= lengths.max() <= 3 * session.STRETCH
    steps = []  # how far the hand went between two frames of a range [m]
    for path in sorted((split / 'shards').iterdir()):
        data = np.load(path)
        for a, b in np.load(split / 'ep_start_end_ids.npy') - data['frame_ids'][0]:
            if 0 <= a and b < len(data['robot_obs']):
                steps += np.ptp(np.lib.stride_tricks.sliding_window_view(
                    data['robot_obs'][a : b + 1, :3], 2, axis=0), axis=-1).max(-1).tolist()  # fmt: skip
    assert max(steps) < 0.04  # nothing is left out within a range
    marker = dw.read_markers(split)[0]
    spans = [(a['start'], a['end']) for a in marker['annotations']]
    assert spans and all(any(a <= x and y <= b for a, b in marker['ranges']) for x, y in spans)
    written = [
        yaml.safe_load((folder / 'training/.hydra/merged_config.yaml').read_text())['expert']
        for folder in (whole, tmp_path)
    ]
    assert [made.get('share') for made in written] == [None, 0.3]


def test_goes_on_after_being_killed(whole, tmp_path):
    first = subprocess.Popen(
        [
            sys.executable,
            '-c',
            'from vw2_ros.sim.collect import collect\n'
            f'if __name__ == "__main__": collect({str(tmp_path)!r}, workers=1, **{TINY!r})',
        ],
        cwd=Path(collect.__file__).parents[1],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120.0
    while not dw.is_finished(tmp_path / 'training', 0) and first.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    collect.collect(tmp_path, workers=1, **TINY)
    assert _contents(tmp_path) == _contents(whole)
    assert not list(tmp_path.rglob('*.part'))


def test_without_a_terminal_a_line_says_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(collect, 'TELL_S', 0.0)
    collect.collect(tmp_path, workers=1, **{**TINY, 'episodes': 1, 'progress': True})
    collect.collect(tmp_path, workers=1, **{**TINY, 'episodes': 3, 'progress': True})
    out, err = capsys.readouterr()
    told = re.findall(
        r'^collecting: (\d) of (\d) episodes, (\d+) new frames, about \d+ min left$', err, re.M
    )
    # the second time goes on from two; no line for the last one, which the result tells of
    assert [t[:2] for t in told] == [('1', '2'), ('3', '4')] and all(int(t[2]) for t in told)
    assert not out
    collect.collect(tmp_path, workers=1, **{**TINY, 'episodes': 5})
    assert 'collecting' not in capsys.readouterr().err


def _children(pid):
    return [
        int(p)
        for t in Path(f'/proc/{pid}/task').iterdir()
        for p in (t / 'children').read_text().split()
    ]


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    parent = subprocess.Popen(
        [
            sys.executable,
            '-c',
            'from vw2_ros.sim.collect import collect\n'
            f'if __name__ == "__main__": collect({str(tmp_path)!r}, workers=2, '
            f'**{dict(TINY, episodes=1000)!r})',
        ],
        cwd=Path(collect.__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120.0
    while not dw.is_finished(tmp_path / 'training', 0):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    workers = _children(parent.pid)
    assert len(workers) >= 2
    parent.kill()
    parent.wait()
    while any(Path(f'/proc/{pid}').exists() for pid in workers):
        assert time.monotonic() < deadline, 'they go on for nobody'
        time.sleep(0.05)


def test_other_settings_want_another_folder(whole):
    with pytest.raises(ValueError, match='Choose another folder'):
        collect.collect(whole, workers=1, **{**TINY, 'seed': 5})
    with pytest.raises(ValueError, match='made with seed [0-9]+. Wanted seed 5. Choose'):
        collect.collect(whole, workers=1, **{**TINY, 'seed': 5})


def test_data_from_elsewhere_want_another_folder(whole):
    with pytest.raises(ValueError, match='data from elsewhere, of calvin_scene_D. Choose another'):
        dw.check_same_settings(whole, 'recorded', {'version': 1})


def test_a_session_repeats(whole, tmp_path):
    settings = session.CollectSettings(scenes='D', seed=4, tasks_per_session=1, shards=16)
    session.record_session(tmp_path, 'training', 1, settings)
    again, first = _contents(tmp_path), _contents(whole)
    keys = [key for key in first if key.startswith('training/shards/shard_00001')]
    assert keys and all(again[key] == first[key] for key in keys)


def test_a_policy_acts_in_between_and_is_not_recorded(tmp_path):
    led_astray = []

    def astray(table, task, rng, solved):
        led_astray.append((task, table.steps))
        for _ in range(20):
            table.step(np.array([0, 0, 0.77, 0, 0, 0, 1]))
        assert not solved()

    settings = session.CollectSettings(
        scenes='D', seed=4, tasks_per_session=8, shards=16, policy='x'
    )
    session.record_session(tmp_path, 'training', 0, settings, astray)
    assert led_astray
    with np.load(tmp_path / 'training' / 'shards' / 'shard_00000.npz') as data:
        assert not (data['rel_actions'][:, 2] == 0.77).any()


def test_words_end_at_the_step_that_solves_the_task(tmp_path):
    settings = session.CollectSettings(scenes='D', seed=4, tasks_per_session=12, shards=16)
    marker = session.record_session(tmp_path, 'training', 0, settings)
    with np.load(tmp_path / 'training' / 'shards' / 'shard_00000.npz') as data:
        scene = data['scene_obs']
    columns = {'lightbulb': 4, 'led': 5}
    switched = [a for a in marker['annotations'] if a['task'].startswith('turn_')]
    followed = 0
    for shown in switched:
        light = scene[:, columns[shown['task'].split('_')[-1]]] == ('_on_' in shown['task'])
        assert not light[shown['start'] : shown['end'] + 1].any()
        followed += light[shown['end'] + 1 : shown['end'] + 2].sum()
    assert followed, 'the way back is recorded all the same'


def test_wanted_tasks_are_played_whenever_they_can_begin(tmp_path):
    wanted = ('open_drawer', 'close_drawer', 'stack_block')
    settings = session.CollectSettings(seed=4, tasks_per_session=10, shards=16, tasks=wanted)
    tried = session.record_session(tmp_path, 'training', 1, settings)['attempts']
    done = {task: n for task, (n, _) in tried.items()}
    # of 34 tasks the two of the drawer would be one in seventeen; they cannot follow each other
    assert done.get('open_drawer', 0) + done.get('close_drawer', 0) >= 3, tried


def test_a_table_is_drawn_for_each_session(tmp_path):
    settings = session.CollectSettings(
        scenes='R', randomize=True, seed=4, tasks_per_session=1, shards=16
    )
    names = set()
    for number in range(2):
        session.record_session(tmp_path, 'training', number, settings)
        with np.load(tmp_path / 'training' / 'shards' / f'shard_{number:05d}.npz') as data:
            (name,) = np.unique(data['scene'])
            np.testing.assert_allclose(  # the name says all of the table
                data['scene_state'],
                scene_state(get_scene(name), data['robot_obs'], data['scene_obs']),
            )
            names.add(name)
    assert len(names) == 2


def test_what_is_recorded_is_what_was_commanded(whole):
    with np.load(whole / 'training' / 'shards' / 'shard_00000.npz') as data:
        actions, robot = data['rel_actions'], data['robot_obs']
    assert np.abs(actions).max() <= 1.0 and set(actions[:, 6]) <= {-1.0, 1.0}
    assert np.isfinite(robot).all()


def test_what_sight_is_taught_can_be_computed_from_the_states(whole):
    """So it is for CALVIN's own data, which hold no landmarks."""
    config = yaml.safe_load((whole / 'training/.hydra/merged_config.yaml').read_text())
    with np.load(whole / 'training' / 'shards' / 'shard_00000.npz') as data:
        points, state = teach(
            data['scene'], config['cameras']['static'], data['robot_obs'], data['scene_obs']
        )
        np.testing.assert_allclose(points, data['landmarks'], atol=1e-6)
        np.testing.assert_allclose(state, data['scene_state'], atol=1e-6)
    assert points.std(axis=0).max() > 0.05  # the arm moved


@pytest.mark.parametrize(
    'wrong',
    [
        dict(scenes='X'),
        dict(scenes='R'),
        dict(seed=-1),
        dict(image_size=0),
        dict(tasks=('dance',)),
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ValueError, match='Got'):
        session.CollectSettings(**wrong)


def test_a_table_without_random_looks_is_told():
    class Real(session.Simulator):
        def __post_init__(self):  # as if a checkout were there
            pass

    with pytest.raises(ValueError, match='only the play table has random looks. Got calvin'):
        session.CollectSettings(randomize=True, simulator=Real('calvin'))
