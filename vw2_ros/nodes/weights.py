# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One policy in two nodes: the planner leads a change of weights, every action node follows.

    ros2 param set /planner weights runs/b/policy
    ros2 service call /load_weights std_srvs/srv/Trigger

Both sides load in their worker threads while the arm holds; only when all have loaded the same files
(by SHA-256) do they swap. Where one cannot, all keep what they have. Whatever goes wrong between, a
plan bears the SHA-256 of its weights, and an action node refuses another one than its own.

| topic            | content, std_msgs/String with JSON                                           |
| ---------------- | ---------------------------------------------------------------------------- |
| `weights`        | latched: `phase` (load, swap or keep), `weights` (folder or name), `sha256`  |
| `weights_loaded` | `sha256`, `error` ('' where they are loaded and fit), `node`                 |
"""

import json
import os

from rclpy.task import Future
from std_msgs.msg import String

from vw2_ros import names
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import qos

PATIENCE_S = 30.0  # a side that has not answered by then keeps what it has
LOAD, SWAP, KEEP = 'load', 'swap', 'keep'


class Leader:
    """The planner's side.

    Args:
        node: a `ModelNode`; what it makes here is destroyed with its present transition.
        load: `load(weights)` returns a policy, in the worker thread, or raises.
        swap: `swap(policy, weights)` takes it, in the executor's thread.
    """

    def __init__(self, node, load, swap):
        self._node, self._load, self._swap = node, load, swap
        self._pending: tuple[Future, ...] = ()
        self._out = node.advertise(String, names.WEIGHTS, qos.latched())
        node.subscribe(String, names.WEIGHTS_LOADED, self._on_answer, qos.reliable())
        node.every(0.5, self._look_at_the_time)

    @property
    def busy(self) -> bool:
        """Whether weights are being loaded."""
        return bool(self._pending)

    async def change(self, weights: str) -> str:
        """Bring `weights`, a folder or a shipped name, into this node and all action nodes.

        Returns:
            what was done.
        Raises:
            InvalidValueError: somebody could not load them; all keep what they have.
        """
        node = self._node
        if self.busy:
            raise InvalidValueError(
                'one change of weights must be done before the next. Got two at once. Wait'
            )
        weights = os.path.abspath(weights) if os.path.isdir(weights) else weights
        began_s = self._began_s = node.now_s()
        own, others = self._pending = (
            Future(executor=node.executor),
            Future(executor=node.executor),
        )
        for future in self._pending:
            future.add_done_callback(lambda _: None)  # wakes the executor
        self._awaited, self._answers = self._out.get_subscription_count(), []
        self._say(LOAD, weights)
        node.worker.prepare(lambda: self._load(weights), lambda *done: _settle(own, done))
        if not self._awaited:
            _settle(others, '')
        try:
            policy, error = await own
            problem = (
                f'{node.get_name()}: {error}' if error else self._compared(await others, policy)
            )
            if problem:
                self._say(KEEP, weights)
                raise InvalidValueError(f'the weights stay as they are. {problem}')
            self._say(SWAP, weights, policy.sha256)
            self._swap(policy, weights)
        finally:
            self._pending = ()
        who = f'{self._awaited} action node(s)' if self._awaited else 'no action node is there'
        return f'{label(policy)} here and in {who} after {node.now_s() - began_s:.1f} s'

    def close(self) -> None:
        """Give up a change that is under way."""
        for future in self._pending:
            _settle(future, (None, 'deactivated') if future is self._pending[0] else 'deactivated')

    def _compared(self, problem: str, policy) -> str:
        for answer in self._answers:
            if not problem and answer['sha256'] != policy.sha256:
                problem = (
                    f'{answer["node"]} found other files there: {answer["sha256"][:12]} instead '
                    f'of {policy.sha256[:12]}'
                )
        return problem

    def _say(self, phase: str, weights: str, sha256: str = '') -> None:
        word = {'phase': phase, 'weights': weights, 'sha256': sha256}
        self._out.publish(String(data=json.dumps(word)))

    def _on_answer(self, msg) -> None:
        answer = _read(msg, 'node', 'sha256', 'error')
        if not self.busy:
            return
        self._answers.append(answer)
        if answer['error']:
            _settle(self._pending[1], f'{answer["node"]}: {answer["error"]}')
        elif len(self._answers) >= self._awaited:
            _settle(self._pending[1], '')

    def _look_at_the_time(self) -> None:
        if self.busy and self._node.now_s() - self._began_s > PATIENCE_S:
            late = f'not all have loaded them within {PATIENCE_S:.0f} s'
            _settle(self._pending[0], (None, late))
            _settle(self._pending[1], late)


class Follower:
    """The action node's side; arguments as of `Leader`.

    Args:
        hold: `hold(why)`: nothing moves from now on; with '', it may again.
    """

    def __init__(self, node, load, swap, hold):
        self._node, self._load, self._swap, self._hold = node, load, swap, hold
        self._wanted, self._sha256 = '', None  # what is being loaded; the hash to swap to
        self._loaded = None
        self._began_s = 0.0
        self._out = node.advertise(String, names.WEIGHTS_LOADED, qos.reliable())
        node.subscribe(String, names.WEIGHTS, self._on_word, qos.latched())
        node.every(0.5, self._look_at_the_time)
        self._done: list = []
        self._guard = node.create_guard_condition(self._take)

    def end(self) -> None:
        """Give up a change that is under way."""
        self._node.destroy_guard_condition(self._guard)

    def _on_word(self, msg) -> None:
        word = _read(msg, 'phase', 'weights', 'sha256')
        phase, weights, sha256 = word['phase'], word['weights'], word['sha256']
        if phase == KEEP:
            self._finish()
        elif phase == LOAD:
            self._begin(weights, None)
        elif sha256 == self._node.model.sha256:
            self._finish()
        elif self._loaded is not None and self._loaded.sha256 == sha256:
            self._take_over()
        else:  # this node was not there when they were loaded
            self._begin(weights, sha256)

    def _begin(self, weights: str, sha256: str | None) -> None:
        self._wanted, self._sha256, self._loaded = weights, sha256, None
        self._began_s = self._node.now_s()
        self._hold(f'{weights!r:.100} is being loaded')
        self._node.worker.prepare(
            lambda: self._load(weights), lambda *done: self._loaded_in_thread(weights, *done)
        )

    def _loaded_in_thread(self, weights, policy, error) -> None:
        self._done.append((weights, policy, error))
        self._guard.trigger()

    def _take(self) -> None:
        while self._done:
            weights, policy, error = self._done.pop(0)
            if weights != self._wanted:
                continue  # given up meanwhile
            if error is None and self._sha256 not in (None, policy.sha256):
                error = (
                    f'{weights!r:.100} must be {self._sha256[:12]!r}. Got {policy.sha256[:12]}.'
                )
            answer = {
                'node': self._node.get_name(),
                'sha256': policy.sha256 if policy else '',
                'error': str(error or ''),
            }
            self._out.publish(String(data=json.dumps(answer)))
            self._loaded = policy
            if error is not None:
                self._node.refuse('weights', f'{error!s:.300}')
                self._finish()
            elif self._sha256:
                self._take_over()

    def _take_over(self) -> None:
        self._swap(self._loaded, self._wanted)
        self._finish()

    def _finish(self) -> None:
        if self._wanted:
            self._wanted, self._loaded = '', None
            self._hold('')

    def _look_at_the_time(self) -> None:
        # longer than the leader waits: it has swapped or given up by then, or is gone
        if self._wanted and self._node.now_s() - self._began_s > 1.5 * PATIENCE_S:
            self._node.refuse(
                'weights', f'{self._wanted!r:.100}: the planner has not said to swap'
            )
            self._finish()


def label(policy) -> str:
    """Name of a policy's weights and the beginning of their SHA-256."""
    return f'{policy.path.name} {policy.sha256[:12]}'


def _settle(future: Future, value) -> None:
    if not future.done():
        future.set_result(value)


def _read(msg, *keys: str) -> dict:
    try:
        word = json.loads(msg.data)
    except (ValueError, RecursionError):
        word = None
    if not isinstance(word, dict) or any(not isinstance(word.get(k), str) for k in keys):
        raise InvalidValueError(
            f'message must be JSON with the texts {", ".join(keys)}. Got {msg.data!r:.80}.'
        )
    return word
