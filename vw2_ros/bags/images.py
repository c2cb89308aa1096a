# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which image topic of a bag is the camera, and its messages as pictures.

Depth is never a picture: whatever topic comes first, the camera is one whose messages are pictures,
and rather one in colour than a grey one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from vw2_ros.bags.bag import Bag, BagError, cdr_reader
from vw2_ros.encodings import compressed_to_rgb, image_to_rgb, is_grey

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
LOOKED_AT = 10  # messages of a topic: the first may be damaged
_DEPTH_NAMES = ('depth', 'disparity')


class NoCameraError(BagError):
    """No topic of a bag has pictures that can be read; the message says what is there."""


def message_picture(message) -> np.ndarray:
    """A sensor_msgs Image or CompressedImage, as rosbags reads it -> uint8 (H, W, 3) rgb.

    Raises:
        ConvertError: damaged, or an encoding that is no picture.
    """
    compressed = message.__msgtype__ == COMPRESSED
    return compressed_to_rgb(message) if compressed else image_to_rgb(message)


def image_topics(topics: dict[str, str]) -> list[str]:
    """Topics of images, sorted, of topic -> type; also those of depth."""
    return sorted(t for t, kind in topics.items() if kind in (IMAGE, COMPRESSED))


def cameras_of(bag: Bag, topics: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Which image topics have pictures.

    Returns:
        those with pictures, colour before grey and what is called depth last, else as given; and
        topic -> reason, of the others.
    """
    found, refused = [], {}
    for topic in topics:
        depth = any(name in topic.lower() for name in _DEPTH_NAMES)
        grey, why = _look_at(bag, topic)
        if not why and grey and depth and len(topics) > 1:
            why = 'grey, and called depth'
        if why:
            refused[topic] = why
        else:
            found.append((depth, grey, topic))
    return [topic for *_, topic in sorted(found, key=lambda f: f[:2])], refused


def choose_camera(bag: Bag, wanted: Sequence[str] = ()) -> str:
    """The camera of a bag: the first of `wanted` that has pictures; none given: the first of all.

    Raises:
        NoCameraError: there is none; the message says why each topic is not it.
    """
    images = image_topics(bag.topics)
    asked = [t for name in wanted for t in images if t.strip('/') == name.strip('/')]
    refused: dict[str, str] = {}
    if wanted:
        for topic in asked:
            found, why = cameras_of(bag, [topic])
            if found:
                return topic
            refused |= why
    else:
        found, refused = cameras_of(bag, images)
        if found:
            return found[0]
    reasons = '; '.join(f'{topic}: {why}' for topic, why in refused.items())
    reasons = reasons or f'image topics there: {", ".join(images) or "none"}'
    what = f'image topic {" or ".join(wanted)}' if wanted else 'images'
    raise NoCameraError(f'no {what}; {reasons}')


def _look_at(bag: Bag, topic: str) -> tuple[bool, str]:
    """Whether a topic's pictures are grey; and why it has none, '' where it has some."""
    read, why = cdr_reader(), 'it has no message'
    for _, kind, _, data in itertools.islice(bag.messages([topic]), LOOKED_AT):
        try:
            message = read(data, kind)
            message_picture(message)
            return is_grey(message), ''
        except Exception as error:  # damaged data make the libraries raise nearly anything
            why = ' '.join(str(error).split()) or type(error).__name__
    return False, why
