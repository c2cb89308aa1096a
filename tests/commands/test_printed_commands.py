# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Commands that were printed beside results are still taken; those of README and docs: test_docs."""

import pathlib

import pytest
from printed_commands import in_markdown, in_shell, parse

from vw2_ros.cli import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(ROOT.glob('resource/**/commands.sh'))


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_printed_command_is_taken(script):
    commands, application = in_shell(script.read_text()), build()
    assert len(commands) > 5
    for words in commands:
        parse(application, words)


@pytest.mark.parametrize(
    'words, told',
    [
        ('nothing', 'no command nothing'),
        ('bench nothing', 'no command nothing'),
        ('collect --scenes D', '--out'),
        ('collect --out x --bogus 1', '--bogus'),
        ('collect --out x y', 'y'),
        ('eval --chains many', '--chains'),
    ],
)
def test_what_cannot_be_typed_is_told(words, told):
    with pytest.raises(AssertionError, match=f'vw2 {words}.*{told}'):
        parse(build(), words.split())


def test_options_of_inline_commands_exist():
    parse(build(), ['collect', '--out'], whole=False)
    with pytest.raises(AssertionError, match='no option --bogus'):
        parse(build(), ['collect', '--bogus'], whole=False)


def test_commands_are_found_in_shell_text():
    script = (
        '# vw2 demo is not run\nvw2 demo   # nor is this: vw2 bench\n'
        "OMP_NUM_THREADS=1 vw2 collect --out 'a b' \\\n  --scenes D && cd x; vw2 doctor | less\n"
        'accelerate launch -m vw2_ros.cli train dldm --out y\nros2 launch vw2_ros robot.launch.py\n'
    )
    assert in_shell(script) == [
        ['demo'],
        ['collect', '--out', 'a b', '--scenes', 'D'],
        ['doctor'],
        ['train', 'dldm', '--out', 'y'],
    ]


def test_commands_are_found_in_a_page():
    page = 'Say `vw2 eval --ros`, not `ros2`.\n\n```sh\nvw2 demo\n```\n'
    assert in_markdown(page) == ([['demo']], [['eval', '--ros']])
