# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A leader arm's motion, made again by a follower; and what clutches it out."""

import re

import arm_files
import numpy as np
import pytest

from vw2_ros.arms.actions import EndEffectorController
from vw2_ros.arms.contract import Contract, following
from vw2_ros.arms.geometry import euler_to_matrix, rotation_error
from vw2_ros.control.leader import AHEAD_S, BEHIND_S, MOST_M_S, SILENCE_S, Leader

PANDA = following('panda')
HOME = Contract.load('panda').home_rad
FAST = 0.5, 1.4  # [m/s], [rad/s]: nothing of the path is cut


def leader_of(kind, frame='base'):
    urdf = '' if kind == 'panda' else arm_files.example_urdf(kind)
    contract = Contract.load(kind, urdf=urdf)
    return Leader(contract, PANDA._replace(action_frame=frame)), contract


def path(contract, t):
    """Joints (n,) [rad] of a hand's motion that begins and ends at rest within 5 s."""
    s = np.clip(t / 5, 0, 1)
    i = np.arange(len(contract.joints))
    there = 0.2 * np.sin(i) * (3 * s**2 - 2 * s**3)
    return contract.home_rad + there + 0.1 * np.sin(np.pi * s) ** 2 * np.sin(i + 2 * t)


def relative(before, after, frame):
    """Motion of a tool (3,) [m] and (3, 3) along the base's axes, or along its first own ones."""
    (p0, r0), (p1, r1) = before, after
    if frame == 'tool':
        return r0.T @ (p1 - p0), r0.T @ r1
    return p1 - p0, r1 @ r0.T


@pytest.mark.parametrize('frame', ['base', 'tool'])
@pytest.mark.parametrize('kind', ['panda', 'xarm7'])
def test_the_follower_makes_the_leaders_way(kind, frame):
    """The action node's own controller gets the twists; ticks and stamps jitter."""
    leader, contract = leader_of(kind, frame)
    rng = np.random.default_rng(1)
    follower = EndEffectorController(Contract.load('panda').arm, frame=frame)
    # elsewhere than the leader
    follower.reset(HOME + [0.2, -0.1, 0.1, 0.1, 0.2, -0.1, 0.3])
    pose = lambda: (follower.position.copy(), euler_to_matrix(follower.euler))  # noqa: E731
    begin, first = pose(), contract.arm.forward(path(contract, 0.0))
    leader.see(path(contract, 0.0), 10**9, 0.0)
    assert not leader.clutch_in(0.0)
    action, longest, seen_s, tick_s = np.append(np.zeros(6), 1.0), 0.0, 0.01, 0.05
    for step_s in np.arange(1, 6 * PANDA.rate_hz) / PANDA.rate_hz:
        while tick_s < step_s:
            while seen_s < tick_s:
                leader.see(path(contract, seen_s), 10**9 + round(seen_s * 1e9), seen_s)
                seen_s += rng.uniform(0.005, 0.015)
            action[:6] = follower.action_of(leader.twist(tick_s, *FAST))
            longest = max(longest, leader.speed_m_s)
            tick_s += rng.uniform(0.025, 0.042)
        follower.step(action, 30 / PANDA.rate_hz)
    wanted = relative(first, contract.arm.forward(path(contract, 6.0)), frame)
    got = relative(begin, pose(), frame)
    assert leader.clutched and longest > 0.1 and np.linalg.norm(wanted[0]) > 0.05
    print(
        kind,
        frame,
        longest,
        np.abs(got[0] - wanted[0]).max(),
        np.linalg.norm(rotation_error(got[1], wanted[1])),
    )
    assert np.linalg.norm(got[0] - wanted[0]) < 0.001
    assert np.linalg.norm(rotation_error(got[1], wanted[1])) < 0.01


ARM = Contract.load('panda').arm


class Person:
    """Moves a leader by hand along z, and looks 100 times a second."""

    def __init__(self):
        self.leader, self.t, self.q = Leader(Contract.load('panda'), PANDA), 0.0, HOME.copy()
        self.finger = 0.04
        self.twist, self.twist_s = np.zeros(6), 0.0

    def move(self, speed_m_s=0.0, seconds=0.2):
        """Go on so long; return the ways of the follower (n, 6), and what is said of the gripper."""
        ways, grips = [], []
        for i in range(round(seconds * 100)):
            self.t += 0.01
            at, turn = ARM.forward(self.q)
            self.q = ARM.inverse(at + [0, 0, speed_m_s * 0.01], turn, self.q)
            grips.append(self.leader.see(self.q, ns(self.t), self.t, self.finger))
            if i % 3 == 0:
                ways.append(self.twist * (self.t - self.twist_s))
                self.twist, self.twist_s = self.leader.twist(self.t, *FAST), self.t
        return np.array(ways), [grip for grip in grips if grip is not None]


def ns(t):
    """Stamp of a time."""
    return round((t + 9) * 1e9)


@pytest.fixture
def person():
    person = Person()
    person.move()
    return person


def test_clutched_out_nothing_moves_and_the_motion_counts_from_where_it_is_clutched_in(person):
    assert not person.move(0.2, 1.0)[0].any() and person.leader.why == 'not yet clutched in'
    assert person.leader.clutch_in(person.t) == '' == person.leader.why
    sent = np.concatenate([person.move(0.1, 1.0)[0], person.move(0.0, 1.0)[0]])
    assert sent.sum(axis=0)[2] == pytest.approx(0.1, abs=0.001)
    assert abs(sent[-1]).max() < 1e-6
    person.leader.clutch_out('you clutched out')
    assert not person.move(0.1)[0][1:].any() and person.leader.why == 'you clutched out'


def test_what_the_speed_cuts_is_made_up_for_only_a_moment(person):
    person.leader.clutch_in(person.t)
    most = person.leader._follower.tool_speed_m_s
    sent = person.move(0.6, 0.3)[0]
    assert np.abs(sent[:, :3]).max() <= most * 0.03 + 1e-9 < MOST_M_S * 0.03
    after = person.move(0.0, 1.0)[0].sum(axis=0)[2]
    assert 0.5 * most * BEHIND_S < after < most * (BEHIND_S + AHEAD_S + 0.03)


def test_a_leader_that_jumps_or_is_moved_faster_than_by_a_hand_clutches_out(person):
    person.leader.clutch_in(person.t)
    person.move(0.2)
    person.q = person.q + [0.5, 0, 0, 0, 0, 0, 0]
    sent = person.move(0.2)[0][1:]
    assert not sent.any() and not person.leader.clutched and 'it jumped by 0.' in person.leader.why
    assert person.leader.clutch_in(person.t) == '', 'it may be clutched in again'
    for i in range(1, 40):
        t = person.t + 0.001 * i
        person.leader.see(person.q + 0.006 * i * np.eye(7)[0], ns(t), t)
    assert not person.leader.clutched, '6 rad/s, a little with each message'


def test_noise_of_fast_encoders_is_no_jump(person):
    person.leader.clutch_in(person.t)
    rng = np.random.default_rng(0)
    for i in range(1, 300):
        t = person.t + 0.001 * i
        person.leader.see(HOME + rng.normal(0, 0.0005, 7), ns(t), t)
    assert person.leader.clutched
    assert np.abs(person.leader.twist(t, *FAST)[:3]).max() < 0.05


def test_a_silent_leader_clutches_out_and_stays_out(person):
    person.leader.clutch_in(person.t)
    person.move(0.2)
    stopped_s = person.t
    assert person.leader.twist(stopped_s + 0.9 * SILENCE_S, *FAST).any()
    assert not person.leader.twist(stopped_s + 1.1 * SILENCE_S, *FAST).any()
    assert 'its newest joints are 110 ms old, limit 100 ms' == person.leader.why
    assert 'ms old' in person.leader.clutch_in(stopped_s + 0.5)
    person.t = stopped_s + 1.0
    assert not person.move(0.2)[0][1:].any() and not person.leader.clutched
    assert person.leader.clutch_in(person.t) == ''
    person.t += 2 * SILENCE_S  # nobody looked meanwhile
    assert not person.move(0.2)[0][1:].any() and not person.leader.clutched


def test_a_leader_that_sends_the_same_stamp_again_is_silent(person):
    person.leader.clutch_in(person.t)
    for i in range(1, 20):
        person.leader.see(person.q, ns(person.t), person.t + 0.01 * i)
    assert not person.leader.twist(person.t + 0.19, *FAST).any() and not person.leader.clutched


@pytest.mark.parametrize(
    'joints, finger, why',
    [
        (
            np.degrees(HOME),
            0.04,
            'panda_joint1 must lie within .* rad. Got -69.77. Are these degrees',
        ),
        (HOME, 40.0, 'panda_finger_joint1 must lie within 0.0 .closed. to 0.04 .open.. Got 40'),
    ],
)
def test_other_units_clutch_out(person, joints, finger, why):
    person.leader.clutch_in(person.t)
    person.move(0.2)
    person.leader.see(joints, ns(person.t + 0.01), person.t + 0.01, finger)
    assert not person.leader.clutched and re.search(why, person.leader.why)
    assert re.search(why, person.leader.clutch_in(person.t + 0.01))
    assert not person.leader.twist(person.t + 0.01, *FAST).any()


def test_the_gripper_follows_the_fingers_once_they_move(person):
    person.finger = 0.0
    assert person.move()[1] == [], 'clutched out'
    person.leader.clutch_in(person.t)
    assert person.move()[1] == [], 'a thing that the follower holds, or does not, stays so'
    said = []
    for person.finger in (0.02, 0.023, 0.03, 0.021, 0.017, 0.012, 0.018, 0.04):
        said += person.move(0.0, 0.03)[1]
    assert said == [False, True, False]
