# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""House rules that a machine can check."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(p for d in ('vw2_ros', 'models', 'sim', 'launch', 'tests')
                 for p in (ROOT / d).rglob('*.py')) + [ROOT / 'setup.py']
DOCUMENTED = [p for p in SOURCES if p.relative_to(ROOT).parts[0] in ('vw2_ros', 'models', 'sim')]


def ids(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in paths]


def test_ruff():
    pytest.importorskip('ruff')
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--output-format=concise',
                           '--no-cache', '.'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('path', ids(SOURCES))
def test_licence_header(path):
    head = path.read_text().splitlines()[:4]
    assert any(line == '# SPDX-License-Identifier: Apache-2.0' for line in head)
    assert any(re.match(r'# Copyright \d{4} ', line) for line in head)


def public_without_docstring(tree):
    """Yield the public modules, classes, functions and methods that have no docstring."""
    if not ast.get_docstring(tree):
        yield 'the module'
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and not item.name.startswith('_') \
                        and not ast.get_docstring(item) and not overrides(item):
                    yield f'{node.name}.{item.name}'


def overrides(function):
    """Return whether a method is a framework's own hook or a setter, described where it is from."""
    hooks = {'forward', 'on_configure', 'on_activate', 'on_deactivate', 'on_cleanup',
             'on_shutdown', 'on_error'}
    setter = any(isinstance(d, ast.Attribute) and d.attr == 'setter'
                 for d in function.decorator_list)
    return function.name in hooks or setter


@pytest.mark.parametrize('path', ids(DOCUMENTED))
def test_public_names_are_documented(path):
    missing = list(public_without_docstring(ast.parse(path.read_text())))
    assert not missing, f'no docstring: {", ".join(missing)}'


@pytest.mark.parametrize('path', ids(SOURCES))
def test_nothing_left_to_do(path):
    if path == pathlib.Path(__file__).resolve():
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not re.search(r'\b(TODO|FIXME|XXX)\b|raise NotImplementedError', line), \
            f'line {number}: {line.strip()}'


@pytest.mark.parametrize('path', ids([p for p in SOURCES if p.name.endswith('_node.py')]))
def test_nodes_are_thin(path):
    assert len(path.read_text().splitlines()) <= 250, 'move the maths out of the shell'
