# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import warnings

import calvin_files
import numpy as np
import pytest
import torch

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import number, pictures, write_video  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.data import DataError  # noqa: E402
from vw2_ros.models.data.batches import ClipConfig, ClipSource  # noqa: E402
from vw2_ros.models.data.clips import clip_store  # noqa: E402
from vw2_ros.models.data.codes import read_codes  # noqa: E402
from vw2_ros.models.data.pictures import resize_area, sides  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.models.data.video import files  # noqa: E402
from vw2_ros.models.data.video.decode import resample  # noqa: E402
from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402
from vw2_ros.models.errors import ConfigError, TrainingError  # noqa: E402
from vw2_ros.models.stages.vdm import VDMStage
from vw2_ros.models.stages.warmup import WarmUpStage  # noqa: E402
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.run import run  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]


def everything(root, fps=30.0, **options):
    """Numbers of all frames that come out, held out or not, as one list per range."""
    out = {}
    for split in ('training', 'validation'):
        folder = VideoFolder(root, split, 32, fps, **options)
        rows = np.arange(len(folder))
        for ids, numbers in zip(folder.frame_ids, number(folder.rgb[rows])):
            out[int(ids)] = int(numbers)
        ends = folder.ranges[:, 1] if len(folder) else []
        out.update({('end', int(e)): True for e in ends})
    ids = sorted(k for k in out if not isinstance(k, tuple))
    assert ids == list(range(len(ids)))  # the splits make up the whole
    ranges, current = [], []
    for i in ids:
        current.append(out[i])
        if ('end', i) in out:
            ranges.append(current)
            current = []
    return ranges


def count(n, first=0):
    return [i % 50 for i in range(first, first + n)]


# -------------------------------------------------------------------------------- rate and shape


def test_frames_at_one_rate():
    def come(times, fps):
        return [
            (piece, int(i))
            for piece, i in resample(((t, np.array(i)) for i, t in enumerate(times)), fps)
        ]

    third = [round(i / 30, 3) for i in range(6)]  # WebM's stamps are whole milliseconds
    assert come(third, 30) == [(0, i) for i in range(6)]
    assert come([i / 60 for i in range(8)], 30) == [(0, 0), (0, 2), (0, 4), (0, 6)]
    assert [i for _, i in come([0, 0.1, 0.2], 30)] == [0, 0, 1, 1, 1, 2, 2]
    assert come([7.0, 7.1], 10) == [(0, 0), (0, 1)]
    # out of order is left out; a jump, to either side, begins a new piece
    assert come([0, 0.1, 0.05, 0.2], 10) == [(0, 0), (0, 1), (0, 3)]
    assert come([0, 0.1, 5.0, 5.1, 1.0], 10) == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)]
    assert come([], 10) == []


@pytest.mark.parametrize(
    'size, inside',
    [
        (20, (40, 40)),
        ((20, 20), (40, 40)),
        ((10, 20), (40, 80)),
        ((10, 40), (20, 80)),
        ((40, 10), (40, 10)),
        ((60, 60), (40, 40)),
    ],
)
def test_the_centre_of_the_wanted_shape_is_what_stays(size, inside):
    rgb = np.zeros((40, 80, 3), np.uint8)
    y, x = (40 - inside[0]) // 2, (80 - inside[1]) // 2
    rgb[y : y + inside[0], x : x + inside[1]] = 200
    h, w = sides(size)
    for got, shape in (
        (resize_area(rgb, size), (h, w, 3)),
        (resize_area(rgb.transpose(1, 0, 2), (w, h)), (w, h, 3)),
    ):
        assert got.shape == shape and (got == 200).all()


# ------------------------------------------------------------------------------------ each kind


@pytest.mark.parametrize('kind', sorted(video_files.CODECS))
def test_video_files(tmp_path, kind):
    write_video(tmp_path / f'a{kind}', pictures(40))
    write_video(tmp_path / 'deeper' / f'b{kind.upper()}', pictures(24, 100), fps=15, kind=kind)
    assert everything(tmp_path) == [count(40), [i for i in count(24, 100) for _ in range(2)][1:]]
    assert everything(tmp_path, 15.0) == [count(40)[::2], count(24, 100)]


def test_uneven_rate(tmp_path):
    times = np.cumsum([0, *[0.02, 0.04, 0.04] * 10])
    write_video(tmp_path / 'a.mkv', pictures(31), times=times)
    (seen,) = VideoFolder(tmp_path, 'validation', 32, 20.0).ranges.tolist() or [None]
    got = sum(everything(tmp_path, 20.0), [])
    want = [int(np.abs(times - k / 20).argmin()) for k in range(21)]
    assert seen and len(got) == 21 and max(np.abs(np.subtract(got, want))) <= 1


def test_phone_video_is_turned_upright(tmp_path):
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, 32:] = 255  # right half white
    data = bytearray(video_files.video_bytes([rgb] * 20))
    at = data.index(b'tkhd') + 4 + 40
    one, minus = (1 << 16).to_bytes(4, 'big'), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, 'big')
    zero = bytes(4)  # what phones write: turn by 90 degrees clockwise
    data[at : at + 32] = zero + one + zero + minus + zero + zero + zero + zero
    (tmp_path / 'a.mp4').write_bytes(data)
    shown = VideoFolder(tmp_path, 'training', 32).rgb[np.array(3)]
    assert shown[:12].mean() < 20 and shown[-12:].mean() > 235  # right became bottom


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_v21(tmp_path, filmed):
    video_files.write_lerobot_v21(tmp_path, [pictures(12), pictures(8, 20)], filmed=filmed)
    assert everything(tmp_path, 10.0) == [count(12), count(8, 20)]


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_v3(tmp_path, filmed):
    files = [[pictures(12), pictures(7, 12), pictures(9, 30)], [pictures(8, 40)]]
    video_files.write_lerobot_v3(tmp_path, files, filmed=filmed)
    assert everything(tmp_path, 10.0) == [count(12), count(7, 12), count(9, 30), count(8, 40)]


def test_lerobot_camera_by_name(tmp_path):
    video_files.write_lerobot_v21(tmp_path, [pictures(12), pictures(8)])
    cameras = ('/camera/image', 'observation.images.wrist')
    dark = VideoFolder(tmp_path, 'training', 32, 10.0, cameras).rgb[np.arange(2)]
    assert dark.mean() > 180  # the wrist sees the negative
    with pytest.raises(DataError, match='cameras there: observation.images.front, observation'):
        VideoFolder(tmp_path, 'training', 32, 10.0, ('top',))


@pytest.mark.parametrize('filmed', [True, False])
def test_lerobot_in_sub_folders(tmp_path, filmed):
    v3 = video_files.write_lerobot_v3(
        tmp_path / 'a', [[pictures(12), pictures(7, 12)]], filmed=filmed
    )
    video_files.write_lerobot_v21(tmp_path / 'b' / 'deep', [pictures(8, 30)], filmed=filmed)
    write_video(tmp_path / 'c.mp4', pictures(9, 40), 10)
    write_video(
        v3 / 'extra' / 'd.mp4', pictures(9), 10
    )  # of the set, whose index does not name it
    assert everything(tmp_path, 10.0) == [count(12), count(7, 12), count(8, 30), count(9, 40)]
    takes = [
        t for r in VideoFolder(tmp_path, 'training', 32, 10.0)._recordings for t, _ in r.ranges
    ]
    assert all(take.startswith(('a/', 'b/deep/', 'c.mp4')) for take in takes)


def test_lerobot_camera_by_name_in_sub_folders(tmp_path):
    video_files.write_lerobot_v21(tmp_path / 'a', [pictures(12), pictures(8)])
    folder = VideoFolder(tmp_path, 'training', 32, 10.0, ['observation.images.wrist'])
    assert folder.rgb[np.arange(2)].mean() > 180  # the wrist sees the negative
    assert len(everything(tmp_path, 10.0)) == 2  # one camera of each episode


def test_lerobot_of_another_version_or_damaged(tmp_path):
    info = tmp_path / 'meta' / 'info.json'
    info.parent.mkdir()
    info.write_text(json.dumps({'codebase_version': 'v1.6', 'fps': 10}))
    with pytest.raises(DataError, match='v1.6; v2.0, v2.1 and v3.0'):
        VideoFolder(tmp_path)
    info.write_text('{')
    with pytest.raises(DataError, match='info.json or what it refers to cannot be read'):
        VideoFolder(tmp_path)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'jpeg', 'png'])
def test_bags(tmp_path, storage, encoding):
    topics = {
        '/a_depth': (pictures(4), '16UC1'),
        '/camera': (pictures(20), encoding),
        '/other': (pictures(10, 25), 'rgb8'),
    }
    video_files.write_bag(tmp_path / 'bags' / 'one', topics, storage=storage)
    assert everything(tmp_path, 20.0)[0][:19] == count(19)
    got = VideoFolder(tmp_path, 'training', 32, 20.0).rgb[np.array(0)]
    want = resize_area(pictures(1)[0], 32)
    assert np.abs(got.astype(int) - want).mean() < 4  # red is red
    assert sum(everything(tmp_path, 20.0, cameras=['/other']), []) == count(10, 25)
    with pytest.raises(
        DataError, match='no image topic /x; image topics there: /a_depth, /camera'
    ):
        VideoFolder(tmp_path, cameras=['/x'])


def test_bag_file_without_metadata(tmp_path):
    bag = video_files.write_bag(tmp_path / 'one', {'/camera': (pictures(20), 'png')})
    (bag / 'metadata.yaml').unlink()
    assert sum(everything(tmp_path, 20.0), []) == count(20)


def test_shards(tmp_path):
    video_files.write_shard(
        tmp_path / 'train-000.tar',
        {
            '000.mp4': video_files.video_bytes(pictures(20)),
            '000.json': b'{"text": "a hand"}',
            '001.webm': video_files.video_bytes(pictures(20, 20), '.webm'),
            **{
                f'002.frame_{i}.jpg': video_files.png(rgb, '.jpg')
                for i, rgb in enumerate(pictures(12, 5))
            },
            '002.json': b'{"fps": 10}',
        },
    )
    video_files.write_shard(
        tmp_path / 'train-001.tar',
        {
            f'{take}/{i:04d}.png': video_files.png(rgb)
            for take, first in (('x', 0), ('y', 30))
            for i, rgb in enumerate(pictures(15, first))
        },
    )
    tripled = [i for i in count(12, 5) for _ in range(3)]
    got = everything(tmp_path)
    assert [got[0], got[1], *got[3:]] == [count(20), count(20, 20), count(15), count(15, 30)]
    assert got[2] == tripled[1:-1]  # ten a second shown at thirty


# ----------------------------------------------------------------------------------- what is broken


def broken(root):
    """Six sound videos and five that are not; returns the names of these."""
    for i in range(6):
        write_video(root / f'good_{i}.mp4', pictures(40))
    whole = video_files.video_bytes(pictures(300), fps=30)
    (root / 'cut.mp4').write_bytes(whole[: len(whole) // 2])  # the index at the end is gone
    write_video(root / 'cut_later.mp4', pictures(300), options={'movflags': 'faststart'})
    os.truncate(root / 'cut_later.mp4', (root / 'cut_later.mp4').stat().st_size // 2)
    write_video(root / 'cut.mkv', pictures(300))
    os.truncate(root / 'cut.mkv', (root / 'cut.mkv').stat().st_size // 2)
    (root / 'empty.webm').write_bytes(b'')
    (root / 'text.avi').write_text('not a video at all, ' * 300)
    return ['cut.mkv', 'cut.mp4', 'cut_later.mp4', 'empty.webm', 'text.avi']


def test_broken_files_are_skipped_counted_and_named(tmp_path):
    names = broken(tmp_path)
    with pytest.warns(UserWarning) as caught:
        folder = VideoFolder(tmp_path, 'training', 32)
        VideoFolder(tmp_path, 'validation', 32)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert '5 skipped' in text and all(f'{name}: ' in text for name in names)
    assert sorted(folder.skipped) == names
    assert len(folder) + len(VideoFolder(tmp_path, 'validation', 32)) == 6 * 40


def test_all_broken(tmp_path):
    (tmp_path / 'a.mp4').write_text('no')
    (tmp_path / 'b.mcap').write_text('no')
    with pytest.raises(DataError, match=r'none of 2 recordings can be read. a.mp4: .*; b.mcap: '):
        VideoFolder(tmp_path)


def test_scrambled_video(tmp_path):
    write_video(tmp_path / 'good.mp4', pictures(40))
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    data = bytearray(video_files.video_bytes(noise))
    at = data.index(b'mdat') + len(data) // 3
    data[at : at + 4000] = rng.bytes(4000)
    (tmp_path / 'bad.mp4').write_bytes(data)
    with pytest.warns(UserWarning, match='1 skipped'):
        assert sorted(VideoFolder(tmp_path, 'training', 32).skipped) == ['bad.mp4']


def test_broken_part_of_a_whole_takes_no_other_with_it(tmp_path):
    sound = video_files.video_bytes(pictures(20))
    video_files.write_shard(
        tmp_path / 'shards' / 'a.tar',
        {'000.mp4': sound, '001.mp4': sound[:-200], '002.0.jpg': b'no', '003.mp4': sound},
    )
    video_files.write_shard(
        tmp_path / 'shards' / 'b.tar',
        {**{f'{i}.txt': b'x' * 5000 for i in range(4)}, '4.mp4': sound, '5.mp4': sound * 9},
    )
    path = tmp_path / 'shards' / 'b.tar'
    os.truncate(path, path.stat().st_size - 8 * len(sound))
    with pytest.warns(UserWarning, match='3 skipped'):
        folder = VideoFolder(tmp_path / 'shards', 'training', 32)
    assert sorted(folder.skipped) == ['a.tar/001.mp4', 'a.tar/002', 'b.tar']
    with pytest.warns(UserWarning, match='b.tar: unexpected end of data'):
        assert everything(tmp_path / 'shards') == [count(20)] * 2

    lerobot = video_files.write_lerobot_v3(
        tmp_path / 'lerobot', [[pictures(40), pictures(40), pictures(40)], [pictures(20)]]
    )
    path = lerobot / 'videos/observation.images.front/chunk-000/file-000.mp4'
    write_video(
        path,
        [rgb for _ in range(3) for rgb in pictures(40)],
        10,
        options={'movflags': 'faststart'},
    )
    os.truncate(path, path.stat().st_size * 6 // 10)
    with pytest.warns(UserWarning, match='2 skipped'):
        folder = VideoFolder(lerobot, 'training', 32, 10.0)
    assert sorted(name[-5:] for name in folder.skipped) == ['mp4#1', 'mp4#2']


def test_nothing_to_train_on(tmp_path):
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(DataError, match='holds nothing to train on: expected CALVIN'):
        clip_store([tmp_path])
    with pytest.raises(DataError, match='there is no data folder'):
        clip_store([tmp_path / 'no'])


def test_missing_library_is_named_with_the_command(tmp_path, monkeypatch):
    video_files.write_shard(tmp_path / 'a.tar', {'000.mp4': b'x'})
    monkeypatch.setitem(sys.modules, 'webdataset', None)
    with pytest.raises(DataError, match=r'needs webdataset.*pip install webdataset'):
        VideoFolder(tmp_path)


# ------------------------------------------------------------------------------- cache and splits

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


def test_last_picture_that_stands_long_is_not_cut_short(tmp_path):
    times = [*np.arange(20) / 30, 5.0]
    write_video(tmp_path / 'a.mp4', pictures(21), times=times)
    data = bytearray((tmp_path / 'a.mp4').read_bytes())
    table = data.index(b'stts') + 8  # how long frames last: let the last one stand for 9 s
    entries = int.from_bytes(data[table : table + 4], 'big')
    scale = int.from_bytes(data[data.index(b'mdhd') + 16 :][:4], 'big')
    last = table + 4 + 8 * (entries - 1) + 4
    longer = 9 * scale - int.from_bytes(data[last : last + 4], 'big')
    data[last : last + 4] = (9 * scale).to_bytes(4, 'big')
    whole = data.index(b'mdhd') + 20
    data[whole : whole + 4] = (int.from_bytes(data[whole : whole + 4], 'big') + longer).to_bytes(
        4, 'big'
    )
    (tmp_path / 'a.mp4').write_bytes(data)
    assert [len(r) for r in everything(tmp_path)] == [20, 1]


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


def test_held_out_videos(tmp_path):
    for i in range(41):
        write_video(tmp_path / f'{i}.avi', pictures(2, i))
    training, held_out = (VideoFolder(tmp_path, split, 16) for split in ('training', 'validation'))
    assert len(training) + len(held_out) == 82 and 2 <= len(held_out) <= 12
    assert not set(training.frame_ids) & set(held_out.frame_ids)
    before = set(number(held_out.rgb[np.arange(len(held_out))]))
    (tmp_path / '99.avi').write_bytes(video_files.video_bytes(pictures(2, 45), '.avi'))
    after = VideoFolder(tmp_path, 'validation', 16)
    assert before <= {*number(after.rgb[np.arange(len(after))]), 45}


def test_split_folders(tmp_path):
    write_video(tmp_path / 'training' / 'a.mp4', pictures(30))
    write_video(tmp_path / 'validation' / 'b.mp4', pictures(20, 20))
    stores = [clip_store([tmp_path], split, 32) for split in ('training', 'validation')]
    assert [number(s.rgb(np.arange(len(s)))).tolist() for s in stores] == [
        count(30),
        count(20, 20),
    ]


def test_empty_validation_folder_holds_nothing_out(tmp_path):
    write_video(tmp_path / 'training' / 'a.mp4', pictures(30))
    (tmp_path / 'validation').mkdir()
    (tmp_path / 'validation' / 'notes.txt').write_text('later')
    store = clip_store([tmp_path], 'training', 32)
    assert number(store.rgb(np.arange(len(store)))).tolist() == count(30)
    assert clip_store([tmp_path], 'validation', 32) is None
    (tmp_path / 'training' / 'a.mp4').unlink()
    with pytest.raises(DataError, match='training holds nothing to train on'):
        clip_store([tmp_path], 'training', 32)


# -------------------------------------------------------------------------------- stores and training


def test_calvin_alone_stays_a_frame_store(tmp_path):
    root = calvin_files.write_data(tmp_path / 'play', shards=True)
    assert type(clip_store([root])) is FrameStore
    assert clip_store([root]).content_hash == FrameStore([root]).content_hash
    with pytest.raises(DataError, match='clips.fps must be 30 with it. Got 10'):
        clip_store([root], fps=10.0)
    shutil.rmtree(root / 'validation')
    assert clip_store([root], 'validation') is None


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    """CALVIN data, a folder of mp4 and a bag."""
    root = tmp_path_factory.mktemp('mixed')
    calvin_files.write_data(root / 'play', shards=True, episodes=3, frames=40)
    for i in range(8):
        write_video(root / 'videos' / f'{i}.mp4', pictures(40, i))
    for i in range(2):
        video_files.write_bag(root / 'bags' / str(i), {'/camera': (pictures(40, i), 'jpeg')})
    return [root / 'videos', root / 'play', root / 'bags']


def test_mixed_store(mixed):
    store = clip_store(mixed, 'training', 32)
    starts = store.clip_starts(17)
    clips = store.rgb(starts[:, None] + np.arange(17))
    assert clips.shape == (len(starts), 17, 32, 32, 3)
    folder = store.folder_of(starts)
    assert set(folder) == {0, 1, 2}
    own = number(clips[folder == 0])
    assert ((np.diff(own, axis=1) - 1) % 50 == 0).all()  # frames of a clip follow one another
    play = FrameStore([mixed[1]], 'training', 32)
    np.testing.assert_array_equal(
        clips[folder == 1], play.rgb(play.clip_starts(17)[:, None] + np.arange(17))
    )
    np.testing.assert_array_equal(
        store.rows_of(2, store.frame_ids[starts[folder == 2]]), starts[folder == 2]
    )
    small = store.resized(16)
    np.testing.assert_array_equal(
        small.rgb(np.array([0]))[0], resize_area(store.rgb(np.array(0)), 16)
    )
    assert small.content_hash == store.content_hash
    assert set(
        clip_store(mixed, 'validation', 32).folder_of(
            clip_store(mixed, 'validation', 32).clip_starts(17)
        )
    ) == {0, 1, 2}


def test_which_clips_a_step_sees_depends_on_seed_and_step(mixed):
    config = ClipConfig(stored_size=32)
    sources = [
        ClipSource(mixed, config, 17, 32, torch.device('cpu'), load) for load in (False, True)
    ]
    a, b = (source.finish(source.make_batch(5, batch=6, seed=0))['video'] for source in sources)
    assert torch.equal(a, b) and a.shape == (6, 17, 3, 32, 32)
    c = sources[0].finish(sources[0].make_batch(6, batch=6, seed=0))['video']
    assert not torch.equal(a, c)


def test_config():
    for bad in ({'fps': 0.0}, {'cameras': 'top'}):
        with pytest.raises(ConfigError):
            ClipConfig(**bad)


def test_training_on_a_folder_of_videos(mixed, tmp_path):
    assert (
        cli.main(
            [
                'train',
                'dldm',
                '--config',
                'tiny',
                '--data',
                str(mixed[0]),
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    scores = [json.loads(line) for line in (tmp_path / 'out' / 'log.jsonl').open()]
    assert [s['step'] for s in scores if s['kind'] == 'train'] == [2, 4, 6]
    assert any(s['kind'] == 'validation' and s['loss'] > 0 for s in scores)
    store = clip_store(mixed[:1])
    rows, codes = read_codes(tmp_path / 'out' / 'codes.safetensors', store)
    np.testing.assert_array_equal(rows, store.clip_starts(17, 4))
    assert codes.shape == (len(rows), 4, 4)
    record = json.loads((tmp_path / 'out' / 'provenance.json').read_text())
    assert record['data'] == store.content_hash and record['clips']['fps'] == 30.0


def test_run_is_resumed_only_with_the_same_videos(mixed, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(mixed[0], data, ignore=shutil.ignore_patterns('cache'))
    out = tmp_path / 'out'
    run(WarmUpStage('tiny', [data]), out)
    assert checkpoints(out)
    run(WarmUpStage('tiny', [data]), out, resume=True)
    write_video(data / 'new.mp4', pictures(40))
    with pytest.raises(TrainingError, match='another data'):
        run(WarmUpStage('tiny', [data]), out, resume=True)


def test_video_diffusion_model_trains_on_a_mixture(mixed, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        record = run(VDMStage('tiny', mixed), tmp_path / 'out')
    assert record['steps'] == 6 and record['scores']['rebuilt_mse'] > 0
