# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A camera's driver as others write them, in a process of its own: images and camera_info.

    python -m vw2_ros.bench.camera_driver --size 640x480 --rate 30

Best effort, as sensor data should be, with whatever DDS profile its environment says. The images show
the play table, or random colours, with a sensor's noise. Topics: camera/image_raw,
camera/camera_info; frame: camera_optical_frame.
"""

import argparse
import array
import os
import signal
import time

import numpy as np

from vw2_ros.errors import InvalidValueError

TOPIC, INFO, FRAME = 'camera/image_raw', 'camera/camera_info', 'camera_optical_frame'
NOISE = 3.0  # of a sensor, standard deviation of 8 bits: it never sends the same image twice
IMAGES = 4  # that are made, and sent in turn


def size_of(text: str) -> tuple[int, int]:
    """'640x480' -> width and height [px].

    Raises:
        ValueError: it is not of that form, or beyond 8 to 4096 px.
    """
    width, _, height = text.partition('x')
    size = tuple(int(side) if side.isascii() and side.isdigit() else 0 for side in (width, height))
    if not all(8 <= side <= 4096 for side in size):
        raise InvalidValueError(
            f'the size of a camera must be e.g. 640x480, of 8 to 4096 px a side. Got {text!r:.60}.'
        )
    return size


def picture(width: int, height: int, table: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (H, W, 3), and the camera's matrix (3, 3)."""
    from vw2_ros.sim.cameras import get_camera

    camera = get_camera('static')
    if table:
        from vw2_ros.sim.table import open_table

        with open_table('D') as made:
            rgb = made.render(camera.name, (height, width))
    else:
        rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return rgb, camera.intrinsics(width, height)


def main(argv: list[str] | None = None) -> None:
    """Publish until interrupted, or for --seconds; print how many images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', default='640x480', type=size_of, help='width x height [px]')
    parser.add_argument('--rate', default=30.0, type=float, help='images per second')
    parser.add_argument('--encoding', default='rgb8', choices=('rgb8', 'bgr8'))
    parser.add_argument('--reliable', action='store_true', help='instead of best effort')
    parser.add_argument('--table', action='store_true', help='show the play table')
    parser.add_argument('--seconds', default=0.0, type=float, help='0: until interrupted')
    args = parser.parse_args(argv)

    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import CameraInfo, Image

    width, height = args.size
    rgb, K = picture(width, height, args.table)
    pixels, noise = rgb if args.encoding == 'rgb8' else rgb[:, :, ::-1], np.random.default_rng(1)
    data = []
    for _ in range(IMAGES):
        noisy = pixels + noise.normal(scale=NOISE, size=pixels.shape).astype(np.float32)
        data.append(array.array('B', np.clip(noisy, 0, 255).astype(np.uint8).tobytes()))
    image = Image(width=width, height=height, encoding=args.encoding, step=3 * width)
    info = CameraInfo(width=width, height=height, distortion_model='plumb_bob', k=K.ravel())
    image.header.frame_id = info.header.frame_id = FRAME
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('camera_driver')
    wanted = ReliabilityPolicy.RELIABLE if args.reliable else ReliabilityPolicy.BEST_EFFORT
    images = node.create_publisher(Image, TOPIC, QoSProfile(depth=5, reliability=wanted))
    infos = node.create_publisher(CameraInfo, INFO, QoSProfile(depth=5, reliability=wanted))
    began_s, sent, parent = time.monotonic(), 0, os.getppid()
    try:
        while rclpy.ok() and os.getppid() == parent:
            due_s = began_s + sent / args.rate
            if args.seconds and due_s - began_s > args.seconds:
                break
            time.sleep(max(0.0, due_s - time.monotonic()))
            image.data = data[sent % IMAGES]
            image.header.stamp = info.header.stamp = node.get_clock().now().to_msg()
            images.publish(image)
            infos.publish(info)
            sent += 1
    except KeyboardInterrupt:
        pass
    finally:
        print(f'{sent} images in {time.monotonic() - began_s:.1f} s', flush=True)
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
