# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sizes of pictures, and pictures cut to a shape."""

import numpy as np
import pytest

from vw2_ros.models.data.pictures import centre, label, of_shape, resize_area, sides
from vw2_ros.models.dldm import DLDMConfig


def test_sizes():
    assert sides(96) == (96, 96) and sides([480, 832]) == (480, 832)
    assert (label(96), label((96, 96)), label((480, 832))) == ('96', '96', '480x832')
    assert of_shape((32, 48), 96) == (96, 144) and of_shape(64, 96) == (96, 96)
    assert of_shape((480, 832), 480) == (480, 832)
    for bad in (0, -8, (32,), (32, 48, 3), '32', (32.0, 48), (0, 32)):
        with pytest.raises(ValueError, match=r'\[height, width\].*Got'):
            sides(bad)


@pytest.mark.parametrize(
    'size, part',
    [
        (64, (slice(0, 40), slice(20, 60))),
        ((20, 40), (slice(0, 40), slice(0, 80))),
        ((10, 40), (slice(10, 30), slice(0, 80))),
        ((80, 40), (slice(0, 40), slice(30, 50))),
    ],
)
def test_the_centre(size, part):
    assert centre(40, 80, size) == part


def test_a_square_is_one_however_it_is_written():
    assert DLDMConfig(image_size=[64, 64]) == DLDMConfig(image_size=64)
    config = DLDMConfig(image_size=[64, 96])
    assert config.image_size == (64, 96) and config.places == (8, 12)
    for bad in ([64, 100], [8, 64], [64, 64, 3], 'wide'):
        with pytest.raises(ValueError, match='Got'):
            DLDMConfig(image_size=bad)


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
