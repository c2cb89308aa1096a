# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 --version` says what runs, and the shell completes `vw2`."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from vw2_ros import cli, files, version

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_version_commit_and_weights(capsys):
    assert cli.main(['--version']) == 0
    first, *weights = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'vw2_ros \d+\.\d+\.\d+, commit ([0-9a-f]{12}(\+changes)?|unknown)', first)
    digests = {n: files.folder_sha256(files.weights_dir() / n) for n in files.shipped_weights()}
    assert weights == [f'weights {name}, sha256 {d[:16]}' for name, d in digests.items()]


def test_the_number_is_that_of_the_package():
    assert f"version='{version.number()}'" in (ROOT / 'setup.py').read_text()


def test_an_installed_copy_says_so(monkeypatch, tmp_path):
    share = files.share_dir()
    monkeypatch.setattr(files, 'share_dir', lambda: share)
    monkeypatch.setattr(files, 'checkout', lambda: None)
    monkeypatch.setattr(files, 'weights_dir', lambda: tmp_path / 'none')
    assert version.commit() == 'unknown'
    assert version.lines() == [f'vw2_ros {version.number()}, installed', 'no shipped weights']


def test_a_source_tree_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(files, 'checkout', lambda: tmp_path)
    assert version.commit() == 'unknown'


def vw2(*arguments, **variables):
    """Run `vw2` as a shell does."""
    code = 'import sys; from vw2_ros.cli import main; sys.exit(main())'
    env = os.environ | {'PYTHONPATH': str(ROOT)} | variables
    return subprocess.run(
        [sys.executable, '-c', code, *arguments], env=env, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    'typed, offered', [('vw2 expe', ['experiment']), ('vw2 bench l', ['loop'])]
)
def test_the_shell_completes(typed, offered):
    done = vw2(
        _VW2_COMPLETE='complete_bash', COMP_WORDS=typed, COMP_CWORD=str(len(typed.split()) - 1)
    )
    assert done.stdout.split() == offered, done.stderr


def test_completion_is_shown_and_installed(tmp_path):
    home = {'HOME': str(tmp_path), '_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION': '1'}
    done = vw2('--show-completion', 'bash', **home)
    assert done.returncode == 0 and 'complete -o default -F _vw2_completion vw2' in done.stdout
    done = vw2('--install-completion', 'bash', **home)
    assert done.returncode == 0, done.stderr
    assert any('_vw2_completion' in p.read_text() for p in tmp_path.rglob('*') if p.is_file())
