# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Pictures that are changed at random."""

import torch

from vw2_ros.models.data.augment import jitter_colour, shift_images


def test_images_move_by_whole_pixels():
    rgb = torch.randint(0, 255, (2, 8, 8, 3), dtype=torch.uint8)
    moved = shift_images(rgb, torch.tensor([[0, 0], [2, -1]]))
    assert torch.equal(moved[0], rgb[0])
    assert torch.equal(moved[1, 2:, :-1], rgb[1, :-2, 1:])
    assert torch.equal(moved[1, 0], moved[1, 2])  # the edge is repeated
    same = jitter_colour(rgb, torch.tensor([[1.0, 0.0], [1.0, 0.5]]))
    assert torch.equal(same[0], rgb[0])
    assert (same[1] >= rgb[1]).all() and same[1].float().mean() > rgb[1].float().mean()
