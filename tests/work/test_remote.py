# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A command that a node runs for another machine: what travels, and what a dead node leaves."""

import io
import sys
import types

import pytest

from vw2_ros.errors import UsageError
from vw2_ros.work import process, remote
from vw2_ros.work.folders import identity, pack, unpack


@pytest.fixture()
def scripted(monkeypatch):
    """In place of `vw2`, a program that the test gives as the first argument."""

    def start(arguments, folder, log, threads, before=None):
        return process.subprocess.Popen(
            [sys.executable, '-u', '-c', *arguments], cwd=folder, stdout=log, stderr=log
        )

    monkeypatch.setattr(process, 'start_vw2', start)


MAKES = """
import pathlib, shutil, sys
out = pathlib.Path('stages/b'); out.mkdir(parents=True, exist_ok=True)
for f in out.iterdir(): print('found', f.name)
(out / 'a.pt').write_text(pathlib.Path('stages/a/w').read_text() * 2)
(out / '.c.part').write_text('half')
print('made')
while not pathlib.Path('stages/a/go').exists(): pass
(out / 'a.pt').unlink(); (out / 'b.pt').write_text('b')
"""


def start(expected=None, **given):
    command = process.Remote()
    packed = {'stages/a/w': b'w', **{f'stages/{k}/old': v for k, v in given.items()}}
    command.start(expected or identity(), 'n1', [MAKES], packed, 'stages/b', 1)
    return command


def test_what_is_made_comes_home_as_it_changes(scripted, tmp_path):
    command = start()
    printed, files, names = b'', {}, []
    while b'made' not in printed:
        status, new, changed, names = command.news(0.05)
        printed, files = printed + new, files | changed
        assert status is None
    files |= command.news(0.05)[2]
    assert files == {'a.pt': b'ww'} and names == ['a.pt']
    assert command.news(0.05)[2] == {}, 'nothing is sent twice'
    unpack({'stages/a/go': b''}, command._folder)
    status, _, files, names = command.news(60)
    assert (status, files, names) == (0, {'b.pt': b'b'}, ['b.pt'])


def test_what_came_home_before_is_gone_on_with(scripted):
    command = start(b=b'1')
    printed, files = b'', {}
    while b'made' not in printed:
        _, new, changed, _ = command.news(0.05)
        printed, files = printed + new, files | changed
    assert b'found old' in printed and 'old' not in files
    command._process.kill()


def test_another_version_starts_nothing(scripted):
    with pytest.raises(UsageError, match=r'torch .* for 0\.1 on the node n1. Install the same'):
        start({**identity(), 'torch': '0.1'})


class FakeRay:
    """As much of Ray as a `RemoteProcess` sees. The first `deaths` actors die at their first news."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, deaths, news):
        self.deaths, self.news, self.begun = deaths, news, []

    def remote(self, _):
        return self

    def options(self, **_):
        made = types.SimpleNamespace()
        number = len(self.begun)

        def start(arguments, given, makes, threads):
            self.begun.append(given)
            return None, None

        def news(_):
            if number < self.deaths:
                return self.exceptions.RayError('its node died')
            return None, self.news

        call = lambda f: types.SimpleNamespace(remote=f)  # noqa: E731
        made.start, made.news = call(start), call(news)
        return types.SimpleNamespace(remote=lambda: made)

    def put(self, value):
        return value

    def wait(self, answers, timeout):
        return answers, []

    def get(self, answer):
        if isinstance(answer, Exception):
            raise answer
        return answer


def begin(ray, out):
    (out / 'stages/a').mkdir(parents=True)
    (out / 'stages/a/w').write_text('w')
    (out / 'stages/b').mkdir()
    (out / 'stages/b/old').write_text('old')
    log = io.BytesIO()
    return remote.RemoteProcess(ray, ['x'], out, ['stages/a'], 'stages/b', log, 1), log


def test_a_command_whose_node_dies_is_begun_again_elsewhere(tmp_path):
    ray = FakeRay(2, (0, b'hello\n', {'new': b'1'}, ['new']))
    command, log = begin(ray, tmp_path)
    assert command.wait(5) == 0
    assert ray.begun == [{'stages/a/w': b'w', 'stages/b/old': b'old'}] * 3
    assert pack(tmp_path) == {'stages/a/w': b'w', 'stages/b/new': b'1'}
    said = log.getvalue().decode()
    assert said.count('begun again from what has come home: its node died') == 2
    assert said.endswith('hello\n')


def test_one_that_always_dies_fails(tmp_path):
    ray = FakeRay(100, None)
    command, log = begin(ray, tmp_path)
    assert command.wait(5) == 1 and len(ray.begun) == remote.AGAIN + 1
    assert b'it died 6 times: its node died' in log.getvalue()
