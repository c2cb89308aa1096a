# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The play table: resets, actions, contacts, mechanisms, repeatability."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vw2_ros.arms import open_arm
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.furniture import table_links
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.scenes import SCENES, SWITCH_TRAVEL, get_scene, random_scene_obs

ROOT = Path(__file__).resolve().parents[2]
DOWN = (np.pi, 0.0, np.pi / 2)


@pytest.fixture(scope='module')
def table():
    with PlayTable('D') as table:
        yield table


def go(table, position, euler=DOWN, gripper=1.0, steps=80, near=0.005):
    """Move the target to a pose by relative actions until the TCP is there."""
    for _ in range(steps):
        at, turn = table.target
        move = (np.array(position) - at) / 0.02
        move /= max(1.0, np.abs(move).max())
        turn = (np.array(euler) - turn + np.pi) % (2 * np.pi) - np.pi
        table.step(np.concatenate([move, np.clip(turn / 0.05, -1, 1), [gripper]]))
        if np.abs(turn).max() < 0.05 and np.linalg.norm(table.robot_obs()[:3] - position) < near:
            break


def wait(table, gripper, steps):
    for _ in range(steps):
        table.step([0, 0, 0, 0, 0, 0, gripper])


# ---------------------------------------------------------------- resets


def test_rest_pose_and_default_scene(table):
    table.reset()
    robot = table.robot_obs()
    assert robot.shape == (15,) and robot.dtype == np.float64
    assert robot[:3] == pytest.approx([0.0259, -0.2313, 0.5713], abs=1e-3)
    assert robot[6] == pytest.approx(0.08, abs=1e-3)
    assert robot[7:14] == pytest.approx(open_arm().rest_rad, abs=1e-3)
    assert robot[14] == 1.0
    assert table.scene_obs() == pytest.approx(table.scene.default_obs(), abs=1e-3)
    assert table.time == 0.0 and table.steps == 0


@pytest.mark.parametrize('name', 'ABCD')
def test_blocks_come_in_the_scenes_order(name):
    orders = {'A': 'pbr', 'B': 'rbp', 'C': 'brp', 'D': 'rbp'}
    scene = get_scene(name)
    assert ''.join(c[0] for c in scene.block_order) == orders[name]
    with PlayTable(name) as table:
        wanted = random_scene_obs(scene, np.random.default_rng(3))
        table.reset(scene_obs=wanted)
        assert table.scene_obs() == pytest.approx(wanted, abs=2e-3)
        state = table.state()
        for i, colour in enumerate(scene.block_order):
            assert state.blocks[colour].position == pytest.approx(
                wanted[6 + 6 * i : 9 + 6 * i], abs=2e-3
            )
            assert state.blocks[colour].contacts <= {('table', 'table'), ('table', 'plank')}
            assert state.blocks[colour].contacts


def test_a_state_goes_in_and_comes_out(table):
    table.reset(rng=np.random.default_rng(1))
    go(table, (0.1, -0.15, 0.55), gripper=-1.0, steps=15)
    robot, scene = table.robot_obs(), table.scene_obs()
    table.reset(robot, scene)
    assert table.robot_obs()[7:14] == pytest.approx(robot[7:14], abs=2e-3)
    assert table.robot_obs()[6] == pytest.approx(robot[6], abs=2e-3)
    assert table.robot_obs()[14] == -1.0
    assert table.scene_obs() == pytest.approx(scene, abs=2e-3)


def test_a_drawn_table_is_the_same_for_the_same_seed_and_like_none_of_the_four():
    drawn = [get_scene(f'R{seed}') for seed in range(40)]
    assert get_scene('R7') == drawn[7] and drawn[7].name == 'R7'
    for part in ('button_x', 'switch_x', 'drawer_x', 'plank_x'):
        places = [getattr(scene, part) for scene in drawn]
        known = [getattr(scene, part) for scene in SCENES.values()]
        assert len(set(places)) == len(drawn)
        assert not set(places) & set(known)
        assert min(places) < min(known) + 0.02 and max(places) > max(known) - 0.02
    for scene in drawn:  # has room for its blocks
        assert np.isfinite(random_scene_obs(scene, np.random.default_rng(0))).all()
    for wrong in ('R', 'R-1', 'r7', 'R07', 'R1.5'):
        with pytest.raises(InvalidValueError, match='unknown scene'):
            get_scene(wrong)


def test_random_starts_are_free_of_overlap(table):
    rng = np.random.default_rng(0)
    for name in SCENES:
        for _ in range(50):
            obs = random_scene_obs(name, rng)
            assert np.isfinite(obs).all()
    surfaces = set()
    for _ in range(6):
        table.reset(rng=rng)
        before = table.scene_obs()
        wait(table, 1.0, 5)
        after = table.scene_obs()
        for i in range(3):  # nothing is pushed out of anything
            at = slice(6 + 6 * i, 9 + 6 * i)
            assert np.abs(after[at] - before[at]).max() < 3e-3
        surfaces |= {c for b in table.state().blocks.values() for c in b.contacts}
    assert surfaces == {('table', 'table'), ('table', 'plank')}


@pytest.mark.parametrize(
    'arguments',
    [
        dict(robot_obs=np.zeros(8)),
        dict(robot_obs=np.full(15, np.nan)),
        dict(scene_obs=np.zeros(23)),
        dict(scene_obs=np.full(24, np.inf)),
    ],
)
def test_bad_starts_change_nothing(table, arguments):
    table.reset()
    wait(table, -1.0, 2)
    before = table.robot_obs()
    with pytest.raises(ValueError, match='finite'):
        table.reset(**arguments)
    assert (table.robot_obs() == before).all() and table.steps == 2


def test_unknown_scene_and_closed_table():
    with pytest.raises(ValueError, match='A, B, C, D'):
        PlayTable('Z')
    table = PlayTable('B')
    table.close()
    table.close()
    with pytest.raises(RuntimeError, match='closed'):
        table.step(np.zeros(7))
    with pytest.raises(RuntimeError, match='closed'):
        table.render()


# ---------------------------------------------------------------- actions


def test_every_form_of_action_reaches_the_same_place(table):
    goal = np.array([0.05, -0.2, 0.55])
    ends = []

    def run(make):
        table.reset()
        for i in range(12):
            table.step(make(i))
        ends.append(table.robot_obs()[:3])
        assert table.steps == 12 and table.time == pytest.approx(0.4)

    table.reset()
    start, euler = table.target
    rel = np.concatenate([(goal - start) / 0.02 / 4, np.zeros(3), [1.0]])
    run(lambda i: rel if i < 4 else np.array([0, 0, 0, 0, 0, 0, 1.0]))
    q = table.command[0]
    run(lambda i: ('abs', np.concatenate([goal, euler, [1.0]])))
    run(lambda i: {'type': 'cartesian_abs', 'action': np.concatenate([goal, euler, [1.0]])})
    run(lambda i: (goal, euler, 1.0))
    run(lambda i: ('joint_abs', np.append(q, 1.0)))
    run(lambda i: {'type': 'joint_abs', 'action': np.append(q, 1.0)})
    for end in ends:
        assert end == pytest.approx(goal, abs=4e-3)


def test_joint_commands_equal_relative_actions(table):
    """What the nodes send (joints) does what the environment does (relative actions), to the bit."""
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (25, 7))
    actions[:, 6] = np.sign(actions[:, 6])
    table.reset()
    commands, states = [], []
    for action in actions:
        table.step(action)
        commands.append(np.append(*table.command))
        states.append(table.robot_obs())
    table.reset()
    for command, state in zip(commands, states):
        table.step(('joint_abs', command))
        assert (table.robot_obs() == state).all()


def test_joint_rel_is_relative_to_the_measured_joints(table):
    table.reset()
    before = table.joint_positions()
    for _ in range(15):
        table.step(('joint_rel', np.append(np.eye(7)[6] * 0.05, 1.0)))
    moved = table.joint_positions() - before
    assert moved[6] > 0.2 and np.abs(moved[:6]).max() < 0.02


def test_the_target_winds_up_when_blocked(table):
    table.reset()
    go(table, (0.3, -0.05, 0.47), gripper=-1.0)
    for _ in range(10):
        table.step([0, 0, -1, 0, 0, 0, -1])
    assert table.target[0][2] < 0.3
    assert table.robot_obs()[2] > 0.43  # the table holds it
    assert 'table' in table.state().robot_contacts


def test_closing_takes_about_five_frames(table):
    table.reset()
    widths = []
    for _ in range(8):
        table.step([0, 0, 0, 0, 0, 0, -1])
        widths.append(table.gripper_width())
    assert widths[1] > 0.01 and widths[5] < 0.002


@pytest.mark.parametrize(
    'action',
    [
        np.zeros(6),
        [0, 0, 0, 0, 0, 0, 0],
        [np.nan, 0, 0, 0, 0, 0, 1],
        [0, 0, np.inf, 0, 0, 0, 1],
        ('joint_abs', np.zeros(7)),
        ('torque', np.zeros(8)),
        {'type': 'cartesian_rel', 'action': np.zeros(6)},
        {'action': np.zeros(7)},
        ('abs', np.zeros(9)),
        'left',
        None,
    ],
)
def test_bad_actions_move_nothing(table, action):
    table.reset()
    before = table.robot_obs(), table.scene_obs(), table.target[0]
    with pytest.raises(ValueError):
        table.step(action)
    assert (table.robot_obs() == before[0]).all() and (table.scene_obs() == before[1]).all()
    assert (table.target[0] == before[2]).all() and table.steps == 0


# ---------------------------------------------------------------- repeatability


_SCRIPT = """
import hashlib, sys
import numpy as np
from vw2_ros.sim.play_table import PlayTable

def run(table, seed):
    rng = np.random.default_rng(seed)
    table.reset(rng=rng)
    digest = hashlib.sha256()
    for i in range(60):
        action = np.append(rng.uniform(-1, 1, 6), 1.0 if i // 10 % 2 else -1.0)
        action[2] -= 0.3
        table.step(action)
        digest.update(table.robot_obs().tobytes() + table.scene_obs().tobytes())
    digest.update(table.render('static', 48).tobytes())
    return digest.hexdigest()

if __name__ == '__main__':
    print(run(PlayTable('D'), int(sys.argv[1])))
"""


def test_the_same_start_and_actions_give_the_same_bits():
    fresh = subprocess.run(
        [sys.executable, '-c', _SCRIPT, '2'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.strip()
    space = {'__name__': 'script'}
    exec(_SCRIPT, space)
    run = space['run']
    with PlayTable('D') as one, PlayTable('A') as two:
        first = run(one, 2)
        run(one, 3)
        run(two, 2)
        # a neighbour that moves in between disturbs nothing
        two.reset()
        again = run(one, 2)
        wait(two, 1.0, 2)
    assert first == again == fresh


# ---------------------------------------------------------------- mechanisms


def test_grasp_lift_and_stack(table):
    obs = table.scene.default_obs()
    obs[6:12] = (0.1, -0.1, 0.46, 0, 0, 0)  # red
    obs[12:18] = (0.25, -0.1, 0.46, 0, 0, 0)  # blue
    table.reset(scene_obs=obs)
    # the fingers open along y to hold the longer red block
    across = (np.pi, 0.0, 0.0)
    go(table, (0.1, -0.1, 0.55), across)
    go(table, (0.1, -0.1, 0.462), across)
    wait(table, -1.0, 10)
    go(table, (0.1, -0.1, 0.58), across, gripper=-1.0)
    wait(table, -1.0, 30)  # it does not slip
    state = table.state()
    assert state.blocks['red'].position[2] > 0.56
    assert {body for body, _ in state.blocks['red'].contacts} == {'robot'}
    assert {link for _, link in state.blocks['red'].contacts} == {'finger_left', 'finger_right'}
    assert state.robot_contacts == {'block_red'}
    go(table, (0.25, -0.1, 0.58), across, gripper=-1.0)
    go(table, (0.25, -0.1, 0.505), across, gripper=-1.0)
    wait(table, 1.0, 15)
    go(table, (0.25, -0.1, 0.60), across)
    state = table.state()
    assert state.blocks['red'].contacts == {('block_blue', 'base')}
    assert ('block_red', 'base') in state.blocks['blue'].contacts
    assert ('table', 'table') in state.blocks['blue'].contacts
    assert state.robot_contacts == frozenset()
    assert np.abs(state.blocks['red'].linear_velocity).max() < 0.05


def test_drawer_opens_stays_and_holds_a_block(table):
    obs = table.scene.default_obs()
    obs[6:12] = (0.18, -0.30, 0.40, 0, 0, 0)  # falls into the open drawer
    obs[1] = 0.22
    table.reset(scene_obs=obs)
    wait(table, 1.0, 15)
    state = table.state()
    assert state.blocks['red'].contacts == {('table', 'drawer')}
    assert state.blocks['red'].position[2] == pytest.approx(0.362, abs=2e-3)
    assert state.drawer == pytest.approx(0.22, abs=2e-3)

    table.reset()
    x = table.scene.drawer_x
    go(table, (x, -0.30, 0.50))
    go(table, (x, -0.213, 0.45))
    go(table, (x, -0.213, 0.375))
    go(table, (x, -0.40, 0.375), steps=25)
    opened = table.state().drawer
    assert opened > 0.12
    go(table, (x, -0.42, 0.5))
    wait(table, 1.0, 10)
    assert table.state().drawer == pytest.approx(opened, abs=0.02)  # friction holds it


def test_button_toggles_the_led_once_per_press(table):
    table.reset()
    x = table.scene.button_x
    for expected in (1, 0):
        go(table, (x, -0.12, 0.53), gripper=-1.0)
        assert table.state().led == 1 - expected
        go(table, (x, -0.12, 0.465), gripper=-1.0, steps=20)
        wait(table, -1.0, 5)
        assert table.state().button > 0.010
        assert table.state().led == expected  # once, however long it is held
        go(table, (x, -0.12, 0.56), gripper=-1.0)
        assert table.state().button == pytest.approx(0.0, abs=1e-3)  # springs back
        assert table.state().led == expected


def test_switch_lights_the_bulb_by_its_level(table):
    table.reset()
    x = table.scene.switch_x
    assert table.state().lightbulb == 0
    leaning = (np.pi, -0.5, np.pi / 2)
    go(table, (x, -0.10, 0.55), leaning, gripper=-1.0)
    go(table, (x, -0.01, 0.48), leaning, gripper=-1.0)
    go(table, (x, 0.05, 0.60), leaning, gripper=-1.0, steps=30)
    state = table.state()
    assert state.switch > 0.044 and state.lightbulb == 1
    obs = table.scene_obs()
    assert obs[3] == state.switch and obs[4] == 1
    # as a start
    start = table.scene.default_obs()
    start[3] = SWITCH_TRAVEL
    table.reset(scene_obs=start)
    assert table.state().lightbulb == 1


def test_slider_moves_by_its_handle(table):
    table.reset()
    go(table, (0.09, -0.10, 0.62), gripper=-1.0)
    go(table, (0.085, 0.01, 0.57), gripper=-1.0)
    go(table, (-0.22, 0.01, 0.57), gripper=-1.0, steps=60)
    assert table.state().slider > 0.15


def test_a_block_is_lifted_off_the_shelf(table):
    obs = table.scene.default_obs()
    obs[0] = 0.28  # the door is to the left
    obs[18:24] = (0.07, 0.09, 0.461, 0, 0, np.pi / 2)  # pink lies on the right
    table.reset(scene_obs=obs)
    assert table.state().blocks['pink'].contacts == {('table', 'plank')}
    leaning = (np.pi, -0.5, np.pi / 2)
    go(table, (0.07, -0.03, 0.62), leaning)
    go(table, (0.07, 0.06, 0.52), leaning)
    go(table, (0.07, 0.09, 0.463), leaning)
    wait(table, -1.0, 8)
    go(table, (0.07, 0.05, 0.55), leaning, gripper=-1.0)
    go(table, (0.07, -0.05, 0.62), leaning, gripper=-1.0)
    state = table.state()
    assert state.blocks['pink'].position[2] > 0.55
    assert {body for body, _ in state.blocks['pink'].contacts} == {'robot'}


def test_links_are_named_as_the_tasks_need(table):
    for scene in SCENES.values():
        names = [link.name for link in table_links(scene)]
        assert names == [
            'table',
            'plank',
            'drawer',
            'slider',
            'switch',
            'button',
            'led',
            'lightbulb',
        ]
