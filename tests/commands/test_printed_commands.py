# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Commands that were printed, in results and in the documentation, are still taken."""

import pathlib
import re
import shlex

import pytest
import typer

from vw2_ros import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob('resource/**/commands.sh')),
    ROOT / 'README.md',
    *ROOT.glob('docs/*.md'),
]


def commands(page):
    """The words of each line of a page that begins with `vw2`, one line of each set of options."""
    text = page.read_text().replace('\\\n', ' ')
    lines = re.findall(r'^(?:\$ )?vw2 +(\w.*)$', text, re.MULTILINE)
    found = {}
    for words in (shlex.split(line, comments=True) for line in lines):
        names = tuple(w for w in words if w.startswith('--'))
        found.setdefault((*words[:2], *names), words)
    return list(found.values())


def parse(words):
    """Run `vw2` with commands that do nothing; the exit status."""
    command = typer.main.get_command(cli.build())
    groups = [command]
    while groups:
        for child in groups.pop().commands.values():
            if hasattr(child, 'commands'):
                groups.append(child)
            else:
                child.callback = lambda **_: None
    try:
        return command.main(args=words, prog_name='vw2', standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, 'show'):
            raise
        error.show()
        return error.exit_code


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_printed_command_is_taken_or_says_what_to_type(page, capsys):
    for words in commands(page):
        status, told = parse(words), capsys.readouterr().err
        assert status == 0 or re.search(r'[Ss]ay vw2|Type vw2|Use vw2', told), f'{words}: {told}'


def test_there_are_printed_commands():
    assert len(commands(ROOT / 'resource/calvin_table/commands.sh')) > 5


def test_a_wrong_command_is_seen(capsys):
    assert parse(['train', 'dldm', '--no-such-option']) != 0
    assert 'No such option' in capsys.readouterr().err
