# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A command that is killed with -9 at a chosen moment of its work, in a process of its own."""

import os
import signal
import sys

from vw2_ros import cli


def run(arguments, begin, at=None):
    """Run `vw2 ...` in a fork; kill it at the `at`-th call after the function `begin` was entered.

    Args:
        arguments: of `vw2`. begin: name of a function. at: None: not at all.
    Returns:
        exit status (None: killed), and how many calls there were, where it was not killed.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            count = [-1]

            def profile(frame, event, _):
                if event not in ('call', 'c_call'):
                    return
                if count[0] >= 0:
                    count[0] += 1
                    if count[0] == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                elif event == 'call' and frame.f_code.co_name == begin:
                    count[0] = 0

            sys.setprofile(profile)
            status = cli.main([str(word) for word in arguments])
            sys.setprofile(None)
            os.write(write_end, str(max(0, count[0])).encode())
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        calls = told.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None, 0
    return os.WEXITSTATUS(status), int(calls or 0)
