# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""When a message was made: by its header stamp, or by its arrival where stamps are no clock.

One rule for all that reads bags. A topic goes by arrival where any of this is so of its stamps:

| fault                    | how it is seen                                                           |
| ------------------------ | ------------------------------------------------------------------------ |
| none                     | zero or below; but a simulation may begin at zero                        |
| constant or coarse       | messages of different content share a stamp                              |
| of another unit          | steps of seconds or microseconds, which arrival does not show            |
| out of order             | more than a twentieth of them lie behind an earlier one                  |
| a clock that was set     | they jump, and the time until arrival has changed for good               |

A message that is sent again, byte for byte, counts once. Stamps of a simulation, slower or faster
than arrival, are a clock like any other.
"""

from __future__ import annotations

import zlib

import numpy as np

from vw2_ros.errors import InvalidValueError

FEW = 0.05  # share of messages that may come out of order, or share a stamp
NEAR = 10  # messages before and after a jump, to see whether the clock was set
FASTEST_NS, SLOWEST_NS = 1e5, 1e9  # steps of a stream of messages
SIMULATED_NS = 1e9  # the second stamp of a simulation that begins at zero is below this


def stamp_of(message) -> int:
    """Return the header stamp of a message [ns]; 0: none."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def content_of(data: bytes) -> int:
    """What tells messages apart that have the same stamp."""
    return zlib.crc32(data)


def distrust(received_ns, stamp_ns, contents=None) -> str:
    """Why stamps are no clock, '' where they are one.

    Args:
        received_ns: time of arrival of each message, as they came.
        stamp_ns: header stamp of each; 0: none.
        contents: `content_of` each; None: messages that share a stamp are the same message.
    """
    received, stamps = np.asarray(received_ns, np.int64), np.asarray(stamp_ns, np.int64)
    if not len(stamps) or not _there(stamps).all():
        return 'stamps are zero'
    if contents is not None and len(stamps):
        again = np.append(False, (np.diff(stamps) == 0) & (np.diff(np.asarray(contents)) == 0))
        received, stamps = received[~again], stamps[~again]
    steps, came = np.diff(stamps), np.diff(received)
    if not len(steps):
        return ''
    if (steps == 0).mean() > (0.5 if contents is None else FEW):
        return 'stamps stand still'
    step, arrived = np.median(np.abs(steps)), np.median(came)
    if (step > SLOWEST_NS > arrived > 0) or (step < FASTEST_NS < arrived):
        return 'stamps are of another unit'
    if (stamps < np.maximum.accumulate(stamps)).mean() > FEW:
        return 'stamps step back'
    return 'the clock of the stamps was set' if _was_set(received, stamps, step) else ''


def _there(stamps: np.ndarray) -> np.ndarray:
    there = stamps > 0
    if stamps[0] == 0 and (len(stamps) == 1 or 0 < stamps[1] < SIMULATED_NS):
        there[0] = True
    return there


def _was_set(received: np.ndarray, stamps: np.ndarray, step: float) -> bool:
    """Whether the time until arrival changes for good where stamps jump and arrival does not."""
    latency, steps = received - stamps, np.diff(stamps)
    jumps = (steps < 0) | ((steps > 2 * step) & (np.diff(received) < steps / 2))
    for i in np.flatnonzero(jumps):
        before, after = latency[max(0, i - NEAR) : i + 1], latency[i + 1 : i + 1 + NEAR]
        if steps[i] > 0 and min(len(before), len(after)) < NEAR // 2:
            continue  # the first messages of a recording may come late
        moved = abs(np.median(after) - np.median(before))
        spread = max(np.ptp(np.percentile(part, (25, 75))) for part in (before, after))
        if moved > max(step / 2, 2 * spread):
            return True
    return False


def message_times(received_ns, stamp_ns, contents=None) -> tuple[np.ndarray, str]:
    """Times of messages [ns], as they came; and why they are those of arrival, '' if they are not.

    Raises:
        InvalidValueError: arrival is no clock either.
    """
    why = distrust(received_ns, stamp_ns, contents) if len(stamp_ns) else ''
    times = np.asarray(received_ns if why else stamp_ns, np.int64)
    if why and len(times) > 1 and not np.ptp(times):
        raise InvalidValueError(
            f'messages must say when they were made. Got {len(times)} whose {why}, and all of '
            'which arrived at once. Record again'
        )
    return times, why
