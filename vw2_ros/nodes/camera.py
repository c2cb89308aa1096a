# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Any camera -> the images that the policy sees: cropped, resized, rate-limited, stamps kept.

    ros2 run vw2_ros camera_node --ros-args -p source:=device -p device:=/dev/video0
    ros2 run vw2_ros camera_node --ros-args -r input:=/camera/color/image_raw

Topics: `input` (or `input/compressed`) and `input/camera_info` -> `image_raw`, `camera_info`, and
`image_raw/compressed` if wanted.
"""

import threading
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vw2_ros import names
from vw2_ros.cameras.frames import Fit, Source
from vw2_ros.cameras.losses import Losses
from vw2_ros.control.camera import CameraWatch
from vw2_ros.errors import InvalidValueError
from vw2_ros.files import config_file
from vw2_ros.messages import bridge, convert, qos
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.health import ERROR, WARN
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig, parameter
from vw2_ros.nodes.process import run
from vw2_ros.nodes.worker import Worker

REOPEN_PERIOD_S = 1.0
REMEDY = "set FASTRTPS_DEFAULT_PROFILES_FILE={} in the environment of the camera's driver"
SOURCES = ('topic', 'compressed', 'device', 'file')


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the camera node."""

    source: str = parameter('topic', f'where images come from: {", ".join(SOURCES)}')
    device: str = parameter('/dev/video0', 'V4L2 device, for source device')
    file: str = parameter('', 'video file, for source file')
    loop: bool = parameter(False, 'begin the file again at its end')
    width: int = parameter(96, 'width of the output [px]; 0: as it comes', low=0, high=8192)
    height: int = parameter(96, 'height of the output [px]; 0: as it comes', low=0, high=8192)
    crop: tuple = parameter(
        (0, 0, 0, 0),
        'x, y, width, height of the part that is kept; all 0: '
        'the largest centred part of the right shape [px]',
    )
    max_rate_hz: float = parameter(
        0.0, 'images beyond this rate are left out; 0: none', low=0.0, high=1000.0
    )
    compressed_out: bool = parameter(False, 'also publish image_raw/compressed')
    jpeg_quality: int = parameter(90, 'quality of the compressed output', low=1, high=100)
    frame_id: str = parameter(
        'camera_optical_frame', 'frame of the images of sources that have none'
    )
    max_image_age_s: float = parameter(
        0.1,
        'silence that is reported as an error [s]; of a camera slower than 30 Hz, 3 periods are',
        low=0.001,
        high=60.0,
    )

    def __post_init__(self):
        if self.source not in SOURCES:
            raise InvalidValueError(
                f'source must be one of {", ".join(SOURCES)}. Got {self.source!r}.'
            )


class CameraNode(NodeBase):
    """Stores the newest image; one worker thread converts and publishes, or grabs."""

    Config = Config

    def __init__(self, **options):
        super().__init__('camera', **options)
        self.worker = self.grabber = None

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        self.fit = Fit(c.crop, (c.width, c.height))
        self.remedy = REMEDY.format(config_file('fastdds.xml'))
        bridge.works()  # asks in a child process: now, not at the first image
        self.images_out = self.advertise(Image, names.IMAGE, qos.reliable(1))
        self.infos_out = self.advertise(CameraInfo, names.CAMERA_INFO, qos.reliable(1))
        self.compressed_out = (
            self.advertise(CompressedImage, names.compressed(names.IMAGE), qos.reliable(1))
            if c.compressed_out
            else None
        )

    @transition
    def on_activate(self):
        c = self.config
        self.info, self.ended, self.sent_s = None, '', -1e9
        self.period_s = 1 / c.max_rate_hz if c.max_rate_hz else 0.0
        self.camera, self.losses = CameraWatch(c.max_image_age_s), Losses()
        if c.source in ('device', 'file'):
            self.origin = c.device if c.source == 'device' else c.file
            source = Source(self.origin, loop=c.loop)
            self.stopping = threading.Event()
            self.grabber = threading.Thread(target=self._grab, args=(source,), daemon=True)
            self.grabber.start()
            return
        self.worker = Worker(
            lambda: None, self._forward, lambda e: self.refuse(names.INPUT, e), 'camera'
        )
        self.subscribe(CameraInfo, names.INPUT_INFO, self._on_info, qos.newest(10))
        topic, kind = (
            (names.compressed(names.INPUT), CompressedImage)
            if c.source == 'compressed'
            else (names.INPUT, Image)
        )
        self.origin = self.resolve_topic_name(topic)
        self.subscribe(kind, topic, self._on_image, qos.newest())

    def halt(self):
        if self.grabber is not None:
            self.stopping.set()
            self.grabber.join(5.0)
        if self.worker is not None:
            self.worker.close()
        self.grabber = self.worker = None

    def _on_info(self, msg) -> None:
        convert.check_camera_info(msg)
        self.info = msg
        self.losses.see_info(self.now_s())

    def _on_image(self, msg) -> None:
        now_s = self.now_s()
        self.camera.see(now_s)
        self.losses.see_image(now_s)
        if self._due():
            self.worker.submit(msg)

    def _due(self) -> bool:
        now_s = self.now_s()
        if now_s - self.sent_s < self.period_s * 0.9:  # cameras are not exactly on time
            return False
        self.sent_s = max(self.sent_s + self.period_s, now_s - self.period_s)
        return True

    def _forward(self, _, msg) -> None:
        rgb = convert.any_image_to_rgb(msg)
        self._publish(rgb, convert.stamp_to_ns(msg.header.stamp), msg.header.frame_id)

    def _grab(self, source: Source | None) -> None:
        while source is not None:
            try:
                self._play(source)
            except ValueError as error:
                self.ended = str(error)
            finally:
                source.close()
            source = self._again() if source.live else None

    def _play(self, source: Source) -> None:
        while not self.stopping.is_set():
            rgb = source.read()
            if rgb is None:
                self.ended = f'{source.path} has ended'
                return
            self.camera.see(self.now_s())
            if self._due():
                self._publish(rgb, self.now_ns(), '')
                self.ended = ''

    def _again(self) -> Source | None:
        """Open a device that was unplugged, once it is back; None if this node stops before."""
        while not self.stopping.wait(REOPEN_PERIOD_S):
            try:
                return Source(self.origin)
            except ValueError as error:
                self.ended = str(error)

    def _publish(self, rgb: np.ndarray, stamp_ns: int, frame_id: str) -> None:
        H, W = rgb.shape[:2]
        out = self.fit(rgb)  # (h, w, 3)
        frame_id = frame_id or self.config.frame_id
        self.images_out.publish(
            convert.numpy_to_image(out, 'rgb8', stamp_ns=stamp_ns, frame_id=frame_id)
        )
        if self.compressed_out is not None:
            self.compressed_out.publish(
                convert.rgb_to_compressed(
                    out, quality=self.config.jpeg_quality, stamp_ns=stamp_ns, frame_id=frame_id
                )
            )
        if self.info is not None:
            info = CameraInfo(
                header=self.info.header,
                distortion_model=self.info.distortion_model,
                d=self.info.d,
                r=self.info.r,
            )
            K = self.fit.intrinsics(self.info.k, W, H)
            info.header.stamp = convert.ns_to_stamp(stamp_ns)
            info.height, info.width = out.shape[:2]
            info.k = K.ravel()
            info.p = [*K[0], 0.0, *K[1], 0.0, *K[2], 0.0]
            self.infos_out.publish(info)
        self.health.tick('image', self.now_s())

    def assess(self, now_s):
        age_s = self.health.age_s('image', now_s)
        if self.ended:
            return ERROR, self.ended
        lost = self.losses.report(now_s)
        lost = lost and f'{lost}; {self.remedy}'
        if age_s is None:
            return WARN, '; '.join(filter(None, (f'no image yet from {self.origin}', lost)))
        if age_s > max(self.camera.max_age_s, 3 * self.period_s):
            text = f'camera silent for {age_s * 1e3:.0f} ms'
            return ERROR, '; '.join(filter(None, (text, lost)))
        return (WARN, lost) if lost else super().assess(now_s)


def main(args=None):
    """Run the camera node."""
    run(CameraNode, args)


if __name__ == '__main__':
    main()
