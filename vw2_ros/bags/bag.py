# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One ROS 2 bag as it is found on disk, read as far as it is whole.

`rosbags` reads whole bags, also those whose messages or files are compressed with zstd. What it
cannot read as a whole is read file by file: a recorder that was killed leaves no metadata.yaml, and
an mcap file without an index, whose records are read one after another. A damaged chunk costs its
messages, a damaged file itself.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import struct
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from vw2_ros.errors import InvalidValueError

FILES = ('.mcap', '.db3')
PACKED = ('.zstd', '.zst', '.lz4', '.gz', '.xz', '.bz2')  # found; only zstd is read
MAGIC = b'\x89MCAP0\r\n'
STILL_S = 2.0  # an unfinished bag that is younger has its recorder still
_HEADER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 3, 4, 5, 6  # mcap's records
_MOST_BYTES = 1 << 31  # no record is larger

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


def cdr_reader():
    """Return what decodes a message: reader(bytes, type)."""
    typesys = rosbags('typesys')
    # these messages are the same in all releases of ROS 2
    return typesys.get_typestore(typesys.Stores.ROS2_JAZZY).deserialize_cdr


def is_storage(name: str) -> bool:
    """Whether a file is called as the storage of a bag is, compressed or not."""
    name = name.lower()
    return not name.startswith('.') and name.endswith(
        (*FILES, *(kind + packed for kind in FILES for packed in PACKED))
    )


def files_of(bag: Path) -> list[Path]:
    """The storage files of a bag, in order."""
    if bag.is_file():
        return [bag]
    return sorted(
        (f for f in bag.iterdir() if is_storage(f.name)), key=lambda f: (len(f.name), f.name)
    )


def _reason(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


class Bag:
    """One bag: `topics`, and `messages` of some of them, as often as wanted.

    Attributes:
        topics: name -> type.
        cut_short: '' where all of it can be read, else what cannot, and why.
    Raises:
        BagError: nothing in it can be read, or rosbags is not installed.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._reader = rosbags('rosbag2').Reader
        self.cut_short, self._by_parts = '', False
        try:
            with self._reader(self.path) as bag:
                self.topics = {c.topic: c.msgtype for c in bag.connections}
                return
        except Exception as error:  # damaged files make the library raise nearly anything
            if (self.path / 'metadata.yaml').is_file():  # else its files are read, one by one
                self.cut_short = _reason(error)
        self._by_parts = True
        self.topics = {topic: kind for topic, kind, _, _ in self._of_files(None)}
        young = (time.time() - f.stat().st_mtime < STILL_S for f in files_of(self.path))
        if self.cut_short and any(young):
            raise BagError(f'{self.path} is still being written: end the recording first')
        if not self.topics:
            raise BagError(
                f'{self.path} cannot be read, and holds no whole message: {self.cut_short}'
            )

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[Message]:
        """The messages of these topics (None: of all), about in order of arrival.

        What is damaged is left out, and `cut_short` says so.
        """
        given: Counter = Counter()
        if not self._by_parts:
            try:
                for message in self._read(self.path, topics):
                    given[message[0], message[2]] += 1
                    yield message
                return
            except Exception as error:
                self.cut_short, self._by_parts = _reason(error), True
        yield from _but(given, self._of_files(topics))

    def _of_files(self, topics: Sequence[str] | None) -> Iterator[Message]:
        told = dict.fromkeys(filter(None, [self.cut_short]))
        for file in files_of(self.path):
            given: Counter = Counter()
            try:
                with _unpacked_file(file) as (plain, why):
                    if why:
                        told[f'{file.name}: {why}'] = None
                    try:
                        for message in self._read(plain, topics):
                            given[message[0], message[2]] += 1
                            yield message
                    except Exception as error:
                        told[f'{file.name}: {_reason(error)}'] = None
                        if plain.suffix == '.mcap':
                            yield from _but(given, _whole_records(plain, topics))
            except Exception as error:
                told[f'{file.name}: {_reason(error)}'] = None
        self.cut_short = '; '.join(told)[:500]

    def _read(self, path: Path, topics: Sequence[str] | None) -> Iterator[Message]:
        with self._reader(path) as bag:
            wanted = [c for c in bag.connections if topics is None or c.topic in topics]
            for connection, received_ns, data in bag.messages(wanted) if wanted else ():
                yield connection.topic, connection.msgtype, received_ns, bytes(data)


def _but(given: Counter, messages: Iterator[Message]) -> Iterator[Message]:
    """Messages but those that were given before the damage was met."""
    for message in messages:
        if given[message[0], message[2]]:
            given[message[0], message[2]] -= 1
        else:
            yield message


def _zstd():
    for name in ('compression.zstd', 'backports.zstd'):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise BagError('it is compressed with zstd, which this rosbags cannot read: update rosbags')


@contextlib.contextmanager
def _unpacked_file(file: Path) -> Iterator[tuple[Path, str]]:
    """A storage file as it was before it was compressed; and why not all of it is there."""
    if file.suffix in FILES:
        yield file, ''
        return
    if file.suffix not in ('.zstd', '.zst'):
        raise BagError(f'compressed with {file.suffix[1:]}; only zstd is read: unpack it')
    why = ''
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, file.stem)
        zstd = _zstd()
        with open(file, 'rb') as packed, open(plain, 'wb') as out:
            frame = zstd.ZstdDecompressor()
            try:
                while block := packed.read(1 << 16):
                    while block or not frame.needs_input:
                        if frame.eof:
                            frame = zstd.ZstdDecompressor()
                        out.write(frame.decompress(block, max_length=1 << 20))
                        block = frame.unused_data if frame.eof else b''
                        if frame.eof and not block:
                            break
                why = '' if frame.eof else 'it is cut off'
            except zstd.ZstdError as error:  # as far as it is whole
                why = _reason(error)
        yield plain, why


def _whole_records(path: Path, topics: Sequence[str] | None) -> Iterator[Message]:
    """Messages of an mcap file (https://mcap.dev/spec), one by one, but those that are damaged."""
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    with open(path, 'rb') as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        for kind, content in _records(file):
            try:
                inside = (
                    list(_records(_unpacked(content))) if kind == _CHUNK else [(kind, content)]
                )
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
            except Exception:  # damaged bytes, as the reader said that had an index
                continue


def _records(stream) -> Iterator[tuple[int, bytes]]:
    while len(head := stream.read(9)) == 9:
        kind, size = struct.unpack('<BQ', head)
        if size > _MOST_BYTES:
            return  # no record: the file is damaged from here on
        content = stream.read(size)
        if len(content) < size:
            return
        yield kind, content


def _unpacked(chunk: bytes) -> io.BytesIO:
    """The records of a chunk. Its messages were whole when they were written: see the checksum."""
    compression, at = _text(chunk, 28)
    size, checksum = _number('<Q', chunk, 16), _number('<I', chunk, 24)
    packed = chunk[at + 8 :]
    if compression == 'zstd':
        zstd = _zstd()
        raw = zstd.ZstdDecompressor().decompress(packed, max_length=min(size, _MOST_BYTES))
    elif compression == 'lz4':
        lz4 = importlib.import_module('lz4.frame')
        raw = lz4.LZ4FrameDecompressor().decompress(packed, max_length=min(size, _MOST_BYTES))
    elif compression:
        raise BagError(f'compressed with {compression}')
    else:
        raw = packed
    if len(raw) != size or (checksum and zlib.crc32(raw) != checksum):
        raise BagError('it is not what was written')
    return io.BytesIO(raw)


def _number(form: str, content: bytes, at: int = 0) -> int:
    return struct.unpack_from(form, content, at)[0]


def _text(content: bytes, at: int) -> tuple[str, int]:
    """A string at `at`, and where it ends."""
    size = _number('<I', content, at)
    return content[at + 4 : at + 4 + size].decode(errors='replace'), at + 4 + size
