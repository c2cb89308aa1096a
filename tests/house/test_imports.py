# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Who may import what: the contracts of pyproject.toml, and what import-linter cannot say."""

import ast
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
    p for d in ('vw2_ros', 'models', 'sim', 'launch', 'tests') for p in (ROOT / d).rglob('*.py')
)
# one import each that breaks a contract: its id, the file, the line
BREAKS = [
    ('layers', 'vw2_ros/experiment/jobs.py', 'import vw2_ros.commands'),
    ('layers', 'vw2_ros/files.py', 'import vw2_ros.names'),
    ('layers', 'models/text.py', 'import vw2_ros.sim.tasks'),
    ('layers', 'sim/tasks.py', 'import vw2_ros.control.safety'),
    ('layers', 'vw2_ros/attic/__init__.py', ''),  # a room that stands nowhere
    ('nodes', 'vw2_ros/evaluation/record.py', 'from vw2_ros.nodes.planner import PlannerNode'),
    ('models', 'models/text.py', 'import rclpy'),
    ('models', 'models/policy.py', 'import vw2_ros.arms'),
    ('stages', 'models/data/store.py', 'from vw2_ros.models.stages import warmup'),
    ('sim', 'sim/tasks.py', 'from vw2_ros import names'),
    ('sim-libraries', 'sim/tasks.py', 'import torch.nn'),
    ('engine', 'sim/play_table.py', 'import pybullet'),
    ('cores', 'vw2_ros/control/loop.py', 'import torch'),
    ('cores', 'vw2_ros/arms/arm.py', 'from vw2_ros.messages import qos'),  # by way of another
]


@functools.cache
def imports(path):
    """Return the absolute names of every module that a file imports, relative ones resolved."""
    found = set()
    tree = ast.parse(path.read_text(), filename=str(path))
    parts = path.relative_to(ROOT).with_suffix('').parts
    package = (
        parts[:-1] if parts[0] in ('vw2_ros', 'tests', 'launch') else ('vw2_ros', *parts[:-1])
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = '.'.join(base + ([node.module] if node.module else []))
            found |= {module} | {f'{module}.{a.name}' for a in node.names}
    return found


def tops(names):
    return {n.split('.')[0] for n in names}


def layers(tree=ROOT, *options):
    """Run import-linter on an installed layout of a tree, as `make lint` does."""
    pytest.importorskip('importlinter')
    path = f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    return subprocess.run(
        [ROOT / '.ci' / 'layers', tree, *options],
        env={**os.environ, 'PATH': path},
        capture_output=True,
        text=True,
    )


def contracts():
    """The ids of all contracts."""
    return re.findall(r'^id = "(.*)"$', (ROOT / 'pyproject.toml').read_text(), re.M)


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    """The sources alone."""
    tree = tmp_path_factory.mktemp('tree')
    shutil.copy(ROOT / 'pyproject.toml', tree)
    for folder in ('vw2_ros', 'models', 'sim'):
        skip = shutil.ignore_patterns('weights', '__pycache__')
        shutil.copytree(ROOT / folder, tree / folder, ignore=skip)
    return tree


def test_contracts_are_kept(copy):
    done = layers(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'Contracts: {len(contracts())} kept, 0 broken' in done.stdout


@pytest.mark.parametrize('contract,file,line', BREAKS)
def test_a_broken_contract_is_seen(copy, contract, file, line):
    path = copy / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{before or ""}\n{line}\n')
    try:
        done = layers(copy, '--contract', contract)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'Contracts: 0 kept, 1 broken' in done.stdout


def test_every_contract_was_broken_once():
    assert set(contracts()) == {contract for contract, _, _ in BREAKS}


@pytest.mark.parametrize('path', [pytest.param(p, id=str(p.relative_to(ROOT))) for p in SOURCES])
def test_no_second_copy_of_a_module(path):
    # `import models` would load every module twice, under two names
    assert not tops(imports(path)) & {'models', 'sim'}


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(p, id=str(p.relative_to(ROOT)))
        for p in SOURCES
        if p.relative_to(ROOT).parts[0] != 'tests'
    ],
)
def test_no_pickle(path):
    tree = ast.parse(path.read_text())
    pickled = ROOT / 'models' / 'data' / 'pickled.py'  # CALVIN's annotations: plain data alone
    if path != pickled:
        assert not tops(imports(path)) & {'pickle', 'dill', 'joblib', 'cloudpickle'}
    published = ROOT / 'models' / 'data' / 'published.py'  # others' files, as tensors alone
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ('torch.load', 'torch.save'):
            told = [ast.unparse(word) for word in node.keywords]
            if path == published and node.func.attr == 'load' and 'weights_only=True' in told:
                continue
            pytest.fail(f'line {node.lineno}: weights travel as safetensors')


def loaded_by(modules, *names):
    """Which of the named modules a new process has loaded after an import."""
    code = f'import sys, {modules}; print(*sorted(set({names}) & set(sys.modules)))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_command_line_starts_without_the_heavy_libraries():
    heavy = ('torch', 'rclpy', 'pybullet', 'transformers', 'gymnasium', 'cv2', 'matplotlib')
    assert loaded_by('vw2_ros.cli', *heavy) == []


@pytest.mark.parametrize(
    'module',
    [
        'vw2_ros.control.loop',
        'vw2_ros.control.safety',
        'vw2_ros.messages.convert',
        'vw2_ros.messages.plan',
        'vw2_ros.arms',
        'vw2_ros.names',
    ],
)
def test_cores_run_without_torch_and_ros(module):
    assert loaded_by(module, 'torch', 'rclpy', 'pybullet') == []


def test_a_node_starts_without_what_only_training_needs():
    # transformers alone takes 6 s of CPU time to import, diffusers as long
    heavy = ('transformers', 'diffusers', 'accelerate', 'tensorboard', 'torch.utils.tensorboard')
    heavy += ('matplotlib', 'scipy', 'sklearn', 'torchvision', 'torch._dynamo', 'pybullet', 'av')
    training = ('vw2_ros.models.training', 'vw2_ros.models.stages', 'vw2_ros.models.data.store')
    modules = 'vw2_ros.nodes.planner, vw2_ros.models.policy, vw2_ros.models.imagination'
    assert loaded_by(modules, *heavy, *training) == []
