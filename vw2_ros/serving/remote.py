# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy on another machine, with the methods of `Policy` that a robot's nodes call. No torch.

    policy = open_policy('ws://gpu:8000')   # where `vw2 serve` runs
    plan = policy.plan(rgb, 'open the drawer')

Every question has a deadline. An answer that comes later is dropped, and no plan is made: the action
node then holds by its own rules, as with a planner that is silent for any other reason. One question
is under way at a time, so a network that comes back delivers one old answer, not a queue of them. A
connection that was lost is made anew by the next question.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from vw2_ros.errors import InvalidValueError, MissingPackageError, VW2Error

SCHEMES = ('ws://', 'wss://')
DEADLINE_S = 0.2  # a plan from an older image moves nothing soon after (max_plan_age_s)
START_S = 10.0  # the first answer may take so long, the machines may be busy with loading
CONNECT_S = 2.0  # to connect, which takes several ways to and fro
GIVE_UP_S = 2.0  # a question without an answer for so long: another connection may do better


class NoAnswerError(VW2Error):
    """A policy server did not answer in time, or is not there, or refused."""


@dataclass(frozen=True)
class RemotePlan:
    """As `Plan`: codes int64 (steps, N), hidden float32 (steps, width), timings [ms]."""

    codes: np.ndarray
    hidden: np.ndarray
    timings: dict[str, float]


def is_address(weights: str) -> bool:
    """Whether weights are named by the address of a policy server."""
    return str(weights).startswith(SCHEMES)


def open_policy(weights: str, *, deadline_s: float = DEADLINE_S, threads: int = 1, **options):
    """A policy from the address of its server, or as `Policy.load` takes it.

    Args:
        deadline_s: of a policy server, see `RemotePolicy`.
        threads, options: of `Policy.load`; those of a policy server were given to `vw2 serve`.
    Raises:
        InvalidValueError: codes shall be sampled, which a server does not do.
        Others: see `RemotePolicy` and `Policy.load`.
    """
    if is_address(weights):
        if options.get('temperature'):
            raise InvalidValueError(
                f'temperature must be 0 with {weights}, whose plans are the likeliest codes. '
                f'Got {options["temperature"]}'
            )
        return RemotePolicy(weights, deadline_s)
    from vw2_ros.models.policy import Policy  # seconds of import: only where it is used

    return Policy.load(weights, threads=threads, **options)


class RemotePolicy:
    """Asks a policy server; safe to call from several threads, which then wait for each other.

    Args:
        address: ws://HOST:PORT. deadline_s: how long an answer may take [s].
    Raises:
        MissingPackageError: vla-eval, whose protocol it is, is not installed.
        NoAnswerError: there is no server.
    """

    can_imagine = False  # a server has no use for it
    _socket: Any = None

    def __init__(self, address: str, deadline_s: float = DEADLINE_S):
        try:
            from vla_eval.protocol import messages
        except ImportError:
            raise MissingPackageError(
                f'{address} must be asked with vla-eval. Got no such package. '
                "pip install 'vw2_ros[serve]'"
            ) from None
        self._messages = messages
        self.address, self.deadline_s = address, deadline_s
        self._lock = threading.Lock()
        self._seq = 0
        self._open: tuple[int, float] | None = None  # what has no answer yet, and since when
        self._times: dict[str, deque[float]] = {}
        self.sha256 = ''
        facts = self._ask({'ask': 'facts'}, START_S)
        self.sha256 = facts['sha256']
        self.path = pathlib.PurePosixPath(facts['name'])
        self.image_size, self.chunk = facts['image_size'], facts['chunk']
        self.hidden_shape, self.parameters = tuple(facts['hidden_shape']), facts['parameters']

    def plan(self, rgb: np.ndarray, instruction: str) -> RemotePlan:
        """As `Policy.plan`.

        Raises:
            NoAnswerError: none within the deadline, or the server refused.
        """
        found = self._timed('plan', {'ask': 'plan', 'rgb': rgb, 'instruction': instruction})
        return RemotePlan(found['codes'], found['hidden'], {'plan_ms': found['ms']})

    def actions(self, hidden: np.ndarray) -> np.ndarray:
        """As `Policy.actions`; raises as `plan`."""
        return self._timed('head', {'ask': 'actions', 'hidden': np.asarray(hidden, np.float32)})[
            'actions'
        ]

    def check_instruction(self, instruction: str, least_known: float = 0.0) -> None:
        """As `Policy.check_instruction`; raises InvalidValueError, and as `plan`."""
        question = {'ask': 'instruction', 'instruction': instruction}
        self._check({**question, 'least_known': float(least_known)})

    def check_action_frame(self, frame: str, *, must_say: bool = False) -> None:
        """As `Policy.check_action_frame`; raises InvalidValueError, and as `plan`."""
        self._check({'ask': 'frame', 'frame': frame, 'must_say': must_say})

    def _check(self, question: dict[str, Any]) -> None:
        if refused := self._ask(question, CONNECT_S)['refused']:
            raise InvalidValueError(f'{self.address}: {refused}')

    def warm_up(self) -> float:
        """Ask three times, which opens the connection's window; the last one's time [ms]."""
        for _ in range(3):
            began = time.perf_counter()
            self._ask({'ask': 'facts'}, START_S)
        return 1e3 * (time.perf_counter() - began)

    def timing(self) -> dict[str, dict[str, float]]:
        """As `Policy.timing`: `..._ms` in the model, `..._answer_ms` until the answer was here."""
        return {
            key: {
                'p50': float(np.percentile(v, 50)),
                'p99': float(np.percentile(v, 99)),
                'count': len(v),
            }
            for key, v in self._times.items()
        }

    def close(self) -> None:
        """End the connection; the next question makes another."""
        with self._lock:
            self._drop()

    def __del__(self):
        self._drop()  # the thread that reads its socket knows nothing of who asks

    def _timed(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        found = self._ask(question, self.deadline_s)
        took = 1e3 * (time.perf_counter() - began)
        for key, value in ((f'{what}_ms', found['ms']), (f'{what}_answer_ms', took)):
            self._times.setdefault(key, deque(maxlen=1000)).append(value)
        return found

    def _ask(self, question: dict[str, Any], within_s: float) -> dict[str, Any]:
        from websockets.exceptions import WebSocketException

        until = time.monotonic() + within_s
        if not self._lock.acquire(timeout=within_s):
            raise self._late(within_s)
        try:
            found = self._exchange(question, until)
        except TimeoutError:
            raise self._late(within_s) from None
        except (WebSocketException, OSError) as error:
            self._drop()
            raise NoAnswerError(
                f'{self.address} must be a policy server. Got {type(error).__name__}: {error}. '
                'Start it with vw2 serve'
            ) from error
        finally:
            self._lock.release()
        return self._checked(found)

    def _late(self, within_s: float) -> NoAnswerError:
        return NoAnswerError(
            f'{self.address} must answer within {within_s * 1e3:.0f} ms. Got no answer. Is the '
            'network slower? deadline_s says how long to wait'
        )

    def _exchange(self, question: dict[str, Any], until: float):
        m = self._messages
        if self._open and time.monotonic() - self._open[1] > GIVE_UP_S:
            self._drop()
        socket = self._connected()
        if self._open:  # its answer is too late for anybody, but the next one comes behind it
            self._receive(socket, self._open[0], until)
        self._seq += 1
        message = m.pack_message(m.Message(m.MessageType.OBSERVATION, question, self._seq))
        self._open = self._seq, time.monotonic()
        socket.send(message)
        return self._receive(socket, self._seq, until)

    def _receive(self, socket, seq: int, until: float):
        while True:
            data = socket.recv(timeout=max(0.0, until - time.monotonic()))
            try:
                message = self._messages.unpack_message(data)
            except ValueError as error:
                self._drop()
                raise NoAnswerError(
                    f'{self.address} must be vw2 serve. Got what cannot be read: {error}'
                ) from error
            if message.seq == seq:
                self._open = None
                return message

    def _checked(self, message) -> dict[str, Any]:
        found = message.payload
        if message.type == self._messages.MessageType.ERROR:
            raise NoAnswerError(f'{self.address} refused: {found.get("error", found)!s:.300}')
        if not isinstance(found, dict) or not isinstance(found.get('sha256'), str):
            raise NoAnswerError(
                f'{self.address} must be vw2 serve. Got an answer of another server'
            )
        if self.sha256 and found['sha256'] != self.sha256:
            raise NoAnswerError(
                f'{self.address} must have the weights {self.sha256[:12]}. Got '
                f'{found["sha256"][:12]}: another vw2 serve was started. Call load_weights'
            )
        return found

    def _connected(self):
        if self._socket is None:
            from websockets.sync.client import connect

            self._socket = connect(
                self.address,
                open_timeout=CONNECT_S,
                close_timeout=0.1,
                ping_interval=None,  # the deadline finds out sooner
                compression=None,
                max_size=1 << 24,
            )
        return self._socket

    def _drop(self) -> None:
        socket, self._socket, self._open = self._socket, None, None
        if socket is not None:
            with contextlib.suppress(Exception):
                socket.close()
