# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""package.xml, setup.py and the files that they name agree with each other and with the code."""

import ast
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXECUTABLES = {
    'vw2',
    'camera_node',
    'planner_node',
    'action_node',
    'watchdog_node',
    'imagination_node',
    'calvin_bridge_node',
    'franka_node',
}

# distribution names of modules, where the two differ
DISTRIBUTION = {
    'cv2': 'opencv-python-headless',
    'franka': 'franka-rs',
    'PIL': 'pillow',
    'pinocchio': 'pin',
    'yaml': 'pyyaml',
    'pybullet_data': 'pybullet',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'umap': 'umap-learn',
    'vla_eval': 'vla-eval',
}
ROS_PACKAGES = {
    'rclpy',
    'builtin_interfaces',
    'diagnostic_msgs',
    'geometry_msgs',
    'lifecycle_msgs',
    'rcl_interfaces',
    'rosgraph_msgs',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'trajectory_msgs',
    'action_msgs',
    'ament_index_python',
    'launch',
    'launch_ros',
    'rosbag2_py',
    'tf2_ros',
    'cv_bridge',
    'control_msgs',
    'unique_identifier_msgs',
}


@pytest.fixture(scope='module')
def manifest():
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture(scope='module')
def setup_arguments():
    """What setup.py hands to setuptools, by running it with setup() recorded."""
    code = (
        'import setuptools, json, sys\n'
        'got = {}\n'
        'setuptools.setup = lambda **k: got.update(k)\n'
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), "
        "{'__file__': 'setup.py', '__name__': '__main__'})\n"
        'print(json.dumps(got))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def third_party_imports(folders=('vw2_ros', 'models', 'sim', 'launch')):
    """Return {top-level module: a file that imports it} for what the standard library lacks."""
    out = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*.py')):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [a.name for a in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module]
                if 'torch.utils.tensorboard' in names:
                    names.append('tensorboard')  # torch's writer imports it
                for name in names:
                    top = name.split('.')[0]
                    if top not in sys.stdlib_module_names and top != 'vw2_ros':
                        out.setdefault(top, str(path.relative_to(ROOT)))
    return out


def test_manifest_is_format_3(manifest):
    assert manifest.tag == 'package' and manifest.get('format') == '3'
    order = [child.tag for child in manifest]
    assert order[:4] == ['name', 'version', 'description', 'maintainer']
    assert re.fullmatch(r'[a-z][a-z0-9_]*', manifest.findtext('name'))
    assert re.fullmatch(r'\d+\.\d+\.\d+', manifest.findtext('version'))
    assert manifest.findtext('description').strip()
    known = {
        'name',
        'version',
        'description',
        'maintainer',
        'license',
        'url',
        'author',
        'build_depend',
        'exec_depend',
        'depend',
        'test_depend',
        'buildtool_depend',
        'export',
    }
    assert set(order) <= known
    dependencies = [(c.tag, c.text) for c in manifest if c.tag.endswith('depend')]
    assert len(dependencies) == len(set(dependencies)), 'a dependency is named twice'


def test_maintainers_have_a_valid_address(manifest):
    # colcon and rosdep only warn about a malformed one and then forget the maintainer
    form = re.compile(
        r'[-a-zA-Z0-9_%+]+(\.[-a-zA-Z0-9_%+]+)*'
        r'@[-a-zA-Z0-9%]+(\.[-a-zA-Z0-9%]+)*\.[a-zA-Z]{2,}'
    )
    maintainers = manifest.findall('maintainer')
    assert maintainers
    for maintainer in maintainers:
        assert maintainer.text.strip()
        assert form.fullmatch(maintainer.get('email', '')), maintainer.get('email')


def test_manifest_licence_and_build_type(manifest):
    licence = manifest.find('license')
    assert licence.text == 'Apache-2.0'
    assert 'Apache License' in (ROOT / licence.get('file')).read_text()
    assert manifest.findtext('export/build_type') == 'ament_python'


def test_catkin_pkg_accepts_the_manifest():
    package = pytest.importorskip('catkin_pkg.package')
    warnings = []
    parsed = package.parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    parsed.validate(warnings=warnings)
    assert not warnings


def test_manifest_and_setup_agree(manifest, setup_arguments):
    assert setup_arguments['name'] == manifest.findtext('name')
    assert setup_arguments['version'] == manifest.findtext('version')
    assert setup_arguments['license'] == manifest.findtext('license')
    assert setup_arguments['maintainer_email'] == manifest.find('maintainer').get('email')


def test_every_package_is_installed(setup_arguments):
    packages = set(setup_arguments['packages'])
    assert {'vw2_ros', 'vw2_ros.models', 'vw2_ros.sim'} <= packages
    for folder, prefix in (
        ('vw2_ros', 'vw2_ros'),
        ('models', 'vw2_ros.models'),
        ('sim', 'vw2_ros.sim'),
    ):
        for path in (ROOT / folder).rglob('*.py'):
            parts = path.parent.relative_to(ROOT / folder).parts
            assert '.'.join((prefix, *parts)) in packages, f'{path} would not be installed'


def test_every_data_file_is_installed(setup_arguments):
    shipped = {f for _, files in setup_arguments['data_files'] for f in files}
    for folder in ('launch', 'config'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert str(path.relative_to(ROOT)) in shipped, f'{path} would not be installed'
    for folder, patterns in (
        ('sim', setup_arguments['package_data']['vw2_ros.sim']),
        ('models', setup_arguments['package_data']['vw2_ros.models']),
    ):
        base = ROOT / folder
        named = {f for p in patterns for f in base.glob(p)}
        for path in base.rglob('*'):
            if path.is_file() and path.suffix not in ('.py', '.pyc'):
                assert path in named, f'{path} would not be installed'
    marker = dict(setup_arguments['data_files'])['share/ament_index/resource_index/packages']
    assert marker == ['resource/vw2_ros'] and (ROOT / marker[0]).read_bytes() == b''


def test_entry_points_exist(setup_arguments):
    scripts = setup_arguments['entry_points']['console_scripts']
    assert {s.split(' = ')[0] for s in scripts} == EXECUTABLES
    for script in scripts:
        module, function = script.split(' = ')[1].split(':')
        path = ROOT / (module.replace('.', '/') + '.py')
        assert path.is_file(), f'{script}: no {path}'
        names = {
            n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)
        }
        assert function in names, f'{script}: {path.name} defines no {function}()'


def test_colcon_puts_executables_where_ros2_looks(setup_arguments):
    assert setup_arguments['options']['develop']['script_dir'] == '$base/lib/vw2_ros'
    assert setup_arguments['options']['install']['install_scripts'] == '$base/lib/vw2_ros'


def names_of(requirements):
    return {re.split(r'[<>=!~\[; ]', r)[0].lower() for r in requirements}


def top_imports(source):
    """First names of what a file imports as soon as it is imported itself."""
    body = ast.parse(source.read_text()).body
    found = {a.name for n in body if isinstance(n, ast.Import) for a in n.names}
    found |= {n.module for n in body if isinstance(n, ast.ImportFrom) and not n.level}
    return {name.split('.')[0] for name in found}


def test_every_import_is_declared(setup_arguments, manifest):
    required = names_of(setup_arguments['install_requires'])
    optional = names_of(
        r
        for extra, requirements in setup_arguments['extras_require'].items()
        if extra not in ('ros', 'test')
        for r in requirements
    )
    exec_depends = {d.text for d in manifest.findall('exec_depend')}
    at_top = {
        p: top_imports(p) for f in ('vw2_ros', 'models', 'sim') for p in (ROOT / f).rglob('*.py')
    }
    for module, path in third_party_imports().items():
        name = DISTRIBUTION.get(module, module).lower()
        if module in ROS_PACKAGES:
            assert module in exec_depends, f'{path} imports {module}: add an exec_depend'
        elif name in optional - required:
            for source, top in at_top.items():
                assert module not in top, f'{source}: {module} is optional, import it where used'
        else:
            assert name in required, f'{path} imports {module}: add {name} to install_requires'


def test_every_requirement_is_imported(setup_arguments, manifest):
    imported = third_party_imports()
    modules = {DISTRIBUTION.get(m, m).lower() for m in imported}
    for requirement in setup_arguments['install_requires']:
        name = re.split(r'[<>=!~\[; ]', requirement)[0].lower()
        assert name in modules, (
            f'nothing imports {name}: every installed package costs set-up time'
        )
    for depend in manifest.findall('exec_depend'):
        if depend.text in ROS_PACKAGES:
            assert depend.text in imported, f'nothing imports {depend.text}: drop its exec_depend'


def test_there_is_no_launch_package():
    assert not (ROOT / 'launch' / '__init__.py').exists(), "it would shadow ROS's launch"


def test_weights_fit_the_repository():
    sizes = {f: f.stat().st_size for f in (ROOT / 'models' / 'weights').rglob('*') if f.is_file()}
    assert sum(sizes.values()) <= 60e6
    assert all(size <= 16 * 2**20 for size in sizes.values()), sizes


def test_ci_runs_make_test_and_keeps_its_exit_status(tmp_path):
    run = ROOT / '.ci' / 'run'
    assert os.access(run, os.X_OK)
    # a tree with a Makefile that fails in its own way: the status comes through
    (tmp_path / '.ci').mkdir()
    (tmp_path / '.ci' / 'run').write_text(run.read_text())
    (tmp_path / 'Makefile').write_text('test:\n\t@echo summary; exit 3\n')
    done = subprocess.run(['bash', str(tmp_path / '.ci' / 'run')], capture_output=True, text=True)
    assert done.returncode != 0 and 'summary' in done.stdout


def test_every_library_is_asked_for(manifest, setup_arguments):
    """What the package imports is asked of rosdep where it knows it, and of pip always."""
    comment = re.search(r'<!-- Not in rosdep.*?-->', (ROOT / 'package.xml').read_text(), re.S)[0]
    asked = {e.text.removeprefix('python3-') for e in manifest.findall('exec_depend')}
    asked |= set(re.findall(r'[a-z]+', comment.split('):', 1)[1]))
    here = {'PIL': 'pil', 'cv2': 'opencv', 'pybullet_data': 'pybullet'}
    needed = {re.split(r'[>=<]', r)[0] for r in setup_arguments['install_requires']}
    modules = {v: k for k, v in DISTRIBUTION.items() if k != 'pybullet_data'}
    for library in needed:
        module = modules.get(library, library)
        assert here.get(module, module) in asked, f'{library} is not in package.xml'


@pytest.mark.skipif(
    sys.prefix == sys.base_prefix or not shutil.which('make'), reason='needs make and a venv'
)
def test_an_activated_environment_is_not_taken_for_the_system():
    """`make test` below an activated .venv must not make .venv anew from that very .venv."""
    said = subprocess.run(
        ['make', '-s', '--eval', 'show:;@echo $(PYTHON)', 'show'],
        cwd=ROOT,
        env={**os.environ, 'PATH': f'{sys.prefix}/bin{os.pathsep}{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        check=True,
    )
    python = pathlib.Path(said.stdout.strip())
    assert python.is_file() and pathlib.Path(sys.prefix) not in python.parents
