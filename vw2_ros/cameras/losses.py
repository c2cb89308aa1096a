# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Images that are lost on their way: a driver sends a camera_info with each, and that is small."""

from collections import deque

WINDOW_S = 5.0
LEAST_S = 2.0  # of both, before anything is said
SHARE = 0.1  # lost images that are worth a word
LEAST_LOST = 5


class Losses:
    """Compares the counts of images and of their camera_info. Seconds of one monotonic clock."""

    def __init__(self):
        self._images: deque[float] = deque(maxlen=1000)
        self._infos: deque[float] = deque(maxlen=1000)

    def see_image(self, now_s: float) -> None:
        """Count an image."""
        self._images.append(now_s)

    def see_info(self, now_s: float) -> None:
        """Count a camera_info."""
        self._infos.append(now_s)

    def report(self, now_s: float) -> str:
        """Return what is lost, in words; '' where nothing is, or where nobody can tell."""
        if not self._infos:
            return ''
        # since both come; images that never came count, too
        since_s = max(now_s - WINDOW_S, self._infos[0], self._images[0] if self._images else 0.0)
        took_s = now_s - since_s
        if took_s < LEAST_S:
            return ''
        infos, images = (
            sum(t >= since_s for t in tuple(times)) for times in (self._infos, self._images)
        )
        if infos - images < max(LEAST_LOST, SHARE * infos):
            return ''
        why = 'large messages are lost' + ('' if self._images else ', or come on another topic')
        return (
            f'camera_info comes at {infos / took_s:.0f} Hz, images at {images / took_s:.0f}: {why}'
        )
