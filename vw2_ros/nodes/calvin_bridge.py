# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table as a robot: cameras, joint states, joint commands, /clock, resets and tasks.

    ros2 run vw2_ros calvin_bridge_node --ros-args -p scene:=D
    ros2 param set /calvin_bridge reset_state '{"seed": 3}'
    ros2 service call /reset std_srvs/srv/Trigger

Real time: a timer steps the physics at 30 Hz, whoever commands. Lockstep: `start_task` begins, and
the table steps once for each command that bears the stamp of the newest joint_states.
"""

import os
import time
from dataclasses import dataclass

import numpy as np
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vw2_ros import names
from vw2_ros.arms.actions import ACTION_HZ, ACTION_PERIOD_S
from vw2_ros.control.clock import TickClock
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert, qos
from vw2_ros.messages import table as table_messages
from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.claim import Claim
from vw2_ros.nodes.health import ERROR, OK
from vw2_ros.nodes.lifecycle import transition
from vw2_ros.nodes.parameters import BaseConfig, parameter
from vw2_ros.nodes.process import run
from vw2_ros.sim.mounts import DEFAULT_ARM, MOUNTS
from vw2_ros.sim.table import TABLES, Simulator
from vw2_ros.sim.task_run import RUNNING, TaskRun, parse_reset
from vw2_ros.sim.tasks import check_task


@dataclass(frozen=True)
class Config(BaseConfig):
    """Parameters of the play table node."""

    scene: str = parameter('D', 'A, B, C, D, or R7: drawn by seed 7')
    table: str = parameter('play_table', f'which table: {", ".join(TABLES)}')
    calvin_env: str = parameter('', 'table calvin: folder of a checkout of calvin_env')
    egl: bool = parameter(False, 'table calvin: draw with EGL, on a graphics card')
    arm: str = parameter(DEFAULT_ARM, f'before the play table: {", ".join(MOUNTS)}')
    lockstep: bool = parameter(False, 'step once per command instead of 30 times a second')
    image_size: int = parameter(96, 'side of the static camera image [px]', low=16, high=1024)
    gripper_size: int = parameter(84, 'side of the gripper camera image [px]', low=16, high=1024)
    image_every: int = parameter(1, 'steps per image of the static camera', low=1, high=300)
    gripper_every: int = parameter(3, 'steps per image of the gripper camera', low=1, high=300)
    noise_pixels: int = parameter(
        16, 'real time: pixels with a random lowest bit, as a sensor has', low=0, high=10000
    )
    sim_time: bool = parameter(False, 'real time: stamp with simulated time and publish /clock')
    discovery_s: float = parameter(1.0, 'look so long for another table [s]', low=0.0, high=30.0)
    retry_s: float = parameter(
        2.0, 'lockstep: say it again after so long without a command [s]', low=0.1, high=600.0
    )
    reset_state: str = parameter(
        '', 'JSON with robot_obs, scene_obs or seed, for `reset`', dynamic=True
    )
    task: str = parameter(
        '', 'what `start_task` judges, one of the 34 names; empty: nothing', dynamic=True
    )
    max_steps: int = parameter(
        360, 'steps until it has failed; 0: no end', low=0, high=10**9, dynamic=True
    )


class CalvinBridgeNode(NodeBase):
    """Owns the table; everything happens in the executor's thread."""

    Config = Config

    def __init__(self, **options):
        super().__init__('calvin_bridge', **options)
        self.table = self.claim = None

    def parameters_set(self, values):
        if 'reset_state' in values:
            parse_reset(values['reset_state'])
        if values.get('task'):
            check_task(values['task'])

    @transition
    def on_configure(self):
        self.config = c = self.read_config()
        self._refuse_second_simulator(c.discovery_s)
        self.table = Simulator(c.table, c.calvin_env, c.egl, c.arm).open(c.scene)
        self.joints_out = self.advertise(JointState, names.JOINT_STATES, qos.reliable())
        self.images_out, self.infos_out = (
            {n: self.advertise(kind, f'{n}/{topic}', qos.reliable(1)) for n in names.CAMERAS}
            for kind, topic in ((Image, names.IMAGE), (CameraInfo, names.CAMERA_INFO))
        )
        self.state_out = self.advertise(String, names.TABLE_STATE, qos.reliable(1))
        self.task_out = self.advertise(String, names.TASK_STATE, qos.latched())
        timed = c.sim_time or c.lockstep
        self.clock_out = self.advertise(Clock, names.CLOCK, qos.reliable(1)) if timed else None
        described = self.advertise(String, names.ROBOT_DESCRIPTION, qos.latched())
        described.publish(table_messages.robot_description(c.arm))
        self.serve(Trigger, names.RESET, self.reset)
        self.serve(Trigger, names.START_TASK, self.start_task)

    @transition
    def on_activate(self):
        c = self.config
        self.ticks = 0  # since activation: simulated time never goes back, also not by a reset
        self.noise = np.random.default_rng()
        self.clock = TickClock(ACTION_PERIOD_S)
        self.run, self.serial, self.other = None, 0, ''
        self.reset()
        self.followed = True  # nobody can know yet where it was before
        profile = qos.reliable() if c.lockstep else qos.reliable(1)
        self.subscribe(JointTrajectory, names.JOINT_COMMANDS, self._on_command, profile)
        self.subscribe(Float64MultiArray, names.REL_ACTIONS, self._on_rel, qos.reliable())
        if c.lockstep:
            self.sent_s = 0.0
            self.every(c.retry_s / 4, self._retry)
        else:
            self.every(ACTION_PERIOD_S, self._tick)
        self.every(0.5, self._look_for_others)

    def halt(self):
        self.run = None

    def on_cleanup(self, state):
        self.table.close()
        self.claim.close()
        return super().on_cleanup(state)

    def destroy_node(self):
        """Give the topic names back with the node, however it ends."""
        if self.claim is not None:
            self.claim.close()
        super().destroy_node()

    # -- only one simulator

    def _state_publishers(self) -> int:
        return len(self.get_publishers_info_by_topic(self.resolve_topic_name(names.JOINT_STATES)))

    def _refuse_second_simulator(self, patience_s: float) -> None:
        """Ask this machine, whose answer is certain, then DDS, which may take a second to know."""
        topic = self.resolve_topic_name(names.JOINT_STATES)
        if self.claim is not None:
            self.claim.close()  # of a configuration that failed
        self.claim = Claim(f'{os.environ.get("ROS_DOMAIN_ID", 0)} {topic}')
        end = time.monotonic() + patience_s
        while self.claim.held and not self._state_publishers():
            if time.monotonic() >= end:
                return
            time.sleep(0.05)
        raise InvalidValueError(
            f'{topic} must have no other publisher. Got one: another simulator or robot runs here. '
            'End it, or set a namespace or another ROS_DOMAIN_ID'
        )

    def _look_for_others(self) -> None:
        others = self._state_publishers() - 1
        which = f'{others} other publisher(s) on {names.JOINT_STATES}'
        self.other = f'{which}: the table stands still until they are gone' if others > 0 else ''

    # -- services

    def reset(self) -> str:
        """Bring the table to `reset_state`."""
        self._active()
        self.table.reset(**parse_reset(self.get_parameter('reset_state').value))
        joints, gripper = self.table.command
        self.command = ('joint_abs', np.append(joints, gripper))
        self.rel, self.run, self.followed = None, None, False
        return f'scene {self.table.scene.name}'

    def start_task(self) -> str:
        """Judge `task` from now on; in lockstep, begin to step."""
        self._active()
        self.serial += 1
        task, max_steps = (self.get_parameter(n).value for n in ('task', 'max_steps'))
        self.run = TaskRun(self.table, task, max_steps, self.serial)
        self.task_out.publish(String(data=self.run.report(self.table)))
        if self.config.lockstep:
            self._publish()
        return str(self.serial)

    def _active(self) -> None:
        if self._state_machine.current_state[1] not in ('active', 'activating'):
            raise InvalidValueError(
                'the node must be active. Got another state. Activate it: ros2 lifecycle set'
            )

    # -- commands

    def _on_command(self, msg) -> None:
        action, stamp_ns = table_messages.joint_action(msg, self.table.arm)
        if not self.config.lockstep:
            if not self.followed:
                table_messages.check_first_command(action[1], self.table)
            self.command, self.rel, self.followed = action, None, True
        elif stamp_ns == self.stamp_ns:
            self._lockstep(action)

    def _on_rel(self, msg) -> None:
        action = table_messages.rel_action(msg)
        if not self.config.lockstep:
            self.rel = action
        else:
            self._lockstep(action)

    def _lockstep(self, action) -> None:
        if self.run is not None and self.run.status == RUNNING and not self.other:
            self._step(action)
            self._publish()

    # -- time

    def _tick(self) -> None:
        if self.other:
            return
        self.clock.tick(self.now_s())
        if self.rel is not None:
            action, self.rel = self.rel, None
            self._step(action)
            joints, gripper = self.table.command
            self.command = ('joint_abs', np.append(joints, gripper))
        else:
            self._step(self.command)
        self._publish()

    def _step(self, action) -> None:
        self.table.step(action)
        self.ticks += 1
        if self.run is not None and self.run.stepped():
            self.task_out.publish(String(data=self.run.report(self.table)))

    def _retry(self) -> None:
        running = self.run is not None and self.run.status == RUNNING
        if running and not self.other and self.now_s() - self.sent_s > self.config.retry_s:
            self.health.count('retries')
            self._publish()

    # -- output

    @property
    def simulated_ns(self) -> int:
        """Simulated time since activation, from one second on: zero means no stamp."""
        return 10**9 + self.ticks * 10**9 // ACTION_HZ

    def _publish(self) -> None:
        c = self.config
        stamp_ns = self.simulated_ns if c.lockstep or c.sim_time else self.now_ns()
        self.state_out.publish(table_messages.table_state(self.table, stamp_ns))
        if c.lockstep and self.run.status != RUNNING:
            return  # nobody is asked for a command
        self.stamp_ns, self.sent_s = stamp_ns, self.now_s()
        if self.clock_out is not None:
            self.clock_out.publish(Clock(clock=convert.ns_to_stamp(stamp_ns)))
        self.joints_out.publish(table_messages.joint_state(self.table, stamp_ns))
        # lockstep counts from the start of the subtask: that is when a plan is due
        count = self.run.steps if c.lockstep else self.ticks
        if count % c.image_every == 0:
            self._publish_image(names.STATIC, c.image_size, stamp_ns, always=c.lockstep)
        if count % c.gripper_every == 0:
            self._publish_image(names.GRIPPER, c.gripper_size, stamp_ns)

    def _publish_image(self, name: str, size: int, stamp_ns: int, always=False) -> None:
        publisher = self.images_out[name]
        if not always and not publisher.get_subscription_count():
            return  # a picture that nobody looks at costs as much as any other
        rgb = self.table.render(name, size)  # (size, size, 3)
        if self.config.noise_pixels and not self.config.lockstep:
            table_messages.sensor_noise(rgb, self.noise, self.config.noise_pixels)
        frame = f'{name}_camera_optical_frame'
        publisher.publish(convert.numpy_to_image(rgb, 'rgb8', stamp_ns=stamp_ns, frame_id=frame))
        self.infos_out[name].publish(table_messages.camera_info(name, size, stamp_ns, frame))
        self.health.tick(f'{name} image', self.now_s())

    def assess(self, now_s):
        self.health.set('simulated [s]', self.table.time)
        self.health.set('step jitter p99 [ms]', self.clock.jitter_ms(99))
        self.health.set('missed steps', self.clock.missed)
        self.health.set('steps that two oracles judge differently', len(self.table.disagreements))
        if self.run is not None:
            self.health.set('task', f'{self.run.task or "none"}: {self.run.status}')
        if self.other:
            return ERROR, self.other
        return OK, f'scene {self.config.scene}'


def main(args=None):
    """Run the play table node."""
    run(CalvinBridgeNode, args)


if __name__ == '__main__':
    main()
