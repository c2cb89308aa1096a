# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Write an mcap bag from a thread of its own, so that a kill costs a fraction of a second. No ROS."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from vw2_ros.bags.bag import rosbags
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import write_whole

FLUSH_S = 0.25  # what is older lies in the file, also when this process is killed
QUEUE_BYTES = 256 << 20  # a slow disk may lag so much behind; what comes beyond is dropped
FREE_BYTES = 1 << 30  # the disk is never filled further
RING_BYTES = 4 << 30  # the last seconds take no more memory


@dataclass(frozen=True)
class Storage:
    """How a bag is stored, as `ros2 bag record` has it.

    Raises:
        InvalidValueError: a negative size or length.
    """

    zstd: bool = False  # chunks are compressed; what was written can be read after a kill, too
    max_bytes: int = 0  # a new file begins after so many; 0: one file
    max_seconds: float = 0.0  # or after so long; 0: one file

    def __post_init__(self):
        if self.max_bytes < 0 or self.max_seconds < 0:
            raise InvalidValueError(
                f'size and length of a file must be >= 0. Got {self.max_bytes}, {self.max_seconds}'
            )


class BagWriter:
    """A bag in the making: `put` messages, `close` it.

    Args:
        folder: the bag, which must not exist; the file in it has its name, with a number where
            `storage` splits it.
        latched: topics that late subscribers get again when the bag is played.
        storage: compressed or not, in one file or several.
    Attributes:
        dropped: topic -> messages that found the queue full.
        failed: why it does not write any more, '' while it does.
    Raises:
        ValueError: the folder exists, or the disk is full.
        BagError: `rosbags` is not installed.
    """

    def __init__(
        self, folder: Path, latched: tuple[str, ...] = (), storage: Storage | None = None
    ):
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
        self.storage = storage or Storage()
        if self.storage.zstd:
            self._writer.set_compression(
                rosbag2.CompressionMode.STORAGE, rosbag2.CompressionFormat.ZSTD
            )
        self._writer.open()
        self._files: list[dict] = []  # of the parts, as metadata.yaml lists them
        if self._splits:
            # a kill while the parts are put together must not leave a list with one of them
            self._writer.metapath = folder / '.metadata.yaml'
            self._begin_part()
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
            self._finish()
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
        if self._splits:
            self._part(received_ns, len(data))
        self._writer.write(connection, received_ns, data)
        with self._lock:
            self._waiting_bytes -= len(data)
        self.written += 1

    # -- parts: NAME_0.mcap, NAME_1.mcap, ... as `ros2 bag record` names them

    @property
    def _splits(self) -> bool:
        return bool(self.storage.max_bytes or self.storage.max_seconds)

    def _begin_part(self) -> None:
        storage = self._writer.storage
        named = storage.path.with_name(f'{self.folder.name}_{len(self._files)}.mcap')
        storage.path = storage.path.rename(named)
        self._files.append({'path': named.name, 'first': 0, 'last': 0, 'count': 0, 'bytes': 0})

    def _part(self, received_ns: int, size: int) -> None:
        """Count a message of the present part, or begin the next with it."""
        part, limit = self._files[-1], self.storage
        full = limit.max_bytes and part['bytes'] + size > limit.max_bytes
        long = limit.max_seconds and received_ns - part['first'] >= limit.max_seconds * 1e9
        if part['count'] and (full or long):
            writer = self._writer
            writer.storage.close(writer.version, '')
            writer.storage = type(writer.storage)(writer.path, writer.compression_mode)
            for kind in dict.fromkeys(kind for _, kind in self._connections):
                writer.storage.add_msgtype(
                    next(c for (_, k), c in self._connections.items() if k == kind)
                )
            for connection in self._connections.values():
                writer.storage.add_connection(connection, '')
            self._begin_part()
            part = self._files[-1]
        part['first'] = part['first'] or received_ns
        part['last'] = max(part['last'], received_ns)
        part['count'], part['bytes'] = part['count'] + 1, part['bytes'] + size

    def _finish(self) -> None:
        """Close the file, and list the parts where there are several."""
        self._writer.close()
        if not self._splits:
            return
        import yaml

        content = yaml.safe_load(self._writer.metapath.read_text())
        told = content['rosbag2_bagfile_information']
        told['relative_file_paths'] = [part['path'] for part in self._files]
        told['files'] = [
            {
                'path': part['path'],
                'starting_time': {'nanoseconds_since_epoch': part['first']},
                'duration': {'nanoseconds': max(0, part['last'] - part['first'])},
                'message_count': part['count'],
            }
            for part in self._files
        ]
        write_whole(self.folder / 'metadata.yaml', yaml.safe_dump(content, sort_keys=False))
        self._writer.metapath.unlink()

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


class RingWriter:
    """Keeps the last seconds in memory, and writes them as a bag when it is asked to.

    It is used as `BagWriter` is. What was latched is kept for all bags.

    Args:
        folder: takes the bags, each in a folder with the time of the request as its name.
        seconds: how long a message is kept. latched, storage: see `BagWriter`.
    Attributes:
        saved: the bags.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        latched: tuple[str, ...] = (),
        storage: Storage | None = None,
    ):
        if seconds <= 0:
            raise InvalidValueError(f'--last must be longer than nothing. Got {seconds:g} s')
        rosbags('rosbag2')  # or say that it is missing, before there is something to lose
        self.folder, self.seconds = Path(folder), seconds
        self.latched, self.storage = latched, storage
        self.dropped: dict[str, int] = {}
        self.failed, self.written = '', 0
        self.saved: list[Path] = []
        self._kept: deque[tuple[str, str, int, bytes]] = deque()
        self._last: dict[str, tuple[str, str, int, bytes]] = {}
        self._bytes, self._threads = 0, []

    def put(self, topic: str, kind: str, received_ns: int, data: bytes) -> bool:
        """Take one message, and forget what is too old."""
        message = (topic, kind, received_ns, data)
        if topic in self.latched:
            self._last[topic] = message
        self._kept.append(message)
        self._bytes += len(data)
        while self._kept and (
            received_ns - self._kept[0][2] > self.seconds * 1e9 or self._bytes > RING_BYTES
        ):
            self._bytes -= len(self._kept.popleft()[3])
        return True

    def save(self) -> Path:
        """Write what is kept, in a thread; the bag that it becomes."""
        kept = list(self._kept)
        began = kept[0][2] if kept else time.time_ns()
        before = [(t, k, began, d) for t, k, at, d in self._last.values() if at < began]
        name = time.strftime('%Y-%m-%d_%H-%M-%S')
        bag, number = self.folder / name, 0
        while bag in self.saved or bag.exists():
            number += 1
            bag = self.folder / f'{name}_{number}'
        self.saved.append(bag)
        thread = threading.Thread(target=self._write, args=(bag, before + kept))
        thread.start()
        self._threads.append(thread)
        return bag

    def _write(self, bag: Path, messages: list[tuple[str, str, int, bytes]]) -> None:
        try:
            writer = BagWriter(bag, self.latched, self.storage)
            for message in messages:
                while not writer.put(*message) and not writer.failed:
                    time.sleep(0.05)  # the disk is slow, and nothing is lost by waiting
            writer.close()
            self.written += writer.written
        except (InvalidValueError, OSError) as error:
            self.failed = str(error)

    def close(self) -> None:
        """Wait until all that was asked for is written.

        Raises:
            ValueError: it could not be; the message says why.
        """
        for thread in self._threads:
            thread.join()
        if self.failed:
            raise InvalidValueError(self.failed)
