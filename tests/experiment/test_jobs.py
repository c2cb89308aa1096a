# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which jobs a table needs, what they share and what they cost."""

import dataclasses
import json
import pathlib
import re

import pytest
import yaml
from experiment_files import ROOT, graph_of, kinds

from vw2_ros import cli
from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.rows import ABLATION, CALVIN_TABLE, KINDS, PRETRAINED, chosen
from vw2_ros.experiment.scale import Scale


def test_table_shares_what_rows_have_in_common():
    whole = graph_of()
    count = {kind: kinds(whole).count(kind) for kind in KINDS}
    # VideoWorld 1 is the warm-up of VideoWorld 2, whose codes learn from the same scenes twice
    assert count == {
        'collect': 2,
        'vdm': 1,
        'sight': 1,
        'dldm': 3,
        'disentangle': 2,
        'planner': 5,
        'head': 7,
        'eval': 7,
    }
    runs = whole.runs
    assert runs['videoworld1', 0]['dldm'] == runs['videoworld2', 0]['dldm']
    assert runs['videoworld1', 0]['planner'] != runs['videoworld2', 0]['planner']
    assert runs['videoworld2-full', 0]['planner'] != runs['videoworld2', 0]['planner']
    assert runs['lapa', 0]['dldm'] != runs['videoworld1', 0]['dldm']


@pytest.mark.parametrize('table, chains', [('calvin-table', 20), ('ablation', 0)])
def test_order_of_jobs(table, chains):
    whole = graph_of(table, seeds=2, chains=chains)
    names = list(whole.jobs)
    for job in whole.jobs.values():  # what a job needs stands before it
        assert all(names.index(need) < names.index(job.name) for need in job.needs)
    seeds = [
        next(seed for (_, seed), run in whole.runs.items() if name in run.values())
        for name, job in whole.jobs.items()
        if job.kind != 'collect'
    ]
    assert seeds == sorted(seeds) and 0 < sum(seeds) < len(seeds), 'one after the other'
    order = [KINDS.index(kind) for kind in kinds(whole)]
    assert sum(a > b for a, b in zip(order, order[1:])) == 1, 'each from its long stages on'
    for kind in PRETRAINED:
        assert kinds(whole).count(kind) == 1, 'rows and seeds share it'


def test_what_is_trained_once_for_all_seeds():
    whole = graph_of(seeds=2, once=('vdm', 'sight', 'dldm', 'disentangle'))
    count = {kind: kinds(whole).count(kind) for kind in KINDS}
    assert count == {
        'collect': 2,
        'vdm': 1,
        'sight': 1,
        'dldm': 3,
        'disentangle': 2,
        'planner': 10,
        'head': 14,
        'eval': 14,
    }
    assert '--seed 0' in whole.jobs[whole.runs['videoworld2', 1]['disentangle']].text
    assert '--seed 1' in whole.jobs[whole.runs['videoworld2', 1]['planner']].text


def test_who_learns_from_what():
    whole = graph_of()
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
    for row in CALVIN_TABLE:
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
    graph = JobGraph([], 0, {}, {})
    assert graph._add('disentangle', new, config=config) == name
    (tmp_path / 'stages').mkdir()
    (tmp_path / 'stages' / f'{name}.json').write_text(
        json.dumps({'command': [x for x in old if x != '--resume']})
    )
    assert graph.jobs[name].is_complete(tmp_path)


def test_data_by_path(tmp_path):
    of = JobGraph(
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
    whole = graph_of(rows='videoworld2', seeds=2)
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
    scratch = graph_of(rows='none-full')
    run = scratch.runs['none-full', 0]
    assert (
        f'--labels 1.0 --scratch --sight stages/{run["sight"]}' in scratch.jobs[run['head']].text
    )


def test_a_scale_says_how_many_labels_are_few():
    quarter = graph_of(rows='none,none-full', few_labels=0.25)
    assert [row.labels for row in quarter.rows] == [0.25, 1.0]
    assert '--labels 0.25' in quarter.jobs[quarter.runs['none', 0]['head']].text


def test_a_job_depends_on_what_it_reads_and_on_nothing_else():
    before = graph_of(rows='videoworld2,none')
    chains = graph_of(rows='videoworld2,none', chains=30, workers=4)

    def kept(row, *section, of=None, **values):
        change = values
        for key in reversed(section):
            change = {key: change}
        of = of or graph_of(rows='videoworld2,none', change=change)
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
    lapa = graph_of(rows='lapa')
    config = next(job.config for job in lapa.jobs.values() if job.kind == 'dldm')
    assert config['dldm']['model']['clip_frames'] == 5
    assert config['dldm']['clips']['offsets'] == [0, 16, 16, 16, 16]
    assert config['dldm']['model']['image_size'] == 32, 'the rest is as it was'
    both = graph_of(rows='lapa,videoworld2').runs
    assert both['lapa', 0]['sight'] == both['videoworld2', 0]['sight'], 'as is what it sees with'


def test_ablation_trains_heads_only_for_chains():
    assert not {'head', 'eval'} & set(kinds(graph_of('ablation', chains=0)))
    with_chains = graph_of('ablation', chains=5)
    acts = {row.name for row in ABLATION if row.acts}
    assert {row for (row, _), run in with_chains.runs.items() if 'eval' in run} == acts
    # no row is another one's twin
    last = [tuple(sorted(run.items())) for run in with_chains.runs.values()]
    assert len(set(last)) == len(last)


def test_cost_is_told_beforehand(tmp_path):
    scale = dataclasses.replace(
        Scale.load('tiny'),
        minutes=10,
        jobs=2,
        chains=20,
        stage_minutes={'collect': 60, 'head': 30, 'eval': 6, 'sight': 12},
    )
    table = graph_of(rows='none')  # two collections, sight, head, 20 chains
    assert table.cost(tmp_path, scale) == (
        '1 rows x 1 seeds: 5 stages, 5 of them to do (2 collect, 1 sight, 1 head, 1 eval); '
        'about 1.4 hours, 2 at a time (2.8 in all)'
    )
    more = graph_of(rows='none', chains=40)  # training takes half as long, the evaluation twice
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
        JobGraph(ABLATION, seeds, cpu.config(), cpu.data, 0).cost(tmp_path, cpu)
        for seeds in (1, cpu.seeds)
    ]
    hours = [round(float(re.search('about ([0-9.]+) hours, 2 at a time', c)[1])) for c in costs]
    assert cli.main(['experiment', 'ablation', '--help']) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert (
        f"about {hours[0]} hours of two cores with --seeds 1, and {hours[1]} with the scale's four"
    ) in said
