# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A checkout of calvin_env that is none: its surface, with the play table behind it.

`write_checkout` makes the folder; this file itself becomes calvin_env/envs/play_table_env.py there.
The traps of the real one are kept: what it does at a reset, and what it asserts.
"""

import dataclasses
import os
import pathlib
import shutil
import sys
import types

import numpy as np

from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.tasks import TASKS, TaskOracle

BODIES = {'robot': 0, 'block_red': 2, 'block_blue': 3, 'block_pink': 4, 'table': 5, 'floor': 6}
LINKS = {
    'base_link': ('table', -1),
    **{f'{n}_link': (n, i) for i, n in enumerate(('plank', 'drawer', 'switch', 'button', 'led'))},
    'slide_link': ('slider', 5),
    'light_link': ('lightbulb', 6),
}
ROBOT = {3: 'panda_link4', 10: 'finger_left_tip', 12: 'finger_right_tip'}
FINGERS = {'finger_left': 10, 'finger_right': 12, 'arm': 3}
EGL = 'FAKE_CALVIN_HAS_EGL'  # environment variable: EGL draws, and talks as Mesa's does
CLIENT = 0  # what a second simulator would get is 1
LIES: set[str] = set()  # tasks that the oracle judges wrongly


def get_git_commit_hash(path):
    raise AssertionError('a checkout without history')


class PlayTableSimEnv:
    def __init__(
        self,
        robot_cfg,
        scene_cfg,
        cameras,
        use_vr,
        show_gui,
        use_scene_info,
        use_egl,
        seed,
        bullet_time_step,
        control_freq,
    ):
        assert use_scene_info and not use_vr and not show_gui
        if use_egl and EGL not in os.environ:
            os.abort()  # as on a machine without a graphics card
        get_git_commit_hash(None)
        self.cid, self.ownsPhysicsClient = CLIENT, True
        letter = scene_cfg['objects']['fixed_objects']['table']['file'].split('/')[0][-1]
        self.table = PlayTable(letter)
        self.p = Bullet(self.table)
        self.robot = Robot(self.table)
        self.led = self.bulb = 0
        self.scene = Scene(self)
        self.cameras = [Camera(self.table, name, c) for name, c in cameras.items()]

    def __del__(self):
        self.close()

    def close(self):
        if not self.ownsPhysicsClient:
            return print('does not own physics client')
        print('disconnecting')
        self.table.reset()  # refused where it is closed, as PyBullet does
        self.table.close()
        if EGL in os.environ:
            print('Destroy EGL OpenGL window.')

    def reset(self, robot_obs, scene_obs):
        self.table.reset(robot_obs, scene_obs)
        self.led, self.bulb = int(scene_obs[5]), int(scene_obs[4])
        at, turn = self.table.target
        self.robot.target_pos, self.robot.target_orn = at, turn
        return self.get_obs()

    def step(self, action):
        self.robot.apply_action(action)
        for thing in (*self.scene.buttons, *self.scene.switches):
            thing.step()
        return self.get_obs(), 0, False, self.get_info()

    def get_obs(self):
        return {c.name: c.render() for c in self.cameras}

    def get_info(self):
        table, state = self.table, self.state()
        tcp, turn = table.robot_obs()[:3], table.robot_obs()[3:6]
        blocks = {
            f'block_{c}': {
                'current_pos': tuple(b.position),
                'current_orn': tuple(b.orientation),
                'current_lin_vel': tuple(b.linear_velocity),
                'current_ang_vel': tuple(b.angular_velocity),
                'contacts': [_point(*touched) for touched in b.contacts],
                'uid': BODIES[f'block_{c}'],
            }
            for c, b in state.blocks.items()
        }
        return {
            'state': state,
            'robot_info': {
                'tcp_pos': tuple(tcp),
                'tcp_orn': tuple(turn),
                'gripper_opening_width': table.gripper_width(),
                'arm_joint_states': table.joint_positions().tolist(),
                'gripper_action': self.robot.gripper_action,
                'uid': 0,
                'contacts': [_point(body, 'base') for body in state.robot_contacts],
            },
            'scene_info': {
                'movable_objects': blocks,
                'doors': {
                    'base__slide': {'current_state': state.slider},
                    'base__drawer': {'current_state': state.drawer},
                },
                'buttons': {'base__button': {'joint_state': state.button}},
                'switches': {'base__switch': {'joint_state': state.switch}},
                'lights': {
                    'lightbulb': {'logical_state': self.bulb},
                    'led': {'logical_state': self.led},
                },
            },
        }

    def state(self):
        return dataclasses.replace(self.table.state(), led=self.led, lightbulb=self.bulb)


def _point(body, link):
    index = -1
    if body == 'table':
        index = dict(LINKS.values()).get(link, -1)
    elif body == 'robot':
        index = FINGERS.get(link, 3)
    return (0, 0, BODIES[body], -1, index)


class Bullet:
    def __init__(self, table):
        self.table = table

    def getNumJoints(self, body, physicsClientId):
        return 13

    def getJointInfo(self, body, index, physicsClientId):
        return (*[None] * 12, ROBOT.get(index, f'link_{index}').encode())

    def getJointStates(self, body, indices, physicsClientId):
        both = self.table.joint_positions(), self.table.joint_velocities()
        return [tuple(values[i] for values in both) for i in indices]


class Robot:
    robot_uid, arm_joint_ids = 0, list(range(7))

    def __init__(self, table):
        self.table, self.gripper_action = table, 1
        self.target_pos, self.target_orn = table.target

    def apply_action(self, action):
        if isinstance(action, dict):
            kind, values = action['type'], action['action']
            self.gripper_action = int(values[-1])
        else:
            kind, self.gripper_action = 'cartesian_abs', action[-1]
            self.target_pos = self.target_pos + 0.02 * action[:3]
            self.target_orn = self.target_orn + 0.05 * action[3:6]
            values = np.concatenate([self.target_pos, self.target_orn, action[-1:]])
        assert self.gripper_action in (-1, 1)
        self.table.step({'type': kind, 'action': values})
        self.control_motors([*self.table.command[0], 0.0, 0.0])

    def control_motors(self, joints):
        assert len(joints) >= 7


class Thing:
    def __init__(self, name, uid, links=None):
        self.name, self.uid, self.links = name, uid, links

    def get_info(self):
        return {'uid': self.uid, 'links': self.links}


class Button:
    def __init__(self, env):
        self.env, self.prev_is_pressed = env, False

    @property
    def _is_pressed(self):
        return self.env.table.state().button > 0.01

    def step(self):
        if self._is_pressed and not self.prev_is_pressed:
            self.env.led = 1 - self.env.led
        self.prev_is_pressed = self._is_pressed


class Switch:
    def __init__(self, env):
        self.env = env
        self.light = self

    @property
    def is_pressed(self):
        return self.env.table.state().switch > 0.044

    def step(self):
        if self.is_pressed:
            self.env.bulb = 1

    def turn_off(self):
        self.env.bulb = 0


class Scene:
    def __init__(self, env):
        self.env = env
        links = {name: index for name, (_, index) in LINKS.items()}
        self.fixed_objects = [Thing('table', BODIES['table'], links)]
        self.movable_objects = [
            Thing(n, uid) for n, uid in BODIES.items() if n.startswith('block_')
        ]
        self.buttons, self.switches = [Button(env)], [Switch(env)]

    def get_obs(self):
        obs = self.env.table.scene_obs()
        obs[4:6] = self.env.bulb, self.env.led
        return obs


class Camera:
    drawn = 0  # pictures of all cameras

    def __init__(self, table, name, config):
        self.table, self.name = table, name
        self.__dict__.update(config)

    def render(self):
        Camera.drawn += 1
        return self.table.render(self.name, (self.height, self.width), depth=True)


class Tasks:
    def __init__(self, tasks):
        self.tasks = dict(tasks)

    def get_task_info_for_set(self, start_info, end_info, task_filter):
        oracle = TaskOracle()
        done = {
            t for t in task_filter if oracle.succeeded(t, start_info['state'], end_info['state'])
        }
        return done ^ (LIES & task_filter)


# ---------------------------------------------------------------- the folder

CAMERAS = {
    'static': 'width: 200\nheight: 200\nfov: 10\nlook_at: [-0.026242, -0.030233, 0.392]\n'
    'look_from: [2.871459, -2.166602, 2.55516]\nup_vector: [0.404140, 0.226298, 0.886262]\n',
    'gripper': 'width: 84\nheight: 84\nfov: 75\n',
}
SCENE = 'objects:\n  fixed_objects:\n    table: {file: calvin_table_D/urdf/calvin_table_D.urdf}\n'
URDF = '<robot name="x"><link name="x"><mesh filename="../meshes/base.obj"/></link></robot>'
OMEGACONF = """
import types


class OmegaConf:
    create = staticmethod(lambda config: types.SimpleNamespace(**config))
"""


def write_checkout(folder: pathlib.Path, words: bool = True) -> pathlib.Path:
    """Write calvin with calvin_env in it; returns the folder to name."""
    root = folder / 'calvin_env'
    for path, text in {
        'calvin_env/__init__.py': '',
        'calvin_env/envs/__init__.py': '',
        'calvin_env/envs/tasks.py': 'from calvin_env.envs.play_table_env import Tasks\n',
        'conf/env/play_table_env.yaml': 'seed: 0\nbullet_time_step: 240.0\ncontrol_freq: 30\n'
        'use_egl: true\n',
        'conf/robot/panda.yaml': 'filename: franka_panda/panda.urdf\n',
        'conf/robot/panda_longer_finger.yaml': 'defaults: [panda]\n'
        'filename: franka_panda/urdf/panda_longer_finger.urdf\n',
        'conf/scene/calvin_scene_D.yaml': SCENE,
        'conf/tasks/new_playtable_tasks.yaml': 'tasks:\n'
        + ''.join(f'  {task}: [some_rule]\n' for task in TASKS),
        'data/franka_panda/urdf/panda_longer_finger.urdf': URDF,
        'data/franka_panda/meshes/base.obj': 'a mesh',
        'data/calvin_table_D/urdf/calvin_table_D.urdf': URDF,
        'data/calvin_table_D/meshes/base.obj': 'a mesh',
        **{f'conf/cameras/cameras/{name}.yaml': text for name, text in CAMERAS.items()},
        # what calvin_env imports, for where it is not installed
        'omegaconf.py': OMEGACONF,
        **{f'{name}.py': '' for name in ('hydra', 'git', 'quaternion')},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    shutil.copy(__file__, root / 'calvin_env/envs/play_table_env.py')
    if words:
        path = folder / 'calvin_models/conf/annotations/new_playtable_validation.yaml'
        path.parent.mkdir(parents=True)
        path.write_text(''.join(f'{task}: ["please {task}"]\n' for task in TASKS))
    return folder


def forget() -> None:
    """Undo what opening a checkout did to this process's imports."""
    for path in [p for p in sys.path if (pathlib.Path(p) / 'calvin_env/envs').is_dir()]:
        sys.path.remove(path)
    names = ('calvin_env', 'omegaconf', 'hydra', 'git', 'quaternion', 'gym')
    for module in [m for m in sys.modules if m.split('.')[0] in names]:
        del sys.modules[module]


def module() -> types.ModuleType:
    """This file as the checkout's module, once it was opened."""
    return sys.modules['calvin_env.envs.play_table_env']
