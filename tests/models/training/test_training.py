# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import calvin_files
import numpy as np
import pytest
import torch
import yaml
from toy_stage import Toy

from vw2_ros import cli, progress
from vw2_ros.models.action_head import ActionHeadConfig
from vw2_ros.models.checkpoint import MAX_FILE_BYTES, load_checkpoint, load_tensors, resolve
from vw2_ros.models.config import from_dict
from vw2_ros.models.data.augment import jitter_colour, shift_images
from vw2_ros.models.data.batches import to_video
from vw2_ros.models.data.codes import CodedFrames, read_codes
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.policy import Policy
from vw2_ros.models.run_folder import load_model
from vw2_ros.models.stages.head import HeadStage
from vw2_ros.models.stages.planner import PlannerStage
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.training import checkpoints as state
from vw2_ros.models.training import loop as training
from vw2_ros.models.training.batches import Prefetcher
from vw2_ros.models.training.checkpoints import checkpoints, parameter_groups
from vw2_ros.models.training.config import TrainConfig, config_path, load_section
from vw2_ros.models.training.reporter import Reporter, _bar
from vw2_ros.models.training.run import run
from vw2_ros.progress import progress_bar
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


def small_problem(out, steps, config=None, resume=False, **methods):
    """A regression with dropout: the random state matters."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
    )
    stage = Toy(model, config={'steps': steps, **(config or {})}, **methods)
    return model, run(stage, out, resume)


def test_resumed_run_equals_uninterrupted(tmp_path):
    whole, _ = small_problem(tmp_path / 'whole', 12)

    def interrupt(step):
        if step == 8:  # made in the background, a few steps before it is used
            os.kill(os.getpid(), signal.SIGTERM)
        return Toy.batch(None, step)

    with pytest.raises(SystemExit) as ended:
        small_problem(tmp_path / 'parts', 12, batch=interrupt)
    assert ended.value.code == 130
    reached = int(checkpoints(tmp_path / 'parts')[-1].name)
    assert 0 < reached < 12
    parts, result = small_problem(tmp_path / 'parts', 12, resume=True)
    assert result['steps'] == 12
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values()):
        assert torch.equal(a, b)
    for name in ('model', 'ema', 'optimizer'):
        a, b = (
            load_tensors(checkpoints(tmp_path / run)[-1] / f'{name}.safetensors')[0]
            for run in ('whole', 'parts')
        )
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    steps = [json.loads(line)['step'] for line in (tmp_path / 'parts' / 'log.jsonl').open()]
    assert steps == list(range(1, 13))


def test_run_learns_and_reports(tmp_path):
    _, result = small_problem(tmp_path, 300, config={'log_every': 100})
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').open()]
    assert [x['step'] for x in log] == [100, 200, 300]
    assert log[-1]['lr'] < 0.05 * 1e-2 and log[0]['lr'] > log[1]['lr']
    assert {'loss', 'gradient_norm', 'wait_share', 'samples_per_s'} <= log[0].keys()
    assert log[-1]['loss'] < log[0]['loss']
    assert 0 <= result['wait_share'] <= 1
    assert list((tmp_path / 'tensorboard').iterdir())


@pytest.mark.parametrize('scores, warns', [((1.0, 0.5, 0.8), True), ((1.0, 0.8, 0.81), False)])
def test_a_held_out_score_that_rose_is_told(tmp_path, capsys, scores, warns):
    left = iter(scores)
    small_problem(
        tmp_path,
        5,
        config={'validate_every': 2},
        samples=16,
        watch='error',
        validate=lambda: {'error': next(left)},
    )
    told = ' '.join(capsys.readouterr().err.split())
    assert ('error of held-out data was 0.5 at step 4' in told) is warns
    assert ('its samples by heart' in told) is warns
    assert 'pass 2.5 ' in told  # 5 steps of 8


def test_the_end_says_what_was_held_out(tmp_path, capsys):
    small_problem(tmp_path / 'a', 4, validate=lambda: {'error': 0.25})
    assert 'small: 4 steps done; held-out error 0.25\n' in capsys.readouterr().err
    small_problem(tmp_path / 'b', 4)
    assert 'small: 4 steps done; nothing held out to judge it by\n' in capsys.readouterr().err


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    small_problem(tmp_path, 3)

    def full(path, *_, **__):
        path.write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(state, 'save_tensors', full)
    with pytest.raises(OSError):
        small_problem(tmp_path, 6, resume=True)
    assert [p.name for p in (tmp_path / 'checkpoints').iterdir()] == ['00000003']


def test_a_narrow_terminal_shows_the_time_that_is_left():
    with _bar() as bar:
        bar.console.width = 80
        bar.add_task(
            'disentangle',
            total=1.0,
            completed=0.5,
            note='step 67600 pass 118.5 loss 1.0450 0.03 s/step, 266 samples/s, waiting 0 %',
        )
        with bar.console.capture() as shown:
            bar.console.print(bar.make_tasks_table(bar.tasks))
    assert '50% 0:00:00 -:--:-- step 67600' in shown.get() and shown.get().count('\n') == 1


def test_run_in_the_way_and_other_run(tmp_path):
    small_problem(tmp_path, 3)
    with pytest.raises(TrainingError, match='--resume'):
        small_problem(tmp_path, 3)
    with pytest.raises(TrainingError, match='another a: it has 1, this run has 2'):
        small_problem(tmp_path, 3, resume=True, identity=lambda: {'a': 2})


def test_resumes_after_a_log_that_was_cut_short(tmp_path):
    reporter = Reporter(tmp_path, 'toy', 0)
    for step in (2, 4, 6):
        reporter.report(step, {'loss': 1.0})
    reporter.close()
    with open(tmp_path / 'log.jsonl', 'a') as log:
        log.write('{"stage": "toy", "st')
    Reporter(tmp_path, 'toy', 4).close()
    assert [json.loads(x)['step'] for x in (tmp_path / 'log.jsonl').open()] == [2, 4]


def test_what_could_not_be_saved_is_not_trained(tmp_path, monkeypatch):
    for limit, got in ((387, '388 bytes of weights'), (775, '776 of optimiser state')):
        monkeypatch.setattr(state, 'MAX_STATE_BYTES', limit)
        with pytest.raises(TrainingError, match=f'may have {limit} bytes. Got .*{got}'):
            small_problem(tmp_path / 'out', 3)
    assert not (tmp_path / 'out').exists()
    monkeypatch.setattr(state, 'MAX_STATE_BYTES', 10_000)  # the files have heads, too
    small_problem(tmp_path / 'out', 3)


def test_damaged_checkpoint_is_named(tmp_path):
    small_problem(tmp_path, 3)
    path = checkpoints(tmp_path)[-1] / 'optimizer.safetensors'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match='optimizer.safetensors'):
        small_problem(tmp_path, 3, resume=True)


def test_nan_stops_the_run(tmp_path):
    model = torch.nn.Linear(4, 1)

    def loss(batch):
        return {'loss': (batch['x'] * torch.nan).sum() + model.bias.sum()}

    with pytest.raises(TrainingError, match='nan: loss nan .* lower lr'):
        run(Toy(model, 'nan', {'steps': 3}, loss=loss), tmp_path)


def test_time_box_decays_to_the_end(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(
        training,
        'time',
        types.SimpleNamespace(monotonic=lambda: clock[0], perf_counter=lambda: clock[0]),
    )
    model = torch.nn.Linear(4, 1)

    def loss(batch):
        clock[0] += 1.0  # a step takes a second
        return {'loss': model(batch['x']).square().mean()}

    box = {'steps': 10**7, 'max_minutes': 1.0, 'warmup': 0, 'lr': 3e-4}
    result = run(Toy(model, 'box', box, loss=loss), tmp_path)
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').open()]
    assert result['steps'] == 60 and result['seconds'] == 60.0
    assert log[-1]['progress'] == 1.0 and log[-1]['lr'] < 0.05 * max(x['lr'] for x in log)


def test_learning_rate():
    config = TrainConfig(steps=100, lr=1.0, warmup=10, final_lr=0.1)
    assert config.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert config.learning_rate(10, 0.0) == pytest.approx(1.0)
    assert config.learning_rate(50, 0.5) == pytest.approx(0.55)
    assert config.learning_rate(99, 1.0) == pytest.approx(0.1)


def test_weight_decay_is_for_matrices_only():
    model = torch.nn.ModuleDict(
        {'a': torch.nn.Linear(3, 3), 'n': torch.nn.LayerNorm(3), 'e': torch.nn.Embedding(5, 3)}
    )
    decay, rest = parameter_groups(model, 0.1)
    assert [p is model['a'].weight for p in decay['params']] == [True]
    assert len(rest['params']) == 4 and rest['weight_decay'] == 0.0


def test_prefetcher_passes_errors_on():
    def make_batch(step):
        if step == 2:
            raise OSError('disk gone')
        return {'step': step}

    batches = Prefetcher(make_batch, iter(range(10)))
    assert [batches.next()['step'], batches.next()['step']] == [0, 1]
    with pytest.raises(OSError, match='disk gone'):
        batches.next()
    batches.close()


def test_a_bar_without_a_terminal_prints_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress.Bar, 'every_s', 0.05)
    with progress_bar() as bar:
        task = bar.add_task('decoding', total=1000)
        bar.advance(task, 100)
        time.sleep(0.5)
        bar.advance(task, 900)
    out, err = capsys.readouterr()
    assert 'decoding 100 of 1000\n' in err and 'decoding 1000' not in err and not out


def test_the_bar_of_copies_comes_to_its_end(tmp_path, capsys):
    data = calvin_files.write_data(tmp_path, shards=True, episodes=1, frames=40)
    store = FrameStore([data], 'training', 96)
    n = len(store.resized(32))
    assert f'{n}/{n}' in re.search('32 px copies.*', capsys.readouterr().err)[0]


def test_images_move_by_whole_pixels():
    rgb = torch.randint(0, 255, (2, 8, 8, 3), dtype=torch.uint8)
    moved = shift_images(rgb, torch.tensor([[0, 0], [2, -1]]))
    assert torch.equal(moved[0], rgb[0])
    assert torch.equal(moved[1, 2:, :-1], rgb[1, :-2, 1:])
    assert torch.equal(moved[1, 0], moved[1, 2])  # the edge is repeated
    same = jitter_colour(rgb, torch.tensor([[1.0, 0.0], [1.0, 0.5]]))
    assert torch.equal(same[0], rgb[0])
    assert (same[1] >= rgb[1]).all() and same[1].float().mean() > rgb[1].float().mean()


# ------------------------------------------------------------------------------------------ configs


@pytest.mark.parametrize('name', ['tiny', 'cpu', 'gpu'])
def test_shipped_configs_are_valid(name):
    for stage in ('dldm', 'sight', 'planner', 'head'):
        section = load_section(name, stage)
        from_dict(TrainConfig, section['train'], stage)
        from_dict(DLDMConfig, load_section(name, 'dldm')['model'])
        from_dict(PlannerConfig, load_section(name, 'planner')['model'])
        from_dict(ActionHeadConfig, load_section(name, 'head')['model'])
    assert config_path(config_path(name)) == config_path(name)


@pytest.mark.parametrize('name', ['cpu', 'gpu'])
def test_minutes_of_a_comment_are_those_of_the_stage(name):
    text = config_path(name).read_text()
    said = {
        stage: int(minutes)
        for stage, minutes in re.findall(r'^(\w+):  # (\d+) minutes', text, re.MULTILINE)
    }
    assert said == {
        stage: sum(part.get('max_minutes', 0) for part in parts.values())
        for stage, parts in yaml.safe_load(text).items()
    }


def test_bad_configs_say_what_they_got(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'batch'"):
        from_dict(TrainConfig, {'bacth': 3}, 'dldm.train')
    with pytest.raises(ConfigError, match=r'steps must be int. Got 1.5'):
        from_dict(TrainConfig, {'steps': 1.5})
    with pytest.raises(ConfigError, match=r'lr must be > 0. Got -1'):
        from_dict(TrainConfig, {'lr': -1})
    assert from_dict(TrainConfig, {'lr': '1e-4'}).lr == 1e-4
    with pytest.raises(ConfigError, match='one of cpu, gpu, paper, tiny'):
        config_path('enormous')
    path = tmp_path / 'c.yaml'
    path.write_text('dldm: [1, 2')
    with pytest.raises(ConfigError, match='not YAML'):
        load_section(path, 'dldm')
    path.write_text('dldm: {train: {}, trian: {}}')
    with pytest.raises(ConfigError, match='trian'):
        run(WarmUpStage(path, [tmp_path]), tmp_path / 'out')


# ---------------------------------------------------------------------------------- the three stages


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
    for key in ('command', 'git_commit', 'data', 'seed', 'steps', 'scores', 'renderer'):
        assert key in record
    assert record['planner']['dldm']['stage'] == 'dldm'
    scores = [json.loads(line) for line in (runs / 'head' / 'log.jsonl').open()]
    scores = [s for s in scores if s['kind'] == 'validation']
    assert scores and set(scores[0]['task_xyz_l1']) == set(calvin_files.PHRASES)


def test_policy_of_the_last_stage_acts(runs):
    policy = Policy.load(runs / 'head' / 'policy')
    plan = policy.plan(np.zeros((96, 96, 3), np.uint8), 'open the drawer')
    assert policy.actions(plan.hidden).shape == (16, 7)
    assert policy.imagine(np.zeros((96, 96, 3), np.uint8), plan.codes).shape[0] == 16


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
    assert planner.config.vision.frozen is not learn


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
