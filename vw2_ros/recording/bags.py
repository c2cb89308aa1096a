# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS 2 bags as they are found on disk, also those whose recorder was killed. No ROS needed.

`rosbags` reads whole bags. A recorder that was killed leaves an mcap file without an index, and no
metadata.yaml: its records are read one after another, as far as they are whole.
"""

import hashlib
import importlib
import io
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vw2_ros.errors import InvalidValueError

FILES = ('.mcap', '.db3')
MAGIC = b'\x89MCAP0\r\n'
STILL_S = 2.0  # an unfinished bag that is younger has its recorder still
_EDGE_BYTES = 1 << 16  # of a file's beginning and end: enough to tell recordings apart
_HEADER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 3, 4, 5, 6  # mcap's records

Message = tuple[str, str, int, bytes]  # topic, type, time of arrival [ns], CDR


class BagError(InvalidValueError):
    """A bag cannot be used; the message says what was wanted, what came, and what to do."""


def rosbags(part: str):
    """A part of `rosbags`, e.g. 'rosbag2'.

    Raises:
        BagError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(f'rosbags.{part}')
    except ImportError as error:
        raise BagError(
            'bags need rosbags, which is not installed: pip install rosbags '
            '(or: pip install "vw2_ros[video]")'
        ) from error


def find_bags(roots: Sequence[Path | str]) -> list[Path]:
    """Every bag in these folders, sub-folders included, each once: folders or lone files.

    Raises:
        BagError: a path does not exist or holds no bag.
    """
    found: list[Path] = []
    for root in map(Path, roots):
        if root.suffix in FILES and root.is_file():
            here = [root]
        elif not root.is_dir():
            raise BagError(f'{root} is neither a folder nor a .mcap or .db3 file')
        else:
            files = (
                Path(place, name)
                for place, _, names in os.walk(root)
                for name in names
                if name.endswith(FILES)
            )
            here = sorted({f.parent if _is_folder_bag(f.parent) else f for f in files})
        if not here:
            raise BagError(
                f'{root} holds no bag: wanted a folder that `vw2 record` or '
                '`ros2 bag record` wrote, with .mcap or .db3 files inside'
            )
        found += here
    return list(dict.fromkeys(found))


def _is_folder_bag(folder: Path) -> bool:
    # what a killed recorder leaves has no metadata.yaml, but is one recording all the same
    return (folder / 'metadata.yaml').is_file() or any(
        f.stem.startswith(folder.name) for f in folder.iterdir() if f.suffix in FILES
    )


def files_of(bag: Path) -> list[Path]:
    """The storage files of a bag, in order."""
    if bag.is_file():
        return [bag]
    return sorted(
        (f for f in bag.iterdir() if f.suffix in FILES), key=lambda f: (len(f.name), f.name)
    )


def fingerprint(bag: Path) -> str:
    """sha256 hex of the sizes and edges of a bag's files, whatever they are called."""
    digest = hashlib.sha256()
    for path in files_of(bag):
        with open(path, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest.update(f'{size}\0'.encode() + file.read(_EDGE_BYTES))
            file.seek(max(0, size - _EDGE_BYTES))
            digest.update(file.read())
    return digest.hexdigest()


class Bag:
    """One bag: `topics`, and `messages` of some of them, as often as wanted.

    Attributes:
        topics: name -> type.
        cut_short: '' where the bag was closed properly, else why it was not.
    Raises:
        BagError: nothing in it can be read, or rosbags is not installed.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._reader = rosbags('rosbag2').Reader
        self.cut_short = ''
        try:
            with self._reader(self.path) as bag:
                self.topics = {c.topic: c.msgtype for c in bag.connections}
                return
        except Exception as error:  # damaged files make the library raise nearly anything
            self.cut_short = ' '.join(str(error).split()) or type(error).__name__
        files = files_of(self.path)
        if any(time.time() - f.stat().st_mtime < STILL_S for f in files):
            raise BagError(f'{self.path} is still being written: end the recording first')
        if not files or any(f.suffix != '.mcap' for f in files):
            raise BagError(f'{self.path} cannot be read: {self.cut_short}')
        self.topics = {topic: kind for topic, kind, _, _ in self.messages()}
        if not self.topics:
            raise BagError(
                f'{self.path} cannot be read, and holds no whole message: {self.cut_short}'
            )

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[Message]:
        """The messages of these topics (None: of all), about in order of arrival.

        Where the file is damaged they end, and `cut_short` says so.
        """
        if self.cut_short:
            for path in files_of(self.path):
                yield from _whole_records(path, topics)
            return
        try:
            with self._reader(self.path) as bag:
                wanted = [c for c in bag.connections if topics is None or c.topic in topics]
                for connection, received_ns, data in bag.messages(wanted) if wanted else ():
                    yield connection.topic, connection.msgtype, received_ns, bytes(data)
        except Exception as error:
            self.cut_short = ' '.join(str(error).split()) or type(error).__name__


def _whole_records(path: Path, topics: Sequence[str] | None) -> Iterator[Message]:
    """Messages of an mcap file that was never closed (https://mcap.dev/spec), one by one."""
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    with open(path, 'rb') as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        for kind, content in _records(file):
            inside = _records(_unpacked(path, content)) if kind == _CHUNK else [(kind, content)]
            for kind, content in inside:
                if kind == _SCHEMA:
                    schemas[_number('<H', content)] = _text(content, 2)[0]
                elif kind == _CHANNEL:
                    number, schema = struct.unpack_from('<HH', content)
                    channels[number] = (_text(content, 4)[0], schemas.get(schema, ''))
                elif kind == _MESSAGE:
                    number, _, received_ns, _ = struct.unpack_from('<HIQQ', content)
                    topic, schema = channels[number]
                    if topics is None or topic in topics:
                        yield topic, schema, received_ns, content[22:]


def _records(stream) -> Iterator[tuple[int, bytes]]:
    while len(head := stream.read(9)) == 9:
        kind, size = struct.unpack('<BQ', head)
        if size > 1 << 31:
            return  # no record: the file is damaged from here on
        content = stream.read(size)
        if len(content) < size:
            return
        yield kind, content


def _unpacked(path: Path, chunk: bytes) -> io.BytesIO:
    compression, at = _text(chunk, 28)
    if compression:
        raise BagError(
            f'{path} was never closed, and its chunks are compressed with {compression}: '
            f'repair it first (mcap recover {path.name})'
        )
    return io.BytesIO(chunk[at + 8 :])


def _number(form: str, content: bytes, at: int = 0) -> int:
    return struct.unpack_from(form, content, at)[0]


def _text(content: bytes, at: int) -> tuple[str, int]:
    """A string at `at`, and where it ends."""
    size = _number('<I', content, at)
    return content[at + 4 : at + 4 + size].decode(errors='replace'), at + 4 + size
