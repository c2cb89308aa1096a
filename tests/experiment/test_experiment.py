# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 experiment` as a whole: refused, interrupted and gone on with, run to the end."""

import json
import os
import re
import signal
import threading
import time

import calvin_files
import pytest
from experiment_files import write_scale

from vw2_ros import cli
from vw2_ros.experiment.rows import CALVIN_TABLE, TABLES
from vw2_ros.experiment.run import run


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('experiment') / 'data',
        held_out_frames=24,
        shards=True,
        episodes=6,
        frames=40,
        landmarks=True,
    )


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


@pytest.mark.parametrize('name', TABLES)
def test_help_has_an_example(name, capsys):
    assert cli.main(['experiment', name, '--help']) == 0
    assert f'Example: vw2 experiment {name} --scale tiny' in capsys.readouterr().out


def test_interrupted_row_goes_on(data, tmp_path, capsys):
    """The row without latents, for real: Ctrl-C while its head trains, then twice to the end."""
    out, scale = (
        tmp_path / 'out',
        write_scale(tmp_path, data, head={'train': {'steps': 150, 'validate_every': 50}}),
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
        run('calvin-table', out, scale, rows='none')
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not list(out.glob('stages/head-*.json')), 'it had not ended'
    saved = list(out.glob('stages/head-*/checkpoints/*'))
    assert saved and 0 < int(saved[-1].name) < 150

    result = run('calvin-table', out, scale, rows='none')
    log = [json.loads(line) for line in next(out.glob('stages/head-*/log.jsonl')).open()]
    assert [x['step'] for x in log if x['kind'] == 'train'] == list(range(2, 151, 2))
    (row,) = result['rows']
    (made,) = row['runs']
    assert row['mean_length']['low'] <= row['mean_length']['mean'] <= row['mean_length']['high']
    assert len(made['lengths']) == 1 and len(made['checkpoint_sha256']) == 64
    assert row['steps'] == {'sight': 6, 'head': 150} and row['parameters'] > 1e5
    assert set(row['seconds']) == {'sight', 'head', 'eval'} and len(made['commands']) == 3
    assert json.loads((out / 'table.json').read_text()) == json.loads(json.dumps(result))

    before = {p: p.stat().st_mtime_ns for p in out.glob('stages/*')}
    again = run('calvin-table', out, scale, rows='none')
    assert again['rows'] == result['rows']
    assert {p: p.stat().st_mtime_ns for p in out.glob('stages/*')} == before, 'nothing was done'
    with pytest.raises(ValueError, match='holds calvin-table: give ablation another folder'):
        run('ablation', out, scale)
    text = (out / 'table.md').read_text()
    assert re.search(r'\| none \| 10 % \| .* \| 1 x 1 \|', text)
    for name in ('mean_length.png', 'curves.png'):
        assert (out / name).read_bytes().startswith(b'\x89PNG')
    assert (out / 'report.html').read_text().count('data:image/png') == 2
    assert (
        f'vw2 eval --policy stages/{next(out.glob("stages/head-*.json")).stem}/policy'
        in (out / 'commands.sh').read_text()
    )


@pytest.mark.slow
def test_the_whole_tiny_table(tmp_path):
    result = run('calvin-table', tmp_path / 'out', 'tiny')
    assert [row['name'] for row in result['rows']] == [r.name for r in CALVIN_TABLE]
    assert all(row['mean_length'] for row in result['rows'])
    assert {(r['of'], r['to']) for r in result['ratios']} >= {
        ('videoworld2', 'none'),
        ('videoworld2', 'lapa'),
    }
    video2 = next(row for row in result['rows'] if row['name'] == 'videoworld2')
    assert set(video2['steps']) == {'vdm', 'sight', 'dldm', 'disentangle', 'planner', 'head'}
