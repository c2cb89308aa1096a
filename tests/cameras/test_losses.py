# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Images that are lost are told from a camera that is slow."""

from vw2_ros.cameras.losses import Losses


def counted(images_hz, infos_hz, seconds=6.0):
    losses = Losses()
    for i in range(int(images_hz * seconds)):
        losses.see_image(100 + i / images_hz)
    for i in range(int(infos_hz * seconds)):
        losses.see_info(100 + i / infos_hz)
    return losses.report(100 + seconds)


def test_losses_are_named():
    assert counted(17, 30) == ('camera_info comes at 30 Hz, images at 17: large messages are lost')
    assert 'images at 0: large messages are lost, or come on another topic' in counted(0, 30)


def test_no_losses():
    assert counted(30, 30) == counted(15, 15) == counted(29, 30) == ''
    assert counted(30, 0) == ''  # a driver without calibration: nobody can tell
    assert counted(17, 30, 1.5) == ''  # too early
    assert Losses().report(5.0) == ''


def test_what_is_long_ago_does_not_count():
    losses = Losses()
    for i in range(300):
        losses.see_info(i / 30)
        if i < 30 or i > 120:
            losses.see_image(i / 30)
    assert losses.report(10.0) == ''
