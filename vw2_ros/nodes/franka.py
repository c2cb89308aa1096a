# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A Franka arm without franka_ros2: FR3 and Panda over their own network protocol (franka-rs).

    pip install 'vw2_ros[franka]'
    ros2 run vw2_ros franka_node --ros-args -p address:=172.16.0.2 -p contract:=my_fr3.yaml

Tried against the simulator `franka-sim` only, never on a real arm, and there with an FR3.

Commands come as the action node sends them, on the topics of the contract; measured joints go out
on `joint_states`. The 1 kHz loop towards the last command runs in franka-rs, with joint impedance
and within `fraction` of the robot's own limits. The node begins by holding the arm where it is. In
silence it holds the arm at the last command. After an error of the robot nothing is sent or
published until the node is configured again.
"""

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms.contract import Contract
from vw2_ros.errors import InvalidValueError, MissingPackageError
from vw2_ros.messages import convert, qos
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.health import ERROR, OK, WARN
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig, parameter
from vw2_ros.nodes.process import run
from vw2_ros.nodes.worker import Worker

HAND_WIDTH_M = 0.08  # between the Franka Hand's fingers when it is open
GRIPPERS = ('none', 'joint', 'width')  # forms of a contract's gripper that the hand understands
GRIPPER_PERIOD_S = 0.2  # how often the hand is asked


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the Franka node."""

    contract: str = parameter(
        'panda',
        'the robot: a file, or the name of one of config/arms/; an FR3 wants one whose gripper has a '
        'form that this node takes',
    )
    address: str = parameter('172.16.0.2', "of the robot's control box")
    realtime: str = parameter('enforce', "'ignore' on a machine without PREEMPT_RT, or franka-sim")
    rate_hz: float = parameter(100.0, 'joint_states per second', low=1.0, high=1000.0)
    fraction: float = parameter(
        0.3, "of the robot's limits that a motion may use", low=0.01, high=1.0
    )
    silence_s: float = parameter(
        0.2,
        'without a command for so long, the next one must be where the arm is [s]',
        low=0.02,
        high=5.0,
    )
    gripper_speed_m_s: float = parameter(0.1, 'of the fingers', low=0.01, high=0.2)
    gripper_force_n: float = parameter(20.0, 'of a grasp', low=1.0, high=140.0)


class FrankaNode(NodeBase):
    """One connection; franka-rs moves the arm in a thread of its own, the hand has a worker."""

    Config = Config

    def __init__(self, **options):
        super().__init__('franka', **options)
        self.arm = self.hand = None

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        self.franka = _franka_rs()
        self.contract = contract = Contract.load(c.contract)
        if len(contract.joints) != 7:
            raise InvalidValueError(
                f'contract {contract.name}: joints must be 7, as a Franka arm has. '
                f'Got {len(contract.joints)}.'
            )
        if contract.command.form != 'trajectory' or contract.gripper.form not in GRIPPERS:
            raise InvalidValueError(
                f'contract {contract.name}: command.form must be trajectory and gripper.form one '
                f'of {", ".join(GRIPPERS)}. Got {contract.command.form} and '
                f'{contract.gripper.form}.'
            )
        self.states = self.advertise(JointState, names.JOINT_STATES, qos.reliable())

    @transition
    def on_activate(self):
        c, contract = self.config, self.contract
        self.failed, self.commanded_s, self.width_m = '', None, None
        try:
            self.robot = self.franka.Robot(c.address, realtime=c.realtime)
            self.arm = self.robot.joint_targets(fraction=c.fraction).__enter__()
        except self.franka.FrankaError as error:
            raise InvalidValueError(
                f'address must be that of a Franka arm. Got {c.address}: {error}. Switch it on, '
                'release its brakes and activate FCI.'
            ) from error
        self.every(1 / c.rate_hz, self._tick)
        topic = contract.command.topic
        self.subscribe(JointTrajectory, topic, self._on_command, qos.reliable(1))
        if contract.gripper.form == 'none':
            return
        self.wanted = self.done = None  # gripper: -1.0 close, +1.0 open; None: nobody said
        if contract.gripper.form == 'width':
            topic = contract.gripper.topic
            self.subscribe(Float64MultiArray, topic, self._on_gripper, qos.reliable(1))
        self.hand = Worker(
            self.robot.gripper, self._grip, lambda e: self.refuse('gripper', e), 'gripper'
        )
        self.every(GRIPPER_PERIOD_S, lambda: self.hand.submit(self.wanted))

    def halt(self):
        """Stop the arm where it is; the hand keeps what it holds."""
        if self.hand is not None:
            self.hand.close()
        if self.arm is not None:
            try:
                self.arm.stop()
            except self.franka.FrankaError as error:
                self.get_logger().warning(f'the motion ended with {error}')
        self.arm = self.hand = self.robot = None

    # -- input

    def _on_command(self, msg) -> None:
        gripper = self.contract.gripper
        joints = self.contract.joints + ((gripper.joint,) if gripper.form == 'joint' else ())
        position = convert.trajectory_from_message(msg, joints).position
        if self.failed:
            raise InvalidValueError(self.failed)
        self._check(position[:7])
        self.arm.move_to(position[:7])
        self.commanded_s = self.now_s()
        if gripper.form == 'joint':
            self._want(position[7])

    def _check(self, target: np.ndarray) -> None:
        """Refuse what no arm could follow from where it is.

        Raises:
            InvalidValueError: outside the limits, or too far from the measured joints.
        """
        limits, measured = self.contract.limits, np.array(self.arm.state().q)
        allowed = limits.resume_tolerance_rad if self.commanded_s is None else limits.following_rad
        for what, beyond in (
            ('outside its limits', np.abs(target - np.clip(target, *_ends(limits))) - 1e-6),
            ('too far from the arm', np.abs(target - measured) - allowed),
        ):
            if (beyond > 0).any():
                i = int(np.argmax(beyond))
                raise InvalidValueError(
                    f'{self.contract.joints[i]} must get a command that it can follow from '
                    f'{measured[i]:.3f} rad. Got {target[i]:.3f} rad, {what}. Command from where it is.'
                )

    def _on_gripper(self, msg) -> None:
        self._want(convert.floats_from_message(msg, 1)[0])

    def _want(self, value: float) -> None:
        self.wanted = 1.0 if self.contract.gripper.opening(value) > 0.5 else -1.0

    def _grip(self, hand, wanted) -> None:
        # the worker's thread: a grasp takes a second
        c = self.config
        if wanted is not None and wanted != self.done:
            self.done = wanted
            if wanted > 0:
                hand.move(HAND_WIDTH_M, c.gripper_speed_m_s)
            else:  # on whatever is between the fingers, or nothing
                width = HAND_WIDTH_M
                hand.grasp(0.0, c.gripper_speed_m_s, c.gripper_force_n, width, width)
        self.width_m = hand.read_once().width

    # -- output

    def _tick(self) -> None:
        if not self.failed and not self.arm.running:
            self._fail()
        if self.failed:
            return  # nobody knows where the arm is
        state, now_s = self.arm.state(), self.now_s()
        if self.commanded_s is not None and now_s - self.commanded_s > self.config.silence_s:
            self.commanded_s = None  # the arm is held at the last command
        self._publish(state)

    def _fail(self) -> None:
        """The robot ended the motion: say why, and stay as it is."""
        try:
            self.arm.stop()
            why = 'nobody says why'
        except self.franka.FrankaError as error:
            why = str(error)
        self.failed = f'the robot ended the motion: {why}. Configure this node again to go on'
        self.get_logger().error(self.failed)

    def _publish(self, state) -> None:
        gripper = self.contract.gripper
        position, velocity = np.array(state.q), np.array(state.dq)
        joints, width_m = self.contract.joints, self.width_m
        if gripper.joint and width_m is not None:
            joints = (*joints, gripper.joint)
            share = width_m / HAND_WIDTH_M
            position = np.append(
                position, gripper.closed + share * (gripper.open - gripper.closed)
            )
            velocity = np.append(velocity, 0.0)
        self.states.publish(
            convert.joints_to_message(
                joints,
                position,
                velocity,
                stamp_ns=self.now_ns(),
                frame_id=self.contract.base_frame,
            )
        )

    def assess(self, now_s):
        """Show what the robot says of itself."""
        if self.arm is None:
            return WARN, 'not connected'
        if self.failed:
            return ERROR, self.failed
        state = self.arm.state()
        self.health.set('robot mode', state.robot_mode)
        self.health.set('command success rate', state.control_command_success_rate)
        return OK, 'holding' if self.commanded_s is None else 'moving'


def _ends(limits) -> tuple[np.ndarray, np.ndarray]:
    return limits.lower_rad, limits.upper_rad


def _franka_rs():
    """The package `franka`; seconds are not lost where it is not used.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import franka
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "franka_node needs franka-rs. Got none. pip install 'vw2_ros[franka]'"
        ) from error
    return franka


def main(args=None):
    """Run the Franka node."""
    run(FrankaNode, args)


if __name__ == '__main__':
    main()
