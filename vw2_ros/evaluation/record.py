# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The record of an evaluation, from which an interrupted run goes on."""

import fcntl
import hashlib
import json
import os
import pathlib
import time

from vw2_ros.errors import VW2Error


class EvaluationError(VW2Error, RuntimeError):
    """The evaluation cannot go on; what was finished is kept in its record."""


class Record:
    """Lines of JSON, one per finished rollout, on disk as soon as they are known.

    The file's name comes from everything that a result depends on: other settings, weights or
    code have another file. A last line that was cut off is dropped.

    Args:
        folder: where the file lies.
        settings: JSON values; the first line.
    Raises:
        EvaluationError: another process writes to it.
    """

    def __init__(self, folder: pathlib.Path, settings: dict):
        text = json.dumps(settings, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = folder / f'record-{self.key}.jsonl'
        self.done: dict[str, dict] = {}
        self._file = open(self.path, 'a+b')
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise EvaluationError(
                f'another evaluation writes to {self.path}; wait for it, or choose another folder'
            ) from None
        self._read()
        if not self._file.tell():
            self._append({'settings': settings})
        self._last_s = time.monotonic()

    def __enter__(self) -> 'Record':
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, line: dict) -> None:
        """Keep a finished rollout, with the wall clock since the one before."""
        now_s = time.monotonic()
        line = {**line, 'wall_s': round(now_s - self._last_s, 3)}
        self._last_s = now_s
        self.done[line['rollout']] = line
        self._append(line)

    def _read(self) -> None:
        self._file.seek(0)
        good = 0
        for raw in self._file:
            try:
                line = json.loads(raw)
            except ValueError:
                break
            if not raw.endswith(b'\n'):
                break
            good += len(raw)
            if 'rollout' in line:
                self.done[line['rollout']] = line
        self._file.truncate(good)
        self._file.seek(good)

    def _append(self, line: dict) -> None:
        self._file.write(json.dumps(line).encode() + b'\n')
        self._file.flush()
        os.fsync(self._file.fileno())
