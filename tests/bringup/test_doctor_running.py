# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The doctor names what is wrong with the programs that run beside ours, and with a contract."""

import pytest
import yaml

from vw2_ros.bringup import checks, running
from vw2_ros.files import config_file


def program(proc, pid, name, library, **environment):
    folder = proc / str(pid)
    folder.mkdir()
    (folder / 'maps').write_text(f'7f00-7f01 r-xp 0 08:01 1 /opt/ros/lib/{library}\n')
    (folder / 'comm').write_text(name + '\n')
    text = '\0'.join(f'{k}={v}' for k, v in environment.items())
    (folder / 'environ').write_bytes(text.encode())


def test_two_middlewares_and_a_driver_without_the_profile_are_named(tmp_path):
    program(tmp_path, 7, 'camera_driver', 'librmw_fastrtps_cpp.so', HOME='/')
    program(tmp_path, 8, 'rviz2', 'librmw_cyclonedds_cpp.so', HOME='/')
    program(
        tmp_path, 9, 'planner_node', 'librmw_fastrtps_cpp.so', FASTRTPS_DEFAULT_PROFILES_FILE='/x'
    )
    program(tmp_path, 10, 'bash', 'libc.so.6')
    both, profile = running.middlewares(running.programs(str(tmp_path)))
    assert both.status == checks.NOTE and 'rmw_cyclonedds_cpp: rviz2 (8)' in both.found
    assert 'camera_driver (7), planner_node (9)' in both.found and 'RMW_IMPL' in both.mend
    assert 'camera_driver (7):' in profile.found and 'fastdds.xml' in profile.mend


def test_nothing_that_runs_is_no_fault(tmp_path):
    assert [c.status for c in running.middlewares(running.programs(str(tmp_path)))] == [checks.OK]


@pytest.mark.parametrize(
    'text, wanted, status',
    [
        (b'..', '', checks.NOTE),
        (b'..', 'true', checks.MISSING),
        (b'PKI-DH', 'true', checks.MISSING),  # without keys
        (b'PKI-DH', '', checks.OK),
    ],
)
def test_the_security_library(tmp_path, monkeypatch, text, wanted, status):
    (tmp_path / 'libfastrtps.so.2.14').write_bytes(text)
    monkeypatch.setenv('ROS_SECURITY_ENABLE', wanted)
    monkeypatch.delenv('ROS_SECURITY_KEYSTORE', raising=False)
    (check,) = running.security((str(tmp_path),))
    assert check.status == status and bool(check.mend) == (status != checks.OK)


def test_controllers_that_do_not_limit_are_named(monkeypatch):
    answer = {'managers': {'/controller_manager': False, '/left/controller_manager': True}}
    monkeypatch.setattr(running, 'probe', lambda *_: (answer, ''))
    off, on = running.command_limits()
    assert (off.status, on.status) == (checks.NOTE, checks.OK)
    assert off.name.startswith('/controller_manager') and 'true' in off.mend


def test_a_manager_on_the_graph_is_asked():
    rclpy = pytest.importorskip('rclpy')
    import threading

    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('controller_manager', namespace='left', context=context)
    node.declare_parameter('enforce_command_limits', False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        (check,) = running.command_limits()
    finally:
        executor.shutdown()
        rclpy.try_shutdown(context=context)
        thread.join(5)
    assert check.name.startswith('/left/controller_manager') and check.status == checks.NOTE


def test_a_bad_contract_is_told_by_its_key(tmp_path):
    text = yaml.safe_load(config_file('arms/panda.yaml').read_text())
    text['limits']['following_rad'] = -1.0
    (tmp_path / 'my.yaml').write_text(yaml.safe_dump(text))
    (bad,) = running.contract(str(tmp_path / 'my.yaml'))
    assert bad.status == checks.MISSING and 'my.yaml: limits.following_rad must be' in bad.found
    (good,) = running.contract('panda')
    assert good.status == checks.OK and '7 joints' in good.found
