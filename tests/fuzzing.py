# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What reads foreign bytes, fed with damaged ones: only this package's errors may come out.

    PYTHONPATH=$PWD:tests python tests/fuzzing.py bag 1200     # a target, for so many seconds

Each case is a valid file with some edits. A case fails if anything but a `VW2Error` is raised, if it
takes more than `LIMIT_S` of the processor, if it waits for `WAIT_S`, or if it wants more than
`LIMIT_BYTES` beyond what the process had.
"""

import contextlib
import dataclasses
import gc
import hashlib
import json
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings

import calvin_files
import lerobot_files
import numpy as np
import policy_files
import video_files
from video_files import pictures, png

from vw2_ros.bags.bag import Bag, cdr_reader
from vw2_ros.bags.images import choose_camera, message_picture
from vw2_ros.errors import VW2Error
from vw2_ros.models.checkpoint import load_checkpoint
from vw2_ros.models.data.calvin import CalvinFolder, read_frame, read_shard
from vw2_ros.models.data.video.decode import decode
from vw2_ros.models.data.video.find import find_readers
from vw2_ros.recording.sets import convert_sets

LIMIT_S = 20  # of CPU time, so that a busy machine is no fault
WAIT_S = 600  # by the clock: what waits for ever takes no CPU time
LIMIT_BYTES = 2 << 30
KINDS = ('flip', 'set', 'cut', 'drop', 'twice', 'number')
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40)


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change of a file."""

    file: int  # which of the target's files, modulo their number
    kind: str  # one of KINDS
    where: float  # share of its length, in [0, 1)
    value: int  # what the kind makes of it


def edited(data: bytes, edit: Edit) -> bytes:
    """The bytes after an edit."""
    at, value = int(edit.where * len(data)), edit.value
    if edit.kind == 'flip':
        return data[:at] + bytes([data[at] ^ (1 << value % 8)]) + data[at + 1 :] if data else data
    if edit.kind == 'set':
        return data[:at] + bytes([value % 256]) + data[at + 1 :]
    if edit.kind == 'cut':
        return data[:at]
    size = 1 + value % 64
    if edit.kind == 'drop':
        return data[:at] + data[at + size :]
    if edit.kind == 'twice':
        return data[: at + size] + data[at:]
    number = NUMBERS[value % len(NUMBERS)]
    order = 'big' if value % 2 else 'little'
    width = (1, 2, 4, 8)[value // 16 % 4]
    return data[:at] + (number % (1 << 8 * width)).to_bytes(width, order) + data[at + width :]


def random_edits(rng: random.Random) -> list[Edit]:
    """Some edits, mostly few."""
    return [
        Edit(rng.randrange(64), rng.choice(KINDS), rng.random(), rng.randrange(1 << 16))
        for _ in range(1 + int(rng.expovariate(0.7)))
    ]


# ---------------------------------------------------------------------------- what is read


def _read_all(folder: pathlib.Path) -> None:
    """Decode all recordings of a folder, as training does."""
    for reader in find_readers(folder):
        with tempfile.TemporaryFile() as file:
            decode(reader, file, 16, 10.0, threading.Event())


def _bag(folder: pathlib.Path) -> None:
    for path in [*folder.rglob('*.mcap'), *folder.rglob('*.db3')]:
        bag = Bag(path)
        topic, read = choose_camera(bag), cdr_reader()
        for _, kind, _, data in bag.messages([topic]):
            with contextlib.suppress(Exception):  # of one message: it is left out
                message_picture(read(data, kind))
    _read_all(folder)


def _lerobot(folder: pathlib.Path) -> None:
    _read_all(folder)
    file = lerobot_files.contract(
        folder / 'arm.yaml',
        form='joints',
        angle='rad',
        gripper={'column': -1, 'open': 1.0, 'closed': 0.0},
    )
    sets = [path.parent.parent for path in folder.rglob('info.json')]
    with tempfile.TemporaryDirectory() as out:
        convert_sets(sets, out, contract=file, progress=False)


def _npz(folder: pathlib.Path) -> None:
    for path in folder.rglob('ep_start_end_ids.npy'):
        split = CalvinFolder(path.parent)
        assert len(split.content_hash) == 64
        for shard in split.shards:
            read_shard(shard, 16)
        for frame in split.path.glob('episode_*.npz'):
            read_frame(frame, 16)


def _checkpoint(folder: pathlib.Path) -> None:
    policy = folder / 'policy'
    told = policy / 'provenance.json'
    # an edit that the digests do not give away
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        content = json.loads(told.read_text())
        for name in content['files']:
            if (policy / name).is_file():
                digest = hashlib.sha256((policy / name).read_bytes())
                content['files'][name] = digest.hexdigest()
        told.write_text(json.dumps(content))
    load_checkpoint(policy)


# ---------------------------------------------------------------------------- valid files


def _make_bag(root: pathlib.Path) -> None:
    topics = {'/camera': (pictures(4), 'jpeg'), '/raw': (pictures(2), 'rgb8')}
    video_files.write_bag(root / 'one', topics)
    video_files.write_bag(root / 'two', topics, storage='sqlite3')


def _make_tar(root: pathlib.Path) -> None:
    members = {f'take/{i:04d}.png': png(rgb) for i, rgb in enumerate(pictures(4))}
    members |= {'sample.json': b'{"fps": 10}', 'sample.frame_1.jpg': png(pictures(1)[0], '.jpg')}
    members['film.mp4'] = video_files.video_bytes(pictures(4))
    video_files.write_shard(root / 'a.tar', members)


def _make_mp4(root: pathlib.Path) -> None:
    video_files.write_video(root / 'a.mp4', pictures(6))
    video_files.write_video(root / 'b.mkv', pictures(6))
    video_files.write_video(root / 'c.avi', pictures(6))


def _make_lerobot(root: pathlib.Path) -> None:
    m = lerobot_files.motion(20)
    state = np.column_stack([m['joints'], m['open']])
    action = np.column_stack([m['told'], m['open']])
    one = lerobot_files.episode(state, action)
    lerobot_files.write_set(root / 'v3', [one, one], 'v3.0')
    lerobot_files.write_set(root / 'v2', [one], 'v2.1', filmed=True)


def _make_npz(root: pathlib.Path) -> None:
    calvin_files.write_split(root / 'shards', episodes=1, frames=8, size=16, shards=True)
    calvin_files.write_split(root / 'frames', episodes=1, frames=8, size=16)


def _make_checkpoint(root: pathlib.Path) -> None:
    policy_files.tiny_policy(root / 'policy')


TARGETS = {
    'bag': (_make_bag, _bag),
    'tar': (_make_tar, _read_all),
    'mp4': (_make_mp4, _read_all),
    'lerobot': (_make_lerobot, _lerobot),
    'npz': (_make_npz, _npz),
    'checkpoint': (_make_checkpoint, _checkpoint),
}


class Fuzz:
    """One target: its valid files, and how to read damaged ones.

    Args:
        folder: for the files.
    """

    def __init__(self, target: str, folder: pathlib.Path):
        make, self.read = TARGETS[target]
        self.valid, self.work = folder / 'valid', folder / 'work'
        self.valid.mkdir(parents=True)
        make(self.valid)
        self.files = sorted(p for p in self.valid.rglob('*') if p.is_file())
        assert self.try_edits([]), 'the valid files are refused'

    def try_edits(self, edits: list[Edit]) -> bool:
        """Read the files after some edits; whether nothing was refused."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.valid, self.work)
        for edit in edits:
            file = self.files[edit.file % len(self.files)]
            path = self.work / file.relative_to(self.valid)
            path.write_bytes(edited(path.read_bytes(), edit))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try:
                self.read(self.work)
            except VW2Error as error:
                assert str(error).strip(), 'an error without a message'
                return False
        return True


def main(target: str, seconds: float, seed: int) -> int:
    """Fuzz for some time; print each kind of failure once. Returns how many there are."""
    limit = LIMIT_BYTES + int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096

    def too_long(number, _):
        spent = f'{WAIT_S} s' if number == signal.SIGALRM else f'{LIMIT_S} s of CPU time'
        raise TimeoutError(f'more than {spent}')

    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGPROF, too_long)
    rng, seen, count, passed = random.Random(seed), {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(target, pathlib.Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            edits = random_edits(rng)
            signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
            signal.alarm(WAIT_S)
            try:
                passed += fuzz.try_edits(edits)
            except BaseException as error:
                frames = traceback.extract_tb(error.__traceback__)
                ours = [f for f in frames if 'vw2_ros' in f.filename or '/models/' in f.filename]
                where = f'{ours[-1].filename}:{ours[-1].lineno}' if ours else '?'
                kind = f'{type(error).__name__} at {where}'
                if kind not in seen:
                    seen[kind] = edits
                    print(f'{target} FAILED {kind}: {error!s:.300}\n  {edits}', flush=True)
                    traceback.print_exception(error, limit=-6)
                if isinstance(error, KeyboardInterrupt):
                    break
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
                gc.collect()  # decoders of damaged films have threads, and lie in cycles
            count += 1
            if count % 200 == 0:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f'{target}: {count} cases, {passed} read whole, {peak:.0f} MB', flush=True)
    print(f'{target}: {count} cases, {len(seen)} kinds of failure')
    return len(seen)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int((sys.argv[3:] or ['0'])[0])) > 0)
