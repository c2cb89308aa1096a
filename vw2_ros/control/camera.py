# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Whether a camera still shows what is: judged by the rate at which it comes. Pure.

A camera of 10 to 60 Hz is held to its own rate: its newest image may be three of its periods old.
Times are seconds of one monotonic clock.
"""

from collections import deque

import numpy as np

from vw2_ros.control.safety import FrozenCamera
from vw2_ros.errors import InvalidValueError

PERIODS = 3  # an image may be so many periods old
MOST_S = 0.3  # and never older than this: three periods at 10 Hz
NOMINAL_HZ = 30  # the rate that a number of frozen frames is said for
FEWEST_FROZEN = 3  # identical frames that are no chance, at whatever rate


class CameraWatch:
    """Measures a camera's period; by that, how old its images may be, and when it is frozen.

    The period is the lower quartile of the newest intervals: images that are lost, or a stall, do
    not make a camera slower than it is, and the limit no wider.

    Args:
        least_age_s: age that is allowed at 30 Hz and above, and until the period is known.
        frozen_frames: identical images in a row, at 30 Hz and above, that make a frozen camera; a
            slower one is frozen after the same time. 0: none do.

    Raises:
        InvalidValueError: a value makes no sense.
    """

    WINDOW, ENOUGH = 30, 5  # intervals that are kept, and of which there is a period

    def __init__(self, least_age_s: float, frozen_frames: int = 0):
        if not least_age_s > 0:
            raise InvalidValueError(f'least_age_s must be above 0. Got {least_age_s}.')
        self.least_age_s = least_age_s
        self._frames = frozen_frames
        self._frozen = FrozenCamera(frozen_frames) if frozen_frames else None
        self._intervals: deque[float] = deque(maxlen=self.WINDOW)
        self._last_s: float | None = None
        self.period_s: float | None = None  # as measured; None: not known yet

    def see(self, taken_s: float, frame=None) -> None:
        """Take note of an image (bytes or array, if it is to be compared) taken at `taken_s`."""
        if self._last_s is not None and 0 < taken_s - self._last_s < 1.0:  # longer: a break
            self._intervals.append(taken_s - self._last_s)
            if len(self._intervals) >= self.ENOUGH:
                self.period_s = float(np.percentile(self._intervals, 25))
        self._last_s = taken_s
        if frame is not None and self._frozen is not None:
            self._frozen.see(frame)

    @property
    def max_age_s(self) -> float:
        """How old the newest image may be."""
        own_s = min(PERIODS * (self.period_s or 0.0), MOST_S)
        return max(self.least_age_s, own_s)

    @property
    def frozen_frames(self) -> int:
        """Identical images in a row that make a frozen camera, at its rate."""
        if self.period_s is None:
            return self._frames
        own = round(self._frames / NOMINAL_HZ / self.period_s)
        return min(self._frames, max(FEWEST_FROZEN, own))

    @property
    def identical(self) -> int:
        """The newest images that are identical, 1 if the last one is new."""
        return self._frozen.identical if self._frozen else 0

    @property
    def frozen(self) -> bool:
        """Whether the camera sends the same image again and again."""
        return self._frozen is not None and self.identical >= self.frozen_frames
