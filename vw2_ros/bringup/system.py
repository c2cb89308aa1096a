# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What runs: the one description that launch files, `vw2 demo`, tests and evaluation start from.

`calvin` and `robot` list the processes; launch files hand them to ros2 launch, and `Children` brings
the same ones up where ros2 launch is not installed. No rclpy here.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

from vw2_ros import files as paths
from vw2_ros import names
from vw2_ros.errors import InvalidValueError, VW2Error

SETTLE_S = 0.3  # in real time, until all nodes know of a reset and no older image is under way
# of nodes whose sudden death must not disturb the others; their messages are small
NO_SHARED_MEMORY = 'fastdds_udp.xml'
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


RESPAWN_AT_MOST = (
    5  # times within RESPAWN_WITHIN_S; then something is wrong that a start does not mend
)
RESPAWN_WITHIN_S = 60.0


class BringUpError(VW2Error, RuntimeError):
    """A process ended or never got ready; the message holds its last words."""


@dataclass(frozen=True)
class Process:
    """One node in a process of its own."""

    executable: str  # console script of this package, e.g. planner_node
    name: str  # of the node
    params_file: str
    parameters: dict = field(default_factory=dict)  # beside those of the file
    remappings: tuple[tuple[str, str], ...] = ()
    dds_profile: str = 'fastdds.xml'  # of config/

    @property
    def module(self) -> str:
        """The module that the console script runs."""
        return f'vw2_ros.nodes.{self.executable.removesuffix("_node")}'


class Deaths:
    """Judges the ends of one node's process: may it be started again?"""

    def __init__(self):
        self._times_s: list[float] = []

    def count(self, name: str, status: int, respawn: bool, now_s: float) -> None:
        """Take note of an end with `status`, which is not 0; the node is started again if it may be.

        Raises:
            BringUpError: it may not: it never got ready, it died too often, or `respawn` is False.
        """
        if status == names.NOT_STARTED:
            raise BringUpError(f'{name} did not get ready; its last error in the log says why')
        killed = status < 0
        how = f'was killed by {signal.Signals(-status).name}' if killed else f'ended with {status}'
        if not respawn:
            raise BringUpError(f'{name} {how}')
        self._times_s = [t for t in self._times_s if now_s - t < RESPAWN_WITHIN_S] + [now_s]
        if len(self._times_s) > RESPAWN_AT_MOST:
            often = f'{len(self._times_s)} times in {RESPAWN_WITHIN_S:.0f} s'
            raise BringUpError(f'{name} {how}, {often}')


@dataclass(frozen=True)
class Argument:
    """One launch argument; the default '' leaves what the parameter file says."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


COMMON_ARGUMENTS = (
    Argument('namespace', '', 'namespace of all nodes, e.g. left_arm'),
    Argument('params_file', '', 'parameter file instead of the one of this package'),
    Argument('use_sim_time', 'false', 'follow /clock', ('true', 'false')),
    Argument('autostart', 'true', 'configure and activate the nodes', ('true', 'false')),
    Argument('respawn', 'true', 'start a node that died again', ('true', 'false')),
    Argument('log_level', 'info', 'debug, info, warn, error'),
    Argument('weights', '', 'shipped weights by name, a model folder, or ws://HOST:PORT'),
    Argument('instruction', '', 'what to do, in plain words; or publish it on `instruction`'),
    Argument(
        'dry_run',
        'false',
        'command nothing: draw what would be done, on dry_run/image, the imagined video beside it',
        ('true', 'false'),
    ),
    Argument(
        'imagination', 'false', 'also decode and publish the imagined video', ('true', 'false')
    ),
)
CALVIN_ARGUMENTS = (
    *COMMON_ARGUMENTS,
    Argument('scene', '', 'scene of the table: A, B, C, D, or R7: drawn by seed 7'),
    Argument('table', 'play_table', 'which table', ('play_table', 'calvin')),
    Argument('calvin_env', '', 'table calvin: folder of a checkout of calvin_env'),
    Argument('arm', 'panda', 'arm before the play table', ('panda', 'fr3', 'xarm7', 'ur5e')),
    Argument('egl', 'false', 'table calvin: draw on a graphics card', ('true', 'false')),
    Argument('lockstep', 'false', 'the table waits for each command', ('true', 'false')),
    Argument(
        'execute',
        '8',
        'lockstep: actions of a plan until the next image and plan',
        tuple(map(str, range(1, 17))),
    ),
)
ROBOT_ARGUMENTS = (
    *COMMON_ARGUMENTS,
    Argument(
        'camera',
        '',
        'V4L2 device or video file; empty: as the parameter file says, if '
        'nothing else the image topic below',
    ),
    Argument('image_topic', 'camera/image_raw', 'topic of the camera driver'),
    Argument('compressed', 'false', 'take <image_topic>/compressed', ('true', 'false')),
    Argument('contract', '', 'the robot: a file, or panda, fr3, ... of config/arms/'),
    Argument(
        'deadman',
        '',
        'what must be held for the arm to move: a Bool on `enable`, a button on `joy`, or nothing',
        ('', 'enable', 'joy'),
    ),
)


# arguments of earlier versions
IN_THE_CONTRACT = ('limits', 'output', 'command_topic', 'gripper_topic')


def calvin(**given: str) -> tuple[Process, ...]:
    """The table, the planner and the action node (and the imagination node if wanted).

    Args:
        given: values of `CALVIN_ARGUMENTS`, as strings; the rest have their defaults.
    Raises:
        ValueError: an unknown argument, or a value that is not among its choices.
    """
    a = _arguments(CALVIN_ARGUMENTS, given)
    file = a['params_file'] or str(paths.config_file('calvin.yaml'))
    step = {'lockstep': True} if a['lockstep'] == 'true' else {}
    # the nodes follow /clock: somebody must publish it
    sim_time = {'sim_time': True} if a['use_sim_time'] == 'true' else {}
    scene = {'scene': a['scene']} if a['scene'] else {}
    camera = tuple((t, f'{names.STATIC}/{t}') for t in (names.IMAGE, names.CAMERA_INFO))
    size = image_size(a['weights'])
    picture = {'image_size': size} if size else {}
    table, contract = {}, {}
    if a['table'] != 'play_table':
        folder = str(pathlib.Path(a['calvin_env']).absolute()) if a['calvin_env'] else ''
        table = {'table': a['table'], 'calvin_env': folder, 'egl': a['egl'] == 'true'}
    elif a['arm'] != 'panda':
        table, contract = {'arm': a['arm']}, {'contract': f'play_table_{a["arm"]}'}
    bridge = _base(a) | step | sim_time | scene | table | picture | {'use_sim_time': False}
    model = _base(a) | _weights(a)
    execute = {}
    if step:  # an image is due whenever a plan is
        execute = {'execute': int(a['execute'])}
        bridge |= {'image_every': int(a['execute'])}
    processes = [
        Process('calvin_bridge_node', 'calvin_bridge', file, bridge),
        Process('planner_node', 'planner', file, model | step | _instruction(a), camera),
        Process(
            'action_node',
            'action',
            file,
            model | step | execute | contract | _instruction(a) | _dry_run(a),
            camera,
        ),
    ]
    if not step:  # a world that waits does not move when nobody commands it
        processes.append(_watchdog(a, file, contract))
    if 'true' in (a['imagination'], a['dry_run']):
        processes.append(Process('imagination_node', 'imagination', file, model, camera))
    return tuple(processes)


def evaluation(
    weights: str, scene: str, *, real_time: bool = False, execute: int = 8, **table: str
) -> tuple[Process, ...]:
    """A table for evaluation, where every wording is tried.

    Args:
        weights, scene, table: as in `CALVIN_ARGUMENTS`; `table` is `Simulator.arguments`.
        real_time: the table waits for nobody; else it does, and there is a plan each `execute`.
    """
    how = {} if real_time else {'lockstep': 'true', 'execute': str(execute)}
    more = {
        'planner': {'min_known_words': 0.0},
        'calvin_bridge': {'discovery_s': 0.0},  # in a domain of its own nobody is to be found
    }
    return tuple(
        dataclasses.replace(p, parameters=p.parameters | more.get(p.name, {}))
        for p in calvin(weights=weights, scene=scene, **how, **table)
    )


def robot(**given: str) -> tuple[Process, ...]:
    """Camera, planner and action node for a robot that has its own driver.

    Args:
        given: values of `ROBOT_ARGUMENTS`, as strings; the rest have their defaults.
    Raises:
        ValueError: an unknown argument, a value that is not among its choices, or a bad contract.
    """
    a = _arguments(ROBOT_ARGUMENTS, given)
    file = a['params_file'] or str(paths.config_file('robot.yaml'))
    if not a['camera']:
        source = {'source': 'compressed'} if a['compressed'] == 'true' else {}
    elif a['camera'].startswith('/dev/'):
        source = {'source': 'device', 'device': a['camera']}
    else:
        source = {'source': 'file', 'file': a['camera']}
    size = image_size(a['weights'])
    if size:
        source |= {'width': size, 'height': size}
    contract = _contract(a['contract'])
    deadman = {'deadman': a['deadman']} if a['deadman'] else {}
    model = _base(a) | _weights(a)
    processes = [
        Process(
            'camera_node',
            'camera',
            file,
            _base(a) | source,
            (
                (names.INPUT, a['image_topic']),
                (names.compressed(names.INPUT), names.compressed(a['image_topic'])),
                (names.INPUT_INFO, _beside(a['image_topic'], names.CAMERA_INFO)),
            ),
        ),
        Process('planner_node', 'planner', file, model | _instruction(a)),
        Process(
            'action_node',
            'action',
            file,
            model | _instruction(a) | contract | deadman | _dry_run(a),
            dds_profile=NO_SHARED_MEMORY,
        ),
        _watchdog(a, file, contract),
    ]
    if 'true' in (a['imagination'], a['dry_run']):
        processes.append(Process('imagination_node', 'imagination', file, model))
    return tuple(processes)


def disarmed(a: dict[str, str]) -> str:
    """What is said when a robot is brought up; `a`: values of `ROBOT_ARGUMENTS`."""
    space = a['namespace'].strip('/')
    rearm = f'/{space}/{names.REARM}' if space else f'/{names.REARM}'
    return (
        'The robot begins disarmed and does not move, also after a crash. To let it move: '
        f'ros2 service call {rearm} std_srvs/srv/Trigger'
    )


def _watchdog(a: dict, file: str, contract: dict) -> Process:
    parameters = _base(a) | contract
    return Process('watchdog_node', 'watchdog', file, parameters, dds_profile=NO_SHARED_MEMORY)


def _arguments(known: tuple[Argument, ...], given: dict) -> dict[str, str]:
    out = {a.name: a.default for a in known}
    unknown = set(given) - set(out)
    if unknown & set(IN_THE_CONTRACT):
        raise InvalidValueError(
            f'{", ".join(sorted(unknown & set(IN_THE_CONTRACT)))}: the contract says it now. Write '
            'contract:=FILE, a copy of one in config/arms/; docs/contract.md has its keys.'
        )
    if unknown:
        raise InvalidValueError(
            f'unknown argument(s) {", ".join(sorted(unknown))}; there are {", ".join(sorted(out))}'
        )
    out |= given
    for a in known:
        if a.choices and out[a.name] not in a.choices:
            raise InvalidValueError(
                f'{a.name} must be one of {", ".join(a.choices)}. Got {out[a.name]!r}.'
            )
    return out


def _contract(source: str) -> dict:
    # refused here, by one sentence, rather than by each node that reads it
    if not source:
        return {}
    from vw2_ros.arms.contract import Contract, needs_description  # vw2 doctor runs without NumPy

    if not needs_description(source):
        Contract.load(source)
    return {'contract': source}


def _beside(topic: str, name: str) -> str:
    folder = topic.rpartition('/')[0]
    return f'{folder}/{name}' if folder or topic.startswith('/') else name


def _base(a: dict) -> dict:
    return {'use_sim_time': a['use_sim_time'] == 'true', 'autostart': a['autostart'] == 'true'}


def _weights(a: dict) -> dict:
    return {'weights': a['weights']} if a['weights'] else {}


def image_size(weights: str) -> int | None:
    """Side [px] of the images that weights, named or a folder, want; None if that is not known."""
    if not weights:
        return None
    folder = pathlib.Path(weights)
    if not folder.is_dir():
        folder = paths.weights_dir() / weights
    try:
        config = json.loads((folder / 'config.json').read_text())
        return int(config['planner']['vision']['image_size'])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the node that loads them says what is wrong


def _dry_run(a: dict) -> dict:
    return {'dry_run': True} if a['dry_run'] == 'true' else {}


def _instruction(a: dict) -> dict:
    return {'instruction': a['instruction']} if a['instruction'] else {}


# ----------------------------------------------------------------- environment


def dds_environment(profile: str = Process.dds_profile) -> dict[str, str]:
    """Variables that a program wants beside its caller's: a DDS profile, unless one is set."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(paths.config_file(profile)))


# ------------------------------------------------------------------- processes


class Children:
    """The processes of a description, each in a group of its own; none outlives this object.

    Args:
        processes: what `calvin` or `robot` gave.
        namespace: of all nodes.
        log_level: debug, info, warn or error.
        log_dir: their output goes to <log_dir>/<name>.log; None: to this process's output.
        env: variables beside this process's own, e.g. `private_environment()`.
    """

    def __init__(
        self,
        processes,
        *,
        namespace: str = '',
        log_level: str = 'info',
        log_dir=None,
        env: dict[str, str] | None = None,
    ):
        self.processes = tuple(processes)
        self.namespace, self.log_level = namespace, log_level
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self.env = {
            **os.environ,
            **(env or {}),
            names.PARENT_VARIABLE: str(os.getpid()),
            'PYTHONUNBUFFERED': '1',
        }
        # one thread per model unless somebody said otherwise: the nodes share the cores
        self.env.setdefault('OMP_NUM_THREADS', '1')
        root = paths.checkout()
        if root is not None:
            self.env['PYTHONPATH'] = os.pathsep.join(
                filter(None, (str(root), self.env.get('PYTHONPATH', '')))
            )
        self.running: dict[str, subprocess.Popen] = {}

    def command(self, process: Process) -> list[str]:
        """The command line of one process."""
        out = [
            sys.executable,
            '-m',
            process.module,
            '--ros-args',
            '-r',
            f'__node:={process.name}',
            '--log-level',
            self.log_level,
            '--params-file',
            process.params_file,
        ]
        if self.namespace:
            out += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        for name, value in process.parameters.items():
            out += ['-p', f'{name}:={json.dumps(value)}']
        for source, target in process.remappings:
            out += ['-r', f'{source}:={target}']
        # whoever started these wants to know that one did not come up
        return [*out, '-p', 'exit_on_failure:=true']

    def start(self) -> 'Children':
        """Start all; those that began are ended again if one cannot be."""
        try:
            for process in self.processes:
                self.start_one(process)
        except BaseException:
            self.stop()
            raise
        return self

    def start_one(self, process: Process) -> subprocess.Popen:
        """Start one process (again)."""
        output = None
        if self.log_dir is not None:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            output = open(self.log_dir / f'{process.name}.log', 'ab')
        try:
            child = subprocess.Popen(
                self.command(process),
                env={**dds_environment(process.dds_profile), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()
        self.running[process.name] = child
        return child

    def check(self) -> None:
        """Look whether all still run.

        Raises:
            BringUpError: one has ended; the message holds the end of its log.
        """
        for name, child in self.running.items():
            if child.poll() is not None:
                raise BringUpError(
                    f'{name} ended with status {child.returncode}{self.last_words(name)}'
                )

    def last_words(self, name: str, lines: int = 4) -> str:
        """The end of a process's log, '' where there is none."""
        if self.log_dir is None:
            return ''
        try:
            text = (self.log_dir / f'{name}.log').read_text(errors='replace')
        except OSError:
            return ''
        return ': ' + ' | '.join(text.strip().splitlines()[-lines:])

    def stop(self, patience_s: float = 5.0) -> None:
        """End all: as Ctrl-C would, then more firmly."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [c for c in self.running.values() if c.poll() is None]
            for child in alive:
                _signal_group(child, number)
            end = time.monotonic() + patience_s
            while any(c.poll() is None for c in alive) and time.monotonic() < end:
                time.sleep(0.02)
        for child in self.running.values():
            _signal_group(child, signal.SIGKILL)  # what it may have started and left
        self.running.clear()

    def __enter__(self) -> 'Children':
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()


def _signal_group(child: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
