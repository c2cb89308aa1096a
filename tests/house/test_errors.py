# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Errors have one root, and nobody reads their text: read from the sources."""

import ast
import builtins
import pathlib

import pytest

from vw2_ros import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
    p for d in ('vw2_ros', 'models', 'sim', 'launch') for p in (ROOT / d).rglob('*.py')
)
# builtins that are raised on purpose: no errors, or faults of a program
ALLOWED = {
    'KeyboardInterrupt': 'a signal ends what runs, as Ctrl-C does',
    'SystemExit': 'a process ends with a status',
    'NotImplementedError': 'a subclass of ours lacks a method: a fault of the program',
}
# classes with another root
OTHER_ROOTS = {'Stopped': 'it must pass through `except Exception` of the libraries that decode'}


def each(kind):
    """(path, node) of every node of this kind in the sources."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
            if isinstance(node, kind):
                yield path.relative_to(ROOT), node


def name_of(node):
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition('.')[2]


def is_builtin_error(name):
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def test_what_is_raised_on_purpose_is_a_vw2_error():
    found = [
        f'{path}:{node.lineno}: raise {name_of(node.exc)}'
        for path, node in each(ast.Raise)
        if node.exc is not None
        and is_builtin_error(name_of(node.exc))
        and name_of(node.exc) not in ALLOWED
    ]
    assert not found, found


def test_every_error_class_has_the_one_root():
    roots = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    classes = [(path, node) for path, node in each(ast.ClassDef)]
    ours = set(roots)
    for _ in range(5):  # classes may come before their bases
        ours |= {n.name for _, n in classes if {name_of(b) for b in n.bases} & ours}
    found = [
        f'{path}:{node.lineno}: class {node.name}'
        for path, node in classes
        if any(is_builtin_error(name_of(b)) for b in node.bases)
        and node.name not in ours
        and node.name not in OTHER_ROOTS
    ]
    assert not found, found


def test_nobody_reads_the_text_of_an_error():
    found = []
    for path, node in each(ast.ExceptHandler):
        for compare in ast.walk(node):
            if isinstance(compare, ast.Compare) and node.name:
                texts = {f'str({node.name})', f'{node.name}.args[0]', f'{node.name}.strerror'}
                if texts & {ast.unparse(c) for c in ast.walk(compare) if isinstance(c, ast.expr)}:
                    found.append(f'{path}:{compare.lineno}: {ast.unparse(compare)}')
    assert not found, found


@pytest.mark.parametrize(
    'kind, builtin',
    [
        (errors.InvalidValueError, ValueError),
        (errors.UsageError, ValueError),
        (errors.MissingFileError, OSError),
        (errors.MissingPackageError, ImportError),
    ],
)
def test_an_error_is_caught_by_its_builtin_too(kind, builtin):
    assert issubclass(kind, errors.VW2Error) and issubclass(kind, builtin)
