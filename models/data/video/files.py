# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video files, by PyAV."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.video.reader import Frames, library

VIDEOS = ('.mp4', '.webm', '.mkv', '.avi', '.mov')
TRUNCATED_S = 1.0  # a video may end so much before what its head says, or a tenth of it


def video_frames(file: Path | io.BytesIO) -> Frames:
    """Frames of one video file, turned upright as the file says.

    Raises:
        ValueError, or what PyAV raises: damaged, cut short, or no video inside.
    """
    av = library('av')
    with av.open(str(file) if isinstance(file, Path) else file) as container:
        stream = container.streams.best('video')
        if stream is None:
            raise InvalidValueError('no video stream inside')
        stream.thread_type = 'AUTO'
        rate = float(stream.average_rate or stream.guessed_rate or CALVIN_FPS)
        promised = _promised_s(container, stream)
        number, first, time, lasts = 0, None, 0.0, 0.0
        for number, frame in enumerate(container.decode(stream), 1):
            if frame.is_corrupt:
                raise InvalidValueError(f'frame {number} is damaged')
            time = frame.time if frame.time is not None else (number - 1) / rate
            first = time if first is None else first
            lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate
            rgb = frame.to_ndarray(format='rgb24')
            yield time, np.rot90(rgb, getattr(frame, 'rotation', 0) // 90)
        seen = time - (first or 0.0) + lasts  # a still picture may last long
        if number and seen + max(TRUNCATED_S, 0.1 * promised) < promised:
            raise InvalidValueError(f'cut short: {seen:.1f} s of {promised:.1f} s are there')


def _promised_s(container, stream) -> float:
    """Seconds of video that the file's head promises; 0 where it does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    told = re.fullmatch(r'(\d+):(\d+):(\d+(\.\d+)?)', stream.metadata.get('DURATION', ''))
    if told:  # Matroska, WebM
        return 3600.0 * int(told[1]) + 60.0 * int(told[2]) + float(told[3])
    alone = len(container.streams) == 1  # else it may be the sound's
    return container.duration / 1e6 if container.duration and alone else 0.0


@dataclasses.dataclass(frozen=True)
class VideoFileReader:
    """One file with one video."""

    path: Path
    name: str
    detail: str = ''

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        yield self.name, video_frames(self.path)
