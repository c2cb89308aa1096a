# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A simulated arm of others, in a process of its own: what a robot with ros2_control looks like.

    python tests/foreign_arm.py                                     # a Panda, trajectories
    python tests/foreign_arm.py --at=-1,-0.5,0,-2,0,1.5,0.8         # that stands elsewhere
    python tests/foreign_arm.py --prefix left_ --namespace left     # one of two
    python tests/foreign_arm.py --form positions --topic commands   # forward_command_controller
    python tests/foreign_arm.py --velocity nan --gripper in_turn --order shuffled
    python tests/foreign_arm.py --clock-offset 0.03                 # its clock is ahead by 30 ms
    python tests/foreign_arm.py --record /tmp/arm.jsonl             # what it was told, and did

The controller follows JointTrajectory as joint_trajectory_controller does, from what is known of its
behaviour: it interpolates from where the arm is to the points; a stamp of zero means "start now"; a
trajectory whose end lies in the past is refused, and so are unknown joints, too few of them (unless
--allow-partial), no points, and times that do not increase; names may come in any order; after the
last point, and while nothing comes, it holds. With `--form positions` it takes Float64MultiArray as
forward_command_controller does. The joints are servos with a limited speed.

joint_states come as from joint_state_broadcaster, at 100 Hz.

`foreign_arm/hand` (Float64MultiArray, one number per joint [rad]) moves the arm by hand: the
controller is off meanwhile, and holds there when it is done.

A test starts it with `ForeignArm`, which also reads the record: one JSON object per line, times `t`
on the monotonic clock [s], which is the same in all processes of a machine.

    {"t": .., "what": "state", "q": [..]}                                at each update
    {"t": .., "what": "command", "refused": "", "names": [..], "q": [..], "goal": [[..]],
     "stamp": .., "ends_s": ..}                                          for each message
    {"t": .., "what": "gripper", "goal": [..]}
    {"t": .., "what": "started" | "hand" | "released", "q": [..]}
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np

PANDA = tuple(f'panda_joint{i}' for i in range(1, 8))
REST_RAD = (-1.21779, 1.03987, 2.11978, -2.34205, -0.87015, 1.64119, 0.55344)
FINGER = 'panda_finger_joint1'


class Trajectory:
    """Points (m, n) [rad] at `times_s` (m,) of the controller's clock, begun from where it was."""

    def __init__(self, begin_s, begin, times_s, points):
        self._times_s = np.concatenate([[min(begin_s, times_s[0])], times_s])
        self._points = np.vstack([begin, points])  # (m + 1, n)

    def at(self, now_s: float) -> np.ndarray:
        """Where the joints should be [rad] (n,): on straight lines, then at the last point."""
        return np.array([np.interp(now_s, self._times_s, way) for way in self._points.T])


class Controller:
    """What joint_trajectory_controller and forward_command_controller do with a command. No ROS.

    Args:
        joints: names, in the controller's order.
        at: where they are [rad] (n,).
        speed_rad_s: how fast a servo turns at most.
    """

    def __init__(self, joints, at, speed_rad_s=2.6, allow_partial=False):
        self.joints, self.allow_partial = tuple(joints), allow_partial
        self.speed_rad_s = speed_rad_s
        self.q = np.array(at, np.float64)  # measured [rad] (n,)
        self.active = True
        self._goal: np.ndarray | Trajectory = self.q.copy()
        self._hand: np.ndarray | None = None

    def trajectory(self, names, stamp_s, times_s, points, now_s) -> str:
        """Take a trajectory; `stamp_s` 0 means now. '' if it is followed, else why not."""
        refused = self._names_refused(names)
        if refused:
            return refused
        if not len(points):
            return 'no points'
        if any(len(p) != len(names) for p in points):
            return 'a point has not one position per joint'
        if (np.diff(times_s, prepend=-1e-12) <= 0).any():
            return 'times do not increase'
        start_s = stamp_s or now_s
        if stamp_s and start_s + times_s[-1] < now_s:
            return 'ends in the past'
        where = [self.joints.index(name) for name in names]
        goal = np.tile(self.q, (len(points), 1))  # (m, n): joints that are not named stay
        goal[:, where] = points
        self._goal = Trajectory(now_s, self.q, start_s + np.asarray(times_s, float), goal)
        return ''

    def positions(self, values, names=None) -> str:
        """Take positions [rad], to be gone to at once; '' if they are followed, else why not."""
        refused = '' if names is None else self._names_refused(names)
        if refused:
            return refused
        if not self.active:
            return 'inactive'
        if len(values) != len(self.joints):
            return f'{len(values)} positions for {len(self.joints)} joints'
        if not np.isfinite(values).all():
            return 'not finite'
        goal = np.array(values, np.float64)
        if names is not None:
            goal = goal[[list(names).index(name) for name in self.joints]]
        self._goal = goal
        return ''

    def _names_refused(self, names) -> str:
        if not self.active:
            return 'inactive'
        unknown = set(names) - set(self.joints)
        if unknown:
            return f'unknown joints {", ".join(sorted(unknown))}'
        if len(set(names)) != len(names) or not names:
            return 'a joint is named twice, or none is'
        if len(names) < len(self.joints) and not self.allow_partial:
            return 'joints are missing'
        return ''

    def hand(self, to) -> None:
        """Somebody moves the arm to `to` [rad] (n,); the controller is off until it is there."""
        self._hand, self.active = np.array(to, np.float64), False

    def update(self, now_s: float, elapsed_s: float) -> None:
        """Move the servos."""
        goal = self._goal.at(now_s) if isinstance(self._goal, Trajectory) else self._goal
        if self._hand is not None:
            goal = self._hand
        way = self.speed_rad_s * elapsed_s
        self.q = self.q + np.clip(goal - self.q, -way, way)
        if self._hand is not None and np.array_equal(self.q, self._hand):
            self._hand, self._goal, self.active = None, self.q.copy(), True


# ------------------------------------------------------------------- the process


def node(options):
    """Make the node; see `--help` for the options."""
    import rclpy
    from rclpy.clock import Clock, ClockType
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray
    from trajectory_msgs.msg import JointTrajectory

    o = options
    rng = np.random.default_rng(0)
    made = rclpy.create_node('foreign_arm', namespace=o.namespace)
    joints = [o.prefix + name for name in o.joints]
    arm = Controller(joints, o.at, o.speed, o.allow_partial)
    record = os.open(o.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if o.record else None
    state = {'updated_s': time.monotonic(), 'count': 0, 'finger': 0.04, 'active': True}

    def write(what, **values):
        if record is not None:  # one write per line: whole lines also after kill -9
            line = json.dumps({'t': time.monotonic(), 'what': what, **values})
            os.write(record, line.encode() + b'\n')

    def now_s():
        return time.time() + o.clock_offset

    def told(refused, names, goal, stamp_s=0.0, ends_s=0.0):
        write('command', refused=refused, names=list(names), goal=goal, stamp=stamp_s,
              ends_s=ends_s, q=arm.q.tolist())  # fmt: skip
        if refused:
            made.get_logger().warning(f'command refused: {refused}', throttle_duration_sec=1.0)

    def on_trajectory(msg):
        stamp_s = msg.header.stamp.sec + msg.header.stamp.nanosec * 1e-9
        times_s = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in msg.points]
        goal = [list(p.positions) for p in msg.points]
        now = now_s()
        refused = arm.trajectory(msg.joint_names, stamp_s, times_s, goal, now)
        ends_s = (stamp_s or now) + times_s[-1] - now if times_s else 0.0
        told(refused, msg.joint_names, goal, stamp_s, ends_s)

    def on_positions(msg):
        told(arm.positions(list(msg.data)), joints, [list(msg.data)])

    def on_joint_state(msg):
        told(arm.positions(list(msg.position), list(msg.name)), msg.name, [list(msg.position)])

    def on_gripper(msg):
        values = msg.points[-1].positions if hasattr(msg, 'points') else msg.data
        state['finger'] = float(values[0])
        write('gripper', goal=list(values))

    def on_hand(msg):
        arm.hand(msg.data)
        write('hand', q=arm.q.tolist(), to=list(msg.data))

    forms = {
        'trajectory': (JointTrajectory, on_trajectory, 'joint_commands'),
        'positions': (Float64MultiArray, on_positions, 'commands'),
        'joint_state': (JointState, on_joint_state, 'joint_commands'),
    }
    kind, callback, topic = forms[o.form]
    made.create_subscription(kind, o.topic or topic, callback, 10)
    made.create_subscription(Float64MultiArray, 'foreign_arm/hand', on_hand, 10)
    if o.gripper_topic:
        kind = JointTrajectory if o.gripper_form == 'trajectory' else Float64MultiArray
        made.create_subscription(kind, o.gripper_topic, on_gripper, 10)
    reliability = ReliabilityPolicy[o.reliability.upper()]
    profile = QoSProfile(depth=10, reliability=reliability)
    states_out = made.create_publisher(JointState, o.states, profile)
    finger_out = made.create_publisher(JointState, o.gripper_states, profile)

    def message(names, q):
        order = {'own': range, 'reversed': lambda n: range(n - 1, -1, -1),
                 'shuffled': rng.permutation}[o.order](len(names))  # fmt: skip
        msg = JointState()
        at = now_s()
        msg.header.stamp.sec, msg.header.stamp.nanosec = int(at), int(at % 1 * 1e9)
        msg.name = [names[i] for i in order]
        msg.position = [float(q[i]) for i in order]
        if o.velocity != 'none':
            msg.velocity = [np.nan if o.velocity == 'nan' else 0.0] * len(names)
            msg.effort = list(msg.velocity)
        return msg

    extra = [f'{o.prefix}wheel_{i}' for i in range(o.extra)]
    finger = [o.prefix + FINGER]

    def update():
        now = time.monotonic()
        arm.update(now_s(), now - state['updated_s'])
        state['updated_s'] = now
        state['count'] += 1
        write('state', q=arm.q.tolist())
        if arm.active != state['active']:
            state['active'] = arm.active
            if arm.active:
                write('released', q=arm.q.tolist())
        if state['count'] % o.divide:
            return
        turn = state['count'] // o.divide % 2
        together = finger if o.gripper == 'together' else []
        if o.gripper != 'in_turn' or turn:
            q = [*arm.q, *[0.0] * len(extra), *[state['finger']] * len(together)]
            states_out.publish(message([*joints, *extra, *together], q))
        if o.gripper == 'in_turn' and not turn:
            states_out.publish(message(finger, [state['finger']]))
        if o.gripper == 'own':
            finger_out.publish(message(finger, [state['finger']]))

    # in turn: as many messages of the arm as without a gripper
    rate = o.rate * o.divide * (2 if o.gripper == 'in_turn' else 1)
    made.create_timer(1 / rate, update, clock=Clock(clock_type=ClockType.STEADY_TIME))
    write('started', q=arm.q.tolist())
    return made


def parser():
    """Return the parser of the command line."""

    def names(text):
        return tuple(text.split(','))

    def numbers(text):
        return tuple(map(float, text.split(',')))

    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = p.add_argument
    add('--joints', type=names, default=PANDA, help='names, a comma between two; a Panda')
    add('--at', type=numbers, default=REST_RAD, help='where it begins [rad], as --at=-1,2,..')
    add('--prefix', default='', help='before each name of a joint, e.g. left_')
    add('--namespace', default='', help='of the node and its topics')
    add('--form', default='trajectory', choices=['trajectory', 'positions', 'joint_state'])
    add('--topic', default='', help='of the commands; joint_commands, or commands for positions')
    add('--allow-partial', action='store_true', help='as allow_partial_joints_goal')
    add('--speed', type=float, default=2.6, help='of a servo at most [rad/s]')
    add('--clock-offset', type=float, default=0.0, help='its clock is ahead by [s]')
    add('--states', default='joint_states', help='topic of the joints')
    add('--rate', type=float, default=100.0, help='of the joints [Hz]')
    add('--divide', type=int, default=2, help='updates of the servos per joint_states')
    add('--order', default='own', choices=['own', 'reversed', 'shuffled'], help='of the joints')
    add('--extra', type=int, default=0, help='other joints in joint_states')
    add('--velocity', default='zero', choices=['zero', 'nan', 'none'], help='and effort')
    add('--reliability', default='reliable', choices=['reliable', 'best_effort'])
    add('--gripper', default='none', choices=['none', 'together', 'in_turn', 'own'],
        help=f'{FINGER}: not there, in the same messages, in turn, on a topic of its own')  # fmt: skip
    add('--gripper-states', default='gripper/joint_states', help='that topic')
    add('--gripper-topic', default='', help='commands of the gripper')
    add('--gripper-form', default='floats', choices=['floats', 'trajectory'])
    add('--record', default='', help='file to append to')
    return p


def main(args=None):
    """Run until a signal ends it."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    options = parser().parse_args(args)
    if len(options.at) != len(options.joints):
        parser().error(f'--at must be {len(options.joints)} numbers. Got {len(options.at)}.')
    rclpy.init(args=[])
    made = node(options)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(made)
    rclpy.try_shutdown()


# ------------------------------------------------------------------- for tests


class ForeignArm:
    """Starts the process, ends it, and reads what it wrote.

    Args:
        folder: where the record lies.
        options: as on the command line, without --record.
    """

    def __init__(self, folder, *options: str, wait_s: float = 30.0):
        self.options = options
        self.record = pathlib.Path(folder) / 'foreign_arm.jsonl'
        self._read, self._lines = 0, []
        self.process = None
        self.start(wait_s=wait_s)

    def start(self, *options: str, wait_s: float = 30.0) -> None:
        """Start it, with more options than before (a later one counts), and wait until it is up."""
        before = len(self.lines('started'))
        command = [sys.executable, os.path.abspath(__file__), *self.options, *options]
        self.process = subprocess.Popen([*command, '--record', str(self.record)])
        end = time.monotonic() + wait_s
        while len(self.lines('started')) == before:
            assert self.process.poll() is None and time.monotonic() < end, 'no foreign arm'
            time.sleep(0.02)

    def kill(self) -> None:
        """End it with -9, as a crash."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self._end(signal.SIGINT)

    def _end(self, number) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def __enter__(self) -> 'ForeignArm':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def lines(self, what: str = '', since_s: float = -1.0) -> list[dict]:
        """What it wrote so far: all, or of one kind, from `since_s` of the monotonic clock on."""
        if self.record.exists():
            with open(self.record, 'rb') as file:
                file.seek(self._read)
                new = file.read()
            whole = new[: new.rfind(b'\n') + 1]
            self._read += len(whole)
            self._lines += map(json.loads, whole.splitlines())
        return [n for n in self._lines if what in ('', n['what']) and n['t'] >= since_s]

    def commands(self, since_s: float = -1.0) -> list[dict]:
        """The commands it got."""
        return self.lines('command', since_s)

    def where(self) -> np.ndarray:
        """Where it is [rad] (n,)."""
        return np.array(self.lines()[-1]['q'])

    def moved(self, since_s: float, until_s: float = np.inf) -> float:
        """How far any joint got from where it was at `since_s` [rad]."""
        q = np.array([n['q'] for n in self.lines('state', since_s) if n['t'] <= until_s])
        return float(np.abs(q - q[0]).max()) if len(q) else 0.0


if __name__ == '__main__':
    main()
