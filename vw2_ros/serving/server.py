# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy behind a WebSocket: a model server of vla-eval, which harness and robots ask.

    vw2 serve --policy play_table --host 0.0.0.0 --port 8000

The protocol, its messages and the server's loop are vla-eval's (extra `serve`). What is answered
stands in `answers`. There is no password and no encryption: who can reach the port can ask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from vw2_ros.errors import MissingPackageError, VW2Error
from vw2_ros.serving.answers import CAMERA, Answers

try:
    import anyio
    from vla_eval import specs
    from vla_eval.model_servers.base import ModelServer
    from vla_eval.model_servers.serve import serve_async
except ImportError:  # the extra is not installed; `serve` says so
    ModelServer = None


def check_installed() -> None:
    """Refuse to go on without vla-eval.

    Raises:
        MissingPackageError: it is not installed.
    """
    if ModelServer is None:
        raise MissingPackageError(
            "a policy server must have vla-eval. Got no such package. pip install 'vw2_ros[serve]'"
        )


class PolicyServer(ModelServer or object):
    """Hands questions to `Answers`, one at a time, in a thread of their own."""

    def __init__(self, answers: Answers):
        check_installed()
        self.answers = answers

    async def on_serve_start(self, tg) -> None:
        """Questions of all sessions wait for each other from now on."""
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def on_observation(self, obs: dict[str, Any], ctx) -> None:
        """Answer; what is wrong with a question goes back to who asked it."""
        ask = partial(self.answers.answer, obs, ctx.session_id)
        await ctx.send_action(await anyio.to_thread.run_sync(ask, limiter=self._one_at_a_time))

    async def on_episode_start(self, config: dict[str, Any], ctx) -> None:
        """A session begins anew."""
        self.answers.forget(ctx.session_id)

    async def on_episode_end(self, result: dict[str, Any], ctx) -> None:
        """A session is over."""
        self.answers.forget(ctx.session_id)

    def get_action_spec(self) -> dict:
        """What a harness gets: relative metres, Euler angles and a gripper that closes at -1."""
        return {
            'position': specs.POSITION_DELTA,
            'rotation': specs.ROTATION_EULER,
            'gripper': specs.GRIPPER_CLOSE_NEG,
        }

    def get_observation_spec(self) -> dict:
        """What a harness must send: one picture and words."""
        return {CAMERA: specs.IMAGE_RGB, 'language': specs.LANGUAGE}


def serve(answers: Answers, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Answer until the process is interrupted.

    Args:
        host, port: to listen on; port 0: a free one.
        ready: called with the port once it listens.
    Raises:
        MissingPackageError: vla-eval is not installed. OSError: the port is taken.
    """
    check_installed()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            ready(await tasks.start(serve_async, PolicyServer(answers), host, port))

    logging.getLogger('vla_eval.model_servers.serve').addFilter(_in_one_line)
    logging.getLogger('websockets.server').setLevel(logging.CRITICAL)  # of port scans
    try:
        anyio.run(main)
    except Exception as error:
        while len(inner := getattr(error, 'exceptions', ())) == 1:  # task groups wrap it
            error = inner[0]
        raise error from None


def _in_one_line(record: logging.LogRecord) -> bool:
    """A bad question is told without a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (VW2Error, ValueError)):
        record.msg, record.args = f'{record.getMessage()}: {error!s:.300}', ()
        record.exc_info = None
    return True
