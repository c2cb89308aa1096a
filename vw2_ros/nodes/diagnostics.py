# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A node's health on /diagnostics and in its log: at once when it changes, else every second."""

import re

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vw2_ros import names
from vw2_ros.nodes.health import ERROR, OK

REPORT_PERIOD_S = 1.0


class Reporter:
    """Publishes and logs what a node found out about itself."""

    def __init__(self, node):
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, names.DIAGNOSTICS, 10)
        self._reported: tuple[float, int] = (-1e9, -1)  # when, level
        self._logged: tuple[float, int, str] = (-1e9, OK, '')  # when, level, what

    def publish(self, level: int, message: str, state: str, now_s: float) -> None:
        """Publish at once if the level has changed, else if a second has passed."""
        last_s, last_level = self._reported
        if level == last_level and now_s - last_s < REPORT_PERIOD_S:
            return
        self._reported = (now_s, level)
        values = {'state': state, **self._node.health.report(now_s)}
        status = DiagnosticStatus(
            level=bytes([level]),
            name=self._node.get_fully_qualified_name().lstrip('/'),
            message=message,
            hardware_id='vw2_ros',
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def log(self, level: int, message: str, now_s: float) -> None:
        """Log a health that is another one, whatever its numbers; at most one line a second."""
        last_s, *logged = self._logged
        now = [level, re.sub(r'\d+', '', message) if level != OK else '']
        if now == logged or now_s - last_s < REPORT_PERIOD_S:
            return
        self._logged = (now_s, *now)
        logger = self._node.get_logger()
        if level == OK:
            logger.info(message)
        elif level < ERROR:
            logger.warning(message)
        else:
            logger.error(message)
