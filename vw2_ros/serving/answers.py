# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a policy server answers, whatever carries it.

A question is the payload of an observation of vla-eval's protocol, an answer that of an action:

| `ask` | with | answer |
| --- | --- | --- |
| none | `images` {name: uint8 (H, W, 3)}, `task_description` str | `actions` float32 (7,) |
| facts | | `name`, `image_size`, `chunk`, `hidden_shape`, `parameters` |
| instruction | `instruction` str, `least_known` float | `refused`: why nobody would follow it |
| frame | `frame` str, `must_say` bool | `refused`: why its actions have others |
| plan | `picture` bytes, `instruction`, `followed_s` float | `codes` int64 (k, N), `hidden` |
| actions | `hidden` float32 (k, d) | `actions` float32 (n, 7) in [-1, 1] |

`hidden` is float32 (k, d); `followed_s`, for how long this instruction has been followed [s].
A picture is a file (png, webp, ...) of S x S pixels, as the policy sees it, compressed without loss.

The first is what harnesses ask at each step, with `episode_restart` where a subtask begins. Its answer
is relative: [m], [rad] (Euler angles), and the gripper, exactly -1 (closed) or +1 (open). The others
are a robot's (`remote`). Their answers have the weights' `sha256`, too, and the model's time `ms`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ, POSITION_STEP_M, ROTATION_STEP_RAD
from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.models.data.pictures import read_picture

CAMERA = 'rgb_static'  # CALVIN's name of the picture, where there are several
UNITS = np.array([*[POSITION_STEP_M] * 3, *[ROTATION_STEP_RAD] * 3, 1.0], np.float32)


class Answers:
    """Answers from one policy to many sessions, each with actions of a plan of its own.

    Args:
        policy: a `Policy`, or what has its `plan`, `actions`, `fit` and facts.
        execute: actions of a plan that a session gets before the next plan.
    Raises:
        InvalidValueError: execute is not in 1..the policy's chunk.
    """

    def __init__(self, policy, execute: int = 8):
        if not 1 <= execute <= policy.chunk:
            raise InvalidValueError(f'execute must lie in 1..{policy.chunk}. Got {execute}.')
        self.policy, self.execute = policy, execute
        self._left: dict[str, deque[np.ndarray]] = {}  # session -> actions not yet given
        self._given: dict[str, int] = {}  # session -> actions given since its subtask began

    def forget(self, session: str) -> None:
        """The session's next action comes from a new plan, the first of a subtask."""
        self._left.pop(session, None)
        self._given.pop(session, None)

    def answer(self, question: Mapping[str, Any], session: str) -> dict[str, Any]:
        """Answer one question of a session; see the head of this file.

        Raises:
            InvalidValueError: something is missing or wrong.
            CheckpointError: a harness asks a policy whose actions have the tool's axes.
        """
        kind = question.get('ask', 'step')
        if kind == 'step':
            return self._step(question, session)
        kinds = {
            'facts': self._facts,
            'instruction': self._check_instruction,
            'frame': self._check_frame,
            'plan': self._plan,
            'actions': self._actions,
        }
        if kind not in kinds:
            raise InvalidValueError(f'ask must be one of {", ".join(kinds)}. Got {kind!r:.40}')
        began = time.perf_counter()
        found = kinds[kind](question)
        ms = 1e3 * (time.perf_counter() - began)
        return {**found, 'sha256': self.policy.sha256, 'ms': ms}

    def _step(self, question: Mapping[str, Any], session: str) -> dict[str, Any]:
        if question.get('episode_restart'):
            self.forget(session)
        left = self._left.get(session)
        if not left:
            self.policy.check_action_frame('base')
            rgb = self.policy.fit(_picture(_entry(question, 'images', Mapping)))
            followed_s = self._given.get(session, 0) / ACTION_HZ
            plan = self.policy.plan(rgb, _entry(question, 'task_description', str), followed_s)
            actions = self.policy.actions(plan.hidden)[: self.execute] * UNITS
            actions[:, 6] = np.where(actions[:, 6] > 0, 1.0, -1.0)
            left = self._left[session] = deque(actions)
        self._given[session] = self._given.get(session, 0) + 1
        return {'actions': left.popleft()}

    def _facts(self, _) -> dict[str, Any]:
        p = self.policy
        return {
            'name': p.path.name,
            'image_size': p.image_size,
            'chunk': p.chunk,
            'hidden_shape': list(p.hidden_shape),
            'parameters': p.parameters,
        }

    def _check_instruction(self, question: Mapping[str, Any]) -> dict[str, Any]:
        text, least = _entry(question, 'instruction', str), _entry(question, 'least_known', float)
        return _refused(lambda: self.policy.check_instruction(text, least))

    def _check_frame(self, question: Mapping[str, Any]) -> dict[str, Any]:
        frame, must_say = _entry(question, 'frame', str), _entry(question, 'must_say', bool)
        return _refused(lambda: self.policy.check_action_frame(frame, must_say=must_say))

    def _plan(self, question: Mapping[str, Any]) -> dict[str, Any]:
        rgb = read_picture(_entry(question, 'picture', bytes))
        followed_s = _entry({'followed_s': 0.0, **question}, 'followed_s', float)
        plan = self.policy.plan(rgb, _entry(question, 'instruction', str), followed_s)
        return {'codes': plan.codes, 'hidden': plan.hidden}

    def _actions(self, question: Mapping[str, Any]) -> dict[str, Any]:
        return {'actions': self.policy.actions(_entry(question, 'hidden', np.ndarray))}


def _refused(check: Callable[[], None]) -> dict[str, str]:
    try:
        check()
    except VW2Error as error:
        return {'refused': str(error)}
    return {'refused': ''}


def _entry(question: Mapping[str, Any], key: str, kind: type) -> Any:
    value = question.get(key)
    if not isinstance(value, kind):
        raise InvalidValueError(
            f'{key} must be there, of type {kind.__name__}. Got {type(value).__name__}, among '
            f'{", ".join(map(str, question)) or "nothing":.200}'
        )
    return value


def _picture(images: Mapping[str, Any]) -> Any:
    if CAMERA in images:
        return images[CAMERA]
    if len(images) == 1:
        return next(iter(images.values()))
    raise InvalidValueError(
        f'images must hold {CAMERA}, or one picture only: the policy sees one static camera. '
        f'Got {", ".join(map(str, images)) or "none":.200}'
    )
