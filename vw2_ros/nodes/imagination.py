# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Draw the current plan as the video that it stands for, for people to look at.

Nothing reads these images but viewers; the arm moves the same without this node. One worker thread
draws the newest plan; plans that come while it is busy are dropped and counted in /diagnostics.

    ros2 run vw2_ros imagination_node
    ros2 run vw2_ros imagination_node --ros-args -p renderer:=vdm -p vdm:=runs/a/dldm
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

from sensor_msgs.msg import Image

from vw2_ros import names
from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.model import ModelConfig, ModelNode
from vw2_ros.nodes.parameters import parameter
from vw2_ros.nodes.process import run


@dataclass(frozen=True)
class Config(ModelConfig):
    """Parameters of the imagination node."""

    renderer: str = parameter('decoder', 'decoder (quick, coarse) or vdm (video diffusion model)')
    vdm: str = parameter('', "run folder of the VDM; empty: vdm/ in the weights' folder")
    steps: int = parameter(0, "steps of the VDM's sampling; 0: as serve it", low=0, high=1000)
    rate_hz: float = parameter(
        float(ACTION_HZ), 'rate of the imagined frames [Hz]', low=1.0, high=120.0
    )
    period_s: float = parameter(
        0.5, 'least time between two imagined clips [s]', low=0.0, high=60.0
    )
    keep_images: int = parameter(30, 'images kept until their plan comes', low=1, high=300)

    def __post_init__(self):
        if self.renderer not in ('decoder', 'vdm'):
            raise InvalidValueError(f'renderer must be decoder or vdm. Got {self.renderer!r}.')


class ImaginationNode(ModelNode):
    """Pairs plans with the images that they come from; one worker thread draws."""

    Config = Config

    def __init__(self, **options):
        super().__init__('imagination', **options)

    @transition
    def on_configure(self):
        self.config = self.read_config()
        self.frames_out = self.advertise(Image, names.IMAGINED, qos.reliable(1))
        self.begin_loading()

    @transition
    def on_activate(self):
        self.wait_for_model()
        self.images: OrderedDict[int, object] = OrderedDict()  # stamp -> message
        self.clip: deque = deque()
        self.imagined_s = -1e9
        self.subscribe(Image, names.IMAGE, self._on_image, qos.newest(8))
        self.subscribe(Image, names.LATENT_PLAN, self._on_codes, qos.reliable(1))
        self.every(1.0 / self.config.rate_hz, self._show)

    def load(self):
        from vw2_ros.models.imagination import Imagination  # seconds of import: only here
        from vw2_ros.models.policy import Policy

        c = self.config
        policy = Policy.load(c.weights, threads=c.threads, device=c.device)
        imagination = Imagination(policy, c.renderer, c.vdm or None, steps=c.steps or None)
        if not imagination.knows_codes:
            self.get_logger().warning(
                'this VDM was trained without codes: it shows what may come '
                'after the image, not the plan'
            )
        return imagination

    def _on_image(self, msg) -> None:
        self.images[convert.stamp_to_ns(msg.header.stamp)] = msg
        while len(self.images) > self.config.keep_images:
            self.images.popitem(last=False)

    def _on_codes(self, msg) -> None:
        plan = plan_message.codes_from_message(msg)
        image = self.images.get(plan.stamp_ns)
        if image is None:
            raise InvalidValueError(
                'the image of a plan must have come before. Got none with its stamp. Raise keep_images'
            )
        if self.now_s() - self.imagined_s >= self.config.period_s:
            self.imagined_s = self.now_s()
            self.worker.submit((image, plan))
            self.health.set('plans dropped', self.worker.inbox.skipped)

    def work(self, imagination, item):
        image, plan = item
        began_s = self.now_s()
        frames = imagination.render(convert.image_to_rgb(image), plan.values)  # (T, H, W, 3)
        period_ns = int(1e9 / self.config.rate_hz)
        self.clip = deque(
            (plan.stamp_ns + (i + 1) * period_ns, frame) for i, frame in enumerate(frames)
        )
        self.health.tick('clip', self.now_s())
        self.health.set('clip [ms]', (self.now_s() - began_s) * 1e3)

    def _show(self) -> None:
        clip = self.clip
        if clip:
            stamp_ns, frame = clip.popleft()
            self.frames_out.publish(
                convert.numpy_to_image(frame, 'rgb8', stamp_ns=stamp_ns, frame_id='imagined')
            )


def main(args=None):
    """Run the imagination node."""
    run(ImaginationNode, args)


if __name__ == '__main__':
    main()
