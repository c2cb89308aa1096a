# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Malformed ROS messages of any type: good ones with wrong fields, and fields filled at random."""

import array
import json

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String

from vw2_ros.arms import open_arm
from vw2_ros.encodings import PICTURES
from vw2_ros.messages import convert
from vw2_ros.messages import plan as plan_message

TEXTS = (
    '',
    ' ',
    '\n\t',
    'x' * 5000,
    'öffne die Schublade',
    '\U0001f916' * 40,
    'open the drawer',
    '{"type": [',
    'null',
    'plan/00000000/' + '0' * 64,
    '../../etc/passwd',
)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e308, -1e308, np.nan, np.inf, -np.inf, 90.0)
INTEGERS = (0, 1, -1, 2, 3, 7, 96, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
# [low, high] of the integers of rosidl's type names
RANGES = {
    **{f'uint{n}': (0, 2**n - 1) for n in (8, 16, 32, 64)},
    **{f'int{n}': (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    'octet': (0, 255),
    'char': (0, 255),
}


def _scalar(rng, kind):
    if kind in ('float', 'double'):
        value = NUMBERS[rng.integers(len(NUMBERS))]
        return float(np.clip(value, -3e38, 3e38)) if kind == 'float' else value
    if kind == 'boolean':
        return bool(rng.integers(2))
    if kind.startswith(('string', 'wstring')):
        return TEXTS[rng.integers(len(TEXTS))]
    low, high = RANGES[kind]
    return int(np.clip(INTEGERS[rng.integers(len(INTEGERS))], low, high))


def fill(rng, message, share=1.0):
    """Give each field, at random, a value that its type allows and nobody would send."""
    for name, kind in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        if hasattr(value, 'get_fields_and_field_types'):
            fill(rng, value, share)
            continue
        if rng.random() > share:
            continue
        if kind.startswith('sequence<') or kind.endswith(']'):
            inner = kind.removeprefix('sequence<').rstrip('>').partition('[')[0].partition(',')[0]
            if '/' in inner:
                continue  # sequences of messages stay as they are
            fixed = len(value) if kind.endswith(']') else None
            count = fixed if fixed is not None else int(rng.integers(0, 12))
            values = [_scalar(rng, inner) for _ in range(count)]
            setattr(message, name, _like(value, values))
        else:
            setattr(message, name, _scalar(rng, kind))
    return message


def _like(value, values):
    if isinstance(value, array.array):
        return array.array(value.typecode, values)
    if isinstance(value, np.ndarray):
        return np.array(values, value.dtype)
    return values


# ------------------------------------------------------------------- good ones, then made wrong


def _image(rng, now_ns):
    rgb = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    message = convert.numpy_to_image(rgb, 'rgb8', stamp_ns=now_ns)
    message.encoding = str(
        rng.choice([*convert.ENCODINGS, *PICTURES, 'rgb8', 'RGB8', '', 'x' * 300])
    )
    return message


def _compressed(rng, now_ns):
    rgb = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    message = convert.rgb_to_compressed(rgb, ('jpeg', 'png')[rng.integers(2)], stamp_ns=now_ns)
    data = bytearray(message.data)
    for at in rng.integers(0, len(data), 4):
        data[at] = rng.integers(256)
    message.data = array.array('B', data[: rng.integers(1, len(data) + 1)])
    return message


def _plan(rng, now_ns):
    hidden = rng.normal(size=rng.choice([(4, 16), (4, 15), (1, 1)])).astype(np.float32)
    message = plan_message.hidden_to_message(hidden, now_ns, 'open the drawer', 'f' * 64)
    values = np.frombuffer(message.data, np.float32).copy()
    values[rng.integers(len(values))] = rng.choice([np.nan, np.inf, 1e38, 0.0])
    message.data = array.array('B', values.tobytes())
    return message


def _codes(rng, now_ns):
    codes = rng.integers(0, 65536, rng.choice([(4, 4), (4, 3), (1, 1)]))
    return plan_message.codes_to_message(codes, now_ns, 'open the drawer', 'f' * 64)


def _joints(rng, now_ns):
    names = [*open_arm().joints, *open_arm().joints, 'elbow', '']
    count = int(rng.integers(0, 12))
    message = JointState(
        name=[str(n) for n in rng.choice(names, count, replace=bool(rng.integers(2)))],
        position=rng.choice(NUMBERS, int(rng.choice([count, rng.integers(0, 12)]))),
    )
    message.header.stamp = convert.ns_to_stamp(now_ns)
    return message


def _json(rng, _):
    keys = ('weights', 'sha256', 'do', 'load', 'swap', 'id', 'error', 'ok', 'serial')
    values = (None, 1, -1.5, True, [], {}, 'x', 'f' * 64, 'load', 'swap', float('nan'), [[[]]])
    content = {
        str(rng.choice(keys)): values[rng.integers(len(values))] for _ in range(rng.integers(0, 6))
    }
    whole = json.dumps(content if rng.integers(3) else values[rng.integers(len(values))])
    return String(data=whole[: rng.integers(0, len(whole) + 1)] if rng.integers(2) else whole)


def _twist(rng, now_ns):
    message = TwistStamped()
    message.header.stamp = convert.ns_to_stamp(now_ns)
    message.twist.linear.x, message.twist.angular.z = rng.choice(NUMBERS, 2).tolist()
    return message


def _info(rng, now_ns):
    message = CameraInfo(height=480, width=640, k=[500.0, 0, 320, 0, 500, 240, 0, 0, 1])
    message.header.stamp = convert.ns_to_stamp(now_ns)
    return message


MAKERS = {
    'plan_hidden': _plan,
    'latent_plan': _codes,
    'weights': _json,
    'weights_loaded': _json,
    Image: _image,
    CompressedImage: _compressed,
    CameraInfo: _info,
    JointState: _joints,
    TwistStamped: _twist,
}


def malformed(rng, kind, topic, now_ns):
    """One message of type `kind`, as no honest node sends it, for the topic (its last part)."""
    make = MAKERS.get(topic) or MAKERS.get(kind)
    if make is None or rng.random() < 0.3:
        return fill(rng, kind())
    message = make(rng, int(now_ns + rng.choice([0, 0, 0, -(10**9), 10**9, 10**12])))
    return fill(rng, message, share=rng.choice([0.0, 0.2, 0.5]))
