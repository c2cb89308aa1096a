# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The arm's driver goes away and comes back elsewhere; the arm is moved by hand; hardware that is odd.

The action node and the watchdog are processes, and so is the arm. `VW2_FAULT_RUNS` says how often the
slow tests do it.
"""

import os
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from foreign_arm import REST_RAD
from robot_stack import running
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from vw2_ros import names

FEW, MANY = 1, int(os.environ.get('VW2_FAULT_RUNS', '100'))
runs = pytest.mark.parametrize('count', [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


@pytest.fixture
def stack(bench, tmp_path):
    with running(bench, tmp_path, on_stale='silent') as made:
        yield made


def elsewhere(rng, arm):
    """A pose within the limits [rad] (7,), further from where the arm is than it may resume from."""
    while True:
        way = rng.choice([-1, 1], 7) * rng.uniform(0.5, 0.8, 7)
        pose = REST_RAD + way * (1, 0.3, 0.3, 0.5, 0.5, 0.5, 1)
        if np.abs(pose - arm.where()).max() > 0.3:
            return pose


def nothing_until_rearm(stack, arm, since_s, seconds=1.0):
    """Radians that the arm goes, and commands that it gets, in so many seconds without a re-arm."""
    stack.bench.spin(seconds, stack.robot)
    return arm.moved(since_s), len(arm.commands(since_s))


@runs
def test_a_driver_that_comes_back_elsewhere_moves_nothing(stack, count):
    stack, arm = stack
    rng, dragged, commands, resumed = np.random.default_rng(0), [], [], 0
    stack.comes_up_disarmed()
    for _ in range(count):
        stack.moves(arm)
        arm.kill()
        stack.bench.spin(rng.uniform(0.3, 1.0), stack.robot)
        at = ','.join(f'{q:.4f}' for q in elsewhere(rng, arm))
        arm.start(f'--at={at}')
        moved, sent = nothing_until_rearm(stack, arm, time.monotonic())
        dragged.append(moved)
        commands.append(sent)
        since_s = time.monotonic()
        stack.moves(arm)  # from where it is now, without a jump
        first = np.array(arm.commands(since_s)[0]['goal'][0])
        at_s = np.array([s['q'] for s in arm.lines('state', since_s)])[0]
        resumed = max(resumed, np.abs(first - at_s).max())
    print(
        f'\n{count} restarts elsewhere: at most {max(dragged):.5f} rad and {max(commands)} commands '
        f'before a re-arm; the first command after it {resumed:.4f} rad from the arm'
    )
    assert max(dragged) < 1e-6 and max(commands) == 0 and resumed < 0.05


@runs
def test_an_arm_that_was_moved_by_hand_moves_nothing(stack, count):
    stack, arm = stack
    rng, dragged = np.random.default_rng(1), []
    hand = stack.bench.peer.create_publisher(Float64MultiArray, 'foreign_arm/hand', 10)
    stack.comes_up_disarmed()
    for _ in range(count):
        stack.moves(arm)
        hand.publish(Float64MultiArray(data=elsewhere(rng, arm).tolist()))
        moved_s = time.monotonic()
        assert stack.until(lambda since=moved_s: arm.lines('released', since), 20), 'no hand'
        dragged.append(nothing_until_rearm(stack, arm, arm.lines('released', moved_s)[0]['t'])[0])
    print(f'\n{count} times moved by hand: then at most {max(dragged):.5f} rad before a re-arm')
    assert max(dragged) < 1e-6


def refusal(stack):
    """Ask to arm; why it was refused, '' if it was not."""
    client = stack.bench.peer.create_client(Trigger, names.REARM)
    assert stack.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    assert stack.until(future.done, 10)
    stack.bench.peer.destroy_client(client)
    return '' if future.result().success else future.result().message


ODD = {
    'gripper-in-turn': ('--gripper', 'in_turn'),
    'velocity-nan': ('--velocity', 'nan'),
    'velocity-none': ('--velocity', 'none'),
    'shuffled-and-extra': ('--order', 'shuffled', '--extra', '3'),
    'best-effort': ('--reliability', 'best_effort'),
    'clock-ahead-20ms': ('--clock-offset', '0.02'),
    'clock-ahead-50ms': ('--clock-offset', '0.05'),
}
TOGETHER = ('gripper-in-turn', 'velocity-nan', 'shuffled-and-extra', 'best-effort')


@pytest.mark.parametrize(
    'options, tries',
    [
        pytest.param(sum((ODD[name] for name in TOGETHER), ()), 5, id='together'),
        pytest.param(ODD['clock-ahead-50ms'], 5, id='clock-ahead'),
        *(pytest.param(o, 30, id=name, marks=pytest.mark.slow) for name, o in ODD.items()),
    ],
)
def test_an_arm_of_others_arms_and_follows(bench, tmp_path, options, tries):
    with running(bench, tmp_path, *options, on_stale='silent') as (stack, arm):
        stack.comes_up_disarmed()
        why = [refusal(stack) for _ in range(tries)]
        armed = why.count('')
        stack.moves(arm)
        since_s = time.monotonic()
        stack.bench.spin(1.0, stack.robot)
        got = arm.commands(since_s)
        refused = sum(bool(c['refused']) for c in got)
        print(
            f'\n{" ".join(options)}: armed {armed}/{tries}, {refused}/{len(got)} refused',
            *set(why),
        )
        # a busy machine brings joints late, and late joints are no reason to arm
        assert all('ms old' in reason for reason in why if reason), why
        assert armed > 0.8 * tries or tries <= 5
        assert len(got) > 5 and refused == 0
