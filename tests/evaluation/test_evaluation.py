# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Evaluation: what is counted, that nothing depends on workers, that an interrupted run goes on."""

import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from policy_files import tiny_policy

from vw2_ros import files
from vw2_ros.control.loop import ControlLoop
from vw2_ros.errors import VW2Error
from vw2_ros.evaluation import rollouts as rollouts_module
from vw2_ros.evaluation.fingerprint import code_sha256, sources
from vw2_ros.evaluation.players import PolicyTurn, player
from vw2_ros.evaluation.record import EvaluationError, Record
from vw2_ros.evaluation.rollouts import Options, Rollout, rollouts
from vw2_ros.evaluation.run import run, summarise
from vw2_ros.evaluation.runners import InProcess
from vw2_ros.evaluation.workers import performed
from vw2_ros.sim.phrases import validation_phrases
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.tasks import TASKS

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODES = ('action', 'calvin_bridge', 'planner')
KEYS = {
    'avg_len',
    'success_at',
    'chains',
    'per_task',
    'mean_success',
    'scene',
    'renderer',
    'checkpoint_sha256',
    'seconds',
}


def lines(out):
    (record,) = out.glob('record-*.jsonl')
    found = [json.loads(text) for text in record.read_text().splitlines()][1:]
    return {d['rollout']: d['subtasks'] for d in found}


def line(name, *wins):
    return {
        'rollout': name,
        'subtasks': [
            {'task': TASKS[i], 'instruction': 'x', 'success': w, 'steps': 1}
            for i, w in enumerate(wins)
        ],
    }


@pytest.fixture()
def short(monkeypatch):
    """Subtasks of 16 steps: enough to fail."""
    monkeypatch.setattr(rollouts_module, 'CHAIN_STEPS', 16)
    monkeypatch.setattr(rollouts_module, 'SINGLE_STEPS', 16)


@pytest.fixture()
def blind(monkeypatch):
    def render(*_, **__):
        raise AssertionError('nobody asked for a picture')

    monkeypatch.setattr(PlayTable, 'render', render)


# ---------------------------------------------------------------- counting


def test_figures_of_chains():
    found = summarise(
        [
            line('chain/0', True, True, False),
            line('chain/1', False),
            line('chain/2', True, True, True, True, True),
        ]
    )
    assert found['avg_len'] == pytest.approx(7 / 3)
    assert found['success_at'] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3])
    assert found['chains'] == 3
    assert found['per_task'][TASKS[0]] == {'success': 2, 'trials': 3}
    assert found['per_task'][TASKS[2]] == {'success': 1, 'trials': 2}
    assert found['mean_success'] == pytest.approx(np.mean([2 / 3, 1, 1 / 2, 1, 1]))
    a, b, c, d, e = TASKS[:5]
    assert found['transitions'] == [
        {'after': b, 'task': c, 'success': 1, 'trials': 2},
        {'after': c, 'task': d, 'success': 1, 'trials': 1},
        {'after': d, 'task': e, 'success': 1, 'trials': 1},
        {'after': a, 'task': b, 'success': 2, 'trials': 2},
    ]


def test_single_tasks_are_not_mixed_with_chains():
    found = summarise([line('chain/0', True, False), line(f'{TASKS[0]}/0', False)])
    assert found['per_task'] == {TASKS[0]: {'success': 0, 'trials': 1}}
    assert found['avg_len'] == 1.0
    found = summarise([line(f'{TASKS[0]}/0', True), line(f'{TASKS[0]}/1', False)])
    assert found['avg_len'] is None and found['success_at'] is None and found['chains'] == 0
    assert found['mean_success'] == 0.5 and found['transitions'] == []


def test_every_rollout_has_random_numbers_of_its_own():
    few = rollouts(Options(tasks=('open_drawer',), rollouts=2, chains=3))
    many = rollouts(Options(tasks=TASKS, rollouts=3, chains=20))
    by_name = {r.name: r for r in many}
    assert len(by_name) == len(many) == 20 + 34 * 3
    assert len({r.seed for r in many}) == len(many)
    assert all(by_name[r.name] == r for r in few)  # asking for more changes none
    assert {r.max_steps for r in many if r.chain is not None} == {360}
    assert {r.max_steps for r in many if r.chain is None} == {240}
    assert not {r.seed for r in many} & {r.seed for r in rollouts(Options(chains=20, seed=1))}


# ---------------------------------------------------------------- running


def test_expert_in_one_process_and_in_two(tmp_path, blind):
    options = {
        'policy': 'expert',
        'tasks': ('open_drawer', 'place_in_drawer'),
        'rollouts': 1,
        'chains': 1,
    }
    result = run(Options(**options, out=tmp_path / 'one'))
    assert set(result) >= KEYS
    assert result['avg_len'] > 0 and set(result['per_task']) == set(options['tasks'])
    assert result['renderer'] == 'pybullet_tiny' and result['checkpoint_sha256'] is None
    assert json.loads((tmp_path / 'one' / 'result.json').read_text()) == result
    assert (tmp_path / 'one' / 'report.html').is_file()
    for subtask in lines(tmp_path / 'one')['chain/0']:
        assert subtask['instruction'] in validation_phrases(subtask['task'])
    run(Options(**options, workers=2, out=tmp_path / 'two'))
    assert lines(tmp_path / 'one') == lines(tmp_path / 'two')


def test_random_policy(tmp_path, short, blind):
    result = run(Options(policy='random', chains=2, out=tmp_path))
    assert result['avg_len'] <= 5 and result['chains'] == 2
    assert all(s['steps'] <= 16 for d in lines(tmp_path).values() for s in d)


def test_learned_policy_sees_only_when_it_plans(tmp_path, short, monkeypatch):
    tiny_policy(tmp_path / 'm')
    sizes, render = [], PlayTable.render

    def count(self, camera='static', size=None, depth=False):
        sizes.append((camera, size))
        return render(self, camera, size, depth)

    monkeypatch.setattr(PlayTable, 'render', count)
    result = run(Options(policy=str(tmp_path / 'm'), chains=1, out=tmp_path / 'e'))
    ((first, *_),) = lines(tmp_path / 'e').values()
    assert sizes[: math.ceil(first['steps'] / 8)] == [('static', 32)] * math.ceil(
        first['steps'] / 8
    )
    assert len(result['checkpoint_sha256']) == 64


def test_one_refused_plan_is_an_error_not_a_failure(tmp_path, short, monkeypatch):
    tiny_policy(tmp_path / 'm')
    monkeypatch.setattr(ControlLoop, 'accept', lambda *_: 'too old')
    with pytest.raises(EvaluationError, match='too old'):
        run(Options(policy=str(tmp_path / 'm'), chains=1, out=tmp_path / 'e'))


def test_films(tmp_path, short):
    result = run(Options(policy='random', chains=2, video=1, out=tmp_path))
    (shown,) = result['videos']
    assert shown['rollout'] == 'chain/0'
    assert (tmp_path / shown['file']).stat().st_size > 1000
    assert 'data:video/mp4' in (tmp_path / 'report.html').read_text()
    card = (tmp_path / 'README.md').read_text()
    assert f'(<{shown["file"]}>)' in card and '| task | solved of tried |' in card


# ---------------------------------------------------------------- going on


def test_an_interrupted_run_goes_on(tmp_path, short, monkeypatch):
    performed, perform = [], InProcess.perform

    def interrupted(self, rollout, said, video):
        if len(performed) == 2:
            raise KeyboardInterrupt
        performed.append(rollout.name)
        return perform(self, rollout, said, video)

    monkeypatch.setattr(InProcess, 'perform', interrupted)
    options = Options(policy='random', chains=4, out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(options)
    (record,) = tmp_path.glob('record-*.jsonl')
    before = record.read_bytes()
    record.write_bytes(before + b'{"rollout": "chain/2", "subt')  # the power went off
    performed[:] = ['so', 'that', 'it', 'does', 'not', 'stop']
    run(options)
    assert performed[6:] == ['chain/2', 'chain/3']
    assert record.read_bytes().startswith(before)
    assert set(lines(tmp_path)) == {f'chain/{i}' for i in range(4)}
    fewer = run(Options(policy='random', chains=3, out=tmp_path))  # nothing to do
    assert len(performed) == 8
    walls = [json.loads(text)['wall_s'] for text in record.read_text().splitlines()[1:4]]
    assert fewer['seconds'] == round(sum(walls), 1)


def test_other_settings_have_another_record(tmp_path, short):
    run(Options(policy='random', chains=1, out=tmp_path))
    run(Options(policy='random', chains=1, seed=1, out=tmp_path))
    assert len(list(tmp_path.glob('record-*.jsonl'))) == 2


def test_two_evaluations_do_not_share_a_record(tmp_path):
    with Record(tmp_path, {'a': 1}) as record:
        record.add(line('chain/0', True))
        with pytest.raises(EvaluationError, match='another evaluation'):
            Record(tmp_path, {'a': 1})
        with Record(tmp_path, {'a': 2}) as other:
            assert other.done == {}
    with Record(tmp_path, {'a': 1}) as record:
        assert set(record.done) == {'chain/0'}


def test_a_worker_that_fails_is_told(tmp_path):
    phrases = tmp_path / 'p.json'
    phrases.write_text(json.dumps({'open_drawer': ['']}))
    options = Options(policy='expert', tasks=('open_drawer',), rollouts=2, workers=2, out=tmp_path)
    bad = Rollout('x/0', ('juggle',), (0,), 1, None)
    with pytest.raises(EvaluationError, match='juggle'):
        list(performed(options, [bad, bad], {'juggle': ['x']}, {}))


def test_ctrl_c_keeps_what_is_finished_and_leaves_nobody_behind(tmp_path):
    run_it = [
        sys.executable,
        '-m',
        'vw2_ros.cli',
        'eval',
        '--policy',
        'expert',
        '--workers',
        '2',
        '--chains',
        '1000',
        '--out',
        str(tmp_path),
    ]
    program = subprocess.Popen(
        run_it,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob('record-*')) or not lines(tmp_path):
        assert program.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    os.killpg(program.pid, signal.SIGINT)
    assert 'interrupted' in program.communicate(timeout=60)[1]
    assert program.returncode == 130
    assert lines(tmp_path)  # every line is whole
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.killpg(program.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail('a process is left')


@pytest.fixture()
def copied(tmp_path, monkeypatch):
    """A copy of the sources and config files that decide a rollout, in a checkout's folders."""
    for folder in ('vw2_ros', 'models', 'sim'):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=lambda _, names: [n for n in names if '.' in n and not n.endswith('.py')],
        )
    shutil.copytree(ROOT / 'config', tmp_path / 'config')
    monkeypatch.setattr(files, 'share_dir', lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'file, decides',
    [
        *((f, (True, True)) for f in ('arms/panda.py', 'control/safety.py', 'evaluation/run.py')),
        *((f, (False, True)) for f in ('nodes/planner.py', 'messages/plan.py', 'client.py')),
        *((f, (False, False)) for f in ('cli.py', 'demo/run.py', 'experiment/table.py')),
        ('../models/policy.py', (True, True)),
        ('../models/stages/head.py', (False, False)),
        ('../sim/expert/skills.py', (True, True)),
        ('../config/arms/play_table.yaml', (True, True)),
        ('../config/arms/play_table_xarm7.yaml', (True, True)),
        ('../config/calvin.yaml', (False, True)),
        ('../config/robot.yaml', (False, False)),
    ],
)
def test_a_change_of_code_or_config_is_another_record(copied, file, decides):
    package = copied / 'vw2_ros'
    before = [code_sha256(ros, package) for ros in (False, True)]
    with open(package / file, 'a') as source:
        source.write('# changed')
    after = [code_sha256(ros, package) for ros in (False, True)]
    assert tuple(a != b for a, b in zip(before, after)) == decides


def test_every_module_of_a_rollout_is_in_the_fingerprint():
    """What a learned player loads, and through the nodes what they load, decides the record."""
    loads = (
        ('vw2_ros.evaluation.workers', 'vw2_ros.models.policy', 'vw2_ros.sim.play_table'),
        ('vw2_ros.evaluation.ros_rollout', *(f'vw2_ros.nodes.{n}' for n in NODES)),
    )
    for ros, modules in enumerate(loads):
        if ros:
            pytest.importorskip('rclpy')
        program = (
            f'import sys, {", ".join(loads[0] + modules)}\n'
            'print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("vw2_ros.")))'
        )
        loaded = subprocess.run(
            [sys.executable, '-c', program], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        known = {str(path.resolve()) for _, path in sources(bool(ros))}
        names = ('errors', 'files', 'progress', 'timings')
        beside = {str(ROOT / 'vw2_ros' / f'{name}.py') for name in names}
        assert {str(pathlib.Path(f).resolve()) for f in loaded} <= known | beside


def test_evaluations_have_folders_of_their_own():
    def folder(**options):
        return str(Options(**options).out)

    assert folder(policy='expert', chains=1) == 'out/eval/expert-chains'
    assert folder(policy='expert', tasks=('open_drawer',)) == 'out/eval/expert-tasks'
    assert (
        folder(policy='runs/a/policy', chains=1, ros=True) == 'out/eval/runs_a_policy-chains-ros'
    )
    assert folder(policy='expert', chains=1, out='here') == 'here'


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    'given, message',
    [
        ({}, 'nothing to evaluate'),
        ({'chains': 1001}, 'chains'),
        ({'chains': 1, 'workers': 0}, 'workers'),
        ({'tasks': ('open_drawer',), 'rollouts': 0}, 'rollouts'),
        ({'tasks': ('open_drawr',)}, 'open_drawer'),
        ({'chains': 1, 'scene': 'E'}, 'A, B, C, D'),
        ({'chains': 1, 'ros': True, 'policy': 'expert'}, 'expert'),
    ],
)
def test_options_that_make_no_sense(given, message):
    with pytest.raises(ValueError, match=message):
        Options(**given)


def test_phrases_must_cover_the_tasks(tmp_path, short):
    phrases = tmp_path / 'p.json'
    phrases.write_text(json.dumps({'open_drawer': ['pull it']}))
    result = run(
        Options(
            policy='random',
            tasks=('open_drawer',),
            rollouts=1,
            phrases=phrases,
            out=tmp_path / 'e',
        )
    )
    assert result['per_task']['open_drawer']['trials'] == 1
    ((subtask,),) = lines(tmp_path / 'e').values()
    assert subtask['instruction'] == 'pull it'
    with pytest.raises(ValueError, match='no wording for close_drawer'):
        run(Options(policy='random', tasks=('close_drawer',), phrases=phrases, out=tmp_path / 'f'))


def test_unknown_policy(tmp_path):
    with pytest.raises(Exception, match='no_such_policy'):
        run(Options(policy='no_such_policy', chains=1, out=tmp_path))


@pytest.mark.parametrize(
    'delay, frames',
    [
        (0, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]),
        (2, [None, None, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3]),
        (5, [None] * 5 + [5, 6, 7, 8, 5, 6, 7]),
    ],
)
def test_a_delayed_plan_is_entered_where_it_has_got_to(delay, frames):
    late = player('play_table', 4, delay=delay)
    with PlayTable('D') as table:
        late.reset(table, (0,))
        late.begin(table, 'open_drawer', 'open the drawer')
        start, followed = table.joint_positions(), []
        for _ in frames:
            action = late.act(table)
            followed.append(late._loop.loop.command.frame)
            if followed[-1] is None:
                assert np.abs(action[1][:-1] - start).max() < 1e-3
            table.step(action)
    assert followed == frames


def test_a_delay_beyond_the_plan_is_refused():
    with pytest.raises(VW2Error, match='execute \\+ delay must be at most 16, .* Got 12 \\+ 5'):
        player('play_table', 12, delay=5)
    with pytest.raises(VW2Error, match='a delay goes with a run in this process'):
        Options(chains=1, delay=1, ros=True)


def test_a_policy_takes_its_turn_in_a_collection():
    turn = PolicyTurn('play_table', (8, 12), lost_share=0)
    ends = []
    for _ in range(2):
        with PlayTable('D') as table:
            turn(table, 'open_drawer', np.random.default_rng(3), lambda: False)
            assert 8 <= table.steps < 12
            ends.append(table.robot_obs())
    assert np.array_equal(*ends)
    with PlayTable('D') as table:
        turn(table, 'open_drawer', np.random.default_rng(3), lambda: table.steps == 5)
        assert table.steps == 5
    with PlayTable('D') as table:
        lost = PolicyTurn('play_table', (8, 12), (40, 41), lost_share=1)
        lost(table, 'open_drawer', np.random.default_rng(3), lambda: False)
        assert table.steps == 40
