# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a simulator knows, as a teacher of sight while the head is trained; never an input.

`Probe` watches the planner's keypoint encoder. Its first keypoints shall lie where hand, blocks and
handles are in the picture (the centre of a spatial softmax as a trained landmark: Nibali et al.
2018), and a linear layer on the image tokens shall tell where they are in space. It is thrown away
after training. A few hundred batches so place the blocks within a pixel, which the actions' error
alone does not do in some thousand.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn
import yaml

from .data import FrameStore
from .training import ConfigError
from .vision import KeypointEncoder

HANDLES = {'slider': 0, 'drawer': 1, 'switch': 3}  # column in scene_obs: how far it was moved [m]
POINTS = 7 + len(HANDLES)  # before them: TCP, hand, two fingers, three blocks
HAND_M = 0.10  # of the hand's point above the TCP, along the fingers


class Probe(nn.Module):
    """Errors of the keypoints and of a linear readout, against `targets` of the same pictures.

    Raises:
        ConfigError: the encoder has too few keypoints.
    """

    def __init__(self, vision: KeypointEncoder, state_size: int, width: int):
        super().__init__()
        c = vision.config
        if c.keypoints < POINTS:
            raise ConfigError(f'vision.keypoints must be at least {POINTS} where loss.points or '
                              f'loss.state is above 0. Got {c.keypoints}')
        self.read = nn.Linear(c.tokens * width, state_size)
        self._last: dict[str, Tensor] = {}  # what the encoder has just given
        vision.locate.register_forward_hook(
            lambda *call: self._last.__setitem__('places', call[2].place))
        vision.register_forward_hook(lambda *call: self._last.__setitem__('tokens', call[2]))

    def forward(self, state: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Errors of the last pictures.

        Args:
            state: (B, n) of `state_targets`. points: (B, POINTS, 2) of `point_targets`.
        Returns:
            mean squared error of the readout (in standard deviations); mean distance along an axis
            between keypoint and point, in halves of the picture's side.
        """
        return (F.mse_loss(self.read(self._last['tokens'].flatten(1)), state),
                F.l1_loss(self._last['places'][:, :POINTS], points))


def state_targets(store: FrameStore) -> np.ndarray:
    """What the readout tells, float32 (n, 25), each column of mean 0 and deviation 1.

    TCP position, gripper width, the six fixtures, and for each block its position and twice its
    yaw as sine and cosine (a block looks the same after half a turn).
    """
    blocks = store.scene_obs[:, 6:].reshape(-1, 3, 6)  # (n, 3, xyz + Euler)
    twice = 2 * blocks[..., 5]
    columns = [store.robot_obs[:, :3], store.robot_obs[:, 6:7], store.scene_obs[:, :6],
               blocks[..., :3].reshape(-1, 9), np.sin(twice), np.cos(twice)]
    state = np.concatenate(columns, axis=1)
    return ((state - state.mean(0)) / np.maximum(state.std(0), 1e-3)).astype(np.float32)


def point_targets(store: FrameStore) -> np.ndarray:
    """Where hand, blocks and handles are in the static camera's picture.

    Returns:
        float32 (n, POINTS, 2): x to the right, y down, both in [-1, 1] within the picture.
    Raises:
        ConfigError: a data folder does not tell how the camera stands, or where the handles are.
    """
    tcp = store.robot_obs[:, :3]
    turn = _rotation(store.robot_obs[:, 3:6])  # (n, 3, 3)
    half = 0.5 * store.robot_obs[:, 6:7] * turn[:, :, 1]
    blocks = store.scene_obs[:, 6:].reshape(-1, 3, 6)[..., :3]
    points = np.stack([tcp, tcp - HAND_M * turn[:, :, 2], tcp + half, tcp - half,
                       *blocks.transpose(1, 0, 2)], axis=1)  # (n, 7, 3)
    out = np.empty((len(store), POINTS, 2), np.float32)
    folder_of = store.folder_of(np.arange(len(store)))
    for i, folder in enumerate(store.folders):
        here = folder_of == i
        config = _config_of(folder.path)
        moved = [np.array(h['at']) + store.scene_obs[here, HANDLES[name], None] * np.array(h['along'])
                 for name, h in config['handles'].items()]
        out[here] = project(np.concatenate([points[here], np.stack(moved, axis=1)], axis=1),
                            config['camera'])
    return out.clip(-1, 1)


def _config_of(folder) -> dict:
    """`camera` and `handles` of a data folder's `.hydra/merged_config.yaml`.

    Raises:
        ConfigError: one is missing.
    """
    path = folder / '.hydra' / 'merged_config.yaml'
    try:
        config = yaml.safe_load(path.read_text())
        camera, handles = config['cameras']['static'], config['handles']
        return {'camera': {key: camera[key] for key in ('fov', 'look_from', 'look_at', 'up_vector')},
                'handles': {name: {key: handles[name][key] for key in ('at', 'along')}
                            for name in HANDLES}}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{path} must hold cameras.static (fov, look_from, look_at, up_vector) and handles of '
            f'{", ".join(HANDLES)} (at, along) for loss.points above 0, as `vw2 collect` of one '
            f'scene without --randomize writes them. Got no {error}; set it to 0') from error


def project(points: np.ndarray, camera: dict) -> np.ndarray:
    """World points (..., 3) [m] -> (..., 2) in [-1, 1], of a square picture; y down."""
    eye, at, up = (np.array(camera[key], float) for key in ('look_from', 'look_at', 'up_vector'))
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    local = (points - eye) @ np.stack([right, np.cross(forward, right), forward], axis=1)
    return local[..., :2] / (local[..., 2:] * np.tan(np.radians(camera['fov']) / 2))


def _rotation(euler: np.ndarray) -> np.ndarray:
    """Fixed-axis Euler angles xyz (n, 3) [rad] -> (n, 3, 3)."""
    (a, b, c), (A, B, C) = np.cos(euler).T, np.sin(euler).T
    return np.stack([
        np.stack([b * c, A * B * c - a * C, a * B * c + A * C], -1),
        np.stack([b * C, A * B * C + a * c, a * B * C - A * c], -1),
        np.stack([-B, A * b, a * b], -1)], axis=1)
