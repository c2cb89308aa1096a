# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One fixed thread for a model: it loads there, warms up there and runs there. No ROS."""

import threading

from vw2_ros.control.safety import Newest


class Worker:
    """Feeds the newest item, and only that, to `work(loaded, item)` in one thread of its own.

    Args:
        load: called first, in the thread; what it returns is handed to `work`.
        work: called for the newest item; older ones that were never taken are skipped, not queued.
        failed: called with the exception when `work` raises; the thread goes on.

    Raises:
        Exception: whatever `load` raises, in the thread that builds the worker.
    """

    def __init__(self, load, work, failed, name: str = 'model'):
        self.inbox = Newest()
        self.busy = False
        self._wake = threading.Event()
        self._loaded = threading.Event()
        self._error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, args=(load, work, failed), name=name, daemon=True
        )
        self._thread.start()
        self._loaded.wait()
        if self._error is not None:
            raise self._error

    def submit(self, item) -> None:
        """Hand over an item; it replaces one that was not begun yet."""
        self.inbox.put(item)
        self._wake.set()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Finish what is being worked on and end; False if that took too long."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self, load, work, failed) -> None:
        try:
            loaded = load()
        except BaseException as error:  # handed to whoever builds the worker
            self._error = error
            return
        finally:
            self._loaded.set()
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            item = self.inbox.take()
            if item is None:
                continue
            self.busy = True
            try:
                work(loaded, item)
            except Exception as error:
                failed(error)
            finally:
                self.busy = False
