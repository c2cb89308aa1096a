# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Batches on their way to the device: made in the background, shared between processes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

from vw2_ros.models import parallel


class Prefetcher:
    """Makes batches in a background thread, a few steps ahead.

    Args:
        make_batch: step -> dict of tensors on the CPU.
        steps: which steps, in order.
        finish: what is done to a batch last, e.g. moving it to the device.
        depth: how many batches are held ready.
    """

    def __init__(
        self,
        make_batch: Callable[[int], dict],
        steps: Iterator[int],
        finish: Callable[[dict], dict] = lambda batch: batch,
        depth: int = 4,
    ):
        self._queue: queue.Queue = queue.Queue(depth)
        self._closed = threading.Event()
        self.waited_s = 0.0

        def work() -> None:
            try:
                for step in steps:
                    if not self._put(finish(make_batch(step))):
                        return
            except BaseException as error:  # handed to the consumer, who raises it
                self._put(error)

        self._thread = threading.Thread(target=work, name='batches', daemon=True)
        self._thread.start()

    def _put(self, item) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def next(self) -> dict:
        """The next batch. Raises what make_batch raised."""
        begun = time.perf_counter()
        item = self._queue.get()
        self.waited_s += time.perf_counter() - begun
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stop the thread; batches made ahead are dropped."""
        self._closed.set()
        self._thread.join(timeout=10.0)


def own_share(batch: dict) -> dict:
    """This process's samples of a batch: of n processes every n-th."""
    n = parallel.world()
    return {
        k: v[parallel.rank() :: n] if n > 1 and getattr(v, 'ndim', 0) else v
        for k, v in batch.items()
    }
