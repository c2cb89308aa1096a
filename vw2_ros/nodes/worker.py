# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One fixed thread for a model: it loads there, warms up there and runs there. No ROS."""

import threading
from collections import deque


class Newest:
    """A slot for the newest item between a producer and one slow worker: skip, never queue."""

    def __init__(self):
        self._items = deque(maxlen=1)  # append and popleft are atomic
        self.put_count = 0
        self.taken = 0

    def put(self, item) -> None:
        """Replace whatever was not taken yet."""
        self._items.append(item)
        self.put_count += 1

    def take(self):
        """Return the newest item and empty the slot, or None if there is none."""
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        self.taken += 1
        return item

    @property
    def skipped(self) -> int:
        """Items that were replaced before the worker took them."""
        return max(0, self.put_count - self.taken - len(self._items))


class Worker:
    """Feeds the newest item, and only that, to `work(loaded, item)` in one thread of its own.

    The thread begins to load at once; `wait` for it before the first item.

    Args:
        load: called first, in the thread; what it returns is handed to `work`.
        work: called for the newest item; older ones that were never taken are skipped, not queued.
        failed: called with the exception when `work` raises; the thread goes on.
    """

    def __init__(self, load, work, failed, name: str = 'model'):
        self.inbox = Newest()
        self._wake = threading.Event()
        self._loaded = threading.Event()
        self._product = None
        self._successors: deque = deque()  # (load, done)
        self._error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, args=(load, work, failed), name=name, daemon=True
        )
        self._thread.start()

    @property
    def loaded(self) -> bool:
        """Whether loading is over, well or not: `wait` returns at once."""
        return self._loaded.is_set()

    def wait(self):
        """Wait until all is loaded; return what `load` returned.

        Raises:
            Exception: whatever `load` raised.
        """
        self._loaded.wait()
        if self._error is not None:
            raise self._error
        return self._product

    def submit(self, item) -> None:
        """Hand over an item; it replaces one that was not begun yet."""
        self.inbox.put(item)
        self._wake.set()

    def prepare(self, load, done) -> None:
        """Load a successor in the thread, between two items; the present product stays.

        Args:
            load: returns it, or raises.
            done: called in the thread with it and None, or with None and the exception. Hand it to
                `swap` from there or from any thread.
        """
        self._successors.append((load, done))
        self._wake.set()

    def swap(self, product) -> None:
        """Work with another product from the next item on."""
        self._product = product

    def close(self, timeout_s: float = 5.0) -> bool:
        """Finish what is being worked on and end; False if that took too long.

        A thread that still loads is not waited for: it ends by itself, and works on nothing.
        """
        self._closing = True
        self._wake.set()
        if not self.loaded:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self, load, work, failed) -> None:
        try:
            self._product = load()
        except BaseException as error:  # handed to whoever waits
            self._error = error
            return
        finally:
            self._loaded.set()
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._successors and not self._closing:
                self._load_successor(*self._successors.popleft())
            if self._closing:
                return
            item = self.inbox.take()
            if item is None:
                continue
            try:
                work(self._product, item)
            except Exception as error:
                failed(error)

    @staticmethod
    def _load_successor(load, done) -> None:
        try:
            product = load()
        except Exception as error:
            done(None, error)
        else:
            done(product, None)
