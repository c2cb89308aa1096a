# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 experiment`: what is planned, that it goes on where it was cut, and the statistics."""

import dataclasses
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import calvin_files
import numpy as np
import pytest
import yaml

from vw2_ros import cli
from vw2_ros.experiment import jobs as experiment
from vw2_ros.experiment import table as experiment_table
from vw2_ros.experiment.jobs import Plan, Scale, chosen
from vw2_ros.models.data.batches import to_video
from vw2_ros.models.data.codes import CODES_FILE, read_codes
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.run_folder import load_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = {
    'abc': {'scenes': 'ABC', 'episodes': 3, 'randomize': True, 'seed': 31},
    'd': {'scenes': 'D', 'episodes': 2},
}


def plan(table='calvin-table', rows='', seeds=1, chains=20, change=None, **options):
    config = experiment.merged(Scale.load('tiny').config(), change or {})
    return Plan(chosen(table, rows), seeds, config, DATA, chains, **options)


def kinds(of):
    return [job.kind for job in of.jobs.values()]


# ------------------------------------------------------------------------------------------- plan


def test_every_scale_and_base_is_read():
    for path in (ROOT / 'config' / 'experiment').glob('*.yaml'):
        scale = Scale.load(path.stem)
        base = yaml.safe_load((ROOT / 'config' / 'train' / f'{scale.base}.yaml').read_text())
        assert scale.config() == experiment.merged(base, scale.train)
        Plan(experiment.CALVIN_TABLE, scale.seeds, scale.config(), scale.data, scale.chains)


def test_table_shares_what_rows_have_in_common():
    whole = plan()
    count = {kind: kinds(whole).count(kind) for kind in experiment.KINDS}
    # VideoWorld 1 is the warm-up of VideoWorld 2, whose codes learn from the same scenes twice
    assert count == {
        'collect': 2,
        'vdm': 1,
        'sight': 1,
        'dldm': 2,
        'disentangle': 1,
        'planner': 4,
        'head': 6,
        'eval': 6,
    }
    runs = whole.runs
    assert runs['videoworld1', 0]['dldm'] == runs['videoworld2', 0]['dldm']
    assert runs['videoworld1', 0]['planner'] != runs['videoworld2', 0]['planner']
    assert runs['videoworld2-full', 0]['planner'] != runs['videoworld2', 0]['planner']
    assert runs['lapa', 0]['dldm'] != runs['videoworld1', 0]['dldm']


@pytest.mark.parametrize('table, chains', [('calvin-table', 20), ('ablation', 0)])
def test_order_of_jobs(table, chains):
    whole = plan(table, seeds=2, chains=chains)
    names = list(whole.jobs)
    for job in whole.jobs.values():  # what a job needs stands before it
        assert all(names.index(need) < names.index(job.name) for need in job.needs)
    seeds = [
        next(seed for (_, seed), run in whole.runs.items() if name in run.values())
        for name, job in whole.jobs.items()
        if job.kind != 'collect'
    ]
    assert seeds == sorted(seeds) and 0 < sum(seeds) < len(seeds), 'one after the other'
    order = [experiment.KINDS.index(kind) for kind in kinds(whole)]
    assert sum(a > b for a, b in zip(order, order[1:])) == 1, 'each from its long stages on'
    for kind in experiment.PRETRAINED:
        assert kinds(whole).count(kind) == 1, 'rows and seeds share it'


def test_what_is_trained_once_for_all_seeds():
    whole = plan(seeds=2, once=('vdm', 'sight', 'dldm', 'disentangle'))
    count = {kind: kinds(whole).count(kind) for kind in experiment.KINDS}
    assert count == {
        'collect': 2,
        'vdm': 1,
        'sight': 1,
        'dldm': 2,
        'disentangle': 1,
        'planner': 8,
        'head': 12,
        'eval': 12,
    }
    assert '--seed 0' in whole.jobs[whole.runs['videoworld2', 1]['disentangle']].text
    assert '--seed 1' in whole.jobs[whole.runs['videoworld2', 1]['planner']].text


def test_who_learns_from_what():
    whole = plan()
    folder = {'abc': f'stages/{list(whole.jobs)[0]}', 'd': f'stages/{list(whole.jobs)[1]}'}
    assert whole.jobs[folder['abc'].split('/')[1]].text.startswith(
        'vw2 collect --episodes 3 --randomize --scenes ABC --seed 31 '
    )

    def learns_from(row, kind):
        words = whole.jobs[whole.runs[row, 0][kind]].command
        paths = [b for a, b in zip(words, words[1:]) if a == '--data']
        return [name for path in paths for name in folder if folder[name] == path]

    for row in ('lapa', 'videoworld1', 'videoworld2'):
        assert learns_from(row, 'planner') == ['abc', 'd']
    assert learns_from('videoworld2-full', 'planner') == ['abc'], 'scene D is new to it'
    for row in experiment.CALVIN_TABLE:
        assert learns_from(row.name, 'sight') == ['abc', 'd']
        assert learns_from(row.name, 'head') == ['d']
        assert all(
            learns_from(row.name, kind) == ['abc'] for kind in row.stages if kind != 'planner'
        )


def test_a_command_that_is_spelled_anew_keeps_its_name(tmp_path):
    table = ROOT / 'resource' / 'calvin_table'
    old = next(
        line.split()[1:]
        for line in (table / 'commands.sh').read_text().splitlines()
        if '--stage disentangle' in line
    )
    name = pathlib.Path(old[old.index('--out') + 1]).name
    config = yaml.safe_load((table / 'configs' / f'{name}.yaml').read_text())
    new = ['train', 'disentangle', *old[4 : old.index('--config')]]
    plan = Plan([], 0, {}, {})
    assert plan._add('disentangle', new, config=config) == name
    (tmp_path / 'stages').mkdir()
    (tmp_path / 'stages' / f'{name}.json').write_text(
        json.dumps({'command': [x for x in old if x != '--resume']})
    )
    assert plan.jobs[name].is_complete(tmp_path)


def test_data_by_path(tmp_path):
    of = Plan(
        chosen('calvin-table'),
        1,
        Scale.load('tiny').config(),
        {'abc': str(tmp_path), 'd': str(tmp_path)},
        20,
    )
    assert 'collect' not in kinds(of)
    assert all(
        job.text.count(f'--data {tmp_path} ') == 1
        for job in of.jobs.values()
        if job.kind != 'eval'
    ), 'the same folder once, though it has two names'


def test_commands_of_a_row():
    whole = plan(rows='videoworld2', seeds=2)
    run = whole.runs['videoworld2', 1]
    text = {kind: whole.jobs[name].text for kind, name in run.items()}
    assert f'--init stages/{run["dldm"]} --vdm stages/{run["vdm"]}' in text['disentangle']
    assert 'train disentangle' in text['disentangle']
    assert f'--init stages/{run["disentangle"]} --sight stages/{run["sight"]}' in text['planner']
    assert f'--labels 0.1 --init stages/{run["planner"]}' in text['head']
    assert text['eval'].endswith('--workers 1') and '--scene D --chains 20' in text['eval']
    assert all('--seed 1' in text[k] for k in ('dldm', 'disentangle', 'planner', 'head'))
    assert all('--seed 0' in text[k] for k in ('vdm', 'sight')), 'as if they came pretrained'
    assert 'scratch' not in text['head'] and 'sight' not in text['head']
    assert [job.kind for job in whole.needed('videoworld2', 1)] == [
        'collect',
        'collect',
        'vdm',
        'sight',
        'dldm',
        'disentangle',
        'planner',
        'head',
        'eval',
    ]
    scratch = plan(rows='none-full')
    run = scratch.runs['none-full', 0]
    assert (
        f'--labels 1.0 --scratch --sight stages/{run["sight"]}' in scratch.jobs[run['head']].text
    )


def test_a_job_depends_on_what_it_reads_and_on_nothing_else():
    before = plan(rows='videoworld2,none')
    chains = plan(rows='videoworld2,none', chains=30, workers=4)

    def kept(row, *section, of=None, **values):
        change = values
        for key in reversed(section):
            change = {key: change}
        of = of or plan(rows='videoworld2,none', change=change)
        return {k for k, name in before.runs[row, 0].items() if of.runs[row, 0][k] == name}

    head = kept('videoworld2', 'head', 'train', steps=7)
    assert head == {'sight', 'vdm', 'dldm', 'disentangle', 'planner'}
    assert kept('videoworld2', 'dldm', 'train', lr=0.5) == {'vdm', 'sight'}
    assert kept('videoworld2', 'disentangle', 'vdm', control=False) == {'sight', 'vdm', 'dldm'}
    assert kept('videoworld2', 'sight', 'train', steps=7) == {'vdm', 'dldm', 'disentangle'}
    assert kept('videoworld2', 'planner', 'train', steps=7) == head - {'planner'}
    assert kept('videoworld2', 'planner', 'vision', keypoints=6) == {'vdm', 'dldm', 'disentangle'}
    for section in (('dldm', 'train'), ('vdm', 'train'), ('planner', 'train')):
        assert kept('none', *section, steps=7) == {'sight', 'head', 'eval'}
    assert kept('none', 'sight', 'train', steps=7) == set()
    # more chains go on in the same folder, yet have to be done
    assert kept('videoworld2', of=chains) == set(before.runs['videoworld2', 0])
    name = before.runs['none', 0]['eval']
    assert before.jobs[name].command != chains.jobs[name].command


def test_two_frame_latents_in_the_config():
    lapa = plan(rows='lapa')
    config = next(job.config for job in lapa.jobs.values() if job.kind == 'dldm')
    assert config['dldm']['model']['clip_frames'] == 5
    assert config['dldm']['clips']['offsets'] == [0, 16, 16, 16, 16]
    assert config['dldm']['model']['image_size'] == 32, 'the rest is as it was'
    both = plan(rows='lapa,videoworld2').runs
    assert both['lapa', 0]['sight'] == both['videoworld2', 0]['sight'], 'as is what it sees with'


def test_ablation_trains_heads_only_for_chains():
    assert not {'head', 'eval'} & set(kinds(plan('ablation', chains=0)))
    with_chains = plan('ablation', chains=5)
    acts = {row.name for row in experiment.ABLATION if row.acts}
    assert {row for (row, _), run in with_chains.runs.items() if 'eval' in run} == acts
    # no row is another one's twin
    last = [tuple(sorted(run.items())) for run in with_chains.runs.values()]
    assert len(set(last)) == len(last)


def test_ablation_has_the_papers_rows():
    """Each row's config says what its name says; what it does not say is as in the first row."""
    configs = {
        row.name: experiment.merged(Scale.load('cpu').config(), row.change)
        for row in experiment.ABLATION
    }

    def differs(name, *keys):
        found = configs[name]
        for key in keys:
            found = found.get(key, {})
        return found

    codes = {
        name: math.prod(differs(name, 'dldm', 'model', 'levels'))
        for name in configs
        if name.startswith('codebook-')
    }
    assert codes == {'codebook-8': 8, 'codebook-4096': 4096, 'codebook-64k': 64000}
    for key, prefix in (('queries', 'queries-'), ('clip_frames', 'clip-')):
        sizes = {
            name: differs(name, 'dldm', 'model', key)
            for name in configs
            if name.startswith(prefix)
        }
        sizes.pop('clip-2', None)  # one step of codes between frames 0 and 16, as LAPA's
        assert (
            sizes == {name: int(name.removeprefix(prefix)) for name in sizes} and len(sizes) == 3
        )
    assert differs('clip-2', 'dldm', 'clips', 'offsets') == [0, 16, 16, 16, 16]
    assert differs('vdm-alone', 'disentangle', 'loss') == {
        'backbone': 'full',
        'stop_gradient': False,
    }
    assert differs('vdm-alone', 'disentangle', 'vdm') == {'control': False}
    assert differs('connector-mlp-mask-full', 'disentangle', 'vdm') == {
        'connector': 'mlp',
        'mask': 'full',
    }
    assert {
        differs(f'vdm-{b}', 'disentangle', 'loss', 'backbone')
        for b in ('random', 'frozen', 'lora')
    } == {'random', 'frozen', 'lora'}


def test_cost_is_told_beforehand(tmp_path):
    scale = dataclasses.replace(
        Scale.load('tiny'),
        minutes=10,
        jobs=2,
        chains=20,
        stage_minutes={'collect': 60, 'head': 30, 'eval': 6, 'sight': 12},
    )
    table = plan(rows='none')  # two collections, sight, head, 20 chains
    assert table.cost(tmp_path, scale) == (
        '1 rows x 1 seeds: 5 stages, 5 of them to do (2 collect, 1 sight, 1 head, 1 eval); '
        'about 1.4 hours, 2 at a time (2.8 in all)'
    )
    more = plan(rows='none', chains=40)  # training takes half as long, the evaluation twice
    assert 'about 1.3 hours, 2 at a time (2.5 in all)' in more.cost(tmp_path, scale, minutes=5)
    (tmp_path / 'stages').mkdir()
    for job in list(table.jobs.values())[:2]:
        (tmp_path / 'stages' / f'{job.name}.json').write_text(
            json.dumps({'command': list(job.command)})
        )
    assert '3 of them to do (1 sight, 1 head, 1 eval); about 0.4 hours' in table.cost(
        tmp_path, scale
    )
    assert 'hours' not in table.cost(tmp_path, Scale.load('tiny')), 'it does not know'
    with pytest.raises(ValueError, match="stage_minutes must map names of .* Got {'haed': 1}"):
        dataclasses.replace(scale, stage_minutes={'haed': 1})


def test_help_tells_the_cost_of_the_ablation(tmp_path, capsys):
    cpu = Scale.load('cpu')
    costs = [
        Plan(experiment.ABLATION, seeds, cpu.config(), cpu.data, 0).cost(tmp_path, cpu)
        for seeds in (1, cpu.seeds)
    ]
    hours = [round(float(re.search('about ([0-9.]+) hours, 2 at a time', c)[1])) for c in costs]
    assert cli.main(['experiment', 'ablation', '--help']) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert (
        f"about {hours[0]} hours of two cores with --seeds 1, and {hours[1]} with the scale's four"
    ) in said


def test_minutes_scale_steps_and_boxes():
    scale = Scale.load('tiny')
    config = scale.config(scale.minutes * 2)
    assert config['dldm']['train']['steps'] == 2 * scale.config()['dldm']['train']['steps']
    boxed = experiment._scaled(
        {'train': {'max_minutes': 3, 'steps': 10, 'batch': 4}, 'sight': {'steps': 0}}, 0.01
    )
    assert boxed == {'train': {'max_minutes': 0.03, 'steps': 1, 'batch': 4}, 'sight': {'steps': 0}}


@pytest.mark.parametrize(
    'content, said',
    [
        ({'base': 'tiny', 'minutes': 1}, 'data'),
        ({'nonsense': 1}, 'nonsense'),
        ([1], 'mapping'),
        ({'base': 'tiny', 'minutes': 0, 'data': {'d': {}}}, 'minutes must be > 0. Got 0'),
        ({'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'seeds': 0}, 'seeds .* Got 0'),
        (
            {'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'once': ['vdm']},
            'once must hold .*sight',
        ),
        ({'base': 'tiny', 'minutes': 1, 'data': {'x': {}}}, "labelled data set 'd'"),
        (
            {'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'train': {'haed': {}}},
            "unknown section 'haed'. Did you mean head",
        ),
    ],
)
def test_bad_scale(tmp_path, content, said):
    path = tmp_path / 'scale.yaml'
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=said):
        Scale.load(str(path)).config()


def test_refused_by_the_command_line(capsys, tmp_path):
    for arguments, said in (
        (['--rows', 'none,lappa'], "unknown row 'lappa'"),
        (['--scale', 'hugh'], "unknown scale 'hugh'"),
    ):
        assert (
            cli.main(['experiment', 'calvin-table', '--out', str(tmp_path / 'o'), *arguments]) == 2
        )
        assert said in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


@pytest.mark.parametrize('name', experiment.TABLES)
def test_help_has_an_example(name, capsys):
    assert cli.main(['experiment', name, '--help']) == 0
    assert f'Example: vw2 experiment {name} --scale tiny' in capsys.readouterr().out


# ------------------------------------------------------------------------------------- statistics


def test_interval_of_independent_chains():
    rng = np.random.default_rng(1)
    values = rng.binomial(5, 0.4, (1, 400)).astype(float)
    found = experiment_table.interval(values)
    wanted = 1.96 * values.std() / np.sqrt(400)
    assert found['mean'] == values.mean()
    assert abs(found['high'] - found['low'] - 2 * wanted) < 0.1 * 2 * wanted
    # seeds that differ widen it, though there are more chains in all
    seeds = np.concatenate([values, values + 1])
    assert np.ptp(list(experiment_table.interval(seeds).values())[1:]) > 4 * wanted


def test_ratio_is_paired_over_chains():
    rng = np.random.default_rng(2)
    easy = rng.integers(1, 5, (2, 200)).astype(float)  # chains differ much, rows do not
    paired = experiment_table.ratio(1.5 * easy, easy)
    assert paired['ratio'] == pytest.approx(1.5)
    assert paired['low'] == pytest.approx(1.5) and paired['high'] == pytest.approx(1.5)
    alone = experiment_table.ratio(1.5 * easy, easy[:, ::-1])
    assert alone['high'] - alone['low'] > 0.1


def test_ratio_to_nothing():
    some, nothing = np.ones((1, 10)), np.zeros((1, 10))
    assert experiment_table.ratio(some, nothing) == {'ratio': None, 'low': None, 'high': None}
    assert experiment_table.ratio(nothing, some) == {'ratio': 0.0, 'low': 0.0, 'high': 0.0}
    rare = nothing.copy()
    rare[0, 0] = 1.0
    found = experiment_table.ratio(some, rare)
    assert found['ratio'] == 10.0 and found['high'] is None and 0 < found['low'] < 10


def pretend(of, out, lengths=(1, 2), commit=lambda job: 'a' * 40):
    """As if all jobs of a plan had been done."""
    experiment.write_plan(of, out)
    for name, job in of.jobs.items():
        folder = out / 'stages' / name
        (folder / 'policy').mkdir(parents=True)
        made = json.dumps({'git_commit': commit(job), 'steps': 3, 'seconds': 1.0})
        (folder / 'provenance.json').write_text(made)
        (folder / 'policy' / 'provenance.json').write_text(made)
        (folder / 'result.json').write_text(
            json.dumps({'lengths': lengths, 'checkpoint_sha256': 'b' * 64, 'seconds': 1.0})
        )
        (out / 'stages' / f'{name}.json').write_text(json.dumps({'command': list(job.command)}))


def test_a_part_of_a_table_leaves_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, 'perform', lambda plan, out, *_: pretend(plan, out))
    experiment.run('calvin-table', tmp_path, 'tiny', seeds=2)
    result = experiment.run('calvin-table', tmp_path / 'other', 'tiny', rows='lapa')
    assert [row['name'] for row in result['rows']] == ['lapa']
    before = [
        (tmp_path / name).read_text().split('\n\nCommand: ')[0]
        for name in ('table.md', 'commands.sh')
    ]
    monkeypatch.setattr(experiment, 'perform', lambda *_: None)
    for asked in ({'rows': 'none', 'seeds': 1}, {'rows': 'videoworld2', 'chains': 0}):
        result = experiment.run('calvin-table', tmp_path, 'tiny', **asked)
        assert [len(row['runs']) for row in result['rows']] == [2] * 6
        assert [
            (tmp_path / name).read_text().split('\n\nCommand: ')[0]
            for name in ('table.md', 'commands.sh')
        ] == before
    result = experiment.run('calvin-table', tmp_path / 'other', 'tiny', rows='none', seeds=3)
    assert [row['name'] for row in result['rows']] == ['none', 'lapa']
    text = (tmp_path / 'other' / 'commands.sh').read_text()
    assert text.count('train head') == 3 + 1 and text.count('train dldm') == 1, 'what is wanted'


def test_captions_tell_seeds_and_commits(tmp_path):
    pretend(plan(rows='none'), tmp_path)
    only = experiment_table.write(plan(rows='none'), tmp_path, 'calvin-table', 'tiny')
    assert only['rows'][0]['runs'][0]['git_commit'] == {'sight': 'a' * 40, 'head': 'a' * 40}
    text = (tmp_path / 'table.md').read_text()
    assert '1 seed.' in text and 'interval over chains only.' in text
    assert 'commit' not in text
    out = tmp_path / 'several'
    pretend(
        plan(rows='none', seeds=3),
        out,
        commit=lambda job: ('c' if job.kind == 'sight' else 'd') * 40,
    )
    pretend(plan(rows='videoworld2', seeds=2, once=experiment.KINDS[:-1]), tmp_path / 'once')
    for more in (tmp_path / 'once' / 'stages').iterdir():
        if not (out / 'stages' / more.name).exists():
            more.rename(out / 'stages' / more.name)
    whole = plan(rows='none,videoworld2', seeds=3)
    found = experiment_table.write(whole, out, 'calvin-table', 'tiny')
    assert [ratio['seeds'] for ratio in found['ratios']] == [1]
    text = (out / 'table.md').read_text()
    assert '1 to 3 seeds of a row' in text and 'over seeds where a row has several' in text
    assert 'over the seeds that both rows have\n' in text
    assert '| rows | seeds | ratio | paper |' in text and '| videoworld2 / none | 1 |' in text
    assert 'of different commits: ccccccc (sight); ddddddd (head); aaaaaaa (vdm, ' in text


def test_curve_of_a_log_that_is_cut_short(tmp_path):
    log = tmp_path / 'log.jsonl'
    log.write_text('{"kind": "validation", "step": 2, "loss": 1.5}\n{"kind": "valid')
    assert experiment_table._curve(log, 'loss') == [(2, 1.5)]


# -------------------------------------------------------------------------------------------- run


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('experiment') / 'data',
        shards=True,
        episodes=6,
        frames=40,
        landmarks=True,
    )


def write_scale(folder, data, **changes):
    """Path of a tiny scale with this data and these changes of the config."""
    content = yaml.safe_load((ROOT / 'config' / 'experiment' / 'tiny.yaml').read_text())
    content |= {'data': {name: str(data) for name in ('abc', 'd')}, 'chains': 1}
    content['train'] = experiment.merged(content['train'], changes)
    path = folder / 'scale.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_interrupted_row_goes_on(data, tmp_path, capsys):
    """The row without latents, for real: Ctrl-C while its head trains, then twice to the end."""
    out, scale = (
        tmp_path / 'out',
        write_scale(tmp_path, data, head={'train': {'steps': 400, 'validate_every': 100}}),
    )

    def interrupt():
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and not any(
            '"progress"' in p.read_text() for p in out.glob('stages/head-*/log.jsonl')
        ):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        experiment.run('calvin-table', out, scale, rows='none')
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not list(out.glob('stages/head-*.json')), 'it had not ended'
    saved = list(out.glob('stages/head-*/checkpoints/*'))
    assert saved and 0 < int(saved[-1].name) < 400

    result = experiment.run('calvin-table', out, scale, rows='none')
    log = [json.loads(line) for line in next(out.glob('stages/head-*/log.jsonl')).open()]
    assert [x['step'] for x in log if x['kind'] == 'train'] == list(range(2, 401, 2))
    (row,) = result['rows']
    (run,) = row['runs']
    assert row['mean_length']['low'] <= row['mean_length']['mean'] <= row['mean_length']['high']
    assert len(run['lengths']) == 1 and len(run['checkpoint_sha256']) == 64
    assert row['steps'] == {'sight': 6, 'head': 400} and row['parameters'] > 1e5
    assert set(row['seconds']) == {'sight', 'head', 'eval'} and len(run['commands']) == 3
    assert json.loads((out / 'table.json').read_text()) == json.loads(json.dumps(result))

    before = {p: p.stat().st_mtime_ns for p in out.glob('stages/*')}
    again = experiment.run('calvin-table', out, scale, rows='none')
    assert again['rows'] == result['rows']
    assert {p: p.stat().st_mtime_ns for p in out.glob('stages/*')} == before, 'nothing was done'
    with pytest.raises(ValueError, match='holds calvin-table: give ablation another folder'):
        experiment.run('ablation', out, scale)
    text = (out / 'table.md').read_text()
    assert re.search(r'\| none \| 10 % \| .* \| 1 x 1 \|', text)
    for name in ('mean_length.png', 'curves.png'):
        assert (out / name).read_bytes().startswith(b'\x89PNG')
    assert (out / 'report.html').read_text().count('data:image/png') == 2
    assert (
        f'vw2 eval --policy stages/{next(out.glob("stages/head-*.json")).stem}/policy'
        in (out / 'commands.sh').read_text()
    )


def test_a_failed_stage_is_named_and_the_rest_is_done(tmp_path):
    refused = {'scenes': 'D', 'episodes': 0}
    small = {
        'scenes': 'D',
        'episodes': 1,
        'tasks_per_episode': 1,
        'validation_episodes': 0,
        'shards': 32,
    }
    of = Plan(
        chosen('calvin-table', 'lapa'),
        1,
        Scale.load('tiny').config(),
        {'abc': refused, 'd': small},
        chains=1,
    )
    of.jobs = {name: job for name, job in of.jobs.items() if job.kind in ('collect', 'dldm')}
    of.runs = {}  # only these, not the whole row
    experiment.write_plan(of, tmp_path)
    with pytest.raises(
        experiment.ExperimentError, match="^collect-.*Invalid value for '--episodes'"
    ) as told:
        experiment.perform(of, tmp_path, jobs=1)
    assert 'goes on with what is left' in str(told.value) and str(told.value).count('failed:') == 1
    assert not list(tmp_path.glob('stages/dldm*')), 'it builds on the one that failed'
    assert len(list(tmp_path.glob('stages/collect-*.json'))) == 1, 'the other one is done'


def test_a_stage_left_over_by_a_kill_is_waited_for(tmp_path, monkeypatch, capsys):
    """Its log stays locked by the process that outlived the experiment; whoever waits says so."""
    job = experiment.Job('collect-0', 'collect', ('--help',))
    (tmp_path / 'stages').mkdir()
    with open(tmp_path / 'stages' / 'collect-0.log', 'ab') as log:
        left = subprocess.Popen(
            [
                sys.executable,
                '-c',
                'import fcntl, sys; '
                'fcntl.flock(1, fcntl.LOCK_EX); sys.stderr.write("x"); '
                'sys.stderr.flush(); sys.stdin.read()',
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.PIPE,
        )
    of = plan()
    of.jobs, of.runs = {job.name: job}, {}
    monkeypatch.setattr(experiment, 'REMIND_S', 0.5)
    try:
        assert left.stderr.read(1) == b'x'
        assert experiment.Stage(job, tmp_path, 1).is_elsewhere
        threading.Timer(2.0, left.stdin.close).start()
        experiment.perform(of, tmp_path, jobs=1)
    finally:
        left.kill()
        left.wait()
    assert job.is_complete(tmp_path)
    said = capsys.readouterr().err
    assert said.startswith('0/1 waits for collect-0: another process is at it\n')
    assert '0/1 collect-0: elsewhere\n' in said and said.endswith('1/1 done collect-0\n')


# ------------------------------------------------------------------------------ two-frame latents


def test_two_frame_latents_give_chunks_of_sixteen(data, tmp_path):
    """LAPA's row by hand: codes of (x_0, x_16), one step, 16 actions, as the control loop wants."""
    import torch

    from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
    from vw2_ros.control.safety import Limits
    from vw2_ros.models.data.store import FrameStore
    from vw2_ros.models.policy import Policy
    from vw2_ros.models.stages.head import HeadStage
    from vw2_ros.models.stages.planner import PlannerStage
    from vw2_ros.models.stages.warmup import WarmUpStage
    from vw2_ros.models.training.run import run

    config = tmp_path / 'lapa.yaml'
    config.write_text(
        yaml.safe_dump(
            json.loads(
                json.dumps(experiment.merged(Scale.load('tiny').config(), experiment.TWO_FRAMES))
            )
        )
    )
    run(WarmUpStage(config, [data]), tmp_path / 'dldm')
    run(PlannerStage(config, [data], init=tmp_path / 'dldm'), tmp_path / 'planner')
    run(HeadStage(config, [data], init=tmp_path / 'planner'), tmp_path / 'head')

    store = FrameStore([data], 'training', 32)
    rows, codes = read_codes(tmp_path / 'planner' / CODES_FILE, store)
    assert codes.shape[1:] == (1, 4)
    assert set(rows % 40) == set(range(0, 24, 4)), 'a clip spans 17 frames, though it has 5'
    model = load_model(DLDM, DLDMConfig, tmp_path / 'dldm', 'dldm')
    pair = torch.from_numpy(store.rgb(rows[-1] + np.array([0, 16, 16, 16, 16])))[None]
    assert (model.tokenize(to_video(pair)).numpy() == codes[-1]).all()

    policy = Policy.load(tmp_path / 'head' / 'policy')
    assert policy.chunk == 16 and policy.codes_shape == (1, 4) and policy.hidden_shape == (1, 32)
    image = np.zeros((96, 96, 3), np.uint8)
    actions = policy.infer({'rgb': image, 'instruction': 'open the drawer'}).actions
    assert actions.shape == (16, 7)
    limits = Limits.play_table()
    for lockstep in (True, False):  # the latter blends
        loop = ControlLoop(limits, ControlConfig(lockstep=lockstep, chunk=16))
        loop.instruct('open the drawer')
        assert not loop.accept(Chunk(10**9, actions, 1.0), 1.0)
        assert not loop.accept(Chunk(10**9 + 10**8, actions, 1.1), 1.1)

    # The transformer without latents plans in the same chunks, and is as large.
    run(HeadStage('tiny', [data]), tmp_path / 'none')
    plain = Policy.load(tmp_path / 'none' / 'policy')
    assert plain.chunk == 16
    head = policy.parameters - plain.parameters  # 16 * 7 outputs of one step, not 4 * 7 of four
    assert head == 12 * 7 * (32 + 1)


@pytest.mark.parametrize(
    'offsets, said',
    [
        ([1, 2, 3, 4, 5], 'begin with 0'),
        ([0, 4, 3, 4, 5], 'never fall'),
        ([0, 16], 'name the 5 frames'),
        ([0, 0, 0, 0, 0], 'multiple of 1'),
    ],
)
def test_bad_offsets(offsets, said):
    from vw2_ros.models.data.batches import ClipConfig
    from vw2_ros.models.dldm import DLDMConfig
    from vw2_ros.models.errors import ConfigError

    with pytest.raises(ConfigError, match=said):
        ClipConfig(offsets=offsets).frames_per_step(DLDMConfig(clip_frames=5))


@pytest.mark.slow
def test_the_whole_tiny_table(tmp_path):
    result = experiment.run('calvin-table', tmp_path / 'out', 'tiny')
    assert [row['name'] for row in result['rows']] == [r.name for r in experiment.CALVIN_TABLE]
    assert all(row['mean_length'] for row in result['rows'])
    assert {(r['of'], r['to']) for r in result['ratios']} >= {
        ('videoworld2', 'none'),
        ('videoworld2', 'lapa'),
    }
    video2 = next(row for row in result['rows'] if row['name'] == 'videoworld2')
    assert set(video2['steps']) == {'vdm', 'sight', 'dldm', 'disentangle', 'planner', 'head'}
