# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The action node's dry run: what it would do is drawn and published, and nothing is commanded.

Beside the command topic, which nobody publishes on, all is as ever: plans, arming, the gate. For each
chunk of actions the picture on `dry_run/image` shows the tool's path, as the limits let it through,
and the frame that the imagination node shows at the moment.
"""

from sensor_msgs.msg import CameraInfo, Image

from vw2_ros import names
from vw2_ros.cameras.dry_run import CameraModel, draw
from vw2_ros.control.foresight import foresee
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.worker import Worker


class DryRun:
    """Draws the newest chunk, in a thread of its own; made while the action node is activated."""

    def __init__(self, node):
        self._node = node
        self._image = self._imagined = self._info = None  # the newest messages
        self.joints = None  # as measured [rad] (n,); the node sets them
        self._out = node.advertise(Image, names.DRY_RUN, qos.reliable(1))
        node.subscribe(Image, names.IMAGE, self._on_image, qos.newest())
        node.subscribe(Image, names.IMAGINED, self._on_imagined, qos.newest())
        node.subscribe(CameraInfo, names.CAMERA_INFO, self._on_info, qos.newest())
        self._worker = Worker(
            lambda: None, self._draw, lambda error: node.refuse('dry run', error), 'dry run'
        )

    def see(self, chunk) -> None:
        """Draw this chunk, unless a newer one comes first."""
        if self._image is not None and self.joints is not None:
            self._worker.submit((self._image, chunk, self.joints))

    def end(self) -> None:
        """End the thread."""
        self._worker.close()

    def _on_image(self, msg) -> None:
        self._image = msg

    def _on_imagined(self, msg) -> None:
        self._imagined = msg

    def _on_info(self, msg) -> None:
        self._info = msg

    def _draw(self, _, item) -> None:
        image, chunk, joints = item
        node, contract = self._node, self._node.contract
        foreseen = foresee(contract, node.loop.config, chunk, joints)
        limits, command = contract.limits, node.loop.command
        why = f'; limited: {", ".join(foreseen.reasons)}' if foreseen.reasons else ''
        rgb = draw(
            convert.image_to_rgb(image),
            foreseen.positions,
            foreseen.gripper,
            (limits.box_lower_m, limits.box_upper_m),
            (
                f'DRY RUN, nothing is commanded. {node.instruction or "no instruction"}',
                f'{command.status if command else "waiting"}{why}',
            ),
            self._camera(),
            None if self._imagined is None else convert.image_to_rgb(self._imagined),
        )
        self._out.publish(
            convert.numpy_to_image(
                rgb, 'rgb8', stamp_ns=chunk.stamp_ns, frame_id=image.header.frame_id
            )
        )
        node.health.tick('dry run', node.now_s())

    def _camera(self) -> CameraModel | None:
        poses = [camera.pose for camera in self._node.contract.cameras.values() if camera.pose]
        if not poses or self._info is None or not self._info.k[0] > 0:
            return None
        return CameraModel.of(self._info.k, poses[0])
