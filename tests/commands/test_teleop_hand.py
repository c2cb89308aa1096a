# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop` without ROS: what keys and a joystick mean."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from vw2_ros import cli
from vw2_ros.errors import InvalidValueError
from vw2_ros.teleop import JOY_SILENCE_S, KEY_S, Hand, JoySpec, Pace

BUTTONS = [0, 0, 0, 0, 1]


def test_keys_move_for_a_moment_and_then_the_arm_is_held():
    hand = Hand(Pace(0.1, 0.5))
    assert hand.twist(10.0) is None
    hand.press('r', 10.0)
    hand.press('j', 10.0)
    np.testing.assert_allclose(hand.twist(10.0 + KEY_S / 2), [0, 0, 0.1, 0, 0, 0.5])
    np.testing.assert_array_equal(hand.twist(10.0 + 2 * KEY_S), np.zeros(6))
    hand.press('faster', 11.0)
    hand.press('f', 11.0)
    assert hand.twist(11.0)[2] == pytest.approx(-0.125)
    hand.press('gripper', 11.0)
    assert hand.closes is True
    hand.press('gripper', 11.0)
    assert hand.closes is False
    hand.let_go()
    assert hand.twist(11.0) is None and hand.closes is None


def test_a_joystick_moves_while_its_button_is_down():
    hand = Hand(Pace(0.1, 0.5))
    axes = [-0.5, 1.0, 0, 0.01, 2.0, 0]
    hand.hold(axes, [0] * 5, 1.0)
    assert hand.twist(1.0) is None
    hand.hold(axes, BUTTONS, 1.0)
    np.testing.assert_allclose(hand.twist(1.0), [0.1, -0.05, 0.1, 0, 0, 0])
    for _ in range(2):  # held down it is pressed once
        hand.hold(axes, [1, 0, 0, 0, 1], 1.1)
    assert hand.closes is True
    assert hand.twist(1.1 + 2 * JOY_SILENCE_S) is None, 'it was unplugged'
    hand.hold(axes, BUTTONS, 2.0)
    hand.hold(axes, [0] * 5, 2.1)
    assert hand.twist(2.1) is None
    for wrong in ([np.nan] * 6, [0.0]):
        hand.hold(axes, BUTTONS, 3.0)
        with pytest.raises(InvalidValueError, match='must (be finite|have axes)'):
            hand.hold(wrong, BUTTONS, 3.0)
        assert hand.twist(3.0) is None


@pytest.mark.parametrize(
    'words, said',
    [
        (['--speed', '0'], 'speed_m_s must be in (0, 3]. Got 0.0.'),
        (['--axes', '1,x'], '--axes must be numbers, e.g. 1,0,4,,,3.'),
        (['--axes', '1,2'], 'axes must be 6 numbers'),
        ([], 'must have keys or a joystick. Got no terminal.'),
    ],
)
def test_asked_for_wrongly(words, said, capsys, monkeypatch):
    with open('/dev/null') as nothing:
        monkeypatch.setattr('sys.stdin', nothing)
        assert cli.main(['teleop', *words]) == 2
    assert said in capsys.readouterr().err
    assert JoySpec().axes == (1, 0, 4, None, None, 3), 'as the help says'
