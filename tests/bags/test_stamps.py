# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One rule says whether stamps are a clock."""

import numpy as np
import pytest

from vw2_ros.bags.stamps import distrust, message_times

T0, N = 1_700_000_000_000_000_000, 90
AT = T0 + np.arange(N) * 33_333_333
CAME = AT + 4_000_000
K = np.arange(N)
GAP = AT + (K >= 2) * 100_000_000  # nothing was sent after the second message


def late(which, by_ns):
    """Arrival of messages of which some came later."""
    came = CAME.copy()
    came[which] += by_ns
    return came


@pytest.mark.parametrize(
    ('stamps', 'came', 'why'),
    [
        (AT, CAME, ''),
        (AT * 0, CAME, 'zero'),
        (np.where(K % 17, AT, 0), CAME, 'zero'),
        (AT * 0 + T0, CAME, 'stand still'),
        (AT // 10**9 * 10**9, CAME, 'stand still'),
        (AT // 50_000_000 * 50_000_000, CAME, 'stand still'),
        (AT - (K >= 30) * 500_000_000, CAME, 'step back'),
        (AT - (K >= 30) * 60_000_000, CAME, 'was set'),
        (AT + (K >= 30) * 500_000_000, CAME, 'was set'),
        (AT + (K >= 30) * 3_600_000_000_000, CAME, 'was set'),
        (np.where(K == 40, AT + 10**18, AT), CAME, 'step back'),
        ((AT - T0) * 1000 + T0, CAME, 'another unit'),
        ((AT - T0) // 1000 + T0, CAME, 'another unit'),
        (AT - T0 + 5 * 10**9, CAME, ''),  # simulated time
        (AT - T0, CAME, ''),  # that begins at zero
        (AT - T0 + 10**9, T0 + (AT - T0) * 8, ''),  # of a slow simulation
        (AT - T0 + 10**9, T0 + (AT - T0) // 5, ''),  # and of a quick one
        (AT + (K >= 30) * 10**9, CAME + (K >= 30) * 10**9, ''),  # nothing came for a second
        (AT, np.maximum(CAME, CAME[50]) * (K >= 35) + CAME * (K < 35), ''),  # the network stood
        (AT, late(slice(0, 3), 300_000_000), ''),
        (GAP, np.maximum.accumulate(late(slice(0, 2), 200_000_000) + GAP - AT), ''),
    ],
)
def test_stamps_are_a_clock_or_not(stamps, came, why):
    found = distrust(came, stamps, K)
    assert why in found and bool(found) == bool(why)
    times, _ = message_times(came, stamps, K)
    np.testing.assert_array_equal(times, came if why else stamps)


def test_messages_out_of_order_are_no_fault():
    order = K.copy()
    order[[20, 21, 60, 61]] = order[[21, 20, 61, 60]]
    assert distrust(np.sort(CAME), AT[order], order) == ''


def test_a_message_that_is_sent_again_is_no_fault():
    twice = np.repeat(AT, 2)
    assert distrust(T0 + np.arange(2 * N) * 16_666_666, twice, np.repeat(K, 2)) == ''
    assert 'stand still' in distrust(T0 + np.arange(2 * N) * 16_666_666, twice, np.arange(2 * N))


def test_arrival_may_be_no_clock_either():
    with pytest.raises(ValueError, match='stamps are zero, and all of which arrived at once'):
        message_times([T0] * 5, [0] * 5, range(5))
