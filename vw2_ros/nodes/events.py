# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a robot was let do and was kept from: a log of events that only grows. No ROS.

One JSON object per line, in a file per node below `~/.ros/vw2/` (below `$ROS_HOME/vw2/` where that is
set):

    {"time": "2026-11-29T08:15:30.123+00:00", "node": "/action", "event": "stop",
     "reason": "asked for", "limits": "<SHA-256 of the contract>", "weights": "<SHA-256>"}

| event                          | when                                                          |
| ------------------------------ | ------------------------------------------------------------- |
| `start`, `end`                 | the node became active, or ended in an orderly way            |
| `arm`, `disarm`, `release`     | `rearm`, a robot that begins anew, `release`                  |
| `stop`, `hold`, `resume`, `idle` | the arm was stopped, holds, moves again, has nothing to do  |
| `limit`                        | limits began to change commands; `reason` names which         |
| `takeover`, `handback`         | an operator took the arm, or gave it back to the policy       |
| `swap`                         | other weights                                                 |
| `master`                       | somebody else commands the arm                                |
| `lost`                         | of the watchdog: the action node was killed, or hangs         |

A full file is renamed to bear its time; the newest of these are kept. Writing happens in a thread of
its own: `write` never waits. A full disk loses events, which are counted, and nothing else.
"""

import json
import os
import pathlib
import queue
import threading
from datetime import datetime, timezone

MAX_BYTES = 5_000_000  # of one file: about 20,000 events
KEEP_FILES = 20  # full ones; older ones go
QUEUE = 1000  # events that may wait for the disk


def folder() -> pathlib.Path:
    """Where the logs lie."""
    home = os.environ.get('ROS_HOME') or os.path.join(os.path.expanduser('~'), '.ros')
    return pathlib.Path(home) / 'vw2'


class EventLog:
    """Appends events of one node.

    Args:
        node: its full name; the file is named after it.
        facts: fields of every event, e.g. the hash of the limits.
    Attributes:
        lost: how many events could not be written. problem: why, '' while all is well.
    """

    def __init__(self, node: str, **facts: str):
        name = node.strip('/').replace('/', '_') or 'node'
        self.path = folder() / f'{name}.jsonl'
        self.facts = {'node': node, **facts}
        self.lost, self.problem = 0, ''
        self._broken = False  # the last line may be cut off
        self._queue: queue.Queue = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, name='events', daemon=True)
        self._thread.start()

    def write(self, event: str, reason: str = '', **fields) -> None:
        """Note an event; never waits."""
        now = datetime.now(timezone.utc).isoformat(timespec='milliseconds')
        line = {'time': now, 'event': event, 'reason': reason, **self.facts, **fields}
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, and end."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._append(json.dumps(line).encode() + b'\n')
                self.problem = ''
            except OSError as error:
                self.lost += 1
                self.problem = f'{self.path}: {error.strerror or error}'

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size + len(line) > MAX_BYTES:
            self._rotate()
        if self._broken:
            line = b'\n' + line
        with open(self.path, 'ab', buffering=0) as file:
            self._broken = True
            while line := line[
                file.write(line) :
            ]:  # cut short on a full disk: the next try says so
                pass
            os.fsync(file.fileno())
        self._broken = False

    def _rotate(self) -> None:
        now = datetime.now(timezone.utc).strftime('%Y%m%dT%H%M%S.%f')
        os.replace(self.path, self.path.with_name(f'{self.path.stem}.{now}.jsonl'))
        full = sorted(self.path.parent.glob(f'{self.path.stem}.2*.jsonl'))
        for old in full[:-KEEP_FILES]:
            old.unlink(missing_ok=True)
