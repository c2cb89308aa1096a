# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Launch files, parameter files and layout say what the package has; most of it without ros2 launch."""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

pytest.importorskip('rclpy')

from vw2_ros import names
from vw2_ros.bringup import system  # noqa: E402
from vw2_ros.nodes.action import ActionNode  # noqa: E402
from vw2_ros.nodes.calvin_bridge import CalvinBridgeNode  # noqa: E402
from vw2_ros.nodes.camera import CameraNode  # noqa: E402
from vw2_ros.nodes.imagination import ImaginationNode  # noqa: E402
from vw2_ros.nodes.parameters import parameter_name  # noqa: E402
from vw2_ros.nodes.planner import PlannerNode  # noqa: E402
from vw2_ros.nodes.watchdog import WatchdogNode  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODES = {
    'camera': CameraNode,
    'planner': PlannerNode,
    'action': ActionNode,
    'watchdog': WatchdogNode,
    'imagination': ImaginationNode,
    'calvin_bridge': CalvinBridgeNode,
}
ENTRIES = {
    'calvin': (system.calvin, system.CALVIN_ARGUMENTS),
    'robot': (system.robot, system.ROBOT_ARGUMENTS),
}
EVERYTHING = [
    *system.calvin(imagination='true', use_sim_time='true', instruction='x'),
    *system.calvin(lockstep='true', weights='w', scene='A'),
    *system.evaluation('w', 'A'),
    *system.robot(imagination='true', camera='film.mp4', contract='panda', deadman='joy'),
    *system.robot(compressed='true'),
]


def defaults(name):
    return {parameter_name(f): f.default for f in dataclasses.fields(NODES[name].Config)}


def assert_fits(name, key, value):
    known = {**defaults(name), 'use_sim_time': False}
    assert key in known, f'{name} has no parameter {key}'
    default = known[key]
    kind = tuple if isinstance(default, tuple) else type(default)
    value = tuple(value) if isinstance(value, list) else value
    assert type(value) is kind, f'{name}.{key} is a {kind.__name__}, got {value!r}'


@pytest.mark.parametrize('process', EVERYTHING, ids=lambda p: p.name)
def test_executables_exist_and_parameters_are_declared(process):
    nodes = re.search(r'^NODES = \((.*?)\)', (ROOT / 'setup.py').read_text(), re.M | re.S)[1]
    assert process.executable in [f'{n}_node' for n in re.findall(r"'(\w+)'", nodes)]
    assert pathlib.Path(process.params_file).is_file()
    # the name in the description is the one the node gives itself, and the file's
    tree = ast.parse((ROOT / f'{process.module.replace(".", "/")}.py').read_text())
    assert process.name in {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    for key, value in process.parameters.items():
        assert_fits(process.name, key, value)
    if not process.name.startswith('camera'):
        known = {v for k, v in vars(names).items() if k.isupper() and isinstance(v, str)}
        assert {source for source, _ in process.remappings} <= known


@pytest.mark.parametrize('file', ['calvin.yaml', 'robot.yaml'])
def test_parameter_files_match_the_nodes(file):
    given = yaml.safe_load((ROOT / 'config' / file).read_text())
    started = {p.name for p in ENTRIES[file.split('.')[0]][0](imagination='true')}
    assert {key.removeprefix('/**/') for key in given} == started
    for key, body in given.items():
        assert key.startswith('/**/') and list(body) == ['ros__parameters']
        for name, value in body['ros__parameters'].items():
            assert_fits(key.removeprefix('/**/'), name, value)
    config = {k.removeprefix('/**/'): v['ros__parameters'] for k, v in given.items()}
    for name, values in config.items():  # values that the config itself accepts
        NODES[name].Config(
            **{
                k.replace('.', '__'): tuple(v) if isinstance(v, list) else v
                for k, v in values.items()
            }
        )
    assert (ROOT / 'config' / 'arms' / f'{config["action"]["contract"]}.yaml').is_file()


def test_dds_profile_has_a_large_segment():
    root = ElementTree.parse(ROOT / 'config' / 'fastdds.xml').getroot()
    size = [int(e.text) for e in root.iter() if e.tag.endswith('}segment_size')]
    assert size == [16 * 2**20]
    used = {e.text for e in root.iter() if e.tag.endswith('}transport_id')}
    assert used == {'vw2_shm', 'vw2_udp'}


def test_layout_shows_topics_that_exist():
    layout = json.loads((ROOT / 'config' / 'foxglove.json').read_text())

    def panels(node):
        return {node} if isinstance(node, str) else panels(node['first']) | panels(node['second'])

    assert panels(layout['layout']) == set(layout['configById'])
    known = {v.lstrip('/') for k, v in vars(names).items() if k.isupper() and isinstance(v, str)}
    known |= {f'{c}/{t}' for c in names.CAMERAS for t in (names.IMAGE, names.CAMERA_INFO)}
    text = json.dumps(layout['configById'])
    shown = set(re.findall(r'"/([a-z_]+(?:/[a-z_]+)*)', text))
    assert shown and shown <= known, shown - known


@pytest.mark.parametrize('name', ENTRIES)
def test_launch_file_names_the_description(name):
    tree = ast.parse((ROOT / 'launch' / f'{name}.launch.py').read_text())
    text = ast.unparse(tree)
    assert f'system.{name}, system.{name.upper()}_ARGUMENTS' in text
    names = [a.name for a in ENTRIES[name][1]]
    assert len(names) == len(set(names))
    assert {'namespace', 'params_file', 'use_sim_time', 'autostart', 'log_level'} <= set(names)
    assert all(len(a.description) > 5 for a in ENTRIES[name][1])


@pytest.mark.parametrize('name', ENTRIES)
def test_launch_description_starts_the_same_processes(name):
    launch = pytest.importorskip('launch')
    actions = pytest.importorskip('launch_ros.actions')
    path = ROOT / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    declared = {a.name for a in description.get_launch_arguments()}
    assert declared == {a.name for a in ENTRIES[name][1]}
    context = launch.LaunchContext()
    nodes = []
    for entity in description.entities:
        made = entity.visit(context) or []
        nodes += [e for e in made if isinstance(e, actions.Node)]
    assert [n.node_executable for n in nodes] == [p.executable for p in ENTRIES[name][0]()]
