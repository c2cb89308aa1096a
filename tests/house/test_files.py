# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where the files lie that are not Python; files are written whole or not at all."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest

from vw2_ros import files
from vw2_ros.errors import MissingFileError, VW2Error

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_json_is_written_whole(tmp_path):
    path = tmp_path / 'new' / 'result.json'
    files.write_json(path, {'a': 1.5})
    assert json.loads(path.read_text()) == {'a': 1.5}
    assert [p.name for p in path.parent.iterdir()] == ['result.json']


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.txt'
    files.write_whole(path, 'old')
    with pytest.raises(OSError, match='full'), files.whole(path) as beside:
        beside.write_text('ne')
        raise OSError('full')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
    files.write_whole(path, b'\x00')
    assert path.read_bytes() == b'\x00'


def test_a_file_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(FileNotFoundError, match='there are: .*fastdds.xml') as raised:
        files.config_file('none.yaml')
    assert isinstance(raised.value, VW2Error)
    assert files.share_dir() == ROOT and files.checkout() == ROOT


def test_a_config_is_a_file_or_a_name(tmp_path):
    assert files.named_config('train', 'tiny') == ROOT / 'config/train/tiny.yaml'
    own = tmp_path / 'own.yaml'
    own.touch()
    assert files.named_config('train', own) == own
    with pytest.raises(MissingFileError, match="unknown config 'tinny'. Did you mean tiny"):
        files.named_config('train', 'tinny')
    with pytest.raises(
        MissingFileError, match='unknown scale .* YAML file, or one of cpu, gpu, tiny'
    ):
        files.named_config('experiment', 'tinny', 'scale')


def test_the_shipped_weights_are_named():
    assert files.shipped_weights() == [
        'any_table',
        'calvin_d',
        'play_table',
        'play_table_detailed',
    ]


# ------------------------------------------------------------------- folders, hashes, locks, YAML


def test_a_folder_is_visited_once_whatever_leads_to_it(tmp_path):
    for name in ('data/b/deep', 'elsewhere/x', '.hidden'):
        (tmp_path / name).mkdir(parents=True)
    for file in ('data/b/deep/1', 'elsewhere/x/2', 'elsewhere/3', 'data/.4'):
        (tmp_path / file).touch()
    links = {'a': 'elsewhere', 'c': 'data/b', 'self': 'data', 'up': '.', 'gone': 'nothing'}
    for name, target in links.items():
        (tmp_path / 'data' / name).symlink_to(tmp_path / target)
    (tmp_path / 'elsewhere/back').symlink_to(tmp_path / 'data')
    left_out = {}
    found = [
        (folder / name).relative_to(tmp_path / 'data').as_posix()
        for folder, _, names in files.walk(tmp_path / 'data', left_out)
        for name in names
    ]
    assert found == ['b/deep/1', 'a/3', 'a/x/2']
    assert {p.relative_to(tmp_path / 'data').as_posix() for p in left_out} == {
        'c',
        'self',
        'up',
        'gone',
        'a/back',
    }


def test_a_file_that_is_written_again_has_another_hash(tmp_path, monkeypatch):
    path, read = tmp_path / 'a', []
    monkeypatch.setattr(
        files, 'file_sha256', lambda p, f=files.file_sha256: (read.append(p), f(p))[1]
    )
    path.write_bytes(b'x' * 40 + b'old' + b'x' * 40)
    os.utime(path, ns=(1, 1))
    hashes = files.FileHashes(tmp_path / 'memo' / 'hashes.json')
    before = hashes.of(path)
    hashes.save()
    again = files.FileHashes(tmp_path / 'memo' / 'hashes.json')
    assert again.of(path) == before and len(read) == 1
    time.sleep(0.02)  # of the clock that the file system has
    path.write_bytes(b'x' * 40 + b'new' + b'x' * 40)
    os.utime(path, ns=(1, 1))  # as `cp -p` or rsync leave it: of one size, and of one time
    assert again.of(path) != before
    (tmp_path / 'memo' / 'hashes.json').write_text('{')
    assert files.FileHashes(tmp_path / 'memo' / 'hashes.json').of(path) == again.of(path)


def test_one_program_at_a_time(tmp_path):
    code = (
        'import sys, time; from vw2_ros import files\n'
        'with files.only_one(sys.argv[1], "vw2 first"):\n'
        '    print("in", flush=True); time.sleep(60)'
    )
    first = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path / 'o')],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout.readline() == 'in\n'
        who = f'vw2 first, process {first.pid} on .*, since 20'
        with pytest.raises(files.BusyError, match=who), files.only_one(tmp_path / 'o', 'second'):
            pass
        assert [p.name for p in (tmp_path / 'o').iterdir()] == ['.lock']  # reading goes on
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    with files.only_one(tmp_path / 'o', 'second'):  # whoever was killed holds nothing
        (tmp_path / 'o' / 'result').touch()
    with files.only_one(tmp_path / 'new', 'third'):
        pass
    assert [p.name for p in (tmp_path / 'o').iterdir()] == ['result']
    assert not (tmp_path / 'new').exists()


def test_yaml_refuses_a_key_that_is_given_twice():
    assert files.yaml_of('a: {b: 1}\nc: [2, yes]', 'x') == {'a': {'b': 1}, 'c': [2, True]}
    assert files.yaml_of('a: &m {b: 1}\nc: {<<: *m, b: 2}', 'x')['c'] == {'b': 2}
    for text in ('a: 1\nb: 2\na: 3', 'top: {a: 1, "a": 1}', '1: x\n1: y'):
        with pytest.raises(
            VW2Error, match=r"x must give each key once. Got '(a|1)' twice, .* line"
        ):
            files.yaml_of(text, 'x')
    with pytest.raises(VW2Error, match='x is not YAML'):
        files.yaml_of('a: [', 'x')


# ------------------------------------------------------------------- scratch folders


def test_a_scratch_folder_that_another_process_removes_at_once_is_made_again(monkeypatch):
    made, make = [], tempfile.mkdtemp

    def made_and_gone(**options):
        made.append(make(**options))
        if len(made) == 1:  # before it can be locked
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr('tempfile.mkdtemp', made_and_gone)
    folder = files.ScratchFolder()
    assert len(made) == 2 and folder.path.is_dir() and str(folder.path) == made[1]
    folder.close()
    assert not folder.path.exists()


def test_a_scratch_folder_goes_also_if_its_process_was_killed(tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr('tempfile.tempdir', None)
    make = 'import sys, vw2_ros.files as f; s = f.ScratchFolder(); (s.path / "a").mkdir(); '
    make += 'print(s.path, flush=True); sys.stdin.read()'
    others = [
        subprocess.Popen(
            [sys.executable, '-c', make], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    alive, killed = (pathlib.Path(other.stdout.readline().strip()) for other in others)
    try:
        mine = files.ScratchFolder()
        assert sorted(tmp_path.iterdir()) == sorted([alive, killed, mine.path])
        others[1].kill()
        others[1].wait()
        assert killed.is_dir()
        again = files.ScratchFolder()
        assert sorted(tmp_path.iterdir()) == sorted([alive, mine.path, again.path])
        mine.close()
        mine.close()
        again.close()
        assert list(tmp_path.iterdir()) == [alive]
    finally:
        for other in others:
            other.communicate('')
    files.ScratchFolder().close()
    assert not list(tmp_path.iterdir())
