# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy on another machine, with the methods of `Policy` that a robot's nodes call. No torch.

    policy = open_policy('ws://gpu:8000')   # where `vw2 serve` runs
    plan = policy.plan(rgb, 'open the drawer')

Every question has a deadline. An answer that comes later is dropped, and no plan is made: the action
node then holds by its own rules, as with a planner that is silent for any other reason.

A packet that is lost delays all that TCP sends behind it, and the last one of a message, which nothing
follows, by 200 ms and more. So there are two connections. A question whose answer is overdue is asked
again on the other one, and the first answer counts. On each connection one question is under way at a
time, so a network that comes back delivers two old answers, not a queue of them. A connection that was
lost is made anew by the next question.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vw2_ros.errors import InvalidValueError, MissingPackageError, VW2Error
from vw2_ros.models.recovery import Recovery
from vw2_ros.timings import Timings

SCHEMES = ('ws://', 'wss://')
DEADLINE_S = 0.2  # a plan from an older image moves nothing soon after (max_plan_age_s)
START_S = 10.0  # the first answer may take so long, the machines may be busy with loading
CONNECT_S = 2.0  # to connect, which takes several ways to and fro
GIVE_UP_S = 2.0  # a question without an answer for so long: another connection may do better
CONNECTIONS = 2  # a question is asked so often at most, each time on another one
# after so many times the median answer, and so much more [s], it is asked again
OVERDUE, OVERDUE_S = 1.5, 0.01


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


def compressed(rgb: np.ndarray) -> bytes:
    """A picture uint8 (H, W, 3) as a WebP file without loss, the smallest that takes under 1 ms.

    At 96 px it is 12 kB, of which no byte waits for an acknowledgement (TCP sends 14 kB without).
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, 'WEBP', lossless=True, method=0)
    return file.getvalue()


class _Connection:
    """One connection to a policy server, with one question under way at most.

    Args:
        inbox: gets (this, None) when it is open, (this, message) for each message that comes, and
            (this, error) at the end.
    """

    def __init__(self, address: str, inbox: queue.SimpleQueue):
        self.asked: tuple[int, float] | None = None  # what has no answer yet, and since when
        self._socket: Any = None
        self._closed, self._inbox = False, inbox
        # nobody waits longer for a connection than for an answer
        threading.Thread(
            target=self._run, args=(address,), name='policy server', daemon=True
        ).start()

    @property
    def free(self) -> bool:
        """Whether a question can be asked here now."""
        return self._socket is not None and self.asked is None

    def ask(self, number: int, message: bytes) -> None:
        """Send a question."""
        self.asked = number, time.monotonic()
        self._socket.send(message)

    def close(self) -> None:
        """End it, and its thread."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(Exception):
                self._socket.close()

    def _run(self, address: str) -> None:
        from websockets.sync.client import connect

        try:
            self._socket = connect(
                address,
                open_timeout=CONNECT_S,
                close_timeout=0.01,
                ping_interval=None,  # the deadline finds out sooner
                compression=None,  # a picture is compressed already
                max_size=1 << 24,
            )
            if self._closed:  # meanwhile
                self.close()
            self._inbox.put((self, None))
            while True:
                self._inbox.put((self, self._socket.recv()))
        except Exception as error:
            self._inbox.put((self, error))


class RemotePolicy:
    """Asks a policy server; safe to call from several threads, which then wait for each other.

    Args:
        address: ws://HOST:PORT. deadline_s: how long an answer may take [s].
    Raises:
        MissingPackageError: vla-eval, whose protocol it is, is not installed.
        NoAnswerError: there is no server.
    """

    can_imagine = False  # a server has no use for it
    recovery = Recovery()  # a server has its own
    _connections: tuple[_Connection, ...] = ()

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
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()  # of all connections
        self._times = Timings()
        self.sha256 = ''
        facts = self._ask({'ask': 'facts'}, START_S)
        self.sha256 = facts['sha256']
        self.path = pathlib.PurePosixPath(facts['name'])
        self.image_size, self.chunk = facts['image_size'], facts['chunk']
        self.hidden_shape, self.parameters = tuple(facts['hidden_shape']), facts['parameters']

    def plan(self, rgb: np.ndarray, instruction: str, followed_s: float = 0.0) -> RemotePlan:
        """As `Policy.plan`.

        Raises:
            NoAnswerError: none within the deadline, or the server refused.
        """
        question = {
            'ask': 'plan',
            'picture': compressed(rgb),
            'instruction': instruction,
            'followed_s': followed_s,
        }
        found = self._timed('plan', question)
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
        return self._times.summary()

    def close(self) -> None:
        """End the connection; the next question makes another."""
        with self._lock:
            self._drop(*self._connections)

    def __del__(self):
        self._drop(*self._connections)  # the threads that listen know nothing of who asks

    def _timed(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        usual = self._times.newest(f'{what}_answer_ms', 50)
        overdue_s = OVERDUE_S + OVERDUE * 1e-3 * float(np.median(usual)) if usual else None
        found = self._ask(question, self.deadline_s, overdue_s)
        took = 1e3 * (time.perf_counter() - began)
        self._times.note(**{f'{what}_ms': found['ms'], f'{what}_answer_ms': took})
        return found

    def _ask(
        self, question: dict[str, Any], within_s: float, overdue_s: float | None = None
    ) -> dict[str, Any]:
        from websockets.exceptions import WebSocketException

        until = time.monotonic() + within_s
        if not self._lock.acquire(timeout=within_s):
            raise self._late(within_s)
        try:
            found = self._exchange(
                question, until, within_s / 2 if overdue_s is None else overdue_s
            )
        except TimeoutError:
            raise self._late(within_s) from None
        except (WebSocketException, OSError) as error:
            raise NoAnswerError(
                f'{self.address} must be a policy server. Got {type(error).__name__}: {error}. '
                'Start it with vw2 serve'
            ) from error
        finally:
            self._lock.release()
        if found is None:
            raise self._late(within_s)
        return self._checked(found)

    def _late(self, within_s: float) -> NoAnswerError:
        return NoAnswerError(
            f'{self.address} must answer within {within_s * 1e3:.0f} ms. Got no answer. Is the '
            'network slower? deadline_s says how long to wait'
        )

    def _exchange(self, question: dict[str, Any], until: float, overdue_s: float):
        """The first answer to a question, asked again once it is overdue; None if none came in time."""
        self._connect()
        asked: dict[int, _Connection] = {}  # number of the question -> where it is under way
        again = until
        while (now := time.monotonic()) < until:
            due = not asked or (len(asked) < CONNECTIONS and now >= again)
            free = next((c for c in self._connections if c.free), None)
            if due and free:
                asked[self._send(free, question)] = free
                again = now + overdue_s
                continue
            # where no connection is free, one may get so in time, by an answer that is too late
            wait_until = until if due or len(asked) == CONNECTIONS else min(until, again)
            try:
                connection, come = self._inbox.get(timeout=max(0.0, wait_until - time.monotonic()))
            except queue.Empty:
                continue
            message = self._received(connection, come)
            if message is not None and message.seq in asked:
                return message
            left = set(self._connections)
            if isinstance(come, Exception) and not (set(asked.values()) or left) & left:
                raise come
        return None

    def _connect(self) -> None:
        """Begin to make the connections that are missing, lost, or silent for too long."""
        with contextlib.suppress(queue.Empty):
            while True:  # what came when nobody waited: late answers, and ends
                self._received(*self._inbox.get_nowait())
        now = time.monotonic()
        self._drop(*(c for c in self._connections if c.asked and now - c.asked[1] > GIVE_UP_S))
        while len(self._connections) < CONNECTIONS:
            self._connections += (_Connection(self.address, self._inbox),)

    def _send(self, connection: _Connection, question: dict[str, Any]) -> int:
        m = self._messages
        self._seq += 1
        message = m.Message(m.MessageType.OBSERVATION, question, self._seq)
        connection.ask(self._seq, m.pack_message(message))
        return self._seq

    def _received(self, connection: _Connection, come: bytes | Exception | None):
        """Take note of what came on a connection; the message, where it is one.

        Raises:
            NoAnswerError: it cannot be read.
        """
        if isinstance(come, Exception):
            self._drop(connection)
        if come is None or isinstance(come, Exception):
            return None
        try:
            message = self._messages.unpack_message(come)
        except ValueError as error:
            self._drop(connection)
            raise NoAnswerError(
                f'{self.address} must be vw2 serve. Got what cannot be read: {error}'
            ) from error
        if connection.asked and connection.asked[0] == message.seq:
            connection.asked = None
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

    def _drop(self, *connections: _Connection) -> None:
        self._connections = tuple(c for c in self._connections if c not in connections)
        for connection in connections:
            connection.close()
