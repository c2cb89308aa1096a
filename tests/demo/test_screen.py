# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the demo says while it runs, and what it does without where the machine is busy."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from vw2_ros.demo.screen import Screen, blocks
from vw2_ros.demo.session import Subtask


def screen(terminal):
    console = Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding='utf-8', write_through=True),
        force_terminal=terminal,
        color_system='truecolor' if terminal else None,
        width=120,
    )
    return Screen(console), lambda: console.file.buffer.getvalue().decode()


def test_a_picture_as_text_has_two_pixels_a_character():
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:4], rgb[4:] = (255, 0, 0), (0, 0, 255)
    text = blocks(rgb, 4)
    assert text.plain == '▀▀▀▀\n' * 2
    styles = [(tuple(s.style.color.triplet), tuple(s.style.bgcolor.triplet)) for s in text.spans]
    assert styles == [((255, 0, 0),) * 2] * 4 + [((0, 0, 255),) * 2] * 4


def test_a_terminal_shows_pictures_and_a_log_has_lines_only():
    rgb = np.full((96, 96, 3), 90, np.uint8)
    for terminal in (True, False):
        shown, said = screen(terminal)
        with shown:
            shown.say('chain 0, 1 of 5')
            shown.show('2.0 s', {'camera': rgb, 'imagined': rgb})
            shown.show('2.1 s', {'camera': rgb})  # too soon
        assert 'chain 0, 1 of 5' in said() and '2.1 s' not in said()
        assert ('▀' in said()) == ('imagined' in said()) == ('2.0 s' in said()) == terminal


def session_of(shown, **options):
    pytest.importorskip('rclpy')
    from vw2_ros.demo.session import _Session

    client = SimpleNamespace(subscribe=lambda *_: None, wait=lambda *_: None)
    return _Session(client, SimpleNamespace(scene='D', screen=shown, **options), True)


@pytest.mark.parametrize(
    'lengths, played', [([2, 0, 5], [998, 999, 0]), ([0, 0, 0, 0, 1], [998, 999, 0, 1, 2])]
)
def test_so_many_chains_are_played_and_more_where_all_fail_at_once(lengths, played):
    session = session_of(screen(False)[0], seed=998, chains=3)
    lengths = iter(lengths)

    def chain(index, _):
        done = next(lengths)
        return [Subtask(index, n, 'task', 'words', True, n <= done) for n in range(1, done + 2)]

    session._chain = chain
    done, notes = session.run()
    assert sorted({s.chain for s in done}) == sorted(played) and not notes['too_slow']


def test_a_busy_machine_loses_the_pictures_first_and_real_time_then():
    shown, said = screen(True)
    session = session_of(shown)
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    def missed(count):
        value = KeyValue(key='missed steps', value=str(count))
        status = DiagnosticStatus(name='/calvin_bridge', values=[value])
        session._on_diagnostics(DiagnosticArray(status=[status]))

    missed(7)
    session._missed_before, session.steps = 7, 100  # seven while the nodes came up
    missed(12)
    assert shown.alive and not said()
    missed(13)
    assert not shown.alive and 'busy: 6 steps of the table were missed, 100 were made' in said()
    missed(27)
    assert not session._too_slow() and said().count('busy') == 1
    missed(28)
    assert session._too_slow()
