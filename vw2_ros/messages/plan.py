# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A latent plan on the wire: two standard images with the stamp of the camera image behind them.

| topic         | encoding | height x width      | content                                        |
| ------------- | -------- | ------------------- | ---------------------------------------------- |
| `latent_plan` | 16UC1    | steps x codes (4x4) | code indices of the plan, in [0, codebook)     |
| `plan_hidden` | 32FC1    | steps x d (4 x d)   | hidden states that predicted these codes       |

`header.stamp` is the stamp of the camera image that the plan was made from: whoever executes the
plan judges the age of that observation. `header.frame_id` is `plan/<CRC-32 of the instruction>/<SHA-256
of the weights>`, so that a plan for yesterday's instruction cannot be mistaken for one for today's,
nor the hidden states of one policy for those of another, which its action head would misread.
"""

import re
import zlib
from dataclasses import dataclass

import numpy as np

from vw2_ros.messages.convert import ConvertError, image_to_numpy, numpy_to_image, stamp_to_ns

_FRAME = re.compile(r'plan/([0-9a-f]{8})/([0-9a-f]{64})')


@dataclass(frozen=True)
class PlanPart:
    """One half of a plan: codes uint16 (steps, codes) or hidden states float32 (steps, d)."""

    values: np.ndarray
    stamp_ns: int
    instruction_id: str
    weights: str  # SHA-256 of the policy that made it, as `Policy.sha256`


def instruction_id(instruction: str) -> str:
    """Eight hexadecimal digits that stand for the wording (surrounding blanks do not count)."""
    return f'{zlib.crc32(instruction.strip().encode()):08x}'


def codes_to_message(codes, stamp_ns: int, instruction: str, weights: str):
    """Codes, integers (steps, codes) in [0, 65535] -> sensor_msgs/Image, 16UC1.

    `weights` is the SHA-256 of the policy, 64 hexadecimal digits.

    Raises:
        ConvertError: another shape, or a code that does not fit.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.dtype.kind not in 'iu' or codes.size == 0:
        raise ConvertError(
            f'codes must be integers (steps, codes). Got {codes.dtype} {codes.shape}.'
        )
    if codes.min() < 0 or codes.max() > 65535:
        raise ConvertError(f'codes must lie in [0, 65535]. Got {codes.min()} to {codes.max()}.')
    return numpy_to_image(
        codes.astype(np.uint16), '16UC1', stamp_ns=stamp_ns, frame_id=_frame(instruction, weights)
    )


def codes_from_message(msg, shape=None, codebook: int | None = None) -> PlanPart:
    """sensor_msgs/Image of `latent_plan` -> codes uint16 (steps, codes).

    Raises:
        ConvertError: a malformed image, another shape than `shape`, a code >= `codebook`.
    """
    part = _from_message(msg, '16UC1', shape)
    if codebook is not None and part.values.max() >= codebook:
        raise ConvertError(f'codes must be below {codebook}. Got {part.values.max()}.')
    return part


def hidden_to_message(hidden, stamp_ns: int, instruction: str, weights: str):
    """Hidden states, float (steps, d), finite -> sensor_msgs/Image, 32FC1.

    `weights` is the SHA-256 of the policy, 64 hexadecimal digits.

    Raises:
        ConvertError: another shape, or a value that is not finite.
    """
    hidden = np.asarray(hidden, np.float32)
    if hidden.ndim != 2 or hidden.size == 0:
        raise ConvertError(f'hidden states must be (steps, d). Got {hidden.shape}.')
    _finite(hidden)
    return numpy_to_image(
        hidden, '32FC1', stamp_ns=stamp_ns, frame_id=_frame(instruction, weights)
    )


def hidden_from_message(msg, shape=None) -> PlanPart:
    """sensor_msgs/Image of `plan_hidden` -> hidden states float32 (steps, d), finite.

    Raises:
        ConvertError: a malformed image, another shape than `shape`, a value that is not finite.
    """
    part = _from_message(msg, '32FC1', shape)
    _finite(part.values)
    return part


def _from_message(msg, encoding: str, shape) -> PlanPart:
    if msg.encoding != encoding:
        raise ConvertError(f'this half of a plan must be {encoding}. Got {msg.encoding!r:.60}.')
    values = image_to_numpy(msg)
    if shape is not None and values.shape != tuple(shape):
        raise ConvertError(f'plan must have shape {tuple(shape)}. Got {values.shape}.')
    frame = _FRAME.fullmatch(msg.header.frame_id)
    if frame is None:
        raise ConvertError(
            "plan's frame_id must be 'plan/', 8 hexadecimal digits of the instruction, '/' and 64 of "
            f"the weights' SHA-256. Got {msg.header.frame_id!r:.90}."
        )
    return PlanPart(values, stamp_to_ns(msg.header.stamp), *frame.groups())


def _frame(instruction: str, weights: str) -> str:
    return f'plan/{instruction_id(instruction)}/{weights}'


def _finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        count = int(np.size(values) - np.isfinite(values).sum())
        raise ConvertError(f'hidden states must be finite. Got {count} that are not.')
