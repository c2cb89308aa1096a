# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The report is one file that holds everything, and films are what was filmed."""

import base64
import re

import av
import numpy as np
import pytest

from vw2_ros.evaluation import film, report

RESULT = {
    'avg_len': 2.5,
    'success_at': [0.9, 0.8, 0.5, 0.2, 0.1],
    'chains': 10,
    'per_task': {
        'open_drawer': {'success': 3, 'trials': 4},
        'stack_block': {'success': 0, 'trials': 2},
    },
    'transitions': [
        {'after': 'open_drawer', 'task': 'stack_block', 'success': 0, 'trials': 2},
        {'after': 'stack_block', 'task': 'open_drawer', 'success': 2, 'trials': 2},
    ],
    'mean_success': 0.375,
    'scene': 'D',
    'renderer': 'pybullet_tiny',
    'seconds': 100.0,
    'checkpoint_sha256': 'ab' * 32,
    'policy': '<play>',
    'seed': 0,
    'ros': False,
    'command': 'vw2 eval --chains 10',
    'videos': [
        {
            'file': 'videos/a.mp4',
            'rollout': 'chain/0',
            'success': False,
            'subtasks': [
                {
                    'task': 'open_drawer',
                    'instruction': 'pull & "open"',
                    'success': True,
                    'steps': 60,
                },
                {'task': 'stack_block', 'instruction': 'stack', 'success': False, 'steps': 360},
            ],
        },
        {'file': 'videos/gone.mp4', 'rollout': 'chain/1', 'success': True},
    ],
}


def pictures(n):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (200, 200, 3), dtype=np.uint8) for _ in range(n)]


@pytest.fixture()
def folder(tmp_path):
    frames = [film.captioned(p, 'open it', '1 of 5', film.RUNNING) for p in pictures(5)]
    film.write(tmp_path / 'videos' / 'a.mp4', frames, 10)
    return tmp_path


def test_film(folder):
    with av.open(str(folder / 'videos' / 'a.mp4')) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == 'h264' or 'libx264' not in av.codecs_available
        assert stream.average_rate == 10
        frames = list(container.decode(stream))
    assert len(frames) == 5 and (frames[0].height, frames[0].width) == (456, 400)
    assert [f.name for f in (folder / 'videos').iterdir()] == ['a.mp4']


def test_an_empty_or_interrupted_film_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='no frame'):
        film.write(tmp_path / 'a.mp4', [], 10)

    def broken():
        yield np.zeros((456, 400, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film.write(tmp_path / 'a.mp4', broken(), 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'said', ['x', 'a rather long instruction that says more than is needed, ' * 3]
)
@pytest.mark.parametrize('verdict', [film.SUCCEEDED, film.FAILED, film.RUNNING])
def test_caption_stands_above_the_picture(said, verdict):
    picture = pictures(1)[0]
    frame = film.captioned(picture, said, '2 of 5', verdict)
    assert frame.shape == (456, 400, 3) and frame.dtype == np.uint8
    strip = frame[:56].astype(int)
    assert (strip.max(axis=2) > 150).any()
    assert (strip[:, -4:] == 28).all()  # the words end within the picture


def test_report_is_one_file(folder):
    report.write(folder / 'report.html', RESULT, folder)
    text = (folder / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', text) and 'url(' not in text
    video = re.search('data:video/mp4;base64,([^"]+)"', text).group(1)
    assert base64.b64decode(video) == (folder / 'videos' / 'a.mp4').read_bytes()
    for part in (
        '2.50',
        '37.5 %',
        'worst: stack_block',
        '3 / 4  75 %',
        '90.0 %',
        'gone.mp4 is missing',
        '&lt;play&gt;',
        'pull &amp; &quot;open&quot;',
        'ab' * 32,
        'width:75.0%',
        'open_drawer, then stack_block',
        '2 of 2 lost',
    ):
        assert part in text, part
    assert '<play>' not in text and 'stack_block, then open_drawer' not in text
    (bar,) = re.findall('then stack_block</th>.*?width:([^"]+)"', text)
    assert bar == '100.0%'  # as long as what was lost, not what was solved
    assert not list(folder.glob('*.part'))


def test_report_of_single_tasks_only(folder):
    some = {k: v for k, v in RESULT.items() if k not in ('videos', 'success_at', 'avg_len')}
    report.write(folder / 'r.html', {**some, 'chains': 0}, folder)
    text = (folder / 'r.html').read_text()
    assert 'on the play table, scene D' in text
    report.write(folder / 'r2.html', {**some, 'chains': 0, 'table': 'calvin'}, folder)
    assert 'on the real CALVIN, scene D' in (folder / 'r2.html').read_text()
    assert 'in a row' not in text and 'Films' not in text and 'Success by task' in text
