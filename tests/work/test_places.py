# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where work runs: the same results in one process and in several; what travels; bad addresses."""

import importlib.machinery
import importlib.util
import os
import socket

import pytest
from work_files import Squares

from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.work import folders, node
from vw2_ros.work.errors import WorkError
from vw2_ros.work.folders import identity, pack, unpack
from vw2_ros.work.place import check_place, open_place


def done(work, jobs, out, workers):
    with open_place('local', workers) as place:
        return list(place.perform(work, jobs, out))


def test_one_process_and_three_do_the_same(tmp_path):
    (tmp_path / 'one').mkdir(), (tmp_path / 'three').mkdir()
    one = done(Squares(), range(7), tmp_path / 'one', 1)
    three = done(Squares(), range(7), tmp_path / 'three', 3)
    assert [r[:2] for r in one] == sorted(r[:2] for r in three)
    assert {r[2] for r in one} == {os.getpid()}
    assert len({r[2] for r in three} - {os.getpid()}) == 3
    assert pack(tmp_path / 'one') == pack(tmp_path / 'three') != {}


def test_a_job_that_fails_and_a_process_that_dies_are_told(tmp_path):
    with pytest.raises(WorkError, match='ValueError: bad is no number'):
        done(Squares(), [1, 'bad'], tmp_path, 2)
    with pytest.raises(WorkError, match=r'worker-\d died; run the same command again'):
        done(Squares(dies_at=1), [0, 1, 2, 3], tmp_path, 2)


def test_folders_travel_whole_and_marks_come_last(tmp_path, monkeypatch):
    packed = {'whole/a': b'1', 'z/b': b'\0\xff', 'c': b''}
    written, write = [], folders.files.write_whole

    def watched(path, content):
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(folders.files, 'write_whole', watched)
    unpack(packed, tmp_path, last='whole/*')
    assert written == ['b', 'c', 'a']
    assert pack(tmp_path) == packed


@pytest.mark.parametrize('name', ['../a', '/etc/a', 'a/../../b'])
def test_no_file_leaves_its_folder(tmp_path, name):
    with pytest.raises(InvalidValueError, match='in its folder'):
        unpack({'fine': b'', name: b''}, tmp_path)
    assert not pack(tmp_path)


def on_node(work, job, expected=None, sent=None, key='k'):
    """As a worker process of a node does a job; (error, result, files)."""
    error, result, files = node.perform(
        identity() if expected is None else expected,
        'n1',
        key,
        lambda: (work, sent or {}),
        lambda: job,
    )
    return error, result, files


def test_a_node_reads_what_travelled_and_gives_its_files_back(tmp_path):
    (tmp_path / 'offset').write_text('100')
    work = Squares(reads=(str(tmp_path),))
    sent = {str(tmp_path): pack(tmp_path)}
    (tmp_path / 'offset').unlink()  # it is another machine
    error, result, files = on_node(work, 3, sent=sent, key='travels')
    assert error is None and result[:2] == (3, 109)
    assert files == {'n3.txt': b'109', 'whole/n3.txt': b'109'}


def test_a_node_with_another_version_is_refused():
    expected = {**identity(), 'numpy': '0.1'}
    (kind, text), result, files = on_node(Squares(), 1, expected)
    assert kind == 'UsageError' and result is None and not files
    assert f'numpy {identity()["numpy"]} for 0.1 on the node n1' in text


def test_other_code_has_another_identity(tmp_path):
    (tmp_path / 'sim').mkdir()
    (tmp_path / 'models').mkdir()
    (tmp_path / 'a.py').write_text('1')
    before = folders.code(tmp_path)
    (tmp_path / 'models' / 'weights').mkdir()
    (tmp_path / 'models' / 'weights' / 'config.json').write_text('1')  # travels with a policy
    assert folders.code(tmp_path) == before
    (tmp_path / 'sim' / 'a.py').write_text('2')
    assert folders.code(tmp_path) != before


@pytest.mark.parametrize(
    'on', ['', 'rays', 'ray://', 'ray://host', 'http://host:1', 'ray://h:1/x']
)
def test_places_that_do_not_exist(on):
    with pytest.raises(UsageError, match='--on must be local, ray or ray://HOST:PORT. Got'):
        check_place(on)


def test_without_ray_the_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *a: None if name == 'ray' else find(name, *a)
    )
    with pytest.raises(
        UsageError, match=r'Got no package ray. Install vw2_ros with its extra \[ray'
    ):
        open_place('ray')


def test_an_address_that_nobody_answers(monkeypatch):
    spec = importlib.machinery.ModuleSpec('ray', None)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda *_: spec)  # it is not asked for
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{closed.getsockname()[1]}'
        with pytest.raises(UsageError, match=f'must answer at ray://{address}. Got: .*refused'):
            open_place(f'ray://{address}')
        monkeypatch.setenv('RAY_ADDRESS', address)
        with pytest.raises(UsageError, match=f'must answer at {address}. Got: .*refused'):
            open_place('ray')
    monkeypatch.setenv('RAY_ADDRESS', 'nonsense')
    with pytest.raises(UsageError, match='must be HOST:PORT'):
        open_place('ray')
