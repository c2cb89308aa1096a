# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Find the `vw2 ...` commands that a text prints, and parse them without running anything."""

import re
import shlex

import typer.main


def in_shell(script: str) -> list[list[str]]:
    """Return the words after `vw2` of each command in shell text.

    A line that ends in a backslash goes on in the next one; `&&`, `;` and `|` end a command.
    """
    out = []
    for line in re.sub(r'\\\n', ' ', script).splitlines():
        if 'vw2' not in line.partition('#')[0]:
            continue
        for part in re.split(r'&&|;|\|', line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r'[A-Z_0-9]+=.*', words[0]):
                words.pop(0)  # VARIABLE=value before the command
            if words[:1] == ['vw2']:
                out.append(words[1:])
            elif 'vw2_ros.cli' in words:  # accelerate launch ... -m vw2_ros.cli train ...
                out.append(words[words.index('vw2_ros.cli') + 1 :])
    return out


def in_markdown(text: str) -> tuple[list[list[str]], list[list[str]]]:
    """Return the commands of the fenced blocks, and what stands inline in backquotes.

    The latter may be a part of a command: `vw2 train head --start`.
    """
    blocks = re.findall(r'^```sh\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)
    whole = [words for block in blocks for words in in_shell(block)]
    parts = [shlex.split(code)[1:] for code in re.findall(r'`(vw2\s[^`]+)`', prose)]
    return whole, parts


def parse(application: typer.Typer, words: list[str], *, whole: bool = True) -> None:
    """Check that a command exists and takes these options, with values of their types.

    Callbacks, which look for files and folders, are not called.

    Args:
        application: what `vw2` runs.
        words: after `vw2`.
        whole: it could be typed so; else the values of options, and options, may be missing.
    Raises:
        AssertionError: the message says what is wrong.
    """
    told = 'vw2 ' + ' '.join(words)
    command, left = typer.main.get_command(application), list(words)
    context = command.context_class(command, info_name='vw2')
    while hasattr(command, 'get_command') and left and not left[0].startswith('-'):
        name = left.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f'{told}: there is no command {name}'
        command, context = found, found.context_class(found, info_name=name, parent=context)
    if not whole:
        known = {o for p in command.get_params(context) for o in (*p.opts, *p.secondary_opts)}
        for word in left:
            assert not word.startswith('--') or word in known, f'{told}: no option {word}'
        return
    for parameter in command.get_params(context):
        parameter.callback = None
    try:
        command.make_context(context.info_name, left, parent=context.parent)
    except Exception as error:
        # click's usage errors, or those of the copy of click within typer
        if not hasattr(error, 'format_message'):
            raise
        raise AssertionError(f'{told}: {error.format_message()}') from None
