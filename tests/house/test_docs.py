# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""README and docs/: what they link to and name exists, and what they print can be typed."""

import ast
import functools
import pathlib
import re

import pytest
from printed_commands import in_markdown, parse

from vw2_ros.cli import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
MADE = ('out', 'runs', 'data', 'bags', 'build', 'install', 'log')  # by commands
SOURCES = sorted(p for d in ('vw2_ros', 'models', 'sim') for p in (ROOT / d).rglob('*.py'))


def each(pages):
    return pytest.mark.parametrize('page', [pytest.param(p, id=p.name) for p in pages])


pages = each(PAGES)


def prose(page):
    """Return the text of a page without its code."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r'`[^`]*`', lambda m: m[0].replace('[', '(').replace(']', ')'), text)


def anchors(page):
    """Return what the headings of a page are called in a link, as GitHub and GitLab do it."""
    headings = re.findall(r'^#+ (.*)$', prose(page), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', h.strip().lower()).replace(' ', '-') for h in headings}


def test_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 130


def test_readme_names_every_page():
    readme = (ROOT / 'README.md').read_text()
    for page in PAGES[1:]:
        assert f'(docs/{page.name})' in readme, f'README.md has no link to {page.name}'


@pages
def test_lines_can_be_read_beside_one_another(page):
    lines = prose(page).splitlines()
    long = [line for line in lines if len(line) > 120 and not re.match(r'\||!\[|#', line)]
    assert not long, f'{page.name} has lines of over 120 characters. Wrap them'


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
        if re.match(r'https?://', target):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT) and file.exists(), f'{page.name} links to {target}'
        if anchor:
            assert anchor in anchors(file), f'{page.name}: {file.name} has no heading #{anchor}'


@functools.cache
def defined(path):
    """Return the names that a file defines: functions, classes, and Class.member of each."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            for item in ast.walk(node):
                if isinstance(item, ast.FunctionDef):
                    found.add(f'{node.name}.{item.name}')
                elif isinstance(item, ast.AnnAssign):
                    found.add(f'{node.name}.{ast.unparse(item.target).removeprefix("self.")}')
    return found


@each([*PAGES, ROOT / 'QUALITY_DECLARATION.md'])
def test_named_files_exist(page):
    """Whatever stands in backquotes and begins with a folder of the project is there."""
    folders = '|'.join(p.name for p in ROOT.iterdir() if p.is_dir() and p.name not in MADE)
    for name in re.findall(rf'`((?:{folders})/[\w./-]*)`', page.read_text()):
        assert (ROOT / name).exists(), f'{page.name} names {name}'


@pages
def test_named_methods_exist(page):
    everything = set().union(*(defined(p) for p in SOURCES))
    classes = {name for name in everything if '.' not in name and name[0].isupper()}
    for name in re.findall(r'`([A-Z]\w*\.\w+)`', page.read_text()):
        if name.partition('.')[0] in classes:
            assert name in everything, f'{page.name} names {name}'


@pages
def test_what_stands_beside_a_file_is_defined_there(page):
    """Rows of a table that begin with a name and then a file, as the chains of architecture.md."""
    for name, path in re.findall(r'^\| `([\w.]+)` \| `([\w/]+\.py)` \|', page.read_text(), re.M):
        assert name in defined(ROOT / path), f'{page.name}: {path} does not define {name}'


@pages
def test_printed_commands_can_be_typed(page):
    whole, parts = in_markdown(page.read_text())
    application = build()
    for words in whole:
        parse(application, words)
    for words in parts:
        parse(application, words, whole=False)


def faults():
    """Rows of the tables of faults in docs/robot.md, as lists of cells."""
    page = (ROOT / 'docs' / 'robot.md').read_text()
    section = page.partition('\n## The faults\n')[2].partition('\n## ')[0]
    rows = re.findall(r'^\|(.+)\|$', section, re.MULTILINE)
    return [[cell.strip() for cell in row.split(' | ')] for row in rows if '`tests/' in row]


def test_every_fault_has_a_test():
    rows = faults()
    assert len(rows) >= 15 + 12, 'rows of both tables'
    assert [row[0] for row in rows if row[0].isdigit()] == [str(i) for i in range(1, 16)]
    for row in rows:
        tests = re.findall(r'`(tests/[\w/]+\.py)(?:::(\w+))?`', row[-1])
        assert tests, f'{row[0]}: the last column must name a test'
        for path, name in tests:
            assert (ROOT / path).is_file(), f'docs/robot.md names {path}'
            assert not name or name in defined(ROOT / path), f'{path} has no {name}'
