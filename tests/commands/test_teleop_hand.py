# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop` without ROS: what keys and a joystick mean."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from vw2_ros import cli
from vw2_ros.arms.contract import Contract
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert
from vw2_ros.teleop.hand import JOY_SILENCE_S, KEY_S, Hand, JoySpec, Pace
from vw2_ros.teleop.leader_hand import leader_hand

BUTTONS = [0, 0, 0, 0, 1]
PANDA = Contract.load('panda')


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


def led(q, names=PANDA.joints, stamp_s=0.0):
    """A leader's message at that time of ROS."""
    return convert.joints_to_message(names, q, stamp_ns=round((100 + stamp_s) * 1e9))


def led_hand(**options):
    hand = leader_hand('leader/joint_states', 'panda', **options)
    hand.see(led(PANDA.home_rad), 100 * 10**9, 0.0)
    return hand


def test_a_leader_leads_after_its_key():
    hand = led_hand()
    hand.press('clutch', 0.0)
    hand.see(led(PANDA.home_rad + 0.01, stamp_s=0.03), round(100.03e9), 0.03)
    assert hand.twist(0.03)[:3].any() and hand.frame == 'panda_link0'
    assert 'clutched in: 0.' in hand.state(0.03)
    hand.press('clutch', 0.04)
    np.testing.assert_array_equal(hand.twist(0.05), np.zeros(6))
    assert hand.state(0.05).startswith('clutched out: you clutched out')
    hand.let_go()
    assert hand.twist(0.05) is None
    with pytest.raises(
        InvalidValueError, match='cannot be clutched in: its newest joints are 470 ms'
    ):
        hand.press('clutch', 0.5)
    assert hand.twist(0.5) is None, 'nothing is taken'


@pytest.mark.parametrize(
    'message, why',
    [
        (led([np.nan] * 7, stamp_s=0.03), 'leader/joint_states: position must be finite'),
        (
            led(PANDA.home_rad, [*PANDA.joints[:6]] * 1 + ['panda_joint6'], 0.03),
            'names must differ',
        ),
        (led(PANDA.home_rad, stamp_s=-100.0), 'stamp must be set'),
        (led(PANDA.home_rad, stamp_s=9.0), 'in the future'),
        (led(PANDA.home_rad, stamp_s=-1.0), None),
        (led([1.0], ['wheel'], 0.03), None),
    ],
)
def test_what_a_leader_may_not_send(message, why):
    hand = led_hand()
    hand.press('clutch', 0.0)
    hand.see(message, round(100.03e9), 0.03)
    assert hand.leader.clutched == (why is None)
    assert why is None or why in hand.leader.why
    np.testing.assert_array_equal(hand.twist(0.03), np.zeros(6))
    np.testing.assert_array_equal(hand.twist(0.2), np.zeros(6))
    assert not hand.leader.clutched, 'it is silent'


def test_a_leader_of_other_joints_is_named():
    hand = leader_hand('leader/joint_states', 'panda')
    hand.see(led([0.0] * 2, ['shoulder', 'elbow']), 100 * 10**9, 0.0)
    with pytest.raises(InvalidValueError, match='Got shoulder, elbow. Say --leader-contract.'):
        hand.press('clutch', 0.0)


def test_a_leader_leads_while_a_button_is_down():
    hand = led_hand(by_button=True)
    with pytest.raises(InvalidValueError, match='button 4 of the joystick clutches in'):
        hand.press('clutch', 0.0)
    hand.hold([], BUTTONS, 0.0)
    assert not hand.leader.clutched, 'it was never seen up'
    hand.hold([], [0] * 5, 0.01)
    hand.hold([], BUTTONS, 0.02)
    assert hand.leader.clutched
    hand.leader.refuse('two publish')
    hand.see(led(PANDA.home_rad, stamp_s=0.03), round(100.03e9), 0.03)
    hand.hold([], BUTTONS, 0.03)
    assert not hand.leader.clutched, 'what clutched out wants the button up'
    hand.hold([], [0] * 5, 0.04)
    hand.hold([], [1, 0, 0, 0, 1], 0.05)
    assert hand.leader.clutched and hand.closes is True
    hand.hold([], [0] * 5, 0.06)
    assert hand.leader.why == 'you let go' and hand.twist(0.06) is None
    hand.hold([], BUTTONS, 0.07)
    with pytest.raises(InvalidValueError, match='must have buttons 4 and 0. Got 1'):
        hand.hold([], [1], 0.08)
    assert not hand.leader.clutched
    hand.hold([], BUTTONS, 0.09)
    assert hand.leader.clutched
    for i in range(10):
        hand.see(
            led(PANDA.home_rad, stamp_s=0.1 + 0.05 * i),
            round((100.1 + 0.05 * i) * 1e9),
            0.1 + 0.05 * i,
        )
        hand.twist(0.1 + 0.05 * i)
    assert hand.leader.why == 'the joystick is silent'


@pytest.mark.parametrize(
    'words, said',
    [
        (['--speed', '0'], 'speed_m_s must be in (0, 3]. Got 0.0.'),
        (['--axes', '1,x'], '--axes must be numbers, e.g. 1,0,4,,,3.'),
        (['--axes', '1,2'], 'axes must be 6 numbers'),
        (['--leader-contract', 'panda'], 'say --leader TOPIC, too'),
        (['--leader', 'leader/joint_states', '--contract', 'x'], "unknown contract 'x'"),
        (['--leader', 'a/joint_states'], 'must have keys or a joystick'),
        ([], 'must have keys or a joystick. Got no terminal.'),
    ],
)
def test_asked_for_wrongly(words, said, capsys, monkeypatch):
    with open('/dev/null') as nothing:
        monkeypatch.setattr('sys.stdin', nothing)
        assert cli.main(['teleop', *words]) == 2
    assert said in capsys.readouterr().err
    assert JoySpec().axes == (1, 0, 4, None, None, 3), 'as the help says'
