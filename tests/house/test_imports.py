# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Who may import what, read from the sources, so that it holds on code no test runs."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROS = {
    'rclpy',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'geometry_msgs',
    'trajectory_msgs',
    'diagnostic_msgs',
    'lifecycle_msgs',
    'rosgraph_msgs',
    'builtin_interfaces',
    'launch',
    'launch_ros',
}
# maths without ROS, tested without ROS
PURE_CORES = (
    'convert',
    'safety',
    'control_loop',
    'plan_message',
    'kinematics',
    'paths',
    'doctor',
    'labels',
    'bags',
    'bag_writer',
)
SOURCES = sorted(
    p for d in ('vw2_ros', 'models', 'sim', 'launch', 'tests') for p in (ROOT / d).rglob('*.py')
)
NODES = {p.stem for p in (ROOT / 'vw2_ros').glob('*_node.py')}


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


def reaches(names, prefix):
    return {n for n in names if n == prefix or n.startswith(prefix + '.')}


def of(folder):
    return [
        pytest.param(p, id=str(p.relative_to(ROOT)))
        for p in SOURCES
        if p.relative_to(ROOT).parts[0] == folder
    ]


@pytest.mark.parametrize('path', of('models'))
def test_models_know_no_robot(path):
    names = imports(path)
    assert not tops(names) & (ROS | {'pybullet', 'gymnasium'})
    assert not reaches(names, 'vw2_ros.sim')
    assert not {n for n in names if n.startswith('vw2_ros.') and n.endswith('_node')}


@pytest.mark.parametrize('path', of('sim'))
def test_sim_knows_no_models(path):
    names = imports(path)
    assert not tops(names) & {'torch', 'transformers'}
    assert not reaches(names, 'vw2_ros.models')
    assert not tops(names) & ROS, 'rclpy belongs to the bridge node'
    if path.name != 'engine.py':
        assert not tops(names) & {'pybullet', 'pybullet_data', 'pybullet_utils'}, (
            'PyBullet stays behind sim/engine.py'
        )


@pytest.mark.parametrize('name', PURE_CORES)
def test_pure_cores_import_neither_ros_nor_torch(name):
    # message classes are plain data; what talks, computes on tensors or simulates stays out
    names = imports(ROOT / 'vw2_ros' / f'{name}.py')
    assert not tops(names) & {'rclpy', 'launch', 'launch_ros', 'torch', 'transformers', 'pybullet'}


@pytest.mark.parametrize('path', of('vw2_ros'))
def test_nodes_are_entered_by_launch_only(path):
    names = imports(path)
    assert not tops(names) & {'pybullet', 'pybullet_data'}
    assert not {n for n in names if n.startswith('vw2_ros.') and n.split('.')[1] in NODES}, (
        'nothing imports a node but launch and tests'
    )


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
    if path != ROOT / 'models' / 'data.py':  # CALVIN's annotations, by an unpickler of plain data
        assert not tops(imports(path)) & {'pickle', 'dill', 'joblib', 'cloudpickle'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ('torch.load', 'torch.save'):
            pytest.fail(f'line {node.lineno}: weights travel as safetensors')


def test_command_line_starts_without_the_heavy_libraries():
    code = (
        'import sys, vw2_ros.cli\n'
        "heavy = {'torch', 'rclpy', 'pybullet', 'transformers', 'gymnasium', 'cv2'}\n"
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize(
    'module', ['vw2_ros.control.loop', 'vw2_ros.control.safety', 'vw2_ros.messages.convert']
)
def test_cores_run_without_torch_and_ros(module):
    code = (
        f'import sys, {module}; print(sorted({{"torch", "rclpy", "pybullet"}} & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
