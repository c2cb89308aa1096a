# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""QoS profiles, one function each (REP-2003)."""

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

HEARTBEAT_PERIOD_S = 0.02
HEARTBEAT_LEASE_S = 0.05  # of silence, then the middleware says so

# A profile may be changed by whoever it is given to (QoS overrides do): a fresh one each time.


def newest(depth: int = 1) -> QoSProfile:
    """Sensor data, best effort (REP-2003); by default only the newest counts."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def reliable(depth: int = 10) -> QoSProfile:
    """Commands, plans and whatever must arrive, in order."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )


def latched() -> QoSProfile:
    """One value that late subscribers still get."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def heartbeat() -> QoSProfile:
    """A sender that says it lives; where it does not, the middleware tells its subscribers."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
        liveliness_lease_duration=Duration(seconds=HEARTBEAT_LEASE_S),
    )
