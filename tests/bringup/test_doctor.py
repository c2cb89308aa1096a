# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The doctor names what is there, and what is missing with its remedy, whatever is broken."""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from vw2_ros import files
from vw2_ros.bringup import checks, doctor

ROOT = pathlib.Path(__file__).resolve().parents[2]


def weights(folder, *, recorded=None, score=None, files=('config.json', 'provenance.json')):
    folder.mkdir(parents=True)
    (folder / 'planner.safetensors').write_bytes(b'weights')
    digest = hashlib.sha256(b'weights').hexdigest()
    provenance = {'score': score, 'files': recorded or {'planner.safetensors': digest}}
    for name in files:
        (folder / name).write_text(json.dumps(provenance if name == 'provenance.json' else {}))


def only(told, name):
    return next(c for c in told if c.name == name)


def test_report_as_text_and_json():
    done = subprocess.run(
        [sys.executable, '-m', 'vw2_ros.bringup.doctor', '--json'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report['ok'] else 1)
    groups = {c['group'] for c in report['checks']}
    assert {'vw2_ros', 'Python packages', 'ROS 2', 'GPU', 'Cameras', 'Weights'} <= groups
    for check in report['checks']:
        assert check['status'] in ('ok', 'note', 'missing') and check['found']
        if check['status'] == 'missing':
            assert check['mend'], f'{check["name"]} is missing and nothing says how to mend it'
    text = '\n'.join(doctor.render(checks.Check(**c) for c in report['checks']))
    assert all(c['name'] in text for c in report['checks'])


def test_works_with_nothing_but_the_standard_library(tmp_path):
    # -S leaves site-packages out: no numpy, torch, typer, rclpy
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | {'PYTHONPATH': str(ROOT)}
    for module in (
        ['-m', 'vw2_ros.bringup.doctor'],
        ['-c', 'import sys; from vw2_ros.cli import main; sys.exit(main(["doctor"]))'],
    ):
        done = subprocess.run(
            [sys.executable, '-S', *module], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 1 and not done.stderr, done.stderr
        assert '[MISS] torch' in done.stdout and '-> pip install' in done.stdout
        assert '[MISS] rclpy' in done.stdout


def test_a_check_is_told_before_the_next_begins(monkeypatch):
    def parts():
        yield checks.Check('a', 'first', 'ok', 'here')
        yield pytest.fail('not asked for yet')

    monkeypatch.setattr(doctor, 'checks', parts)
    lines = doctor.render(doctor.checks())
    assert [next(lines), next(lines)] == ['a', '  [ ok ] first: here']


def test_every_dependency_is_looked_at():
    found = re.search(r'install_requires=\[(.*?)\]', (ROOT / 'setup.py').read_text(), re.DOTALL)
    needed = set(re.findall(r"'([\w-]+)>=", found[1]))
    assert needed == {distribution for distribution, _ in checks.PYTHON_PACKAGES.values()}


def test_a_part_that_fails_does_not_end_the_others(monkeypatch):
    def broken():
        raise RuntimeError('on fire')
        yield

    monkeypatch.setattr(doctor, 'PARTS', (checks.package, broken, checks.weights))
    told = list(doctor.checks())
    assert any('on fire' in c.found for c in told)
    assert any(c.group == 'Weights' for c in told)


def test_a_probe_that_hangs_or_dies_is_reported():
    assert checks.probe('import time; time.sleep(60)', timeout_s=0.3)[1].startswith('no answer')
    assert 'bad luck' in checks.probe('raise SystemExit("bad luck")')[1]
    assert 'exit status -9' in checks.probe('import os; os.kill(os.getpid(), 9)')[1]
    assert checks.probe('print("noise"); print(\'{"a": 1}\')') == ({'a': 1}, '')


def test_weights_hash_and_score(tmp_path, monkeypatch):
    monkeypatch.setattr(files, 'weights_dir', lambda: tmp_path)
    assert [c.status for c in checks.weights()] == ['missing']
    weights(tmp_path / 'good', score={'avg_len': 2.5})
    weights(tmp_path / 'changed', recorded={'planner.safetensors': '0' * 64})
    weights(tmp_path / 'gone', recorded={'head.safetensors': '0' * 64})
    weights(tmp_path / 'no_config', files=('provenance.json',))
    told = list(checks.weights())
    good = only(told, 'good')
    assert good.status == 'ok' and 'avg_len 2.5' in good.found
    assert files.folder_sha256(tmp_path / 'good')[:16] in good.found
    for name, reason in (
        ('changed', 'planner.safetensors is not the file'),
        ('gone', 'no head.safetensors'),
        ('no_config', 'no config.json'),
    ):
        check = only(told, name)
        assert check.status == 'missing' and reason in check.found


def test_digest_is_the_checkpoints(tmp_path):
    checkpoint = pytest.importorskip('vw2_ros.models.checkpoint')
    weights(tmp_path / 'w')
    (tmp_path / 'w' / 'tokenizer.json').write_text('{}')
    assert files.folder_sha256(tmp_path / 'w') == checkpoint.folder_sha256(tmp_path / 'w')


def test_weights_with_damaged_json(tmp_path, monkeypatch):
    monkeypatch.setattr(files, 'weights_dir', lambda: tmp_path)
    weights(tmp_path / 'w')
    (tmp_path / 'w' / 'provenance.json').write_text('{"score": ')
    check = only(list(checks.weights()), 'w')
    assert check.status == 'missing' and check.mend


@pytest.mark.parametrize(
    'text, size',
    [('<p><segment_size>16777216</segment_size></p>', 16.0), ('<p/>', 0.0), ('not xml', 0.0)],
)
def test_segment_size_of_a_profile(tmp_path, text, size):
    (tmp_path / 'profile.xml').write_text(text)
    assert checks.segment_mb(str(tmp_path / 'profile.xml')) == size


def test_profile_that_does_not_exist(monkeypatch):
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/nowhere/profile.xml')
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    check = only(list(checks.dds('ROS 2')), 'DDS profile')
    assert check.status == 'missing' and 'export' in check.mend


def test_only_segments_without_an_owner_are_stale(tmp_path):
    for name in ('fastrtps_1', 'fastrtps_2'):
        (tmp_path / name).touch()
        (tmp_path / f'{name}_el').touch()
    with open(tmp_path / 'fastrtps_1_el') as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        assert checks.stale_segments(str(tmp_path)) == [str(tmp_path / 'fastrtps_2')]
    assert len(checks.stale_segments(str(tmp_path))) == 2
