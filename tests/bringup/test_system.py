# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What runs: the description, the processes made from it, and the same result as in one process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from ros_helpers import tiny_weights  # noqa: E402

from vw2_ros.arms.contract import Contract  # noqa: E402
from vw2_ros.bringup import domain, system  # noqa: E402
from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop  # noqa: E402
from vw2_ros.files import config_file  # noqa: E402

SCENE, EXECUTE, STEPS = 'D', 8, 20
AFTER_S = 8 / 30  # the second plan of three is for another instruction


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rsplit(')', 1)[1].split()[0] != 'Z'


def gone(pids, timeout_s=30):
    end = time.monotonic() + timeout_s
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_unknown_arguments_and_choices_are_told():
    with pytest.raises(ValueError, match='unknown argument.*colour.*there are'):
        system.calvin(colour='red')
    with pytest.raises(ValueError, match="lockstep must be one of true, false. Got 'maybe'"):
        system.calvin(lockstep='maybe')


def test_another_arm_before_the_table_is_driven_through_its_contract():
    by_name = {p.name: p for p in system.calvin(arm='xarm7')}
    assert by_name['calvin_bridge'].parameters['arm'] == 'xarm7'
    assert by_name['action'].parameters['contract'] == 'play_table_xarm7'
    assert 'arm' not in system.calvin()[0].parameters


def test_arguments_reach_the_nodes():
    by_name = {
        p.name: p
        for p in system.calvin(
            scene='B', weights='w', instruction='lift', use_sim_time='true', imagination='true'
        )
    }
    assert set(by_name) == {'calvin_bridge', 'planner', 'action', 'watchdog', 'imagination'}
    assert by_name['calvin_bridge'].parameters['scene'] == 'B'
    assert by_name['calvin_bridge'].parameters['sim_time'] is True
    assert by_name['calvin_bridge'].parameters['use_sim_time'] is False
    assert (
        by_name['planner'].parameters
        | {'weights': 'w', 'instruction': 'lift', 'use_sim_time': True}
        == by_name['planner'].parameters
    )
    assert ('image_raw', 'static/image_raw') in by_name['planner'].remappings
    by_name = {p.name: p for p in system.robot(camera='/dev/video2', contract='panda')}
    assert by_name['camera'].parameters['device'] == '/dev/video2'
    assert by_name['action'].parameters['contract'] == 'panda'
    by_name = {p.name: p for p in system.robot(image_topic='/cam/color/image_raw')}
    assert ('input/camera_info', '/cam/color/camera_info') in by_name['camera'].remappings


def test_the_parameter_file_says_which_camera_unless_an_argument_does():
    def camera(**given):
        return system.robot(**given)[0].parameters

    assert 'source' not in camera() and 'source' not in camera(params_file='my.yaml')
    assert camera(compressed='true')['source'] == 'compressed'
    assert camera(camera='film.mp4')['source'] == 'file'


@pytest.mark.parametrize('old', ['limits', 'output', 'command_topic', 'gripper_topic'])
def test_what_the_contract_says_now_is_refused(old):
    with pytest.raises(ValueError, match=f'{old}: the contract says it now. Write contract:=FILE'):
        system.robot(**{old: 'x'})


@pytest.mark.parametrize('given, execute', [({}, 8), ({'execute': '4'}, 4)])
def test_lockstep_has_an_image_whenever_a_plan_is_due(given, execute):
    by_name = {p.name: p for p in system.calvin(lockstep='true', **given)}
    assert by_name['calvin_bridge'].parameters['image_every'] == execute
    assert by_name['action'].parameters['execute'] == execute
    assert 'image_every' not in system.calvin()[0].parameters


def test_the_table_is_an_argument():
    given = dict(table='calvin', calvin_env='calvin', egl='true')
    bridge = system.evaluation('w', 'D', **given)[0].parameters
    assert bridge['table'] == 'calvin' and bridge['egl'] is True
    assert bridge['calvin_env'].endswith('/calvin') and bridge['calvin_env'][0] == '/'
    assert 'table' not in system.calvin()[0].parameters
    with pytest.raises(ValueError, match='table must be one of play_table, calvin'):
        system.calvin(table='kitchen')


def test_domains_are_free_and_differ():
    code = 'from vw2_ros.bringup import domain; print(*[domain.free_domain() for _ in range(20)])'
    drawn = [
        int(d)
        for d in subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            check=True,
            cwd=config_file('robot.yaml').parents[1],
        ).stdout.split()
    ]
    assert len(set(drawn)) == 20 and all(1 <= d < 100 for d in drawn)


def test_nobody_is_given_a_domain_that_another_holds(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '77')
    code = (
        'from vw2_ros.bringup import domain; print(*[domain.free_domain() for _ in range(60)], '
        'flush=True); input()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', code],
        stdin=subprocess.PIPE,
        text=True,
        stdout=subprocess.PIPE,
        cwd=config_file('robot.yaml').parents[1],
    ) as other:
        held = {int(d) for d in other.stdout.readline().split()}
        here = {
            int(d)
            for d in subprocess.run(
                [sys.executable, '-c', code.replace('60', '10')],
                capture_output=True,
                text=True,
                input='\n',
                check=True,
                cwd=config_file('robot.yaml').parents[1],
            ).stdout.split()
        }
        other.communicate('\n')
    assert len(held) == 60 and len(here) == 10
    assert not held & here and 77 not in held | here


def test_the_profile_is_set_unless_the_user_has_one(monkeypatch):
    for name in system.PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    _, planner, action, watchdog = system.robot()
    assert set(system.dds_environment(planner.dds_profile).values()) == {
        str(config_file('fastdds.xml'))
    }
    for node in (action, watchdog):  # their death must not disturb the others
        assert set(system.dds_environment(node.dds_profile).values()) == {
            str(config_file('fastdds_udp.xml'))
        }
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert system.dds_environment(planner.dds_profile) == {}


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path):
    camera = system.Process(
        'camera_node',
        'camera',
        str(config_file('robot.yaml')),
        {'source': 'file', 'file': '/no/such/film.mp4'},
    )
    with system.Children([camera], log_dir=tmp_path, env=domain.private_environment()) as children:
        children.running['camera'].wait(60)
        with pytest.raises(system.BringUpError, match='camera ended with status 2.*film.mp4'):
            children.check()


def test_a_node_that_died_is_started_again_unless_it_never_got_ready():
    deaths = system.Deaths()
    with pytest.raises(system.BringUpError, match='action did not get ready'):
        deaths.count('action', 2, True, 0.0)
    with pytest.raises(system.BringUpError, match='action was killed by SIGKILL'):
        deaths.count('action', -9, False, 0.0)
    for second in range(5):
        deaths.count('action', -11, True, float(second))
    with pytest.raises(system.BringUpError, match='SIGSEGV, 6 times in 60 s'):
        deaths.count('action', -11, True, 5.0)
    deaths.count('action', 1, True, 100.0)


def test_a_bad_contract_is_refused_before_anything_runs(tmp_path):
    text = config_file('arms/panda.yaml').read_text().replace('rate_hz: 60', 'rate_hz: 7')
    (tmp_path / 'my.yaml').write_text(text)
    with pytest.raises(ValueError, match='my.yaml: command.rate_hz must'):
        system.robot(contract=str(tmp_path / 'my.yaml'))


def test_a_robot_is_said_to_begin_disarmed():
    assert '/left/rearm' in system.disarmed({'namespace': 'left'})
    assert ' /rearm ' in system.disarmed({'namespace': ''})


def test_nothing_outlives_its_parent(tmp_path):
    # a parent that is killed cannot clean up: its children see that it is gone
    code = (
        'import sys, time; from vw2_ros.bringup import domain, system\n'
        'from vw2_ros.files import config_file\n'
        "c = system.Children([system.Process('camera_node', 'camera', "
        "str(config_file('robot.yaml')))], env=domain.private_environment(),"
        f' log_dir={str(tmp_path)!r}).start()\n'
        "print(c.running['camera'].pid, flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=config_file('robot.yaml').parents[1],
    )
    child = int(parent.stdout.readline())
    time.sleep(1.0)
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone([child])


# ------------------------------------------------------------------- lockstep


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp('weights') / 'tiny', 96, dldm=False)


SUBTASKS = (('open_drawer', 'open the drawer'), ('push_red_block_left', 'push the red block left'))


def start():
    from vw2_ros.sim.long_horizon import chains

    chain = chains()[3]
    return chain.robot_obs, chain.scene_obs


def in_one_process(weights):
    """The same two subtasks without ROS: each step's image, plan, command, by hand."""
    from vw2_ros.arms.actions import ACTION_HZ
    from vw2_ros.models.policy import Policy
    from vw2_ros.sim.table import open_table

    policy = Policy.load(weights, recover_after_s=AFTER_S)
    table = open_table(SCENE)
    table.reset(*start())
    loop = ControlLoop(Contract.load('play_table'), ControlConfig(lockstep=True, execute=EXECUTE))
    out, ticks = [], 0
    for _, instruction in SUBTASKS:
        loop.drop_plan()
        for step in range(STEPS):
            now_ns = 10**9 + ticks * 10**9 // ACTION_HZ
            if step % EXECUTE == 0:
                plan = policy.plan(table.render('static', 96), instruction, step / ACTION_HZ)
                chunk = Chunk(now_ns, policy.actions(plan.hidden), now_ns * 1e-9)
                assert loop.accept(chunk, now_ns * 1e-9) == ''
            command = loop.step(now_ns * 1e-9, table.joint_positions())
            table.step(('joint_abs', np.append(command.joints, command.gripper)))
            ticks += 1
        out.append((table.robot_obs(), table.scene_obs()))
    table.close()
    return out


def test_lockstep_over_ros_gives_the_same_bits(weights, tmp_path):
    from vw2_ros.evaluation.ros_rollout import RosRollout

    wanted = in_one_process(weights)
    how = {'execute': EXECUTE, 'recover_after_s': AFTER_S}
    with RosRollout(weights, SCENE, **how, log_dir=tmp_path) as rollout:
        for _ in range(2):  # also after a reset
            rollout.reset(*start())
            for (task, instruction), (robot_obs, scene_obs) in zip(SUBTASKS, wanted):
                done, steps = rollout.run_task(task, instruction, max_steps=STEPS)
                assert (done, steps) == (False, STEPS)
                np.testing.assert_array_equal(rollout.report['robot_obs'], robot_obs)
                np.testing.assert_array_equal(rollout.report['scene_obs'], scene_obs)
        pids = [p.pid for p in rollout.children.running.values()]
    assert np.abs(wanted[1][0][:3] - start()[0][:3]).max() > 1e-3, 'the arm has moved'
    assert gone(pids)


def test_real_time_begins_each_rollout_where_it_was_told(weights, tmp_path):
    from vw2_ros.evaluation.ros_rollout import RosRollout

    states = []
    robot_obs, scene_obs = start()
    with RosRollout(
        weights, SCENE, real_time=True, log_dir=tmp_path, on_state=states.append
    ) as rollout:
        for _ in range(2):  # the second time the arm has been moved
            rollout.reset(robot_obs, scene_obs)
            states.clear()
            rollout.run_task(*SUBTASKS[0], max_steps=60)
            hand = np.array([state['robot_obs'] for state in states])
            np.testing.assert_allclose(hand[0, :3], robot_obs[:3], atol=5e-3)
            assert np.abs(hand[-1, :3] - hand[0, :3]).max() > 0.02
