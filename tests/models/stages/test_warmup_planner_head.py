# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Warm-up, planner and head with the tiny config: what each leaves, and what the next makes of it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import calvin_files
import numpy as np
import pytest
import torch
import yaml

from vw2_ros import cli
from vw2_ros.models.checkpoint import load_checkpoint, resolve
from vw2_ros.models.data.batches import to_video
from vw2_ros.models.data.codes import CodedFrames, read_codes
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import TrainingError
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.policy import Policy
from vw2_ros.models.run_folder import load_model
from vw2_ros.models.stages.head import HeadStage
from vw2_ros.models.stages.planner import PlannerStage
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.storage import MAX_FILE_BYTES, load_tensors
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.config import config_path
from vw2_ros.models.training.run import run
from vw2_ros.sim.dataset_writer import write_index
from vw2_ros.sim.phrases import train_phrases

ROOT = str(pathlib.Path(__file__).resolve().parents[3])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('demonstrations') / 'data'
    return calvin_files.write_data(root, shards=True, episodes=6, frames=40)


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """All three stages with the tiny config, each from the one before."""
    out = tmp_path_factory.mktemp('runs')
    run(WarmUpStage('tiny', [data]), out / 'dldm')
    run(PlannerStage('tiny', [data], init=out / 'dldm'), out / 'planner')
    run(HeadStage('tiny', [data], init=out / 'planner'), out / 'head')
    return out


def test_a_planner_of_64_thousand_codes_is_larger_than_a_policy_may_be(data, tmp_path):
    config = yaml.safe_load(config_path('tiny').read_text())
    config['dldm']['model']['levels'] = [8, 8, 8, 5, 5, 5]
    for stage in ('dldm', 'planner'):
        config[stage]['train']['steps'] = 1
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(config))
    run(WarmUpStage(tmp_path / 'c.yaml', [data]), tmp_path / 'dldm')
    run(PlannerStage(tmp_path / 'c.yaml', [data], init=tmp_path / 'dldm'), tmp_path / 'planner')
    assert (tmp_path / 'planner' / 'planner.safetensors').stat().st_size > MAX_FILE_BYTES
    model = load_model(Planner, PlannerConfig, tmp_path / 'planner', 'planner')
    assert model.config.codebook_size == 64000


def test_stages_write_what_the_next_one_needs(runs):
    assert {
        'dldm.safetensors',
        'config.json',
        'provenance.json',
        'codes.safetensors',
        'log.jsonl',
    } <= {p.name for p in (runs / 'dldm').iterdir()}
    assert {'planner.safetensors', 'tokenizer.json', 'dldm.safetensors'} <= {
        p.name for p in (runs / 'planner').iterdir()
    }
    record = json.loads((runs / 'head' / 'policy' / 'provenance.json').read_text())
    for key in ('command', 'git_commit', 'data', 'seed', 'steps', 'scores', 'renderer', 'scene'):
        assert key in record
    assert record['planner']['dldm']['stage'] == 'dldm'
    scores = [json.loads(line) for line in (runs / 'head' / 'log.jsonl').open()]
    scores = [s for s in scores if s['kind'] == 'validation']
    assert scores and set(scores[0]['task_xyz_l1']) == set(calvin_files.PHRASES)


def test_four_calls_lead_from_the_command_line_to_a_loss(data, tmp_path, monkeypatch):
    """The command's function, `run`, `Stage.loss`, and the model's loss."""
    callers, loss = [], DLDM.loss

    def traced(model, *arguments, **named):
        if model.training:
            frame, names = sys._getframe(1), []
            for _ in range(3):
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            callers.append(names)
        return loss(model, *arguments, **named)

    monkeypatch.setattr(DLDM, 'loss', traced)
    words = ['--config', 'tiny', '--data', str(data), '--out', str(tmp_path / 'dldm')]
    assert cli.main(['train', 'dldm', *words]) == 0
    assert callers == [['loss', 'run', 'dldm']] * 6  # one for each step


def test_policy_of_the_last_stage_acts(runs):
    policy = Policy.load(runs / 'head' / 'policy')
    plan = policy.plan(np.zeros((96, 96, 3), np.uint8), 'open the drawer')
    assert policy.actions(plan.hidden).shape == (16, 7)
    assert policy.imagine(np.zeros((96, 96, 3), np.uint8), plan.codes).shape[0] == 16
    # among them another one is found when one is tried anew
    assert policy.recovery.instructions
    assert all(policy.known_words(text) == 1.0 for text in policy.recovery.instructions)


def test_a_policy_learns_on(runs, data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['head']['train'].update(steps=1, lr=1e-12, warmup=0, weight_decay=0)
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    begun = runs / 'head' / 'policy'
    assert (
        cli.main(
            [
                'train',
                'head',
                '--config',
                str(tmp_path / 'c.yaml'),
                '--data',
                str(data),
                '--start',
                str(begun),
                '--out',
                str(tmp_path / 'head'),
            ]
        )
        == 0
    )
    ended = tmp_path / 'head' / 'policy'
    for name in ('planner', 'head', 'dldm'):
        old, new = (load_tensors(p / f'{name}.safetensors')[0] for p in (begun, ended))
        assert all(torch.allclose(old[k], new[k], atol=1e-5) for k in old)
    assert Policy.load(ended)


def test_words_of_new_recordings_are_learned(runs, tmp_path):
    data = calvin_files.write_data(
        tmp_path / 'data',
        episodes=3,
        wordings={
            'move_slider_left': ['shove portcullis west'],
            'move_slider_right': ['shove it east'],
            'open_drawer': ['open the tray'],
        },
    )
    content = yaml.safe_load(config_path('tiny').read_text())
    begun = runs / 'head' / 'policy'
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    old = Policy.load(begun)
    assert old.known_words('shove portcullis west') == 0

    def learn_on(lr, steps, out):
        content['head']['train'].update(steps=steps, lr=lr, warmup=0, weight_decay=0)
        (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
        assert (
            cli.main(
                [
                    'train',
                    'head',
                    '--config',
                    str(tmp_path / 'c.yaml'),
                    '--data',
                    str(data),
                    '--start',
                    str(begun),
                    '--out',
                    str(tmp_path / out),
                ]
            )
            == 0
        )
        record = json.loads((tmp_path / out / 'policy/provenance.json').read_text())
        new = 'east it portcullis shove tray west'.split()
        assert record['new_words'] == new
        words = Policy.load(tmp_path / out / 'policy')
        assert words.known_words('Shove portcullis west!') == words.known_words('open drawer') == 1
        table = load_tensors(tmp_path / out / 'policy/planner.safetensors')[0]['text.word.weight']
        return words, table.float(), len(new)

    # as good as unlearned: known words mean what they did, new ones what an unknown one does
    same, table, new = learn_on(1e-12, 1, 'same')
    for text in ('slide the door left', 'open the tray', 'shove portcullis west'):
        np.testing.assert_allclose(
            same.plan(picture, text).hidden, old.plan(picture, text).hidden, atol=1e-4
        )
    learned, moved, _ = learn_on(1e-2, 5, 'learned')
    assert bool(((moved - table)[-new:].abs().amax(dim=1) > 1e-4).all())
    assert not np.allclose(
        learned.plan(picture, 'open the tray').hidden,
        learned.plan(picture, 'open the sieve').hidden,
        atol=1e-3,
    )


@pytest.mark.parametrize('learn', [False, True])
def test_sight_of_shipped_weights_learns_only_when_told(learn, data, tmp_path):
    content = yaml.safe_load(config_path('cpu').read_text())
    content['head']['train'].update(steps=2, batch=4, warmup=0, max_minutes=0)
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    assert (
        cli.main(
            [
                'train',
                'head',
                '--config',
                str(tmp_path / 'c.yaml'),
                '--data',
                str(data),
                '--start',
                'play_table',
                '--out',
                str(tmp_path / 'head'),
                *(['--learn-sight'] if learn else []),
            ]
        )
        == 0
    )
    old, new = (
        load_tensors(p / 'planner.safetensors')[0]
        for p in (resolve('play_table'), tmp_path / 'head' / 'policy')
    )
    moved = {k: not torch.equal(old[k], new[k]) for k in old}
    sight = [k for k in old if k.startswith('vision.locate') and old[k].dim() > 1]
    assert sight and all(moved[k] == learn for k in sight)
    assert any(moved[k] for k in old if not k.startswith('vision.locate'))
    planner = load_checkpoint(tmp_path / 'head' / 'policy').planner
    assert planner.config.vision.frozen  # the next lesson is to be told again


def test_actions_keep_the_frame_of_their_data(runs, data, tmp_path, capsys):
    tool = calvin_files.write_data(tmp_path / 'data', episodes=3)
    calvin_files.write_config(tool / 'training', {'recorded': {'action_frame': 'tool'}})
    content = yaml.safe_load(config_path('tiny').read_text())
    content['head']['train'].update(steps=1)
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    run(HeadStage(tmp_path / 'c.yaml', [tool]), tmp_path / 'head')
    assert Policy.load(tmp_path / 'head' / 'policy').action_frame == 'tool'
    assert Policy.load(runs / 'head' / 'policy').action_frame == 'base'
    words = ['train', 'head', '--config', 'tiny', '--out', str(tmp_path / 'none')]
    init = ['--init', str(runs / 'planner')]
    base = str(runs / 'head' / 'policy')
    for more, said in (
        (
            [*init, '--data', str(tool), '--data', str(data)],
            'actions in one frame, base or tool. Got tool',
        ),
        (['--data', str(tool), '--start', base], 'in the frame of the data, tool. Got base'),
    ):
        assert cli.main([*words, *more]) == 1
        assert said in capsys.readouterr().err
    calvin_files.write_config(tool / 'training', {'recorded': {'action_frame': 'camera'}})
    assert cli.main([*words, *init, '--data', str(tool)]) == 1
    assert 'Got camera in' in capsys.readouterr().err


def test_codes_belong_to_their_frames(runs, data):
    store = FrameStore([data])
    rows, indices = read_codes(runs / 'dldm' / 'codes.safetensors', store)
    assert len(rows) == 6 * 6  # 24 clips per range, every fourth
    assert indices.shape[1:] == (4, 4)
    model = load_model(DLDM, DLDMConfig, runs / 'dldm', 'dldm')
    small = store.resized(32)
    clip = torch.from_numpy(small.rgb(rows[9] + np.arange(17))[None])
    np.testing.assert_array_equal(model.tokenize(to_video(clip))[0], indices[9])


def test_codes_of_other_data_are_refused(runs, tmp_path):
    calvin_files.write_split(tmp_path / 'training', seed=99, shards=True)
    with pytest.raises(TrainingError, match='other data'):
        read_codes(runs / 'dldm' / 'codes.safetensors', FrameStore([tmp_path]))


def test_planner_encodes_data_that_the_dldm_did_not_see(runs, tmp_path):
    calvin_files.write_split(tmp_path / 'new' / 'training', seed=99, shards=True)
    run(PlannerStage('tiny', [tmp_path / 'new'], init=runs / 'dldm'), tmp_path / 'planner')
    assert (tmp_path / 'planner' / 'codes.safetensors').is_file()


def test_planner_encodes_what_its_dldm_did_not_see(runs, data, tmp_path):
    calvin_files.write_split(tmp_path / 'new' / 'training', seed=99, shards=True)
    both = [data, tmp_path / 'new']
    run(PlannerStage('tiny', both, init=runs / 'dldm'), tmp_path / 'planner')
    store = FrameStore(both)
    rows, indices = read_codes(tmp_path / 'planner' / 'codes.safetensors', store)
    known, _ = read_codes(runs / 'dldm' / 'codes.safetensors', FrameStore([data]))
    assert np.array_equal(rows[: len(known)], known)
    new = rows[len(known) :]
    assert set(store.folder_of(new)) == {1} and len(new) == 3 * 6  # every fourth frame, as there
    dldm = load_model(DLDM, DLDMConfig, runs / 'dldm', 'dldm')
    clip = torch.from_numpy(store.resized(32).rgb(new[7] + np.arange(17))[None])
    np.testing.assert_array_equal(dldm.tokenize(to_video(clip))[0], indices[len(known) + 7])


def test_codes_past_the_end_of_a_task_do_not_count(data):
    store = FrameStore([data])
    rows = np.array([0, 20, 24, 39])  # the task's last frame is 34
    coded = CodedFrames(store, rows, np.zeros((4, 4, 4), int), sorted(calvin_files.PHRASES))
    assert coded.valid.sum(1).tolist() == [4, 3, 2, 4]
    assert coded.task.tolist() == [0, 0, 0, -1]


def test_collection_cut_short_has_no_held_out_frames(runs, tmp_path):
    root = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=4, frames=40)
    shutil.rmtree(root / 'validation')
    write_index(root / 'validation', {}, train_phrases)
    record = run(HeadStage('tiny', [root]), tmp_path / 'out')
    assert 'xyz_l1' not in record['scores'] and record['steps'] == 6


def test_held_out_tasks_that_were_not_learned_are_told(runs, tmp_path, capfd):
    """Not that nothing was held out."""
    root = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=3, frames=30)
    shutil.rmtree(root / 'validation')
    other = {task: ['press it', 'push it'] for task in calvin_files.PHRASES}
    calvin_files.write_split(root / 'validation', frames=30, wordings=other)
    words = root / 'validation' / 'lang_annotations' / 'auto_lang_ann.npy'
    content = np.load(words, allow_pickle=True).item()
    content['language']['task'] = ['turn_on_led'] * 3
    np.save(words, content, allow_pickle=True)
    for stage in (
        PlannerStage('tiny', [root], init=runs / 'dldm'),
        HeadStage('tiny', [root], init=runs / 'planner'),
    ):
        run(stage, tmp_path / stage.name)
        said = ' '.join(capfd.readouterr().err.split())
        assert 'validation shows no task that was learned, but turn_on_led' in said
        assert 'nothing held out' not in said


def test_head_from_scratch_with_few_labels(data, tmp_path):
    record = run(HeadStage('tiny', [data], labels=0.5), tmp_path / 'out')
    assert record['labels'] == 0.5 and record['labelled_frames'] == 3 * 35
    assert Policy.load(tmp_path / 'out' / 'policy')


def test_resumed_stage_equals_uninterrupted(runs, data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['head']['train']['checkpoint_minutes'] = 1e-9  # after every step
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    out = tmp_path / 'out'
    run(HeadStage(tmp_path / 'c.yaml', [data], init=runs / 'planner'), out)
    newest, before = checkpoints(out)[::-1]
    assert (newest.name, before.name) == ('00000006', '00000005')
    os.rename(newest, tmp_path / 'uninterrupted')
    run(HeadStage(tmp_path / 'c.yaml', [data], init=runs / 'planner'), out, resume=True)
    for name in ('model', 'ema', 'optimizer'):
        a, b = (
            load_tensors(folder / f'{name}.safetensors')[0]
            for folder in (tmp_path / 'uninterrupted', newest)
        )
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_ctrl_c_saves_and_exits_130(data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['dldm']['train']['steps'] = 10**6
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    program = (
        'import sys; from vw2_ros.models.stages.warmup import WarmUpStage; '
        'from vw2_ros.models.training.run import run; '
        'run(WarmUpStage(sys.argv[1], [sys.argv[2]]), sys.argv[3])'
    )
    out = tmp_path / 'out'
    process = subprocess.Popen(
        [sys.executable, '-c', program, str(tmp_path / 'c.yaml'), str(data), str(out)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    log = out / 'log.jsonl'
    while process.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error.decode()
    assert b'--resume' in error
    assert int(checkpoints(out)[-1].name) > 0
