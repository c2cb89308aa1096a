# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where config/, launch/ and the shipped weights lie, and how a file or a folder is written whole.

In a checkout (also `pip install -e` and `colcon build --symlink-install`) they are the files of the
source tree; an installed copy has config/ and launch/ under <prefix>/share/vw2_ros and the weights
beside the models.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import site
import socket
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from vw2_ros.errors import InvalidValueError, MissingFileError, VW2Error, unknown

_PACKAGE = pathlib.Path(__file__).resolve().parent


def checkout() -> pathlib.Path | None:
    """Return the root of the source tree this module runs from, or None for an installed copy."""
    return _PACKAGE.parent if (_PACKAGE.parent / 'package.xml').is_file() else None


def _share_folders() -> Iterator[pathlib.Path]:
    root = checkout()
    if root is not None:
        yield root
    # colcon and pip: <prefix>/lib/pythonX.Y/site-packages (or local/lib/.../dist-packages);
    # pip --target: the folder itself is the prefix
    yield from (parent / 'share' / 'vw2_ros' for parent in _PACKAGE.parents)
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if prefix:
            yield pathlib.Path(prefix) / 'share' / 'vw2_ros'
    yield pathlib.Path(sysconfig.get_path('data')) / 'share' / 'vw2_ros'
    yield pathlib.Path(site.getuserbase()) / 'share' / 'vw2_ros'


def share_dir() -> pathlib.Path:
    """Return the folder that holds package.xml, config/ and launch/.

    Raises:
        MissingFileError: if the package was installed without its data files.
    """
    tried = []
    for folder in _share_folders():
        if (folder / 'package.xml').is_file():
            return folder
        tried.append(str(folder))
    raise MissingFileError(
        'share/vw2_ros (package.xml, config/, launch/) must be installed. Got none in '
        f'{", ".join(tried)}. Install the package again with pip or colcon'
    )


def config_file(name: str) -> pathlib.Path:
    """Return config/<name>, e.g. 'calvin.yaml' or 'train/tiny.yaml'.

    Raises:
        MissingFileError: if there is no such file; the message lists those there are.
    """
    folder = share_dir() / 'config'
    path = folder / name
    if path.is_file():
        return path
    known = sorted(str(f.relative_to(folder)) for f in folder.rglob('*') if f.is_file())
    raise MissingFileError(
        f"config must have the file. Got '{name}' in {folder}; "
        f'there are: {", ".join(known) or "none"}'
    )


def named_config(kind: str, name: str | os.PathLike, what: str = 'config') -> pathlib.Path:
    """Return the file that a user means by `name`: a YAML file, or one of config/<kind>/.

    Args:
        kind: folder in config/, 'train' or 'experiment'.
        name: path of a file, or e.g. 'tiny' for config/<kind>/tiny.yaml.
        what: how the message calls it.
    Raises:
        MissingFileError: if there is neither; the message lists the names there are.
    """
    if os.path.isfile(name):
        return pathlib.Path(name)
    folder = share_dir() / 'config' / kind
    known = sorted(f.stem for f in folder.glob('*.yaml'))
    if str(name) not in known:
        hint = unknown(what, str(name), known)
        raise MissingFileError(f'{hint} Give a YAML file, or one of {", ".join(known)}')
    return folder / f'{name}.yaml'


def weights_dir() -> pathlib.Path:
    """Return the folder with one sub-folder per set of shipped weights (it may be absent)."""
    root = checkout()
    return (root if root is not None else _PACKAGE) / 'models' / 'weights'


def shipped_weights() -> list[str]:
    """Return the names of the shipped weights, sorted."""
    folder = weights_dir()
    if not folder.is_dir():
        return []
    return sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name[0] not in '._')


def yaml_of(text: str, where: str):
    """Plain values of YAML text, as `yaml.safe_load`; but a key that is given twice is refused.

    Args:
        where: what messages call it.
    Raises:
        InvalidValueError: no YAML, or a key twice in one mapping.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            seen: set = set()
            for key_node, _ in node.value:
                key = key_node.value
                if key_node.tag != 'tag:yaml.org,2002:merge' and str(key) in seen:
                    raise InvalidValueError(
                        f'{where} must give each key once. Got {key!r} twice, again in line '
                        f'{key_node.start_mark.line + 1}'
                    )
                seen.add(str(key))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidValueError(f'{where} is not YAML: {error}') from error


def read_yaml(path: pathlib.Path):
    """Read a YAML file; see `yaml_of`.

    Raises:
        InvalidValueError: no UTF-8, no YAML, or a key twice. OSError: it cannot be read.
    """
    try:
        return yaml_of(path.read_text(encoding='utf-8'), str(path))
    except UnicodeDecodeError as error:
        raise InvalidValueError(f'{path} is not YAML: {error}') from error


class BusyError(VW2Error, RuntimeError):
    """A folder is being written to by another program; the message says which."""


@contextlib.contextmanager
def only_one(folder: str | os.PathLike, what: str) -> Iterator[None]:
    """Keep other programs from writing to a folder meanwhile; it is made if it is missing.

    The lock ends with the process, however that ends. Reading goes on beside it. Where the file
    system has no locks there is none.

    Args:
        what: what is at work, for the message that others get.
    Raises:
        BusyError: another one is at work there; says which, where and since when.
    """
    path = pathlib.Path(folder, '.lock')
    new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, 'a+', encoding='utf-8')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            told = ' '.join(file.read().split()) or 'another program'
            file.close()
            raise BusyError(
                f'{folder} must be written to by one program at a time. Got one at work there: '
                f'{told}. Wait for it, or choose another folder'
            ) from None
        except OSError:
            break
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()  # the one before has just removed it
    try:
        since = time.strftime('%Y-%m-%d %H:%M:%S %z')
        file.truncate(0)
        file.write(f'{what}, process {os.getpid()} on {socket.gethostname()}, since {since}\n')
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
        if new:
            with contextlib.suppress(OSError):  # something was written
                path.parent.rmdir()


class ScratchFolder:
    """A folder for temporary files, which goes also if its process is killed.

    It is locked while it is in use, and a lock ends with its process. Each new folder removes those
    that nobody uses any more. Where the file system has no locks they stay.

    Attributes:
        path: where it lies.
    """

    PREFIX = 'vw2.scratch.'

    def __init__(self) -> None:
        self._remove_unused()
        while not self._taken():  # another process took it for one that nobody uses
            pass

    def _taken(self) -> bool:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=self.PREFIX))
        try:
            self._held = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):
            fcntl.flock(self._held, fcntl.LOCK_EX)
        if not self.path.is_dir():
            os.close(self._held)
            return False
        return True

    def close(self) -> None:
        """Remove it; a second call does nothing."""
        held, self._held = self._held, -1
        if held >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(held)

    def _remove_unused(self) -> None:
        for folder in pathlib.Path(tempfile.gettempdir()).glob(f'{self.PREFIX}*'):
            with contextlib.suppress(OSError):  # in use, somebody else's, or just removed
                held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(held)


LeftOut = dict[pathlib.Path, str]  # path -> why it is not read


def walk(
    root: pathlib.Path, left_out: LeftOut | None = None
) -> Iterator[tuple[pathlib.Path, list[str], list[str]]]:
    """Every folder from `root` down, with the names of its folders and files; hidden ones are not seen.

    Links to folders are followed, after all folders that are there themselves. A folder is visited
    once, whatever leads to it. Who takes names from the list of folders keeps them unvisited.

    Args:
        left_out: takes path -> reason, of what cannot be visited.
    """
    left_out = {} if left_out is None else left_out
    top = root.resolve()
    seen: dict[tuple[int, int], pathlib.Path] = {}
    folders, links = [root], []
    while folders or links:
        folder = folders.pop(0) if folders else links.pop(0)
        try:
            stat = folder.stat()
            with os.scandir(folder) as found:
                entries = sorted((e for e in found if e.name[0] != '.'), key=lambda e: e.name)
        except OSError as error:
            left_out[folder] = error.strerror or str(error)
            continue
        if (key := (stat.st_dev, stat.st_ino)) in seen:
            left_out[folder] = f'the same folder as {seen[key]}'
            continue
        if folder != root and top.is_relative_to(folder.resolve()):
            left_out[folder] = f'a link to a folder that {root} lies in'
            continue
        seen[key] = folder
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                left_out[folder / entry.name] = 'a link to nothing'
        is_link = {entry.name: entry.is_symlink() for entry in entries if entry.is_dir()}
        below = list(is_link)
        yield folder, below, [e.name for e in entries if e.is_file()]
        for name in below:
            (links if is_link[name] else folders).append(folder / name)


def file_sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class FileHashes:
    """SHA-256 of files, read once: what was found is kept in a file, by path, size and times.

    A file that is written again has another time of change (ctime), which nobody can set back.

    Args:
        memo: the file that keeps them; what is damaged there is found again.
    """

    def __init__(self, memo: pathlib.Path):
        self.memo, self._changed = memo, False
        self._known: dict = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(memo.read_text())
            self._known = known if isinstance(known, dict) else {}

    def of(self, path: pathlib.Path) -> str:
        """64 hex digits.

        Raises:
            OSError: it cannot be read.
        """
        path = path.resolve()
        stat = path.stat()
        now = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(str(path))
        if not isinstance(known, list) or known[:-1] != now:
            self._known[str(path)] = known = [*now, file_sha256(path)]
            self._changed = True
        return known[-1]

    def save(self) -> None:
        """Keep them; where the disk is full or not ours, they are found again another time."""
        if self._changed:
            with contextlib.suppress(OSError):
                write_whole(self.memo, json.dumps(self._known) + '\n')
            self._changed = False


def folder_sha256(folder: pathlib.Path) -> str:
    """Return the digest that `vw2 eval` writes as checkpoint_sha256 (models/checkpoint.py)."""
    names = sorted(p.name for p in folder.glob('*.safetensors'))
    names += [n for n in ('config.json', 'tokenizer.json') if (folder / n).is_file()]
    lines = ''.join(f'{name} {file_sha256(folder / name)}\n' for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a file beside `path` to write to; it becomes `path` when the block ends without error.

    So a reader sees the old file or the whole new one, and a full disk leaves nothing behind.
    Folders are made as needed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a folder beside `path` to fill; it becomes `path` when the block ends without error.

    What lay at `path` is removed after that; it stays if anything fails.
    """
    path = pathlib.Path(path)
    beside = path.with_name(f'.{path.name}.{os.getpid()}.part')
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        if not path.exists():
            os.replace(beside, path)
            return
        old = path.with_name(f'.{path.name}.{os.getpid()}.old.part')
        os.replace(path, old)
        try:
            os.replace(beside, path)
        except OSError:
            os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes, whole or not at all."""
    with whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=2) + '\n')
