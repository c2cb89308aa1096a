# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 doctor` looks at where a robot runs: its programs, its controllers, its contract.

Standard library only. Other programs are known from /proc: what they have loaded, and their
environment, as far as this user may read it.
"""

from __future__ import annotations

import ctypes.util
import glob
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from vw2_ros import files
from vw2_ros.bringup.checks import MISSING, NOTE, OK, Check, probe
from vw2_ros.bringup.system import PROFILE_VARIABLES
from vw2_ros.errors import MissingFileError

GROUP = 'Robot'
_RMW = re.compile(
    r'/librmw_(fastrtps_cpp|fastrtps_dynamic_cpp|cyclonedds_cpp|zenoh_cpp|connextdds)\.so'
)
_SECURITY = b'PKI-DH'  # name of the authentication plug-in, in a library that has it

# asks each controller_manager of the graph whether it keeps the joints' limits
_LIMITS_PROBE = """
import json, time, rclpy
from rcl_interfaces.srv import GetParameters
rclpy.init()
node, found = rclpy.create_node('vw2_doctor_limits'), {}
end = time.monotonic() + 3
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
managers = [(n, s) for n, s in node.get_node_names_and_namespaces() if n == 'controller_manager']
for name, space in managers:
    full = f'{space.rstrip("/")}/{name}'
    client = node.create_client(GetParameters, f'{full}/get_parameters')
    future = client.call_async(GetParameters.Request(names=['enforce_command_limits']))
    rclpy.spin_until_future_complete(node, future, timeout_sec=3)
    values = future.result().values if future.done() and future.result() else []
    found[full] = bool(values and values[0].type == 1 and values[0].bool_value)
print(json.dumps({'managers': found}))
"""
_CONTRACT_PROBE = """
import json, sys
from vw2_ros.arms.contract import Contract, needs_description
from vw2_ros.errors import VW2Error
source, out = {source!r}, {{'error': ''}}
try:
    if needs_description(source):
        out['found'] = f'{{source}}: its URDF comes from the topic robot_description'
    else:
        c = Contract.load(source)
        command = f'{{c.command.form}} on {{c.command.topic}}'
        out['found'] = f'{{c.file}}: {{len(c.joints)}} joints, {{command}}'
except (VW2Error, ModuleNotFoundError) as error:
    out['error'] = str(error)
print(json.dumps(out))
"""


def programs(proc: str = '/proc') -> dict[int, tuple[str, str, dict[str, str] | None]]:
    """Programs of ROS 2 that run: pid -> (name, middleware, environment, None if not readable)."""
    found = {}
    for folder in glob.glob(f'{proc}/[0-9]*'):
        try:
            loaded = _RMW.search(Path(folder, 'maps').read_text(errors='replace'))
            name = Path(folder, 'comm').read_text(errors='replace').strip()
        except OSError:  # another user's, or just gone
            continue
        if not loaded:
            continue
        try:
            text = Path(folder, 'environ').read_bytes().decode(errors='replace')
            environment = dict(p.split('=', 1) for p in text.split('\0') if '=' in p)
        except OSError:
            environment = None
        found[int(os.path.basename(folder))] = (name, f'rmw_{loaded[1]}', environment)
    return found


def robot() -> Iterator[Check]:
    """Everything here but the contract."""
    yield from security()
    yield from middlewares(programs())
    yield from command_limits()
    egl = ctypes.util.find_library('EGL')
    yield Check(
        GROUP,
        'EGL',
        OK,
        f'{egl or "not found"}; the play table draws on the CPU and does not need it',
    )


def security(folders: tuple[str, ...] | None = None) -> Iterator[Check]:
    """Whether the DDS library can keep strangers off the robot (SROS2)."""
    if folders is None:
        paths = os.environ.get('LD_LIBRARY_PATH', '').split(os.pathsep)
        folders = (*filter(None, paths), f'{sys.prefix}/lib', *glob.glob('/opt/ros/*/lib'))
    names = ('libfastrtps.so', 'libfastdds.so')
    library = next((p for f in folders for n in names for p in glob.glob(f'{f}/{n}*')), '')
    wanted = os.environ.get('ROS_SECURITY_ENABLE', '').lower() == 'true'
    if not library:
        return
    with open(library, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        has = text.find(_SECURITY) >= 0
    keystore = os.environ.get('ROS_SECURITY_KEYSTORE', '')
    if not has:
        yield Check(
            GROUP,
            'security library',
            MISSING if wanted else NOTE,
            f'{library} was built without it: anybody on the network may command the robot'
            + (', and with ROS_SECURITY_ENABLE=true no node starts' if wanted else ''),
            "a ROS 2 from apt has it (the wheels do not); else keep the robot's network to itself",
        )
    elif wanted and not os.path.isdir(keystore):
        yield Check(
            GROUP,
            'security library',
            MISSING,
            f'there, but ROS_SECURITY_KEYSTORE={keystore!r} is no folder: no node starts',
            'ros2 security create_keystore FOLDER, and export ROS_SECURITY_KEYSTORE=FOLDER',
        )
    else:
        found = f'in use, keys in {keystore}' if wanted else 'there, not in use'
        yield Check(GROUP, 'security library', OK, found)


def middlewares(running: dict) -> Iterator[Check]:
    """Whether all programs speak the same middleware, with the profile for large images."""
    if not running:
        yield Check(GROUP, 'programs of ROS 2', OK, 'none runs just now')
        return
    by_rmw: dict[str, list[str]] = {}
    for pid, (name, rmw, _) in sorted(running.items()):
        by_rmw.setdefault(rmw, []).append(f'{name} ({pid})')
    found = '; '.join(f'{rmw}: {_some(names)}' for rmw, names in sorted(by_rmw.items()))
    mixed = len(by_rmw) > 1
    yield Check(
        GROUP,
        'programs of ROS 2',
        NOTE if mixed else OK,
        found,
        f'{len(by_rmw)} middlewares hear each other badly or not at all: export the same '
        'RMW_IMPLEMENTATION for all of them'
        if mixed
        else '',
    )
    without = [
        f'{name} ({pid})'
        for pid, (name, rmw, environment) in sorted(running.items())
        if rmw.startswith('rmw_fastrtps')
        and environment is not None
        and not any(environment.get(v) for v in PROFILE_VARIABLES)
    ]
    if without:
        try:
            shipped = str(files.config_file('fastdds.xml'))
        except MissingFileError:
            shipped = 'FILE'
        yield Check(
            GROUP,
            "drivers' DDS profile",
            NOTE,
            f'not set in the environment of {_some(without)}: images above 512 KB get lost',
            f'start a camera driver with: export FASTRTPS_DEFAULT_PROFILES_FILE={shipped}',
        )


def command_limits() -> Iterator[Check]:
    """Whether the controllers that are heard keep the joints' limits themselves."""
    found, reason = probe(_LIMITS_PROBE, 30.0)
    if reason:  # ROS 2 itself is judged elsewhere
        return
    for manager, enforced in found['managers'].items():
        yield Check(
            GROUP,
            f'{manager} enforce_command_limits',
            OK if enforced else NOTE,
            'on' if enforced else 'off: the controllers pass on whatever they are told',
            ''
            if enforced
            else 'a second net below our gate: set it to true in the parameters of '
            "controller_manager (Jazzy's default is false, Humble has none)",
        )


def contract(source: str) -> Iterator[Check]:
    """Whether a contract, by name or file, is good; its error is one sentence."""
    found, reason = probe(_CONTRACT_PROBE.format(source=source), 60.0)
    problem = reason or found['error']
    yield Check(
        'Contract',
        source,
        MISSING if problem else OK,
        problem or found['found'],
        'mend that key; docs/contract.md explains each' if problem else '',
    )


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '')
