# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Video files, by PyAV."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.video.reader import Frames, Notes, library

VIDEOS = (
    *('.mp4', '.webm', '.mkv', '.avi', '.mov', '.m4v', '.mpg', '.mpeg', '.ts', '.m2ts', '.mts'),
    *('.wmv', '.flv', '.3gp', '.ogv'),
)
TRUNCATED_S = 1.0  # a video may end so much before what its head says, or a tenth of it
_HDR = {16: 'PQ', 18: 'HLG'}  # transfer functions of ITU-T H.273


def video_frames(file: Path | io.BytesIO) -> Frames:
    """Frames of one video file as they are to be seen: upright, with square pixels, whole.

    Raises:
        ValueError, or what PyAV raises: damaged, cut short, HDR, or no video inside.
    """
    with _opened(file) as container:
        stream = _camera_of(container)
        stream.thread_type = 'AUTO'
        rate = _rate(stream)
        promised, from_zero = _promised_s(container, stream)
        view = _View(stream)
        number, first, time, lasts = 0, None, 0.0, 0.0
        for number, frame in enumerate(container.decode(stream), 1):
            if frame.is_corrupt:
                raise InvalidValueError(f'frame {number} is damaged')
            time = frame.time if frame.time is not None else (number - 1) / rate
            first = time if first is None else first
            lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate
            yield time, view.of(frame)
        seen = time - (0.0 if from_zero else first or 0.0) + lasts  # a still picture may last long
        if number and seen + max(TRUNCATED_S, 0.1 * promised) < promised:
            raise InvalidValueError(f'cut short: {seen:.1f} s of {promised:.1f} s are there')


def frames_between(file: Path, start: float, end: float) -> Frames:
    """Frames of a part of a video file [s], decoded from the key frame before it.

    What is damaged elsewhere is nothing to it.

    Raises:
        ValueError, or what PyAV raises: see `video_frames`.
    """
    with _opened(file) as container:
        stream = _camera_of(container)
        stream.thread_type = 'NONE'  # an error is then told with the packet that it is of
        view = _View(stream)
        container.seek(max(0, int(start / stream.time_base)), stream=stream)
        for packet in container.demux(stream):
            late = packet.pts is not None and float(packet.pts * stream.time_base) >= end
            try:
                frames = packet.decode()
            except library('av').error.InvalidDataError:
                if late:
                    continue
                raise
            for frame in frames:
                time = frame.time or 0.0
                if time >= end:
                    return
                if time >= start:
                    if frame.is_corrupt:
                        raise InvalidValueError(f'the frame at {time:.2f} s is damaged')
                    yield time, view.of(frame)


@contextlib.contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator:
    av = library('av')
    try:
        with av.open(str(file) if isinstance(file, Path) else file) as container:
            yield container
    except av.error.MemoryError as error:  # a damaged head may ask for any amount
        raise InvalidValueError(
            'it asks for more memory than can be had: damaged, or much too large'
        ) from error


def _rate(stream) -> float:
    return float(stream.average_rate or stream.guessed_rate or CALVIN_FPS)


def _camera_of(container):
    """The stream to look at: the best one that is neither a cover nor depth."""
    attached = library('av').stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & attached]
    cameras = [s for s in streams if not _is_depth(s)]
    if not cameras:
        raise InvalidValueError(
            'only depth inside: a video must have colours, or grey of 8 bits'
            if streams
            else 'no video stream inside'
        )
    best = container.streams.best('video')
    return next((s for s in cameras if s is best or s.index == best.index), cameras[0])


def _is_depth(stream) -> bool:
    form = stream.codec_context.format
    return form is not None and len(form.components) == 1 and form.components[0].bits > 8


class _View:
    """Turns decoded frames into what is to be seen."""

    def __init__(self, stream):
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        self.aspect = float(ratio) if ratio else 1.0  # width of a pixel over its height
        self.matrix: np.ndarray | None = None

    def of(self, frame) -> np.ndarray:
        """uint8 (H, W, 3) rgb."""
        if (transfer := _HDR.get(int(frame.color_trc or 0))) is not None:
            raise InvalidValueError(
                f'HDR ({transfer}) is not read: its colours would be wrong. Make an SDR video of it'
            )
        if frame.interlaced_frame:
            rgb = _one_field(frame)
        else:
            rgb = frame.to_ndarray(format='rgb24')
        if abs(self.aspect - 1) > 0.01:
            h, w = rgb.shape[:2]
            size = (w, round(h / self.aspect)) if self.aspect > 1 else (round(w * self.aspect), h)
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        return self._turned(frame, rgb)

    def _turned(self, frame, rgb: np.ndarray) -> np.ndarray:
        """The picture as the display matrix says: turned by quarters, mirrored."""
        data = frame.side_data.get('DISPLAYMATRIX')
        if data is not None:  # only key frames may have it
            self.matrix = np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3)
        if self.matrix is None:
            return rgb
        (a, b), (c, d) = self.matrix[:2, :2].tolist()  # x' = a x + c y, y' = b x + d y
        if abs(b) + abs(c) > abs(a) + abs(d):
            rgb, right, down = rgb.transpose(1, 0, 2), c, b
        else:
            right, down = a, d
        return rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def _one_field(frame) -> np.ndarray:
    """An interlaced frame's upper field at full height: fields are of different times."""
    planes = frame.to_ndarray(format='yuv444p')  # (3, H, W)
    field = planes[:, ::2]
    full = [cv2.resize(p, (frame.width, frame.height)) for p in field]
    shown = type(frame).from_ndarray(np.stack(full), format='yuv444p')
    shown.colorspace, shown.color_range = frame.colorspace, frame.color_range
    return shown.to_ndarray(format='rgb24')


def _promised_s(container, stream) -> tuple[float, bool]:
    """Seconds of video that the file's head promises; 0 where it does not say.

    And whether they count from the file's beginning: a video may start later.
    """
    if stream.duration:
        return float(stream.duration * stream.time_base), 'asf' in container.format.name  # WMV
    told = re.fullmatch(r'(\d+):(\d+):(\d+(\.\d+)?)', stream.metadata.get('DURATION', ''))
    if told:  # Matroska, WebM
        return 3600.0 * int(told[1]) + 60.0 * int(told[2]) + float(told[3]), True
    alone = len(container.streams) == 1  # else it may be the sound's
    return (container.duration / 1e6 if container.duration and alone else 0.0), False


@dataclasses.dataclass(frozen=True)
class VideoFileReader:
    """One file with one video.

    Attributes:
        camera: which it is, where there are several.
    """

    path: Path
    name: str
    camera: str = ''
    detail: str = ''

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        notes.camera = self.camera
        yield self.name, video_frames(self.path)
