# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sizes of pictures, pictures brought to a size, and whose pictures are alike.

A size is the side of a square, or height and width, in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from vw2_ros.encodings import check_whole
from vw2_ros.errors import InvalidValueError

Size = int | Sequence[int]

KEPT_PX = 200  # side of the frames of data sets at most, as CALVIN's

# renderer -> one that draws so nearly the same that weights which learned from its pictures do on
# those of the first, too. Measured without any picture of calvin_env: 90 % of tasks (docs/calvin.md)
ALIKE = {'calvin_env_tiny': 'pybullet_tiny_detailed'}
DRAWN = 'R'  # tables drawn at random: what was learned from them carries over to all tables


def is_known(key: str, got: object, provenance: Mapping[str, Any]) -> bool:
    """Whether weights learned from such pictures, or nothing says that they did not.

    Args:
        key: of `provenance`, which may name several: 'renderer', 'scene' or 'image_size'.
        got: what it is of the pictures at hand; None: unknown.
    """
    learned = {*str(provenance.get(key) or 'unknown').split(', ')}
    carried = DRAWN if key == 'scene' else ALIKE.get(got)
    return got is None or not learned.isdisjoint({'unknown', str(got), carried})


def sides(size: Size) -> tuple[int, int]:
    """Height and width of a size.

    Raises:
        ValueError: it is neither one whole number above 0 nor two.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(type(side) is int and side > 0 for side in pair):
        raise InvalidValueError(
            'a size must be the side of a square or [height, width], in whole '
            f'pixels. Got {size!r}'
        )
    return pair


def label(size: Size) -> str:
    """How names and messages call a size: '96' of a square, '480x832' of 480 px by 832."""
    height, width = sides(size)
    return str(height) if height == width else f'{height}x{width}'


def of_shape(size: Size, shorter: int) -> tuple[int, int]:
    """A size of the same shape whose shorter side has `shorter` pixels."""
    return tuple(round(side * shorter / min(sides(size))) for side in sides(size))


def centre(height: int, width: int, size: Size) -> tuple[slice, slice]:
    """Rows and columns of the largest centred part of a picture that has the shape of `size`."""
    h, w = sides(size)
    rows = min(height, round(width * h / w))
    columns = min(width, round(height * w / h))
    y, x = (height - rows) // 2, (width - columns) // 2
    return slice(y, y + rows), slice(x, x + columns)


def resize_area(rgb: np.ndarray, size: Size) -> np.ndarray:
    """Cut a picture to the shape of `size`, around its centre, and resize it.

    Args:
        rgb: uint8 (H, W, 3). size: side of a square, or (height, width) [px].
    Returns:
        uint8 (h, w, 3), contiguous; every pixel is the mean of the area it covers.
    """
    h, w = sides(size)
    rgb = np.ascontiguousarray(rgb[centre(*rgb.shape[:2], size)])
    return (
        rgb if rgb.shape[:2] == (h, w) else cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA)
    )


def kept(rgb: np.ndarray) -> np.ndarray:
    """A camera's picture as data sets keep it: the centred square, of at most `KEPT_PX`.

    What a policy sees live goes by way of it, too: so it sees what it has learned from, to the byte.

    Args:
        rgb: uint8 (H, W, 3).
    """
    return resize_area(rgb, min(KEPT_PX, *rgb.shape[:2]))


def read_picture(data) -> np.ndarray:
    """A jpeg, png or webp file's bytes -> uint8 (H, W, 3) rgb.

    Raises:
        ValueError: damaged, not such a file, or depth: one channel of 16 bits or floats.
    """
    check_whole(data)
    try:
        file = np.frombuffer(data, np.uint8)
        image = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
        if image is not None and image.dtype != np.uint8 and image.ndim == 2:
            raise InvalidValueError(
                f'a picture must be in colours or grey. Got one channel of {image.dtype}, which is '
                'depth: take the colour camera'
            )
        # as it is meant to be seen: turned as Exif says, 16 bits to 8, without alpha
        image = image if image is None else cv2.imdecode(file, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InvalidValueError(f'a picture is damaged: {error.err}') from error
    if image is None:
        raise InvalidValueError('a picture is damaged')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
