# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The package imports from a bare checkout, pip, pip -e, colcon and colcon --symlink-install."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXECUTABLES = (
    'vw2',
    'camera_node',
    'planner_node',
    'action_node',
    'watchdog_node',
    'imagination_node',
    'calvin_bridge_node',
    'franka_node',
)
# what runs in each kind of installation: everything resolves, and no module is there twice
LOOK = """
import importlib.util, json, pathlib, sys
import vw2_ros, vw2_ros.models, vw2_ros.sim
from vw2_ros import files as paths
import vw2_ros.nodes, vw2_ros.commands
import vw2_ros.sim.tasks
assert importlib.util.find_spec('vw2_ros.models.dldm')
assert importlib.util.find_spec('vw2_ros.models.data.video.files')
assert importlib.util.find_spec('vw2_ros.sim.expert.skills')
assert importlib.util.find_spec('vw2_ros.nodes.planner')
files = [m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]
share = paths.share_dir()
print(json.dumps({
    'package': vw2_ros.__file__, 'models': vw2_ros.models.__file__, 'sim': vw2_ros.sim.__file__,
    'share': str(share), 'launch': sorted(f.name for f in (share / 'launch').glob('*.py')),
    'config': sorted(str(f.relative_to(share)) for f in (share / 'config').rglob('*.*')),
    'weights': sorted(str(f.relative_to(paths.weights_dir()))
                      for f in paths.weights_dir().rglob('*') if f.is_file()),
    'data': sorted(f.name for f in pathlib.Path(vw2_ros.sim.__file__).parent.glob('data/*')),
    'twice': sorted({f for f in files if 'vw2_ros' in f and files.count(f) > 1}),
}))
"""


def git_files():
    """Return the files of the tree that a clone would have, with those not yet committed."""
    done = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip('not a git checkout')
    return [f for f in done.stdout.split('\0') if f and (ROOT / f).is_file()]


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A copy of the source tree, so that building leaves nothing in the checkout."""
    root = tmp_path_factory.mktemp('clone') / 'vw2_ros_ws' / 'src' / 'vw2_ros'
    for name in git_files():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    return root


@pytest.fixture(scope='module')
def venv(tmp_path_factory):
    """An environment that sees the packages of this one, but not this one's own vw2_ros."""
    folder = tmp_path_factory.mktemp('venv')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder)], check=True)
    site = next(folder.glob('lib/python*/site-packages'))
    (site / 'outer.pth').write_text(sysconfig.get_path('purelib') + '\n')
    return folder


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    return env | {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_NO_INDEX': '1'} | more


def run(*command, cwd, **env):
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=environment(**env), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def look(python, cwd, **env):
    found = json.loads(run(python, '-c', LOOK, cwd=cwd, **env))
    assert found['twice'] == []
    files = [f for f in git_files() if not f.endswith('.pyc')]
    assert found['config'] == sorted(f for f in files if f.startswith('config/'))
    assert found['launch'] == sorted(f.split('/')[1] for f in files if f.startswith('launch/'))
    assert found['weights'] == sorted(
        f[len('models/weights/') :] for f in files if f.startswith('models/weights/')
    )
    assert set(found['data']) == {f.split('/')[-1] for f in files if f.startswith('sim/data/')}
    return found


def test_bare_checkout(tree):
    found = look(sys.executable, tree, PYTHONPATH=str(tree))
    assert found['models'] == str(tree / 'models' / '__init__.py')
    assert found['share'] == str(tree)


def test_pip_install(tree, venv, tmp_path):
    pytest.importorskip('pip')
    target = tmp_path / 'prefix'
    run(
        sys.executable,
        '-m',
        'pip',
        'install',
        '-q',
        '--no-deps',
        '--no-build-isolation',
        '--target',
        target,
        tree,
        cwd=tmp_path,
    )
    found = look(venv / 'bin' / 'python', tmp_path, PYTHONPATH=str(target))
    assert found['models'] == str(target / 'vw2_ros' / 'models' / '__init__.py')
    assert found['share'] == str(target / 'share' / 'vw2_ros')
    for name in EXECUTABLES:
        assert os.access(target / 'bin' / name, os.X_OK)


def test_pip_install_editable(tree, venv, tmp_path):
    pytest.importorskip('pip')
    run(
        sys.executable,
        '-m',
        'pip',
        '--python',
        venv / 'bin' / 'python',
        'install',
        '-q',
        '--no-deps',
        '--no-build-isolation',
        '-e',
        tree,
        cwd=tmp_path,
    )
    found = look(venv / 'bin' / 'python', tmp_path)
    assert found['sim'] == str(tree / 'sim' / '__init__.py')
    assert found['share'] == str(tree)
    text = run(venv / 'bin' / 'vw2', '--help', cwd=tmp_path)
    assert 'collect' in text and 'doctor' in text


@pytest.mark.skipif(not shutil.which('colcon'), reason='colcon is not installed')
@pytest.mark.parametrize('symlink', [False, True], ids=['copied', 'symlink'])
def test_colcon_build(tree, tmp_path, symlink):
    colcon = pathlib.Path(shutil.which('colcon')).resolve()
    workspace = tmp_path / 'ws'
    shutil.copytree(tree, workspace / 'src' / 'vw2_ros')
    run(colcon, 'build', *(['--symlink-install'] if symlink else []), cwd=workspace)
    prefix = workspace / 'install' / 'vw2_ros'
    for name in EXECUTABLES:
        assert os.access(prefix / 'lib' / 'vw2_ros' / name, os.X_OK), (
            '`ros2 run` looks in lib/vw2_ros'
        )
    for name in ('package.xml', 'launch/calvin.launch.py', 'config'):
        assert (prefix / 'share' / 'vw2_ros' / name).exists()
    marker = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'vw2_ros'
    assert marker.exists()
    code = LOOK.replace("'", "'\"'\"'")
    shell = f". install/setup.sh; {sys.executable} -c '{code}'"
    found = json.loads(run('sh', '-c', shell, cwd=workspace))
    where = workspace / 'src' if symlink else prefix
    assert pathlib.Path(found['models']).resolve().is_relative_to(where.resolve())
