# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Write an mcap bag from a thread of its own, so that a kill costs a fraction of a second. No ROS."""

import queue
import shutil
import threading
import time
from pathlib import Path

from vw2_ros.bags.bag import rosbags
from vw2_ros.errors import InvalidValueError

FLUSH_S = 0.25  # what is older lies in the file, also when this process is killed
QUEUE_BYTES = 256 << 20  # a slow disk may lag so much behind; what comes beyond is dropped
FREE_BYTES = 1 << 30  # the disk is never filled further


class BagWriter:
    """A bag in the making: `put` messages, `close` it.

    Args:
        folder: the bag, which must not exist; the file in it has its name.
        latched: topics that late subscribers get again when the bag is played.
    Attributes:
        dropped: topic -> messages that found the queue full.
        failed: why it does not write any more, '' while it does.
    Raises:
        ValueError: the folder exists, or the disk is full.
        BagError: `rosbags` is not installed.
    """

    def __init__(self, folder: Path, latched: tuple[str, ...] = ()):
        folder, rosbag2 = Path(folder), rosbags('rosbag2')
        typesys, self._qos = rosbags('typesys'), rosbags('interfaces')
        if folder.exists():
            raise InvalidValueError(f'{folder} exists: give --out another name')
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._check_space(folder.parent)
        self.folder, self.latched = folder, latched
        self.dropped: dict[str, int] = {}
        self.failed, self.written = '', 0
        self._store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        # version 8, as Humble cannot read version 9
        self._writer = rosbag2.Writer(folder, version=8, storage_plugin=rosbag2.StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict = {}
        self._queue: queue.Queue = queue.Queue()
        self._waiting_bytes, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._work, name='bag', daemon=True)
        self._thread.start()

    def put(self, topic: str, kind: str, received_ns: int, data: bytes) -> bool:
        """Take one message; False if it was dropped.

        Args:
            kind: its type, e.g. std_msgs/msg/String. received_ns: since the epoch. data: CDR.
        """
        with self._lock:
            if self.failed or self._waiting_bytes + len(data) > QUEUE_BYTES:
                self.dropped[topic] = self.dropped.get(topic, 0) + 1
                return False
            self._waiting_bytes += len(data)
        self._queue.put((topic, kind, received_ns, data))
        return True

    def close(self) -> None:
        """Write what waits, the index and metadata.yaml.

        Raises:
            ValueError: it could not; the message says why, and what was written is still readable.
        """
        self._queue.put(None)
        self._thread.join()
        if self.failed:
            raise InvalidValueError(f'{self.folder}: {self.failed}; what came before is kept')

    def _check_space(self, folder: Path) -> None:
        free = shutil.disk_usage(folder).free
        if free < FREE_BYTES:
            raise InvalidValueError(
                f'the disk of {folder} has {free / 1e9:.1f} GB left; recording ends '
                f'below {FREE_BYTES / 1e9:.1f} GB'
            )

    def _work(self) -> None:
        flushed = checked = time.monotonic()
        try:
            while True:
                try:
                    item = self._queue.get(timeout=FLUSH_S)
                except queue.Empty:
                    item = ()
                if item is None:
                    break
                if item:
                    self._write(*item)
                now = time.monotonic()
                if now - flushed > FLUSH_S:
                    flushed = now
                    self._flush()
                if now - checked > 1.0:
                    checked = now
                    self._check_space(self.folder)
            self._writer.close()
        except Exception as error:  # a full disk above all
            self.failed = str(error) or type(error).__name__
            try:
                self._writer.close()
            except Exception:
                self._writer.abort()

    def _write(self, topic: str, kind: str, received_ns: int, data: bytes) -> None:
        connection = self._connections.get((topic, kind))
        if connection is None:
            connection = self._connections[(topic, kind)] = self._writer.add_connection(
                topic,
                kind,
                typestore=self._store,
                offered_qos_profiles=[self._latched()] if topic in self.latched else (),
            )
        self._writer.write(connection, received_ns, data)
        with self._lock:
            self._waiting_bytes -= len(data)
        self.written += 1

    def _flush(self) -> None:
        """Hand what the library gathers for a chunk of 1 MiB to the system now."""
        storage = self._writer.storage
        if storage.chunk.msgs:
            storage.close_chunk()
        storage.bio.flush()

    def _latched(self):
        q = self._qos
        never = q.QosTime(2147483647, 4294967295)
        return q.Qos(
            q.QosHistory.KEEP_LAST,
            1,
            q.QosReliability.RELIABLE,
            q.QosDurability.TRANSIENT_LOCAL,
            never,
            never,
            q.QosLiveliness.AUTOMATIC,
            never,
            False,
        )
