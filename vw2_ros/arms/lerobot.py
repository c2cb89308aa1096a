# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the columns of a LeRobot data set mean, as a contract's section `lerobot` says it.

A LeRobot data set names its columns, but says no units. Nothing is guessed: what the section leaves
out and the data do not say is an error that names the key. docs/contract.md explains each key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vw2_ros.arms.geometry import (
    euler_to_matrix,
    matrix_to_euler,
    quaternion_to_matrix,
    rotvec_to_matrix,
)
from vw2_ros.arms.keys import ContractError, Keys

FORMS = ('joints', 'pose', 'delta', 'none')
STATES = ('joints', 'pose')
ANGLES = {'rad': 1.0, 'deg': math.pi / 180}  # in rad
LENGTHS = {'m': 1.0, 'mm': 1e-3}  # in m
ROTATIONS = {'euler': 3, 'rotvec': 3, 'quaternion': 4}  # columns of each
FRAMES = ('base', 'tool')

Column = int | str  # a column's number, or its name


@dataclass(frozen=True)
class LeRobotSpec:
    """The section `lerobot` of a contract."""

    # what `action` holds. joints, pose: targets; delta: what is added to the target's pose;
    # none: nothing of use, and the actions are made of the states
    form: str
    state_form: str  # what `state` holds: joints or pose
    action: str  # feature with the actions
    state: str  # feature with the measured states
    columns: tuple[Column, ...]  # of joints or pose in `action`, in order; (): by joint names
    state_columns: tuple[Column, ...]  # likewise in `state`
    angle: str  # one of ANGLES
    length: str  # one of LENGTHS
    rotation: str  # one of ROTATIONS; quaternions are x, y, z, w
    frame: str  # whose axes a delta has: 'base' or 'tool'
    gripper: Column  # column of the gripper in `action`
    state_gripper: Column | None  # in `state`; None: it is not there
    open: float  # value of these columns where the gripper is open
    closed: float  # likewise closed
    camera: str  # feature with the pictures; '': the first in colour
    file: str  # how messages call the contract

    def error(self, key: str, text: str) -> ContractError:
        """The error for one key: 'contract my_arm.yaml: lerobot.angle must be ...'."""
        return ContractError(f'{self.file}: lerobot.{key} {text}')

    def joints_rad(self, values: np.ndarray) -> np.ndarray:
        """Columns of joints (n, k) in radians."""
        return values * ANGLES[self.angle]

    def poses(self, values: np.ndarray) -> np.ndarray:
        """Columns of a pose (n, 3 + ...) as (n, 6): xyz [m], Euler angles [rad] without jumps."""
        turns = values[:, 3:]
        if self.rotation == 'euler':
            euler = turns * ANGLES[self.angle]
        elif self.rotation == 'rotvec':
            euler = [
                matrix_to_euler(rotvec_to_matrix(turn * ANGLES[self.angle])) for turn in turns
            ]
        else:
            euler = [matrix_to_euler(quaternion_to_matrix(turn)) for turn in turns]
        euler = np.asarray(euler, float).reshape(-1, 3)
        return np.column_stack([values[:, :3] * LENGTHS[self.length], np.unwrap(euler, axis=0)])

    def follow(self, start: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Poses (n + 1, 6) that deltas (n, 6) lead along, from a pose (6,) on."""
        steps = np.array(values, float)
        steps[:, :3] *= LENGTHS[self.length]
        steps[:, 3:] *= ANGLES[self.angle]
        if self.frame == 'base' and self.rotation == 'euler':
            return start + np.concatenate([np.zeros((1, 6)), np.cumsum(steps, axis=0)])
        poses = [np.asarray(start, float)]
        for step in steps:
            at, turn = poses[-1][:3], euler_to_matrix(poses[-1][3:])
            by = (rotvec_to_matrix if self.rotation == 'rotvec' else euler_to_matrix)(step[3:])
            if self.frame == 'tool':
                at, turn = at + turn @ step[:3], turn @ by
            else:
                at, turn = at + step[:3], by @ turn
            poses.append(np.append(at, matrix_to_euler(turn)))
        out = np.array(poses)
        out[:, 3:] = np.unwrap(out[:, 3:], axis=0)
        return out

    def opening(self, values: np.ndarray) -> np.ndarray:
        """How far the gripper is open at values of its column: 0 closed, 1 open."""
        return (np.asarray(values, float) - self.closed) / (self.open - self.closed)


def lerobot_spec(keys: Keys) -> LeRobotSpec:
    """Read the section.

    Raises:
        ContractError: a key is missing or makes no sense.
    """
    form = keys.text('form', of=FORMS)
    state_form = keys.text(
        'state_form', 'joints' if form in ('joints', 'none') else 'pose', of=STATES
    )
    poses = 'pose' in (form, state_form) or form == 'delta'
    rotation = keys.text('rotation', of=ROTATIONS) if poses else 'euler'
    turns = rotation != 'quaternion' or 'joints' in (form, state_form)
    if form == 'delta' and rotation == 'quaternion':
        raise keys.error('rotation', "must be euler or rotvec for form: delta. Got 'quaternion'")
    hand = keys.into('gripper')
    column = _column(hand, 'column')
    spec = LeRobotSpec(
        form=form,
        state_form=state_form,
        action=keys.text('action', 'action'),
        state=keys.text('state', 'observation.state'),
        columns=_columns(keys, 'columns'),
        state_columns=_columns(keys, 'state_columns'),
        angle=keys.text('angle', of=ANGLES) if turns else keys.text('angle', 'rad', of=ANGLES),
        length=keys.text('length', of=LENGTHS) if poses else keys.text('length', 'm', of=LENGTHS),
        rotation=rotation,
        frame=keys.text('frame', 'base', of=FRAMES),
        gripper=column,
        state_gripper=_column(hand, 'state_column', column),
        open=hand.number('open'),
        closed=hand.number('closed'),
        camera=keys.text('camera', ''),
        file=keys.file,
    )
    if spec.open == spec.closed:
        raise hand.error('open', f'must not be the same as closed. Got {spec.open}')
    hand.end()
    keys.end()
    return spec


def _column(keys: Keys, key: str, *default: Column) -> Column | None:
    value = keys.get(key, *default)
    if value is None or (value == 'none' and key == 'state_column'):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == '':
        raise keys.error(key, f"must be a column's number or name. Got {value!r}")
    return value


def _columns(keys: Keys, key: str) -> tuple[Column, ...]:
    value = keys.get(key, [])
    fits = isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, str)) and not isinstance(v, bool) for v in value
    )
    if not fits or len(set(value)) != len(value):
        raise keys.error(key, f'must be different columns, by number or name. Got {value!r}')
    return tuple(value)


def column_names(feature: dict) -> list[str]:
    """The names of a feature's columns, [] where it has none."""
    names = feature.get('names')
    if isinstance(names, dict):
        parts = list(names.values())
        if all(isinstance(part, (list, tuple)) for part in parts):
            names = [name for part in parts for name in part]
        else:  # name -> number
            names = sorted(names, key=lambda name: (str(type(names[name])), names[name]))
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else []


def find_columns(
    spec: LeRobotSpec,
    key: str,
    wanted: Sequence[Column],
    feature: str,
    names: Sequence[str],
    n: int,
) -> list[int]:
    """Numbers of the wanted columns among the `n` of a feature.

    Raises:
        ContractError: one is not there; the message names the key that wants it.
    """
    found = []
    for column in wanted:
        same = [i for i, name in enumerate(names) if str(column) in (name, name.rsplit('.', 1)[0])]
        if isinstance(column, int) and -n <= column < n:
            found.append(column % n)
        elif isinstance(column, str) and len(same) == 1:
            found += same
        else:
            there = f'called {", ".join(names)}' if names else f'0 to {n - 1}, without names'
            raise spec.error(
                key, f'must be columns of {feature}. Got {column!r}; its columns are {there}'
            )
    return found
