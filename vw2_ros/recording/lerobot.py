# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of a LeRobot data set as labelled frames, for `vw2 convert`.

What a set's columns mean stands in the contract's section `lerobot`; sets that `vw2 export lerobot`
wrote say it themselves. A row's action is the target of the next row's time:

| form   | target of the tool                                 | frames of n rows at 30 Hz |
| ------ | -------------------------------------------------- | ------------------------- |
| joints | forward kinematics of the commanded joints         | n - 1, from the second on |
| pose   | the commanded pose                                 | likewise                  |
| delta  | the first state's pose, and what was added since   | n                         |
| none   | the measured pose of the next row                  | n - 1                     |

Rates other than 30 Hz are interpolated, as those of bags are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ, POSITION_STEP_M, ROTATION_STEP_RAD
from vw2_ros.arms.contract import Contract
from vw2_ros.arms.keys import ContractError
from vw2_ros.arms.lerobot import FORMS, LeRobotSpec, column_names, find_columns
from vw2_ros.models.data import DataError
from vw2_ros.models.data.video.lerobot import lerobot_films
from vw2_ros.models.data.video.lerobot_index import LeRobotIndex
from vw2_ros.recording import labels
from vw2_ros.recording.episodes import (
    BEYOND_RAD,
    IDLE_FRAMES,
    MIN_FRAMES,
    Episode,
    Unusable,
    arm_states,
)
from vw2_ros.recording.lerobot_writer import SUCCESS
from vw2_ros.recording.tracks import FINGER_M
from vw2_ros.words import split_words

LEAST_FPS = 10  # else a frame of 30 Hz has no image within 50 ms
BEYOND_M = 0.05  # poses may be so far outside the tool's box
BEYOND_GRIPPER = 0.1  # of the gripper's way, which its values may be outside of it
MOVES_GRIPPER = 0.05  # of the gripper's way: what moves, moves at least so far
MOST_TOO_FAST = 0.5  # of the frames
# in the feature `info` of `action`, where vw2 export wrote it: what docs/recording.md calls steps
OWN = {'vw2': 'steps', 'position_step_m': POSITION_STEP_M, 'rotation_step_rad': ROTATION_STEP_RAD}
OWN_JOINTS = {'vw2': 'joints', 'angle': 'rad', 'open': 1.0, 'closed': 0.0}


@dataclass(frozen=True)
class Rows:
    """The rows of an episode in this package's units."""

    states: np.ndarray  # float64 (n, 15), see Table.robot_obs
    poses: np.ndarray  # float64 (n, 6): measured poses of the tool, base frame [m, rad]
    times: np.ndarray  # float64 (m,): when the targets are reached, in rows
    targets: np.ndarray  # float64 (m, 6)
    gripper: np.ndarray  # float64 (n,): -1 or +1, from each row's time on


class LeRobotSet:
    """A LeRobot data set whose actions and states can be read.

    Args:
        index: of the set. contract: of the robot. camera: key of the pictures; '': the contract's,
            or the first.
    Raises:
        ContractError: what the columns mean is not said, or the data do not fit to it; the message
            names the key. DataError: see `LeRobotIndex`; or the set is too slow.
    """

    def __init__(self, index: LeRobotIndex, contract: Contract, camera: str = ''):
        self.index, self.contract = index, contract
        if index.fps < LEAST_FPS:
            raise DataError(
                f'{index.path}: fps must be at least {LEAST_FPS}, to make 30 frames a second of. '
                f'Got {index.fps:g}'
            )
        self.own = self._own_action()
        self.spec = None if self.own else self._spec()
        wanted = camera or (self.spec.camera if self.spec else '')
        self.camera = index.camera([wanted] if wanted else [])
        self._columns = {} if self.own else self._find_columns()

    def report(self) -> dict:
        """What was taken, for people."""
        return {
            'camera': self.camera,
            'cameras': self.index.cameras(),
            'fps': self.index.fps,
            'actions': 'steps' if self.own else self.spec.form,
        }

    def films(self, damaged: dict[str, str]) -> Iterator[tuple[int, Iterator]]:
        """See `lerobot_films`."""
        return lerobot_films(self.index, self.camera, damaged)

    def _own_action(self) -> dict | None:
        info = self.index.features.get('action', {}).get('info')
        if not isinstance(info, dict) or info.get('vw2') != OWN['vw2']:
            return None
        if any(info.get(key) != value for key, value in OWN.items()):
            raise DataError(f'{self.index.path}: action must be in steps of {OWN}. Got {info}')
        return info

    def _spec(self) -> LeRobotSpec:
        if self.index.features.get('action', {}).get('info') == OWN_JOINTS:
            return JOINTS
        if self.contract.lerobot is None:
            shape = self.index.features.get('action', {}).get('shape')
            names = ', '.join(column_names(self.index.features.get('action', {})))
            raise ContractError(
                f'contract {self.contract.file.name}: lerobot is missing, which says what the '
                f'columns of {self.index.root} mean: lerobot.form ({", ".join(FORMS)}), units and '
                f'the gripper. Got an action of shape {shape}'
                + (f', {names}' if names else '')
                + '; docs/contract.md explains the keys'
            )
        return self.contract.lerobot

    def _find_columns(self) -> dict[str, list[int]]:
        """Numbers of the columns: action, state, gripper, state_gripper."""
        spec, found = self.spec, {}
        parts = [('state', spec.state, spec.state_form, spec.state_columns, 'state_columns')]
        if spec.form != 'none':
            parts.insert(0, ('action', spec.action, spec.form, spec.columns, 'columns'))
        for part, key, form, columns, said in parts:
            names, n = self._feature(part, key)
            found[part] = self._part(form, columns, said, key, names, n)
            hand, said = (spec.gripper, 'gripper.column')
            if part == 'state':
                hand, said = (spec.state_gripper, 'gripper.state_column')
            if hand is not None:
                found[f'{part}_gripper'] = find_columns(spec, said, [hand], key, names, n)
        return found

    def _feature(self, part: str, key: str) -> tuple[list[str], int]:
        features, spec = self.index.features, self.spec
        if key not in features:
            raise spec.error(
                part,
                f'must be a feature of {self.index.path}. Got {key!r}, it has '
                f'{", ".join(features)}',
            )
        shape = features[key].get('shape')
        if not isinstance(shape, (list, tuple)) or len(shape) != 1:
            raise spec.error(part, f'must have one axis. Got {key!r} of shape {shape}')
        return column_names(features[key]), int(shape[0])

    def _part(self, form, columns, said: str, key: str, names: list[str], n: int) -> list[int]:
        """Numbers of the columns of joints or of a pose."""
        spec, joints = self.spec, self.contract.joints
        size = len(joints)
        if form != 'joints':
            size = 3 + {'quaternion': 4}.get(spec.rotation, 3)
        if columns and len(columns) != size:
            raise spec.error(said, f'must be {size} columns. Got {len(columns)}')
        if not columns and form == 'joints' and names:
            columns = joints
        if not columns and n < size:
            raise spec.error(said, f'must be {size} columns of {key}. Got {n}')
        return find_columns(spec, said, columns or range(size), key, names, n)

    # -- episodes

    def spans(self, number: int, instruction: str = '') -> list[tuple[int, int, str]]:
        """(first row, row after the last, words) of what an episode shows."""
        rows = self.index.rows(
            number, ['task_index'] if 'task_index' in self.index.features else []
        )
        n = len(rows['frame_index'])
        if not self.index.tasks or 'task_index' not in rows:
            return [(0, n, ' '.join(instruction.split()))]
        task = np.asarray(rows['task_index']).reshape(-1)
        cuts = [0, *(np.flatnonzero(np.diff(task)) + 1).tolist(), n]
        return [
            (a, b, ' '.join(self.index.tasks.get(int(task[a]), instruction).split()))
            for a, b in zip(cuts[:-1], cuts[1:])
            if b > a
        ]

    def success(self, number: int) -> bool | None:
        """How an episode ended; None: the set does not say."""
        if SUCCESS not in self.index.features:
            return self.index.successes.get(number)
        return bool(np.asarray(self.index.rows(number, [SUCCESS])[SUCCESS], bool).any())

    def label(self, number: int, first: int, stop: int, instruction: str) -> Episode:
        """Frames and actions of some rows of an episode.

        Raises:
            Unusable: the reason. ContractError: units or ranges are not as the contract says.
        """
        if instruction and not split_words(instruction):
            raise Unusable(f'an instruction must hold a word, got {instruction!r}')
        if self.success(number) is False:
            raise Unusable(
                f'not a success: {SUCCESS} is never true'
                if SUCCESS in self.index.features
                else 'not a success: meta/episodes says so'
            )
        rows = self._rows(number, first, stop)
        fps, frame = self.index.fps, self.contract.action_frame
        tick = np.arange(
            np.ceil(rows.times[0] * ACTION_HZ / fps - 0.1),
            np.floor(rows.times[-1] * ACTION_HZ / fps + 0.1) + 1,
        )  # (n + 1,), in periods of an action since the first row
        n = len(tick) - 1
        if n < MIN_FRAMES:
            raise Unusable(f'{max(n, 0)} frames, wanted at least {MIN_FRAMES} (half a second)')
        at = tick * fps / ACTION_HZ  # (n + 1,), in rows
        poses = labels.between(rows.times, rows.targets, at)
        before, last = at[:-1], len(rows.states) - 1
        gripper = rows.gripper[np.floor(before + 0.1).astype(int).clip(0, last)]
        actions, too_fast = labels.relative_actions(poses, gripper, frame)
        if too_fast > MOST_TOO_FAST and self.spec:
            raise self.spec.error(
                'length' if self.spec.form != 'joints' else 'angle',
                f'or lerobot.form do not fit to {self.index.root}: {too_fast:.0%} of the frames of '
                f'episode {number} are faster than an arm can be',
            )
        moves = np.flatnonzero(labels.moving(poses, gripper))
        if instruction and not len(moves):
            raise Unusable('neither arm nor gripper moves: a policy would learn to stand still')
        shown = np.full(n, bool(instruction))
        if instruction and not self.own:
            shown[: max(0, moves[0] - IDLE_FRAMES)] = False
            shown[moves[-1] + 1 + IDLE_FRAMES :] = False
        facts = {
            'frames': n,
            'shown': int(shown.sum()),
            'actions': 'steps' if self.own else self.spec.form,
            'gripper': 'action' if self.own or self.spec.form != 'none' else 'fingers',
            'too_fast': round(float(too_fast), 4),
            'lost': 0.0,
        }
        image = first + np.rint(before).astype(np.int64).clip(0, last)
        states = labels.between(np.arange(last + 1.0), rows.states, before)
        return Episode(instruction, image, states, actions, np.ones(n, bool), shown, facts)

    def _rows(self, number: int, first: int, stop: int) -> Rows:
        state = self.spec.state if self.spec else 'observation.state'
        action = self.spec.action if self.spec else 'action'
        wanted = [state] if self.spec and self.spec.form == 'none' else [state, action]
        rows = self.index.rows(number, wanted)
        if (np.diff(rows['frame_index']) != 1).any() or rows['frame_index'][0] != 0:
            raise Unusable('rows are missing: frame_index must count from 0, one by one')
        values = {}
        for key in wanted:
            values[key] = np.asarray(rows[key][first:stop], float)
            if values[key].ndim != 2 or not np.isfinite(values[key]).all():
                raise Unusable(f'{key} must be finite numbers. Got others')
        if self.own:
            return self._own_rows(values[state], values[action])
        return self._said_rows(number, values[state], values.get(action))

    def _own_rows(self, state: np.ndarray, action: np.ndarray) -> Rows:
        if state.shape[1] != 15 or action.shape[1] != 7:
            raise Unusable(
                f'state and action must have 15 and 7 columns. Got {state.shape[1]} and '
                f'{action.shape[1]}'
            )
        steps, n = action[:, :6] * labels.SCALE, len(state)
        spec = dataclasses.replace(STEPS, frame=str(self.own.get('frame', 'base')))
        targets = spec.follow(state[0, :6], steps)
        gripper = np.where(action[:, 6] > 0, 1.0, -1.0)
        return Rows(state, state[:, :6], np.arange(n + 1.0), targets, gripper)

    def _said_rows(self, number: int, state: np.ndarray, action: np.ndarray | None) -> Rows:
        spec, where, n = self.spec, self._columns, len(state)
        joints, poses = self._tool(number, spec.state_form, state[:, where['state']], 'state')
        opening = np.zeros(n)
        if 'state_gripper' in where:
            opening = self._opening(number, state[:, where['state_gripper'][0]], 'state')
        if spec.form == 'none':
            if 'state_gripper' not in where:
                raise spec.error('gripper.state_column', 'must be a column for form: none')
            times, targets = np.arange(float(n)), poses
            gripper = labels.gripper_of_motion(opening * FINGER_M)
        else:
            told = action[:, where['action']]
            if spec.form == 'delta':
                times, targets = np.arange(n + 1.0), spec.follow(poses[0], told)
                self._check_box(number, targets)
            else:
                times = np.arange(1.0, n + 1)
                targets = self._tool(number, spec.form, told, 'action')[1]
            hand = self._opening(number, action[:, where['action_gripper'][0]], 'action')
            gripper = np.where(hand > 0.5, 1.0, -1.0)
        states = arm_states(
            self.contract.arm,
            joints,
            opening * FINGER_M,
            gripper,
            None if joints.shape[1] else poses,
        )
        return Rows(states, poses, times, targets, gripper)

    def _tool(
        self, number: int, form: str, values: np.ndarray, part: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints (n, k) [rad], k = 0 where they are not said, and poses of the tool (n, 6)."""
        if form == 'pose':
            poses = self.spec.poses(values)
            self._check_box(number, poses)
            return np.zeros((len(values), 0)), poses
        limits, joints = self.contract.limits, self.spec.joints_rad(values)
        beyond = np.maximum(limits.lower_rad - joints, joints - limits.upper_rad)
        if beyond.max() > BEYOND_RAD:
            at, joint = np.unravel_index(beyond.argmax(), beyond.shape)
            raise self.spec.error(
                'angle',
                f'({self.spec.angle}) does not fit: in episode {number} of {self.index.root} the '
                f'{part} has {limits.joints[joint]} at {joints[at, joint]:.2f} rad, outside '
                f'{limits.lower_rad[joint]:.2f} to {limits.upper_rad[joint]:.2f}. Other units, '
                'other columns or another arm?',
            )
        if self.spec.angle == 'deg' and np.abs(values).max() < 2 * np.pi:
            raise self.spec.error(
                'angle',
                f'must be the unit of {self.index.root}. Got deg, but in episode {number} no joint '
                f'is further than {np.abs(values).max():.2f} from 0. Are these radians?',
            )
        return joints, labels.tcp_poses(joints, self.contract.arm)

    def _check_box(self, number: int, poses: np.ndarray) -> None:
        limits = self.contract.limits
        beyond = np.maximum(limits.box_lower_m - poses[:, :3], poses[:, :3] - limits.box_upper_m)
        if beyond.max() > BEYOND_M:
            at = poses[np.unravel_index(beyond.argmax(), beyond.shape)[0], :3]
            raise self.spec.error(
                'length',
                f'({self.spec.length}) does not fit: in episode {number} of {self.index.root} the '
                f'tool is at {np.round(at, 3).tolist()} m, outside the box of limits. Other units, '
                'another base frame, or form: delta?',
            )

    def _opening(self, number: int, values: np.ndarray, part: str) -> np.ndarray:
        opening = self.spec.opening(values)
        if opening.min() < -BEYOND_GRIPPER or opening.max() > 1 + BEYOND_GRIPPER:
            raise self.spec.error(
                'gripper.open',
                f'and closed must be the ends of the gripper in {self.index.root}. Got '
                f'{self.spec.open:g} and {self.spec.closed:g}, but the {part} of episode {number} '
                f'goes from {values.min():g} to {values.max():g}',
            )
        if 1e-6 < np.ptp(opening) < MOVES_GRIPPER and part == 'action':
            raise self.spec.error(
                'gripper.open',
                f'and closed must be the ends of the gripper in {self.index.root}. Got '
                f'{self.spec.open:g} and {self.spec.closed:g}, but the {part} of episode {number} '
                f'only goes from {values.min():g} to {values.max():g}. Other units?',
            )
        return opening


# what vw2 export writes, already in m and rad
STEPS = LeRobotSpec(
    form='delta',
    state_form='pose',
    action='action',
    state='observation.state',
    columns=(),
    state_columns=(),
    angle='rad',
    length='m',
    rotation='euler',
    frame='base',
    gripper=6,
    state_gripper=None,
    open=1.0,
    closed=-1.0,
    camera='',
    file='vw2 export',
)
JOINTS = dataclasses.replace(
    STEPS,
    form='joints',
    state_form='joints',
    gripper='gripper',
    state_gripper='gripper',
    closed=0.0,
)
