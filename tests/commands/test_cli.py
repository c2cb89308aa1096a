# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2`: help with examples, errors in one line, exit statuses, Ctrl-C."""

import errno
import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vw2_ros import cli
from vw2_ros.commands import eval as eval_command
from vw2_ros.errors import InvalidValueError, VW2Error

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = [
    ['demo'],
    ['collect'],
    ['redraw'],
    ['teleop'],
    ['record'],
    ['convert'],
    ['train', 'sight'],
    ['train', 'dldm'],
    ['train', 'planner'],
    ['train', 'head'],
    ['train', 'vdm'],
    ['train', 'keysteps'],
    ['imagine'],
    ['inspect'],
    ['eval'],
    ['export', 'lerobot'],
    ['bench', 'sim'],
    ['bench', 'policy'],
    ['bench', 'loop'],
    ['bench', 'imagination'],
    ['experiment', 'calvin-table'],
    ['experiment', 'ablation'],
    ['doctor'],
]


def refused(capsys, *arguments, status=2):
    """Run vw2, check that it fails with one line on stderr, and return that line."""
    assert cli.main(arguments) == status
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('vw2: error: ') and err.count('\n') == 1, err
    return err


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
def test_help_has_an_example(command, capsys):
    assert cli.main([*command, '--help']) == 0
    out = capsys.readouterr().out
    assert f'Example: vw2 {" ".join(command)}' in out
    assert 'Usage: vw2 ' + ' '.join(command) in out


def test_help_lists_every_command(capsys):
    assert cli.main(['--help']) == 0
    out = capsys.readouterr().out
    for word in (
        '--version',
        '--install-completion',
        *{c[0] for c in COMMANDS},
        'Example: vw2 demo',
    ):
        assert word in out


def test_unknown_command_and_option(capsys):
    assert cli.main(['evla']) == 2
    assert 'eval' in capsys.readouterr().err
    assert cli.main(['eval', '--taks', 'all']) == 2
    assert '--tasks' in capsys.readouterr().err


def test_unknown_scene(capsys):
    assert "unknown scene 'E'" in refused(
        capsys, 'eval', '--policy', 'expert', '--chains', '1', '--scene', 'E'
    )
    assert "unknown scene 'X'" in refused(capsys, 'collect', '--out', 'out/x', '--scenes', 'DX')
    assert not pathlib.Path('out/x').exists()


def test_unknown_task_names_near_ones(capsys):
    line = refused(capsys, 'eval', '--policy', 'random', '--tasks', 'open_drawr')
    assert "unknown task 'open_drawr'. Did you mean open_drawer" in line


def test_unknown_policy(capsys):
    line = refused(capsys, 'eval', '--policy', 'exprt', '--tasks', 'all')
    assert "unknown policy 'exprt'. Did you mean expert" in line and 'random' in line
    assert 'folder' in line


def test_nothing_to_evaluate(capsys):
    assert '--chains N' in refused(capsys, 'eval', '--policy', 'random')


def test_a_place_that_cannot_be_written_is_told_before_any_work(capsys, tmp_path, monkeypatch):
    file = tmp_path / 'file'
    file.touch()
    for command in (
        ['collect'],
        ['record'],
        ['demo'],
        ['train', 'vdm', '--config', 'tiny', '--data', str(tmp_path)],
        ['eval', '--chains', '1'],
        ['experiment', 'calvin-table'],
    ):
        for out in (file, file / 'deeper'):
            line = refused(capsys, *command, '--out', str(out))
            assert f'must be a folder, new or not. Got a file, {file}\n' in line
    line = refused(capsys, 'eval', '--chains', '1', '--json', str(tmp_path))
    assert 'must be a file to write. Got a folder' in line
    line = refused(capsys, 'bench', 'sim', '--json', str(file / 'sim.json'))
    assert 'must be a folder' in line
    monkeypatch.setattr(os, 'access', lambda *_: False)
    line = refused(capsys, 'collect', '--out', str(tmp_path / 'new' / 'data'))
    assert f'may write. Got {tmp_path}, which is read-only' in line
    assert list(tmp_path.iterdir()) == [file] and not file.read_bytes()


def test_a_full_disk_says_what_to_do(capsys, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, 'No space left on device', 'out/x')

    monkeypatch.setattr(eval_command, 'check_tasks', fail)
    line = refused(capsys, 'eval', '--policy', 'random', '--tasks', 'all', status=1)
    assert line.endswith("'out/x'. Make room, and give the same command again\n")


def test_a_terminal_without_unicode_costs_no_status(monkeypatch):
    said = io.BytesIO()
    monkeypatch.setattr(sys, 'stderr', io.TextIOWrapper(said, encoding='ascii'))
    assert cli.main(['eval', '--policy', 'größe', '--tasks', 'all']) == 2
    sys.stderr.flush()
    assert b"policy 'gr\\xf6\\xdfe'" in said.getvalue()


def test_a_warning_is_one_line():
    code = (
        'import warnings; from vw2_ros import cli; from vw2_ros.commands import eval; '
        "eval.check_tasks = lambda _: warnings.warn('hm') or []; "
        "cli.main(['eval', '--policy', 'random', '--tasks', 'all', '--scene', 'E'])"
    )
    told = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
    ).stderr.splitlines()
    assert told[0] == 'vw2: warning: hm' and len(told) == 2


def test_help_keeps_units(capsys):
    assert cli.main(['collect', '--help']) == 0
    assert capsys.readouterr().out.count('(pixels)') == 2


def test_missing_files(capsys, tmp_path):
    line = refused(
        capsys,
        'eval',
        '--policy',
        'random',
        '--tasks',
        'all',
        '--phrases',
        str(tmp_path / 'none.json'),
    )
    assert 'none.json is not a file' in line
    line = refused(
        capsys,
        'train',
        'dldm',
        '--config',
        'tiny',
        '--data',
        str(tmp_path / 'none'),
        '--out',
        str(tmp_path / 'o'),
    )
    assert 'none is not a folder: vw2 collect makes data' in line
    assert not (tmp_path / 'o').exists()


def test_unknown_config(capsys, tmp_path):
    line = refused(
        capsys,
        'train',
        'head',
        '--config',
        'tinny',
        '--data',
        str(tmp_path),
        '--out',
        str(tmp_path / 'o'),
    )
    assert "unknown config 'tinny'. Did you mean tiny" in line


@pytest.mark.parametrize(
    'words, said',
    [
        ('dldm --start play_table', 'No such option'),
        ('dldm --sight .', 'No such option'),
        ('planner --labels 0.1', 'No such option'),
        ('planner --scratch', 'No such option'),
        ('sight --stage disentangle', 'No such option'),
        ('dldm --vdm . --init .', 'Got --init or --vdm. Say vw2 train disentangle instead'),
        ('dldm --stage disentangle', 'Say vw2 train disentangle instead of vw2 train dldm'),
        ('head --scratch --init .', 'leave out --init and --start'),
        ('head --scratch --start play_table', 'leave out --init and --start'),
        ('head --labels 0', 'Got 0.0'),
    ],
)
def test_training_takes_no_option_that_it_ignores(capsys, tmp_path, words, said):
    stage, *options = words.split()
    assert (
        cli.main(
            [
                'train',
                stage,
                '--config',
                'tiny',
                '--data',
                str(tmp_path),
                '--out',
                str(tmp_path / 'o'),
                *options,
            ]
        )
        == 2
    )
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_errors_of_a_run_are_one_line(capsys, monkeypatch):
    def fail(*_):
        raise InvalidValueError('image must be uint8\n  got float64')

    monkeypatch.setattr(eval_command, 'check_tasks', fail)
    arguments = ('eval', '--policy', 'random', '--tasks', 'all')
    line = refused(capsys, *arguments, status=1)
    assert line == 'vw2: error: image must be uint8 got float64\n'
    monkeypatch.setenv('VW2_DEBUG', '1')
    with pytest.raises(ValueError):
        cli.main(arguments)


@pytest.mark.parametrize(
    'bug', [lambda _: 1 / 0, lambda _: np.zeros(3) + np.zeros(2), lambda _: {}['task']]
)
def test_a_bug_is_not_hidden(monkeypatch, bug):
    monkeypatch.setattr(eval_command, 'check_tasks', bug)
    with pytest.raises((ZeroDivisionError, ValueError, KeyError)) as raised:
        cli.main(['eval', '--policy', 'random', '--tasks', 'all'])
    assert not isinstance(raised.value, VW2Error)


def test_a_missing_library_points_to_the_doctor(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'vw2_ros.sim.tasks', None)
    line = refused(capsys, 'eval', '--policy', 'random', '--tasks', 'all', status=1)
    assert 'vw2 doctor' in line


def test_ctrl_c_exits_with_130(capsys, monkeypatch):
    def interrupt(names):
        raise KeyboardInterrupt

    monkeypatch.setattr(eval_command, 'check_tasks', interrupt)
    assert cli.main(['eval', '--policy', 'random', '--tasks', 'all']) == 130
    assert 'interrupted' in capsys.readouterr().err


def test_ctrl_c_while_collecting_keeps_what_is_written(tmp_path):
    out = tmp_path / 'data'
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'vw2_ros.cli',
            'collect',
            '--out',
            str(out),
            '--scenes',
            'D',
            '--episodes',
            '200',
            '--workers',
            '1',
            '--shards',
            '32',
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not out.exists():
            time.sleep(0.1)
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: the whole group
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err[-2000:]
    assert 'interrupted' in err and 'Traceback' not in err
