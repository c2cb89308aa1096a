# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A name that one process of this machine can hold at a time."""

import hashlib
import os
import socket


class Claim:
    """Holds a name in Linux's abstract socket namespace; it is free again however its owner ends.

    Attributes:
        held: False if another process holds the name.
    """

    def __init__(self, name: str):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f'\0vw2_ros_{hashlib.sha256(name.encode()).hexdigest()}')
            self.held = True
        except OSError:
            self.held = False

    def close(self) -> None:
        """Let the name go."""
        self._socket.close()
        self.held = False


def heartbeat_claim(topic: str) -> str:
    """The name that the sender of a heartbeat holds: it is free once its process is gone."""
    return f'{os.environ.get("ROS_DOMAIN_ID", 0)} {topic}'
