# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Camera pictures with words above them, and mp4 and PNG files of them."""

import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import av
import cv2
import numpy as np

from vw2_ros import files
from vw2_ros.errors import InvalidValueError

SUCCEEDED, FAILED, RUNNING = 'succeeded', 'failed', 'running'
GIVEN, IMAGINED, RECORDED = 'given', 'imagined', 'recorded'
_COLOURS = {
    SUCCEEDED: (90, 220, 110),
    FAILED: (240, 90, 80),
    RUNNING: (240, 200, 80),
    GIVEN: (200, 200, 200),
    IMAGINED: (120, 180, 250),
    RECORDED: (200, 200, 200),
}
_LINES = ((150, 150, 150), (59, 118, 196), (209, 73, 63), (47, 158, 98))  # of a plot
_STRIP_PX = 56
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def captioned(
    picture: np.ndarray, instruction: str, note: str, verdict: str, side_px: int = 400
) -> np.ndarray:
    """A square picture, enlarged, below what was said and how it goes.

    Args:
        picture: uint8 (S, S, 3) rgb.
        instruction: first line, shrunk until it fits.
        note: second line, before the verdict.
        verdict: one of those above.
    Returns:
        uint8 (side_px + 56, side_px, 3) rgb.
    """
    canvas = np.full((side_px + _STRIP_PX, side_px, 3), 28, np.uint8)
    canvas[_STRIP_PX:] = cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    text = f'"{instruction}"'
    width = cv2.getTextSize(text, _FONT, 1.0, 1)[0][0]
    scale = min(0.5, (side_px - 16) / width)
    cv2.putText(canvas, text, (8, 21), _FONT, scale, (235, 235, 235), 1, cv2.LINE_AA)
    cv2.putText(
        canvas, f'{note}  {verdict}', (8, 45), _FONT, 0.45, _COLOURS[verdict], 1, cv2.LINE_AA
    )
    return canvas


def strip(rows: Sequence[Sequence[np.ndarray]], title: str, side_px: int = 128) -> np.ndarray:
    """Pictures side by side, row below row, under a title.

    Args:
        rows: of uint8 (S, S, 3) rgb; shorter rows end in grey.
    Returns:
        uint8 (H, W, 3) rgb.
    """
    columns = max(len(row) for row in rows)
    canvas = np.full((28 + len(rows) * side_px, columns * side_px, 3), 28, np.uint8)
    width = cv2.getTextSize(title, _FONT, 1.0, 1)[0][0]
    scale = min(0.5, (canvas.shape[1] - 16) / max(1, width))
    cv2.putText(canvas, title, (8, 19), _FONT, scale, (235, 235, 235), 1, cv2.LINE_AA)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = 28 + i * side_px, j * side_px
            canvas[y : y + side_px, x : x + side_px] = cv2.resize(
                picture, (side_px, side_px), interpolation=cv2.INTER_CUBIC
            )
    return canvas


def plot(
    lines: Mapping[str, Sequence[float]], title: str, width: int = 480, height: int = 320
) -> np.ndarray:
    """Curves over 1, 2, 3 ... with their names beside.

    Args:
        lines: name -> values, as many of each.
    Returns:
        uint8 (height, width, 3) rgb.
    """
    canvas = np.full((height, width, 3), 255, np.uint8)
    values = np.array(list(lines.values()), float)  # (lines, n)
    low, high = values.min(), values.max()
    low, high = (
        (low - 0.05 * (high - low), high + 0.05 * (high - low))
        if high > low
        else (low - 1, high + 1)
    )
    left, right, top, bottom = 64, width - 130, 36, height - 32
    n = values.shape[1]

    def write_at(text, x, y, colour=(70, 70, 70), scale=0.4):
        cv2.putText(canvas, text, (int(x), int(y)), _FONT, scale, colour, 1, cv2.LINE_AA)

    def place(i, value):
        return (
            round(left + (right - left) * (i + 0.5) / n),
            round(bottom - (bottom - top) * (value - low) / (high - low)),
        )

    write_at(
        title,
        8,
        20,
        (20, 20, 20),
        min(0.45, (width - 16) / max(1, cv2.getTextSize(title, _FONT, 1.0, 1)[0][0])),
    )
    for value in np.linspace(low, high, 5):
        y = place(0, value)[1]
        cv2.line(canvas, (left, y), (right, y), (225, 225, 225), 1)
        write_at(f'{value:.3g}', 8, y + 4)
    for i in range(n):
        write_at(str(i + 1), place(i, low)[0] - 4, bottom + 18)
    ends = []
    for (name, line), colour in zip(lines.items(), itertools.cycle(_LINES)):
        points = np.array([place(i, v) for i, v in enumerate(line)], np.int32)
        cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
        for x, y in points.tolist():
            cv2.circle(canvas, (x, y), 3, colour, -1, cv2.LINE_AA)
        ends.append((points[-1, 1], name, colour))
    below = top - 14
    for y, name, colour in sorted(ends):  # names keep out of each other's way
        below = max(y + 4, below + 14)
        write_at(name, right + 8, below, colour)
    return canvas


def write(path: pathlib.Path, frames: Iterable[np.ndarray], rate_hz: int) -> None:
    """Write frames as mp4 (H.264 where PyAV has an encoder for it); whole or not at all.

    Args:
        frames: uint8 (H, W, 3) rgb, H and W even.
        rate_hz: frames per second.
    Raises:
        ValueError: there is no frame.
    """
    options = {'movflags': 'faststart'}
    with (
        files.whole(path) as beside,
        av.open(str(beside), 'w', format='mp4', options=options) as container,
    ):
        stream = None
        for frame in frames:
            if stream is None:
                stream = _stream(container, rate_hz, frame.shape)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
            container.mux(stream.encode(picture))
        if stream is None:
            raise InvalidValueError(f'a film must have frames. Got no frame for {path}')
        container.mux(stream.encode(None))


def _stream(container, rate_hz: int, shape):
    codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
    stream = container.add_stream(codec, rate=rate_hz)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = 'yuv420p'
    if codec == 'libx264':
        stream.options = {'crf': '26', 'preset': 'veryfast'}
    return stream
