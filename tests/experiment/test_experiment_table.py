# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The table: what stays in it, what its captions tell."""

import re

import pytest
from experiment_files import ROOT, graph_of, pretend

from vw2_ros.experiment import results
from vw2_ros.experiment import run as run_module
from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.plots import _curve
from vw2_ros.experiment.rows import KINDS, chosen
from vw2_ros.experiment.run import run
from vw2_ros.experiment.scale import Scale
from vw2_ros.experiment.table import markdown, write_table


@pytest.mark.parametrize(
    'folder, scale', [('calvin_table', 'cpu'), ('calvin_table/own_codes', 'own_codes.yaml')]
)
def test_a_table_of_an_older_version_is_read_and_gone_on_with(folder, scale):
    """Its table.md follows from its table.json, and today's jobs have the names of its jobs."""
    old = ROOT / 'resource' / folder
    found = results.read(old)
    assert markdown({**found, 'scale': scale}) == (old / 'table.md').read_text()
    size = Scale.load(str(old / scale) if scale.endswith('.yaml') else scale)
    graph = JobGraph(
        chosen('calvin-table', ','.join(row['name'] for row in found['rows'])),
        found['seeds'],
        size.config(),
        size.data,
        found['chains'],
        size.workers,
        size.once,
    )
    names = re.findall(r'--out stages/(\S+)', (old / 'commands.sh').read_text())
    assert list(graph.jobs) == names


def test_a_part_of_a_table_leaves_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, 'perform', lambda graph, out, *_: pretend(graph, out))
    run('calvin-table', tmp_path, 'tiny', seeds=2)
    result = run('calvin-table', tmp_path / 'other', 'tiny', rows='lapa')
    assert [row['name'] for row in result['rows']] == ['lapa']
    before = [
        (tmp_path / name).read_text().split('\n\nCommand: ')[0]
        for name in ('table.md', 'commands.sh')
    ]
    monkeypatch.setattr(run_module, 'perform', lambda *_: None)
    for asked in ({'rows': 'none', 'seeds': 1}, {'rows': 'videoworld2', 'chains': 0}):
        result = run('calvin-table', tmp_path, 'tiny', **asked)
        assert [len(row['runs']) for row in result['rows']] == [2] * 7
        assert [
            (tmp_path / name).read_text().split('\n\nCommand: ')[0]
            for name in ('table.md', 'commands.sh')
        ] == before
    result = run('calvin-table', tmp_path / 'other', 'tiny', rows='none', seeds=3)
    assert [row['name'] for row in result['rows']] == ['none', 'lapa']
    text = (tmp_path / 'other' / 'commands.sh').read_text()
    assert text.count('train head') == 3 + 1 and text.count('train dldm') == 1, 'what is wanted'


def test_captions_tell_seeds_and_commits(tmp_path):
    pretend(graph_of(rows='none'), tmp_path)
    only = write_table(graph_of(rows='none'), tmp_path, 'calvin-table', 'tiny')
    assert only['rows'][0]['runs'][0]['git_commit'] == {'sight': 'a' * 40, 'head': 'a' * 40}
    text = (tmp_path / 'table.md').read_text()
    assert '1 seed.' in text and 'interval over chains only.' in text
    assert 'commit' not in text
    out = tmp_path / 'several'
    pretend(
        graph_of(rows='none', seeds=3),
        out,
        commit=lambda job: ('c' if job.kind == 'sight' else 'd') * 40,
    )
    pretend(graph_of(rows='videoworld2', seeds=2, once=KINDS[:-1]), tmp_path / 'once')
    for more in (tmp_path / 'once' / 'stages').iterdir():
        if not (out / 'stages' / more.name).exists():
            more.rename(out / 'stages' / more.name)
    whole = graph_of(rows='none,videoworld2', seeds=3)
    found = write_table(whole, out, 'calvin-table', 'tiny')
    assert [pair['seeds'] for pair in found['ratios']] == [1]
    text = (out / 'table.md').read_text()
    assert '1 to 3 seeds of a row' in text and 'over seeds where a row has several' in text
    assert 'over the seeds that both rows have\n' in text
    assert '| rows | seeds | ratio | paper |' in text and '| videoworld2 / none | 1 |' in text
    assert 'of different commits: ccccccc (sight); ddddddd (head); aaaaaaa (vdm, ' in text


def test_curve_of_a_log_that_is_cut_short(tmp_path):
    log = tmp_path / 'log.jsonl'
    log.write_text('{"kind": "validation", "step": 2, "loss": 1.5}\n{"kind": "valid')
    assert _curve(log, 'loss') == [(2, 1.5)]
