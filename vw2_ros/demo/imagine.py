# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 imagine`: one picture and an instruction -> the video of what the policy means to do."""

import pathlib
import time

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.cameras import drawing
from vw2_ros.cameras.frames import Fit
from vw2_ros.control.safety import MIN_KNOWN_WORDS
from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation import film

HELD = 10  # how long the given picture is shown [frames]


def read_image(path: pathlib.Path, size: int) -> np.ndarray:
    """A picture of any size -> its largest centred square, as the nodes cut it.

    Returns:
        uint8 (size, size, 3) rgb.
    Raises:
        ValueError: it cannot be read as a picture.
    """
    from vw2_ros.models.data.pictures import read_picture

    try:
        rgb = read_picture(path.read_bytes())
    except InvalidValueError as error:
        raise InvalidValueError(
            f'{path} must be a picture (png, jpg, ...), the whole file. Got something else: {error}'
        ) from error
    return Fit(size=(size, size))(rgb)


def run(
    image: pathlib.Path,
    instruction: str,
    out: pathlib.Path,
    *,
    segments: int = 4,
    renderer: str = 'decoder',
    vdm: pathlib.Path | None = None,
    steps: int = 20,
    policy: str = 'play_table',
    seed: int = 0,
) -> dict:
    """Imagine, and write the clip and, beside it, a strip of every fourth frame.

    Args:
        image, instruction: what is seen and what is to be done. out: the mp4 file.
        segments: plans in a row. renderer, vdm, steps, seed: see `Imagination`.
        policy: shipped weights or a folder.
    Returns:
        where the files are, and how long it took.
    Raises:
        ValueError, CheckpointError: see `read_image`, `Policy.plan` and `Imagination`.
    """
    from vw2_ros.models.imagination import Imagination
    from vw2_ros.models.policy import Policy
    from vw2_ros.progress import progress_bar

    if segments < 1:
        raise InvalidValueError(f'segments must be at least 1. Got {segments}.')
    loaded = Policy.load(policy, threads=None)
    first = read_image(image, loaded.image_size)
    imagination = Imagination(loaded, renderer, vdm, steps=steps, seed=seed)
    loaded.warm_up(1)  # what torch does only once is no part of the time told
    began_s = time.monotonic()
    parts: list[np.ndarray] = []
    with progress_bar() as bar:
        for part in bar.track(
            imagination.imagine(first, instruction, segments), segments, description='segments'
        ):
            parts.append(part)
    took_s = time.monotonic() - began_s
    film.write(out, _film(first, parts, instruction), ACTION_HZ)
    strip = out.with_suffix('.png')
    drawing.write_png(strip, film.strip(_rows(first, parts), instruction))
    known, note = loaded.known_words(instruction), {}
    if not imagination.knows_codes:
        note['note'] = (
            'this VDM was trained without codes (its folder has no dldm.safetensors): '
            'the clip shows what may come after the picture, whatever the instruction'
        )
    elif known < MIN_KNOWN_WORDS:
        note['note'] = (
            'the policy knows less than half of these words: the clip means little, '
            'and a robot would not move'
        )
    return {
        'clip': str(out),
        'strip': str(strip),
        'seconds_of_video': segments * imagination.length / ACTION_HZ,
        'imagined_in_s': took_s,
        'renderer': renderer,
        'known_words': known,
        **note,
    }


def _rows(first: np.ndarray, parts: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Choose the frame that each segment starts from, and every fourth one after it."""
    starts = [first, *(part[-1] for part in parts[:-1])]
    return [[start, *part[3::4]] for start, part in zip(starts, parts)]


def _film(first, parts, instruction):
    for _ in range(HELD):
        yield film.captioned(first, instruction, 'what is seen', film.GIVEN)
    for number, part in enumerate(parts, 1):
        for frame in part:
            yield film.captioned(
                frame, instruction, f'segment {number} of {len(parts)}', film.IMAGINED
            )
