# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Contracts: those that are shipped, one's own, and each that makes no sense with its sentence."""

import copy
import pathlib

import arm_files
import numpy as np
import pytest
import yaml

from vw2_ros.arms.contract import Contract, ContractError, needs_description
from vw2_ros.arms.panda import Panda
from vw2_ros.errors import UsageError
from vw2_ros.files import share_dir

URDF = {'urdf': arm_files.chain()}
needs_pin = pytest.mark.skipif(
    not __import__('importlib.util').util.find_spec('pinocchio'),
    reason="Pinocchio is not installed: pip install '.[arms]'",
)


def load(tmp_path, values, urdf=''):
    return Contract.load(arm_files.write(tmp_path, values, urdf))


def spoilt(values, change):
    values = copy.deepcopy(values)
    change(values)
    return values


@pytest.mark.parametrize('name', ['panda', 'fr3', 'play_table'])
def test_shipped_contracts_of_the_pandas_geometry(name):
    contract = Contract.load(name)
    assert contract.name == name and len(contract.sha256) == 64
    assert contract.joints == contract.arm.joints == contract.limits.joints
    assert contract.arm.base_frame == contract.base_frame == contract.command.frame_id
    assert (contract.home_rad == contract.arm.rest_rad).all()
    assert (contract.limits.upper_rad == contract.arm.upper_rad).all()
    assert contract.limits.period_s == pytest.approx(1 / (30 if name == 'play_table' else 60))
    assert contract.disarmed_at_start == (name != 'play_table')


@pytest.mark.parametrize('name', ['xarm7', 'ur5e'])
def test_shipped_contracts_of_others(name):
    contract = Contract.load(name, urdf=arm_files.example_urdf(name))
    assert contract.joints == contract.limits.joints and contract.disarmed_at_start
    down = contract.arm.forward(contract.home_rad)[1][:, 2]
    assert down == pytest.approx([0, 0, -1], abs=1e-3)
    assert contract.limits.tool_speed_m_s == 0.25


def test_every_shipped_contract_is_tested():
    known = {p.stem for p in pathlib.Path(share_dir(), 'config', 'arms').glob('*.yaml')}
    known = {name for name in known if not name.startswith('play_table')}
    assert known == {'panda', 'fr3', 'xarm7', 'ur5e'}


def test_the_play_table_is_as_it_was():
    """Its limits are those of config/limits_play_table.yaml at version 0.2.0, in a box of 10 m."""
    limits = Contract.load('play_table').limits
    panda = Panda()
    assert (limits.lower_rad == panda.lower_rad).all() and (
        limits.upper_rad == panda.upper_rad
    ).all()
    assert limits.velocity_rad_s.tolist() == [2.175] * 4 + [2.61] * 3
    assert limits.acceleration_rad_s2.tolist() == [65.25] * 4 + [78.3] * 3
    assert limits.following_rad.tolist() == [6.0] * 7
    assert limits.period_s == 0.03333333333333333
    assert (limits.max_age_s, limits.max_future_s, limits.resume_tolerance_rad) == (0.1, 0.05, 0.1)
    assert (limits.frozen_frames, limits.latch_after) == (10, 5)
    assert limits.box_upper_m.tolist() == [10.0] * 3 and limits.tool_speed_m_s == 100.0


def test_speeds_of_the_fr3_near_its_ends():
    """Franka's formula at three places of joint 1, by hand."""
    limits = Contract.load('fr3').limits
    for q1, most in ((0.0, 2.62), (2.7, np.sqrt(12 * 0.0501) - 0.3), (2.7437, 0.0)):
        q = np.array([q1, 0, 0, -1.5, 0, 2.0, 0])
        low, high = limits.velocity_bounds(q)
        assert high[0] == pytest.approx(most, abs=0.01)
        assert low[0] == pytest.approx(-2.62)


@needs_pin
def test_another_arm_by_its_file_alone(tmp_path):
    contract = load(tmp_path, arm_files.contract())
    assert contract.name == 'my_arm'
    assert contract.limits.lower_rad.tolist() == [-2.9] * 6  # the URDF's
    assert contract.limits.velocity_rad_s.tolist() == [3.0] * 6
    assert contract.command.topic == 'arm_controller/joint_trajectory'
    assert (contract.command.stamp, contract.command.rate_hz) == ('zero', 30.0)
    assert contract.gripper.value(1.0) == 0.08 and contract.gripper.opening(0.02) == 0.25
    assert contract.on_stale == 'silent' and contract.disarmed_at_start
    at, turn = contract.arm.forward(contract.home_rad)
    # waist 0.3 + 0.1, then 0.4 m at 0.3 rad, 0.35 m at 1.7 rad, 0.1 m down
    s, c = np.sin, np.cos
    assert at == pytest.approx(
        [0.4 * s(0.3) + 0.35 * s(1.7), 0.0, 0.4 + 0.4 * c(0.3) + 0.35 * c(1.7) - 0.1], abs=1e-4
    )
    assert turn[:, 2] == pytest.approx([0, 0, -1], abs=1e-4)


@needs_pin
@pytest.mark.parametrize('prefix', ['left_', 'robot1/', 'Arm-2.'])
def test_any_prefix(tmp_path, prefix):
    contract = load(tmp_path, arm_files.contract(prefix), arm_files.chain(prefix=prefix))
    assert contract.joints[0] == f'{prefix}waist' and contract.base_frame == f'{prefix}base'


@needs_pin
def test_the_order_of_the_joints_is_the_files(tmp_path):
    values = arm_files.contract()
    plain = load(tmp_path, values)
    values['joints'].reverse()
    values['home_rad'].reverse()
    turned = load(tmp_path, values)
    q = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    for a, b in zip(plain.arm.forward(q), turned.arm.forward(q[::-1])):
        assert a == pytest.approx(b)
    assert plain.arm.forward_and_jacobian(q)[2] == pytest.approx(
        turned.arm.forward_and_jacobian(q[::-1])[2][:, ::-1]
    )


@needs_pin
def test_the_hash_is_of_the_file_and_the_urdf(tmp_path):
    one = load(tmp_path, arm_files.contract()).sha256
    assert load(tmp_path, arm_files.contract()).sha256 == one
    assert load(tmp_path, arm_files.contract(), arm_files.chain(extra=' ')).sha256 != one
    values = arm_files.contract() | {'on_stale': 'hold'}
    assert load(tmp_path, values).sha256 != one


@needs_pin
def test_the_urdf_may_come_from_the_topic(tmp_path):
    values = arm_files.contract()
    del values['urdf']
    path = arm_files.write(tmp_path, values)
    assert needs_description(path)
    with pytest.raises(
        ContractError, match='urdf must come on the topic robot_description. Got no'
    ):
        Contract.load(path)
    assert Contract.load(path, urdf=arm_files.chain()).joints == tuple(values['joints'])
    assert needs_description('ur5e') and not needs_description('panda')


@needs_pin
def test_one_number_stands_for_all_joints(tmp_path):
    values = arm_files.contract()
    values['limits']['velocity_rad_s'] = 1.5
    values['limits']['following_rad'] = [0.1] * 6
    limits = load(tmp_path, values).limits
    assert limits.velocity_rad_s.tolist() == [1.5] * 6
    assert limits.following_rad.tolist() == [0.1] * 6


FINGER = (
    '<link name="slide"/><joint name="slider" type="prismatic"><parent link="wrist_link"/>'
    '<child link="slide"/><limit effort="1" velocity="1" lower="0" upper="1"/></joint>'
)
ENDLESS = arm_files.chain().replace(
    'name="wrist" type="revolute"', 'name="wrist" type="continuous"'
)


@needs_pin
def test_joints_without_end_get_one(tmp_path):
    contract = load(tmp_path, arm_files.contract(), ENDLESS)
    assert contract.limits.upper_rad[-1] == pytest.approx(2 * np.pi)
    assert contract.arm.forward(contract.home_rad)[0][0] > 0.4


def set_(*path_and_value):
    *path, last, value = path_and_value

    def change(values):
        for key in path:
            values = values[key]
        values[last] = value

    return change


def drop(*path):
    def change(values):
        *inner, last = path
        for key in inner:
            values = values[key]
        del values[last]

    return change


BAD = [
    # what was changed, what the sentence says after 'contract my_arm.yaml: '
    (drop('kinematics'), 'kinematics is missing'),
    (set_('kinematics', 'ikfast'), "kinematics must be one of panda, urdf. Got 'ikfast'"),
    (drop('joints'), 'joints is missing'),
    (set_('joints', 'waist'), "joints must be a list of names. Got 'waist'"),
    (set_('joints', 0, 'wrist'), 'joints must be different names'),
    (
        set_('joints', 0, 'hip'),
        "joints must be joints of the URDF. Got 'hip', it has elbow, pitch",
    ),
    (set_('home_rad', [0.0] * 5), 'home_rad must be 6 finite numbers'),
    (set_('home_rad', 2, float('nan')), 'home_rad must be 6 finite numbers'),
    (
        set_('home_rad', [0, 17, 80, 0, 83, 0]),
        'home_rad must lie within the limits. shoulder is 17',
    ),
    (drop('base_frame'), 'base_frame is missing'),
    (
        set_('base_frame', 'world'),
        "base_frame must be a link of the URDF. Got 'world', it has base",
    ),
    (set_('tool_frame', 'tcp'), "tool_frame must be a link of the URDF. Got 'tcp'"),
    (drop('tool_frame'), 'tool_frame is missing'),
    (
        lambda values: values.update(base_frame='wrist_link', tool_frame='pitch_link'),
        "base_frame must carry the tool frame 'pitch_link'. Got 'wrist_link'",
    ),
    (
        set_('base_frame', 'shoulder_link'),
        "joints must lie between shoulder_link and tool. Got 'waist'",
    ),
    (set_('tool_frame', 'pitch_link'), "joints must lie between base and pitch_link. Got 'wrist'"),
    (set_('tool_offset_m', [0.1]), 'tool_offset_m must be 3 finite numbers'),
    (set_('tool_offset', [0, 0, 0.1]), "unknown key 'tool_offset'. Did you mean tool_offset_m"),
    (drop('limits'), 'limits is missing'),
    (set_('limits', 3), 'limits must be a mapping of keys. Got 3'),
    (drop('limits', 'acceleration_rad_s2'), 'limits.acceleration_rad_s2 is missing'),
    (drop('limits', 'box_lower_m'), 'limits.box_lower_m is missing'),
    (set_('limits', 'acceleration_rad_s2', 0), 'limits.acceleration_rad_s2 must be above 0'),
    (set_('limits', 'acceleration_rad_s2', 800), 'limits.acceleration_rad_s2 must be at most 500'),
    (set_('limits', 'following_rad', 'far'), "limits.following_rad must be a number. Got 'far'"),
    (set_('limits', 'lower_rad', [-166] * 6), 'limits.lower_rad must lie within the URDF'),
    (set_('limits', 'upper_rad', [-2.95] * 6), 'limits.lower_rad must be below upper_rad'),
    (set_('limits', 'velocity_rad_s', 180), 'limits.velocity_rad_s must lie within the URDF'),
    (set_('limits', 'box_lower_m', [2, 2, 2]), 'limits.box_lower_m must be below box_upper_m'),
    (
        set_('limits', 'box_upper_m', [0.2, 1, 1]),
        'limits.box_lower_m and box_upper_m must hold the',
    ),
    (set_('limits', 'tool_speed_m_s', -1), 'limits.tool_speed_m_s must be above 0'),
    (set_('limits', 'max_age_s', '0.1'), "limits.max_age_s must be a number. Got '0.1'"),
    (set_('limits', 'frozen_frames', 2.5), 'limits.frozen_frames must be a whole number'),
    (set_('limits', 'period_s', 0.1), "unknown key of limits 'period_s'"),
    (set_('limits', 'braking', {}), 'limits.braking.offset_rad_s is missing'),
    (set_('command', 'form', 'velocity'), 'command.form must be one of trajectory, positions'),
    (set_('command', 'topic', ''), "command.topic must be a text. Got ''"),
    (set_('command', 'rate_hz', 10), 'command.rate_hz must lie within 20.0 to 1000.0. Got 10'),
    (set_('command', 'rate_hz', 2000), 'command.rate_hz must lie within 20.0 to 1000.0'),
    (set_('command', 'length_s', 0.01), 'command.length_s must be at least 1 / rate_hz = 0.0333'),
    (set_('command', 'stamp', 'later'), "command.stamp must be one of zero, now. Got 'later'"),
    (set_('action_frame', 'camera'), "action_frame must be one of base, tool. Got 'camera'"),
    (set_('gripper', 'form', 'claw'), 'gripper.form must be one of none, joint, width'),
    (drop('gripper', 'open'), 'gripper.open is missing'),
    (set_('gripper', 'open', 80), 'gripper.open and closed must be within 4'),
    (set_('gripper', 'open', 0.0), 'gripper.open must not be the same as closed'),
    (set_('gripper', 'joint', 'wrist'), "gripper.joint must not be one of the arm. Got 'wrist'"),
    (set_('gripper', {'form': 'joint', 'open': 1}), 'gripper.joint is missing'),
    (set_('gripper', {'form': 'fraction', 'open': 5}), 'gripper.open and closed must be 0 and 1'),
    (set_('joint_states', []), 'joint_states must be a list of names. Got []'),
    (set_('cameras', {'front': {}}), 'cameras.front.topic is missing'),
    (set_('cameras', {'front': {'topic': 'a', 'pose': [0]}}), 'cameras.front.pose must be 6'),
    (set_('on_stale', 'panic'), "on_stale must be one of silent, hold. Got 'panic'"),
    (set_('disarmed_at_start', 'no'), "disarmed_at_start must be true or false. Got 'no'"),
    (
        set_('urdf', 'none.urdf'),
        'urdf must be a file or the text of one. Got one that cannot be read',
    ),
    (set_('speed', 1), "unknown key 'speed'"),
]


@needs_pin
@pytest.mark.parametrize('change, says', BAD, ids=[says[:40] for _, says in BAD])
def test_a_bad_contract_is_refused_with_its_key(tmp_path, change, says):
    with pytest.raises(ContractError) as caught:
        load(tmp_path, spoilt(arm_files.contract(), change))
    assert str(caught.value).startswith(f'contract my_arm.yaml: {says}'), str(caught.value)
    assert isinstance(caught.value, UsageError)  # exit status 2


BAD_URDFS = [
    (
        '<robot name="a" xmlns:xacro="x"><xacro:arm/></robot>',
        "urdf must have no xacro left in it. Got '<xacro:arm'",
    ),
    (arm_files.chain(prefix='${prefix}'), "urdf must have no xacro left in it. Got '${prefix}'"),
    ('<robot><link></robot>', 'urdf must be XML'),
    ('<sdf/>', 'urdf must be a <robot>. Got <sdf>'),
    (arm_files.chain(limit=''), "limits.lower_rad is missing: the URDF has none of 'waist'"),
    (
        arm_files.chain(limit='lower="a" upper="2"'),
        "urdf must give numbers as limits. Got 'a' for 'waist'",
    ),
    (
        arm_files.chain().replace('"tool_joint" type="fixed"', '"tool_joint" type="prismatic"'),
        "joints must be all that move between base and tool. Got none named 'tool_joint'",
    ),
    (
        arm_files.chain().replace('"wrist" type="revolute"', '"wrist" type="prismatic"'),
        "joints must turn. Got 'wrist', which is prismatic",
    ),
    (
        arm_files.chain().replace('velocity="3.0"', 'velocity="0"'),
        "limits.velocity_rad_s is missing: the URDF has none of 'waist'",
    ),
    (arm_files.chain(limit='lower="-166" upper="166"'), 'limits.lower_rad and upper_rad must lie'),
]


@needs_pin
@pytest.mark.parametrize('urdf, says', BAD_URDFS, ids=[says[:40] for _, says in BAD_URDFS])
def test_a_bad_urdf_is_refused_with_its_key(tmp_path, urdf, says):
    with pytest.raises(ContractError) as caught:
        load(tmp_path, arm_files.contract(), urdf)
    assert str(caught.value).startswith(f'contract my_arm.yaml: {says}'), str(caught.value)


@needs_pin
def test_other_joints_of_the_urdf_do_not_matter(tmp_path):
    contract = load(tmp_path, arm_files.contract(), arm_files.chain(extra=FINGER))
    assert len(contract.joints) == 6


@pytest.mark.parametrize(
    'text, says',
    [
        ('', 'contract my.yaml: the file must be a mapping of keys. Got None'),
        ('[1, 2]', 'contract my.yaml: the file must be a mapping of keys'),
        ('a: [', 'contract my.yaml: must be a YAML file. Got one that cannot be read: '),
        ('velocity_rad_s: [1]', 'contract my.yaml: kinematics is missing'),
    ],
)
def test_files_that_are_no_contract(tmp_path, text, says):
    (tmp_path / 'my.yaml').write_text(text)
    with pytest.raises(ContractError) as caught:
        Contract.load(tmp_path / 'my.yaml')
    assert str(caught.value).startswith(says)


def test_a_name_that_is_unknown():
    with pytest.raises(ContractError, match="unknown contract 'pandda'. Did you mean panda"):
        Contract.load('pandda')


@pytest.mark.parametrize(
    'change, says',
    [
        (set_('joints', ['a', 'b']), 'home_rad must be 2 finite numbers'),
        (set_('tool_offset_m', [0.1, 0, 0]), 'tool_offset_m must be along z'),
        (set_('urdf', 'arm.urdf'), "unknown key 'urdf'"),
    ],
)
def test_the_pandas_own_kinematics(tmp_path, change, says):
    (tmp_path / 'my.yaml').write_text(yaml.safe_dump(spoilt(arm_files.shipped('panda'), change)))
    with pytest.raises(ContractError) as caught:
        Contract.load(tmp_path / 'my.yaml')
    assert str(caught.value).startswith(f'contract my.yaml: {says}')


def test_without_pinocchio_the_message_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'pinocchio', None)
    with pytest.raises(ModuleNotFoundError, match='pip install'):
        load(tmp_path, arm_files.contract())
