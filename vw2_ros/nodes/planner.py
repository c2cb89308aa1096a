# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Newest camera image + instruction -> latent plan (codes and hidden states).

    ros2 run vw2_ros planner_node --ros-args -p instruction:='open the drawer'

The way of a picture, call by call:

    PlannerNode._on_image   executor's thread: is the image new enough, and is a plan due?
    -> PlannerNode.work     worker thread: message -> array, plan -> two messages
    -> Policy.plan          models/policy.py: array -> tensor
    -> Planner.plan         models/planner.py: the maths
"""

import dataclasses
from collections import deque
from dataclasses import dataclass

import numpy as np
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.control.camera import CameraWatch
from vw2_ros.control.safety import MIN_KNOWN_WORDS, age_of_stamp
from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.messages import bridge, convert, qos
from vw2_ros.messages import plan as plan_message
from vw2_ros.nodes.health import ERROR, WARN
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.model import ModelNode, PolicyConfig
from vw2_ros.nodes.parameters import parameter
from vw2_ros.nodes.process import run
from vw2_ros.nodes.weights import Leader, label
from vw2_ros.serving.remote import open_policy


@dataclass(frozen=True)
class Config(PolicyConfig):
    """Parameters of the planner node."""

    weights: str = parameter(
        PolicyConfig.weights,
        'shipped weights by name, a model folder, or ws://HOST:PORT of a policy server; '
        '`load_weights` takes another one',
        dynamic=True,
    )
    temperature: float = parameter(
        0.0, '0: the likeliest codes; above: codes are sampled', low=0.0, high=10.0
    )
    seed: int = parameter(0, 'seed of the sampling of codes', low=0)
    recover_after_s: float = parameter(
        0.0,
        'an instruction that is followed for so long is tried anew: for half a second, another one '
        'that the policy knows is planned for, and the arm moves off as that one wants; 0: never. With '
        'a policy server, its --recover-after counts [s]',
        low=0.0,
        high=3600.0,
    )
    compressed: bool = parameter(False, 'take image_raw/compressed instead of image_raw')
    period_s: float = parameter(
        0.0, 'least time between two plans; 0: each image [s]', low=0.0, high=10.0
    )
    lockstep: bool = parameter(False, 'plan for every image, reliably; the world waits')
    max_image_age_s: float = parameter(
        0.1,
        'older images make no plan [s]; of a camera slower than 30 Hz they may be 3 periods old',
        low=0.001,
        high=60.0,
    )
    frozen_frames: int = parameter(
        10, 'identical images in a row from which on none makes a plan; 0: off', low=0, high=1000
    )
    min_known_words: float = parameter(
        MIN_KNOWN_WORDS,
        'share of the words of an instruction that must be known from training',
        low=0.0,
        high=1.0,
    )
    instruction: str = parameter('', 'what to do, in plain words; also a topic', dynamic=True)

    @property
    def max_future_s(self) -> float:
        """How far a stamp may be ahead: as far as behind."""
        return self.max_image_age_s


class PlannerNode(ModelNode):
    """Hands the newest image to the worker thread, which plans."""

    Config = Config

    def __init__(self, **options):
        super().__init__('planner', **options)
        self.instruction: str | None = None  # None: nobody said, the parameter counts
        self.begun_ns: int | None = None  # stamp of the first picture that it was planned for
        self.leader: Leader | None = None

    def parameters_set(self, values):
        """Take `instruction`, as from the topic."""
        if 'instruction' in values:
            self.set_instruction(values['instruction'])

    @transition
    def on_configure(self):
        self.config = self.read_config()
        self.codes_out = self.advertise(Image, names.LATENT_PLAN, qos.reliable())
        self.hidden_out = self.advertise(Image, names.PLAN_HIDDEN, qos.reliable())
        self.begin_loading()

    @transition
    def on_activate(self):
        self.wait_for_model()
        c = self.config
        self.leader = Leader(self, self.load_policy, self.take_policy)
        self.serve(Trigger, names.LOAD_WEIGHTS, self.load_weights)
        self.health.set('weights', label(self.model))
        self.codes = deque(maxlen=1000)  # of the newest plans, for the code usage
        self.planned_s, self.planning = -1e9, False
        self.camera = CameraWatch(c.max_image_age_s, c.frozen_frames)
        self.set_instruction(
            self.get_parameter('instruction').value
            if self.instruction is None
            else self.instruction
        )
        self.subscribe(
            String, names.INSTRUCTION, lambda m: self.set_instruction(m.data), qos.latched()
        )
        topic, kind = (
            (names.compressed(names.IMAGE), CompressedImage)
            if c.compressed
            else (names.IMAGE, Image)
        )
        self.subscribe(
            kind, topic, self._on_image, qos.reliable(1) if c.lockstep else qos.newest()
        )

    def set_instruction(self, text: str) -> None:
        """Take a new instruction; the next image makes a plan for it."""
        text = text.strip()
        if self.model is not None and text:
            try:
                self.model.check_instruction(text, self.config.min_known_words)
            # refused, or a policy server did not answer: no plan for the one before
            except VW2Error:
                self.instruction = ''
                raise
        if text != self.instruction:
            self.planned_s = -1e9
            self.health.set('instruction', f'{text:.80}')
        self.instruction, self.begun_ns = text, None  # said again: followed from now on

    def load(self):
        return self.load_policy(self.config.weights)

    def load_policy(self, weights: str):
        """Load and warm up a policy; in the worker thread."""
        c = self.config
        policy = open_policy(
            weights,
            deadline_s=c.deadline_s,
            threads=c.threads,
            temperature=c.temperature,
            seed=c.seed,
            recover_after_s=c.recover_after_s,
            device=c.device,
        )
        self.health.set('warm-up [ms]', policy.warm_up())
        if self.model is not None and policy.image_size != self.model.image_size:
            raise InvalidValueError(
                f'weights must see images of {self.model.image_size} px, as the camera node makes '
                f'them. Got {policy.image_size} px. Launch with these weights instead.'
            )
        bridge.works()  # asks in a child process: now, not at the first image
        return policy

    async def load_weights(self) -> str:
        """Bring the parameter `weights` into this node and all action nodes, or leave all as is."""
        weights = self.get_parameter('weights').value
        try:
            return await self.leader.change(weights)
        except InvalidValueError:
            self.set_parameters([Parameter('weights', value=self.config.weights)])
            raise

    def take_policy(self, policy, weights: str) -> None:
        """Plan with another policy from the next image on."""
        self.take_model(policy)
        self.config = dataclasses.replace(self.config, weights=weights)
        self.health.set('weights', label(policy))
        self.get_logger().info(f'weights: {label(policy)}')

    def halt(self):
        """End the worker and a change of weights."""
        if self.leader is not None:
            self.leader.close()
        self.leader = None
        super().halt()

    def _on_image(self, msg) -> None:
        now_s, c = self.now_s(), self.config
        stamp_ns = convert.stamp_to_ns(msg.header.stamp)
        if c.lockstep:
            return self._submit(msg, stamp_ns, now_s) if self.instruction else None
        age_s = age_of_stamp(stamp_ns, self.now_ns(), c)
        self.camera.see(now_s - age_s, msg.data)
        if age_s > self.camera.max_age_s:
            raise InvalidValueError(
                f'image must be at most {self.camera.max_age_s * 1e3:.0f} ms old. Got one that is '
                f'{age_s * 1e3:.0f} ms old. Is the network or the camera slow?'
            )
        if self.camera.frozen or not self.instruction or self.leader.busy:
            return
        if self.planning:
            # an image that waited would make an older plan than the next one does at once
            self.health.count('skipped images')
        elif now_s - self.planned_s >= c.period_s - (self.camera.period_s or 0.015) / 3:
            self.planned_s, self.planning = now_s, True
            self._submit(msg, stamp_ns, now_s)

    def _submit(self, msg, stamp_ns: int, now_s: float) -> None:
        if self.begun_ns is None:
            self.begun_ns = stamp_ns
        followed_s = (stamp_ns - self.begun_ns) * 1e-9
        self.worker.submit((msg, stamp_ns, self.instruction, followed_s, now_s))

    def work(self, policy, item):
        try:
            msg, stamp_ns, instruction, followed_s, arrived_s = item
            plan = policy.plan(convert.any_image_to_rgb(msg), instruction, followed_s)
            self.health.set('planned for', f'{policy.recovery.words(instruction, followed_s):.80}')
            made_for = stamp_ns, instruction, policy.sha256
            self.hidden_out.publish(plan_message.hidden_to_message(plan.hidden, *made_for))
            self.codes_out.publish(plan_message.codes_to_message(plan.codes, *made_for))
            now_s = self.now_s()
            self.health.tick('plan', now_s)
            self.health.set('image to plan [ms]', (now_s - arrived_s) * 1e3)
            self.codes.extend(plan.codes.ravel().tolist())
        finally:
            self.planning = False

    def assess(self, now_s):
        """Account for codes and times; judge camera and instruction."""
        used, counts = np.unique(list(self.codes), return_counts=True)
        share = counts / max(1, counts.sum())
        self.health.set('codes used', len(used))
        self.health.set('code perplexity', float(np.exp(-(share * np.log(share)).sum())))
        for name, times in self.model.timing().items():
            self.health.set(f'{name} p50', times['p50'])
            self.health.set(f'{name} p99', times['p99'])
        topic = names.compressed(names.IMAGE) if self.config.compressed else names.IMAGE
        age_s = self.health.age_s(topic, now_s)
        if self.config.lockstep:
            return super().assess(now_s)
        if age_s is None:
            return WARN, f'nothing ever came on {self.resolve_topic_name(topic)}'
        if age_s > self.camera.max_age_s:
            return ERROR, f'camera silent for {age_s * 1e3:.0f} ms'
        if self.camera.frozen:
            return ERROR, f'camera frozen: {self.camera.identical} identical images'
        if not self.instruction:
            return WARN, 'no instruction'
        return super().assess(now_s)


def main(args=None):
    """Run the planner node."""
    run(PlannerNode, args)


if __name__ == '__main__':
    main()
