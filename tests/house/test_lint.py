# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""House rules that a machine can check."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
    p
    for d in ('vw2_ros', 'models', 'sim', 'launch', 'examples', 'tests')
    for p in (ROOT / d).rglob('*.py')
) + [ROOT / 'setup.py']
DOCUMENTED = [p for p in SOURCES if p.relative_to(ROOT).parts[0] in ('vw2_ros', 'models', 'sim')]


def ids(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in paths]


@pytest.mark.parametrize(
    'command', [('check', '--output-format=concise'), ('format', '--check')], ids=lambda c: c[0]
)
def test_ruff(command):
    pytest.importorskip('ruff')
    done = subprocess.run(
        [sys.executable, '-m', 'ruff', *command, '--no-cache', '.'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('path', ids(SOURCES))
def test_licence_header(path):
    head = path.read_text().splitlines()[:4]
    assert any(line == '# SPDX-License-Identifier: Apache-2.0' for line in head)
    assert any(re.match(r'# Copyright \d{4} ', line) for line in head)


# a framework's own hooks are described where they are from
HOOKS = {
    'forward',
    'on_configure',
    'on_activate',
    'on_deactivate',
    'on_cleanup',
    'on_shutdown',
    'on_error',
}


@functools.cache
def documented_methods():
    """Return {class: the methods that it documents}, over the whole tree."""
    out = {}
    for path in DOCUMENTED:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                out.setdefault(node.name, set()).update(
                    i.name
                    for i in node.body
                    if isinstance(i, ast.FunctionDef) and ast.get_docstring(i)
                )
    return out


def public_without_docstring(tree, inherited):
    """Yield the public modules, classes, functions and methods that have no docstring."""
    if not ast.get_docstring(tree):
        yield 'the module'
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            known = HOOKS.union(*(inherited.get(ast.unparse(b), ()) for b in node.bases))
            for item in node.body:
                if (
                    isinstance(item, ast.FunctionDef)
                    and not item.name.startswith('_')
                    and item.name not in known
                    and not ast.get_docstring(item)
                    and not any(
                        isinstance(d, ast.Attribute) and d.attr == 'setter'
                        for d in item.decorator_list
                    )
                ):
                    yield f'{node.name}.{item.name}'


@pytest.mark.parametrize('path', ids(DOCUMENTED))
def test_public_names_are_documented(path):
    missing = list(public_without_docstring(ast.parse(path.read_text()), documented_methods()))
    assert not missing, f'no docstring: {", ".join(missing)}'


@pytest.mark.parametrize('path', ids(SOURCES))
def test_nothing_left_to_do(path):
    if path == pathlib.Path(__file__).resolve():
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not re.search(r'\b(TODO|FIXME|XXX)\b|raise NotImplementedError', line), (
            f'line {number}: {line.strip()}'
        )


@pytest.mark.parametrize('path', ids(sorted((ROOT / 'vw2_ros' / 'nodes').glob('*.py'))))
def test_nodes_are_thin(path):
    assert len(path.read_text().splitlines()) <= 300, 'move the maths out of the shell'


@pytest.mark.parametrize('path', ids(SOURCES))
def test_grammar_of_python_3_10(path):
    ast.parse(path.read_text(), feature_version=(3, 10))
