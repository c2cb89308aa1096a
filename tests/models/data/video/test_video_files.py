# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video files of all kinds, whole and broken."""

from fractions import Fraction

import av
import numpy as np
import pytest

pytest.importorskip('pyarrow')
pytest.importorskip('rosbags')
pytest.importorskip('webdataset')

import video_files  # noqa: E402
from video_files import count, everything, pictures, write_video  # noqa: E402

from vw2_ros.models.data.video.files import video_frames  # noqa: E402
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


def write(
    path, n=40, start_s=0.0, sound='', setup=None, codec='libx264', pix='yuv420p', options=None
):
    """A video of 64 x 48 px whose upper left quarter is red, perhaps with sound from the start."""
    rgb = np.full((48, 64, 3), 100, np.uint8)
    rgb[:24, :32] = 230, 20, 20
    formats = {'.mkv': 'matroska', '.ts': 'mpegts'}
    packets = []
    with av.open(str(path), 'w', format=formats.get(path.suffix)) as out:
        heard = out.add_stream('aac', rate=48000) if sound == 'first' else None
        seen = out.add_stream(codec, rate=30)
        seen.width, seen.height, seen.pix_fmt = 64, 48, pix
        seen.options = options or {}
        seen.codec_context.time_base = Fraction(1, 90000)
        if setup:
            setup(seen.codec_context)
        heard = out.add_stream('aac', rate=48000) if sound == 'last' else heard
        for k in range(int((start_s + n / 30) * 48000 / 1024) if heard else 0):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
            frame.sample_rate, frame.pts, frame.time_base = 48000, k * 1024, Fraction(1, 48000)
            packets += heard.encode(frame)
        packets += heard.encode() if heard else []
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(rgb, 'rgb24')
            frame.pts, frame.time_base = round((start_s + i / 30) * 90000), Fraction(1, 90000)
            packets += seen.encode(frame)
        packets += seen.encode()
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


@pytest.mark.parametrize('sound', ['', 'first', 'last'])
@pytest.mark.parametrize('kind', ['.mp4', '.mkv', '.mov', '.ts', '.flv'])
def test_video_that_starts_late(tmp_path, kind, sound):
    frames = list(video_frames(write(tmp_path / f'a{kind}', start_s=5.0, sound=sound)))
    assert len(frames) == 40 and frames[0][0] == pytest.approx(5.0, abs=0.05)


def test_a_late_wmv_says_how_long_it_is_from_zero(tmp_path):
    assert len(list(video_frames(write(tmp_path / 'a.wmv', start_s=5.0, codec='wmv2')))) == 40


@pytest.mark.parametrize('kind', ['.mp4', '.mkv'])
def test_late_video_that_is_cut_short(tmp_path, kind):
    path = write(tmp_path / f'a{kind}', n=200, start_s=5.0, options={'bf': '0'})
    if kind == '.mkv':  # its head says how long it is
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises(ValueError, match='cut short'):
            list(video_frames(path))
    else:
        assert len(list(video_frames(path))) == 200


MATRICES = {  # of a file -> where its upper left quarter is to be seen: row, column
    'as it is': ((1, 0, 0, 1), (0, 0)),
    'half a turn': ((-1, 0, 0, -1), (1, 1)),
    'mirrored': ((-1, 0, 0, 1), (0, 1)),
    'upside down': ((1, 0, 0, -1), (1, 0)),
    'a quarter': ((0, 1, -1, 0), (0, 1)),
    'three quarters': ((0, -1, 1, 0), (1, 0)),
    'a quarter, mirrored': ((0, 1, 1, 0), (0, 0)),
    'three quarters, mirrored': ((0, -1, -1, 0), (1, 1)),
}


@pytest.mark.parametrize('what', MATRICES)
def test_turned_and_mirrored(tmp_path, what):
    (a, b, c, d), (row, column) = MATRICES[what]
    path = write(tmp_path / 'a.mp4', n=3)
    data, one = bytearray(path.read_bytes()), 1 << 16
    at = data.index(b'tkhd') + 4 + 40
    for place, value in ((0, a), (4, b), (12, c), (16, d)):
        data[at + place : at + place + 4] = (value * one).to_bytes(4, 'big', signed=True)
    path.write_bytes(data)
    rgb = next(iter(video_frames(path)))[1]
    assert rgb.shape[:2] == ((48, 64) if a else (64, 48))
    h, w = rgb.shape[0] // 2, rgb.shape[1] // 2
    red = rgb[..., 0].astype(int) - rgb[..., 1] > 100
    quarters = [[red[i * h :][:h, j * w :][:, :w].mean() for j in (0, 1)] for i in (0, 1)]
    assert np.argwhere(np.array(quarters) > 0.8).tolist() == [[row, column]]


@pytest.mark.parametrize('kind', ['.mp4', '.mkv'])
@pytest.mark.parametrize(('ratio', 'shape'), [((2, 1), (24, 64)), ((1, 2), (48, 32))])
def test_pixels_that_are_not_square(tmp_path, kind, ratio, shape):
    def setup(codec):
        codec.sample_aspect_ratio = Fraction(*ratio)

    frames = list(video_frames(write(tmp_path / f'a{kind}', n=3, setup=setup)))
    assert frames[0][1].shape[:2] == shape


def test_interlaced_video_has_no_comb(tmp_path):
    """Lines of two times: those of one field are shown."""
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        stream.options = {'flags': '+ildct+ilme', 'x264-params': 'interlaced=1', 'crf': '1'}
        for _ in range(4):
            rgb = np.full((64, 64, 3), 40, np.uint8)
            rgb[::2, 10:20], rgb[1::2, 40:50] = 220, 220
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, 'rgb24')))
        out.mux(stream.encode())
    rgb = next(iter(video_frames(path)))[1].astype(int)
    assert rgb.shape == (64, 64, 3)
    assert abs(np.diff(rgb[8:-8], axis=0)).max() < 60  # a comb has 180
    assert rgb[32, 15].mean() > 180 and rgb[32, 45].mean() < 80


@pytest.mark.parametrize('transfer', [16, 18], ids=['PQ', 'HLG'])
def test_hdr_is_refused(tmp_path, transfer):
    def setup(codec):
        codec.color_trc = transfer

    with pytest.raises(ValueError, match='HDR .* is not read'):
        list(video_frames(write(tmp_path / 'a.mp4', n=3, setup=setup)))


def test_a_film_of_depth_is_refused(tmp_path):
    path = write(tmp_path / 'a.mkv', n=3, codec='ffv1', pix='gray16le')
    with pytest.raises(ValueError, match='only depth inside'):
        list(video_frames(path))


def test_a_head_that_asks_for_all_memory_is_damage(tmp_path, monkeypatch):
    """PyAV then raises a MemoryError, which would end the run."""
    write_video(tmp_path / 'a.mp4', pictures(12), 10)
    write_video(tmp_path / 'b.mp4', pictures(9, 20), 10)
    opened = av.open

    def refusing(name, *args, **kwargs):
        if str(name).endswith('a.mp4'):
            raise av.error.MemoryError(12, 'Cannot allocate memory')
        return opened(name, *args, **kwargs)

    monkeypatch.setattr(av, 'open', refusing)
    with pytest.warns(UserWarning, match='a.mp4: it asks for more memory'):
        assert everything(tmp_path, 10.0) == [count(9, 20)]
