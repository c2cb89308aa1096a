# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Frames brought to one rate."""

import numpy as np

from vw2_ros.models.data.video.decode import resample


def test_frames_at_one_rate():
    def come(times, fps):
        return [
            (piece, int(i))
            for piece, i in resample(((t, np.array(i)) for i, t in enumerate(times)), fps)
        ]

    third = [round(i / 30, 3) for i in range(6)]  # WebM's stamps are whole milliseconds
    assert come(third, 30) == [(0, i) for i in range(6)]
    assert come([i / 60 for i in range(8)], 30) == [(0, 0), (0, 2), (0, 4), (0, 6)]
    assert [i for _, i in come([0, 0.1, 0.2], 30)] == [0, 0, 1, 1, 1, 2, 2]
    assert come([7.0, 7.1], 10) == [(0, 0), (0, 1)]
    # out of order is left out; a jump, to either side, begins a new piece
    assert come([0, 0.1, 0.05, 0.2], 10) == [(0, 0), (0, 1), (0, 3)]
    assert come([0, 0.1, 5.0, 5.1, 1.0], 10) == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)]
    assert come([], 10) == []
