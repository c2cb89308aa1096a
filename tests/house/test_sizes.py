# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Files of at most 500 lines, functions of at most 80; docs/architecture.md names the exceptions."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
    p for d in ('vw2_ros', 'models', 'sim', 'launch', 'examples') for p in (ROOT / d).rglob('*.py')
)
FILE_LINES, FUNCTION_LINES = 500, 80
MOST_FILES, MOST_FUNCTIONS = 3, 5


def long_files(sources=SOURCES):
    """Return (file, '') for each file that is too long."""
    return {(p, '') for p in sources if len(p.read_text().splitlines()) > FILE_LINES}


def long_functions(sources=SOURCES):
    """Return (file, function) for each function that is too long."""
    return {
        (path, node.name)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }


def named(text):
    """Return (file, function or '') of each line of the list of exceptions."""
    lines = re.findall(r'^- `([\w/]+\.py)`(?:, `(\w+)`)?: .{10,}$', text, re.MULTILINE)
    return {(ROOT / file, function) for file, function in lines}


def test_long_files_and_functions_are_named_with_a_reason():
    files, functions = long_files(), long_functions()
    assert files | functions == named((ROOT / 'docs' / 'architecture.md').read_text())
    assert len(files) <= MOST_FILES and len(functions) <= MOST_FUNCTIONS


def test_what_is_too_long_is_seen(tmp_path):
    path = tmp_path / 'long.py'
    path.write_text('def long():\n' + '    pass\n' * FUNCTION_LINES + 'x = 1\n' * 420)
    assert long_files([path]) == {(path, '')}
    assert long_functions([path]) == {(path, 'long')}
    assert named('- `a/b.py`: it is one table\n- `a/b.py`, `f`: it is one loop\n- `c.py`:\n') == {
        (ROOT / 'a/b.py', ''),
        (ROOT / 'a/b.py', 'f'),
    }
