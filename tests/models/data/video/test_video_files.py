# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video files of all kinds, whole and broken."""

import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, pictures, write_video  # noqa: E402

from vw2_ros.models.data.video.folder import VideoFolder  # noqa: E402


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
