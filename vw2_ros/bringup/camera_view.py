# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 doctor --camera TOPIC`: a camera's picture as the policy will see it. Needs rclpy."""

from __future__ import annotations

import pathlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vw2_ros import files
from vw2_ros.bringup.checks import MISSING, NOTE, OK, Check
from vw2_ros.bringup.system import image_size
from vw2_ros.cameras import drawing
from vw2_ros.cameras.frames import Fit
from vw2_ros.cameras.likeness import crop_warnings, sheet, warnings
from vw2_ros.cameras.losses import Losses
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos
from vw2_ros.names import CAMERA_INFO

KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
FIND_S, LISTEN_S = 10.0, 4.0
GROUP = 'Camera'


@dataclass
class Heard:
    """What came on a camera's topics within `LISTEN_S`."""

    newest: object = None  # message
    times_s: list[float] = field(default_factory=list)  # arrival, monotonic
    age_s: float = 0.0  # of the newest stamp when it came
    lost: str = ''  # images that are lost on their way


def listen(topic: str) -> Heard:
    """Hear a camera for some seconds.

    Raises:
        InvalidValueError: no such topic, or one of another type.
    """
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('vw2_doctor_camera', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard, losses = Heard(), Losses()

    def image(msg):
        heard.newest = msg
        heard.times_s.append(time.monotonic())
        losses.see_image(heard.times_s[-1])
        now_ns = node.get_clock().now().nanoseconds
        stamp = msg.header.stamp
        heard.age_s = (now_ns - stamp.sec * convert.NS_PER_S - stamp.nanosec) * 1e-9

    try:
        kind = _kind(node, executor, topic)
        node.create_subscription(kind, topic, image, qos.newest())
        folder = topic.removesuffix('/compressed').rpartition('/')[0]
        info = f'{folder}/{CAMERA_INFO}' if folder or topic.startswith('/') else CAMERA_INFO
        node.create_subscription(
            CameraInfo, info, lambda _: losses.see_info(time.monotonic()), qos.newest(10)
        )
        end_s = time.monotonic() + LISTEN_S
        while time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.05)
        heard.lost = losses.report(time.monotonic())
        return heard
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _kind(node, executor, topic: str):
    name = node.resolve_topic_name(topic)
    end_s, known = time.monotonic() + FIND_S, {}
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.05)
        known = dict(node.get_topic_names_and_types())
        if name in known:
            break
    pictures = sorted(t for t, kinds in known.items() if set(kinds) & set(KINDS))
    choose = f'There are {", ".join(pictures)}.' if pictures else 'There is no image topic at all.'
    if name not in known:
        raise InvalidValueError(
            f'{name} must be the topic of a camera. Got no such topic. {choose}'
        )
    for text in known[name]:
        if text in KINDS:
            return KINDS[text]
    raise InvalidValueError(
        f'{name} must be a sensor_msgs Image or CompressedImage. Got {", ".join(known[name])}. {choose}'
    )


def trained_on(weights: str, size: int) -> np.ndarray | None:
    """A picture that weights were trained on, uint8 (size, size, 3); None: not at hand.

    Of weights for the play table it is drawn by the simulator; of others it is the first picture of
    the data that their provenance names, where that still lies there.
    """
    from vw2_ros.models.checkpoint import load_json, resolve
    from vw2_ros.models.data.store import FrameStore
    from vw2_ros.sim.appearance import LOOKS
    from vw2_ros.sim.table import Simulator

    try:
        provenance = load_json(resolve(weights) / 'provenance.json')
        ours = [
            x for x in LOOKS if Simulator(look=x).renderer in provenance['renderer'].split(', ')
        ]
        if weights in files.shipped_weights() and ours:
            with Simulator(look=ours[0]).open('D') as table:
                return table.render('static', size)
        words = shlex.split(provenance['command'])
        data = [b for a, b in zip(words, words[1:]) if a == '--data']
        return FrameStore([pathlib.Path(data[-1])], 'training', size).rgb(np.array([0]))[0]
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def checks(topic: str, weights: str, out: pathlib.Path) -> Iterator[Check]:
    """Look at a camera; write its picture, as the policy sees it, to `out`.

    Args:
        topic: of its images, raw or compressed. weights: shipped weights by name, or a folder.
    """
    size = image_size(weights)
    if size is None:
        yield Check(
            GROUP, weights, MISSING, 'has no config.json that names the size of its pictures'
        )
        return
    try:
        heard = listen(topic)
    except InvalidValueError as error:
        yield Check(GROUP, topic, MISSING, str(error))
        return
    if heard.newest is None:
        mend = 'does its driver run, and in this ROS_DOMAIN_ID? Compare `ros2 topic hz`'
        yield Check(GROUP, topic, MISSING, f'no image within {LISTEN_S:.0f} s', mend)
        return
    yield from _stream(heard)
    try:
        rgb = convert.any_image_to_rgb(heard.newest)
    except InvalidValueError as error:
        yield Check(GROUP, 'picture', MISSING, str(error), 'set another encoding in its driver')
        return
    fit, trained = Fit(size=(size, size)), trained_on(weights, size)
    seen, (H, W) = fit(rgb), rgb.shape[:2]
    problems = crop_warnings(fit, W, H)
    if trained is not None:
        problems += warnings(seen, trained)
    drawing.write_png(out, sheet(rgb, fit, trained, topic))
    yield Check(GROUP, 'as the policy sees it', OK, f'{out} ({W} x {H} px -> {size} x {size} px)')
    for problem in problems:
        yield Check(GROUP, 'difference', NOTE, problem)
    if trained is None:
        text = f'none of what {weights} was trained on is at hand'
        yield Check(GROUP, 'comparison', NOTE, text)
    elif not problems:
        yield Check(GROUP, 'comparison', OK, f'much like what {weights} was trained on')


def _stream(heard: Heard) -> Iterator[Check]:
    msg, times_s = heard.newest, heard.times_s
    what = getattr(msg, 'encoding', None) or getattr(msg, 'format', '')
    rate_hz = (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
    good = rate_hz >= 9.5
    yield Check(
        GROUP,
        'images',
        OK if good else NOTE,
        f'{what} at {rate_hz:.1f} Hz, frame {msg.header.frame_id!r}',
        '' if good else 'less than 10 Hz moves nothing smoothly: raise the rate of its driver',
    )
    if heard.lost:
        profile = files.config_file('fastdds.xml')
        mend = f"in its driver's environment: export FASTRTPS_DEFAULT_PROFILES_FILE={profile}"
        yield Check(GROUP, 'losses', NOTE, heard.lost, mend)
    if not -0.05 <= heard.age_s <= 0.1:
        none = not (msg.header.stamp.sec or msg.header.stamp.nanosec)
        said = 'none' if none else f'{heard.age_s * 1e3:.0f} ms old on arrival, limit 100 ms'
        mend = 'such images move nothing: stamp them when they are taken, by the clock of this machine'
        yield Check(GROUP, 'stamps', MISSING, said, mend)
