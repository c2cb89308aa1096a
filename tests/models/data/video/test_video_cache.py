# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Decoded recordings: resumed, shared, replaced."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

from video_files import count, everything, pictures, write_video  # noqa: E402

from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.video import files  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[4]


KILLED = """
import os, signal, sys
from vw2_ros.models.data.video import files
from vw2_ros.models.data.video.folder import VideoFolder
os.cpu_count = lambda: 1
frames, seen = files.video_frames, []
def dies(path):
    seen.append(path)
    for i, frame in enumerate(frames(path)):
        if len(seen) == 3 and i == 10:
            os.kill(os.getpid(), signal.SIGKILL)
        yield frame
files.video_frames = dies
VideoFolder(sys.argv[1], 'training', 32)
"""


def test_decoding_goes_on_after_a_kill(tmp_path, monkeypatch):
    for i in range(6):
        write_video(tmp_path / f'{i}.mp4', pictures(30, i))
    done = subprocess.run(
        [sys.executable, '-c', KILLED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    cache = tmp_path / 'cache' / 'video_32px_30fps'
    finished = {path.name: path.stat().st_mtime_ns for path in cache.glob('*.u8')}
    assert len(finished) == 2
    decoded, frames = [], files.video_frames
    monkeypatch.setattr(files, 'video_frames', lambda p: (decoded.append(p.name), frames(p))[1])
    assert everything(tmp_path) == [count(30, i) for i in range(6)]
    assert len(decoded) == 4
    assert all((cache / name).stat().st_mtime_ns == at for name, at in finished.items())
    assert not list(cache.glob('*.part'))  # what the killed run left
    VideoFolder(tmp_path, 'training', 32).resized(16)
    assert len(decoded) == 4


INTERRUPTED = """
import itertools, os, signal, sys
import numpy as np
from vw2_ros.models.data.video import files
from vw2_ros.models.data.video.folder import VideoFolder
signal.signal(signal.SIGINT, signal.default_int_handler)
once = iter([True])
def endless(path):
    for i in itertools.count():
        if i == 10 and next(once, False):
            os.kill(os.getpid(), signal.SIGINT)
        yield i / 30, np.zeros((8, 8, 3), np.uint8)
files.video_frames = endless
VideoFolder(sys.argv[1], 'training', 8)
"""


def test_interruption_ends_decoding_at_once(tmp_path):
    for i in range(3):
        write_video(tmp_path / f'{i}.mp4', pictures(5))
    done = subprocess.run(
        [sys.executable, '-c', INTERRUPTED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.rstrip().endswith('KeyboardInterrupt')
    assert not list((tmp_path / 'cache').rglob('*.part'))


def test_only_a_file_that_changed_is_decoded_again(tmp_path, monkeypatch):
    for i in range(3):
        write_video(tmp_path / f'{i}.mp4', pictures(30, i))
    before = VideoFolder(tmp_path, 'training', 32).content_hash
    assert VideoFolder(tmp_path, 'training', 32).content_hash == before
    write_video(tmp_path / '1.mp4', pictures(30, 7))
    decoded, frames = [], files.video_frames
    monkeypatch.setattr(files, 'video_frames', lambda p: (decoded.append(p.name), frames(p))[1])
    assert everything(tmp_path) == [count(30), count(30, 7), count(30, 2)]
    assert decoded == ['1.mp4'] and VideoFolder(tmp_path, 'training', 32).content_hash != before
    assert len(list((tmp_path / 'cache' / 'video_32px_30fps').glob('*.u8'))) == 3


def test_a_full_disk_is_no_broken_video(tmp_path, monkeypatch):
    write_video(tmp_path / 'a.mp4', pictures(30))
    (tmp_path / 'cache' / 'video_32px_30fps').mkdir(parents=True)

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(DataError, match='cannot be written: .*No space left'):
        VideoFolder(tmp_path, 'training', 32)


def test_processes_share_the_decoding(tmp_path):
    for i in range(8):
        write_video(tmp_path / f'{i}.mp4', pictures(30, i))
    code = (
        'import sys; from vw2_ros.models.data.video import files as v, folder\n'
        'frames = v.video_frames\n'
        'v.video_frames = lambda p: (sys.stdout.write(p.name + "\\n"), frames(p))[1]\n'
        'folder.VideoFolder(sys.argv[1], "training", 32)'
    )
    runs = [
        subprocess.Popen(
            [sys.executable, '-c', code, str(tmp_path)],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [line for run in runs for line in run.communicate()[0].split()]
    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(said) == [f'{i}.mp4' for i in range(8)]  # each by one of them
    assert everything(tmp_path) == [count(30, i) for i in range(8)]


def test_cache_of_data_that_cannot_be_written(tmp_path, monkeypatch):
    write_video(tmp_path / 'data' / 'a.mp4', pictures(30))
    (tmp_path / 'data' / 'cache').write_text('in the way')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'home'))
    assert len(everything(tmp_path / 'data')[0]) == 29
    assert list((tmp_path / 'home' / 'vw2_ros').rglob('*.u8'))
