# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Recordings of an arm that only its contract knows become data; the recorder takes its topics."""

import numpy as np
import pytest

pytest.importorskip('rosbags')
import arm_files  # noqa: E402
import bag_files  # noqa: E402
from bag_files import PERIOD_S, START_S  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.arms.actions import EndEffectorController  # noqa: E402
from vw2_ros.arms.contract import Contract, topics  # noqa: E402

FRAMES = 60


def contract(tmp_path, **changes):
    """A contract whose URDF comes from robot_description, with a prefix and topics of its own."""
    pytest.importorskip('pinocchio')
    values = arm_files.contract('left_') | {'urdf': 'robot_description'} | changes
    values['joint_states'] = ['left/joint_states', 'hand/joint_states']
    values['gripper']['topic'] = 'hand/width'
    return arm_files.write(tmp_path, values, arm_files.chain(prefix='left_'))


def messages(path):
    """What the robot would say while it makes known actions; and these, (n, 7)."""
    robot = Contract.load(path, urdf=arm_files.chain(prefix='left_'))
    controller = EndEffectorController(robot.arm, frame=robot.action_frame)
    controller.reset(robot.home_rad)
    out = [
        (START_S, '/robot_description', bag_files.text(arm_files.chain(prefix='left_'))),
        (START_S + 1e-3, '/instruction', bag_files.text('wave')),
    ]
    actions, joints = [], robot.home_rad
    for i in range(FRAMES):
        at, open_ = START_S + i * PERIOD_S, i < FRAMES // 2
        action = 0.3 * np.sin(0.2 * i + np.arange(6))
        actions.append(np.append(action, 1.0 if open_ else -1.0))
        picture = np.random.default_rng(i).integers(0, 255, (24, 24, 3), np.uint8)
        out.append((at + 4e-3, '/image_raw', bag_files.image(at, picture)))
        state = bag_files.joint_state(at, robot.joints, joints)
        out.append((at + 1e-3, '/left/joint_states', state))
        half = bag_files.joint_state(at, ['finger'], [0.08 if open_ else 0.01])
        out.append((at + 1e-3, '/hand/joint_states', half))
        joints, _ = controller.step(actions[-1])
        at += 0.4 * PERIOD_S
        told = bag_files.trajectory(at, robot.joints, joints)
        out.append((at, '/arm_controller/joint_trajectory', told))
        out.append((at, '/hand/width', bag_files.floats([0.08 if open_ else 0.0])))
    return out, np.array(actions)


@pytest.mark.parametrize('frame', ['base', 'tool'])
def test_actions_of_another_arm(tmp_path, frame):
    path = contract(tmp_path, action_frame=frame)
    said, actions = messages(path)
    report = bag_files.made(tmp_path, said, contract=str(path))
    assert 'error' not in report, report['error']
    assert report['refused'] == [] and report['episodes'][0]['actions'] == 'commands'
    assert report['contract']['name'] == 'my_arm'
    (shard,) = bag_files.shards(tmp_path / 'data')
    found = shard['rel_actions']
    first = FRAMES - 1 - len(found)  # no command came before the first frame
    actions = actions[first : first + len(found)]
    assert found[:, :6] == pytest.approx(actions[:, :6], abs=0.01)
    assert (found[:, 6] == actions[:, 6]).all()
    robot_obs = shard['robot_obs']
    assert robot_obs[5, 7:13] == pytest.approx(said_joints(said)[first + 5])
    assert (robot_obs[:, 13] == 0).all()  # it has six joints
    assert robot_obs[5, 6] == pytest.approx(0.08)  # as wide as the Panda's, open


def said_joints(said):
    return [m.position for _, topic, (_, m) in said if topic == '/left/joint_states']


def test_the_topics_need_no_urdf(tmp_path):
    found = topics(contract(tmp_path))
    assert found.joint_states == ('left/joint_states', 'hand/joint_states')
    assert found.commands == ('arm_controller/joint_trajectory', 'hand/width')


def test_the_old_option_says_what_to_type(tmp_path, capsys):
    arguments = ['convert', '--bag', str(tmp_path), '--out', str(tmp_path / 'data')]
    assert cli.main([*arguments, '--limits', 'my_limits.yaml']) == 2
    assert 'Say --contract FILE' in capsys.readouterr().err
    assert cli.main([*arguments, '--contract', 'pandda']) == 2
    assert 'Did you mean panda' in capsys.readouterr().err
