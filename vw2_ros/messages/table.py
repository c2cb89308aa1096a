# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the play table says and hears, as messages."""

import array
import json

import numpy as np
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import String

from vw2_ros.arms import Arm
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import convert
from vw2_ros.sim.arms import description
from vw2_ros.sim.cameras import get_camera
from vw2_ros.sim.table import Table

RESUME_RAD = 0.1  # so near to the arm the first command after a reset must be


def joint_state(table: Table, stamp_ns: int) -> JointState:
    """Measured joints of the arm [rad, rad/s] and of the two fingers [m]."""
    half = table.gripper_width() / 2
    return convert.joints_to_message(
        (*table.arm.joints, *table.arm.finger_joints),
        np.append(table.joint_positions(), [half, half]),
        np.append(table.joint_velocities(), [0.0, 0.0]),
        stamp_ns=stamp_ns,
        frame_id=table.arm.base_frame,
    )


def robot_description(arm: str) -> String:
    """The URDF of an arm of `sim.mounts`, from which its kinematics are computed."""
    return String(data=description(arm))


def table_state(table: Table, stamp_ns: int) -> String:
    """JSON: stamp_ns, steps, scene, robot_obs (8 + n), scene_obs (24)."""
    return String(
        data=json.dumps(
            {
                'stamp_ns': stamp_ns,
                'steps': table.steps,
                'scene': table.scene.name,
                'robot_obs': table.robot_obs().tolist(),
                'scene_obs': table.scene_obs().tolist(),
            }
        )
    )


def joint_action(msg, arm: Arm) -> tuple[tuple[str, np.ndarray], int]:
    """JointTrajectory of the arm's joints and its first finger -> an action of `Table.step`.

    Returns:
        ('joint_abs', values (n + 1,)) and the stamp [ns]; a finger past the middle is to open.

    Raises:
        ConvertError: a joint is missing, a value not finite, no point.
    """
    joints = convert.trajectory_from_message(msg, (*arm.joints, arm.finger_joints[0]))
    gripper = 1.0 if joints.position[-1] > arm.finger_open_m / 2 else -1.0
    return ('joint_abs', np.append(joints.position[:-1], gripper)), joints.stamp_ns


def check_first_command(action, table) -> None:
    """Refuse a command (n + 1,) of somebody who has not heard that the table was reset.

    Raises:
        ValueError: it would draw the arm back to where it was.
    """
    away = float(np.abs(action[:-1] - table.joint_positions()).max())
    if away > RESUME_RAD:
        raise InvalidValueError(
            f'the first command after a reset must be within {RESUME_RAD} rad of the arm. Got one '
            f'{away:.2f} rad away. Call `restart` of the action node.'
        )


def rel_action(msg) -> np.ndarray:
    """Float64MultiArray -> a relative action (7,).

    Raises:
        ConvertError: not 7 finite numbers, or a gripper that is neither -1 nor +1.
    """
    values = convert.floats_from_message(msg, 7)
    if values[6] not in (-1.0, 1.0):
        raise convert.ConvertError(f'gripper must be -1 (close) or 1 (open). Got {values[6]}.')
    return values


def sensor_noise(rgb: np.ndarray, rng: np.random.Generator, pixels: int) -> np.ndarray:
    """Randomise the lowest bit of so many values of uint8 (H, W, 3), in place.

    A real sensor never repeats a frame byte for byte, and a frozen camera is known by that.
    """
    flat = rgb.reshape(-1)  # (H * W * 3,)
    flat[rng.integers(0, flat.size, pixels)] ^= rng.integers(0, 2, pixels, dtype=np.uint8)
    return rgb


def camera_info(name: str, size: int, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Calibration of camera `name` for square pictures of `size` pixels.

    Raises:
        ValueError: an unknown camera.
    """
    K = get_camera(name).intrinsics(size, size)  # (3, 3)
    msg = CameraInfo()
    msg.header.stamp = convert.ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.width = msg.height = size
    msg.distortion_model = 'plumb_bob'
    msg.d = array.array('d', [0.0] * 5)
    msg.k = K.ravel()
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [*K[0], 0.0, *K[1], 0.0, *K[2], 0.0]
    return msg
